"""Thread pools: tasks that do nothing, one after another, all at once, mapped, and awaited.

A contender's ``make(workers)`` is an executor. Its threads inherit the CPUs of the main thread.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from itertools import repeat
from typing import Any

from harness.crew import Meter
from harness.spec import Disqualified, Section
from workloads import Case, Workload
from workloads.memory import resident

CHECKED = 2000
AT_ONCE = 10_000
"""Tasks that are in flight at the same time, at most."""


def nothing() -> None:
    pass


def echo(value: int) -> int:
    return value


def chunks(n: int) -> list[int]:
    return [AT_ONCE] * (n // AT_ONCE) + ([n % AT_ONCE] if n % AT_ONCE else [])


def submit_all(pool: Any, n: int) -> None:
    for size in chunks(n):
        futures = [pool.submit(nothing) for _ in repeat(None, size)]
        for future in futures:
            future.result()


def map_all(pool: Any, n: int) -> None:
    for size in chunks(n):
        for _ in pool.map(echo, range(size)):
            pass


def round_trips(pool: Any, n: int) -> None:
    for _ in repeat(None, n):
        pool.submit(nothing).result()


async def run_in_executor(pool: Any, n: int) -> None:
    loop = asyncio.get_running_loop()
    for size in chunks(n):
        await asyncio.gather(*[loop.run_in_executor(pool, nothing) for _ in repeat(None, size)])


async def gather_plain(pool: Any, n: int) -> None:
    for size in chunks(n):
        await asyncio.gather(*[pool.submit(nothing) for _ in repeat(None, size)])


async def gather_linked(pool: Any, n: int) -> None:
    for size in chunks(n):
        await asyncio.gather(*[pool.submit(nothing).as_asyncio() for _ in repeat(None, size)])


async def gather_native(pool: Any, n: int) -> None:
    from concx.futures import gather_async

    for size in chunks(n):
        await gather_async([pool.submit(nothing) for _ in repeat(None, size)])


async def one_by_one_standard(pool: Any, n: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in repeat(None, n):
        await loop.run_in_executor(pool, nothing)


async def one_by_one(pool: Any, n: int) -> None:
    for _ in repeat(None, n):
        await pool.submit(nothing)


def six_microseconds() -> int:
    """About that long, in bytecode alone."""
    x = 0
    for _ in range(400):
        x += 1
    return x


def bodies(pool: Any, n: int) -> None:
    for size in chunks(n):
        futures = [pool.submit(six_microseconds) for _ in repeat(None, size)]
        for future in futures:
            future.result()


class Pool:
    """What the workloads share: a pool of so many workers, its check, one timed section."""

    def __init__(self, body: Callable[[Any, int], None]) -> None:
        self.body = body

    def _pool(self, case: Case) -> Any:
        os.sched_setaffinity(0, set(case.cpus))
        workers = case.contender.workers or int(case.params.get("workers", 2))
        return case.contender.make(workers)

    def check(self, case: Case) -> None:
        with self._pool(case) as pool:
            out = case.out()
            out += pool.map(echo, range(CHECKED))
            ran: list[int] = []
            futures = [pool.submit(ran.append, i) for i in range(CHECKED)]
            for future in futures:
                future.result()
        if out != list(range(CHECKED)) or sorted(ran) != out:
            raise Disqualified("a task was lost, run twice, or its result was another's")

    def run(self, case: Case, count: int) -> Section:
        meter = Meter()
        with self._pool(case) as pool:
            pool.submit(nothing).result()
            meter.start()
            self.body(pool, count)
            meter.stop()
        return Section(count / meter.seconds, meter.seconds, count, meter.cost)


class LoopPool(Pool):
    """Awaited by an event loop: each contender as its users would write it."""

    def __init__(self, **bodies: Callable[[Any, int], Coroutine[Any, Any, None]]) -> None:
        self.bodies = bodies

    def run(self, case: Case, count: int) -> Section:
        meter = Meter()
        body = self.bodies[case.contender.style]

        async def main(pool: Any) -> None:
            await asyncio.wrap_future(pool.submit(nothing))
            meter.start()
            await body(pool, count)
            meter.stop()

        with self._pool(case) as pool:
            asyncio.run(main(pool))
        return Section(count / meter.seconds, meter.seconds, count, meter.cost)


class Pending(Pool):
    """Bytes for each task that waits, with its future, by what the process grows."""

    def run(self, case: Case, count: int) -> Section:
        meter = Meter()
        count = 1000 if case.quick else 100_000
        gate = threading.Event()
        with self._pool(case) as pool:
            for _ in range(2):
                pool.submit(gate.wait)
            warm = [pool.submit(nothing) for _ in range(1000)]
            kept: list[Any] = [None] * count
            meter.start()
            before = resident()
            for i in range(count):
                kept[i] = pool.submit(nothing)
            grown = resident() - before
            meter.stop()
            gate.set()
        del warm
        extra = {"sizeof": float(sys.getsizeof(kept[0]))}
        return Section(grown / count, meter.seconds, count, meter.cost, extra)


WORKLOADS: dict[str, Workload] = {
    "pool-submit": Pool(submit_all),
    "pool-map": Pool(map_all),
    "pool-round-trip": Pool(round_trips),
    "pool-body": Pool(bodies),
    "pool-pending": Pending(submit_all),
    "pool-gather": LoopPool(
        executor=run_in_executor,
        plain=gather_plain,
        linked=gather_linked,
        native=gather_native,
    ),
    "pool-await": LoopPool(executor=one_by_one_standard, plain=one_by_one),
}
