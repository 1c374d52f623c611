"""The model checker of the core: no schedule of its models loses anything, and every seeded bug is found.

`tests/core/mc/README.md` says how it works; ``make -C tests/core mc-deep`` looks further.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "core"
SECONDS = 120

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        shutil.which("gcc") is None or shutil.which("make") is None,
        reason="the model checker needs gcc and make (Debian: apt install build-essential)",
    ),
    pytest.mark.skipif(
        platform.machine() not in {"x86_64", "aarch64"},
        reason=f"the model checker cannot switch stacks on {platform.machine()}",
    ),
]


def make(*arguments: str) -> list[str]:
    """Run a target of tests/core/Makefile; its lines, or a failure that shows them."""
    environment = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MAKELEVEL"}}
    done = subprocess.run(
        ["make", "-s", "-C", str(HERE), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, f"make {' '.join(arguments)} ended with {done.returncode}"
    return done.stdout.splitlines()


def test_models() -> None:
    lines = make("-j2", "mc", f"SECONDS={SECONDS}")
    ran = {line.split()[0] for line in lines if " states " in line}
    assert {"lock/3", "queue/timeout", "queue/cap1", "ring/timeout", "ring/cap1"} <= ran
    assert {"stack/aba", "spsc/close", "task/throw", "task/both-closed"} <= ran
    last = re.fullmatch(r"(\d+) configurations, (\d+) violated, (\d+) cut short .*", lines[-1])
    assert last is not None, lines[-1]
    assert int(last[2]) == 0


def test_seeded_bugs() -> None:
    listed = re.findall(r"^([A-Z_]+) ", (HERE / "mc/seeded.txt").read_text(), re.MULTILINE)
    lines = make("-j2", "mc-seeded")
    assert sorted(line.partition(":")[0] for line in lines) == sorted(listed)


def test_every_switch_is_seeded() -> None:
    """A switch in the source that seeded.txt does not name would never be tried."""
    listed = set(re.findall(r"^([A-Z_]+) ", (HERE / "mc/seeded.txt").read_text(), re.MULTILINE))
    sources = [*(HERE.parents[1] / "csrc/core").glob("*.[ch]"), *(HERE / "mc").glob("*.[ch]")]
    known: set[str] = set()
    for source in sources:
        if source.name != "config.h":
            known |= set(re.findall(r"CX_(?:UNLESS_)?BUG\(([A-Z_]+)", source.read_text()))
    assert known == listed
