"""What maps need a process of their own for: leaks, memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from queue_tools import TSAN

SCRIPTS = Path(__file__).parent / "scripts"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.timeout(300)
def test_no_leaks(run_script: Run) -> None:
    run_script(SCRIPTS / "leaks_map.py", "5000" if TSAN else "100000", timeout=290)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc/self/statm")
@pytest.mark.skipif(TSAN, reason="ThreadSanitizer keeps memory of its own for every word")
def test_a_million_entries_take_little(run_script: Run) -> None:
    done = run_script(SCRIPTS / "map_memory.py", "1000000", timeout=60)
    assert float(done.stdout) <= 100
