"""What concx's SimpleQueue adds to the standard one."""

from __future__ import annotations

import gc
import sys
import weakref
from datetime import timedelta
from typing import Any

import pytest

from concx.queue import Empty, QueueStats, SimpleQueue
from queue_tools import Worker, run_async, wait_waiting


def test_batches() -> None:
    q: SimpleQueue[Any] = SimpleQueue()
    assert q.put_many(range(5)) == 5
    assert q.put_many([]) == 0
    assert q.get_many(3) == [0, 1, 2]
    assert q.get_many(9, timeout=1) == [3, 4]
    for call in (lambda: q.get_many(1, False), lambda: q.get_many(1, timeout=0)):
        with pytest.raises(Empty):
            call()


def test_get_many_waits_for_the_first() -> None:
    q: SimpleQueue[Any] = SimpleQueue()
    getter = Worker(q.get_many, 10)
    wait_waiting(q, gets=1)
    q.put("a")
    assert getter.result() == ["a"]


def test_async() -> None:
    async def main() -> None:
        q: SimpleQueue[Any] = SimpleQueue()
        await q.put_async(1)
        assert await q.get_async() == 1
        with pytest.raises(Empty):
            await q.get_async(timeout=0.001)
        with pytest.raises(Empty):
            await q.get_async(block=False)
        assert await q.put_many_async([2, 3]) == 2
        assert await q.get_many_async(5) == [2, 3]

    run_async(main())


def test_timedelta() -> None:
    q: SimpleQueue[Any] = SimpleQueue()
    with pytest.raises(Empty):
        q.get(timeout=timedelta(milliseconds=1))
    with pytest.raises(ValueError, match="non-negative"):
        q.get(timeout=timedelta(milliseconds=-1))


def test_stats() -> None:
    q: SimpleQueue[Any] = SimpleQueue()
    q.put_many([1, 2, 3])
    q.get()
    with pytest.raises(Empty):
        SimpleQueue().get(timeout=0.001)
    stats = q.stats()
    assert isinstance(stats, QueueStats)
    assert (stats.puts, stats.gets, stats.high_water, stats.dropped) == (3, 1, 3, 0)


def test_repr() -> None:
    q: SimpleQueue[Any] = SimpleQueue()
    q.put(1)
    assert repr(q).startswith("<concx.SimpleQueue size=1")


def test_getsizeof_grows_with_the_content() -> None:
    q: SimpleQueue[Any] = SimpleQueue()
    empty = sys.getsizeof(q)
    q.put_many(range(1000))
    assert sys.getsizeof(q) >= empty + 8 * 1000


def test_a_cycle_through_the_queue_is_collected() -> None:
    class Item:
        pass

    q: SimpleQueue[Any] = SimpleQueue()
    item = Item()
    item.queue = q  # type: ignore[attr-defined]
    q.put(item)
    q.put(q)
    refs = weakref.ref(item), weakref.ref(q)
    del q, item
    gc.collect()
    assert [ref() for ref in refs] == [None, None]
