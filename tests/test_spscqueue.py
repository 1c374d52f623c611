"""SpscQueue: the wait-free queue of one producer and one consumer."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from concx.queue import Empty, Full, ShutDown, SpscQueue
from queue_tools import FREE_THREADED, run_threads, wait_until
from ring_async_cases import AsyncCases
from ring_cases import BoundedCases
from ring_object_cases import ObjectCases


class TestSpscQueue(BoundedCases, AsyncCases, ObjectCases):
    name = "SpscQueue"

    def make(self, capacity: int) -> Any:
        return SpscQueue(capacity)

    def test_smoke_arguments_of_type(self) -> None:
        with pytest.raises(TypeError):
            SpscQueue()  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            SpscQueue(1, cells="int64")  # type: ignore[call-arg]

    def test_misuse(self) -> None:
        """Two producers and two consumers at once: each call works or says what is wrong."""
        q: SpscQueue[int] = SpscQueue(64)
        said: set[str] = set()

        def produce() -> int:
            total = 0
            for i in range(20_000):
                try:
                    q.put_nowait(i)
                    total += i
                except Full:
                    pass
                except RuntimeError as error:
                    said.add(str(error))
            return total

        def consume() -> int:
            total = 0
            for _ in range(20_000):
                try:
                    total += q.get_nowait()
                except Empty:
                    pass
                except RuntimeError as error:
                    said.add(str(error))
            return total

        a, b, c, d = run_threads(produce, produce, consume, consume)
        left = sum(q.get_many(64)) if len(q) else 0
        assert a + b == c + d + left
        if FREE_THREADED:
            assert said <= {
                "SpscQueue has one producer, but two threads are putting at once",
                "SpscQueue has one consumer, but two threads are getting at once",
            }
        else:
            assert not said

    def test_clear_beside_consumer(self) -> None:
        """Whoever empties the queue, or looks at it, is no second consumer."""
        q: SpscQueue[int] = SpscQueue(8)
        n = 20_000
        done = threading.Event()

        def produce() -> None:
            for i in range(n):
                q.put(i)
            q.shutdown()

        def clear() -> int:
            cleared = 0
            while not done.is_set():
                cleared += q.clear()
                repr(q)
                q.stats()
            return cleared

        def consume() -> int:
            got = len(list(q))
            done.set()
            return got

        _, cleared, got = run_threads(produce, clear, consume)
        assert cleared + got == n

    def test_shutdown_immediate_beside_consumer(self) -> None:
        for _ in range(30):
            q: SpscQueue[int] = SpscQueue(8)

            def produce(q: SpscQueue[int] = q) -> None:
                with pytest.raises(ShutDown):
                    while True:
                        q.put(1)

            def end(q: SpscQueue[int] = q) -> None:
                wait_until(lambda: q.stats().gets > 3)
                q.shutdown(immediate=True)

            run_threads(produce, end, lambda q=q: list(q))
            assert len(q) == 0
