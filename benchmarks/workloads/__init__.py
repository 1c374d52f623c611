"""What is done to a contender: each workload checks it first, then runs one timed section.

The timed functions are written as users write them: ``q.put(x)`` on a local variable, no bound method kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from contenders import Contender
from harness.spec import Section


@dataclass
class Case:
    """One contender in one row and variant, with the CPUs that its two sides run on."""

    contender: Contender
    params: Mapping[str, Any]
    cpus: tuple[int, int]
    quick: bool = False
    outs: list[list[int]] = field(default_factory=list)

    def out(self) -> list[int]:
        """A list for what one getter of the check receives; the watchdog looks at their lengths."""
        self.outs.append([])
        return self.outs[-1]

    def progress(self) -> int:
        return sum(map(len, self.outs))

    @property
    def maxsize(self) -> int:
        return int(self.params.get("maxsize", 0))


class Workload(Protocol):
    """One kind of work."""

    def check(self, case: Case) -> None:
        """Raise Disqualified when an item is lost, doubled or out of order."""

    def run(self, case: Case, count: int) -> Section:
        """One timed section over about ``count`` items; the value is in the row's unit."""


def workload(name: str) -> Workload:
    """The workload of a name."""
    from workloads import (
        atomics,
        boundedcaches,
        cachedcalls,
        caches,
        control,
        idle,
        loops,
        maps,
        memory,
        native,
        pools,
        processes,
        processpools,
        threads,
    )

    known: dict[str, Workload] = {
        **threads.WORKLOADS,
        **atomics.WORKLOADS,
        **boundedcaches.WORKLOADS,
        **cachedcalls.WORKLOADS,
        **caches.WORKLOADS,
        **control.WORKLOADS,
        **loops.WORKLOADS,
        **maps.WORKLOADS,
        **idle.WORKLOADS,
        **memory.WORKLOADS,
        **pools.WORKLOADS,
        **native.WORKLOADS,
        **processes.WORKLOADS,
        **processpools.WORKLOADS,
    }
    return known[name]
