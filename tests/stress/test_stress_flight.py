"""Flights with threads and loops that do everything at once: nested, in circles, killed, forgotten."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from functools import partial
from typing import Any

import pytest

from concx.cache import Cache, SingleFlight, cached
from queue_tools import LIMIT, TSAN, run_threads

pytestmark = pytest.mark.stress

ROUNDS = 100 if TSAN else 1000
KEYS = 8


class Killed(BaseException):
    """What is no Exception."""


class Slow:
    """A key that only Python can compare."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return self.number % 3

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slow) and self.number == other.number


@pytest.mark.usefixtures("quick_switches")
@pytest.mark.parametrize("make", [int, Slow], ids=["int", "Slow"])
def test_calls_in_circles(make: Any) -> None:
    """Calls that ask for other keys at random, those that are being asked for among them: all end, and
    every value is that of its key."""
    flights = SingleFlight()

    def load(rng: random.Random, number: int, depth: int) -> int:
        if depth and rng.random() < 0.7:
            other = rng.randrange(KEYS)
            ask(rng, other, depth - 1)
        chance = rng.random()
        if chance < 0.1:
            raise LookupError(number)
        if chance < 0.2:
            raise Killed(number)
        return number

    def ask(rng: random.Random, number: int, depth: int) -> None:
        try:
            result = flights.do(make(number), lambda: load(rng, number, depth), timeout=LIMIT)
        except (LookupError, Killed):
            return  # of this key or of one below
        assert result.value == number

    def churn(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(ROUNDS):
            ask(rng, rng.randrange(KEYS), 3)
            if rng.random() < 0.05:
                flights.forget(make(rng.randrange(KEYS)))

    run_threads(*[partial(churn, seed) for seed in range(6)])
    assert flights.stats().running == 0


@pytest.mark.usefixtures("quick_switches")
def test_threads_and_loops_with_one_cache() -> None:
    cache: Cache[int, int] = Cache(KEYS // 2)
    rounds = ROUNDS // 2

    def load(key: int) -> int:
        if key % 7 == 6:
            raise LookupError(key)
        return key * 2

    async def load_async(key: int) -> int:
        await asyncio.sleep(0)
        return load(key)

    def threads(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(rounds):
            key = rng.randrange(KEYS)
            try:
                assert cache.get_or_load(key, load, timeout=LIMIT) == key * 2
            except LookupError:
                assert key == 6
            if rng.random() < 0.1:
                cache.pop(key, None)
            elif rng.random() < 0.02:
                cache.clear()

    async def task(rng: random.Random) -> None:
        for _ in range(rounds // 4):
            key = rng.randrange(KEYS)
            wait = cache.get_or_load_async(key, load_async)
            try:
                if rng.random() < 0.2:
                    assert await asyncio.wait_for(wait, rng.choice([0.0001, 0.001])) == key * 2
                else:
                    assert await wait == key * 2
            except LookupError:
                assert key == 6
            except TimeoutError:
                pass

    async def tasks(seed: int) -> None:
        rng = random.Random(seed)
        async with asyncio.timeout(LIMIT):
            await asyncio.gather(*(task(rng) for _ in range(8)))

    run_threads(
        *[partial(threads, seed) for seed in range(3)],
        *[lambda seed=seed: asyncio.run(tasks(seed)) for seed in range(2)],
    )
    assert cache._flights.stats().running == 0
    assert len(cache) <= KEYS // 2


@pytest.mark.usefixtures("quick_switches")
def test_cached_with_everything_at_once() -> None:
    @cached(
        KEYS, ttl=0.01, refresh_after=0.001, stale_if_error=1, negative=KeyError, negative_ttl=0.001
    )
    def fn(key: int, *, twice: bool = False) -> int:
        chance = random.random()
        if chance < 0.1:
            raise KeyError(key)
        if chance < 0.2:
            raise OSError(key)
        return key * (1 + twice)

    class Own:
        @cached(4, per_instance=True)
        def method(self, key: int) -> Any:
            return self, key

    lasting = Own()

    def churn(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(ROUNDS):
            key, twice = rng.randrange(2 * KEYS), rng.random() < 0.5
            try:
                assert fn(key, twice=twice) == key * (1 + twice)
            except (KeyError, OSError):
                pass
            own = Own()
            assert own.method(key) == (own, key)
            assert lasting.method(key)[1] == key
            if rng.random() < 0.05:
                fn.cache_invalidate(key, twice=twice)
                lasting.method.cache_clear()
                assert fn.cache_put(0, -1)

    level = logging.getLogger("concx.cache")
    level.disabled = True
    try:
        run_threads(*[partial(churn, seed) for seed in range(4)])
    finally:
        level.disabled = False
    gc.collect()


@pytest.mark.usefixtures("quick_switches")
def test_one_call_for_a_cold_key() -> None:
    for _ in range(ROUNDS // 10):
        calls: list[int] = []
        fn = cached()(lambda key, calls=calls: calls.append(key))
        run_threads(*[partial(fn, 1)] * 8)
        assert calls == [1]
