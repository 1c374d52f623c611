"""concx.multiprocessing.Pool: what it adds to the standard one, and what a death must not take with it.

The standard contract is tested by CPython's own tests (conformance/test_cpython_suites.py).
"""

from __future__ import annotations

import asyncio
import copy
import multiprocessing as std
import multiprocessing.pool as std_pool
import os
import pickle
import signal
import sys
import threading
import time
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


# --- the same as the standard one ----------------------------------------------------------------


@every_method
def test_calls(make: MakePool, method: str) -> None:
    pool = make(2, method)
    assert isinstance(pool, std_pool.Pool)
    assert repr(pool) == "<concx.multiprocessing.Pool state=RUN pool_size=2>"
    assert pool.apply(pow, (2, 10)) == 1024
    assert pool.apply(int, ("ff",), {"base": 16}) == 255
    assert pool.map(abs, range(-50, 0)) == list(range(50, 0, -1))
    assert pool.map(abs, (-i for i in range(7)), 3) == list(range(7))
    assert pool.starmap(pow, [(i, 2) for i in range(50)]) == [i * i for i in range(50)]
    assert list(pool.imap(abs, range(-50, 0))) == list(range(50, 0, -1))
    assert list(pool.imap(abs, range(-50, 0), 7)) == list(range(50, 0, -1))
    assert set(pool.imap_unordered(abs, range(-50, 0))) == set(range(1, 51))
    assert set(pool.imap_unordered(abs, range(-50, 0), 7)) == set(range(1, 51))
    assert pool.map(abs, []) == list(pool.imap(abs, [])) == []
    result = pool.apply_async(abs, (-1,))
    assert isinstance(result, std_pool.AsyncResult)
    assert result.get(LIMIT) == 1
    assert result.ready()
    assert result.successful()
    several = pool.map_async(abs, [-1, -2])
    assert isinstance(several, std_pool.MapResult)
    assert several.get(LIMIT) == [1, 2]
    assert pool.starmap_async(pow, [(2, 3)]).get(LIMIT) == [8]
    assert isinstance(pool.imap(abs, []), std_pool.IMapIterator)
    pool.close()
    pool.join()
    assert repr(pool) == "<concx.multiprocessing.Pool state=CLOSE pool_size=0>"
    with pytest.raises(ValueError, match="Pool not running"):
        pool.apply_async(abs, (1,))


def test_workers_are_as_the_standard_ones(make: MakePool) -> None:
    for method, prefix in (("fork", "Fork"), ("spawn", "Spawn"), ("forkserver", "ForkServer")):
        pool = make(1, method)
        (process,) = pool._pool
        assert process.name.startswith(f"{prefix}PoolWorker-")
        assert process.daemon
        assert pool.apply(do.about_process) == (process.name, True)
        assert process.pid == pool.apply(do.worker_pid) != os.getpid()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"processes": 0}, ValueError, "Number of processes must be at least 1"),
        ({"processes": -1}, ValueError, "Number of processes must be at least 1"),
        ({"initializer": 3}, TypeError, "initializer must be a callable"),
        ({"maxtasksperchild": 0}, ValueError, "maxtasksperchild must be a positive int or None"),
        ({"maxtasksperchild": "1"}, ValueError, "maxtasksperchild must be a positive int or None"),
    ],
)
def test_refused_arguments(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        mp.Pool(**{"processes": 1, **options})


def test_states(make: MakePool, tmp_path: Path) -> None:
    pool = make(1)
    with pytest.raises(ValueError, match="Pool is still running"):
        pool.join()
    held = Held(pool, tmp_path, "one")
    assert not held.result.ready()
    with pytest.raises(ValueError, match="not ready"):
        held.result.successful()
    for timeout in (0, 0.01, -1):
        held.result.wait(timeout)
        with pytest.raises(mp.TimeoutError):
            held.result.get(timeout)
    held.end()
    for wrong in (0, -3):
        with pytest.raises(ValueError, match=f"Chunksize must be 1\\+, not {wrong}"):
            pool.imap(abs, [1], wrong)
        with pytest.raises(ValueError, match=f"Chunksize must be 1\\+, not {wrong}"):
            pool.imap_unordered(abs, [1], wrong)
    with pytest.raises(NotImplementedError, match="cannot be passed between processes or pickled"):
        pickle.dumps(pool)
    with pytest.raises(NotImplementedError, match="cannot be passed between processes or pickled"):
        copy.copy(pool)
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(held.result)
    with pool:
        pass
    with pytest.raises(ValueError, match="Pool not running"):
        pool.__enter__()


def test_time_out_of_a_task_is_its_own(make: MakePool) -> None:
    """The exception that a call raised is not taken for the end of the wait."""
    result = make(1).apply_async(do.fail_with, (TimeoutError("mine"),))
    with pytest.raises(TimeoutError, match="mine") as caught:
        result.get(LIMIT)
    assert type(caught.value) is TimeoutError


# --- callbacks ----------------------------------------------------------------------------------


def test_callbacks_come_before_the_result(make: MakePool) -> None:
    pool = make(2)
    seen: list[Any] = []

    def slow(value: Any) -> None:
        time.sleep(0.05)
        seen.append(value)

    assert pool.apply_async(abs, (-1,), callback=slow).get(LIMIT) == 1
    assert seen == [1]
    assert pool.map_async(abs, [-1, -2], callback=slow).get(LIMIT) == [1, 2]
    assert seen.pop() == [1, 2]
    with pytest.raises(ZeroDivisionError) as caught:
        pool.apply_async(divmod, (1, 0), callback=slow, error_callback=slow).get(LIMIT)
    assert seen.pop() is caught.value
    with pytest.raises(ZeroDivisionError) as caught:
        pool.starmap_async(divmod, [(1, 0), (1, 1)], 1, slow, slow).get(LIMIT)
    assert seen == [1, caught.value]


def test_callback_that_raises(make: MakePool, caplog: pytest.LogCaptureFixture) -> None:
    pool = make(1)

    def fail(value: Any) -> None:
        raise RuntimeError("from the callback")

    assert pool.apply_async(abs, (-1,), callback=fail).get(LIMIT) == 1
    assert pool.map_async(abs, [-1], callback=fail).get(LIMIT) == [1]
    assert [record.message.startswith("exception calling callback") for record in caplog.records]
    assert pool.apply(abs, (-2,)) == 2


def test_terminate_from_a_callback(make: MakePool) -> None:
    """The first result ends the search."""
    pool = make(2)
    found = threading.Event()

    def end(value: Any) -> None:
        pool.terminate()
        found.set()

    others = pool.map_async(do.nap, [3600] * 10, 1)
    pool.close()
    pool.terminate()
    pool.join()
    with pytest.raises(BrokenProcessPool):
        others.get(LIMIT)
    pool = make(2)
    pool.apply_async(abs, (-1,), callback=end)
    assert found.wait(LIMIT)
    pool.join()


# --- errors --------------------------------------------------------------------------------------


@every_method
def test_errors(make: MakePool, method: str) -> None:
    pool = make(1, method)
    with pytest.raises(ZeroDivisionError) as caught:
        pool.apply(divmod, (1, 0))
    assert type(caught.value.__cause__) is std_pool.RemoteTraceback
    assert "ZeroDivisionError" in str(caught.value.__cause__)
    with pytest.raises(std_pool.MaybeEncodingError, match="Unpicklable") as encoding:
        pool.apply(do.make_unpicklable)
    assert "not to be written" in str(encoding.value)
    with pytest.raises(std_pool.MaybeEncodingError, match="not to be written"):
        pool.apply(do.raise_unpicklable)
    with pytest.raises(ValueError, match="not to be written"):
        pool.apply(abs, (do.Unpicklable(),))
    with pytest.raises(ValueError, match="not to be written"):
        pool.map(abs, [1, do.Unpicklable(), 2], 1)
    with pytest.raises(ValueError, match="not to be written"):
        list(pool.imap(abs, [1, do.Unpicklable(), 2]))
    with pytest.raises(ValueError, match="not to be read"):
        pool.apply(do.echo, (do.Unreadable(),))
    with pytest.raises(ValueError, match="not to be read"):
        pool.apply(do.make_unreadable)
    assert pool.apply(abs, (-1,)) == 1
    assert len(pool._pool) == 1


class Faulty:
    """A sized iterable that ends before its time, or raises."""

    def __init__(self, length: int, good: int, error: BaseException | None) -> None:
        self.length, self.good, self.error = length, good, error

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        yield from range(self.good)
        if self.error is not None:
            raise self.error


def test_faulty_iterables(make: MakePool) -> None:
    """The standard pool waits for ever for the chunks that did not come."""
    pool = make(2)
    with pytest.raises(KeyError):
        pool.map(abs, Faulty(10, 3, KeyError(1)), 1)
    assert pool.map_async(abs, Faulty(10, 3, None), 1).get(LIMIT) == [0, 1, 2] + [None] * 7
    results = pool.imap(abs, Faulty(10, 3, KeyError(1)))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError):
        next(results)
    with pytest.raises(StopIteration):
        next(results)
    with pytest.raises(TypeError, match="not iterable"):
        list(pool.imap(abs, 3))  # type: ignore[arg-type]
    assert list(pool.imap(abs, [-1])) == [1]


# --- imap ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["imap", "imap_unordered"])
def test_imap_is_not_far_ahead(make: MakePool, kind: str) -> None:
    pool = make(2)
    taken = 0

    def numbers() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = getattr(pool, kind)(abs, numbers())
    missing = set(range(1, 500)) - {next(results) for _ in range(1000)}
    # A worker that gets no processor keeps the call that it has begun.
    assert len(missing) <= (2 if kind == "imap_unordered" else 0), missing
    # The workers have been given no more than keeps them busy, and what came back is counted.
    stats = pool.stats()
    assert stats.submitted - stats.completed <= 2 * 64 + 2


def test_imap_waits_for_workers(make: MakePool, tmp_path: Path) -> None:
    """A worker that is held holds the generator, too."""
    pool = make(1)
    taken: list[int] = []

    def numbers() -> Iterator[tuple[str, str]]:
        for i in range(100_000):
            taken.append(i)
            yield str(tmp_path / "started"), str(tmp_path / "go")

    results = pool.imap(do.touch_and_wait_for, numbers())
    wait_until((tmp_path / "started").exists)
    wait_until(lambda: len(taken) >= 64)
    time.sleep(0.1)  # if it were not held it would be thousands
    assert len(taken) <= 66
    (tmp_path / "go").touch()
    for _ in range(1000):
        next(results)


def test_imap_next_with_timeout(make: MakePool, tmp_path: Path) -> None:
    pool = make(1)
    results: Any = pool.imap(do.touch_and_wait_for, [(str(tmp_path / "s"), str(tmp_path / "go"))])
    for timeout in (0, 0.01, -1):
        with pytest.raises(mp.TimeoutError):
            results.next(timeout)
    (tmp_path / "go").touch()
    assert results.next(LIMIT) is None
    with pytest.raises(StopIteration):
        results.next(0)


def test_imap_of_a_generator_that_waits(make: MakePool) -> None:
    """Other calls go past it, and the end of the pool does not wait for it."""
    pool = make(1)
    go = threading.Event()

    def waiting() -> Iterator[int]:
        yield 1
        go.wait(LIMIT)
        yield 2

    results = pool.imap(abs, waiting())
    assert next(results) == 1
    assert pool.apply(abs, (-5,)) == 5
    pool.terminate()
    pool.join()
    go.set()
    with pytest.raises((BrokenProcessPool, ValueError)):
        next(results)


# --- deaths --------------------------------------------------------------------------------------


@every_method
def test_death_fails_its_task_only(make: MakePool, tmp_path: Path, method: str) -> None:
    """The standard pool waits for ever for the result."""
    pool = make(2, method)
    held = Held(pool, tmp_path, "other", "done")
    good = [pool.apply_async(do.echo, (i,)) for i in range(20)]
    died = pool.apply_async(do.leave, (7,))
    more = [pool.apply_async(do.echo, (i,)) for i in range(20)]
    with pytest.raises(mp.WorkerDied, match="exit code 7") as caught:
        died.get(LIMIT)
    assert caught.value.task == "pool_tools.leave"
    assert [r.get(LIMIT) for r in good + more] == [*range(20), *range(20)]
    assert held.end() == "done"
    wait_until(lambda: len(pool._pool) == 2)
    several = pool.map_async(do.die_at, range(4), 1)
    with pytest.raises(mp.WorkerDied):
        several.get(LIMIT)
    results = pool.imap(do.die_at, [0, 2, 0], 1)
    assert next(results) == 0
    with pytest.raises(mp.WorkerDied):
        next(results)
    assert next(results) == 0


def test_idle_worker_killed(make: MakePool) -> None:
    """The standard pool hangs if the worker held the lock of the pipe, as an idle one does."""
    pool = make(2)
    for _ in range(10):
        pids = {process.pid for process in pool._pool}
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert pool.map(abs, range(-50, 0), 1) == list(range(50, 0, -1))
        wait_until(lambda: len(pool._pool) == 2)
        assert not pids & {process.pid for process in pool._pool}


def test_exit_in_a_task(make: MakePool) -> None:
    """As with the standard pool it ends the worker; here the task fails."""
    pool = make(1)
    with pytest.raises(mp.WorkerDied, match="exit code 5"):
        pool.apply(sys.exit, (5,))
    with pytest.raises(mp.WorkerDied):
        pool.apply(do.fail_with, (KeyboardInterrupt(),))
    assert pool.apply(abs, (-1,)) == 1


def test_failing_initializer(make: MakePool) -> None:
    """The standard pool starts workers for ever."""
    pool = make(2, initializer=do.fail_to_start)
    with pytest.raises(BrokenProcessPool, match="initializer failed"):
        for _ in range(100):
            pool.apply(abs, (-1,))
    pool.close()
    pool.join()


def test_workers_that_never_start(make: MakePool) -> None:
    pool = make(1, initializer=do.die)
    with pytest.raises(BrokenProcessPool, match="in a row ended before their first task"):
        for _ in range(100):
            pool.apply(abs, (-1,))


@every_method
def test_initializer(make: MakePool, tmp_path: Path, method: str) -> None:
    log = tmp_path / "log"
    pool = make(2, method, initializer=do.start_by, initargs=[str(log)])
    pool.close()
    pool.join()
    assert len(log.read_text().split()) == 2


@every_method
def test_queues_and_locks_reach_workers(make: MakePool, method: str) -> None:
    """As arguments of the initializer, for those that come later, too."""
    queue, lock = mp.Queue(), mp.Lock()
    pool = make(2, method, initializer=do.keep_both, initargs=(queue, lock), maxtasksperchild=2)
    pool.map(do.put_kept, range(10), 1)
    assert sorted(queue.get(timeout=LIMIT) for _ in range(10)) == list(range(10))
    with pytest.raises(RuntimeError, match="should only be shared between processes"):
        pool.apply(do.echo, (queue,))


@every_method
def test_maxtasksperchild(make: MakePool, method: str) -> None:
    pool = make(2, method, maxtasksperchild=3)
    pids = pool.map(do.worker_pid, range(12), 1)
    assert all(pids.count(pid) <= 3 for pid in pids)
    wait_until(lambda: len(pool._pool) == 2)
    pids = pool.map(do.worker_pid, range(12), 6)  # a chunk is one task
    assert len(set(pids)) <= 2


# --- beyond the standard one ---------------------------------------------------------------------


def test_await(make: MakePool) -> None:
    pool = make(2)

    async def main() -> list[Any]:
        return [
            await pool.apply_async(pow, (2, 3)),
            await pool.map_async(abs, [-1, -2]),
            await pool.apply_async(abs, (-3,), callback=lambda value: None),
        ]

    assert asyncio.run(main()) == [8, [1, 2], 3]


def test_stats(make: MakePool, tmp_path: Path) -> None:
    pool = make(1)
    held = Held(pool, tmp_path, "one")
    more = [pool.apply_async(abs, (i,)) for i in range(3)]
    assert pool.stats() == mp.PoolStats(1, 4, 1, 3, 0, 0)
    assert len(pool._cache) == 4
    held.end()
    assert [result.get(LIMIT) for result in more] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        pool.apply(divmod, (1, 0))
    assert pool.stats() == mp.PoolStats(1, 5, 0, 0, 4, 1)
    assert len(pool._cache) == 0


def test_contexts() -> None:
    for method in do.METHODS:
        context = mp.get_context(method)
        assert isinstance(context, type(std.get_context(method)))
        assert context is mp.get_context(method)
        assert context.get_context() is context
        assert context.get_context("spawn") is mp.get_context("spawn")
        assert context.get_start_method() == method
        assert context.Process is std.get_context(method).Process
    with pytest.raises(ValueError, match="cannot find context for 'none'"):
        mp.get_context("none")
    assert mp.get_context().get_start_method() == std.get_context().get_start_method()


def test_a_class_of_processes_of_ones_own() -> None:
    """The recipe for pools whose workers may have children."""
    kind = type("Context", (do.AdultContext,), {})
    for context in (kind(), do.AdultSpawnContext()):
        with mp.Pool(1, context=context) as pool:
            assert pool.apply(do.has_child) == "child"
        pool.join()
    with mp.get_context("fork").Pool(1) as pool, pytest.raises(AssertionError, match="daemonic"):
        pool.apply(do.has_child)


def test_a_forked_copy_refuses(make: MakePool) -> None:
    pool = make(1)
    assert pool.apply(abs, (-1,)) == 1
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            pool.apply_async(abs, (1,))
        except RuntimeError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    assert b"forked copy" in os.read(read, 1000)
    os.close(read)
    assert pool.apply(abs, (-2,)) == 2
