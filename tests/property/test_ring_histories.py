"""Recorded histories of RingQueue, SpscQueue and Stack are linearizable: each call is one instant.

Unlike `Queue`, these hand nothing over: a call that waited and gave up, or was cancelled, did nothing at all,
and an async put is one instant too.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from concx.queue import Empty, Full, RingQueue, SpscQueue, Stack
from property.linearize import EMPTY, FULL, Op, QueueModel, check, linearize
from queue_tools import LIMIT, Worker, run_async

TSAN = bool(os.environ.get("CONCX_TSAN"))
now = time.monotonic_ns


@pytest.fixture(autouse=True)
def quick_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class Recorder:
    """The calls of one thread, each with its instants."""

    def __init__(self, q: Any, thread: int, items: Iterator[int]) -> None:
        self.q, self.thread, self.items = q, thread, items
        self.ops: list[Op] = []
        stack = isinstance(q, Stack)
        self.put: Callable[..., Any] = (lambda item, *_: q.push(item)) if stack else q.put
        self.get: Callable[..., Any] = q.pop if stack else q.get
        self.get_async = q.pop_async if stack else q.get_async

    def add(self, name: str, argument: Any, result: Any, invoke: int) -> None:
        self.ops.append(Op(name, argument, result, invoke, now(), self.thread))

    def call(self, what: str) -> None:
        how = (True, 0.0003) if what.endswith("wait") else (False, None)
        item = next(self.items) if what.startswith("put") else None
        begun = now()
        result: Any = None
        try:
            if item is not None:
                self.put(item, *how)
            elif what.startswith("get"):
                result = self.get(*how)
            else:
                result = len(self.q)
        except Empty:
            result = EMPTY
        except Full:
            result = FULL
        self.add(what.split()[0], item, result, begun)

    async def call_async(self, what: str, patience: float) -> None:
        item = next(self.items) if what == "put" else None
        begun = now()
        call = self.get_async() if item is None else self.q.put_async(item)
        task = asyncio.ensure_future(call)
        done, _ = await asyncio.wait([task], timeout=patience)
        if not done:
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            self.add(what, item, task.result(), begun)


def make(kind: str, capacity: int) -> Any:
    match kind:
        case "ring":
            return RingQueue(capacity)
        case "int64":
            return RingQueue(capacity, cells="int64")
        case "spsc":
            return SpscQueue(capacity)
        case _:
            return Stack()


def ways_of(kind: str, thread: int) -> list[str]:
    """What a thread may call: of a SpscQueue one thread puts and one gets."""
    puts, gets = ["put", "put", "put wait"], ["get", "get", "get wait"]
    if kind == "spsc":
        return [[*puts, "qsize"], [*gets, "qsize"], ["qsize"]][thread]
    return [*puts, *gets, "qsize"]


def record(kind: str, capacity: int, seed: int, calls: int) -> list[Op]:
    rng = random.Random(seed)
    q = make(kind, capacity)
    items = itertools.count()
    recorders = [Recorder(q, thread, items) for thread in range(4)]
    programs = [[rng.choice(ways_of(kind, i)) for _ in range(calls)] for i in range(3)]
    sides = ["get"] if kind == "stack" else ["put", "get"]
    tasks = [(rng.choice(sides), rng.choice([0, 0, 1e-4, 5e-4])) for _ in range(calls // 2)]
    barrier = threading.Barrier(3 if kind == "spsc" else 4)

    def sync_side(recorder: Recorder, program: list[str]) -> None:
        barrier.wait(LIMIT)
        for what in program:
            recorder.call(what)

    def async_side() -> None:
        async def main() -> None:
            barrier.wait(LIMIT)
            for what, patience in tasks:
                await recorders[3].call_async(what, patience)

        run_async(main())

    workers = [Worker(sync_side, recorders[i], programs[i]) for i in range(3)]
    if kind != "spsc":
        workers.append(Worker(async_side))
    for worker in workers:
        worker.result()
    last = Recorder(q, 4, items)
    while not last.ops or last.ops[-1].result != EMPTY:
        last.call("get")
    return [op for recorder in (*recorders, last) for op in recorder.ops]


def run(kind: str, capacity: int, seeds: range) -> None:
    model = QueueModel(capacity, "lifo" if kind == "stack" else "fifo")
    for seed in seeds:
        history = record(kind, capacity, seed, calls=8)
        try:
            check(history, model)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from None


CASES = [(kind, n) for kind in ("ring", "int64", "spsc") for n in (1, 2, 3)] + [("stack", 0)]


@pytest.mark.stress
@pytest.mark.timeout(600 if TSAN else 120)
@pytest.mark.parametrize(("kind", "capacity"), CASES)
def test_linearizable(kind: str, capacity: int, seed: int) -> None:
    run(kind, capacity, range(seed, seed + (20 if TSAN else 150)))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("kind", "capacity"), CASES)
def test_linearizable_at_length(kind: str, capacity: int, seed: int) -> None:
    run(kind, capacity, range(seed, seed + 4000))


def test_a_wrong_model_is_found() -> None:
    """The recorder and the checker together notice a stack that is taken for a queue."""
    for seed in range(200):
        history = record("stack", 0, seed, calls=8)
        if linearize(history, QueueModel(0, "fifo")) is None:
            return
    raise AssertionError("stacks were taken for queues")
