"""What RingQueue, SpscQueue and RingQueue of int64 cells have to do alike; items are ints throughout.

A test class derives from `BoundedCases` and says how its queue is made. One thread puts and one gets at a time,
so that the same cases hold for SpscQueue.
"""

from __future__ import annotations

import asyncio
import copy
import datetime
import gc
import math
import os
import pickle
import signal
import sys
import threading
import types
import weakref
from typing import Any

import pytest

from concx.queue import Empty, Full, QueueStats, ShutDown
from queue_tools import (
    Step,
    SteppedLoop,
    Worker,
    run_async,
    run_threads,
    wait_until,
    wait_waiting,
)


class Interrupted(Exception):
    pass


class BoundedCases:
    name: str
    ints = False

    def make(self, capacity: int) -> Any:
        raise NotImplementedError

    # smoke

    def test_smoke(self) -> None:
        q = self.make(3)
        q.put(1)
        q.put(item=2, block=False)
        q.put_nowait(3)
        assert q.full()
        assert not q.empty()
        assert [q.get(), q.get(timeout=1), q.get_nowait()] == [1, 2, 3]
        assert q.empty()
        assert not q.full()
        with pytest.raises(Empty):
            q.get_nowait()
        with pytest.raises(Empty):
            q.get(False)

    def test_smoke_repr(self) -> None:
        q = self.make(3)
        q.put(1)
        cells = " cells=int64" if self.ints else ""
        assert repr(q) == f"<concx.{self.name} size=1 capacity=3{cells} waiting=0>"
        q.shutdown()
        assert repr(q) == f"<concx.{self.name} size=1 capacity=3{cells} waiting=0 shut down>"

    def test_smoke_batches(self) -> None:
        q = self.make(5)
        assert q.put_many([]) == 0
        assert q.put_many(range(8), block=False) == 5
        assert q.put_many([9], timeout=0) == 0
        assert q.get_many(0) == []
        assert q.get_many(2) == [0, 1]
        assert q.put_many(iter([5, 6])) == 2
        assert q.get_many(sys.maxsize) == [2, 3, 4, 5, 6]
        with pytest.raises(Empty):
            q.get_many(3, block=False)
        with pytest.raises(ValueError, match="'max_items' must be a non-negative number, got -1"):
            q.get_many(-1)

    def test_smoke_arguments(self) -> None:
        q = self.make(1)
        for call, message in [
            (lambda: q.put(), "put.. missing required argument: 'item'"),
            (lambda: q.put(1, True, None, 4), "put.. takes at most 3 arguments"),
            (lambda: q.get(nonsense=1), "unexpected keyword argument 'nonsense'"),
            (lambda: q.get(True, block=True), "multiple values for argument 'block'"),
            (lambda: q.get_many(), "missing required argument: 'max_items'"),
            (lambda: q.put_many(7), "not iterable"),
            (lambda: q.get_many("x"), "integer"),
        ]:
            with pytest.raises(TypeError, match=message):
                call()
        assert len(q) == 0

    def test_smoke_refusals(self) -> None:
        q = self.make(1)
        for refused in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match=f"cannot pickle '.*{self.name}' object"):
                refused(q)

    def test_smoke_type(self) -> None:
        q = self.make(1)
        cls = type(q)
        assert weakref.ref(q)() is q
        assert isinstance(cls[int], types.GenericAlias)
        assert cls.__module__ == "concx.queue"
        for method in ("put", "get_many", "shutdown", "stats"):
            assert "Thread safety" in getattr(cls, method).__doc__

        class Sub(cls):  # type: ignore[misc, valid-type]
            pass

        sub = Sub(2)
        sub.attribute = 1
        sub.put(1)
        assert sub.get() == 1
        assert isinstance(sub, cls)

    # capacity, len

    def test_capacity(self) -> None:
        for capacity in (1, 2, 3, 7, 8, 9):
            q = self.make(capacity)
            assert q.capacity == capacity
            for lap in range(4):
                for i in range(capacity):
                    q.put_nowait(i)
                for _ in range(2):
                    with pytest.raises(Full):
                        q.put_nowait(99)
                assert [q.get_nowait() for _ in range(1 + lap % capacity)]
                assert q.get_many(capacity, block=False) if len(q) else True

    @pytest.mark.parametrize("bad", [0, -1, 2**40 + 1, 2**64])
    def test_capacity_out_of_range(self, bad: int) -> None:
        with pytest.raises(ValueError, match=f"capacity must be from 1 to 2..40, got {bad}"):
            self.make(bad)

    def test_capacity_no_int(self) -> None:
        with pytest.raises(TypeError, match="capacity must be an int, not str"):
            self.make("7")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="capacity must be an int, not float"):
            self.make(7.0)  # type: ignore[arg-type]

    def test_len(self) -> None:
        q = self.make(5)
        for n in range(5):
            assert len(q) == q.qsize() == n
            q.put(n)
        assert len(q) == 5
        q.get_many(3)
        assert len(q) == 2
        assert bool(q)
        assert q.clear() == 2
        assert not q

    def test_len_sizeof(self) -> None:
        small, large = sys.getsizeof(self.make(10)), sys.getsizeof(self.make(10_000))
        assert 200 < small < 2000
        assert 8 * 10_000 < large < 16 * 17_000 + 2000

    def test_stats(self) -> None:
        q = self.make(4)
        q.put_many([1, 2, 3])
        assert len(q) == 3  # a look, which high_water goes by on free-threaded builds
        q.get()
        assert q.clear() == 2
        stats = q.stats()
        assert isinstance(stats, QueueStats)
        assert (stats.puts, stats.gets, stats.dropped, stats.waiting_joins) == (3, 1, 0, 0)
        assert stats.high_water == 3
        getter = Worker(q.get)
        wait_waiting(q, gets=1)
        q.put(1)
        getter.result()
        stats = q.stats()
        assert (stats.blocked_gets, stats.blocked_puts, stats.waiting_gets) == (1, 0, 0)
        assert stats.wait_time > 0

    # spsc

    @pytest.mark.parametrize("capacity", [1, 8, 1000])
    def test_spsc(self, capacity: int) -> None:
        q = self.make(capacity)
        n = 500 if capacity == 1 else 20_000

        def produce() -> None:
            for i in range(n):
                q.put(i)

        _, got = run_threads(produce, lambda: [q.get() for _ in range(n)])
        assert got == list(range(n))
        assert len(q) == 0

    def test_spsc_batches(self) -> None:
        q = self.make(10)
        n = 20_000

        def produce() -> int:
            return sum(q.put_many(range(at, at + 50)) for at in range(0, n, 50))

        def consume() -> list[int]:
            got: list[int] = []
            while len(got) < n:
                got += q.get_many(7)
            return got

        put, got = run_threads(produce, consume)
        assert put == n
        assert got == list(range(n))

    # timeout

    def test_timeout(self) -> None:
        q = self.make(1)
        for wait in (0.01, datetime.timedelta(milliseconds=10)):
            with pytest.raises(Empty):
                q.get(timeout=wait)
            with pytest.raises(Empty):
                q.get_many(2, timeout=wait)
        q.put(1)
        with pytest.raises(Full):
            q.put(2, timeout=0.01)
        assert q.put_many([2, 3], timeout=0.01) == 0
        assert q.stats().waiting_gets == q.stats().waiting_puts == 0
        assert q.get() == 1

    def test_timeout_bad(self) -> None:
        q = self.make(1)
        for bad in (-1, -0.001, datetime.timedelta(seconds=-1)):
            with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
                q.get(timeout=bad)
            with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
                q.put(1, timeout=bad)
        with pytest.raises(ValueError, match="NaN"):
            q.get(timeout=math.nan)
        with pytest.raises(TypeError, match="'timeout' must be a number"):
            q.get(timeout="soon")
        with pytest.raises(OverflowError):
            q.get(timeout=1e300)
        with pytest.raises(Empty):
            q.get(block=False, timeout=-1)  # not looked at
        assert len(q) == 0

    def test_timeout_long_wait(self) -> None:
        q = self.make(1)
        getter = Worker(q.get, timeout=1e9)
        wait_waiting(q, gets=1)
        q.put(5)
        assert getter.result() == 5

    # interrupt

    @pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
    def test_interrupt(self) -> None:
        q = self.make(1)
        main = threading.get_ident()

        def strike(*, gets: int = 0, puts: int = 0) -> None:
            wait_waiting(q, gets=gets, puts=puts)
            signal.pthread_kill(main, signal.SIGUSR1)

        def handler(*_: Any) -> None:
            raise Interrupted

        before = signal.signal(signal.SIGUSR1, handler)
        try:
            for round in range(10):
                striker = Worker(strike, gets=1)
                with pytest.raises(Interrupted):
                    q.get()
                striker.result()
                q.put(round)
                striker = Worker(strike, puts=1)
                with pytest.raises(Interrupted):
                    q.put(99)
                striker.result()
                assert q.get() == round
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert len(q) == q.stats().waiting_gets == q.stats().waiting_puts == 0

    @pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
    def test_interrupt_puts(self) -> None:
        """A handler puts into the queue whose get it has interrupted."""
        q = self.make(4)
        main = threading.get_ident()
        before = signal.signal(signal.SIGUSR1, lambda *_: q.put(7))
        try:

            def strike() -> None:
                wait_waiting(q, gets=1)
                signal.pthread_kill(main, signal.SIGUSR1)

            striker = Worker(strike)
            assert q.get() == 7
            striker.result()
        finally:
            signal.signal(signal.SIGUSR1, before)

    # shutdown

    def test_shutdown(self) -> None:
        q = self.make(3)
        q.put_many([1, 2])
        assert not q.is_shutdown
        q.shutdown()
        q.shutdown()
        assert q.is_shutdown
        for refused in (lambda: q.put(3), lambda: q.put_nowait(3), lambda: q.put_many([3])):
            with pytest.raises(ShutDown):
                refused()
        assert q.put_many([]) == 0
        assert q.get() == 1
        assert q.get_many(5) == [2]
        for refused in (q.get, q.get_nowait, lambda: q.get_many(1)):
            with pytest.raises(ShutDown):
                refused()

    def test_shutdown_immediate(self) -> None:
        q = self.make(3)
        q.put_many([1, 2])
        q.shutdown(immediate=True)
        assert len(q) == 0
        with pytest.raises(ShutDown):
            q.get()

    def test_shutdown_wakes(self) -> None:
        q = self.make(1)
        getter = Worker(q.get)
        wait_waiting(q, gets=1)
        q.shutdown()
        with pytest.raises(ShutDown):
            getter.result()
        q = self.make(1)
        q.put(1)
        putter = Worker(q.put, 2)
        wait_waiting(q, puts=1)
        q.shutdown()
        with pytest.raises(ShutDown):
            putter.result()
        assert q.get() == 1

    def test_shutdown_partial_batch(self) -> None:
        q = self.make(2)
        putter = Worker(q.put_many, range(5))
        wait_waiting(q, puts=1)
        q.shutdown()
        assert putter.result() == 2

    def test_shutdown_race(self) -> None:
        """What was put before the end comes out, and nothing is put after it."""
        for _ in range(30):
            q = self.make(2)

            def produce(q: Any = q) -> int:
                n = 0
                try:
                    while True:
                        q.put(n)
                        n += 1
                except ShutDown:
                    return n

            def consume(q: Any = q) -> int:
                return len(list(q))

            def end(q: Any = q) -> None:
                wait_until(lambda: q.stats().puts > 3)
                q.shutdown()

            put, got, _ = run_threads(produce, consume, end)
            assert put == got
            with pytest.raises(ShutDown):
                q.get_nowait()

    # fork

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # threads and fork
    def test_fork(self) -> None:
        q = self.make(2)
        getter = Worker(q.get)
        wait_waiting(q, gets=1)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                assert q.stats().waiting_gets == 0  # that thread does not exist here
                q.put(1)
                q.put(2)
                assert (q.get(), q.get()) == (1, 2)
                try:
                    q.get(timeout=0.01)
                except Empty:
                    status = 0
            finally:
                os._exit(status)
        q.put(3)
        assert getter.result() == 3
        assert os.waitpid(child, 0)[1] == 0

    # iter

    def test_iter(self) -> None:
        q = self.make(3)
        q.put_many([1, 2, 3])
        iterator = iter(q)
        assert iter(iterator) is iterator
        assert next(iterator) == 1
        q.shutdown()
        assert list(iterator) == [2, 3]
        assert next(iterator, None) is None
        assert list(q) == []

    def test_iter_threads(self) -> None:
        q = self.make(2)

        def produce() -> None:
            for i in range(1000):
                q.put(i)
            q.shutdown()

        _, got = run_threads(produce, lambda: list(q))
        assert got == list(range(1000))

    # async

    def test_async(self) -> None:
        async def main() -> None:
            q = self.make(2)
            await q.put_async(1)
            await q.put_async(2, timeout=1)
            with pytest.raises(Full):
                await q.put_async(3, block=False)
            with pytest.raises(Full):
                await q.put_async(3, timeout=0.01)
            assert await q.get_async() == 1
            assert await q.get_many_async(5) == [2]
            with pytest.raises(Empty):
                await q.get_async(timeout=0.01)
            with pytest.raises(Empty):
                await q.get_many_async(2, block=False)
            assert await q.get_many_async(0) == []
            getter = asyncio.create_task(q.get_async())
            await asyncio.sleep(0)
            assert q.stats().waiting_gets == 1
            q.put(9)
            assert await getter == 9
            assert await q.put_many_async(range(3), timeout=0.01) == 2
            assert q.get_many(3) == [0, 1]

        run_async(main())

    def test_async_stream(self) -> None:
        async def main() -> None:
            q = self.make(3)

            async def produce() -> None:
                for i in range(1000):
                    await q.put_async(i)
                q.shutdown()

            task = asyncio.create_task(produce())
            assert [i async for i in q] == list(range(1000))
            await task
            with pytest.raises(ShutDown):
                await q.get_async()

        run_async(main(), debug=True)

    def test_async_thread_to_loop(self) -> None:
        async def main() -> list[int]:
            q = self.make(4)

            def produce() -> None:
                for i in range(5000):
                    q.put(i)
                q.shutdown()

            producer = Worker(produce)
            got = [i async for i in q]
            producer.result()
            return got

        assert run_async(main()) == list(range(5000))

    def test_async_loop_to_thread(self) -> None:
        async def main() -> list[int]:
            q = self.make(4)
            consumer = Worker(lambda: list(q))
            done = 0
            while done < 5000:
                done += await q.put_many_async(range(done, min(done + 50, 5000)))
            q.shutdown()
            got: list[int] = consumer.result()
            return got

        assert run_async(main()) == list(range(5000))

    def test_async_two_loops(self) -> None:
        q = self.make(2)

        async def produce() -> None:
            for i in range(2000):
                await q.put_async(i)
            q.shutdown()

        async def consume() -> list[int]:
            return [i async for i in q]

        _, got = run_threads(lambda: run_async(produce()), lambda: run_async(consume()))
        assert got == list(range(2000))

    def test_async_no_loop(self) -> None:
        q = self.make(1)
        waiting = q.get_async()
        with pytest.raises(RuntimeError, match="no running event loop"):
            waiting.send(None)
        q.put(1)
        with pytest.raises(StopIteration) as stop:  # nothing to wait for: no loop needed
            q.get_async().send(None)
        assert stop.value.value == 1

    # cancel

    def test_cancel(self) -> None:
        async def main() -> None:
            q = self.make(1)
            getter = asyncio.create_task(q.get_async())
            await asyncio.sleep(0)
            getter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await getter
            assert q.stats().waiting_gets == 0
            q.put(1)
            putter = asyncio.create_task(q.put_async(2))
            await asyncio.sleep(0)
            putter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await putter
            assert q.stats().waiting_puts == 0
            assert q.get() == 1
            assert q.empty()

        run_async(main())

    def test_cancel_after_wake(self) -> None:
        """Cancelled between the wake and its arrival, the item stays, and the next in line is told."""
        loop = SteppedLoop()
        try:
            q = self.make(4)
            first = loop.create_task(q.get_async())
            second = loop.create_task(q.get_async())
            loop.settle()
            assert q.stats().waiting_gets == 2
            q.put(1)
            first.cancel()
            loop.settle()
            assert first.cancelled()
            assert second.result() == 1
            assert len(q) == q.stats().waiting_gets == 0
        finally:
            loop.close()

    def test_cancel_after_wake_of_put(self) -> None:
        loop = SteppedLoop()
        try:
            q = self.make(1)
            q.put(0)
            first = loop.create_task(q.put_async(1))
            second = loop.create_task(q.put_async(2))
            loop.settle()
            assert q.stats().waiting_puts == 2
            assert q.get() == 0
            first.cancel()
            loop.settle()
            assert first.cancelled()
            assert second.result() is None
            assert q.get_many(5) == [2]
        finally:
            loop.close()

    def test_cancel_close(self) -> None:
        loop = SteppedLoop()
        try:

            async def main() -> None:
                q = self.make(1)
                waiting = Step(q.get_async())
                assert not waiting.send()
                assert q.stats().waiting_gets == 1
                waiting.coroutine.close()
                assert q.stats().waiting_gets == 0
                waiting = Step(q.get_async())
                waiting.send()
                other = Step(q.get_async())
                other.send()
                q.put(1)
                waiting.coroutine.close()  # after its wake: the other is told
                while not other.done:
                    await asyncio.sleep(0)
                    if other.future is not None and other.future.done():
                        other.send()
                assert other.value == 1

            task = loop.create_task(main())
            loop.settle()
            task.result()
        finally:
            loop.close()

    def test_cancel_dropped(self) -> None:
        q = self.make(1)
        with pytest.warns(RuntimeWarning, match="was never awaited"):
            q.get_async()
        gc.collect()
        assert q.stats().waiting_gets == 0

    def test_cancel_closed_loop(self) -> None:
        """A loop is closed with a wake on its way: the wake goes to a loop that lives."""
        q = self.make(4)
        dead, alive = SteppedLoop(), SteppedLoop()
        try:
            lost = dead.create_task(q.get_async())
            dead.settle()
            waits = alive.create_task(q.get_async())
            alive.settle()
            assert q.stats().waiting_gets == 2
            q.put(1)
            dead.close()
            gc.collect()
            alive.settle()
            assert waits.result() == 1
        finally:
            alive.close()
            lost._log_destroy_pending = False  # type: ignore[attr-defined]


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
