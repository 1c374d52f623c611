"""Pools of processes whose workers or owner are killed or interrupted, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pool_tools import every_method, is_running
from queue_tools import wait_until

SCRIPTS = Path(__file__).parent / "scripts"


@every_method
@pytest.mark.timeout(120)
def test_two_hundred_kills(run_script: Any, seed: int, method: str) -> None:
    count = 200 if method == "fork" else 20  # those start slowly
    run_script(SCRIPTS / "pool_kills.py", str(count), str(seed), method, timeout=110)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_ten_thousand_kills(run_script: Any, seed: int) -> None:
    for part in range(20):
        run_script(SCRIPTS / "pool_kills.py", "500", str(seed + part), "fork", timeout=300)


@every_method
def test_owner_killed(method: str) -> None:
    """Idle workers end within a second, a busy one after its task, and nothing has a name."""
    shared = set(os.listdir("/dev/shm"))
    with subprocess.Popen(
        [sys.executable, str(SCRIPTS / "pool_owner.py"), method, "2"],
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        workers, _, others = owner.stdout.readline().partition("|")
        pids = [int(pid) for pid in workers.split()]
        assert len(pids) == 3
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        begun = time.monotonic()
        wait_until(lambda: sum(map(is_running, pids)) == 1, limit=10)
        assert time.monotonic() - begun < 1.2
        wait_until(lambda: not any(map(is_running, pids + [int(pid) for pid in others.split()])))
    assert {name for name in os.listdir("/dev/shm") if not name.startswith("sem.")} <= shared


@every_method
def test_ctrl_c(method: str) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "pool_ctrl_c.py"), method],
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")
