"""Pools of processes: tasks that do nothing, one after another, all at once, and with data.

A contender's ``make(workers)`` is an executor, or a `multiprocessing.Pool` with style "pool". Its processes are
there before the clock starts.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any

from harness.crew import Meter
from harness.spec import Disqualified, Section
from workloads import Case, Workload

WORKERS = 2
AT_ONCE = 2000
"""Tasks that are in flight at the same time, at most."""
KB64 = bytes(64 << 10)


def nothing() -> None:
    pass


def echo(value: Any) -> Any:
    return value


def measure(data: bytes) -> int:
    return len(data)


def chunks(n: int) -> list[int]:
    return [AT_ONCE] * (n // AT_ONCE) + ([n % AT_ONCE] if n % AT_ONCE else [])


def submitter(pool: Any, style: str) -> tuple[Callable[..., Any], Callable[[Any], Any]]:
    """How a call is scheduled, and how its result is had."""
    if style == "pool":
        return lambda fn, *args: pool.apply_async(fn, args), lambda result: result.get()
    return pool.submit, lambda future: future.result()


def all_at_once(pool: Any, style: str, n: int) -> None:
    submit, result = submitter(pool, style)
    for size in chunks(n):
        for pending in [submit(nothing) for _ in repeat(None, size)]:
            result(pending)


def round_trips(pool: Any, style: str, n: int) -> None:
    submit, result = submitter(pool, style)
    for _ in repeat(None, n):
        result(submit(nothing))


def arguments(pool: Any, style: str, n: int) -> None:
    submit, result = submitter(pool, style)
    for _ in repeat(None, n):
        if result(submit(measure, KB64)) != len(KB64):
            raise Disqualified("the argument came back with another length")


def first(array: Any) -> int:
    return int(array[0])


MB64 = 64 << 20


def arrays(pool: Any, style: str, n: int) -> None:
    import numpy

    submit, result = submitter(pool, style)
    array = numpy.full(MB64 // 8, 7)
    for _ in repeat(None, n):
        if result(submit(first, array)) != 7:
            raise Disqualified("the argument came with other numbers")


def echoes(pool: Any, style: str, n: int) -> None:
    import numpy

    submit, result = submitter(pool, style)
    array = numpy.full(MB64 // 8, 7)
    for _ in repeat(None, n):
        back = result(submit(echo, array))
    if n and not (back == array).all():
        raise Disqualified("the array came back changed")


def shared(pool: Any, style: str, n: int) -> None:
    if style != "shared_empty":
        round_trips(pool, style, n)
        return
    from concx.shm import shared_empty

    array = shared_empty(MB64 // 8, int)
    array[0] = 7
    for _ in repeat(None, n):
        if pool.submit(first, array).result() != 7:
            raise Disqualified("the argument came with other numbers")


def close(pool: Any, style: str) -> None:
    if style == "pool":
        pool.close()
        pool.join()
    else:
        pool.shutdown()


class Tasks:
    """A number of tasks for two processes."""

    def __init__(self, work: Callable[[Any, str, int], None], warm: int = 200) -> None:
        self.work = work
        self.warm = warm

    def check(self, case: Case) -> None:
        style = case.contender.style
        pool = case.contender.make(WORKERS)
        try:
            submit, result = submitter(pool, style)
            pending = [submit(echo, i) for i in range(500)]
            if [result(each) for each in pending] != list(range(500)):
                raise Disqualified("500 tasks gave other results than they were given")
        finally:
            close(pool, style)

    def run(self, case: Case, n: int) -> Section:
        style = case.contender.style
        pool = case.contender.make(WORKERS)
        try:
            self.work(pool, style, self.warm)
            meter = Meter()
            meter.start()
            self.work(pool, style, n)
            meter.stop()
        finally:
            close(pool, style)
        return Section(n / meter.seconds, meter.seconds, n, meter.cost)


WORKLOADS: dict[str, Workload] = {
    "process-tasks": Tasks(all_at_once),
    "process-round-trips": Tasks(round_trips),
    "process-arguments": Tasks(arguments),
    "process-arrays": Tasks(arrays, 3),
    "process-echoes": Tasks(echoes, 3),
    "process-shared": Tasks(shared),
}
