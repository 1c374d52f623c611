"""The compatibility mode from inside: the interrupted switch, what is given back, its mutex, its weights."""

from __future__ import annotations

import asyncio
import gc
import random
import signal
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from concx import _queue_compat
from concx.queue import Empty, Full, LifoQueue, Queue
from queue_tools import run_async


class Alarm(Exception):
    pass


class Alarms:
    """Raises Alarm once after `start`; again only if that was swallowed, by a callback say."""

    def __init__(self) -> None:
        self.armed = False

    def handler(self, *_: object) -> None:
        if self.armed:
            self.armed = False
            raise Alarm

    def start(self, seconds: float) -> None:
        self.armed = True
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.01)

    def until_raised(self) -> None:
        while True:
            self.armed = True


@pytest.fixture
def alarms() -> Iterator[Alarms]:
    """SIGALRM, borrowed from the test runner."""
    alarms = Alarms()
    left = signal.setitimer(signal.ITIMER_REAL, 0)
    before = signal.signal(signal.SIGALRM, alarms.handler)
    yield alarms
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    signal.setitimer(signal.ITIMER_REAL, *left)


def test_an_interrupted_switch_loses_nothing(
    cls: type[Queue[int]], alarms: Alarms, rng: random.Random
) -> None:
    for _ in range(500):
        q = cls()
        for i in range(4):
            q.put(i)
        try:
            alarms.start(rng.uniform(1e-6, 60e-6))
            q.queue  # noqa: B018
            q.put(4)
            alarms.until_raised()
        except Alarm:
            pass
        assert sorted(q.get_many(9)) in ([0, 1, 2, 3], [0, 1, 2, 3, 4])
        assert not q.mutex.locked()


@pytest.mark.parametrize("held", [False, True], ids=["free", "held"])
def test_grants_given_back_after_the_switch(cls: type[Queue[int]], held: bool) -> None:
    async def main() -> None:
        q = cls()
        tasks = [asyncio.create_task(q.get_async()) for _ in range(3)]
        await asyncio.sleep(0)
        q.put_many([1, 2, 3, 4])  # three of them are handed to the tasks
        assert q.qsize() == 1
        q.queue  # noqa: B018
        if held:
            q.mutex.acquire()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if held:
            assert list(q.queue) == [4]
            q.mutex.release()
        assert sorted(q.queue) == [1, 2, 3, 4]
        if cls is not LifoQueue:
            assert [q.get() for _ in range(4)] == [1, 2, 3, 4]
        assert (q.stats().puts, q.unfinished_tasks) == (4, 4)

    run_async(main())


def test_what_is_given_back_late_follows_what_came_before() -> None:
    async def main() -> None:
        q = Queue[int]()
        calls = [q.get_async() for _ in range(3)]
        for call in calls:
            call.send(None)
        q.put_many([1, 2, 3, 4])
        q.queue  # noqa: B018
        calls[0].close()
        calls[1].close()
        assert q.get() == 1
        calls[2].close()
        assert list(q.queue) == [2, 3, 4]

    run_async(main())


def test_given_back_to_a_queue_that_was_emptied_for_good() -> None:
    async def main() -> None:
        q = Queue[int]()
        task = asyncio.create_task(q.get_async())
        await asyncio.sleep(0)
        q.put(1)
        q.queue  # noqa: B018
        q.shutdown(immediate=True)
        task.cancel()
        await asyncio.wait([task])
        assert (q.qsize(), q.unfinished_tasks) == (0, 0)
        q.join()

    run_async(main())


# --- the mutex ------------------------------------------------------------------------------------


def test_the_holder_may_use_the_queue() -> None:
    q = Queue[str](1)
    with q.mutex, q.not_empty:
        q.put("a")
        assert q.get() == "a"
        assert not q.mutex.acquire(blocking=False)  # as a Lock
        with pytest.raises(Empty):
            q.get(timeout=0.001)
    assert not q.mutex.locked()
    with pytest.raises(RuntimeError):
        q.mutex.release()


def test_a_finaliser_inside_a_hook_may_use_the_queue() -> None:
    class Item:
        def __del__(self) -> None:
            q.put("from a finaliser")

    class Hooked(Queue[Any]):
        def _put(self, item: Any) -> None:
            if item == "last":
                Item()
            super()._put(item)

    q = Hooked()
    q.put("last")
    assert q.get_many(9) == ["from a finaliser", "last"]


def test_no_cycle() -> None:
    q = Queue[int]()
    with q.not_full:
        q.put(1)
    watched = weakref.ref(q)
    gc.disable()
    try:
        del q
        assert watched() is None
    finally:
        gc.enable()


def test_the_mutex_outlives_its_queue() -> None:
    mutex, condition = Queue[int]().mutex, Queue[int]().not_empty
    with mutex:
        assert mutex.locked()
    with condition:
        condition.notify_all()
        assert not condition.wait(0.001)
    for method in (condition.notify, condition.wait):
        with pytest.raises(RuntimeError, match="un-acquired"):
            method()


# --- bounds and time-outs -------------------------------------------------------------------------


def test_weights_follow_what_users_do_to_the_container() -> None:
    q = Queue[Any](weigher=len, max_weight=10)
    q.put("abc")
    q.queue.append("defghi")
    with pytest.raises(Full):
        q.put("jk", block=False)
    q.put("j")
    q.queue.clear()
    grown = [0] * 10
    q.put(grown)
    with pytest.raises(Full):
        q.put("k", block=False)
    grown.extend(range(5))  # its weight is the one it was put with
    assert q.get() is grown
    q.put("x" * 10)
    with pytest.raises(ValueError, match="weight 11 exceeds max_weight 10"):
        q.put("x" * 11)


def test_the_oldest_of_a_stack_is_at_its_bottom() -> None:
    q = LifoQueue[int](2, overflow="drop_oldest")
    q.queue  # noqa: B018
    assert q.put_many(range(4)) == 4
    assert (q.queue, q.unfinished_tasks, q.stats().dropped) == ([2, 3], 2, 2)


def test_peek_needs_a_get_that_is_known() -> None:
    class Unique(Queue[int]):
        def _get(self) -> int:
            return self.queue.pop()  # type: ignore[no-any-return]

    q = Unique()
    q.put(1)
    with pytest.raises(TypeError, match=r"Unique\._get"):
        q.peek()


@pytest.mark.parametrize(
    ("timeout", "error"),
    [(-1, ValueError), (float("nan"), ValueError), ("1", TypeError), (1e300, OverflowError)],
)
def test_bad_timeouts(timeout: Any, error: type[Exception]) -> None:
    q = Queue[int](1)
    q.queue  # noqa: B018
    with pytest.raises(error):
        _queue_compat.get(q, True, timeout)
    q.put(1)
    with pytest.raises(error):
        _queue_compat.put(q, 2, True, timeout)
    with pytest.raises(Full):
        _queue_compat.put(q, 2, False, timeout)
