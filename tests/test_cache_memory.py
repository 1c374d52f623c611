"""Cache: cycles, leaks, references, the bytes of an entry."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import pytest

from cache_tools import EACH, Clock, Key
from concx.cache import Cache
from queue_tools import TSAN


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_cycles_are_collected() -> None:
    class Node:
        cache: Any

    def cycle() -> weakref.ref[Node]:
        node = Node()
        node.cache = Cache(5, items={1: node}, on_evict=lambda *_: node.cache)
        return weakref.ref(node)

    ref = cycle()
    gc.collect()
    gc.collect()
    assert ref() is None


@EACH
def test_evictions_leak_nothing(policy: Any, clock: Clock) -> None:
    class Value:
        alive = 0

        def __init__(self) -> None:
            Value.alive += 1

        def __del__(self) -> None:
            Value.alive -= 1

    c: Cache[Any, Value] = Cache(50, policy=policy, ttl=1000, timer=clock)
    for i in range(5_000 if TSAN else 100_000):
        c[i % 1999 if i % 2 else (i,)] = Value()
        if i % 97 == 0:
            clock.now += 30
    # Without membarrier a thread does not know that it is alone.
    waiting = len(c) // 4 if TSAN else 0
    assert len(c) <= Value.alive <= len(c) + 2 * waiting
    c.clear()
    assert Value.alive == 0


def test_references_are_as_many_as_before(clock: Clock) -> None:
    c: Cache[Any, Any] = Cache(3, ttl=100, timer=clock, on_evict=lambda *_: None)
    objects = [Key(i) for i in range(6)]
    before = [sys.getrefcount(one) for one in objects]
    for turn in range(50):
        for one in objects:
            c[one] = one
            c[one] = objects[0]
            c.set(one, one, ttl=5, tti=2, tags=["a"])
            c.get(one), c.peek(one), one in c, c.setdefault(one, one), c.get_many([one])
            c.compute(one, lambda old: old)
            c.touch(one), c.ttl(one), c.coldest(2), list(c.items())
            if turn % 3 == 0:
                c.pop(one, None)
            with pytest.raises(TypeError):
                c.get([])
        clock.now += 3 * (turn % 4)
        c.invalidate_tag("a") if turn % 5 == 0 else c.expire()
        c.popitem() if c else None
        c.invalidate_if(lambda k, v: k.name == 2)
    c.clear()
    del one
    assert [sys.getrefcount(one) for one in objects] == before


def test_memory_stays_as_it_was(run_script: Any) -> None:
    """Evictions, replaced values, expiry, growth, clears and errors leave neither objects nor memory."""
    run_script("""
    import gc, resource
    from concx.cache import Cache
    live = 0
    class Value:
        def __init__(self):
            global live
            live += 1
        def __del__(self):
            global live
            live -= 1
    def turn():
        now = 0
        for policy in ("s3fifo", "lru", "tinylfu", "sieve", "lfu", "fifo"):
            c = Cache(300, policy=policy, tti=50, timer=lambda: now, weigher=lambda k, v: k % 3)
            for i in range(3000):
                now += 1
                c[i % 700] = Value(); c.get(i % 11); c.set(i % 50, Value(), ttl=3, tags=["x"])
                try: c[None] = Value()
                except TypeError: pass
            c.resize(20)
            c.expire(); c.clear()
        c = Cache(None)
        for i in range(5000):
            c[i, i] = Value()
    turn()
    gc.collect()
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(8):
        turn()
    gc.collect()
    assert live == 0, live
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size
    assert grown < 20_000, grown
    """)


def test_memory_of_an_entry() -> None:
    for ttl, most in ((None, 64), (60, 72)):
        c: Cache[int, None] = Cache(100_000, ttl=ttl)
        for i in range(200_000):
            c[i] = None
        assert sys.getsizeof(c) / 100_000 <= most
        c.clear()
        assert sys.getsizeof(c) < 64 * 16_384  # what the policy remembers stays
