"""RingQueue: the lock-free bounded queue, with object and with int64 cells."""

from __future__ import annotations

import operator
import threading
from typing import Any

import pytest

from concx.queue import Empty, RingQueue, ShutDown
from queue_tools import Worker, run_async, run_threads, wait_waiting
from ring_async_cases import AsyncCases
from ring_cases import BoundedCases
from ring_object_cases import ObjectCases


class Many(BoundedCases, AsyncCases):
    """Several producers and consumers."""

    @pytest.mark.parametrize("capacity", [1, 3, 64])
    def test_mpmc(self, capacity: int) -> None:
        q = self.make(capacity)
        n = 400 if capacity == 1 else 4000
        left = [2]
        lock = threading.Lock()

        def produce(base: int) -> None:
            for i in range(n):
                q.put(base + i)
            with lock:
                left[0] -= 1
                if left[0] == 0:
                    q.shutdown()

        a, b = run_threads(
            lambda: produce(0), lambda: produce(1_000_000), lambda: list(q), lambda: list(q)
        )[2:]
        assert sorted(a + b) == [base + i for base in (0, 1_000_000) for i in range(n)]
        for got in (a, b):  # each producer's items come in order
            for low in (True, False):
                part = [i for i in got if (i < 1_000_000) is low]
                assert part == sorted(part)

    def test_mpmc_mixed(self) -> None:
        """Threads, and tasks of two loops, on both sides."""
        q = self.make(5)
        n = 1000

        def produce() -> None:
            for i in range(n):
                q.put(i)

        async def produce_async() -> None:
            for i in range(n):
                await q.put_async(i)

        def consume() -> int:
            return sum(q)

        async def consume_async() -> int:
            return sum([i async for i in q])

        consumers = [Worker(consume), Worker(lambda: run_async(consume_async()))]
        run_threads(produce, lambda: run_async(produce_async()))
        q.shutdown()
        assert sum(c.result() for c in consumers) == 2 * sum(range(n))

    def test_mpmc_timeouts(self) -> None:
        """Consumers that give up all the time lose nothing."""
        q = self.make(2)
        n = 1000

        def produce() -> None:
            for i in range(n):
                while q.put_many([i], timeout=0.0002) == 0:
                    pass

        def consume() -> list[int]:
            got: list[int] = []
            while True:
                try:
                    got += q.get_many(3, timeout=0.0002)
                except ShutDown:
                    return got
                except Empty:
                    pass

        consumers = [Worker(consume), Worker(consume)]
        run_threads(produce, produce)
        q.shutdown()
        assert sorted(consumers[0].result() + consumers[1].result()) == sorted([*range(n)] * 2)

    def test_shutdown_wakes_all(self) -> None:
        q = self.make(1)
        getters = [Worker(q.get) for _ in range(20)]
        wait_waiting(q, gets=20)
        q.shutdown()
        for getter in getters:
            with pytest.raises(ShutDown):
                getter.result()

    def test_wake_order(self) -> None:
        """Who waits longest is woken first, one per item."""
        q = self.make(5)
        getters = []
        for k in range(3):
            getters.append(Worker(q.get))
            wait_waiting(q, gets=k + 1)
        for k, getter in enumerate(getters):
            q.put(k)
            assert getter.result() == k
            assert q.stats().waiting_gets == 2 - k
        assert q.stats().blocked_gets == 3


class TestObjects(Many, ObjectCases):
    name = "RingQueue"

    def make(self, capacity: int) -> Any:
        return RingQueue(capacity)

    def test_smoke_cells(self) -> None:
        assert RingQueue(1).cells == RingQueue(1, "object").cells == "object"
        with pytest.raises(ValueError, match="'cells' must be 'object' or 'int64', got 'int32'"):
            RingQueue(1, cells="int32")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            RingQueue(1, cells=64)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            RingQueue()  # type: ignore[call-arg]

    def test_smoke_any_object(self) -> None:
        q: RingQueue[Any] = RingQueue(3)
        q.put_many([None, [], "x"])
        assert q.get_many(3) == [None, [], "x"]


class TestInts(Many):
    name = "RingQueue"
    ints = True

    def make(self, capacity: int) -> Any:
        return RingQueue(capacity, cells="int64")

    def test_smoke_cells(self) -> None:
        q = self.make(8)
        assert q.cells == "int64"
        extremes = [-(2**63), -1, 0, True, 2**63 - 1]
        assert q.put_many(extremes) == 5
        assert q.get_many(5) == extremes

    @pytest.mark.parametrize("bad", [2**63, -(2**63) - 1, 10**30])
    def test_smoke_overflow(self, bad: int) -> None:
        q = self.make(8)
        with pytest.raises(OverflowError, match=f"from -2..63 to 2..63-1, got {bad}"):
            q.put(bad)
        with pytest.raises(OverflowError):
            q.put_many([1, 2, bad])
        with pytest.raises(OverflowError):
            q.put_many_async([1, bad])
        assert len(q) == 0  # all or nothing

    def test_smoke_no_int(self) -> None:
        q = self.make(8)
        for bad in ("1", 1.0, None):
            with pytest.raises(TypeError, match="int64 cells holds ints, not"):
                q.put(bad)

        class Index:
            def __index__(self) -> int:
                return 7

        assert operator.index(Index()) == 7
        q.put(Index())
        assert q.get() == 7

    def test_smoke_no_int_async(self) -> None:
        async def main() -> None:
            q = self.make(8)
            with pytest.raises(TypeError):
                await q.put_async("1")

        run_async(main())
