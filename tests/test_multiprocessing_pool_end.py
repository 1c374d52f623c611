"""concx.multiprocessing.Pool: its ends."""

from __future__ import annotations

import gc
import itertools
import multiprocessing as std
import signal
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

import pool_tools as do
from concx import multiprocessing as mp
from mp_pool_tools import Held, MakePool, making_pools
from pool_tools import every_method
from queue_tools import LIMIT, wait_until

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


@pytest.fixture
def make() -> Iterator[MakePool]:
    with making_pools() as make:
        yield make


@every_method
def test_close_finishes(make: MakePool, method: str) -> None:
    pool = make(2, method)
    results = [pool.apply_async(do.nap, (0.01, i)) for i in range(10)]
    lazy = pool.imap(do.echo, (i for i in range(300)))
    pool.close()
    pool.close()
    with pytest.raises(ValueError, match="Pool not running"):
        pool.imap(abs, [1])
    pool.join()
    assert [result.get(0) for result in results] == list(range(10))
    assert list(lazy) == list(range(300))
    assert pool._pool == []


@every_method
def test_terminate(make: MakePool, tmp_path: Path, method: str) -> None:
    pool = make(2, method)
    held = Held(pool, tmp_path, "one")
    queued = [pool.apply_async(do.nap, (3600,)) for _ in range(10)]
    told: list[Any] = []
    several = pool.map_async(do.nap, [3600] * 10, 1, told.append, told.append)
    queued.append(pool.apply_async(do.nap, (3600,), {}, told.append, told.append))
    lazy = pool.imap(do.nap, itertools.repeat(3600))
    pids = [process.pid for process in pool._pool]
    start = time.monotonic()
    pool.terminate()
    pool.terminate()
    assert time.monotonic() - start < LIMIT / 2
    assert not any(map(do.is_running, pids))
    for result in [held.result, *queued, several]:
        with pytest.raises(BrokenProcessPool, match="terminated"):
            result.get(LIMIT)
    with pytest.raises(BrokenProcessPool):
        next(lazy)
    assert told == []
    pool.join()


def test_worker_that_does_not_listen(make: MakePool) -> None:
    """It is killed: the standard pool waits for it."""
    deaf = make(1, initializer=signal.signal, initargs=(signal.SIGTERM, signal.SIG_IGN))
    assert deaf.apply(abs, (-1,)) == 1
    stopped = make(1)
    result = stopped.apply_async(do.stop)
    wait_until(lambda: do.state(stopped._pool[0].pid) == "T")
    for pool in (deaf, stopped):
        (process,) = pool._pool
        pool.terminate()
        assert not do.is_running(process.pid)
    with pytest.raises(BrokenProcessPool):
        result.get(LIMIT)


def test_dropped_pool(tmp_path: Path) -> None:
    """It warns as the standard one does, finishes what it was given, and its workers end."""
    log = tmp_path / "log"
    pool: Any = mp.get_context("fork").Pool(2)
    pids = [process.pid for process in pool._pool]
    results = [pool.apply_async(do.append, (str(log), str(i))) for i in range(50)]
    lazy = pool.imap(do.echo, (i for i in range(300)))
    alive = weakref.ref(pool)
    with pytest.warns(ResourceWarning, match="unclosed running multiprocessing pool"):
        del pool
    assert alive() is None
    for result in results:
        result.get(LIMIT)
    assert list(lazy) == list(range(300))
    assert len(log.read_text().split()) == 50
    wait_until(lambda: not any(map(do.is_running, pids)))


def test_no_warning_after_close(make: MakePool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        pool: Any = mp.get_context("fork").Pool(1)
        pool.close()
        pool.join()
        del pool
        gc.collect()


@every_method
def test_nothing_is_left(method: str) -> None:
    def once() -> None:
        with mp.get_context(method).Pool(2) as pool:
            assert pool.map(abs, range(-1000, 0), 1) == list(range(1000, 0, -1))
            assert pool.apply(len, (bytes(3_000_000),)) == 3_000_000
        pool.join()

    once()
    gc.collect()
    before, threads = do.descriptors(), threading.active_count()
    for _ in range(3):
        once()

    def as_before() -> bool:
        gc.collect()  # without a GIL, what another thread dropped goes with a delay
        return do.descriptors() <= before

    wait_until(as_before)
    assert threading.active_count() == threads
    assert not [child for child in std.active_children() if "zygote" in child.name]


SCRIPT = """
import sys, time
from concx import multiprocessing as mp
if __name__ == "__main__":
    mp.set_start_method({method!r})
    pool = mp.Pool(2)
    pool.map_async(time.sleep, [3600] * 10, 1)
    lazy = pool.imap(abs, iter(int, 1))
    pool.apply_async(abs, (1,))
    print(*(p.pid for p in pool._pool), flush=True)
"""


@every_method
def test_interpreter_exit(method: str, tmp_path: Path) -> None:
    """Tasks that run do not hold the interpreter, as with the standard pool."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(method=method))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(path)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2
    assert not any(map(do.is_running, pids))
