"""SpscQueue: the wait-free queue of one producer and one consumer."""

from __future__ import annotations

from typing import Any

import pytest

from concx.queue import Empty, Full, SpscQueue
from queue_tools import FREE_THREADED, run_threads
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
