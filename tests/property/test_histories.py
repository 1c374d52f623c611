"""Recorded histories of four threads are linearizable: the queues behave as if calls were instants.

Three threads call, one runs an event loop whose tasks wait, are served and are cancelled. Programs are
generated from a seed; what the scheduler makes of them is its own, hence many seeds.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

import concx.queue
from property.linearize import EMPTY, FULL, Op, QueueModel
from property.recording import (
    CALLS,
    Recorder,
    check_seeds,
    now,
    play,
    random_tasks,
    some_seed_contradicts,
)
from queue_tools import TSAN

Empty, Full = concx.queue.Empty, concx.queue.Full
KINDS = {"fifo": "Queue", "lifo": "LifoQueue", "priority": "PriorityQueue", "simple": "SimpleQueue"}
WAYS = ["put", "put", "put wait", "get", "get", "get wait", "qsize", "peek", "clear"]

pytestmark = pytest.mark.usefixtures("quick_switches")


class QueueRecorder(Recorder):
    """Some calls have two instants; `key` joins them."""

    def __init__(self, q: Any, thread: int, items: Iterator[int], keys: Iterator[int]) -> None:
        super().__init__(q, thread, items)
        self.keys = keys

    def put_by_slot(self, item: int, begun: int) -> None:
        key = next(self.keys)
        self.add("reserve", None, None, begun, key=key)
        self.add("fill", item, None, begun, after=key)

    def put(self, what: str) -> None:
        q, item = self.q, next(self.items)
        block, timeout = self.manner(what)
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

    def call(self, what: str) -> None:
        if what.startswith("put"):
            self.put(what)
            return
        name, q = what.split()[0], self.q
        how = {
            "get": lambda: q.get(*self.manner(what)),
            "peek": q.peek,
            "qsize": q.qsize,
            "clear": q.clear,
        }[name]
        begun = now()
        try:
            result = how()
        except Empty:
            result = EMPTY
        self.add(name, None, result, begun)

    async def call_async(self, what: str, patience: float) -> None:
        puts = what == "put"
        key, item = next(self.keys), next(self.items) if puts else None
        begun = now()
        task = await self.ended(self.q.put_async(item) if puts else self.q.get_async(), patience)
        if task.cancelled():
            self.add("may reserve" if puts else "may take", None, None, begun, key=key)
            self.add("give back", "slot" if puts else "item", None, begun, after=key)
        elif item is not None:
            self.put_by_slot(item, begun)
        else:
            self.add("get", None, task.result(), begun)


def record(kind: str, maxsize: int, seed: int) -> list[Op]:
    """Run a generated program in four threads; what was called and what came back."""
    rng = random.Random(seed)
    cls = getattr(concx.queue, KINDS[kind])
    q = cls() if kind == "simple" else cls(maxsize)
    numbers = list(range(1000))
    if kind == "priority":
        rng.shuffle(numbers)
    items, keys = iter(numbers), itertools.count()
    recorders = [QueueRecorder(q, thread, items, keys) for thread in range(5)]
    programs = [[rng.choice(WAYS) for _ in range(CALLS)] for _ in range(3)]
    return play(recorders, programs, random_tasks(rng, ["put", "get"]))


def run(kind: str, maxsize: int, seed: int, n: int) -> None:
    model = QueueModel(maxsize, "fifo" if kind == "simple" else kind)
    check_seeds(partial(record, kind, maxsize), model, seed, n)


CASES = [(kind, maxsize) for kind in ("fifo", "lifo", "priority") for maxsize in (0, 1, 2)]
CASES.append(("simple", 0))


@pytest.mark.stress
@pytest.mark.timeout(600 if TSAN else 120)
@pytest.mark.parametrize(("kind", "maxsize"), CASES)
def test_linearizable(kind: str, maxsize: int, seed: int) -> None:
    run(kind, maxsize, seed, 200)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("kind", "maxsize"), CASES)
def test_linearizable_at_length(kind: str, maxsize: int, seed: int) -> None:
    run(kind, maxsize, seed, 4000)


def test_a_wrong_model_is_found() -> None:
    """The recorder and the checker together notice stacks that are taken for queues."""
    assert some_seed_contradicts(partial(record, "lifo", 0), QueueModel(0, "fifo"))
