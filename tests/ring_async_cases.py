"""What RingQueue and SpscQueue have to do alike for tasks; as `ring_cases` for threads."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from concx.queue import Empty, Full, ShutDown
from queue_tools import Step, SteppedLoop, Worker, run_async, run_threads


class AsyncCases:
    """A test class derives from it and says how its queue is made; items are ints."""

    def make(self, capacity: int) -> Any:
        raise NotImplementedError

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

    def test_async_blocked_on_loop(self) -> None:
        """A blocking call in the thread of a running loop is allowed, and counted."""
        q = self.make(1)

        async def main() -> None:
            with pytest.raises(Empty):
                q.get(timeout=0.001)
            q.put(1)
            with pytest.raises(Full):
                q.put(2, timeout=0.001)

        run_async(main())
        with pytest.raises(Full):
            q.put(2, timeout=0.001)
        assert q.stats().blocked_on_loop == 2

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
