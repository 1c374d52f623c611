"""What holds of every RingQueue and SpscQueue of objects: references and the cyclic collector."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import pytest

from concx.queue import Full, ShutDown
from queue_tools import SteppedLoop, run_async


class ObjectCases:
    """What holds of queues of objects."""

    def make(self, capacity: int) -> Any:
        raise NotImplementedError

    class Item:
        pass

    def test_drops(self) -> None:
        q = self.make(4)
        items = [self.Item() for _ in range(4)]
        refs = [weakref.ref(item) for item in items]
        q.put_many(items)
        del items
        assert q.get() is refs[0]() is not None
        gc.collect()
        assert refs[0]() is None
        assert q.clear() == 3
        assert all(ref() is None for ref in refs)
        item = self.Item()
        ref = weakref.ref(item)
        q.put(item)
        del item
        q.shutdown(immediate=True)
        assert ref() is None

    def test_drops_with_queue(self) -> None:
        q = self.make(4)
        item = self.Item()
        ref = weakref.ref(item)
        q.put(item)
        del item
        del q
        assert ref() is None

    def test_drops_refused(self) -> None:
        q = self.make(1)
        q.put(None)
        item = self.Item()
        before = sys.getrefcount(item)
        with pytest.raises(Full):
            q.put(item, timeout=0.001)
        assert q.put_many([item, item], block=False) == 0
        q.shutdown()
        with pytest.raises(ShutDown):
            q.put(item)
        assert sys.getrefcount(item) == before

    def test_drops_cancelled(self) -> None:
        async def main() -> None:
            q = self.make(1)
            q.put(None)
            item = self.Item()
            ref = weakref.ref(item)
            with pytest.raises(Full):
                await q.put_async(item, timeout=0.001)
            assert await q.put_many_async([item], timeout=0.001) == 0
            del item
            gc.collect()
            assert ref() is None

        run_async(main())

    def test_drops_reentrant(self) -> None:
        """The last reference goes inside the queue, and its finaliser uses the queue."""
        q = self.make(4)

        class Item:
            def __del__(self) -> None:
                q.put("last words")

        q.put_many([Item(), Item()])
        assert q.clear() == 2
        assert q.get_many(5) == ["last words"] * 2

    def test_gc(self) -> None:
        q = self.make(4)
        item = self.Item()
        item.queue = q  # type: ignore[attr-defined]
        ref, queue_ref = weakref.ref(item), weakref.ref(q)
        q.put(item)
        iterator = iter(q)
        item.iterator = iterator  # type: ignore[attr-defined]
        assert q in gc.get_referrers(item)
        del item, q, iterator
        gc.collect()
        assert ref() is None
        assert queue_ref() is None

    def test_gc_suspended(self) -> None:
        """A task that nobody will wake, its loop and its queue are garbage together."""
        loop = SteppedLoop()
        q = self.make(4)
        ref = weakref.ref(q)
        task = loop.create_task(q.get_async())
        loop.settle()
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()
        del task, loop, q
        gc.collect()
        assert ref() is None

    def test_gc_leaks(self) -> None:
        """The reference counts are the same after thousands of operations."""
        q = self.make(16)
        item = self.Item()
        before = sys.getrefcount(item)
        for _ in range(2000):
            q.put(item)
            q.put_many([item] * 20, block=False)
            q.get()
            q.get_many(3)
            q.clear()
        assert sys.getrefcount(item) == before
