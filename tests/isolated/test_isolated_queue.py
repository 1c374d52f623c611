"""What needs a process of its own: interrupts, the interpreter's end, leaks, subinterpreters."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from queue_tools import TSAN

SCRIPTS = Path(__file__).parent / "scripts"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("what", ["get", "put", "join", "simple", "compat", "ring", "stack"])
def test_a_thousand_interrupts(run_script: Run, what: str) -> None:
    """Each ends the blocked call within 0.2 s, and nothing is lost."""
    count = "100" if TSAN else "1000"
    run_script(
        SCRIPTS / "ctrl_c.py",
        what,
        count,
        env={**os.environ, "CONCX_REACTION": "2"} if TSAN else None,
    )


def test_interrupts_at_any_moment(run_script: Run) -> None:
    run_script(SCRIPTS / "ctrl_c.py", "race", "1000")


@pytest.mark.parametrize("what", ["native", "compat", "async", "busy", "pending"])
def test_exit_with_callers_blocked(run_script: Run, what: str) -> None:
    for _ in range(3):
        assert run_script(SCRIPTS / "exit_blocked.py", what).stdout.startswith("end")


@pytest.mark.timeout(300)
def test_no_leaks_over_a_million_operations(run_script: Run) -> None:
    run_script(SCRIPTS / "leaks.py", "50000" if TSAN else "1000000", timeout=290)


def test_subinterpreters(run_script: Run) -> None:
    if sys.version_info < (3, 13):
        pytest.skip(
            "interpreters with a GIL of their own came with 3.12, which crashes at exit after such "
            "interpreters have used asyncio alone (seen with 3.12.1); newer ones run this"
        )
    done = run_script(SCRIPTS / "subinterpreters.py", status=None)
    if done.returncode == 77:
        pytest.skip("this build has no module that makes interpreters")
    if done.returncode == 78:
        pytest.skip("the extension refuses interpreters with a GIL of their own, by a clear error")
    assert done.returncode == 0, done.stdout + done.stderr
