"""ProcessPoolExecutor: what it adds, and its ends; deaths are in test_process_pool_deaths.py.

The standard contract is tested by CPython's own tests (conformance/test_cpython_suites.py).
"""

from __future__ import annotations

import asyncio
import concurrent.futures as std
import gc
import logging
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool, _RemoteTraceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import pool_tools as do
from concx.futures import CancelledError, Future, wait
from concx.futures.process import ProcessPoolExecutor
from pool_tools import Held, MakePool, every_method
from queue_tools import LIMIT, wait_until

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


@pytest.fixture
def make() -> Iterator[MakePool]:
    """Makes pools that are shut down, however the test ends."""
    with do.pools() as make_pool:
        yield make_pool


# --- the same as everywhere ----------------------------------------------------------------------


@every_method
def test_calls(make: MakePool, method: str) -> None:
    pool = make(2, method)
    assert isinstance(pool, std.ProcessPoolExecutor)
    future = pool.submit(pow, 2, 10)
    assert type(future) is Future
    assert future.result(LIMIT) == 1024
    assert pool.submit(int, "ff", base=16).result(LIMIT) == 255
    assert pool.submit(do.echo, None).result(LIMIT) is None
    with pytest.raises(ZeroDivisionError) as caught:
        pool.submit(divmod, 1, 0).result(LIMIT)
    assert type(caught.value.__cause__) is _RemoteTraceback
    assert pool.submit(do.worker_pid).result(LIMIT) != os.getpid()
    stats = pool.stats()
    assert (stats.submitted, stats.completed, stats.failed) == (5, 4, 1)
    assert (stats.running, stats.queued) == (0, 0)


@pytest.mark.parametrize("size", [0, 1, 8_192, 8_193, 100_000, 3_000_000])
def test_sizes(make: MakePool, size: int) -> None:
    pool = make(1)
    data = os.urandom(size)
    for _ in range(3):
        assert pool.submit(do.echo, data).result(LIMIT) == data
    several = [pool.submit(do.echo, data + bytes([i])) for i in range(30)]
    assert [f.result(LIMIT) for f in several] == [data + bytes([i]) for i in range(30)]


def test_many(make: MakePool) -> None:
    pool = make(2)
    futures = [pool.submit(abs, -i) for i in range(20_000)]
    assert [f.result(LIMIT) for f in futures] == list(range(20_000))


def test_map(make: MakePool) -> None:
    pool = make(2)
    assert list(pool.map(pow, range(100), [2] * 100)) == [i * i for i in range(100)]
    assert list(pool.map(pow, range(100), [2] * 100, chunksize=7)) == [i * i for i in range(100)]
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for i in range(50):
            taken.append(i)
            yield i

    results = pool.map(abs, numbers(), buffersize=5)
    assert len(taken) == 5
    assert next(results) == 0
    assert len(taken) == 6
    assert list(results) == list(range(1, 50))
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="chunksize must be >= 1"):
            pool.map(abs, [1], chunksize=wrong)
        with pytest.raises(ValueError, match="buffersize"):
            pool.map(abs, [1], buffersize=wrong)


def test_map_goes_through_submit(make: MakePool) -> None:
    """tqdm and others replace `submit` on the instance."""
    pool = make(1)
    seen: list[Any] = []
    submit = pool.submit

    def watched(fn: Any, /, *args: Any) -> Any:
        seen.append(args)
        return submit(fn, *args)

    pool.submit = watched  # type: ignore[method-assign]
    assert list(pool.map(abs, [-1, -2])) == [1, 2]
    assert seen == [(-1,), (-2,)]


def test_await(make: MakePool) -> None:
    pool = make(2)

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        return [
            await pool.submit(pow, 2, 3),
            *await asyncio.gather(*(pool.submit(abs, -i) for i in range(5))),
            await loop.run_in_executor(pool, pow, 3, 2),
        ]

    assert asyncio.run(main()) == [8, 0, 1, 2, 3, 4, 9]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"on_worker_death": "ignore"}, ValueError, "'on_worker_death' must be .*'ignore'"),
        ({"warm_spares": -1}, ValueError, "'warm_spares' must be at least 0, got -1"),
        ({"warm_spares": "x"}, TypeError, "'warm_spares' must be an int, got 'x'"),
        ({"max_rss": 0}, ValueError, "'max_rss' must be at least 1, got 0"),
        ({"pickler": 3}, TypeError, "'pickler' must be .* got 3"),
        ({"max_workers": 0}, ValueError, "max_workers must be greater than 0"),
        ({"initializer": 3}, TypeError, "initializer must be a callable"),
        ({"max_tasks_per_child": 0}, ValueError, "max_tasks_per_child must be >= 1"),
        ({"max_tasks_per_child": 1.5}, TypeError, "max_tasks_per_child must be an integer"),
    ],
)
def test_refused_arguments(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        ProcessPoolExecutor(**options)


def test_submit_with_refuses(make: MakePool) -> None:
    pool = make(1)
    with pytest.raises(ValueError, match="'timeout' must be greater than 0, got 0"):
        pool.submit_with(abs, 1, timeout=0)
    with pytest.raises(ValueError, match="-1"):
        pool.submit_with(abs, 1, timeout=-1)
    with pytest.raises(ValueError, match=r"'retries'.*-1"):
        pool.submit_with(abs, 1, retries=-1)
    with pytest.raises(TypeError):
        pool.submit()  # type: ignore[call-arg]
    assert pool.submit_with(int, "11", base=2, timeout=timedelta(seconds=60)).result(LIMIT) == 3


# --- queued, running, cancelled -------------------------------------------------------------------


def test_cancellable_to_the_last(make: MakePool, tmp_path: Path) -> None:
    """Also what already lies in the worker's own slots."""
    pool = make(1)
    first = Held(pool, tmp_path, "first")
    queued = [pool.submit(do.append, str(tmp_path / "ran"), str(i)) for i in range(100)]
    assert first.future.running()
    assert not first.future.cancel()
    assert not any(f.running() for f in queued)
    called: list[Any] = []
    queued[0].add_done_callback(called.append)
    for f in queued[::2]:
        assert f.cancel()
    assert called == [queued[0]]
    assert wait(queued[::2], LIMIT).not_done == set()
    first.end()
    wait(queued, LIMIT)
    assert all(f.cancelled() for f in queued[::2])
    assert Path(tmp_path / "ran").read_text().split() == [str(i) for i in range(1, 100, 2)]
    with pytest.raises(CancelledError):
        queued[0].result(0)


def test_no_ready_work_behind_a_busy_worker(make: MakePool, tmp_path: Path) -> None:
    """Two workers, one of them busy for long: the other one does everything else."""
    pool = make(2)
    pool.submit(abs, 1).result(LIMIT)
    long = Held(pool, tmp_path, "long")
    begun = time.monotonic()
    short = [pool.submit(do.nap, 0.001, i) for i in range(100)]
    assert [f.result(LIMIT) for f in short] == list(range(100))
    assert time.monotonic() - begun < 1
    assert not long.future.done()
    long.end()


def test_what_is_queued_behind_a_long_task_goes_to_others(make: MakePool, tmp_path: Path) -> None:
    """All at once, so half of them lie in the slots of the worker that has the long one."""
    pool = make(2)
    begun = time.monotonic()
    long = pool.submit(do.touch_and_wait, str(tmp_path / "started"), str(tmp_path / "go"))
    short = [pool.submit(abs, -i) for i in range(100)]
    assert [f.result(LIMIT) for f in short] == list(range(100))
    assert time.monotonic() - begun < 1
    assert not long.done()
    (tmp_path / "go").touch()
    long.result(LIMIT)


def test_no_cancel_while_the_result_is_read(make: MakePool) -> None:
    """The task was run; that its result is not there yet changes nothing."""
    pool = make(1)
    future = do.WATCHED["future"] = pool.submit(do.make_canceller)
    assert future.result(LIMIT) is False
    assert not future.cancelled()


def test_shutdown_cancels(make: MakePool, tmp_path: Path) -> None:
    pool = make(1)
    first = Held(pool, tmp_path, "first", "done")
    queued = [pool.submit(abs, i) for i in range(50)]
    pool.shutdown(wait=False, cancel_futures=True)
    assert wait(queued, LIMIT).not_done == set()
    assert all(f.cancelled() for f in queued)
    assert first.end() == "done"
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.submit(abs, 1)


# --- recycling, logs -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_max_tasks_per_child(make: MakePool, tmp_path: Path, method: str) -> None:
    """Never more tasks than that in one process, none lost, none twice."""
    pool = make(2, method, max_tasks_per_child=5, warm_spares=1)
    pids = [f.result(LIMIT) for f in [pool.submit(do.worker_pid) for _ in range(40)]]
    assert len(pids) == 40
    assert max(pids.count(pid) for pid in set(pids)) <= 5


def test_max_rss(make: MakePool) -> None:
    pool = make(1, max_rss=do.resident() + (100 << 20))
    first = pool.submit(do.keep, 1).result(LIMIT)
    assert pool.submit(do.keep, 200 << 20).result(LIMIT) == first
    assert pool.submit(do.worker_pid).result(LIMIT) != first


@every_method
def test_forward_logs(make: MakePool, method: str, caplog: pytest.LogCaptureFixture) -> None:
    pool = make(1, method, forward_logs=True)
    with caplog.at_level(logging.WARNING):
        pool.submit(do.log_something, "far.away").result(LIMIT)
        wait_until(lambda: bool(caplog.records))
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("far.away", "from afar")
    assert record.process != os.getpid()


# --- ends -----------------------------------------------------------------------------------------


@every_method
@pytest.mark.parametrize("how", ["terminate_workers", "kill_workers"])
def test_end_of_all_workers(make: MakePool, tmp_path: Path, method: str, how: str) -> None:
    pool = make(1, method, on_worker_death="replace")
    held = Held(pool, tmp_path, "held")
    queued = [pool.submit(abs, i) for i in range(5)]
    pids = list(pool._processes)
    getattr(pool, how)()
    with pytest.raises(BrokenProcessPool):
        held.future.result(LIMIT)
    assert all(f.cancelled() for f in queued)
    wait_until(lambda: not any(do.is_running(pid) for pid in pids))
    with pytest.raises(RuntimeError):
        pool.submit(abs, 1)


@every_method
def test_nothing_is_left(make: MakePool, method: str) -> None:
    """No descriptor, no process, no thread."""

    def use() -> None:
        with ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
            assert list(pool.map(abs, [-1, -2])) == [1, 2]
            pids.extend(pool._processes)
            pool.submit(do.echo, b"x" * 100_000).result(LIMIT)

    pids: list[int] = []
    use()  # what multiprocessing starts once stays
    gc.collect()
    before = do.descriptors()
    for _ in range(3):
        use()
    gc.collect()
    assert do.descriptors() == before
    assert not any(do.is_running(pid) for pid in pids)


def test_dropped_pool_finishes(tmp_path: Path) -> None:
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("fork"))
    pids = []
    futures = [pool.submit(do.nap, 0.01, i) for i in range(10)]
    pids = list(pool._processes)
    del pool
    gc.collect()
    assert [f.result(LIMIT) for f in futures] == list(range(10))
    wait_until(lambda: not any(do.is_running(pid) for pid in pids))


def test_a_forked_copy_refuses(make: MakePool) -> None:
    pool = make(1)
    assert pool.submit(abs, -1).result(LIMIT) == 1
    pid = os.fork()
    if pid == 0:
        try:
            pool.submit(abs, 1)
        except RuntimeError as error:
            os._exit(3 if "forked copy" in str(error) else 4)
        os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    assert pool.submit(abs, -2).result(LIMIT) == 2


@every_method
def test_the_ends_of_a_forked_copy(make: MakePool, method: str) -> None:
    """They end nothing of the other process, and wait for nothing, though its lock was held."""
    pool = make(1, method)
    worker = pool.submit(do.worker_pid).result(LIMIT)
    pool._shutdown_lock.acquire()
    pid = os.fork()
    if pid == 0:
        refused = 0
        for end in (pool.terminate_workers, pool.kill_workers):
            try:
                end()
            except RuntimeError as error:
                refused += "forked copy" in str(error)
        pool.shutdown(cancel_futures=True)
        os._exit(refused)
    pool._shutdown_lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2
    assert pool.submit(do.worker_pid).result(LIMIT) == worker
