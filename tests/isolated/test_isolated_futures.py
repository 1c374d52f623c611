"""What futures and pools need a process of their own for: the interpreter's end, leaks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from queue_tools import TSAN

SCRIPTS = Path(__file__).parent / "scripts"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    "what", ["idle", "queued", "daemon", "awaiting", "late", "cycles", "dropped", "native"]
)
def test_exit(run_script: Run, what: str) -> None:
    """Under an allocator that overwrites what is freed, so that nothing freed is used."""
    env = {**os.environ, "PYTHONMALLOC": "debug"} if not TSAN else None
    told = run_script(SCRIPTS / "exit_pools.py", what, env=env)
    assert told.stdout.startswith("end")
    assert ("checked" in told.stdout) == (what in {"queued", "late", "dropped"})


@pytest.mark.timeout(300)
def test_no_leaks(run_script: Run) -> None:
    run_script(SCRIPTS / "leaks_futures.py", "10000" if TSAN else "200000", timeout=290)
