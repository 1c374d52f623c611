"""ProcessPoolExecutor: what a death, a time-out or a worker that cannot be had must not take with it."""

from __future__ import annotations

import functools
import gc
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED
from concurrent.futures.process import BrokenProcessPool, _RemoteTraceback
from pathlib import Path
from typing import Any

import pytest

import pool_tools as do
from concx.futures import _manager, wait
from concx.futures.process import ProcessPoolExecutor, WorkerDied
from pool_tools import Held, MakePool, every_method
from queue_tools import LIMIT, wait_until

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


@pytest.fixture
def make() -> Iterator[MakePool]:
    """Makes pools that are shut down, however the test ends."""
    with do.pools() as make_pool:
        yield make_pool


@every_method
def test_break(make: MakePool, tmp_path: Path, method: str) -> None:
    pool = make(2, method)
    held = Held(pool, tmp_path, "held")
    futures = [pool.submit(do.die), *(pool.submit(abs, i) for i in range(10))]
    errors = {id(f.exception(LIMIT)) for f in [held.future, futures[0]]}
    assert len(errors) == 2  # an exception object for each
    with pytest.raises(BrokenProcessPool) as caught:
        held.future.result(LIMIT)
    assert type(caught.value.__cause__) is _RemoteTraceback
    assert "terminated abruptly with exit code -9" in str(caught.value.__cause__)
    with pytest.raises(BrokenProcessPool, match="not usable anymore"):
        pool.submit(abs, 1)
    pool.shutdown()


@every_method
def test_replace(make: MakePool, tmp_path: Path, method: str) -> None:
    """Exactly the task that ran fails; every other one runs once."""
    pool = make(2, method, on_worker_death="replace")
    ran = str(tmp_path / "ran")
    futures = []
    for i in range(60):
        call = do.append_and_die if i % 20 == 10 else do.append
        futures.append(pool.submit(call, ran, str(i)))
    errors = {i: f.exception(LIMIT) for i, f in enumerate(futures) if f.exception(LIMIT)}
    assert sorted(errors) == [10, 30, 50]
    assert sorted(map(int, Path(ran).read_text().split())) == list(range(60))
    error = errors[10]
    assert isinstance(error, WorkerDied)
    assert isinstance(error, BrokenProcessPool)
    assert error.signal == signal.SIGKILL
    assert error.exitcode == -signal.SIGKILL
    assert error.task == "pool_tools.append_and_die"
    assert str(error.pid) in str(error)
    assert "SIGKILL" in str(error)
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.pid, twin.signal, twin.task) == (error.pid, error.signal, error.task)


def test_exit_code(make: MakePool) -> None:
    pool = make(1, on_worker_death="replace")
    error = pool.submit(do.leave, 7).exception(LIMIT)
    assert isinstance(error, WorkerDied)
    assert (error.exitcode, error.signal) == (7, None)
    assert pool.submit(abs, -1).result(LIMIT) == 1


def _is_gone(pool: ProcessPoolExecutor, pid: int) -> bool:
    return pid not in pool._processes


def test_idle_worker_killed(make: MakePool) -> None:
    pool = make(2, on_worker_death="replace")
    for _ in range(5):
        pid = pool.submit(do.worker_pid).result(LIMIT)
        os.kill(pid, signal.SIGKILL)
        wait_until(functools.partial(_is_gone, pool, pid))
        assert [pool.submit(abs, -i).result(LIMIT) for i in range(4)] == [0, 1, 2, 3]


def test_retries(make: MakePool, tmp_path: Path) -> None:
    pool = make(2, on_worker_death="replace")
    assert pool.submit_with(do.die_until, str(tmp_path / "a"), 2, retries=2).result(LIMIT) == 3
    error = pool.submit_with(do.die_until, str(tmp_path / "b"), 2, retries=1).exception(LIMIT)
    assert isinstance(error, WorkerDied)
    assert len(Path(tmp_path / "b").read_text().split()) == 2


def test_what_is_tried_again_cannot_be_cancelled(make: MakePool, tmp_path: Path) -> None:
    """Also while it waits for a worker: it was begun."""
    pool = make(1, on_worker_death="replace")
    future = pool.submit_with(do.die_until, str(tmp_path / "a"), 3, retries=3)
    wait_until((tmp_path / "a").exists)
    while not future.done():
        assert not future.cancel()
    assert future.result(LIMIT) == 4


def test_a_worker_that_scribbles(make: MakePool, tmp_path: Path) -> None:
    """What a worker has written over what it shares with the pool takes its own task with it, no other."""
    pool = make(2, on_worker_death="replace")
    ran = str(tmp_path / "ran")
    futures = [
        pool.submit(*((do.scribble,) if i == 10 else (do.append, ran, str(i)))) for i in range(40)
    ]
    errors = {i: f.exception(LIMIT) for i, f in enumerate(futures) if f.exception(LIMIT)}
    assert 10 in errors
    assert all(isinstance(error, WorkerDied) for error in errors.values())
    done = sorted(map(int, Path(ran).read_text().split()))
    assert len(set(done)) == len(done)
    assert set(range(40)) - errors.keys() <= set(done)


@pytest.mark.parametrize("policy", ["break", "replace"])
def test_timeout(make: MakePool, tmp_path: Path, policy: str) -> None:
    """The worker is killed and replaced; the tasks behind it run, and the other worker's task too."""
    pool = make(2, on_worker_death=policy)
    held = Held(pool, tmp_path, "held", "whole")
    before = pool.submit(do.worker_pid).result(LIMIT)
    begun = time.monotonic()
    late = pool.submit_with(do.nap, 60, timeout=0.2)
    behind = [pool.submit(abs, -i) for i in range(10)]
    with pytest.raises(TimeoutError, match=r"pool_tools\.nap"):
        late.result(LIMIT)
    assert 0.2 <= time.monotonic() - begun < 2
    assert [f.result(LIMIT) for f in behind] == list(range(10))
    assert pool.submit(do.worker_pid).result(LIMIT) != before
    assert held.end() == "whole"


def test_timeout_counts_from_the_start(make: MakePool, tmp_path: Path) -> None:
    pool = make(1)
    held = Held(pool, tmp_path, "held")
    waiting = pool.submit_with(do.nap, 0.01, "ran", timeout=0.3)
    time.sleep(0.5)
    held.end()
    assert waiting.result(LIMIT) == "ran"


def test_how_late_timeouts_are(make: MakePool) -> None:
    """Nobody polls: half of them take no longer than a death and 20 ms, where a poll at 100 ms would add 50."""
    pool = make(1, on_worker_death="replace", warm_spares=1)
    late, deaths = [], []
    for _ in range(20):
        pool.submit(abs, -1).result(LIMIT)  # a worker is there
        begun = time.monotonic()
        with pytest.raises(WorkerDied):
            pool.submit(do.die).result(LIMIT)
        deaths.append(time.monotonic() - begun)
        pool.submit(abs, -1).result(LIMIT)
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            pool.submit_with(do.nap, 60, timeout=0.05).result(LIMIT)
        late.append(time.monotonic() - begun - 0.05)
    late.sort()
    print("late by", *(f"{x * 1e3:.1f}" for x in late), "ms")
    assert late[0] >= 0
    assert late[10] < sorted(deaths)[10] + 0.02


def test_timeout_of_a_stopped_worker(make: MakePool) -> None:
    pool = make(1)
    with pytest.raises(TimeoutError):
        pool.submit_with(do.stop, timeout=0.2).result(LIMIT)
    assert pool.submit(abs, -1).result(LIMIT) == 1


@every_method
def test_spare(make: MakePool, method: str) -> None:
    """A worker that dies is followed by one that was there before."""
    pool = make(1, method, on_worker_death="replace", warm_spares=1)
    first = pool.submit(do.worker_pid).result(LIMIT)
    wait_until(lambda: len(pool._processes) == 2)
    (spare,) = set(pool._processes) - {first}
    assert isinstance(pool.submit(do.die).exception(LIMIT), WorkerDied)
    assert pool.submit(do.worker_pid).result(LIMIT) == spare
    wait_until(lambda: len(pool._processes) == 2)


@every_method
@pytest.mark.parametrize(("policy", "most"), [("break", 1), ("replace", 3)])
def test_deaths_before_the_first_task(
    make: MakePool, tmp_path: Path, method: str, policy: str, most: int
) -> None:
    started = tmp_path / "started"
    pool = make(
        1, method, initializer=do.start_and_die, initargs=(str(started),), on_worker_death=policy
    )
    with pytest.raises(
        BrokenProcessPool, match="first task" if policy == "replace" else "abruptly"
    ):
        pool.submit(abs, 1).result(LIMIT)
    pool.shutdown()
    assert len(started.read_text().split()) == most


@every_method
@pytest.mark.parametrize("policy", ["break", "replace"])
def test_no_worker_can_be_started(
    make: MakePool, monkeypatch: pytest.MonkeyPatch, method: str, policy: str
) -> None:
    """`submit` says so and keeps nothing; the next one tries again."""
    pool = make(2, method, on_worker_death=policy)
    with monkeypatch.context() as patch:
        patch.setattr(_manager, "_spawn_worker", _refuse)
        for _ in range(2):
            with pytest.raises(OSError, match="no more processes"):
                pool.submit(abs, -1)
    assert (pool.stats().queued, pool.stats().workers) == (0, 0)
    assert pool.submit(abs, -2).result(LIMIT) == 2
    pool.shutdown()


def _refuse(*ignored: Any) -> Any:
    raise OSError("no more processes")


def test_no_worker_can_take_the_place(
    make: MakePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others go on without it; without others the tasks are told why."""
    pool = make(2, on_worker_death="replace")
    held = [Held(pool, tmp_path, name, name) for name in ("one", "two")]
    behind = [pool.submit(abs, -i) for i in range(5)]
    monkeypatch.setattr(_manager, "_spawn_worker", _refuse)
    os.kill(next(iter(pool._processes)), signal.SIGKILL)
    wait([h.future for h in held], LIMIT, FIRST_COMPLETED)
    (died, goes_on) = sorted(held, key=lambda h: not h.future.done())
    assert isinstance(died.future.exception(LIMIT), WorkerDied)
    assert goes_on.end() == goes_on.future.result(LIMIT)
    assert [f.result(LIMIT) for f in behind] == list(range(5))
    assert len(pool._processes) == 1
    with pytest.raises(OSError, match="no more processes"):
        for i in range(10):  # not the first one, for a worker is idle
            pool.submit(do.nap, 0.1, i)


def test_no_worker_can_take_the_last_place(
    make: MakePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make(1, on_worker_death="replace")
    held = Held(pool, tmp_path, "held")
    behind = [pool.submit(abs, -i) for i in range(5)]
    monkeypatch.setattr(_manager, "_spawn_worker", _refuse)
    os.kill(next(iter(pool._processes)), signal.SIGKILL)
    assert isinstance(held.future.exception(LIMIT), WorkerDied)
    for future in behind:
        with pytest.raises(BrokenProcessPool, match="could not be started") as caught:
            future.result(LIMIT)
        assert "no more processes" in str(caught.value.__cause__)


@pytest.mark.parametrize("policy", ["break", "replace"])
def test_dropped_with_its_last_worker_worn_out(tmp_path: Path, policy: str) -> None:
    """The standard pool starts none after that, so what is left fails; one that replaces goes on."""
    pool = ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), max_tasks_per_child=1, on_worker_death=policy
    )
    held = Held(pool, tmp_path, "held", 0)
    behind = [pool.submit(abs, -i) for i in (1, 2)]
    del pool
    gc.collect()
    assert held.end() == 0
    for i, future in enumerate(behind, 1):
        if policy == "replace":
            assert future.result(LIMIT) == i
        else:
            with pytest.raises(BrokenProcessPool, match="garbage collected"):
                future.result(LIMIT)


@pytest.mark.parametrize("policy", ["break", "replace"])
def test_failing_initializer(make: MakePool, policy: str) -> None:
    pool = make(2, initializer=do.fail_to_start, on_worker_death=policy)
    future = pool.submit(abs, 1)
    with pytest.raises(BrokenProcessPool):
        future.result(LIMIT)
    with pytest.raises(BrokenProcessPool, match="initializer"):
        pool.submit(abs, 1)


@pytest.mark.parametrize("policy", ["break", "replace"])
@pytest.mark.parametrize("where", ["task", "result"])
def test_unreadable(make: MakePool, policy: str, where: str) -> None:
    """What cannot be unpickled breaks the standard pool, and only its own future otherwise."""
    pool = make(1, on_worker_death=policy)
    future = (
        pool.submit(do.echo, do.Unreadable())
        if where == "task"
        else pool.submit(do.make_unreadable)
    )
    error = future.exception(LIMIT)
    if policy == "replace":
        assert isinstance(error, ValueError)
        assert str(error) == "not to be read"
        assert pool.submit(abs, -1).result(LIMIT) == 1
    else:
        assert isinstance(error, BrokenProcessPool)
        assert "not to be read" in str(error.__cause__)


def test_unpicklable(make: MakePool) -> None:
    pool = make(1)
    error = pool.submit(do.echo, do.Unpicklable()).exception(LIMIT)
    assert isinstance(error, ValueError)
    assert type(error.__cause__) is _RemoteTraceback
    with pytest.raises(ValueError, match="not to be written"):
        pool.submit(do.make_unpicklable).result(LIMIT)
    assert pool.submit(abs, -1).result(LIMIT) == 1


def test_picklers(make: MakePool) -> None:
    pytest.importorskip("cloudpickle")
    assert make(1).submit(lambda: 5).result(LIMIT) == 5
    assert make(1, pickler="cloudpickle").submit(lambda: 6).result(LIMIT) == 6
    error = make(1, pickler="pickle").submit(lambda: 7).exception(LIMIT)
    assert isinstance(error, (AttributeError, pickle.PicklingError))
