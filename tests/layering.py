"""The rules of test_layering.py: what may include or import what, how long a file is, which names it has.

Each rule is a function from a folder to the list of its violations.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

MAX_HEADER, MAX_SOURCE, MAX_FUNCTION = 150, 600, 60

# The public modules that mirror one of the standard library.
MIRRORS = {
    "queue": "queue",
    "threading": "threading",
    "functools": "functools",
    "futures": "concurrent.futures",
    "multiprocessing": "multiprocessing",
}

INCLUDE = re.compile(r"^\s*#\s*include\s*([<\"])([^>\"]+)[>\"]", re.MULTILINE)
ROW = re.compile(r"^\| (L\d+|shared) \|([^|]*)\|", re.MULTILINE)


class Rank(NamedTuple):
    level: int
    place: int  # in a row, how many arrows stand before it


def cell_names(cell: str) -> list[str]:
    return re.findall(r"`([a-z0-9_]+)`", cell)


def core_ranks(root: Path) -> dict[str, Rank]:
    """The level table of csrc/README.md: noun → rank."""
    text = (root / "csrc/README.md").read_text(encoding="utf-8")
    return {
        name: Rank(int(level[1:]), place)
        for level, cell in ROW.findall(text)
        if level != "shared"
        for place, part in enumerate(cell.split("→"))
        for name in cell_names(part)
    }


def binding_rows(root: Path, title: str) -> Iterator[list[list[str]]]:
    """The rows of the table of csrc/README.md that begins with `title`, each cell as its names."""
    text = (root / "csrc/README.md").read_text(encoding="utf-8")
    for line in text.partition(f"| {title} |")[2].partition("\n\n")[0].splitlines()[2:]:
        yield [cell_names(cell) for cell in line.split("|")[1:-1]]


def shared_binding(root: Path) -> set[str]:
    """The shared files of the binding."""
    return {name for row in binding_rows(root, "shared") for name in row[0]}


def binding_families(root: Path) -> dict[str, str]:
    """The files of types that share a base: file → family."""
    return {name: row[0][0] for row in binding_rows(root, "family") for name in row[1]}


def includes(path: Path) -> list[tuple[bool, str]]:
    """What a C file includes: (is it quoted, the name)."""
    text = path.read_text(encoding="utf-8")
    return [(mark == '"', name) for mark, name in INCLUDE.findall(text)]


def c_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in {".c", ".h"})


# --- C --------------------------------------------------------------------------------------------


def wrong_core_arrows(root: Path) -> list[str]:
    ranks, found = core_ranks(root), []
    present = {path.stem for path in c_files(root / "csrc/core")}
    found += [f"csrc/README.md: {name} is in no level" for name in sorted(present - set(ranks))]
    found += [f"csrc/README.md: {name} has no file" for name in sorted(set(ranks) - present)]
    for path in c_files(root / "csrc/core"):
        for quoted, name in includes(path):
            where = f"core/{path.name} includes {name}"
            if not quoted:
                if name == "Python.h" or (name.startswith("urcu") and path.stem != "urcu"):
                    found.append(where)
            elif name == "mc_hooks.h":  # the model checker's face, under CX_MC
                if path.stem not in {"atomic", "park", "config"}:
                    found.append(where)
            elif not name.startswith("core/"):
                found.append(where)
            else:
                mine, theirs = ranks.get(path.stem), ranks.get(Path(name).stem)
                own = name == f"core/{path.stem}.h" and path.suffix == ".c"
                if mine and theirs and not own and theirs >= mine:
                    found.append(f"{where}: L{mine.level} → L{theirs.level}")
    return found


def wrong_binding_arrows(root: Path) -> list[str]:
    shared, families, found = shared_binding(root), binding_families(root), []
    present = {path.stem for path in c_files(root / "csrc/binding")}
    named = sorted((shared | set(families)) - present)
    found += [f"csrc/README.md: {name} has no file" for name in named]
    for path in c_files(root / "csrc/binding"):
        for quoted, name in includes(path):
            folder, _, file = name.rpartition("/")
            if not quoted or folder == "core" or name == "concx.h" or path.name == "module.c":
                continue
            other = Path(file).stem
            kin = families.get(other) == families.get(path.stem, path.stem)
            if folder != "binding" or not (other in shared or other == path.stem or kin):
                found.append(f"binding/{path.name} includes {name}")
    return found


def wrong_test_arrows(root: Path) -> list[str]:
    """The C tests see core alone."""
    return [
        f"{path.relative_to(root)} includes {name}"
        for path in c_files(root / "tests/core")
        for _, name in includes(path)
        if name == "Python.h" or name.startswith("binding/")
    ]


# --- Python ---------------------------------------------------------------------------------------


def python_modules(root: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted((root / "python/concx").rglob("*.py")):
        parts = path.relative_to(root / "python").with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def python_rank(module: str) -> int:
    """0 the package and the extension, 1 private helpers, 2 public modules, 3 what is built on them."""
    parts = module.split(".")
    if parts in (["concx"], ["concx", "_core"]):
        return 0
    if parts[1] in {"cli", "contrib", "__main__"}:
        return 3
    return 1 if parts[1].startswith("_") else 2


def imports(module: str, path: Path) -> Iterator[tuple[str, bool]]:
    """The modules that a file imports, by full name, and whether when it is itself imported."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    deferred: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            deferred.update(ast.walk(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node not in deferred
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join(package.split(".")[: len(package.split(".")) - node.level + 1])
                if node.level
                else ""
            )
            name = ".".join(part for part in (base, node.module) if part)
            inside = name.split(".")[0] == "concx"
            for alias in node.names:
                child = f"{name}.{alias.name}"
                is_module = inside and (path_of(path, child) or child == "concx._core")
                yield (child if is_module else name), node not in deferred


def path_of(beside: Path, module: str) -> bool:
    """Is there such a module in the tree that `beside` is part of?"""
    python = next(parent for parent in beside.parents if parent.name == "python")
    target = python.joinpath(*module.split("."))
    return target.with_suffix(".py").exists() or (target / "__init__.py").exists()


def may_import(module: str, name: str) -> bool:
    mine, theirs = python_rank(module), python_rank(name)
    if mine != theirs or mine < 3:
        return theirs <= mine
    return module == "concx.__main__" or name.split(".")[1] == module.split(".")[1]


def wrong_imports(root: Path) -> list[str]:
    found = []
    for module, path in python_modules(root):
        mine = python_rank(module)
        for name, at_import in imports(module, path):
            top = name.split(".")[0]
            if top != "concx":
                third_party = top not in sys.stdlib_module_names
                if third_party and (mine < 3 or (at_import and ".contrib." not in module)):
                    found.append(f"{module} imports {name}, which is not the standard library's")
                continue
            if not may_import(module, name):
                found.append(f"{module} imports {name}")
            if module == "concx" and name != "concx":
                found.append(f"{module} imports {name}: the package itself stays light")
    return found


# --- sizes ----------------------------------------------------------------------------------------


def too_long(root: Path) -> list[str]:
    """But for the stub, which lists what the one extension has, and is as long as that."""
    found = []
    for folder in ("csrc", "python", "tests", "benchmarks", "examples"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in {".c", ".h", ".py"}:
                lines = path.read_text(encoding="utf-8").count("\n")
                contract = path.suffix == ".h" and folder != "tests"
                most = MAX_HEADER if contract else MAX_SOURCE
                if lines > most:
                    found.append(
                        f"{path.relative_to(root)}: {lines} lines, at most {most}: it holds a second noun"
                    )
    return found


def long_functions(root: Path) -> list[str]:
    """C functions, from brace to brace."""
    found = []
    for folder in ("csrc", "tests/core", "examples"):
        for path in c_files(root / folder):
            lines = path.read_text(encoding="utf-8").splitlines()
            begun = 0
            for number, line in enumerate(lines, 1):
                if line == "{":
                    begun = number
                elif line == "}" and begun:
                    length, begun = number - begun + 1, 0
                    if length > MAX_FUNCTION:
                        where = f"{path.relative_to(root)}:{number - length + 1}"
                        found.append(f"{where}: a function of {length} lines")
    return found


# --- names ----------------------------------------------------------------------------------------


def public_modules(root: Path) -> list[str]:
    return [
        name
        for name, _ in python_modules(root)
        if (python_rank(name) == 2 and "._" not in name) or name == "concx"
    ]


def is_public(name: str) -> bool:
    return not name.startswith("_")


def defined_names(tree: ast.Module, mirrored: str | None) -> set[str]:
    """What a module offers: its own definitions, and what it takes from the core or its standard twin."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            own = (
                node.level > 0
                or (node.module or "").startswith("concx.")
                or node.module == mirrored
            )
            if own:
                names.update(alias.asname or alias.name for alias in node.names)
    return {name for name in names if is_public(name) and name != "TYPE_CHECKING"}


def not_exported(root: Path) -> list[str]:
    found = []
    for module, path in python_modules(root):
        if (python_rank(module) != 2 or "._" in module) and module != "concx":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        exported = literal_all(tree)
        if exported is None:
            found.append(f"{module} has no __all__")
            continue
        type_variables = {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
            for target in node.targets
            if isinstance(target, ast.Name)
            and ast.unparse(node.value.func).endswith(("TypeVar", "ParamSpec"))
        }
        names = defined_names(tree, MIRRORS.get(module.rpartition(".")[2])) - type_variables
        found += [f"{module}: {name} is missing from __all__" for name in sorted(names - exported)]
    return found


def literal_all(tree: ast.Module) -> set[str] | None:
    """The strings in the statements that build ``__all__``; None where there are none."""
    names: set[str] | None = None
    for node in ast.walk(tree):
        if isinstance(
            node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Expr
        ) and "__all__" in {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}:
            strings = {child.value for child in ast.walk(node) if isinstance(child, ast.Constant)}
            names = (names or set()) | {value for value in strings if isinstance(value, str)}
    return names


def stub_names(stub: Path) -> dict[str, set[str]]:
    """The public names of a stub; for a class also its members, inherited ones included."""
    names: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(stub.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            members = {
                child.name
                for child in node.body
                if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            }
            for child in node.body:
                if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
                    members.add(child.target.id)
                elif isinstance(child, ast.Assign):
                    members.update(
                        target.id for target in child.targets if isinstance(target, ast.Name)
                    )
            for base in node.bases:
                members |= names.get(ast.unparse(base).partition("[")[0], set())
            names[node.name] = members
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.setdefault(node.name, set())
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.setdefault(node.target.id, set())
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    names.setdefault(target.id, set())
    return names


def missing_from_stub(module: ModuleType, stub: Path) -> list[str]:
    names, found = stub_names(stub), []
    for name, value in vars(module).items():
        if not is_public(name):
            continue
        if name not in names:
            found.append(f"{stub.name}: {module.__name__}.{name} is missing")
        elif inspect.isclass(value):
            members = {member for member in vars(value) if is_public(member)} - names[name]
            found += [f"{stub.name}: {name}.{member} is missing" for member in sorted(members)]
    return found


def members_to_document(value: object) -> set[str]:
    """The public members that a concx class brings itself (not those of a standard base)."""
    if not inspect.isclass(value):
        return set()
    names: set[str] = set()
    for cls in value.__mro__:
        if cls.__module__.split(".")[0] == "concx":
            names.update(name for name in vars(cls) if is_public(name))
    if dataclasses.is_dataclass(value):
        names.update(field.name for field in dataclasses.fields(value))
    return names


def missing_from_page(module: ModuleType, page: Path) -> list[str]:
    if not page.exists():
        return [f"{page.name}: there is no reference page of {module.__name__}"]
    words = set(re.findall(r"\w+", page.read_text(encoding="utf-8")))
    found = []
    for name in sorted(module.__all__):
        if name not in words:
            found.append(f"{page.name}: {name} is missing")
        members = members_to_document(getattr(module, name)) - words
        found += [f"{page.name}: {name}.{member} is missing" for member in sorted(members)]
    return found


def missing_from_mirror(module: ModuleType, standard: ModuleType) -> list[str]:
    names = set(getattr(standard, "__all__", [name for name in vars(standard) if is_public(name)]))
    return [
        f"{module.__name__}: {name} of {standard.__name__} is missing"
        for name in sorted(names - set(module.__all__))
    ]
