"""Threads to asyncio, asyncio to threads, and asyncio to asyncio in one loop.

The loop runs in the main thread, pinned like every other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from itertools import repeat
from typing import Any

from contenders import Contender
from harness.check import empty, verify
from harness.crew import Member, Meter, pin
from harness.spec import Section
from workloads import Case, Workload
from workloads.threads import get_all, get_into, put_range

CHECKED = 2000


async def put(q: Any, n: int) -> None:
    for i in range(n):
        await q.put(i)


async def put_twin(q: Any, n: int) -> None:
    for i in range(n):
        await q.put_async(i)


async def get(q: Any, n: int) -> None:
    for _ in repeat(None, n):
        await q.get()


async def get_twin(q: Any, n: int) -> None:
    for _ in repeat(None, n):
        await q.get_async()


async def get_out(q: Any, n: int, out: list[int]) -> None:
    for _ in range(n):
        out.append(await q.get())  # noqa: PERF401


async def get_out_twin(q: Any, n: int, out: list[int]) -> None:
    for _ in range(n):
        out.append(await q.get_async())  # noqa: PERF401


def putting(contender: Contender, queue: Any, n: int) -> Coroutine[Any, Any, None]:
    face = contender.aio(queue)
    return put_twin(face, n) if contender.twins else put(face, n)


def getting(
    contender: Contender, queue: Any, n: int, out: list[int] | None
) -> Coroutine[Any, Any, None]:
    face = contender.aio(queue)
    if out is not None:
        return get_out_twin(face, n, out) if contender.twins else get_out(face, n, out)
    return get_twin(face, n) if contender.twins else get(face, n)


class Bridge:
    """What the three directions share: a loop in the pinned main thread, one check, one timed section."""

    async def transfer(
        self, case: Case, queue: Any, n: int, out: list[int] | None, meter: Meter
    ) -> None:
        raise NotImplementedError

    async def _run(self, case: Case, n: int, out: list[int] | None, meter: Meter) -> None:
        contender = case.contender
        queue = contender.make(case.maxsize)
        await self.transfer(case, queue, n, out, meter)
        empty(contender.aio(queue))
        if contender.close is not None:
            await contender.close(queue)

    def check(self, case: Case) -> None:
        out = case.out()
        pin(case.cpus[0])
        asyncio.run(self._run(case, CHECKED, out, Meter()))
        verify([out], 1, CHECKED)

    def run(self, case: Case, count: int) -> Section:
        meter = Meter()
        pin(case.cpus[0])
        asyncio.run(self._run(case, count, None, meter))
        return Section(count / meter.seconds, meter.seconds, count, meter.cost)


class ThreadToLoop(Bridge):
    """A thread puts, a task gets."""

    async def transfer(
        self, case: Case, queue: Any, n: int, out: list[int] | None, meter: Meter
    ) -> None:
        member = Member(partial(put_range, case.contender.sync(queue), 0, n), case.cpus[1])
        member.prepare()
        meter.start()
        member.go()
        await getting(case.contender, queue, n, out)
        meter.stop()
        member.finish()


class LoopToThread(Bridge):
    """A task puts, a thread gets."""

    async def transfer(
        self, case: Case, queue: Any, n: int, out: list[int] | None, meter: Meter
    ) -> None:
        face = case.contender.sync(queue)
        job = partial(get_all, face, n) if out is None else partial(get_into, face, n, out)
        member = Member(job, case.cpus[1])
        member.prepare()
        meter.start()
        member.go()
        await putting(case.contender, queue, n)
        member.join()
        meter.stop(member.ended)
        member.finish()


class LoopToLoop(Bridge):
    """Two tasks of one loop."""

    async def transfer(
        self, case: Case, queue: Any, n: int, out: list[int] | None, meter: Meter
    ) -> None:
        meter.start()
        await asyncio.gather(
            putting(case.contender, queue, n), getting(case.contender, queue, n, out)
        )
        meter.stop()


WORKLOADS: dict[str, Workload] = {
    "thread-to-loop": ThreadToLoop(),
    "loop-to-thread": LoopToThread(),
    "loop-to-loop": LoopToLoop(),
}
