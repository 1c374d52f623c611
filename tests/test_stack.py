"""Stack: the lock-free stack."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import signal
import sys
import threading
import types
import weakref
from typing import Any

import pytest

from concx.queue import Empty, QueueStats, ShutDown, Stack
from queue_tools import SteppedLoop, Worker, in_child, run_async, run_threads, wait_waiting


def test_smoke() -> None:
    stack: Stack[int] = Stack()
    stack.push(1)
    stack.push(2)
    assert stack.push_many([3, 4, 5]) == 3
    assert repr(stack) == "<concx.Stack size=5 waiting=0>"
    assert stack.pop() == 5
    assert stack.pop(timeout=1) == 4
    assert stack.try_pop() == 3
    assert stack.pop_many(10) == [2, 1]
    assert stack.empty()
    assert stack.try_pop() is None
    assert stack.try_pop(default=7) == 7
    with pytest.raises(Empty):
        stack.pop(block=False)
    with pytest.raises(Empty):
        stack.pop_many(2, block=False)
    assert stack.pop_many(0) == []
    assert stack.push_many([]) == 0


def test_smoke_arguments() -> None:
    stack: Any = Stack()
    for call in (
        lambda: Stack(1),  # type: ignore[call-arg]
        lambda: stack.push(),
        lambda: stack.push(item=1),
        lambda: stack.pop(1, 2, 3),
        lambda: stack.pop_many(),
        lambda: stack.push_many(7),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ValueError, match="got -1"):
        stack.pop_many(-1)
    assert not hasattr(stack, "put")


def test_smoke_type() -> None:
    stack: Stack[int] = Stack()
    assert weakref.ref(stack)() is stack
    assert isinstance(Stack[int], types.GenericAlias)
    for refused in (copy.copy, pickle.dumps):
        with pytest.raises(TypeError, match=r"cannot pickle 'concx\.queue\.Stack' object"):
            refused(stack)
    for method in ("push", "pop", "shutdown"):
        assert "Thread safety" in getattr(Stack, method).__doc__


def test_capacity() -> None:
    """It has none, and its nodes are used again."""
    stack: Stack[int] = Stack()
    empty = sys.getsizeof(stack)
    for i in range(10_000):
        stack.push(i)
    full = sys.getsizeof(stack)
    assert 160_000 <= full - empty < 700_000
    assert [stack.pop() for _ in range(10_000)] == list(range(9999, -1, -1))
    stack.push_many(range(10_000))
    assert sys.getsizeof(stack) == full
    assert stack.pop_many(3) == [9999, 9998, 9997]
    assert stack.clear() == 9997


def test_len() -> None:
    stack: Stack[int] = Stack()
    for n in range(200):
        assert len(stack) == n
        stack.push(n)
    assert len(stack.pop_many(150)) == 150
    assert len(stack) == 50
    assert bool(stack)
    assert stack.clear() == 50
    assert not stack


def test_stats() -> None:
    stack: Stack[int] = Stack()
    stack.push_many([1, 2, 3])
    assert len(stack) == 3  # a look, which high_water goes by on free-threaded builds
    stack.pop()
    stack.clear()
    stats = stack.stats()
    assert isinstance(stats, QueueStats)
    assert (stats.puts, stats.gets, stats.waiting_gets, stats.high_water) == (3, 1, 0, 3)


def test_spsc() -> None:
    stack: Stack[int] = Stack()
    n = 20_000

    def produce() -> None:
        for i in range(n):
            stack.push(i)
        stack.shutdown()

    _, got = run_threads(produce, lambda: list(stack))
    assert sorted(got) == list(range(n))


def test_mpmc() -> None:
    """Each thread pushes and pops; whatever went on comes off once."""
    stack: Stack[int] = Stack()

    def churn(base: int) -> list[int]:
        got = []
        for i in range(3000):
            stack.push(base + 2 * i)
            stack.push_many([base + 2 * i + 1])
            got.append(stack.pop())
            if i % 3 == 0:
                got += stack.pop_many(2, block=False) if len(stack) > 20 else []
        return got

    lists = run_threads(*[lambda k=k: churn(k * 10_000) for k in range(4)])
    got = [i for part in lists for i in part] + (stack.pop_many(10**6) if stack else [])
    assert sorted(got) == [k * 10_000 + i for k in range(4) for i in range(6000)]


def test_mpmc_blocking() -> None:
    stack: Stack[int] = Stack()
    n = 3000

    def consume() -> list[int]:
        got = []
        try:
            while True:
                got.append(stack.pop())
        except ShutDown:
            return got

    consumers = [Worker(consume) for _ in range(3)]

    def produce() -> None:
        for i in range(n):
            stack.push(i)

    run_threads(produce, produce)
    stack.shutdown()
    got = [i for consumer in consumers for i in consumer.result()]
    assert sorted(got) == sorted([*range(n)] * 2)


def test_drops() -> None:
    class Item:
        pass

    stack: Stack[Item] = Stack()
    items = [Item() for _ in range(5)]
    refs = [weakref.ref(item) for item in items]
    stack.push_many(items)
    del items
    assert stack.pop() is refs[4]()
    gc.collect()
    assert refs[4]() is None
    assert stack.clear() == 4
    assert all(ref() is None for ref in refs)
    item = Item()
    count = sys.getrefcount(item)
    stack.push(item)
    assert sys.getrefcount(item) == count + 1
    stack.shutdown(immediate=True)
    with pytest.raises(ShutDown):
        stack.push(item)
    with pytest.raises(ShutDown):
        stack.push_many([item])
    assert sys.getrefcount(item) == count


def test_drops_reentrant() -> None:
    stack: Stack[Any] = Stack()

    class Item:
        def __del__(self) -> None:
            stack.push("last words")

    stack.push_many([Item(), Item()])
    assert stack.clear() == 2
    assert stack.pop_many(5) == ["last words"] * 2


def test_timeout() -> None:
    stack: Stack[int] = Stack()
    with pytest.raises(Empty):
        stack.pop(timeout=0.01)
    with pytest.raises(ValueError, match="non-negative"):
        stack.pop(timeout=-1)
    with pytest.raises(TypeError):
        stack.pop(timeout="soon")  # type: ignore[arg-type]
    popper = Worker(stack.pop, timeout=1e6)
    wait_waiting(stack, gets=1)
    stack.push(3)
    assert popper.result() == 3


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_interrupt() -> None:
    class Interrupted(Exception):
        pass

    def handler(*_: Any) -> None:
        raise Interrupted

    stack: Stack[int] = Stack()
    main = threading.get_ident()

    def strike() -> None:
        wait_waiting(stack, gets=1)
        signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        for _ in range(10):
            striker = Worker(strike)
            with pytest.raises(Interrupted):
                stack.pop()
            striker.result()
    finally:
        signal.signal(signal.SIGUSR1, before)
    stack.push(1)
    assert stack.pop() == 1
    assert stack.stats().waiting_gets == 0


def test_shutdown() -> None:
    stack: Stack[int] = Stack()
    poppers = [Worker(stack.pop) for _ in range(3)]
    wait_waiting(stack, gets=3)
    assert not stack.is_shutdown
    stack.shutdown()
    assert stack.is_shutdown
    for popper in poppers:
        with pytest.raises(ShutDown):
            popper.result()
    stack = Stack()
    stack.push_many([1, 2])
    stack.shutdown()
    assert stack.pop() == 2
    assert stack.try_pop() == 1
    assert stack.try_pop(None) is None
    with pytest.raises(ShutDown):
        stack.pop()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork() -> None:
    stack: Stack[int] = Stack()
    popper = Worker(stack.pop)
    wait_waiting(stack, gets=1)

    def child() -> None:
        assert stack.stats().waiting_gets == 0
        stack.push(1)
        assert stack.pop() == 1

    in_child(child)
    stack.push(3)
    assert popper.result() == 3


def test_iter() -> None:
    stack: Stack[int] = Stack()
    stack.push_many([1, 2, 3])
    iterator = iter(stack)
    assert next(iterator) == 3
    stack.shutdown()
    assert list(iterator) == [2, 1]
    assert list(stack) == []


def test_gc() -> None:
    class Item:
        stack: Any

    stack: Stack[Item] = Stack()
    item = Item()
    item.stack = stack
    ref, stack_ref = weakref.ref(item), weakref.ref(stack)
    stack.push_many([item] * 3)
    assert stack in gc.get_referrers(item)
    del item, stack
    gc.collect()
    assert ref() is stack_ref() is None


def test_async() -> None:
    async def main() -> None:
        stack: Stack[int] = Stack()
        popper = asyncio.create_task(stack.pop_async())
        await asyncio.sleep(0)
        assert stack.stats().waiting_gets == 1
        stack.push(1)
        assert await popper == 1
        stack.push_many([1, 2, 3])
        assert await stack.pop_many_async(2) == [3, 2]
        assert await stack.pop_async(block=False) == 1
        with pytest.raises(Empty):
            await stack.pop_async(timeout=0.01)
        stack.push_many([1, 2])
        stack.shutdown()
        assert [i async for i in stack] == [2, 1]
        with pytest.raises(ShutDown):
            await stack.pop_async()

    run_async(main())


def test_cancel() -> None:
    loop = SteppedLoop()
    try:
        stack: Stack[int] = Stack()
        first = loop.create_task(stack.pop_async())
        second = loop.create_task(stack.pop_async())
        loop.settle()
        stack.push(1)
        first.cancel()
        loop.settle()
        assert first.cancelled()
        assert second.result() == 1
        assert stack.stats().waiting_gets == 0
    finally:
        loop.close()
