"""What loads and cached functions need a process of their own for: leaks."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from queue_tools import TSAN

SCRIPTS = Path(__file__).parent / "scripts"


@pytest.mark.timeout(300)
def test_no_leaks(run_script: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    run_script(SCRIPTS / "leaks_flight.py", "3000" if TSAN else "80000", timeout=290)
