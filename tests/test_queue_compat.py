"""The one-way switch to the compatibility mode: what causes it, what does not, and who is waiting."""

from __future__ import annotations

import asyncio
import queue as stdlib
import signal
import threading
from collections import deque
from collections.abc import Callable
from types import MethodType
from typing import Any
from unittest import mock

import pytest

from concx.queue import Empty, Full, LifoQueue, PriorityQueue, Queue, ShutDown
from queue_tools import LIMIT, Worker, run_async, run_threads, wait_until, wait_waiting


def is_compat(q: Any) -> bool:
    """Whether the queue is in compatibility mode: there the container is an object of its own."""
    return q._compat is not None


LOOKS: dict[str, Callable[[Any], Any]] = {
    "hasattr": lambda q: [
        hasattr(q, name)
        for name in ("mutex", "not_empty", "not_full", "all_tasks_done", "unfinished_tasks", "_put")
    ],
    "getattr": lambda q: [q.mutex, q.not_empty, q.not_full, q.all_tasks_done],
    "repr": lambda q: [repr(q), repr(q.mutex), repr(q.not_empty), str(q)],
    "dir": lambda q: dir(q),
    "vars": lambda q: vars(q),
    "unfinished_tasks": lambda q: q.unfinished_tasks,
    "assign unfinished_tasks": lambda q: setattr(q, "unfinished_tasks", q.unfinished_tasks),
    "assign maxsize": lambda q: setattr(q, "maxsize", 7),
    "user attribute": lambda q: setattr(q, "label", 1),
    "autospec of the class": lambda q: mock.create_autospec(type(q)),
    "isinstance": lambda q: isinstance(q, stdlib.Queue),
    "stats": lambda q: q.stats(),
    "is_shutdown": lambda q: q.is_shutdown,
    "hooks are bound": lambda q: [q._put, q._get, q._qsize, q._init],
}

SWITCHES: dict[str, Callable[[Any], Any]] = {
    "with mutex": lambda q: q.mutex.__enter__() and q.mutex.__exit__(None, None, None),
    "mutex.acquire": lambda q: (q.mutex.acquire(), q.mutex.release()),
    "with not_empty": lambda q: (q.not_empty.__enter__(), q.not_empty.__exit__(None, None, None)),
    "not_full.acquire": lambda q: (q.not_full.acquire(), q.not_full.release()),
    "queue": lambda q: q.queue,
    "assign queue": lambda q: setattr(q, "queue", deque() if type(q) is Queue else []),
    "assign _put": lambda q: setattr(q, "_put", q._put),
    "assign _get": lambda q: setattr(q, "_get", q._get),
    "assign _qsize": lambda q: setattr(q, "_qsize", q._qsize),
}


@pytest.mark.parametrize("look", LOOKS)
def test_looking_does_not_switch(cls: Any, look: str) -> None:
    q = cls()
    q.put(1)
    LOOKS[look](q)
    assert not is_compat(q)
    assert q.get() == 1


@pytest.mark.parametrize("use", SWITCHES)
def test_using_switches(cls: Any, use: str) -> None:
    q = cls()
    SWITCHES[use](q)
    assert is_compat(q)
    q.put(1)
    assert q.get() == 1


def test_the_switch_keeps_everything(cls: Any) -> None:
    q = cls(5)
    q.put_many([3, 1, 2])
    q.get()
    q.task_done()
    q.shutdown()
    before = q.stats()
    with q.mutex:
        assert len(q.queue) == 2
    after = q.stats()
    assert after == before
    assert (q.qsize(), q.unfinished_tasks, q.maxsize, q.is_shutdown) == (2, 2, 5, True)
    expected = {Queue: [1, 2], LifoQueue: [1, 3], PriorityQueue: [2, 3]}[cls]
    assert q.get_many(9) == expected
    with pytest.raises(ShutDown):
        q.get()


def test_overflow_and_weights_survive_the_switch() -> None:
    q: Any = Queue(2, overflow="drop_oldest")
    q.put_many([1, 2])
    assert list(q.queue) == [1, 2]
    q.put(3)
    assert q.get_many(9) == [2, 3]
    q = Queue(weigher=len, max_weight=3)
    q.put("aa")
    with q.mutex:
        pass
    with pytest.raises(Full):
        q.put_nowait("bb")
    q.put_nowait("c")
    q.queue.clear()
    q.put_nowait("ccc")


def test_waiting_threads_are_moved_along(cls: Any) -> None:
    q = cls(1)
    getters = [Worker(q.get), Worker(q.get, timeout=LIMIT), Worker(q.get_many, 1)]
    wait_waiting(q, gets=3)
    with q.mutex:
        assert q.qsize() == 0
    for item in range(3):
        q.put(item)
    results = [getter.result() for getter in getters]
    assert sorted([*results[:2], results[2][0]]) == [0, 1, 2]
    q = cls(1)
    q.put(0)
    putters = [Worker(q.put, 1), Worker(q.put, 2, timeout=LIMIT)]
    joiner = Worker(q.join)
    wait_waiting(q, puts=2)
    wait_until(lambda: q.stats().waiting_joins == 1)
    assert len(q.queue) >= 1
    assert sorted(q.get(timeout=LIMIT) for _ in range(3)) == [0, 1, 2]
    for putter in putters:
        putter.result()
    assert joiner.is_alive()
    for _ in range(3):
        q.task_done()
    joiner.result()


def test_moved_waiters_keep_their_deadlines(cls: Any) -> None:
    q = cls()
    getter = Worker(q.get, timeout=0.05)
    wait_waiting(q, gets=1)
    with q.mutex:
        pass
    with pytest.raises(Empty):
        getter.result()


def test_waiters_of_both_kinds_wake_by_notify(cls: Any) -> None:
    """Somebody appends to the container and notifies: threads and tasks that wait see it."""
    q = cls()

    async def task() -> Any:
        return await q.get_async()

    loop = Worker(lambda: run_async(task()))
    thread = Worker(q.get)
    wait_waiting(q, gets=2)
    with q.not_empty:
        q.queue.append(1)
        q.queue.append(2)
        q.not_empty.notify_all()
    assert {thread.result(), loop.result()} == {1, 2}


def test_tasks_are_woken_by_notify_of_one() -> None:
    q: Any = Queue()

    async def main() -> None:
        tasks = [asyncio.create_task(q.get_async()) for _ in range(2)]
        await asyncio.sleep(0)
        for item in (1, 2):
            with q.mutex:
                q.queue.append(item)
                q.not_empty.notify()
        assert sorted(await asyncio.gather(*tasks)) == [1, 2]

    run_async(main())


def test_room_made_by_hand_lets_waiting_tasks_in() -> None:
    q: Any = Queue(1)
    q.put(0)

    async def main() -> None:
        task = asyncio.create_task(q.put_async(1))
        await asyncio.sleep(0)
        with q.mutex:
            q.queue.clear()
            q.not_full.notify()
        await task
        assert list(q.queue) == [1]

    run_async(main())


def test_a_cancelled_task_passes_its_wake_on() -> None:
    q: Any = Queue()
    with q.mutex:
        pass

    async def main() -> None:
        first, second = (asyncio.create_task(q.get_async()) for _ in range(2))
        await asyncio.sleep(0)
        q.put(1)
        first.cancel()
        assert await asyncio.wait_for(second, LIMIT) == 1
        assert first.cancelled()

    run_async(main())


def test_many_threads_switch_at_once(cls: Any) -> None:
    for _ in range(50):
        q = cls()
        q.put_many([1, 2, 3])
        seen = run_threads(*[lambda q=q: (q.mutex, len(q.queue)) for _ in range(4)])
        assert {count for _, count in seen} == {3}
        assert len({id(mutex) for mutex, _ in seen}) == 1
        assert q.get_many(9) is not None


def test_the_mutex_read_before_the_switch_is_the_mutex(cls: Any) -> None:
    q = cls()
    mutex, not_empty = q.mutex, q.not_empty
    assert not is_compat(q)
    assert q.queue is not None
    assert q.mutex is mutex
    assert q.not_empty is not_empty
    with mutex:
        assert q.mutex.locked()
        worker = Worker(q.put, 1)
        worker.join(0.01)
        assert worker.is_alive()
    worker.result()


def test_a_subclass_with_hooks_is_in_the_mode_from_the_start() -> None:
    class Hooked(Queue[Any]):
        def _put(self, item: Any) -> None:
            super()._put(item)

    class Plain(Queue[Any]):
        def more(self) -> int:
            return 1

    assert is_compat(Hooked())
    assert not is_compat(Plain())


def test_overriding_put_or_get_does_not_switch() -> None:
    class Loud(Queue[Any]):
        def put(self, item: Any, block: bool = True, timeout: Any = None) -> None:
            super().put(("loud", item), block, timeout)

    q = Loud()
    q.put_nowait(1)
    assert not is_compat(q)
    assert q.get() == ("loud", 1)


def test_hooks_of_an_instance_with_waiters() -> None:
    q: Any = Queue()
    getter = Worker(q.get)
    wait_waiting(q, gets=1)
    original = q._get
    q._get = MethodType(lambda self: ("hooked", original()), q)
    q.put(1)
    assert getter.result() == ("hooked", 1)


def test_somebodys_own_conditions() -> None:
    """SQLAlchemy and sentry put an RLock there; a caller may exchange the conditions."""
    q: Any = Queue(1)
    q.mutex = threading.RLock()
    q.not_empty = threading.Condition(q.mutex)
    q.not_full = threading.Condition(q.mutex)
    q.all_tasks_done = threading.Condition(q.mutex)
    getter = Worker(q.get)
    q.put(1)
    assert getter.result() == 1
    with q.mutex:
        q.put(2)  # re-entrant
    assert q.get() == 2


def test_signal_handlers_and_the_mutex() -> None:
    """A handler that interrupts the holder of the mutex may use the queue."""
    q: Any = Queue()
    before = signal.signal(signal.SIGUSR1, lambda *_: (q.put(1), q.put(2), q.get()))
    try:
        with q.mutex:
            signal.raise_signal(signal.SIGUSR1)
            assert list(q.queue) == [2]
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert q.get_nowait() == 2


def test_shutdown_and_additions_in_the_mode(cls: Any) -> None:
    q = cls(2)
    with q.mutex:
        pass
    getter = Worker(q.get)
    wait_waiting(q, gets=1)
    q.shutdown()
    with pytest.raises(ShutDown):
        getter.result()
    assert q.is_shutdown


def test_the_switch_against_traffic(cls: Any) -> None:
    for _ in range(20):
        q = cls(2)

        def produce(q: Any = q) -> None:
            for item in range(40):
                q.put(item)

        def consume(q: Any = q) -> list[int]:
            return [q.get() for _ in range(40)]

        def look(q: Any = q) -> None:
            with q.mutex:
                assert len(q.queue) <= 2

        results = run_threads(produce, consume, look, produce, consume, look)
        assert sorted(results[1] + results[4]) == sorted([*range(40), *range(40)])
