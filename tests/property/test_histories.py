"""Recorded histories of four threads are linearizable: the queues behave as if calls were instants.

Three threads call, one runs an event loop whose tasks wait, are served and are cancelled. Programs are
generated from a seed; what the scheduler makes of them is its own, hence many seeds.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import concx.queue
from property.linearize import EMPTY, FULL, Op, QueueModel, check, linearize
from queue_tools import LIMIT, Worker, run_async

Empty, Full = concx.queue.Empty, concx.queue.Full
KINDS = {"fifo": "Queue", "lifo": "LifoQueue", "priority": "PriorityQueue", "simple": "SimpleQueue"}
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

    def __init__(self, q: Any, thread: int, items: Iterator[int], keys: Iterator[int]) -> None:
        self.q, self.thread, self.items, self.keys = q, thread, items, keys
        self.ops: list[Op] = []

    def add(self, name: str, argument: Any, result: Any, invoke: int, **more: Any) -> None:
        self.ops.append(Op(name, argument, result, invoke, now(), self.thread, **more))

    def put_by_slot(self, item: int, begun: int) -> None:
        key = next(self.keys)
        self.add("reserve", None, None, begun, key=key)
        self.add("fill", item, None, begun, after=key)

    def call(self, what: str) -> None:
        q = self.q
        if what.startswith("put"):
            item = next(self.items)
            block, timeout = {"put": (False, None), "put wait": (True, 0.0003)}[what]
            begun = now()
            try:
                q.put(item, block, timeout)
            except Full:
                self.add("put", item, FULL, begun)
            else:
                if block and isinstance(q, concx.queue.PriorityQueue):
                    # One that waits is granted a slot; finding its place takes a call of its own.
                    self.put_by_slot(item, begun)
                else:
                    self.add("put", item, None, begun)
            return
        begun = now()
        if what.startswith("get"):
            block, timeout = {"get": (False, None), "get wait": (True, 0.0003)}[what]
            try:
                result = q.get(block, timeout)
            except Empty:
                result = EMPTY
            self.add("get", None, result, begun)
        elif what == "qsize":
            self.add("qsize", None, q.qsize(), begun)
        elif what == "clear":
            self.add("clear", None, q.clear(), begun)
        else:
            try:
                result = q.peek()
            except Empty:
                result = EMPTY
            self.add("peek", None, result, begun)

    async def call_async(self, what: str, patience: float) -> None:
        q = self.q
        key = next(self.keys)
        if what == "put":
            item = next(self.items)
            begun = now()
            task = asyncio.ensure_future(q.put_async(item))
        else:
            begun = now()
            task = asyncio.ensure_future(q.get_async())
        done, _ = await asyncio.wait([task], timeout=patience)
        if not done:
            task.cancel()
            await asyncio.wait([task])
        if task.cancelled():
            argument = "slot" if what == "put" else "item"
            self.add("may reserve" if what == "put" else "may take", None, None, begun, key=key)
            self.add("give back", argument, None, begun, after=key)
        elif what == "put":
            self.put_by_slot(item, begun)
        else:
            self.add("get", None, task.result(), begun)


def record(kind: str, maxsize: int, seed: int, calls: int) -> list[Op]:
    """Run a generated program in four threads; what was called and what came back."""
    rng = random.Random(seed)
    cls = getattr(concx.queue, KINDS[kind])
    q = cls() if kind == "simple" else cls(maxsize)
    numbers = list(range(1000))
    if kind == "priority":
        rng.shuffle(numbers)
    items, keys = iter(numbers), itertools.count()
    recorders = [Recorder(q, thread, items, keys) for thread in range(4)]
    # SimpleQueue has neither; only these need a look at more than one item at once.
    rare = [] if kind == "simple" else ["peek", "clear"]
    ways = ["put", "put", "put wait", "get", "get", "get wait", "qsize", *rare]
    programs = [[rng.choice(ways) for _ in range(calls)] for _ in range(3)]
    tasks = [
        (rng.choice(["put", "get"]), rng.choice([0, 0, 1e-4, 5e-4])) for _ in range(calls // 2)
    ]
    barrier = threading.Barrier(4)

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
    workers.append(Worker(async_side))
    for worker in workers:
        worker.result()
    last = Recorder(q, 4, items, keys)
    while not last.ops or last.ops[-1].result != EMPTY:
        last.call("get")
    return [op for recorder in (*recorders, last) for op in recorder.ops]


def run(kind: str, maxsize: int, seeds: range) -> None:
    model = QueueModel(maxsize, "fifo" if kind == "simple" else kind)
    for seed in seeds:
        history = record(kind, maxsize, seed, calls=8)
        try:
            check(history, model)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from None


CASES = [(kind, maxsize) for kind in ("fifo", "lifo", "priority") for maxsize in (0, 1, 2)]
CASES.append(("simple", 0))


@pytest.mark.stress
@pytest.mark.timeout(600 if TSAN else 120)
@pytest.mark.parametrize(("kind", "maxsize"), CASES)
def test_linearizable(kind: str, maxsize: int, seed: int) -> None:
    run(kind, maxsize, range(seed, seed + (20 if TSAN else 200)))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("kind", "maxsize"), CASES)
def test_linearizable_at_length(kind: str, maxsize: int, seed: int) -> None:
    run(kind, maxsize, range(seed, seed + 4000))


def test_a_broken_queue_is_found() -> None:
    """The recorder and the checker together notice a queue that is not one."""
    history = []
    for seed in range(200):
        history = record("lifo", 0, seed, calls=8)
        if linearize(history, QueueModel(0, "fifo")) is None:
            return
    raise AssertionError("stacks were taken for queues")
