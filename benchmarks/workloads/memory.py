"""What a queue and an item in it weigh, by what the process grows."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

from harness.check import empty
from harness.crew import Meter
from harness.spec import Section
from workloads import Case, Workload

PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Bytes of this process that are in memory now."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * PAGE


class PerObject:
    """Bytes per empty queue, over many of them."""

    def check(self, case: Case) -> None:
        empty(case.contender.sync(case.contender.make(case.maxsize)))

    def run(self, case: Case, count: int) -> Section:
        make, maxsize, meter = case.contender.make, case.maxsize, Meter()
        count = 1000 if case.quick else 20000
        warm = [make(maxsize) for _ in range(100)]
        kept: list[Any] = [None] * count
        meter.start()
        before = resident()
        for i in range(count):
            kept[i] = make(maxsize)
        grown = resident() - before
        meter.stop()
        extra = {"sizeof": float(sys.getsizeof(kept[0]))}
        del warm, kept
        gc.collect()
        return Section(grown / count, meter.seconds, count, meter.cost, extra)


class PerItem:
    """Bytes per queued item, without the item: one immortal object, put many times."""

    def check(self, case: Case) -> None:
        empty(case.contender.sync(case.contender.make(case.maxsize)))

    def run(self, case: Case, count: int) -> Section:
        count = 10_000 if case.quick else 1_500_000
        q, meter = case.contender.sync(case.contender.make(0)), Meter()
        meter.start()
        before = resident()
        for _ in range(count):
            q.put(None)
        grown = resident() - before
        meter.stop()
        return Section(
            grown / count, meter.seconds, count, meter.cost, {"peak_kib": meter.cost["rss_kib"]}
        )


WORKLOADS: dict[str, Workload] = {"per-object": PerObject(), "per-item": PerItem()}
