"""Cache and lru_cache with threads that do everything at once; what ./dev tsan runs."""

from __future__ import annotations

import gc
import random
import sys
import threading
import time
import weakref
from functools import partial
from typing import Any

import pytest

from cache_tools import EACH, Key
from concx.atomic import AtomicInt
from concx.cache import Cache
from concx.functools import lru_cache
from queue_tools import FREE_THREADED, TSAN, Worker, run_threads

pytestmark = [pytest.mark.stress, pytest.mark.usefixtures("quick_switches")]

ROUNDS = 300 if TSAN else 5000


class Value:
    """Knows its key, and whether it still lives."""

    alive = AtomicInt(0)

    def __init__(self, key: Any) -> None:
        self.key = key
        self.latest = float("inf")  # when it has expired at the latest
        Value.alive.increment()

    def __del__(self) -> None:
        Value.alive.decrement()


def no_value_is_left() -> None:
    gc.collect()
    assert Value.alive.get() == 0


@EACH
@pytest.mark.parametrize("make", [int, str, Key], ids=["int", "str", "Key"])
def test_what_is_found_is_the_keys_own(policy: Any, make: Any) -> None:
    """Readers beside every kind of writer; what left is let go."""
    c: Cache[Any, Value] = Cache(40, policy=policy)
    rounds = ROUNDS // 4 if make is Key else ROUNDS
    hits = AtomicInt(0)

    def work(seed: int) -> int:
        rng = random.Random(seed)
        uses = 0
        for i in range(rounds):
            number = rng.randrange(70)
            match rng.randrange(16):
                case 0 | 1:
                    c[make(number)] = Value(number)
                case 2:
                    c.pop(make(number), None)
                case 3 if i % 50 == 0:
                    c.clear()
                case 4 if i % 20 == 0:
                    assert all(make(v.key) == k for k, v in c.items())
                case 5:
                    c.peek(make(number))
                case 6:
                    make(number) in c  # noqa: B015 - a look
                case _:
                    value = c.get(make(number))
                    uses += 1
                    if value is not None:
                        assert value.key == number
                        hits.increment()
        return uses

    uses = sum(run_threads(*(partial(work, seed) for seed in range(4))))
    stats = c.stats()
    assert stats.hits == hits.get()
    assert stats.hits + stats.misses == uses
    c.clear()
    no_value_is_left()


@EACH
def test_a_key_that_stays_is_never_missed(policy: Any) -> None:
    """While cells move, tables grow and shrink to nothing, other entries come and go."""
    c: Cache[Any, int] = Cache(None, policy=policy)
    for i in range(20):
        c[f"stays{i}"] = i
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            for i in range(20):
                assert c.get(f"stays{i}") == i
                assert f"stays{i}" in c

    readers = [Worker(read) for _ in range(2)]
    for i in range(ROUNDS):
        c[i] = i
        c.pop(i - 40, None)
        if i % 100 == 0:
            c.set("stays3", 3, weight=1, ttl=1000)  # columns that the table did not have
            c.set("stays4", 4, weight=2, tti=1000)
    done.set()
    for reader in readers:
        reader.result()


def test_what_has_expired_is_never_found() -> None:
    c: Cache[int, Value] = Cache(100, ttl=0.002)
    found = AtomicInt(0)

    def write(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(ROUNDS):
            key, ttl = rng.randrange(60), rng.choice([0.0005, 0.002, 10.0])
            value = Value(key)
            c.set(key, value, ttl=ttl)
            value.latest = time.monotonic() + ttl

    def read(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(ROUNDS):
            key = rng.randrange(60)
            now = time.monotonic()
            value = c.get(key)
            if value is not None:
                found.increment()
                assert value.key == key
                assert now < value.latest

    run_threads(partial(write, 1), partial(read, 2), partial(read, 3))
    assert found.get() > 0
    c.clear()
    no_value_is_left()


def test_what_is_used_all_the_time_does_not_idle_away() -> None:
    c: Cache[Any, int] = Cache(None, tti=20.0 if TSAN else 5.0)
    c["used"] = 1
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            assert c.get("used") == 1
            left = c.ttl("used")
            assert left is not None
            assert left > 2.0  # each use puts the end off, in whichever table it is

    readers = [Worker(read) for _ in range(2)]
    for i in range(ROUNDS):
        c[i] = i
    done.set()
    for reader in readers:
        reader.result()


def test_uses_in_turn_by_two_threads_are_in_order() -> None:
    """lru is strict: a use that is ordered behind another's is the later one, whoever made it."""
    c: Cache[str, int] = Cache(3, policy="lru")
    for i in range(100):
        c.clear()
        c.update(a=1, b=2, c=3)
        Worker(c.get, "a").result()
        c.get("b")
        Worker(c.get, "c").result()
        assert list(c.coldest(3)) == [("a", 1), ("b", 2), ("c", 3)]
        Worker(c.__setitem__, f"new{i}", 4).result()
        c["other"] = 5
        assert set(c) == {"c", f"new{i}", "other"}


@EACH
def test_small_caches_do_not_keep_what_they_evicted(policy: Any) -> None:
    """Without a GIL what two threads evict waits for its grace period, about a quarter of the cache does."""
    c: Cache[int, Value] = Cache(8, policy=policy)
    run_threads(*[partial(c.get, 1)] * 2)
    refs = []
    for i in range(1000):
        value = Value(i)
        refs.append(weakref.ref(value))
        c[i % 50] = value
        del value
    alive = sum(ref() is not None for ref in refs)
    assert alive == 8 if not FREE_THREADED else alive <= 16
    c.clear()
    assert sum(ref() is not None for ref in refs) == 0


@EACH
def test_many_evictions_by_threads_leak_nothing(policy: Any) -> None:
    c: Cache[Any, Value] = Cache(50, policy=policy, on_evict=lambda k, v, cause: None)
    turns = 1_000 if TSAN else 25_000

    def work(n: int) -> None:
        for i in range(turns):
            c[(i * 7 + n) % 1999] = Value(i)
            c.get(i % 60)

    run_threads(*(partial(work, n) for n in range(4)))
    for i in range(200):  # a thread that was stopped among its readings held up what left meanwhile
        c[i] = Value(i)
    assert Value.alive.get() <= 50 + 2 * 13
    c.clear()
    no_value_is_left()
    before = sys.getsizeof(c)
    run_threads(*(partial(work, n) for n in range(2)))
    assert sys.getsizeof(c) <= before + 64 * 1024
    c = Cache(1)  # what the other one had goes with it
    no_value_is_left()


def test_lru_cache_among_everything() -> None:
    """Hits against evictions, clears, invalidations, and who asks for the counts."""
    f = lru_cache(20)(Value)
    calls = AtomicInt(0)
    done = threading.Event()

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(ROUNDS):
            x: Any = rng.randrange(30)
            x = rng.choice([x, str(x), (x, "y")])
            match rng.randrange(40):
                case 0:
                    f.cache_invalidate(x)
                case 1:
                    f.cache_contains(x)
                case _:
                    assert f(x).key == x
                    calls.increment()

    def watch() -> None:
        last = 0
        while not done.is_set():
            info = f.cache_info()
            assert info.currsize <= 20
            assert info.hits + info.misses >= last
            last = info.hits + info.misses

    watcher = Worker(watch)
    run_threads(*(partial(work, seed) for seed in range(4)))
    done.set()
    watcher.result()
    info = f.cache_info()
    assert info.hits + info.misses == calls.get()
    f.cache_clear()
    no_value_is_left()
