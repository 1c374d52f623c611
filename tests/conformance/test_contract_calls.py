"""The contract of the queue classes, call by call: what goes in, what comes out, what is raised."""

from __future__ import annotations

import inspect
import queue as stdlib
import threading
import time
from decimal import Decimal
from fractions import Fraction
from types import ModuleType
from typing import Any

import pytest

from queue_tools import LIMIT, Worker, drain, run_threads, wait_until

ORDER = {
    "Queue": lambda items: list(items),
    "LifoQueue": lambda items: list(reversed(items)),
    "PriorityQueue": lambda items: sorted(items),
}
NEGATIVE = "'timeout' must be a non-negative number"


# -- construction and size ---------------------------------------------------------------------


def test_exceptions_are_the_standard_classes(impl: ModuleType) -> None:
    assert impl.Empty is stdlib.Empty
    assert impl.Full is stdlib.Full
    if hasattr(stdlib, "ShutDown"):
        assert impl.ShutDown is stdlib.ShutDown


def test_order(cls: type, name: str) -> None:
    q = cls()
    items = [5, 1, 4, 1, 3]
    for item in items:
        q.put(item)
    assert drain(q) == ORDER[name](items)


@pytest.mark.parametrize("maxsize", [0, -1, -7, 0.0, -0.5, False])
def test_no_limit(cls: type, maxsize: Any) -> None:
    q = cls(maxsize)
    for item in range(300):
        q.put(item, block=False)
    assert q.qsize() == 300
    assert not q.full()
    assert q.maxsize == maxsize


@pytest.mark.parametrize(
    ("maxsize", "room"), [(1, 1), (3, 3), (1.3, 2), (0.5, 1), (True, 1), (2.0, 2)]
)
def test_limit(cls: type, maxsize: Any, room: int) -> None:
    q = cls(maxsize)
    for item in range(room):
        assert not q.full()
        q.put(item, block=False)
    assert q.full()
    with pytest.raises(stdlib.Full):
        q.put(0, block=False)
    assert q.qsize() == room
    assert type(q.maxsize) is type(maxsize)
    assert q.maxsize == maxsize


def test_maxsize_by_name_and_default(cls: type) -> None:
    assert cls(maxsize=4).maxsize == 4
    assert cls().maxsize == 0


def test_a_non_number_as_maxsize_fails(cls: type) -> None:
    with pytest.raises(TypeError, match="not supported between instances of 'str' and 'int'"):
        cls("7").put(1)


def test_nan_as_maxsize_is_no_limit(cls: type) -> None:
    q = cls(float("nan"))
    q.put(1, block=False)
    q.put(2, block=False)
    assert not q.full()


def test_maxsize_is_assignable(cls: type) -> None:
    q = cls(1)
    q.put(1)
    assert q.full()
    q.maxsize = 2
    assert not q.full()
    q.put(2, block=False)
    with pytest.raises(stdlib.Full):
        q.put(3, block=False)
    q.maxsize = 1
    assert q.full()
    assert q.qsize() == 2
    q.get()
    with pytest.raises(stdlib.Full):
        q.put(3, block=False)
    q.maxsize = 0
    for item in range(50):
        q.put(item, block=False)
    assert not q.full()


def test_a_smaller_maxsize_keeps_the_items(cls: type) -> None:
    q = cls(8)
    for item in range(8):
        q.put(item)
    q.maxsize = 2
    assert q.qsize() == 8
    assert q.full()
    assert sorted(drain(q)) == list(range(8))


def test_qsize_empty_full(cls: type) -> None:
    q = cls(2)
    assert (q.qsize(), q.empty(), q.full()) == (0, True, False)
    q.put(1)
    assert (q.qsize(), q.empty(), q.full()) == (1, False, False)
    q.put(2)
    assert (q.qsize(), q.empty(), q.full()) == (2, False, True)
    assert type(q.qsize()) is int
    assert type(q.empty()) is bool
    assert type(q.full()) is bool


@pytest.mark.parametrize("item", [None, float("nan"), (), [], object(), NotImplemented, ...])
def test_any_object_is_an_item(impl: ModuleType, item: Any) -> None:
    for q in (impl.Queue(), impl.LifoQueue(), impl.PriorityQueue(), impl.SimpleQueue()):
        q.put(item)
        assert q.get() is item


def test_a_queue_is_not_a_container(cls: type) -> None:
    q = cls()
    assert bool(q)
    with pytest.raises(TypeError, match="has no len"):
        len(q)
    with pytest.raises(TypeError, match="not iterable"):
        iter(q)


# -- how calls are written ---------------------------------------------------------------------


def test_arguments(cls: type) -> None:
    q = cls()
    assert q.put(1) is None
    assert q.put(item=2) is None
    assert q.put(3, True) is None
    assert q.put(4, False, None) is None
    assert q.put(block=True, item=5, timeout=1) is None
    assert q.put_nowait(6) is None
    assert q.put_nowait(item=7) is None
    got = {
        q.get(),
        q.get(True),
        q.get(False, None),
        q.get(block=True, timeout=1),
        q.get(timeout=1),
        q.get_nowait(),
        q.get(True, timeout=0.5),
    }
    assert got == set(range(1, 8))
    assert q.task_done() is None


def test_block_is_any_truth_value(cls: type) -> None:
    q = cls(1)
    for block in (0, "", [], None):
        with pytest.raises(stdlib.Empty):
            q.get(block)
    q.put(1, "yes")
    for block in (0, "", [], None):
        with pytest.raises(stdlib.Full):
            q.put(1, block)
    assert q.get([0]) == 1


def test_a_block_that_raises(cls: type) -> None:
    class Bad:
        def __bool__(self) -> bool:
            raise ZeroDivisionError

    q = cls()
    with pytest.raises(ZeroDivisionError):
        q.get(Bad())
    q.put(1)
    q.put(1, False)
    assert q.qsize() == 2


@pytest.mark.parametrize(
    ("method", "args", "kwargs"),
    [
        ("put", (), {}),
        ("put", (1, True, None, 4), {}),
        ("put", (1,), {"item": 2}),
        ("put", (1,), {"no": 2}),
        ("put_nowait", (), {}),
        ("put_nowait", (1, 2), {}),
        ("get", (True, None, 3), {}),
        ("get", (), {"no": 2}),
        ("get", (True,), {"block": True}),
        ("get_nowait", (1,), {}),
        ("task_done", (1,), {}),
        ("qsize", (1,), {}),
        ("join", (1, 2, 3), {}),
    ],
)
def test_wrong_arguments(cls: type, method: str, args: Any, kwargs: Any) -> None:
    q = cls()
    q.put(0)
    with pytest.raises(TypeError):
        getattr(q, method)(*args, **kwargs)
    assert q.qsize() == 1


def test_the_missing_item_is_named(cls: type) -> None:
    with pytest.raises(TypeError, match=r"missing.*argument.*'item'"):
        cls().put()


@pytest.mark.parametrize(
    "method", ["put", "get", "put_nowait", "get_nowait", "task_done", "qsize", "empty", "full"]
)
def test_signatures(cls: type, name: str, method: str) -> None:
    standard = inspect.signature(getattr(getattr(stdlib, name), method))
    mine = inspect.signature(getattr(cls, method))
    assert [p.name for p in mine.parameters.values()] == [
        p.name for p in standard.parameters.values()
    ]
    assert [p.default for p in mine.parameters.values()] == [
        p.default for p in standard.parameters.values()
    ]


# -- timeouts ----------------------------------------------------------------------------------


def test_get_on_empty(cls: type) -> None:
    q = cls()
    for call in (
        q.get_nowait,
        lambda: q.get(False),
        lambda: q.get(timeout=0),
        lambda: q.get(True, 0.005),
    ):
        with pytest.raises(stdlib.Empty) as caught:
            call()
        assert caught.value.args == ()
        assert type(caught.value) is stdlib.Empty


def test_put_on_full(cls: type) -> None:
    q = cls(1)
    q.put(0)
    for call in (
        lambda: q.put_nowait(1),
        lambda: q.put(1, False),
        lambda: q.put(1, timeout=0),
        lambda: q.put(1, True, 0.005),
    ):
        with pytest.raises(stdlib.Full) as caught:
            call()
        assert caught.value.args == ()
        assert type(caught.value) is stdlib.Full
    assert q.qsize() == 1


@pytest.mark.parametrize("timeout", [0.02, 1 / 64])
def test_a_timeout_is_waited_for(cls: type, timeout: float) -> None:
    q = cls(1)
    start = time.monotonic()
    with pytest.raises(stdlib.Empty):
        q.get(timeout=timeout)
    middle = time.monotonic()
    q.put(0)
    with pytest.raises(stdlib.Full):
        q.put(1, timeout=timeout)
    end = time.monotonic()
    assert middle - start >= timeout * 0.99
    assert end - middle >= timeout * 0.99
    assert end - start < LIMIT


def test_an_int_and_a_bool_are_timeouts(cls: type) -> None:
    q = cls(1)
    for zero in (0, 0.0, -0.0, False):
        with pytest.raises(stdlib.Empty):
            q.get(timeout=zero)
    q.put(5, timeout=True)
    assert q.get(timeout=1) == 5


@pytest.mark.parametrize("timeout", [-1, -0.001, -1e300, float("-inf"), -(10**30)])
def test_negative_timeout(cls: type, timeout: float) -> None:
    bounded, free, stocked = cls(1), cls(), cls(1)
    stocked.put(7)
    for call in (
        lambda: bounded.get(timeout=timeout),
        lambda: free.get(timeout=timeout),
        lambda: stocked.get(timeout=timeout),
        lambda: stocked.put(1, timeout=timeout),
        lambda: bounded.put(1, timeout=timeout),
    ):
        with pytest.raises(ValueError, match=f"^{NEGATIVE}$"):
            call()
    assert bounded.empty()
    assert stocked.qsize() == 1


def test_a_negative_timeout_is_not_looked_at(cls: type) -> None:
    free, stocked = cls(), cls(1)
    free.put(1, timeout=-1)
    free.put(1, True, -1)
    assert free.qsize() == 2
    assert free.get(False, -1) == 1
    stocked.put(1, block=False, timeout=-1)
    with pytest.raises(stdlib.Full):
        stocked.put(2, block=False, timeout=-1)
    assert stocked.get(block=False, timeout=-1) == 1
    with pytest.raises(stdlib.Empty):
        stocked.get(block=False, timeout=-1)


@pytest.mark.parametrize("timeout", ["1", b"", [], (), {}, object()])
def test_a_timeout_that_is_no_number(cls: type, timeout: Any) -> None:
    bounded, stocked = cls(1), cls(1)
    stocked.put(7)
    for call in (
        lambda: bounded.get(timeout=timeout),
        lambda: stocked.get(timeout=timeout),
        lambda: stocked.put(1, timeout=timeout),
        lambda: bounded.put(1, timeout=timeout),
    ):
        with pytest.raises(TypeError) as caught:
            call()
        assert type(timeout).__name__ in str(caught.value)
    assert bounded.empty()
    assert stocked.qsize() == 1
    free = cls()
    free.put(1, timeout=timeout)
    assert free.get(False, timeout) == 1


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 2**70, 1e19])
def test_a_huge_timeout_overflows_when_it_is_waited_for(cls: type, timeout: float) -> None:
    empty, full = cls(1), cls(1)
    full.put(1)
    with pytest.raises(OverflowError, match=r"timestamp|timeout"):
        empty.get(timeout=timeout)
    with pytest.raises(OverflowError, match=r"timestamp|timeout"):
        full.put(2, timeout=timeout)
    assert full.get(timeout=timeout) == 1
    empty.put(2, timeout=timeout)
    assert empty.qsize() == 1


def test_the_longest_timeout_works(cls: type) -> None:
    q = cls(1)
    getter = Worker(q.get, True, threading.TIMEOUT_MAX)
    q.put(3)
    assert getter.result() == 3


def test_a_timeout_is_any_number(impl: ModuleType, name: str) -> None:
    q = getattr(impl, name)(1)
    for zero in (Fraction(0), Decimal(0)):
        # The standard library cannot add a Decimal to the time of day.
        chokes = impl is stdlib and type(zero) is Decimal
        with pytest.raises(TypeError if chokes else stdlib.Empty):
            q.get(timeout=zero)


# -- blocking ----------------------------------------------------------------------------------


def test_get_waits_for_put(cls: type) -> None:
    q = cls()
    getter = Worker(q.get)
    q.put("x")
    assert getter.result() == "x"
    getter = Worker(q.get, timeout=LIMIT)
    q.put("y")
    assert getter.result() == "y"


def test_put_waits_for_get(cls: type, name: str) -> None:
    q = cls(1)
    q.put(1)
    putter = Worker(q.put, 2)
    first = q.get()
    putter.result()
    assert [first, q.get()] == [1, 2]


def test_put_waits_for_a_larger_maxsize(impl: ModuleType) -> None:
    """The standard class needs a wake-up by hand; concx wakes by itself."""
    q = impl.Queue(1)
    q.put(1)
    putter = Worker(q.put, 2)
    q.maxsize = 2
    if impl is stdlib:
        with q.not_full:
            q.not_full.notify()
    putter.result()
    assert q.qsize() == 2


def test_nothing_is_lost_between_threads(cls: type) -> None:
    q = cls(3)
    count, producers, consumers = 200, 3, 2

    def produce(base: int) -> None:
        for item in range(count):
            q.put(base * count + item)

    def consume() -> list[int]:
        got: list[int] = []
        while (item := q.get()) < producers * count:
            got.append(item)
        return got

    workers = [Worker(consume) for _ in range(consumers)]
    run_threads(*[lambda base=base: produce(base) for base in range(producers)])
    wait_until(q.empty)
    for _ in range(consumers):
        q.put(10**9)
    got = [item for worker in workers for item in worker.result()]
    assert sorted(got) == list(range(producers * count))


# -- join and task_done ------------------------------------------------------------------------


def test_task_done_too_often(cls: type) -> None:
    q = cls()
    with pytest.raises(ValueError, match=r"^task_done\(\) called too many times$"):
        q.task_done()
    q.put(1)
    q.task_done()  # allowed before get, as in the standard library
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()
    assert q.unfinished_tasks == 0


def test_join_of_a_new_queue_returns(cls: type) -> None:
    assert cls().join() is None


def test_join_waits_for_task_done(cls: type) -> None:
    q = cls()
    for item in range(3):
        q.put(item)
    joiner = Worker(q.join)
    for _ in range(3):
        assert joiner.is_alive()
        q.get()
        assert joiner.is_alive()
        q.task_done()
    joiner.result()
    q.join()


def test_join_twice(cls: type) -> None:
    q = cls()
    for _ in range(2):
        q.put(1)
        joiners = [Worker(q.join) for _ in range(3)]
        q.get()
        q.task_done()
        for joiner in joiners:
            joiner.result()


def test_unfinished_tasks_counts_puts(cls: type) -> None:
    q = cls()
    q.put(1)
    q.put(2)
    assert q.unfinished_tasks == 2
    q.get()
    assert q.unfinished_tasks == 2
    q.task_done()
    assert q.unfinished_tasks == 1


def test_unfinished_tasks_is_assignable(cls: type) -> None:
    q = cls()
    q.unfinished_tasks = 2
    q.task_done()
    assert q.unfinished_tasks == 1
    q.task_done()
    q.join()
    q.put(1)
    q.unfinished_tasks = 0
    q.join()
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()
    q.unfinished_tasks += 1
    assert q.unfinished_tasks == 1


# -- put_nowait and get_nowait go through put and get -----------------------------------------------


def test_nowait_dispatches_through_put_and_get(cls: type) -> None:
    calls: list[tuple[Any, ...]] = []

    class Logged(cls):  # type: ignore[misc, valid-type]
        def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
            calls.append(("put", item, block, timeout))
            super().put(item, block, timeout)

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            calls.append(("get", block, timeout))
            return super().get(block, timeout)

    q = Logged(1)
    q.put_nowait(4)
    assert q.get_nowait() == 4
    assert calls == [("put", 4, False, None), ("get", False, None)]


def test_nowait_dispatches_through_the_instance(cls: type) -> None:
    q = cls()
    calls: list[Any] = []
    original = q.put
    q.put = lambda item, block=True, timeout=None: (
        calls.append((item, block)),
        original(item, block, timeout),
    )
    q.put_nowait(3)
    assert calls == [(3, False)]
    q.get = lambda block=True, timeout=None: ("mine", block)
    assert q.get_nowait() == ("mine", False)
    del q.get
    assert q.get_nowait() == 3
