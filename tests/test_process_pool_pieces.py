"""ProcessPoolExecutor: arguments and results for which there is no shared memory cross in pieces."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pool_tools as do
from concx import _core, _payload, _shm
from concx.futures.process import BrokenProcessPool, ProcessPoolExecutor, WorkerDied
from pool_tools import every_method
from queue_tools import LIMIT, wait_until

numpy = pytest.importorskip("numpy", reason="needs numpy, which is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")

MakePool = Callable[..., ProcessPoolExecutor]
MB = 1 << 20
BIG = 16 * MB  # several times what is under way at once
HUGE = 300 * MB


@pytest.fixture
def make() -> Iterator[MakePool]:
    """Pools with no room for blocks, that are shut down, however the test ends."""
    pools: list[ProcessPoolExecutor] = []

    def make_pool(workers: int = 1, method: str = "fork", **options: Any) -> ProcessPoolExecutor:
        options = {"arena_bytes": 0, "on_worker_death": "replace", **options}
        pools.append(ProcessPoolExecutor(workers, multiprocessing.get_context(method), **options))
        return pools[-1]

    yield make_pool
    for pool in pools:
        pool.kill_workers()
        pool.shutdown()


class Held:
    """The manager of a pool, which waits in a callback: nothing is sent to workers nor taken from them."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        wait_until(lambda: pool.stats().running == 0)
        pool.submit(do.nap, 0.05).add_done_callback(self.wait)

    def wait(self, future: Any) -> None:
        self.begun.set()
        self.go.wait(LIMIT)

    def __enter__(self) -> None:
        assert self.begun.wait(LIMIT)

    def __exit__(self, *unused: object) -> None:
        self.go.set()


def shared(pool: ProcessPoolExecutor) -> int:
    """Bytes of shared memory in the links to the workers."""
    links = [member.link for member in list(pool._crew.members.values())]
    return sum(os.fstat(link.fileno()).st_blocks * 512 for link in links)


# --- in the workers


def count_up(array: Any) -> int:
    """Adds one in place: it is this process's own."""
    array += 1
    return int(array.sum())


def counted(n: int, start: int = 0) -> Any:
    return numpy.arange(start, start + n)


def kinds(*values: Any) -> list[tuple[str, int]]:
    return [(type(value).__name__, len(value)) for value in values]


def die_once(array: Any, path: str) -> int:
    do.append(path, "x")
    if len(Path(path).read_text().split()) == 1:
        do.die()
    return int(array.sum())


def note(array: Any, path: str) -> None:
    do.append(path, str(array.nbytes))


def kill_me(value: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Unloadable:
    def __init__(self, array: Any) -> None:
        self.array = array

    def __reduce__(self) -> Any:
        return _fails, (self.array,)


def _fails(array: Any) -> Any:
    raise ZeroDivisionError(f"{array.nbytes} bytes cannot be loaded")


# --- whole and right


@every_method
@pytest.mark.parametrize("arena_bytes", [0, MB])
def test_arrays_arrive_right_and_writable(make: MakePool, method: str, arena_bytes: int) -> None:
    pool = make(2, method, arena_bytes=arena_bytes)
    array = numpy.arange(BIG)
    assert pool.submit(count_up, array).result(LIMIT) == array.sum() + BIG
    back = pool.submit(do.echo, array).result(LIMIT)
    assert (back == array).all()
    back[:] = 1
    assert array[5] == 5


def test_much_larger_than_the_arena(make: MakePool) -> None:
    pool = make(1, arena_bytes=MB)
    array = numpy.arange(HUGE // 8)
    assert pool.submit(count_up, array).result(LIMIT) == array.sum() + array.size
    assert (pool.submit(counted, array.size).result(LIMIT) == array).all()
    assert shared(pool) < 2 * (_core.PIECE * 8)  # of both lanes


@pytest.mark.parametrize("more", [-1, 0, 1, 17, BIG])
def test_every_size(make: MakePool, more: int) -> None:
    """At the size from which on data is cut, and beyond."""
    pool = make(1)
    data = os.urandom(_core.PIECE + more)
    assert pool.submit(do.echo, data).result(LIMIT) == data
    back = pool.submit(do.echo, bytearray(data)).result(LIMIT)
    assert type(back) is bytearray
    assert back == data


def test_many_parts(make: MakePool) -> None:
    """Arrays, bytes and bytearrays in one message, some in blocks, and a large pickle."""
    pool = make(1, arena_bytes=2 * MB)
    parts = [
        numpy.arange(300_000 + i)
        if i % 3 == 0
        else (bytes, bytearray)[i % 2](os.urandom(90_000 * i))
        for i in range(12)
    ]
    numbers = list(range(800_000))
    sent = {"parts": parts, "again": [parts[1], parts[4]], "numbers": numbers}
    back = pool.submit(do.echo, sent).result(LIMIT)
    for one, other in zip(back["parts"], parts, strict=True):
        assert type(one) is type(other)
        assert len(one) == len(other)
        assert bytes(one) == bytes(other)
    assert back["again"][0] is back["parts"][1]
    assert back["numbers"] == numbers
    assert pool.submit(kinds, *parts[1:3]).result(LIMIT) == [
        (type(part).__name__, len(part)) for part in parts[1:3]
    ]


@pytest.mark.parametrize("views", _payload.VIEWS)
def test_views(make: MakePool, views: str) -> None:
    pool = make(1, views=views)
    back = pool.submit(do.echo, numpy.ones(BIG, "u1")).result(LIMIT)
    assert back.sum() == BIG
    assert back.flags.writeable == (views != "readonly")


def test_side_by_side_with_small_ones_and_cancelled_ones(
    make: MakePool, rng: random.Random, tmp_path: Path
) -> None:
    """From several threads: pieces of no task are mixed with another's, and no task is done twice."""
    pool = make(2, arena_bytes=MB)
    wrong: list[Any] = []
    path = str(tmp_path / "ran")
    seeds = [rng.random() for _ in range(4)]

    def submit_some(seed: float) -> None:
        own = random.Random(seed)
        try:
            futures = []
            for i in range(12):
                array = numpy.full(own.randrange(1, 6 * MB), i, "u1")
                futures.append((pool.submit(do.echo, array), array))
                number = own.randrange(10**9)
                futures.append((pool.submit(do.echo, number), number))
                if own.random() < 0.3:
                    pool.submit(note, numpy.ones(3 * MB, "u1"), path).cancel()
            own.shuffle(futures)
            for future, value in futures:
                back = future.result(LIMIT)
                if not numpy.array_equal(back, value):
                    wrong.append((back, value))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=submit_some, args=(seed,)) for seed in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert pool.submit(do.echo, 1).result(LIMIT) == 1
    assert shared(pool) < 40 * MB


def test_small_tasks_do_not_wait_for_the_pieces_of_another(make: MakePool) -> None:
    """What the worker had been given goes to the other one."""
    pool = make(2)
    assert pool.submit(do.echo, 1).result(LIMIT) == 1
    array = numpy.ones(HUGE, "u1")
    large = pool.submit(count_up, array)
    small = [pool.submit(do.worker_pid) for _ in range(600)]
    pids = {future.result(LIMIT) for future in small[300:]}
    assert large.result(LIMIT) == 2 * HUGE
    assert pids


def test_an_argument_is_held_until_its_task_is_done(make: MakePool) -> None:
    pool = make(1)
    data = bytearray(BIG)
    with Held(pool):
        future = pool.submit(do.echo, data)
        with pytest.raises(BufferError):
            data.append(1)
    assert future.result(LIMIT) == data
    del future
    gc.collect()
    data.append(1)


# --- no memory, no descriptors


def test_no_memory_for_pieces_either(make: MakePool) -> None:
    """A worker that may have no more shared memory sends what fits into what it has."""
    pool = make(1)
    assert pool.submit(do.echo, 1).result(LIMIT) == 1
    before = shared(pool)
    array = pool.submit(counted_in_the_last_room, BIG // 8).result(LIMIT)
    assert (array == numpy.arange(BIG // 8)).all()
    assert shared(pool) < before + 3 * _core.PIECE


def counted_in_the_last_room(n: int) -> Any:
    """There is no address space for a piece after this."""
    array = counted(n)
    do.limit_address_space(_core.PIECE // 2)
    return array


def test_lost_descriptors_are_made_up_for_by_pieces(
    make: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that comes back because its segment was not received goes again in pieces, out of its blocks."""
    pool = make(1, arena_bytes=1 << 28)
    assert pool.submit(do.echo, 1).result(LIMIT) == 1
    post = pool._post
    monkeypatch.setattr(type(post._boxes[0]), "pass_on", lambda *_, **__: True)
    array = numpy.arange(BIG // 8)
    assert pool.submit(count_up, array).result(LIMIT) == array.sum() + array.size

    def all_back() -> bool:
        gc.collect()  # without a GIL, what one thread has made and another drops goes with this
        return not sum(segment.lent for segment in post.store.segments)

    wait_until(all_back)


def test_a_block_that_cannot_be_lent(make: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, data: Any) -> Any:
        raise OSError(28, "No space left on device")

    pool = make(1, arena_bytes=1 << 28)
    monkeypatch.setattr(_shm.Segment, "lend", refuse)
    array = numpy.arange(BIG // 8)
    assert (pool.submit(do.echo, array).result(LIMIT) == array).all()


# --- what does not come to its end


def test_what_has_begun_is_running_and_not_cancelled(make: MakePool, tmp_path: Path) -> None:
    pool = make(1)
    path = tmp_path / "ran"
    array = numpy.ones(BIG, "u1")
    with Held(pool):
        first, second = (pool.submit(note, array, str(path)) for _ in range(2))
        wait_until(first.running)
        assert not first.cancel()
        assert not second.running()
        assert second.cancel()
        assert pool.stats().running == 1
    assert first.result(LIMIT) is None
    assert pool.submit(do.echo, 1).result(LIMIT) == 1
    assert path.read_text().split() == [str(BIG)]


def test_times_count_from_the_start(make: MakePool) -> None:
    pool = make(1)
    array = numpy.ones(BIG, "u1")
    with Held(pool):
        late = pool.submit_with(do.echo, array, timeout=0.05)
        wait_until(late.running)
        time.sleep(0.06)
    with pytest.raises(TimeoutError):
        late.result(LIMIT)
    assert pool.submit_with(do.echo, array, timeout=LIMIT).result(LIMIT).sum() == BIG


def test_tasks_with_retries_get_all_pieces_again(make: MakePool, tmp_path: Path) -> None:
    pool = make(1)
    array = numpy.arange(BIG // 8)
    path = tmp_path / "tries"
    assert pool.submit_with(die_once, array, str(path), retries=1).result(LIMIT) == array.sum()
    assert len(path.read_text().split()) == 2


def test_what_cannot_be_loaded_fails_alone(make: MakePool) -> None:
    pool = make(1)
    with pytest.raises(ZeroDivisionError, match="cannot be loaded"):
        pool.submit(do.echo, Unloadable(numpy.zeros(BIG, "u1"))).result(LIMIT)
    assert pool.submit(do.echo, bytes(BIG)).result(LIMIT) == bytes(BIG)


@pytest.mark.parametrize("times", [1, 2])
def test_a_receiver_without_memory(
    make: MakePool, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """A result that cannot be put together is passed, and fails its future alone."""
    pool = make(1)
    left = [times]
    expect = _payload.bulk_sizes

    def refuse(head: bytes) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise MemoryError
        return expect(head)

    monkeypatch.setattr(_payload, "bulk_sizes", refuse)
    for _ in range(times):
        with pytest.raises(MemoryError):
            pool.submit(counted, BIG // 8).result(LIMIT)
    assert pool.submit(counted, BIG // 8).result(LIMIT)[-1] == BIG // 8 - 1


# --- death


def test_workers_killed_while_pieces_wait(make: MakePool) -> None:
    """One that waits for pieces, and one whose result is half sent."""
    pool = make(2)
    array = numpy.ones(BIG, "u1")
    with Held(pool):
        before = shared(pool)
        futures = [pool.submit(do.echo, array), pool.submit(counted, BIG)]
        wait_until(lambda: all(future.running() for future in futures))
        wait_until(lambda: shared(pool) >= before + 4 * _core.PIECE)  # as many as may be there
        small = [pool.submit(do.echo, i) for i in range(50)]
        victims = list(pool._processes)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
    died = []
    for future in futures:
        error = future.exception(LIMIT)
        assert isinstance(error, WorkerDied), error
        died.append(error.pid)
    assert sorted(died) == sorted(victims)
    assert [future.result(LIMIT) for future in small] == list(range(50))
    assert (pool.submit(do.echo, array).result(LIMIT) == array).all()


@pytest.mark.parametrize("way", ["argument", "result"])
def test_workers_killed_in_the_middle(make: MakePool, way: str, rng: random.Random) -> None:
    """At any moment of a transfer: that task is lost or done, all others are done, nothing is left."""
    pool = make(2)
    array = numpy.arange(4 * BIG // 8)
    assert pool.submit(do.echo, 1).result(LIMIT) == 1
    lost = 0
    for _ in range(15):
        small = [pool.submit(do.echo, i) for i in range(10)]
        large = (
            pool.submit(count_up, array)
            if way == "argument"
            else pool.submit(counted, array.size, 1)
        )
        wait_until(lambda: large.running() or large.done())  # noqa: B023
        time.sleep(rng.random() * 0.05)
        process = rng.choice(list(pool._processes.values()))
        victim = process.pid
        process.kill()  # or it has died already, and is still to be buried
        error = large.exception(LIMIT)
        if error is None:
            expected = array.sum() + array.size
            assert numpy.sum(large.result()) == expected
        else:
            assert isinstance(error, WorkerDied), error
            assert error.pid == victim
            lost += 1
        for i, future in enumerate(small):
            error = future.exception(LIMIT)
            assert error is None or (isinstance(error, WorkerDied) and error.pid == victim)
            assert error is not None or future.result() == i
    assert pool.stats().running == pool.stats().queued == 0
    print(f"{lost} of 15 were lost")
    assert lost > 0


def test_a_pool_that_breaks_in_the_middle(make: MakePool) -> None:
    pool = make(2, on_worker_death="break")
    array = numpy.ones(BIG, "u1")
    assert pool.submit(do.echo, 1).result(LIMIT) == 1
    with Held(pool):
        futures = [pool.submit(do.echo, array) for _ in range(6)]
        wait_until(lambda: sum(future.running() for future in futures) == 2)
        os.kill(next(iter(pool._processes)), signal.SIGKILL)
    for future in futures:
        with pytest.raises(BrokenProcessPool):
            future.result(LIMIT)
    pool.shutdown()
    assert not pool._processes


@pytest.mark.parametrize("end", ["terminate_workers", "kill_workers"])
def test_ended_in_the_middle(make: MakePool, end: str) -> None:
    pool = make(2)
    array = numpy.ones(BIG, "u1")
    assert pool.submit(do.echo, 1).result(LIMIT) == 1
    pids = list(pool._processes)
    with Held(pool):
        futures = [pool.submit(do.echo, array), pool.submit(counted, BIG)]
        wait_until(lambda: all(future.running() for future in futures))
        getattr(pool, end)()
    for future in futures:
        assert future.exception(LIMIT) is not None
    wait_until(lambda: not any(map(do.is_running, pids)))


def test_shut_down_in_the_middle(make: MakePool) -> None:
    """shutdown() waits for what was submitted."""
    pool = make(1)
    array = numpy.ones(4 * BIG, "u1")
    futures = [pool.submit(do.echo, array) for _ in range(3)]
    pool.shutdown()
    assert all((future.result(0) == array).all() for future in futures)
