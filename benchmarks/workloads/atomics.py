"""Counting: one thread as fast as it can, or two at once."""

from __future__ import annotations

from functools import partial
from itertools import repeat
from typing import Any

from harness.crew import Meter, alone, together
from harness.spec import Disqualified, Section
from workloads import Case, Workload

CHECKED = 1000


def increment(a: Any, n: int) -> None:
    for _ in repeat(None, n):
        a.increment()


def increment_and_get(a: Any, n: int) -> None:
    for _ in repeat(None, n):
        a.increment_and_get()


def take_next(a: Any, n: int) -> None:
    for _ in repeat(None, n):
        next(a)


COUNTS = {"": increment, "increment_and_get": increment_and_get, "next": take_next}


def told(a: Any) -> int:
    """What it has come to."""
    return int(next(a) if hasattr(a, "__next__") else a.value() if hasattr(a, "value") else a.get())


class Increment:
    """A contender's ``make(0)`` counts in the way that its style says."""

    def check(self, case: Case) -> None:
        a = case.contender.make(0)
        COUNTS[case.contender.style](a, CHECKED)
        if (got := told(a)) != CHECKED:
            raise Disqualified(f"{CHECKED} increments came to {got}")

    def run(self, case: Case, n: int) -> Section:
        a, count = case.contender.make(0), COUNTS[case.contender.style]
        meter = Meter()
        if case.contender.workers > 1:
            n = n // 2 * 2
            together([(partial(count, a, n // 2), cpu) for cpu in case.cpus], meter)
        else:
            alone(partial(count, a, n), case.cpus[0], meter)
        if (got := told(a)) != n:
            raise Disqualified(f"{n} increments came to {got}")
        return Section(n / meter.seconds, meter.seconds, n, meter.cost)


WORKLOADS: dict[str, Workload] = {"atomic-increment": Increment(), "atomic-threads": Increment()}
