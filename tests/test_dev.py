"""./dev, as far as it can be tried without installing or building anything."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DEV = ROOT / "dev"
BASH = shutil.which("bash")
COMMANDS = re.search(r"^ +([\w |]+)\) \"cmd_", DEV.read_text(encoding="utf-8"), re.MULTILINE)[
    1
].split(" | ")  # type: ignore[index]

pytestmark = pytest.mark.skipif(BASH is None, reason="./dev is a program for bash")


def dev(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ./dev, with no other programs than those in the folder `path`."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("CONCX")
    }
    if path is not None:
        environment["PATH"] = str(path)
    return subprocess.run(
        [str(BASH), str(DEV), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def programs(folder: Path, *names: str, **written: str) -> Path:
    """A folder with some of this machine's programs and some of our own."""
    for name in ("bash", "dirname", *names):
        (folder / name).symlink_to(str(shutil.which(name)))
    for name, text in written.items():
        program = folder / name.replace("_", "-")
        program.write_text(f"#!{BASH}\n{text}\n")
        program.chmod(0o755)
    return folder


def test_alone_it_lists_its_commands() -> None:
    done = dev()
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^  (\w+) ", done.stdout, re.MULTILINE) == COMMANDS


def test_an_unknown_command_is_a_usage_error() -> None:
    done = dev("tset")
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: ./dev COMMAND" in done.stderr


def test_what_cannot_be_installed_is_named(tmp_path: Path) -> None:
    """No compiler, and nothing that could install one."""
    done = dev("core", path=programs(tmp_path, "id"))
    assert done.returncode == 1
    assert "missing: gcc libc6-dev make (Debian names)" in done.stderr


def test_what_it_may_not_install_is_named(tmp_path: Path) -> None:
    """There is apt, but the user is not root and has no sudo."""
    done = dev("core", path=programs(tmp_path, id="echo 1000", apt_get="exit 1"))
    assert done.returncode == 1
    assert "install them with: sudo apt-get install gcc libc6-dev make" in done.stderr


def test_which() -> None:
    assert dev("which", sys.executable).stdout == f"{sys.executable}\n"
    for name, text in {
        "9.9": "no such interpreter: 9.9 (give a path, a command or a version)",
        "/no/python": "no such interpreter: /no/python",
    }.items():
        done = dev("which", name)
        assert done.returncode == 1
        assert text in done.stderr


PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "csrc/README.md")]
PAGES += [page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_commands_that_exist(page: Path) -> None:
    named = re.findall(r"(?:`|^ *)\./dev ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= set(COMMANDS)
