"""Queues and shared values between processes, for every way to start one."""

from __future__ import annotations

import copy
import ctypes
import multiprocessing
import multiprocessing.shared_memory
import os
import pickle
import queue
import signal
import threading
import time
from typing import Any

import pytest

import concx.multiprocessing as mp
import mp_tools as tools
from concx.queue import ShutDown
from mp_tools import METHODS, running, start
from queue_tools import LIMIT, Worker, wait_until

QUEUES = [mp.Queue, mp.JoinableQueue, mp.SimpleQueue]


class Unpicklable:
    def __reduce__(self) -> Any:
        raise ZeroDivisionError("no")


@pytest.mark.parametrize("cls", QUEUES)
def test_smoke(cls: Any) -> None:
    q = cls()
    items = [1, "two", b"three", 4.0, None, True, (1, ("a", 2)), [1, 2], {"k": {1}}, 1 << 200]
    for item in items:
        q.put(item)
    assert q.qsize() == len(items)
    assert [q.get() for _ in items] == items
    assert q.empty()


def test_capacity() -> None:
    q: Any = mp.Queue(3)
    for i in range(3):
        q.put(i, False)
    assert q.full()
    with pytest.raises(queue.Full):
        q.put_nowait(3)
    with pytest.raises(queue.Full):
        q.put(3, timeout=0.01)
    with pytest.raises(queue.Full):
        q.put(3, True, -1)
    putter = Worker(q.put, 3)
    assert q.get() == 0
    putter.result()
    assert [q.get() for _ in range(3)] == [1, 2, 3]
    assert not q.full()


def test_timeout() -> None:
    q: Any = mp.Queue()
    for arguments in [(False,), (True, 0), (True, -1), (True, 0.01), (False, 5)]:
        with pytest.raises(queue.Empty):
            q.get(*arguments)
    with pytest.raises(TypeError, match="'timeout'"):
        q.get(True, "soon")
    with pytest.raises(OverflowError):
        q.get(True, 1e300)


def test_errors_of_pickling_are_raised_in_put() -> None:
    q: Any = mp.Queue(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            q.put(Unpicklable())
        with pytest.raises(ZeroDivisionError):
            q.put_many([1, Unpicklable()])
    assert q.qsize() == 0
    q.put("room")
    assert q.get() == "room"


def test_put_without_a_limit_never_waits() -> None:
    q: Any = mp.Queue()
    data = os.urandom(1 << 20)
    for _ in range(24):
        q.put(data, block=False)
    q.put_bytes(b"x" * (40 << 20), block=False)  # larger than anything before
    for _ in range(24):
        assert q.get() == data
    assert len(q.get()) == 40 << 20


def test_many_and_bytes() -> None:
    q: Any = mp.Queue(5)
    assert q.put_many(range(3)) == 3
    assert q.put_many(range(9), block=False) == 2
    assert q.put_many([]) == 0
    assert q.put_many([1], timeout=0.01) == 0
    assert q.get_many(0) == []
    assert q.get_many(4) == [0, 1, 2, 0]
    assert q.get_many(10) == [1]
    with pytest.raises(queue.Empty):
        q.get_many(1, timeout=0.01)
    with pytest.raises(ValueError, match="-1"):
        q.get_many(-1)
    q.put_bytes(bytearray(b"raw"))
    q.put_bytes(memoryview(b"abc")[1:])
    q.put("pickled")
    assert q.get() == b"raw"
    assert q.get_bytes() == b"bc"
    assert pickle.loads(q.get_bytes()) == "pickled"
    with pytest.raises(TypeError):
        q.put_bytes("text")
    big = [os.urandom(n) for n in (10, 100_000, 10, 300_000)]
    unlimited: Any = mp.Queue()
    assert unlimited.put_many(big) == 4
    assert unlimited.get_many(9) == big


def test_shutdown() -> None:
    q: Any = mp.Queue()
    getter = Worker(q.get)
    q.put(1)
    assert getter.result() == 1
    getter = Worker(q.get)
    q.shutdown()
    with pytest.raises(ShutDown):
        getter.result()
    with pytest.raises(ShutDown):
        q.put(1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cls", QUEUES)
def test_shutdown_by_another_process(cls: Any, method: str) -> None:
    """As `queue.Queue` of 3.13: what is there is still taken, or dropped if it is to be at once."""
    for immediate in (False, True):
        q: Any = cls()
        q.put_many(range(3))
        q.put_bytes(b"x" * 3_000_000)
        with running(method, tools.shut_down, q, immediate):
            wait_until(lambda q=q: q.stats().is_shutdown)
        assert q.qsize() == (0 if immediate else 4)
        assert q.empty() is immediate
        with pytest.raises(ShutDown):
            q.put(1)
        if not immediate:
            assert q.get_many(3) == [0, 1, 2]
            q.shutdown(immediate=True)
        with pytest.raises(ShutDown):
            q.get()
        with pytest.raises(ShutDown):
            q.get_nowait()
        assert q.stats().memory < 100_000
        q.shutdown()
        assert q.empty()


def test_shutdown_at_once_finishes_what_was_not_taken() -> None:
    q: Any = mp.JoinableQueue()
    q.put_many(range(3))
    assert q.get() == 0
    joiner = Worker(q.join)
    q.shutdown(immediate=True)
    assert q.stats().unfinished == 1
    q.task_done()
    assert joiner.result() is True
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()
    with pytest.raises(TypeError):
        q.shutdown(1, 2)


def test_stats() -> None:
    q: Any = mp.JoinableQueue(5)
    q.put_many(range(3))
    q.get()
    q.task_done()
    q.get()
    stats = q.stats()
    assert (stats.size, stats.maxsize, stats.puts, stats.gets, stats.unfinished) == (1, 5, 3, 2, 2)
    assert stats.memory > 0
    assert stats.waiting_tasks == 0
    assert not stats.is_shutdown
    with pytest.raises(AttributeError):
        stats.size = 2
    lock: Any = mp.Lock()
    assert lock.stats() == mp.LockStats(locked=False, owner=None, contended=False)
    lock.acquire()
    assert lock.stats() == mp.LockStats(locked=True, owner=os.getpid(), contended=False)
    assert not lock.acquire(timeout=0.001)
    assert lock.stats().contended
    rlock: Any = mp.RLock()
    semaphore: Any = mp.BoundedSemaphore(2)
    with rlock, semaphore:
        assert rlock.stats().owner == os.getpid()
        assert semaphore.stats() == mp.SemaphoreStats(value=1, maxvalue=2, contended=False)
    event: Any = mp.Event()
    for times in (1, 2):
        event.set()
        event.set()
        assert event.stats() == mp.EventStats(is_set=True, sets=times)
        event.clear()
    assert event.stats() == mp.EventStats(is_set=False, sets=2)
    condition: Any = mp.Condition()
    assert condition.stats() == mp.ConditionStats(waiting=0, lock=rlock.stats())
    assert mp.Condition(multiprocessing.Lock()).stats().lock is None
    assert mp.Barrier(3).stats() == mp.BarrierStats(parties=3, waiting=0, broken=False)


def test_the_owner_that_stats_tells_is_a_process() -> None:
    lock: Any = mp.Lock()
    child = start("fork", tools.acquire_and_die, lock)
    tools.killed(child)
    assert lock.stats().owner == child.pid
    with pytest.raises(mp.OwnerDied):
        lock.acquire()
    assert lock.stats() == mp.LockStats(locked=True, owner=None, contended=False)


def test_close() -> None:
    q: Any = mp.Queue()
    with pytest.raises(AssertionError, match="not closed"):
        q.join_thread()
    q.close()
    q.close()
    q.join_thread()
    q.cancel_join_thread()
    for call in (q.get, lambda: q.put(1), lambda: q.put_many([1]), q.get_nowait, q.get_bytes):
        with pytest.raises(ValueError, match="is closed"):
            call()
    simple: Any = mp.SimpleQueue()
    simple.close()
    for call in (simple.get, simple.empty, lambda: simple.put(1)):
        with pytest.raises(OSError, match="is closed"):
            call()


def test_join() -> None:
    q: Any = mp.JoinableQueue()
    assert q.join() is True
    q.put(1)
    q.put(2)
    assert q.join(timeout=0.01) is False
    q.task_done()
    joiner = Worker(q.join)
    q.task_done()
    assert joiner.result() is True
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()


@pytest.mark.parametrize("method", METHODS)
def test_mpmc(method: str) -> None:
    """Four producers of two kinds, two of them here: all arrive, each one's in order."""
    q: Any = mp.Queue(7)
    ranges = [[(number, i) for i in range(300)] for number in range(4)]
    children = [start(method, tools.put_all, q, ranges[number]) for number in (0, 1)]
    threads = [Worker(tools.put_all, q, ranges[number]) for number in (2, 3)]
    halves = [Worker(lambda: [q.get() for _ in range(600)]) for _ in range(2)]
    got = [half.result() for half in halves]
    for worker in threads:
        worker.result()
    for child in children:
        child.join(LIMIT)
    assert sorted(got[0] + got[1]) == sorted(item for items in ranges for item in items)
    for half in got:
        for number in range(4):
            mine = [i for sender, i in half if sender == number]
            assert mine == sorted(mine)


@pytest.mark.parametrize("method", METHODS)
def test_work_and_results(method: str) -> None:
    tasks: Any = mp.JoinableQueue()
    done: Any = mp.SimpleQueue()
    with running(method, tools.work_off, tasks, done):
        tasks.put_many(range(50))
        assert tasks.join(LIMIT)
        assert sorted(done.get() for _ in range(50)) == list(range(0, 100, 2))
        tasks.put(None)


@pytest.mark.parametrize("method", METHODS)
def test_values(method: str) -> None:
    value = mp.Value("i", 5)
    array = mp.Array("d", [1.0, 2.0])
    text = mp.Array("c", b"text")
    raw = mp.RawValue(ctypes.c_int64, -1)
    assert isinstance(value.get_lock(), mp.RLock)
    with running(method, tools.add, value, 500):
        tools.add(value, 500)
    assert value.value == 1005
    assert array[:] == [1.0, 2.0]
    assert text.value == b"text"
    assert raw.value == -1
    assert mp.RawArray("i", 3)[:] == [0, 0, 0]
    assert mp.Value("i", 1, lock=False).value == 1
    lock = mp.RLock()
    assert mp.Value("i", 1, lock=lock).get_lock() is lock
    with pytest.raises(AttributeError, match="acquire"):
        mp.Value("i", lock="no")
    for make in (mp.Value, mp.RawValue, mp.Array, mp.RawArray):
        with pytest.raises(TypeError, match="bad typecode 'x'"):
            make("x", 5)
    assert len(mp.RawArray("b", 1 << 20)) == 1 << 20


OBJECTS = [
    *(mp.Queue, mp.JoinableQueue, mp.SimpleQueue, mp.Lock, mp.RLock, mp.Semaphore),
    *(mp.BoundedSemaphore, mp.Condition, mp.Event, lambda: mp.Barrier(2), lambda: mp.Value("i")),
]


@pytest.mark.parametrize("make", OBJECTS)
def test_only_a_child_that_is_started_gets_it(make: Any) -> None:
    for attempt in (pickle.dumps, copy.copy):
        with pytest.raises(RuntimeError, match="through inheritance"):
            attempt(make())


def test_everything_else_is_the_standard_one() -> None:
    replaced = {
        *("Queue", "JoinableQueue", "SimpleQueue", "Lock", "RLock", "Semaphore"),
        *("BoundedSemaphore", "Condition", "Event", "Barrier", "Value", "Array"),
        *("RawValue", "RawArray", "Pool", "get_context"),
    }
    for name in multiprocessing.__all__:
        if name not in replaced and name != "reducer":
            assert getattr(mp, name) == getattr(multiprocessing, name), name
    assert mp.shared_memory is multiprocessing.shared_memory  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        mp.nonsense  # noqa: B018


def test_interrupt() -> None:
    """A handler that raises comes out of a blocked get, and nothing is lost."""
    q: Any = mp.Queue()
    main = threading.main_thread().ident
    assert main is not None

    def handler(*_: object) -> None:
        raise InterruptedError

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        for _ in range(5):
            timer = threading.Timer(0.01, signal.pthread_kill, (main, signal.SIGUSR1))
            timer.start()
            began = time.monotonic()
            with pytest.raises(InterruptedError):
                q.get()
            assert time.monotonic() - began < 0.01 + 0.2 + 1
            timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    q.put(1)
    assert q.get() == 1


@pytest.mark.parametrize("method", METHODS)
def test_killed_while_it_puts(method: str) -> None:
    """Whatever it was doing, the others go on, and each message is whole."""
    q: Any = mp.Queue()
    for number in range(4):
        child = start(method, tools.put_forever, q, number)
        wait_until(lambda: q.qsize() > 20)
        child.kill()
        tools.killed(child)
        q.put("end")
        for i, item in enumerate(iter(q.get, "end")):
            assert item == (number, i, b"x" * (i % 3000))


def test_killed_while_it_gets() -> None:
    """At most the one message that it had taken is lost."""
    q: Any = mp.Queue()
    for _ in range(20):
        child = start("fork", tools.get_forever, q)
        for i in range(300):
            q.put(i)
        child.kill()
        tools.killed(child)
        rest = q.get_many(300) if not q.empty() else []
        assert rest == list(range(300 - len(rest), 300))


def test_nothing_in_dev_shm(run_script: Any) -> None:
    """After all processes were killed, with objects of every kind in use."""
    before = set(os.listdir("/dev/shm"))
    run_script(
        """
        import os, signal
        import concx.multiprocessing as mp
        from concx.shm import Arena
        things = [mp.Queue(), mp.Lock(), mp.RLock(), mp.Semaphore(), mp.Condition(), mp.Event(),
                  mp.Barrier(2), mp.Value("i"), mp.Array("i", 100_000), Arena(1 << 20)]
        things[0].put(b"x" * 3_000_000)
        things[1].acquire()
        children = []
        for _ in range(2):
            pid = os.fork()
            if pid == 0:
                things[0].get()
                things[5].wait()
            children.append(pid)
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        status=-signal.SIGKILL,
    )
    assert set(os.listdir("/dev/shm")) <= before


def test_no_descriptors_left(run_script: Any) -> None:
    run_script(
        """
        import resource
        import concx.multiprocessing as mp
        locks = [mp.Lock() for _ in range(500)]  # one descriptor for all
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, hard))
        kept = []
        try:
            while True:
                kept.append(mp.Queue())
        except OSError as error:
            assert error.errno == 24, error
        assert 5 < len(kept) < 20, kept
        mp.Lock()
        del kept[-1]
        mp.Queue().put(1)
        """
    )


def test_no_memory(run_script: Any) -> None:
    """A message for which there is no address space: an exception, and the queue goes on."""
    run_script(
        """
        import resource
        import concx.multiprocessing as mp
        q = mp.Queue()
        q.put("before")
        data = b"x" * (64 << 20)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20), hard))
        try:
            q.put_bytes(data)
        except MemoryError:
            pass
        else:
            raise SystemExit("there was room")
        q.put("after")
        assert (q.get(), q.get(), q.qsize()) == ("before", "after", 0)
        """
    )
