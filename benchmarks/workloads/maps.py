"""Dictionaries that threads share: reads, reads and writes, counting, get-or-make, growth.

A contender's ``make(0)`` is a plain dict or a map; its style says whether a lock goes with it, and its
``workers`` how many threads take part, each with keys of its own objects.
"""

from __future__ import annotations

import random
import threading
from functools import partial
from itertools import repeat
from time import perf_counter
from typing import Any

from harness.crew import Meter, alone, together
from harness.spec import Disqualified, Section
from workloads import Case, Workload

STEP = 1000
"""Keys that a pass of the loop goes over."""


def names(count: int, thread: int = 0) -> list[str]:
    """Keys of a thread, made anew so that no other thread writes their reference counts."""
    made = [f"name {thread}: {i}" for i in range(count)]
    random.Random(count).shuffle(made)
    return made


def read(d: Any, keys: list[str], passes: int) -> None:
    for _ in repeat(None, passes):
        for key in keys:
            d[key]


def read_and_write(d: Any, keys: list[str], passes: int) -> None:
    """Of ten steps nine are reads."""
    tens = [keys[i : i + 10] for i in range(0, len(keys), 10)]
    for _ in repeat(None, passes):
        for a, b, c, e, f, g, h, i, j, k in tens:
            d[a], d[b], d[c], d[e], d[f], d[g], d[h], d[i], d[j]
            d[k] = None


def read_and_write_locked(d: Any, keys: list[str], passes: int, lock: Any) -> None:
    tens = [keys[i : i + 10] for i in range(0, len(keys), 10)]
    for _ in repeat(None, passes):
        for ten in tens:
            for key in ten[:9]:
                with lock:
                    d[key]
            with lock:
                d[ten[9]] = None


def count(d: Any, keys: list[str], passes: int) -> None:
    for _ in repeat(None, passes):
        for key in keys:
            d.add(key, 1)


def count_locked(d: Any, keys: list[str], passes: int, lock: Any) -> None:
    for _ in repeat(None, passes):
        for key in keys:
            with lock:
                d[key] += 1


def compute(d: Any, keys: list[str], passes: int) -> None:
    factory = (
        int  # looked up once: a builtin's name costs an unspecialised interpreter two look-ups
    )
    for _ in repeat(None, passes):
        for key in keys:
            d.compute_if_absent(key, factory)


def compute_locked(d: Any, keys: list[str], passes: int, lock: Any) -> None:
    for _ in repeat(None, passes):
        for key in keys:
            with lock:
                d.get(key)


class Steps:
    """Passes over the keys of each thread; the value of every key is 0 at first."""

    def __init__(self, plain: Any, locked: Any, keys: int, share: bool = False) -> None:
        self.plain, self.locked, self.keys, self.share = plain, locked, keys, share

    def jobs(self, case: Case, passes: int) -> tuple[Any, list[Any]]:
        d, lock = case.contender.make(0), threading.Lock()
        threads = max(1, case.contender.workers)
        keys = [names(self.keys, 0 if self.share else thread) for thread in range(threads)]
        for own in keys:
            for key in own:
                d[key] = 0
        step = self.locked if case.contender.style == "lock" else self.plain
        more = (lock,) if case.contender.style == "lock" else ()
        short = [(own * (STEP // len(own) + 1))[:STEP] if len(own) < STEP else own for own in keys]
        return d, [partial(step, d, own, passes, *more) for own in short]

    def check(self, case: Case) -> None:
        d, jobs = self.jobs(case, 2)
        for job in jobs:
            job()
        if self.plain is count and sum(d.values()) != 2 * STEP * len(jobs):
            raise Disqualified(f"{2 * STEP * len(jobs)} steps came to {sum(d.values())}")

    def run(self, case: Case, n: int) -> Section:
        size = max(self.keys, STEP)
        passes = max(1, n // size // max(1, case.contender.workers))
        d, jobs = self.jobs(case, passes)
        meter = Meter()
        if len(jobs) > 1:
            together(list(zip(jobs, case.cpus, strict=False)), meter)
        else:
            alone(jobs[0], case.cpus[0], meter)
        done = passes * size * len(jobs)
        if self.plain is count and sum(d.values()) != done:
            raise Disqualified(f"{done} steps came to {sum(d.values())}")
        return Section(done / meter.seconds, meter.seconds, n, meter.cost)


class LongestInsert:
    """The longest of a million inserts into a map that grows, in milliseconds."""

    def check(self, case: Case) -> None:
        d = case.contender.make(0)
        for key in names(STEP):
            d[key] = 0
        if len(d) != STEP:
            raise Disqualified(f"{STEP} inserts came to {len(d)} entries")

    def run(self, case: Case, n: int) -> Section:
        keys = names(10_000 if case.quick else 1_000_000)
        d, meter, longest = case.contender.make(0), Meter(), 0.0

        def insert() -> None:
            nonlocal longest
            for key in keys:
                began = perf_counter()
                d[key] = 0
                took = perf_counter() - began
                if took > longest:
                    longest = took

        alone(insert, case.cpus[0], meter)
        extra = {"longest_ms": longest * 1e3}
        return Section(longest * 1e3, meter.seconds, n, meter.cost, extra)


WORKLOADS: dict[str, Workload] = {
    "map-read": Steps(read, None, 1000),
    "map-read-million": Steps(read, None, 1_000_000),
    "map-mixed": Steps(read_and_write, read_and_write_locked, 1000),
    "map-count": Steps(count, count_locked, 64, share=True),
    "map-compute": Steps(compute, compute_locked, 1000),
    "map-insert": LongestInsert(),
}
