"""Caches: reading what is there, storing what has to make room, the bytes of an entry, a million deadlines."""

from __future__ import annotations

import random
import time
from functools import partial
from itertools import repeat
from typing import Any

from harness.crew import Meter, alone, together
from harness.spec import Disqualified, Section
from workloads import Case, Workload
from workloads.caches import keys_of
from workloads.memory import resident

KEYS = 100
SIZE = 1000


def get(c: Any, n: int) -> None:
    keys = list(range(KEYS))
    for _ in range(n // KEYS):
        for key in keys:
            c.get(key)


def assign(c: Any, keys: list[int]) -> None:
    for key in keys:
        c[key] = key


def store(c: Any, keys: list[int]) -> None:
    for key in keys:
        c.set(key, key)


STORES = {"": assign, "set": store}


def told(found: Any) -> Any:
    """Some answer with the value and whether there is one."""
    return found[0] if isinstance(found, tuple) else found


def nothing(keys: list[int], rounds: int) -> None:
    for _ in repeat(None, rounds):
        for _key in keys:
            pass


class Get:
    """A hundred ints that are all there, round and round; ``make(maxsize)`` makes the cache."""

    def check(self, case: Case) -> None:
        c = case.contender.make(SIZE)
        STORES[case.contender.style](c, list(range(KEYS)))
        if any(told(c.get(key)) != key for key in range(KEYS)) or told(c.get(KEYS)) is not None:
            raise Disqualified("a key that was stored is not there, or another is")

    def run(self, case: Case, n: int) -> Section:
        n = max(n // KEYS, 1) * KEYS
        c, meter = case.contender.make(SIZE), Meter()
        STORES[case.contender.style](c, list(range(KEYS)))
        alone(partial(get, c, n), case.cpus[0], meter)
        return Section(n / meter.seconds, meter.seconds, n, meter.cost)


def rounds_of_get(get: Any, keys: list[int], rounds: int) -> None:
    for _ in repeat(None, rounds):
        for key in keys:
            get(key)


class Threads:
    """Gets of what is there by one thread or by two, which have a cache in common and keys of their own."""

    def check(self, case: Case) -> None:
        Get().check(case)

    def run(self, case: Case, n: int) -> Section:
        workers, meter = case.contender.workers, Meter()
        c = case.contender.make(SIZE)
        rounds = max(1, n // KEYS // workers)

        # Each thread makes its own keys and puts them in: it owns them, as it does in a program.
        def work(thread: int) -> None:
            keys = keys_of(thread)
            assign(c, keys)
            rounds_of_get(c.get, keys, rounds)

        if workers > 1:
            together([(partial(work, i), cpu) for i, cpu in enumerate(case.cpus)], meter)
        else:
            alone(partial(work, 0), case.cpus[0], meter)
        done = rounds * KEYS * workers
        return Section(done / meter.seconds, meter.seconds, done, meter.cost)


class Store:
    """New ints into a full cache, so that each makes another go."""

    def check(self, case: Case) -> None:
        c = case.contender.make(SIZE)
        STORES[case.contender.style](c, list(range(2 * SIZE)))
        there = sum(told(c.get(key)) is not None for key in range(2 * SIZE))
        if not 0.9 * SIZE <= there <= SIZE:
            raise Disqualified(f"{there} of {SIZE} entries are there")

    def run(self, case: Case, n: int) -> Section:
        c, meter, put = case.contender.make(SIZE), Meter(), STORES[case.contender.style]
        put(c, list(range(-SIZE, 0)))
        keys = list(range(n))
        alone(partial(put, c, keys), case.cpus[0], meter)
        return Section(n / meter.seconds, meter.seconds, n, meter.cost)


class PerEntry:
    """Bytes per entry, without key and value, at 100,000 ints after 200,000 were stored."""

    def check(self, case: Case) -> None:
        c = case.contender.make(SIZE)
        STORES[case.contender.style](c, list(range(KEYS)))
        if told(c.get(KEYS - 1)) != KEYS - 1:
            raise Disqualified("a key that was stored is not there")

    def filled(self, case: Case, size: int, keys: list[int]) -> Any:
        c = case.contender.make(size)
        if case.contender.style == "set":
            for key in keys:
                c.set(key, None)
        else:
            for key in keys:
                c[key] = None
        return c

    def run(self, case: Case, n: int) -> Section:
        size = 10_000 if case.quick else 100_000
        keys, meter = list(range(2 * size)), Meter()
        warm = self.filled(case, 1000, keys[:2000])  # what comes once in a process
        meter.start()
        before = resident()
        c = self.filled(case, size, keys)
        grown = resident() - before
        meter.stop()
        del c, warm
        each = grown / size
        return Section(each, meter.seconds, size, meter.cost, {"bytes": each})


class Expire:
    """A million deadlines of every length up to a day, all of them passed, removed in calls of bounded work."""

    LIMIT = 1000

    def check(self, case: Case) -> None:
        self.expired(case, 5000)

    def run(self, case: Case, n: int) -> Section:
        return self.expired(case, 20_000 if case.quick else 1_000_000)

    def expired(self, case: Case, count: int) -> Section:
        rng, now, meter, worst = random.Random(5), [0.0], Meter(), 0.0
        c = case.contender.make(lambda: now[0])
        # Kept: to give back the memory of a million keys, all at the end, is not the cache's.
        keys = list(range(count))
        for key in keys:
            c.set(key, None, ttl=10 ** rng.uniform(-2, 5))
        now[0] = 1e6
        meter.start()
        while len(c):
            began = time.perf_counter()
            c.expire(limit=self.LIMIT)
            worst = max(worst, time.perf_counter() - began)
        meter.stop()
        return Section(
            count / meter.seconds, meter.seconds, count, meter.cost, {"worst": 1e3 * worst}
        )


WORKLOADS: dict[str, Workload] = {
    "cache-get": Get(),
    "cache-get-threads": Threads(),
    "cache-store": Store(),
    "cache-bytes": PerEntry(),
    "cache-expire": Expire(),
}
