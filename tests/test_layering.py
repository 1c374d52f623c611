"""Layers, sizes and names, read from the files: an arrow that runs the wrong way fails here.

Every rule of layering.py must find nothing in this tree, and must find what is planted in a small one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from layering import (
    MIRRORS,
    long_functions,
    missing_from_mirror,
    missing_from_page,
    missing_from_stub,
    not_exported,
    public_modules,
    too_long,
    wrong_binding_arrows,
    wrong_core_arrows,
    wrong_imports,
    wrong_test_arrows,
)

ROOT = Path(__file__).parents[1]

# --- the tree -------------------------------------------------------------------------------------

RULES = [
    wrong_core_arrows,
    wrong_binding_arrows,
    wrong_test_arrows,
    wrong_imports,
    too_long,
    long_functions,
    not_exported,
]


@pytest.mark.parametrize("rule", RULES)
def test_tree(rule: Callable[[Path], list[str]]) -> None:
    assert rule(ROOT) == []


@pytest.mark.parametrize("name", public_modules(ROOT))
def test_exports_resolve(name: str) -> None:
    module = importlib.import_module(name)
    assert [export for export in module.__all__ if not hasattr(module, export)] == []
    assert len(set(module.__all__)) == len(module.__all__)


def test_stub() -> None:
    core = importlib.import_module("concx._core")
    assert missing_from_stub(core, ROOT / "python/concx/_core.pyi") == []


@pytest.mark.parametrize("name", public_modules(ROOT))
def test_reference_page(name: str) -> None:
    page = ROOT / "docs/reference" / f"{[*name.split('.'), ''][1] or name}.md"
    assert missing_from_page(importlib.import_module(name), page) == []


@pytest.mark.parametrize(
    "name", sorted({name.rpartition(".")[2] for name in public_modules(ROOT)} & set(MIRRORS))
)
def test_mirror(name: str) -> None:
    module = importlib.import_module(f"concx.{name}")
    assert missing_from_mirror(module, importlib.import_module(MIRRORS[name])) == []


# --- the rules themselves -------------------------------------------------------------------------

TABLES = """
| level | files | what |
|---|---|---|
| L0 | `config` → `atomic` | facts |
| L1 | `ring` `stack` | structures |

| shared | what |
|---|---|
| `module` `block` | shared |

| family | files of its types |
|---|---|
| `queue` | `queue` `queueops` |
"""
CLEAN = {
    "csrc/README.md": TABLES,
    "csrc/core/config.h": "#include <stdint.h>\n",
    "csrc/core/atomic.h": '#include "core/config.h"\n#include "mc_hooks.h"\n',
    "csrc/core/ring.h": '#include "core/atomic.h"\n',
    "csrc/core/ring.c": '#include "core/ring.h"\n#include "core/config.h"\n',
    "csrc/core/stack.h": '#include "core/atomic.h"\n',
    "csrc/binding/module.h": "#include <Python.h>\n",
    "csrc/binding/module.c": '#include "binding/module.h"\n#include "binding/queue.h"\n',
    "csrc/binding/block.c": '#include "binding/module.h"\n#include "core/ring.h"\n',
    "csrc/binding/queue.h": "",
    "csrc/binding/queue.c": '#include "binding/queue.h"\n',
    "csrc/binding/queueops.c": '#include "binding/queue.h"\n#include "binding/module.h"\n',
    "tests/core/test_ring.c": '#include "core/ring.h"\n#include "harness.h"\n',
    "python/concx/__init__.py": '__all__ = ["__version__"]\n__version__ = "1"\n',
    "python/concx/_helper.py": "import os\n",
    "python/concx/queue.py": 'from concx._core import Queue\nfrom . import _helper\n__all__ = ["Queue"]\n',
    "python/concx/cli/__init__.py": "from concx import queue\nfrom concx.cli import info\n",
    "python/concx/cli/info.py": "def run():\n    import janus\n",
    "python/concx/__main__.py": "from concx.cli import info\n",
}
PLANTED = [
    (
        wrong_core_arrows,
        "csrc/core/ring.h",
        '#include "core/stack.h"',
        "core/ring.h includes core/stack.h: L1 → L1",
    ),
    (
        wrong_core_arrows,
        "csrc/core/config.h",
        '#include "core/atomic.h"',
        "core/config.h includes core/atomic.h: L0 → L0",
    ),
    (
        wrong_core_arrows,
        "csrc/core/atomic.h",
        ' # include "core/ring.h"',
        "core/atomic.h includes core/ring.h: L0 → L1",
    ),
    (wrong_core_arrows, "csrc/core/ring.c", "#include <Python.h>", "core/ring.c includes Python.h"),
    (wrong_core_arrows, "csrc/core/ring.c", "#include <urcu.h>", "core/ring.c includes urcu.h"),
    (
        wrong_core_arrows,
        "csrc/core/ring.c",
        '#include "binding/module.h"',
        "core/ring.c includes binding/module.h",
    ),
    (
        wrong_core_arrows,
        "csrc/core/ring.c",
        '#include "mc_hooks.h"',
        "core/ring.c includes mc_hooks.h",
    ),
    (wrong_core_arrows, "csrc/core/map.h", "", "csrc/README.md: map is in no level"),
    (
        wrong_core_arrows,
        "csrc/README.md",
        TABLES.replace("`ring`", "`ring` `gone`"),
        "csrc/README.md: gone has no file",
    ),
    (
        wrong_binding_arrows,
        "csrc/binding/simplequeue.c",
        '#include "binding/queue.h"',
        "binding/simplequeue.c includes binding/queue.h",
    ),
    (
        wrong_binding_arrows,
        "csrc/binding/stack.c",
        '#include "binding/queue.h"',
        "binding/stack.c includes binding/queue.h",
    ),
    (
        wrong_binding_arrows,
        "csrc/binding/block.c",
        '#include "binding/queue.h"',
        "binding/block.c includes binding/queue.h",
    ),
    (
        wrong_binding_arrows,
        "csrc/binding/stack.c",
        '#include "queue.h"',
        "binding/stack.c includes queue.h",
    ),
    (
        wrong_test_arrows,
        "tests/core/test_ring.c",
        "#include <Python.h>",
        "tests/core/test_ring.c includes Python.h",
    ),
    (
        wrong_imports,
        "python/concx/_helper.py",
        "import concx.queue",
        "concx._helper imports concx.queue",
    ),
    (
        wrong_imports,
        "python/concx/_helper.py",
        "from . import queue",
        "concx._helper imports concx.queue",
    ),
    (
        wrong_imports,
        "python/concx/queue.py",
        "from concx.cli import info",
        "concx.queue imports concx.cli.info",
    ),
    (
        wrong_imports,
        "python/concx/cli/info.py",
        "import concx.__main__",
        "concx.cli.info imports concx.__main__",
    ),
    (
        wrong_imports,
        "python/concx/queue.py",
        "import numpy",
        "concx.queue imports numpy, which is not the standard library's",
    ),
    (
        wrong_imports,
        "python/concx/cli/info.py",
        "import rich",
        "concx.cli.info imports rich, which is not the standard library's",
    ),
    (
        wrong_imports,
        "python/concx/__init__.py",
        "from . import _core",
        "concx imports concx._core: the package itself stays light",
    ),
    (
        too_long,
        "csrc/core/ring.h",
        "\n" * 151,
        "csrc/core/ring.h: 151 lines, at most 150: it holds a second noun",
    ),
    (
        too_long,
        "tests/test_ring.py",
        "\n" * 601,
        "tests/test_ring.py: 601 lines, at most 600: it holds a second noun",
    ),
    (
        long_functions,
        "csrc/core/ring.c",
        "static void\nf(void)\n{\n" + "    ;\n" * 59 + "}\n",
        "csrc/core/ring.c:3: a function of 61 lines",
    ),
    (not_exported, "python/concx/map.py", "", "concx.map has no __all__"),
    (
        not_exported,
        "python/concx/map.py",
        "__all__ = []\nclass Map: pass",
        "concx.map: Map is missing from __all__",
    ),
    (
        not_exported,
        "python/concx/queue.py",
        "__all__ = []\nfrom queue import Empty",
        "concx.queue: Empty is missing from __all__",
    ),
]


def lay(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_rules_accept_a_clean_tree(tmp_path: Path) -> None:
    lay(tmp_path, CLEAN)
    assert {rule.__name__: rule(tmp_path) for rule in RULES} == {
        rule.__name__: [] for rule in RULES
    }


@pytest.mark.parametrize(
    ("rule", "file", "text", "violation"), PLANTED, ids=[case[3] for case in PLANTED]
)
def test_rules_find(
    tmp_path: Path, rule: Callable[[Path], list[str]], file: str, text: str, violation: str
) -> None:
    lay(tmp_path, CLEAN | {file: text})
    assert rule(tmp_path) == [violation]


def test_names_that_are_missing_are_found(tmp_path: Path) -> None:
    class Queue:
        def get(self) -> None: ...

    Queue.__module__ = "concx._core"
    module = ModuleType("concx.queue")
    vars(module).update(Queue=Queue, Empty=KeyError, __all__=["Queue", "Empty"])
    lay(
        tmp_path,
        {"core.pyi": "class Queue:\n    def put(self) -> None: ...\n", "queue.md": "# Queue\n"},
    )
    stub, page = tmp_path / "core.pyi", tmp_path / "queue.md"
    assert missing_from_stub(module, stub) == [
        "core.pyi: Queue.get is missing",
        "core.pyi: concx.queue.Empty is missing",
    ]
    assert missing_from_page(module, page) == [
        "queue.md: Empty is missing",
        "queue.md: Queue.get is missing",
    ]
    assert missing_from_page(module, tmp_path / "x.md") == [
        "x.md: there is no reference page of concx.queue"
    ]
    standard = ModuleType("queue")
    vars(standard).update(Queue=1, ShutDown=2, _x=3)
    assert missing_from_mirror(module, standard) == ["concx.queue: ShutDown of queue is missing"]
