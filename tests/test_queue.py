"""What concx's queues add to the standard ones, call by call."""

from __future__ import annotations

import dataclasses
import gc
import re
import sys
import sysconfig
import weakref
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from concx.queue import Empty, Full, LifoQueue, PriorityQueue, Queue, QueueStats, ShutDown
from queue_tools import LIMIT, Worker, wait_until, wait_waiting

# -- batches -----------------------------------------------------------------------------------------


def test_put_many_takes_any_iterable(make: Any) -> None:
    q = make()
    assert q.put_many([1, 2]) == 2
    assert q.put_many((3,)) == 1
    assert q.put_many(range(4, 6)) == 2
    assert q.put_many(iter({6: None})) == 1
    assert q.put_many(x for x in (7, 8)) == 2
    assert q.put_many("") == 0
    assert q.put_many([]) == 0
    assert q.get_many(100) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_put_many_says_how_many_went_in(make: Any) -> None:
    q = make(Queue, 3)
    assert q.put_many(range(5), block=False) == 3
    assert q.put_many(range(5), block=False) == 0
    assert q.put_many(range(5), timeout=0) == 0
    assert q.put_many(range(5), timeout=0.002) == 0
    assert q.qsize() == 3
    assert q.unfinished_tasks == 3
    assert q.get_many(9) == [0, 1, 2]


def test_put_many_waits_for_room(make: Any) -> None:
    q = make(Queue, 2)
    putter = Worker(q.put_many, range(50))
    got: list[int] = []
    while len(got) < 50:
        got += q.get_many(3, timeout=LIMIT)
    assert got == list(range(50))
    assert putter.result() == 50


def test_put_many_gives_up_in_the_middle(make: Any) -> None:
    q = make(Queue, 2)
    putter = Worker(q.put_many, range(9), timeout=0.01)
    assert putter.result() == 2
    assert q.qsize() == 2


def test_put_many_and_shutdown(make: Any) -> None:
    q = make(Queue, 2)
    putter = Worker(q.put_many, range(9))
    wait_waiting(q, puts=1)
    q.shutdown()
    assert putter.result() == 2
    with pytest.raises(ShutDown):
        q.put_many([1])
    assert q.get_many(9) == [0, 1]
    with pytest.raises(ShutDown):
        q.get_many(9)


def test_put_many_with_an_iterable_that_raises(make: Any) -> None:
    """It is read to its end before anything is put."""

    def items() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    q = make()
    with pytest.raises(ZeroDivisionError):
        q.put_many(items())
    with pytest.raises(TypeError, match="not iterable"):
        q.put_many(5)
    assert q.qsize() == q.unfinished_tasks == 0


def test_put_many_serves_waiting_gets(make: Any) -> None:
    q = make()
    getters = [Worker(q.get) for _ in range(3)]
    wait_waiting(q, gets=3)
    assert q.put_many(range(5)) == 5
    assert sorted([*(getter.result() for getter in getters), *q.get_many(9)]) == list(range(5))


def test_get_many(make: Any, cls: Any) -> None:
    q = make(cls)
    q.put_many([2, 1, 3])
    first = q.get_many(2)
    assert type(first) is list
    expected = {Queue: [2, 1], LifoQueue: [3, 1], PriorityQueue: [1, 2]}[cls]
    assert first == expected
    assert q.get_many(max_items=5, block=True, timeout=None) == list(q_rest(cls))
    for call in (
        lambda: q.get_many(3, False),
        lambda: q.get_many(3, timeout=0),
        lambda: q.get_many(1, True, 0.001),
    ):
        with pytest.raises(Empty):
            call()


def q_rest(cls: Any) -> list[int]:
    return {Queue: [3], LifoQueue: [2], PriorityQueue: [3]}[cls]


def test_get_many_waits_for_the_first(make: Any) -> None:
    q = make()
    getter = Worker(q.get_many, 10)
    wait_waiting(q, gets=1)
    q.put("a")
    assert getter.result() == ["a"]


def test_get_many_lets_waiting_puts_in(make: Any) -> None:
    q = make(Queue, 2)
    q.put_many([1, 2])
    putters = [Worker(q.put, item) for item in (3, 4)]
    wait_waiting(q, puts=2)
    assert q.get_many(2) == [1, 2]
    for putter in putters:
        putter.result()
    assert sorted(q.get_many(9)) == [3, 4]


@pytest.mark.parametrize("most", [-1, -100])
def test_get_many_of_a_negative_number(make: Any, most: int) -> None:
    with pytest.raises(ValueError, match=str(most)):
        make().get_many(most)


def test_get_many_of_nonsense(make: Any) -> None:
    for most in ("3", None, 1.5, []):
        with pytest.raises(TypeError, match=re.escape(f"'max_items' must be an int, got {most!r}")):
            make().get_many(most)
    with pytest.raises(TypeError, match="missing required argument: 'max_items'"):
        make().get_many()


def test_get_many_of_none_at_all(make: Any) -> None:
    assert make().get_many(0) == []


# -- peek, clear, consume ----------------------------------------------------------------------------


def test_peek(make: Any, cls: Any) -> None:
    q = make(cls)
    with pytest.raises(Empty):
        q.peek()
    q.put_many([2, 1, 3])
    expected = {Queue: 2, LifoQueue: 3, PriorityQueue: 1}[cls]
    assert q.peek() == q.peek() == expected
    assert q.qsize() == 3
    assert q.get() == expected
    q.clear()
    q.shutdown()
    with pytest.raises(ShutDown):
        q.peek()


def test_clear(make: Any, cls: Any) -> None:
    q = make(cls)
    assert q.clear() == 0
    q.put_many([1, 2, 3])
    q.get()
    assert q.clear() == 2
    assert q.empty()
    assert q.unfinished_tasks == 1
    q.task_done()
    q.join()


def test_clear_lets_waiting_puts_and_joins_go(make: Any) -> None:
    q = make(Queue, 2)
    q.put_many([1, 2])
    putters = [Worker(q.put, item) for item in (3, 4)]
    wait_waiting(q, puts=2)
    assert q.clear() == 2
    for putter in putters:
        putter.result()
    joiner = Worker(q.join)
    assert q.clear() == 2
    joiner.result()


def test_consume(make: Any) -> None:
    q = make()
    consumer = Worker(lambda: list(q.consume()))
    q.put_many(range(5))
    q.shutdown()
    assert consumer.result() == list(range(5))
    assert list(q.consume()) == []
    iterator = q.consume()
    assert iter(iterator) is iterator
    with pytest.raises(StopIteration):
        next(iterator)


def test_two_consumers(make: Any) -> None:
    q = make(Queue, 3)
    consumers = [Worker(lambda: list(q.consume())) for _ in range(2)]
    q.put_many(range(200))
    q.shutdown()
    assert sorted(consumers[0].result() + consumers[1].result()) == list(range(200))


# -- overflow ----------------------------------------------------------------------------------------


def test_raise_at_once(make: Any, cls: Any) -> None:
    q = make(cls, 1, overflow="raise")
    q.put(1)
    for call in (lambda: q.put(2), lambda: q.put(2, timeout=60), lambda: q.put_nowait(2)):
        with pytest.raises(Full):
            call()
    assert q.put_many([2, 3]) == 0


def test_drop_oldest(make: Any) -> None:
    q = make(Queue, 3, overflow="drop_oldest")
    for item in range(10):
        q.put(item)
    assert q.qsize() == 3
    assert q.stats().dropped == 7
    assert q.unfinished_tasks == 3
    assert q.put_many([10, 11]) == 2
    assert q.get_many(9) == [9, 10, 11]
    stack = make(LifoQueue, 2, overflow="drop_oldest")
    for item in range(5):
        stack.put_nowait(item)
    assert stack.get_many(9) == [4, 3]


def test_drop_newest(make: Any, cls: Any) -> None:
    q = make(cls, 2, overflow="drop_newest")
    for item in range(5):
        q.put(item)
    assert sorted(q.get_many(9)) == [0, 1]
    assert q.stats().dropped == 3
    q.task_done()
    q.task_done()
    q.join()


def test_a_dropped_item_counts_as_done(make: Any) -> None:
    q = make(Queue, 1, overflow="drop_oldest")
    q.put(1)
    joiner = Worker(q.join)
    q.put(2)
    q.get()
    q.task_done()
    joiner.result()


def test_a_dropped_item_dies(make: Any) -> None:
    class Item:
        pass

    for mode in ("drop_oldest", "drop_newest"):
        q = make(Queue, 1, overflow=mode)
        items = [Item(), Item()]
        refs = [weakref.ref(item) for item in items]
        q.put(items[0])
        q.put(items[1])
        del items
        gc.collect()
        assert [ref() is None for ref in refs] == [mode == "drop_oldest", mode == "drop_newest"]


def test_bad_overflow() -> None:
    known = "must be 'block', 'raise', 'drop_oldest' or 'drop_newest'"
    with pytest.raises(ValueError, match=f"'overflow' {known}, got 'sometimes'"):
        Queue(1, overflow="sometimes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"'overflow' {known}, got 3"):
        Queue(1, overflow=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be 'block', 'raise' or 'drop_newest', got 'drop_ol"):
        PriorityQueue(1, overflow="drop_oldest")
    with pytest.raises(TypeError, match="at most 1 positional argument"):
        Queue(1, "raise")  # type: ignore[misc]


# -- weights -----------------------------------------------------------------------------------------


def test_weights(make: Any, cls: Any) -> None:
    q = make(cls, weigher=len, max_weight=5)
    q.put("aaa")
    with pytest.raises(Full):
        q.put_nowait("bbb")
    q.put_nowait("bb")
    with pytest.raises(Full):
        q.put("c", timeout=0.001)
    q.put_nowait("")
    assert q.qsize() == 3
    q.get_many(3)
    q.put("ccccc")
    assert q.get() == "ccccc"


def test_both_bounds_hold(make: Any) -> None:
    q = make(Queue, 2, weigher=len, max_weight=100)
    assert q.put_many(["a", "b", "c"], block=False) == 2
    assert q.full()


def test_an_item_too_heavy(make: Any) -> None:
    q = make(weigher=len, max_weight=3)
    with pytest.raises(ValueError, match=r"4.*3"):
        q.put("aaaa")
    assert q.empty()
    assert q.unfinished_tasks == 0


def test_weights_and_waiting(make: Any) -> None:
    q = make(weigher=len, max_weight=4)
    q.put("aaaa")
    putters = [Worker(q.put, "bb"), Worker(q.put, "cc")]
    wait_waiting(q, puts=2)
    assert q.get() == "aaaa"
    for putter in putters:
        putter.result()
    assert sorted(q.get_many(9)) == ["bb", "cc"]


def test_weights_and_clear(make: Any) -> None:
    q = make(weigher=len, max_weight=4)
    q.put("aaaa")
    assert q.clear() == 1
    q.put("bbbb", timeout=0)
    q.shutdown(immediate=True)
    assert q.empty()


@pytest.mark.parametrize("weight", [-1, 2**63, 1.5, "x", None])
def test_bad_weights(make: Any, weight: Any) -> None:
    q = make(weigher=lambda _: weight, max_weight=3)
    if type(weight) is int:
        with pytest.raises(ValueError, match=rf"an int from 0 to 2\*\*63-1, got {weight}"):
            q.put("a")
    else:
        with pytest.raises(TypeError, match=f"'weigher' returns must be an int, got {weight!r}"):
            q.put("a")
    assert q.empty()


def test_a_weigher_that_raises(make: Any) -> None:
    q = make(weigher=len, max_weight=3)
    with pytest.raises(TypeError, match="no len"):
        q.put(5)
    assert q.empty()


def test_the_weigher_is_called_once_for_each_put(make: Any) -> None:
    weighed = []

    def weigher(item: Any) -> int:
        weighed.append(item)
        return 1

    q = make(weigher=weigher, max_weight=1)
    q.put("a")
    putter = Worker(q.put, "b")
    wait_waiting(q, puts=1)
    assert [q.get(), q.get()] == ["a", "b"]
    putter.result()
    assert weighed == ["a", "b"]


def test_weigher_and_max_weight_go_together() -> None:
    with pytest.raises(TypeError, match=r"'weigher' and 'max_weight' go together, got .* and None"):
        Queue(weigher=len)
    with pytest.raises(TypeError, match="'weigher' and 'max_weight' go together, got None and 5"):
        Queue(max_weight=5)
    with pytest.raises(TypeError, match="'weigher' must be callable, got 3"):
        Queue(weigher=3, max_weight=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'max_weight' must be an int, got '5'"):
        Queue(weigher=len, max_weight="5")  # type: ignore[arg-type]
    for bad in (0, -5):
        with pytest.raises(
            ValueError, match=rf"'max_weight' must be an int from 1 to 2\*\*63-1, got {bad}"
        ):
            Queue(weigher=len, max_weight=bad)


# -- timeouts, stats, repr, size ---------------------------------------------------------------------


def test_timedelta(make: Any) -> None:
    q = make(Queue, 1)
    with pytest.raises(Empty):
        q.get(timeout=timedelta(milliseconds=2))
    q.put(1, timeout=timedelta(0))
    with pytest.raises(Full):
        q.put(2, timeout=timedelta(0))
    with pytest.raises(ValueError, match="non-negative"):
        q.get(timeout=timedelta(seconds=-1))
    assert q.get(timeout=timedelta(days=1)) == 1
    with pytest.raises(Empty):
        q.get_many(2, timeout=timedelta(0))


def test_nan(make: Any) -> None:
    q = make(Queue, 1)
    with pytest.raises(ValueError, match="NaN"):
        q.get(timeout=float("nan"))
    q.put(1)
    with pytest.raises(ValueError, match="NaN"):
        q.put(2, timeout=float("nan"))


def test_stats(make: Any) -> None:
    q = make(Queue, 2)
    before = q.stats()
    assert isinstance(before, QueueStats)
    assert dataclasses.is_dataclass(before)
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.puts = 3
    assert before == QueueStats(0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0, 0)
    q.put_many([1, 2])
    with pytest.raises(Full):
        q.put(3, timeout=0.002)
    q.get_many(2)
    with pytest.raises(Empty):
        q.get(timeout=0.002)
    after = q.stats()
    assert (after.puts, after.gets, after.blocked_puts, after.blocked_gets) == (2, 2, 1, 1)
    assert (after.waiting_puts, after.waiting_gets, after.waiting_joins) == (0, 0, 0)
    assert (after.high_water, after.dropped, after.blocked_on_loop) == (2, 0, 0)
    assert 0.003 < after.wait_time < LIMIT


def test_stats_of_waiting_callers(make: Any) -> None:
    q = make(Queue, 1)
    getters = [Worker(q.get) for _ in range(2)]
    wait_waiting(q, gets=2)
    q.put_many([1, 2, 3])
    for getter in getters:
        getter.result()
    assert q.qsize() == 1
    putter = Worker(q.put, 9)
    wait_waiting(q, puts=1, gets=0)
    joiner = Worker(q.join)
    wait_until(lambda: q.stats().waiting_joins == 1)
    q.clear()
    putter.result()
    q.clear()
    while q.unfinished_tasks:
        q.task_done()
    joiner.result()


def test_repr(cls: Any) -> None:
    q = cls(8)
    q.put_many([1, 2, 3])
    assert repr(q).startswith(f"<concx.{cls.__name__} size=3 maxsize=8")

    class Mine(cls):
        pass

    assert "Mine" in repr(Mine())


def test_repr_shows_waiting_callers() -> None:
    q = Queue()
    getter = Worker(q.get)
    wait_waiting(q, gets=1)
    assert "waiting=1" in repr(q)
    q.put(1)
    getter.result()


def test_getsizeof_grows_with_the_content(cls: Any) -> None:
    q = cls()
    empty = sys.getsizeof(q)
    q.put_many(range(1000))
    full = sys.getsizeof(q)
    assert full >= empty + 8 * 1000
    q.clear()
    assert sys.getsizeof(q) <= full


# -- garbage -----------------------------------------------------------------------------------------


def test_items_are_let_go(make: Any, cls: Any) -> None:
    class Item:
        def __lt__(self, other: Any) -> bool:
            return False

    q = make(cls)
    items = [Item() for _ in range(4)]
    refs = [weakref.ref(item) for item in items]
    q.put_many(items)
    del items
    q.get()
    q.clear()
    gc.collect()
    assert [ref() for ref in refs] == [None] * 4


def test_a_cycle_through_the_queue_is_collected(make: Any) -> None:
    class Item:
        pass

    q = make()
    item = Item()
    item.queue = q  # type: ignore[attr-defined]
    q.put(item)
    q.put(q)
    refs = weakref.ref(item), weakref.ref(q)
    del q, item
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


def test_a_cycle_through_weigher_and_attributes() -> None:
    q = Queue(weigher=lambda item: 1, max_weight=3)
    q.me = q  # type: ignore[attr-defined]
    q.consumer = q.consume()  # type: ignore[attr-defined]
    ref = weakref.ref(q)
    del q
    gc.collect()
    assert ref() is None


def test_a_cycle_through_a_subclass() -> None:
    class Mine(Queue[Any]):
        pass

    q = Mine()
    q.put(Mine)
    q.put(q)
    ref, class_ref = weakref.ref(q), weakref.ref(Mine)
    del q, Mine
    gc.collect()
    assert ref() is None
    # CPython 3.13t makes classes immortal once a second thread has started; 3.14t frees them.
    if not (sys.version_info < (3, 14) and sysconfig.get_config_var("Py_GIL_DISABLED")):
        assert class_ref() is None


def test_gc_sees_the_items() -> None:
    q = Queue()
    item = object()
    q.put(item)
    assert item in gc.get_referents(q)
    assert gc.is_tracked(q)
