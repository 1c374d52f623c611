"""Loads of a Cache: get_or_load, and what happens to a load whose key is removed, set or evicted."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from concx.cache import Cache
from flight_tools import Evil, Gate, raises
from queue_tools import LIMIT, Worker, wait_until


def test_get_or_load() -> None:
    cache: Cache[str, str] = Cache(10)
    assert cache.get_or_load("a", str.upper) == "A"
    assert cache.get_or_load("a", lambda key: raises(AssertionError(key))) == "A"
    with pytest.raises(ZeroDivisionError):
        cache.get_or_load("b", lambda key: 1 / 0)  # type: ignore[arg-type,return-value]
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.loads, stats.load_failures) == (1, 2, 1, 1)
    assert stats.load_time > 0
    assert stats.mean_load_time == stats.load_time / 2
    assert "b" not in cache


def test_get_or_load_async() -> None:
    cache: Cache[str, str] = Cache(10)
    calls = []

    async def load(key: str) -> str:
        calls.append(key)
        await asyncio.sleep(0)
        return key.upper()

    async def main() -> None:
        assert set(
            await asyncio.gather(*(cache.get_or_load_async("a", load) for _ in range(100)))
        ) == {"A"}
        assert await cache.get_or_load_async("a", load) == "A"
        assert await asyncio.create_task(cache.get_or_load_async("a", load)) == "A"
        with pytest.raises(TypeError):
            await cache.get_or_load_async("b", str.upper)  # type: ignore[arg-type]

    asyncio.run(main())
    assert calls == ["a"]
    assert asyncio.run(cache.get_or_load_async("a", load)) == "A"
    assert cache.stats().loads == 1
    assert cache.stats().load_failures == 1


REMOVALS: dict[str, Callable[[Cache[Any, Any]], object]] = {
    "pop": lambda c: c.pop("k", None),
    "del": lambda c: c.pop("k", None),
    "clear": lambda c: c.clear(),
    "invalidate_if": lambda c: c.invalidate_if(lambda k, v: False),
    "eq": lambda c: c.clear(),
}


@pytest.mark.parametrize("how", REMOVALS)
def test_removed_while_it_is_loaded(how: str) -> None:
    cache: Cache[Any, Any] = Cache(10)
    gate = Gate(lambda: "old")
    leader = Worker(cache.get_or_load, "k", gate)
    assert gate.begun.wait(LIMIT)
    waiter = Worker(cache.get_or_load, "k", gate)
    wait_until(lambda: cache._flights.stats().joined == 1)
    REMOVALS[how](cache)
    late = Gate(lambda: "new")
    late.go.set()
    assert cache.get_or_load("k", late) == "new", "who comes after the removal loads anew"
    gate.go.set()
    assert leader.result() == waiter.result() == "old"
    assert cache["k"] == "new"


def test_removed_while_it_is_loaded_is_not_kept() -> None:
    cache: Cache[str, str] = Cache(10)
    assert cache.get_or_load("k", lambda key: (cache.clear(), "value")[1]) == "value"
    assert "k" not in cache
    assert len(cache) == 0


def test_set_while_it_is_loaded_stays() -> None:
    cache: Cache[str, str] = Cache(10)

    def load(key: str) -> str:
        cache[key] = "set"
        return "loaded"

    assert cache.get_or_load("k", load) == "loaded"
    assert cache["k"] == "set"


def test_eq_that_clears_the_cache_during_a_load(monkeypatch: pytest.MonkeyPatch) -> None:
    cache: Cache[Any, Any] = Cache(10)
    gate = Gate(lambda: "old")
    leader = Worker(cache.get_or_load, Evil(), gate)
    assert gate.begun.wait(LIMIT)
    cache[Evil()] = "set"
    monkeypatch.setattr(Evil, "act", cache.clear)
    assert cache.get_or_load(Evil(), lambda key: "new") in ("set", "new")
    monkeypatch.undo()
    gate.go.set()
    assert leader.result() == "old"


def test_listeners_that_load() -> None:
    told: list[Any] = []

    def on_evict(key: Any, value: Any, cause: str) -> None:
        told.append((key, cause))
        if len(told) < 20:
            cache.get_or_load(key + 100, lambda k: k)
            cache.pop(key + 100, None)

    cache: Cache[int, int] = Cache(4, on_evict=on_evict, policy="fifo")
    for i in range(50):
        assert cache.get_or_load(i, lambda k: k) == i
    assert len(told) >= 46
    assert len(cache) <= 4


def test_gc_in_the_middle_of_loads() -> None:
    class Node:
        def __init__(self, key: int) -> None:
            self.me, self.key = self, key

        def __del__(self) -> None:
            cache.get_or_load(self.key % 5, lambda k: k)

    cache: Cache[int, Any] = Cache(8)
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for i in range(200):
            cache.get_or_load(i + 10, Node)
    finally:
        gc.set_threshold(*before)
    cache.clear()
    gc.collect()
