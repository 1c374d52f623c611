"""SpscQueue: the wait-free queue of one producer and one consumer."""

from __future__ import annotations

from typing import Any

import pytest
from queue_tools import FREE_THREADED, run_threads
from ring_cases import BoundedCases, ObjectCases

from concx.queue import Empty, Full, SpscQueue


class TestSpscQueue(BoundedCases, ObjectCases):
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

        def produce() -> tuple[int, int]:
            total = refused = 0
            for i in range(20_000):
                try:
                    q.put_nowait(i)
                    total += i
                except Full:
                    pass
                except RuntimeError as error:
                    assert str(error).startswith("SpscQueue has one producer")
                    refused += 1
            return total, refused

        def consume() -> tuple[int, int]:
            total = refused = 0
            for _ in range(20_000):
                try:
                    total += q.get_nowait()
                except Empty:
                    pass
                except RuntimeError as error:
                    assert str(error).startswith("SpscQueue has one consumer")
                    refused += 1
            return total, refused

        a, b, c, d = run_threads(produce, produce, consume, consume)
        left = sum(q.get_many(64)) if len(q) else 0
        assert a[0] + b[0] == c[0] + d[0] + left
        if not FREE_THREADED:
            assert a[1] + b[1] + c[1] + d[1] == 0
