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

from mp_tools import space_is_limited
from pool_tools import METHODS, every_method, is_running
from queue_tools import ASAN, wait_until

SCRIPTS = Path(__file__).parent / "scripts"
KILLS = [*(("pool_kills.py", method) for method in METHODS), ("mp_pool_kills.py", "fork")]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("script", "method"), KILLS)
def test_two_hundred_kills(run_script: Any, seed: int, script: str, method: str) -> None:
    count = 200 if method == "fork" else 20  # those start slowly
    run_script(SCRIPTS / script, str(count), str(seed), method, timeout=110)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("script", ["pool_kills.py", "mp_pool_kills.py"])
def test_ten_thousand_kills(run_script: Any, seed: int, script: str) -> None:
    for part in range(20):
        run_script(SCRIPTS / script, "500", str(seed + part), "fork", timeout=300)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("who", ["worker", "retries", "owner"])
def test_killed_while_a_segment_is_passed_on(run_script: Any, who: str) -> None:
    """At each step of it; nothing hangs, one task at most is lost, no process or descriptor is left."""
    pytest.importorskip("numpy", reason="needs numpy, which is not installed")
    run_script(SCRIPTS / "pool_mail_kills.py", who, timeout=110)


@pytest.mark.skipif(
    ASAN, reason="another library must be loaded first, and a sanitizer wants to be"
)
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_no_space(run_script: Any, tmp_path: Path, method: str) -> None:
    """fallocate() finds no page, here or in a worker: the task goes another way or says so, and the pool goes on."""
    env = space_is_limited(tmp_path)
    done = run_script(SCRIPTS / "pool_limits.py", "space", method, env=env)
    assert done.stdout == "checked\n"


@every_method
@pytest.mark.parametrize("kind", ["executor", "pool", "pieces"])
def test_owner_killed(method: str, kind: str) -> None:
    """Idle workers end within a second, a busy one after its task, and nothing has a name.

    So do those that are in the middle of an argument or a result.
    """
    shared = set(os.listdir("/dev/shm"))
    with subprocess.Popen(
        [sys.executable, str(SCRIPTS / "pool_owner.py"), method, "2", kind],
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


@pytest.mark.parametrize(
    ("what", "method"),
    [
        *(("memory", method) for method in METHODS),
        # The standard library's fork server itself dies of a client that has no descriptors left.
        *(("descriptors", method) for method in METHODS if method != "forkserver"),
    ],
)
def test_limits(run_script: Any, what: str, method: str) -> None:
    """Out of descriptors, out of address space: an error that says so, and a pool that goes on."""
    done = run_script(SCRIPTS / "pool_limits.py", what, method)
    assert done.stdout == "checked\n"


@pytest.mark.parametrize("arena_bytes", [0, 1 << 20])
def test_memory_of_pieces(run_script: Any, arena_bytes: int) -> None:
    done = run_script(SCRIPTS / "pool_pieces.py", str(arena_bytes))
    assert done.stdout.endswith("checked\n"), done.stdout


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
