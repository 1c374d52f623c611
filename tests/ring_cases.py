"""What RingQueue, SpscQueue and RingQueue of int64 cells have to do alike; items are ints throughout.

A test class derives from `BoundedCases` and says how its queue is made. One thread puts and one gets at a time,
so that the same cases hold for SpscQueue.
"""

from __future__ import annotations

import copy
import datetime
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
    Worker,
    in_child,
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
        with pytest.raises(
            ValueError, match="'max_items' must be an int from 0 to 2\\*\\*63-1, got -1"
        ):
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
            (lambda: q.get_many("x"), "'max_items' must be an int, got 'x'"),
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
                first = [q.get_nowait() for _ in range(1 + lap % capacity)]
                rest = q.get_many(capacity, block=False) if len(q) else []
                assert first + rest == list(range(capacity))

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
    def test_fork(self) -> None:
        q = self.make(2)
        getter = Worker(q.get)
        wait_waiting(q, gets=1)

        def child() -> None:
            assert q.stats().waiting_gets == 0  # that thread does not exist here
            q.put(1)
            q.put(2)
            assert (q.get(), q.get()) == (1, 2)
            with pytest.raises(Empty):
                q.get(timeout=0.01)

        in_child(child)
        q.put(3)
        assert getter.result() == 3

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
