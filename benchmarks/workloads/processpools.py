"""Pools of processes: tasks that do nothing, one after another, all at once, and with data.

A contender's ``make(workers)`` is an executor, or a `multiprocessing.Pool` with style "pool". Its processes are
there before the clock starts.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from itertools import repeat
from time import perf_counter, sleep
from typing import Any

from harness.crew import Meter
from harness.spec import Disqualified, Section
from workloads import Case, Workload

WORKERS = 2
AT_ONCE = 2000
"""Tasks that are in flight at the same time, at most."""
KB64 = bytes(64 << 10)
IMPORT = 0.3
"""Seconds that a worker's imports take."""
TASK = 0.04
"""Seconds of a task of the recycling row; 25 of them are a worker's life."""


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


def import_slowly() -> None:
    """What a worker does first that needs 300 ms for its imports."""
    end = perf_counter() + IMPORT
    while perf_counter() < end:
        pass


def nap() -> None:
    sleep(TASK)


def pid() -> int:
    return os.getpid()


class Recovery:
    """From the death of the only worker to the result of the next task: with a spare one, or, with style "start",
    from the start of a pool of one. Of either as many as the clock asks for, one after the other."""

    def check(self, case: Case) -> None:
        self.run(case, 1)

    def run(self, case: Case, n: int) -> Section:
        again = self.starts if case.contender.style == "start" else self.deaths
        meter = Meter()
        meter.start()
        seconds = sum(again(case.contender, n))
        meter.stop()
        return Section(n / seconds, seconds, n, meter.cost)

    def starts(self, contender: Any, n: int) -> Iterator[float]:
        for _ in range(n):
            pool = contender.make(1)
            begin = perf_counter()
            pool.submit(pid).result()
            yield perf_counter() - begin
            pool.shutdown()

    def deaths(self, contender: Any, n: int) -> Iterator[float]:
        with contender.make(1) as pool:
            for _ in range(n):
                victim = pool.submit(pid).result()
                wait_for_spare(pool)
                begin = perf_counter()
                os.kill(victim, signal.SIGKILL)
                heir = pool.submit(pid).result()
                took = perf_counter() - begin
                if heir == victim:  # it took the task before the signal came
                    heir = pool.submit(pid).result()
                    took = perf_counter() - begin
                if heir == victim:
                    raise Disqualified("a worker that was killed went on")
                yield took


def wait_for_spare(pool: Any) -> None:
    """The spare worker has started, so what follows finds it warm."""
    end = perf_counter() + 20
    while sum(member.link.state == 1 for member in list(pool._crew.members.values())) < 2:
        if perf_counter() > end:
            raise Disqualified("no spare worker came")
        sleep(0.005)


class Recycling:
    """Tasks of 40 ms that wait, for two processes whose imports take 300 ms."""

    def check(self, case: Case) -> None:
        self.run(case, 30)

    def run(self, case: Case, n: int) -> Section:
        n = max(n, 250)  # several lives of both workers
        pool = case.contender.make(WORKERS)
        try:
            for pending in [pool.submit(pid) for _ in range(WORKERS)]:
                pending.result()
            meter = Meter()
            meter.start()
            for pending in [pool.submit(nap) for _ in range(n)]:
                pending.result()
            meter.stop()
        finally:
            pool.shutdown()
        return Section(n / meter.seconds, meter.seconds, n, meter.cost)


WORKLOADS: dict[str, Workload] = {
    "process-tasks": Tasks(all_at_once),
    "process-round-trips": Tasks(round_trips),
    "process-arguments": Tasks(arguments),
    "process-recovery": Recovery(),
    "process-recycling": Recycling(),
    "process-arrays": Tasks(arrays, 3),
    "process-echoes": Tasks(echoes, 3),
    "process-shared": Tasks(shared),
}
