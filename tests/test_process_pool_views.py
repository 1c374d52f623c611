"""ProcessPoolExecutor: arguments and results that cross in lent blocks of shared memory."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import resource
import socket
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import pool_tools as do
from concx import _payload, _shm
from concx.futures import _mail
from concx.futures.process import ProcessPoolExecutor, WorkerDied
from concx.shm import SegmentDamaged, shared_array, shared_empty
from pool_tools import every_method
from queue_tools import LIMIT, wait_until

numpy = pytest.importorskip("numpy", reason="needs numpy, which is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")

MakePool = Callable[..., ProcessPoolExecutor]
BIG = 1 << 20


@pytest.fixture
def make() -> Iterator[MakePool]:
    """Pools that are shut down, however the test ends."""
    pools: list[ProcessPoolExecutor] = []

    def make_pool(workers: int = 1, method: str = "fork", **options: Any) -> ProcessPoolExecutor:
        pools.append(ProcessPoolExecutor(workers, multiprocessing.get_context(method), **options))
        return pools[-1]

    yield make_pool
    for pool in pools:
        pool.kill_workers()
        pool.shutdown()


def is_lent(array: Any) -> bool:
    """Whether an array's bytes lie in a block that was lent."""
    base = array
    while isinstance(base, (numpy.ndarray, memoryview)):
        base = base.base if isinstance(base, numpy.ndarray) else base.obj
    return isinstance(base, _shm.Block)


def lent(pool: ProcessPoolExecutor) -> int:
    """Blocks of arguments that somebody has."""
    pool._post.store.trim()
    return sum(segment.lent for segment in pool._post.store.segments)


# --- in the workers


def describe(array: Any) -> tuple[bool, bool, int]:
    return is_lent(array), bool(array.flags.writeable), int(array.sum())


def fill(array: Any, value: int) -> int:
    array[:] = value
    return int(array.sum())


KEPT: list[Any] = []


def keep(array: Any) -> None:
    KEPT.append(array)


def kept_sum() -> int:
    return sum(int(each.sum()) for each in KEPT)


def drop() -> int:
    n = len(KEPT)
    KEPT.clear()
    gc.collect()
    return n


def zeros(n: int) -> Any:
    return numpy.zeros(n, "u1")


def kinds(*values: Any) -> list[str]:
    return [type(value).__name__ for value in values]


def change_first(view: memoryview) -> bytes:
    assert type(view) is memoryview
    view[:5] = b"hello"
    return bytes(view[-5:])


def as_buffer(n: int) -> Any:
    return pickle.PickleBuffer(bytearray(n))


def write_and_die_once(array: Any, path: str) -> int:
    first = int(array.sum())
    array[:] = 0
    do.append(path, "x")
    if len(Path(path).read_text().split()) == 1:
        do.die()
    return first


def take_descriptors() -> None:
    """No more of them in this worker."""
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (used, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    while True:
        try:
            KEPT.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            return


class Unloadable:
    def __init__(self, array: Any) -> None:
        self.array = array

    def __reduce__(self) -> Any:
        return _fails, (self.array,)


def _fails(array: Any) -> Any:
    raise ZeroDivisionError(f"{array.nbytes} bytes cannot be loaded")


def add_one(array: Any) -> None:
    array += 1


def make_shared(n: int) -> Any:
    array = shared_empty(n, "u1")
    array[:] = 3
    KEPT.append(array)
    return array


def first_of_kept() -> int:
    return int(KEPT[0][0])


# --- the tests


@every_method
def test_an_array_arrives_without_a_copy(make: MakePool, method: str) -> None:
    pool = make(2, method)
    array = numpy.arange(BIG)
    assert pool.submit(describe, array).result(LIMIT) == (True, True, int(array.sum()))
    back = pool.submit(do.echo, array).result(LIMIT)
    assert is_lent(back)
    assert (back == array).all()
    back[:] = 1  # the receiver's own
    assert array[5] == 5


def test_blocks_are_used_again(make: MakePool) -> None:
    pool = make(1)
    array = numpy.ones(8 * BIG, "u1")
    for _ in range(40):
        assert pool.submit(describe, array).result(LIMIT)[2] == array.size
        back = pool.submit(do.echo, array).result(LIMIT)
        assert is_lent(back)
    assert len(pool._post.store.segments) == 1
    wait_until(lambda: lent(pool) == 0)


def test_own_blocks_are_writable_in_the_worker(make: MakePool) -> None:
    array = numpy.ones(BIG, "u1")
    pool = make(1)
    assert pool.submit(fill, array, 3).result(LIMIT) == 3 * BIG
    assert array.sum() == BIG  # the sender's is the sender's
    assert pool.submit(keep, array).result(LIMIT) is None
    for i in range(5):
        assert pool.submit(fill, array, i).result(LIMIT) == i * BIG
    assert pool.submit(kept_sum).result(LIMIT) == BIG  # nobody has written there
    assert lent(pool) == 1
    assert pool.submit(drop).result(LIMIT) == 1
    assert lent(pool) == 0


@pytest.mark.parametrize(
    ("views", "crosses", "writable"),
    [
        ("own", True, True),
        ("private", True, True),
        ("readonly", True, False),
        ("copy", False, True),
    ],
)
def test_kinds_of_views(make: MakePool, views: str, crosses: bool, writable: bool) -> None:
    pool = make(1, views=views)
    array = numpy.ones(BIG, "u1")
    assert pool.submit(describe, array).result(LIMIT) == (crosses, writable, BIG)
    back = pool.submit(do.echo, array).result(LIMIT)
    assert (is_lent(back), back.flags.writeable) == (crosses, writable)
    if writable:
        assert pool.submit(fill, array, 2).result(LIMIT) == 2 * BIG
        back[:] = 7
    else:
        with pytest.raises(ValueError, match="read-only"):
            pool.submit(fill, array, 2).result(LIMIT)


def test_bad_options() -> None:
    with pytest.raises(
        ValueError, match="'views' must be one of own, private, readonly, copy, got 'mine'"
    ):
        ProcessPoolExecutor(1, views="mine")
    with pytest.raises(ValueError, match="'arena_bytes' must be at least 0, got -1"):
        ProcessPoolExecutor(1, arena_bytes=-1)
    with pytest.raises(TypeError, match="'arena_bytes' must be an int, got 'x'"):
        ProcessPoolExecutor(1, arena_bytes="x")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 131_072, 131_073, 5_000_000])
def test_bytes_and_bytearrays(make: MakePool, size: int) -> None:
    pool = make(1)
    data = os.urandom(size)
    assert pool.submit(do.echo, data).result(LIMIT) == data
    back = pool.submit(do.echo, bytearray(data)).result(LIMIT)
    assert type(back) is bytearray
    assert back == data
    nested = {"a": [data, (bytearray(data), data)], "b": 1}
    assert pool.submit(do.echo, nested).result(LIMIT) == nested
    assert pool.submit(kinds, data, bytearray(data)).result(LIMIT) == ["bytes", "bytearray"]
    del nested, back
    wait_until(lambda: lent(pool) == 0)


def test_pickle_buffers(make: MakePool) -> None:
    pool = make(1)
    data = bytearray(os.urandom(BIG))
    assert pool.submit(change_first, pickle.PickleBuffer(data)).result(LIMIT) == data[-5:]
    back = pool.submit(as_buffer, BIG).result(LIMIT)
    assert type(back) is memoryview
    assert back == bytes(BIG)
    back[:5] = b"hello"


def test_pyarrow(make: MakePool) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow, which is not installed")
    table = pyarrow.table({"a": list(range(100_000))})
    assert make(1).submit(do.echo, table).result(LIMIT).equals(table)


def test_what_only_cloudpickle_pickles_is_lent_too(make: MakePool) -> None:
    pytest.importorskip("cloudpickle", reason="needs cloudpickle, which is not installed")
    array = numpy.ones(BIG, "u1")
    assert make(1).submit(lambda x: describe(x), array).result(LIMIT) == (True, True, BIG)


@every_method
def test_shared_arrays_are_shared(make: MakePool, method: str) -> None:
    pool = make(2, method)
    array = shared_array(numpy.zeros(BIG, "u1"))
    for i in range(6):
        assert pool.submit(add_one, array).result(LIMIT) is None
        assert array.sum() == (i + 1) * BIG
    late = shared_array(numpy.zeros(5))  # the workers are there already
    pool.submit(add_one, late).result(LIMIT)
    assert late.sum() == 5
    assert pool.submit(do.echo, late).result(LIMIT).__array_interface__["data"][0] != 0
    back = pool.submit(do.echo, late).result(LIMIT)
    back[0] = 100
    assert late[0] == 100


def test_an_array_that_a_worker_shares(make: MakePool) -> None:
    pool = make(1)
    array = pool.submit(make_shared, BIG).result(LIMIT)
    assert array.sum() == 3 * BIG
    array[0] = 50
    assert pool.submit(first_of_kept).result(LIMIT) == 50


def test_shared_memory_is_dropped_with_its_last_array(make: MakePool) -> None:
    pool = make(1)
    array = shared_array(numpy.zeros(BIG, "u1"))
    segment = weakref.ref(array._block.place()[0])
    pool.submit(add_one, array).result(LIMIT)
    del array
    gc.collect()
    assert segment() is None
    pool.submit(add_one, numpy.zeros(BIG)).result(LIMIT)  # the next letter says so
    assert pool.submit(held_segments).result(LIMIT) == 1


def held_segments() -> int:
    """Segments that this worker was sent and keeps; the one of arguments is among them."""
    (desk,) = (each for each in gc.get_objects() if type(each) is _mail.Desk)
    return len(desk._box.segments)


def zeros_elsewhere(n: int, offset: int) -> Any:
    """An array of which the message says that it lies at that offset, as this one and all after it do."""
    entry = struct.Struct("<Q16sQ")
    _payload._ENTRY = SimpleNamespace(  # type: ignore[assignment]
        size=entry.size,
        unpack_from=entry.unpack_from,
        pack=lambda size, segment, at: entry.pack(size, segment, at and offset),
    )
    return numpy.zeros(n, "u1")


@pytest.mark.parametrize("offset", [64, 129, 1 << 20, 1 << 40, (1 << 64) - 64])
def test_a_worker_that_says_nonsense_of_its_blocks(make: MakePool, offset: int) -> None:
    pool = make(1, on_worker_death="replace")
    with pytest.raises(SegmentDamaged):
        pool.submit(zeros_elsewhere, BIG, offset).result(LIMIT)
    assert pool.submit(abs, -1).result(LIMIT) == 1
    with pytest.raises(SegmentDamaged):
        pool.submit(zeros, BIG).result(LIMIT)
    with pytest.raises(WorkerDied):
        pool.submit(do.die).result(LIMIT)
    assert is_lent(pool.submit(zeros, BIG).result(LIMIT))


# --- limits


def test_a_full_arena_adds_segments_then_copies(make: MakePool) -> None:
    pool = make(1, arena_bytes=6 * BIG)
    array = numpy.ones(BIG, "u1")
    results = []
    for _ in range(12):
        pool.submit(keep, array).result(LIMIT)
        results.append(pool.submit(do.echo, array).result(LIMIT))
    assert pool.submit(kept_sum).result(LIMIT) == 12 * BIG
    assert pool._post.store.size <= 6 * BIG
    assert all(back.flags.writeable and back.sum() == BIG for back in results)
    assert not all(is_lent(back) for back in results)
    assert any(is_lent(back) for back in results)
    results.clear()
    assert pool.submit(drop).result(LIMIT) == 12
    # Without a GIL, what the manager's thread has made goes only when that wakes.
    wait_until(lambda: is_lent(pool.submit(do.echo, array).result(LIMIT)))


def test_no_arena_at_all(make: MakePool) -> None:
    pool = make(1, arena_bytes=0)
    array = numpy.arange(BIG)
    back = pool.submit(do.echo, (array, bytes(BIG), bytearray(BIG))).result(LIMIT)
    assert not is_lent(back[0])
    back[0][0] = 1
    assert back[1:] == (bytes(BIG), bytearray(BIG))
    assert pool.submit(describe, array).result(LIMIT) == (False, True, int(array.sum()))


def test_no_memory_for_blocks(make: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if fallocate had failed: the data goes inside the message."""

    def refuse(self: Any, data: Any) -> Any:
        raise OSError(28, "No space left on device")

    pool = make(1)
    assert pool.submit(describe, numpy.ones(BIG, "u1")).result(LIMIT)[0]
    monkeypatch.setattr(_shm.Segment, "lend", refuse)
    assert pool.submit(describe, numpy.ones(BIG, "u1")).result(LIMIT) == (False, True, BIG)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_worker_without_descriptors(make: MakePool, method: str) -> None:
    """It cannot take the segments of arguments, and makes none for results."""
    pool = make(1, method)
    pool.submit(take_descriptors).result(LIMIT)
    array = numpy.ones(BIG, "u1")
    assert pool.submit(describe, array).result(LIMIT) == (False, True, BIG)
    back = pool.submit(do.echo, array).result(LIMIT)
    assert (is_lent(back), back.sum()) == (False, BIG)
    assert pool.submit(do.echo, bytes(BIG)).result(LIMIT) == bytes(BIG)
    with pytest.raises(OSError, match="a worker has not got the shared memory of its task"):
        pool.submit(add_one, shared_array(numpy.zeros(5))).result(LIMIT)
    wait_until(lambda: lent(pool) == 0)


def test_a_pool_without_descriptors(make: MakePool) -> None:
    """The worker learns that its segment was not taken, and sends the data inside."""
    pool = make(1)
    array = numpy.ones(BIG, "u1")
    pool.submit(describe, array).result(LIMIT)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    spare = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 3, before[1]))
    try:
        while True:
            try:
                spare.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        back = pool.submit(zeros, BIG).result(LIMIT)
    finally:
        for fd in spare:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert not is_lent(back)
    assert is_lent(pool.submit(zeros, BIG).result(LIMIT))


def test_what_cannot_be_unpickled_gives_its_blocks_back(make: MakePool) -> None:
    pool = make(1, on_worker_death="replace")
    with pytest.raises(ZeroDivisionError, match="cannot be loaded"):
        pool.submit(do.echo, Unloadable(numpy.zeros(BIG, "u1"))).result(LIMIT)
    wait_until(lambda: lent(pool) == 0)
    assert pool.submit(describe, numpy.ones(BIG, "u1")).result(LIMIT)[0]


def test_a_cancelled_task_gives_its_blocks_back(make: MakePool, tmp_path: Path) -> None:
    pool = make(1)
    pool.submit(do.touch_and_wait, str(tmp_path / "begun"), str(tmp_path / "go"))
    wait_until((tmp_path / "begun").exists)
    waiting = [pool.submit(describe, numpy.ones(BIG, "u1")) for _ in range(4)]
    assert lent(pool) == 4
    assert all(future.cancel() for future in waiting)
    assert lent(pool) == 0
    (tmp_path / "go").touch()


# --- death


def test_the_blocks_of_a_killed_worker_come_back(make: MakePool) -> None:
    pool = make(1, on_worker_death="replace")
    array = numpy.ones(BIG, "u1")
    for _ in range(3):
        pool.submit(keep, array).result(LIMIT)
    assert lent(pool) == 3
    with pytest.raises(WorkerDied):
        pool.submit(do.die).result(LIMIT)
    assert lent(pool) == 0
    assert pool.submit(describe, array).result(LIMIT) == (True, True, BIG)
    assert len(pool._post.store.segments) == 1


def test_a_worker_that_is_killed_in_a_large_transfer(make: MakePool) -> None:
    """Nothing hangs, nothing is doubled, nothing stays lent."""
    pool = make(2, on_worker_death="replace")
    array = numpy.arange(BIG)
    pool.submit(do.echo, array).result(LIMIT)
    for i in range(15):
        futures = [pool.submit(do.echo, array + i) for _ in range(6)]
        processes = list(pool._processes.values())  # one may be still to be replaced
        victim = processes[i % len(processes)].pid
        processes[i % len(processes)].kill()
        died = []
        for future in futures:
            try:
                assert (future.result(LIMIT) == array + i).all()
            except WorkerDied as error:
                died.append(error.pid)
        assert died in ([], [victim])
    del futures, future
    gc.collect()
    wait_until(lambda: lent(pool) == 0)


def test_tasks_with_retries_see_what_was_sent(make: MakePool, tmp_path: Path) -> None:
    """What the first try has written, the second one does not find."""
    pool = make(1, on_worker_death="replace")
    array = numpy.ones(BIG, "u1")
    path = str(tmp_path / "tries")
    future = pool.submit_with(write_and_die_once, array, path, retries=1)
    assert future.result(LIMIT) == BIG
    assert len(Path(path).read_text().split()) == 2
    wait_until(lambda: lent(pool) == 0)


def test_a_worker_waits_for_no_answer_of_a_pool_that_has_gone() -> None:
    """Its data is in the message then, which nobody reads."""
    pools, workers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    desk = _mail.Desk(workers, 1 << 24, "own", pools.close)
    begun = time.monotonic()
    data, _ = desk.dump(bytes(BIG))
    assert len(data) > BIG
    assert time.monotonic() - begun < _mail.PATIENCE / 2
    desk.close()


def test_views_survive_the_pool(make: MakePool) -> None:
    pool = make(1)
    back = pool.submit(do.echo, numpy.arange(BIG)).result(LIMIT)
    pool.shutdown()
    del pool
    gc.collect()
    assert back.sum() == BIG * (BIG - 1) // 2
    back[:] = 0


def test_views_survive_the_death_of_their_worker(make: MakePool) -> None:
    pool = make(1, on_worker_death="replace")
    back = pool.submit(do.echo, numpy.arange(BIG)).result(LIMIT)
    with pytest.raises(WorkerDied):
        pool.submit(do.die).result(LIMIT)
    assert pool.submit(do.echo, numpy.zeros(BIG)).result(LIMIT).sum() == 0
    assert back.sum() == BIG * (BIG - 1) // 2


# --- a thread in result() takes its own result


def test_who_looks_for_a_result_misses_no_death_and_no_time_out(make: MakePool) -> None:
    pool = make(1, on_worker_death="replace")
    for _ in range(8):
        for i in range(30):
            assert pool.submit(abs, -i).result(LIMIT) == i
        with pytest.raises(WorkerDied):
            pool.submit(do.die).result(LIMIT)
        assert pool.submit(do.echo, None).result(LIMIT) is None
        with pytest.raises(TimeoutError):
            pool.submit_with(do.stop, timeout=0.05).result(LIMIT)


def test_callbacks_are_the_pools(make: MakePool) -> None:
    """A callback may want a lock that the thread in result() holds."""
    pool = make(1)
    seen: list[int] = []
    for i in range(50):
        future = pool.submit(abs, -i)
        future.add_done_callback(lambda _: seen.append(threading.get_ident()))
        assert future.result(LIMIT) == i
    wait_until(lambda: len(seen) == 50)
    # One that was done before it had a callback calls it at once.
    assert set(seen) <= {pool._executor_manager_thread.ident, threading.get_ident()}
