"""Calls of cached coroutine functions, and threads that ask for cold keys at the same time."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import repeat
from typing import Any

from harness.crew import Meter, pin
from harness.spec import Disqualified, Section
from workloads import Case, Workload

MAXSIZE = 128
KEYS = 100
THREADS = 64
LOADER = 0.01
"""Seconds that a loader takes."""


async def identity(x: int) -> int:
    return x


async def calls(f: Any, keys: list[int], rounds: int) -> None:
    for _ in repeat(None, rounds):
        for key in keys:
            await f(key)


class Async:
    """Awaits in one task; ``keys`` beyond MAXSIZE make every call a miss."""

    def __init__(self, keys: int) -> None:
        self.keys = keys

    def check(self, case: Case) -> None:
        called: list[int] = []

        @case.contender.make(MAXSIZE)
        async def f(x: int) -> int:
            called.append(x)
            await asyncio.sleep(0)
            return -x

        async def main() -> None:
            for _ in range(2):
                if [await f(x) for x in range(KEYS)] != [-x for x in range(KEYS)]:
                    raise Disqualified("it returned what the function does not")

        asyncio.run(main())
        if called != list(range(KEYS)) and case.contender.style != "uncached":
            raise Disqualified(f"{len(called)} calls of the function for {KEYS} keys")

    def run(self, case: Case, n: int) -> Section:
        keys, meter = list(range(1000, 1000 + self.keys)), Meter()
        rounds = max(1, n // self.keys)
        pin(case.cpus[0])

        async def main() -> None:
            f = case.contender.make(MAXSIZE)(identity)
            await calls(f, keys, 1)
            meter.start()
            await calls(f, keys, rounds)
            meter.stop()

        asyncio.run(main())
        done = rounds * self.keys
        return Section(done / meter.seconds, meter.seconds, done, meter.cost)


class Cold:
    """Threads that ask for all of the cold keys, every four of them beginning at the same one."""

    def check(self, case: Case) -> None:
        self.round(case, 4, Meter())

    def run(self, case: Case, n: int) -> Section:
        meter = Meter()
        in_vain = self.round(case, THREADS, meter)
        cost = {"in vain": float(in_vain)}
        return Section(1 / meter.seconds, meter.seconds, 1, meter.cost, cost)

    def round(self, case: Case, count: int, meter: Meter) -> int:
        """Run it; how many wakes were for another's key."""
        called: list[int] = []
        wrong: list[Any] = []
        start = threading.Barrier(count + 1)

        @case.contender.make(None if case.contender.style == "flight" else 10_000)
        def f(x: int) -> int:
            called.append(x)
            time.sleep(LOADER)
            return -x

        def ask(first: int) -> None:
            start.wait()
            wrong.extend(k for i in range(count) if f(k := (first + i) % count) != -k)

        threads = [threading.Thread(target=ask, args=(i // 4 * 4,)) for i in range(count)]
        for thread in threads:
            thread.start()
        meter.start()
        start.wait()
        for thread in threads:
            thread.join()
        meter.stop()
        if wrong or sorted(called) != list(range(count)):
            raise Disqualified(f"{len(called)} calls of the loader for {count} keys")
        if case.contender.style == "flight":
            stats = f.cache._flights.stats()
            return int(max(0, stats.woken - stats.joined))
        return int(f.counted.woken - f.counted.joined)


WORKLOADS: dict[str, Workload] = {
    "cached-async": Async(KEYS),
    "cached-async-miss": Async(1000),
    "flight-cold": Cold(),
}
