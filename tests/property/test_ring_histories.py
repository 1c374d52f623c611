"""Recorded histories of RingQueue, SpscQueue and Stack are linearizable: each call is one instant.

Unlike `Queue`, these hand nothing over: a call that waited and gave up, or was cancelled, did nothing at all,
and an async put is one instant too.
"""

from __future__ import annotations

import itertools
import random
from functools import partial
from typing import Any

import pytest

from concx.queue import Empty, Full, RingQueue, SpscQueue, Stack
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
from queue_tools import TSAN, StackAsQueue

pytestmark = pytest.mark.usefixtures("quick_switches")

MAKERS = {
    "ring": RingQueue,
    "int64": lambda capacity: RingQueue(capacity, cells="int64"),
    "spsc": SpscQueue,
    "stack": lambda _: StackAsQueue(Stack()),
}


class RingRecorder(Recorder):
    def call(self, what: str) -> None:
        name, how = what.split()[0], self.manner(what)
        item = next(self.items) if name == "put" else None
        begun = now()
        result: Any = None
        try:
            if item is not None:
                self.q.put(item, *how)
            else:
                result = self.q.get(*how) if name == "get" else len(self.q)
        except Empty:
            result = EMPTY
        except Full:
            result = FULL
        self.add(name, item, result, begun)

    async def call_async(self, what: str, patience: float) -> None:
        item = next(self.items) if what == "put" else None
        begun = now()
        call = self.q.get_async() if item is None else self.q.put_async(item)
        task = await self.ended(call, patience)
        if not task.cancelled():
            self.add(what, item, task.result(), begun)


def ways_of(kind: str, thread: int) -> list[str]:
    """What a thread may call: of a SpscQueue one thread puts and one gets."""
    puts, gets = ["put", "put", "put wait"], ["get", "get", "get wait"]
    if kind == "spsc":
        return [[*puts, "qsize"], [*gets, "qsize"], ["qsize"]][thread]
    return [*puts, *gets, "qsize"]


def record(kind: str, capacity: int, seed: int) -> list[Op]:
    rng = random.Random(seed)
    q, items = MAKERS[kind](capacity), itertools.count()
    recorders = [RingRecorder(q, thread, items) for thread in range(5)]
    programs = [[rng.choice(ways_of(kind, i)) for _ in range(CALLS)] for i in range(3)]
    tasks = random_tasks(rng, ["get"] if kind == "stack" else ["put", "get"])
    return play(recorders, programs, [] if kind == "spsc" else tasks)


def run(kind: str, capacity: int, seed: int, n: int) -> None:
    model = QueueModel(capacity, "lifo" if kind == "stack" else "fifo")
    check_seeds(partial(record, kind, capacity), model, seed, n)


CASES = [(kind, n) for kind in ("ring", "int64", "spsc") for n in (1, 2, 3)] + [("stack", 0)]


@pytest.mark.stress
@pytest.mark.timeout(600 if TSAN else 120)
@pytest.mark.parametrize(("kind", "capacity"), CASES)
def test_linearizable(kind: str, capacity: int, seed: int) -> None:
    run(kind, capacity, seed, 150)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("kind", "capacity"), CASES)
def test_linearizable_at_length(kind: str, capacity: int, seed: int) -> None:
    run(kind, capacity, seed, 4000)


def test_a_wrong_model_is_found() -> None:
    """The recorder and the checker together notice stacks that are taken for queues."""
    assert some_seed_contradicts(partial(record, "stack", 0), QueueModel(0, "fifo"))
