"""Records what threads and tasks call on a queue: what test_histories and test_ring_histories have in common."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from property.linearize import EMPTY, Op, QueueModel, check, linearize
from queue_tools import LIMIT, TSAN, Worker, run_async

CALLS = 8
"""Calls in the program of a thread."""
now = time.monotonic_ns


class Recorder:
    """The calls of one thread, each with its instants."""

    def __init__(self, q: Any, thread: int, items: Iterator[int]) -> None:
        self.q, self.thread, self.items = q, thread, items
        self.ops: list[Op] = []

    def add(self, name: str, argument: Any, result: Any, invoke: int, **more: Any) -> None:
        self.ops.append(Op(name, argument, result, invoke, now(), self.thread, **more))

    def call(self, what: str) -> None:
        """One call of a thread; a name that ends in "wait" is one that waits for a moment."""
        raise NotImplementedError

    async def call_async(self, what: str, patience: float) -> None:
        """One call of a task, cancelled after `patience` seconds."""
        raise NotImplementedError

    @staticmethod
    def manner(what: str) -> tuple[bool, float | None]:
        """The arguments ``block`` and ``timeout`` of a call."""
        return (True, 0.0003) if what.endswith("wait") else (False, None)

    @staticmethod
    async def ended(call: Coroutine[Any, Any, Any], patience: float) -> asyncio.Task[Any]:
        """The task of `call`, returned or cancelled."""
        task = asyncio.ensure_future(call)
        done, _ = await asyncio.wait([task], timeout=patience)
        if not done:
            task.cancel()
            await asyncio.wait([task])
        return task


def random_tasks(rng: random.Random, sides: Sequence[str]) -> list[tuple[str, float]]:
    """What the tasks of a program call, and how long they wait for it."""
    return [(rng.choice(sides), rng.choice([0, 0, 1e-4, 5e-4])) for _ in range(CALLS // 2)]


def play(
    recorders: Sequence[Recorder], programs: list[list[str]], tasks: list[tuple[str, float]]
) -> list[Op]:
    """Run each program in a thread and the tasks, if any, in a loop; then get what is left.

    The last recorder but one is that of the tasks, the last one that of the end.
    """
    *threads, of_tasks, last = recorders
    barrier = threading.Barrier(len(programs) + bool(tasks))

    def sync_side(recorder: Recorder, program: list[str]) -> None:
        barrier.wait(LIMIT)
        for what in program:
            recorder.call(what)

    async def async_side() -> None:
        barrier.wait(LIMIT)
        for what, patience in tasks:
            await of_tasks.call_async(what, patience)

    workers = [Worker(sync_side, *pair) for pair in zip(threads, programs, strict=True)]
    if tasks:
        workers.append(Worker(lambda: run_async(async_side())))
    for worker in workers:
        worker.result()
    while not last.ops or last.ops[-1].result != EMPTY:
        last.call("get")
    return [op for recorder in recorders for op in recorder.ops]


def check_seeds(record: Callable[[int], list[Op]], model: QueueModel, first: int, n: int) -> None:
    """Fail unless the histories of `n` seeds can be explained by the model; a tenth of them under TSan."""
    for seed in range(first, first + (n // 10 if TSAN else n)):
        try:
            check(record(seed), model)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from None


def some_seed_contradicts(record: Callable[[int], list[Op]], model: QueueModel) -> bool:
    """Whether a history is found that the model cannot explain."""
    return any(linearize(record(seed), model) is None for seed in range(200))
