"""The Python blocks of README.md and of the pages under docs/ run, and print what the page says they print.

The blocks of a page run in order in one namespace, in a process of its own (this file is its script).
A ``text`` block right after a ``python`` block is its expected output.
"""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    path
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "_build" not in path.parts
]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


def run_blocks(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": page.stem}
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start(1))
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile("\n" * line + match.group(1), str(page), "exec"), namespace)
        if match.group(2) is not None and output.getvalue() != match.group(2):
            sys.exit(f"{page}:{line}: printed\n{output.getvalue()}instead of\n{match.group(2)}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_on_page_runs(
    page: Path, run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    text = page.read_text(encoding="utf-8")
    if not BLOCK.search(text):
        pytest.skip("no code on this page")
    if "import numpy" in text:
        pytest.importorskip("numpy", reason="the page needs NumPy, which is not installed")
    run_script(Path(__file__), str(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page}: {target}"


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 180


if __name__ == "__main__":
    run_blocks(Path(sys.argv[1]))
