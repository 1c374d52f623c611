"""Many threads blocked in ``get()``: what they cost while nothing comes, and how fast one wakes when something does."""

from __future__ import annotations

import time
from functools import partial
from time import perf_counter_ns
from typing import Any

from harness.check import empty, verify
from harness.crew import Member, Meter, pin
from harness.spec import Section
from workloads import Case, Workload
from workloads.threads import get_into

RATE = 50


def percentile(values: list[int], share: float) -> float:
    """The value below which that share of the sorted values lies (nearest rank)."""
    return float(values[min(len(values) - 1, int(share * len(values)))])


def wait_for_stamps(q: Any, delays: list[int]) -> None:
    while (stamp := q.get()) is not None:
        delays.append(perf_counter_ns() - stamp)


def put_stamps(q: Any, count: int) -> None:
    due = time.monotonic()
    for _ in range(count):
        due += 1 / RATE
        time.sleep(max(0.0, due - time.monotonic()))
        q.put(perf_counter_ns())


class Idle:
    """``getters`` threads wait; first nothing comes for a while, then 50 items a second."""

    def check(self, case: Case) -> None:
        contender, getters = case.contender, 8
        q = contender.sync(contender.make(case.maxsize))
        crew = [Member(partial(get_into, q, 50, case.out()), case.cpus[1]) for _ in range(getters)]
        for member in crew:
            member.prepare()
            member.go()
        for i in range(50 * getters):
            q.put(i)
        for member in crew:
            member.finish()
        verify(case.outs, 1, 50 * getters)
        empty(q)

    def run(self, case: Case, count: int) -> Section:
        contender, getters = case.contender, 10 if case.quick else case.params["getters"]
        idle, busy = (0.2, 0.4) if case.quick else (1.0, 4.0)
        q = contender.sync(contender.make(case.maxsize))
        delays: list[int] = []
        crew = [Member(partial(wait_for_stamps, q, delays), case.cpus[1]) for _ in range(getters)]
        for member in crew:
            member.prepare()
            member.go()
        pin(case.cpus[0])
        time.sleep(0.2)
        quiet = Meter()
        quiet.start()
        time.sleep(idle)
        quiet.stop()
        meter = Meter()
        meter.start()
        items = round(RATE * busy)
        put_stamps(q, items)
        meter.stop()
        for _ in crew:
            q.put(None)
        for member in crew:
            member.finish()
        verify([list(range(len(delays)))], 1, items)
        empty(q)
        delays.sort()
        extra = {
            "p50_us": percentile(delays, 0.5) / 1000,
            "p99_us": percentile(delays, 0.99) / 1000,
            "max_us": delays[-1] / 1000,
            "idle_cpu_percent": 100 * (quiet.cost["user"] + quiet.cost["system"]) / quiet.seconds,
            "idle_switches_per_s": (quiet.cost["voluntary"] + quiet.cost["involuntary"])
            / quiet.seconds,
            "busy_cpu_percent": 100 * (meter.cost["user"] + meter.cost["system"]) / meter.seconds,
        }
        return Section(extra["p99_us"], meter.seconds, items, meter.cost, extra)


WORKLOADS: dict[str, Workload] = {"idle": Idle()}
