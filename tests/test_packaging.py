"""What a user installs: symbols, files, the version, and what `import concx` does not do."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import concx
import concx._core

ROOT = Path(__file__).parents[1]
BUILT_FROM = [
    *("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md"),
    *("CONTRIBUTING.md", "SECURITY.md", "dev", "csrc", "python"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the package is built from, so that building leaves the tree alone."""
    target = tmp_path_factory.mktemp("copy")
    unbuilt = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
    for name in BUILT_FROM:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=unbuilt)
        else:
            shutil.copy(source, target / name)
    return target


def build(copy: Path, source: str) -> None:
    pytest.importorskip(
        "setuptools", reason="building a distribution needs setuptools in this environment"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=copy, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_exported_symbol() -> None:
    if shutil.which("nm") is None:
        pytest.skip(
            "nm, of binutils, is not installed: the symbols of the extension cannot be listed"
        )
    command = [
        "nm",
        "--dynamic",
        "--defined-only",
        "--extern-only",
        "--format=posix",
        concx._core.__file__,
    ]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # The linker's own marks of a segment's ends are no functions.
    marks = {"_init", "_fini", "_edata", "_end", "__bss_start"}
    assert {line.split()[0] for line in listing.splitlines()} - marks == {"PyInit__core"}


def test_sdist_is_complete(copy: Path) -> None:
    build(copy, "from setuptools import build_meta; build_meta.build_sdist('dist')")
    (archive,) = (copy / "dist").iterdir()
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    wanted = {
        str(path.relative_to(copy))
        for folder in ("csrc", "python")
        for path in (copy / folder).rglob("*")
        if path.suffix in {".c", ".h", ".py", ".pyi", ".typed", ".md"}
    }
    assert wanted - names == set()
    assert {"setup.py", "pyproject.toml", "LICENSE", "README.md", "dev"} - names == set()
    assert [name for name in names if name.endswith((".so", ".pyc"))] == []


def test_package_data(copy: Path) -> None:
    build(
        copy,
        "import sys; sys.argv = ['setup.py', '-q', 'build_py', '-d', 'lib']; exec(open('setup.py').read())",
    )
    package = copy / "lib" / "concx"
    for name in ("py.typed", "_core.pyi", "include/concx.h"):
        assert (package / name).exists(), name


def test_version_stands_in_one_place() -> None:
    assert importlib.metadata.version("concx") == concx.__version__
    literal = re.compile(re.escape(concx.__version__))
    files = [ROOT / "pyproject.toml", ROOT / "setup.py"]
    for folder in ("csrc", "python"):
        files += [
            path
            for path in (ROOT / folder).rglob("*")
            if path.suffix in {".c", ".h", ".py", ".pyi"}
        ]
    holders = [
        str(path.relative_to(ROOT))
        for path in files
        if literal.search(path.read_text(encoding="utf-8"))
    ]
    assert holders == ["python/concx/__init__.py"]


def test_include_folder_holds_the_header() -> None:
    assert os.path.isabs(concx.get_include())
    assert os.path.exists(os.path.join(concx.get_include(), "concx.h"))


def test_import_is_light(run_script: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    run_script(
        """
        import os, queue, signal, sys, threading
        before, standard = set(sys.modules), dict(vars(queue))
        environment, handlers = dict(os.environ), [signal.getsignal(n) for n in signal.valid_signals()]
        import concx
        assert {name for name in sys.modules if name.startswith("concx.")} == set()
        import concx.queue
        tops = {name.partition(".")[0] for name in set(sys.modules) - before}
        assert tops - set(sys.stdlib_module_names) - {"concx"} == set(), tops
        assert threading.active_count() == 1
        assert len(os.listdir("/proc/self/task")) == 1
        assert dict(os.environ) == environment
        assert [signal.getsignal(n) for n in signal.valid_signals()] == handlers
        assert dict(vars(queue)) == standard, "nothing is patched"
        assert "asyncio" not in sys.modules, "asyncio is imported when it is first needed"
        """
    )


def test_no_runtime_dependency() -> None:
    requires = importlib.metadata.requires("concx") or []
    assert [line for line in requires if "extra ==" not in line] == []
