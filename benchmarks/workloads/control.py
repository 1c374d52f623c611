"""What the machine gives two threads: a loop that needs a processor and nothing else, in one and in two.

Where it does not scale, no row of two threads can say anything: two CPUs may be two halves of one core, or
their host may be busy. ``Goal.scales`` says how much is asked of it.
"""

from __future__ import annotations

from functools import partial

from harness.crew import Meter, alone, together
from harness.spec import Section
from workloads import Case, Workload

ROUNDS = 1000


def turn(turns: int) -> None:
    for _ in range(turns):
        number = 1
        for i in range(ROUNDS):
            number = (number * 3 + i) & 0xFFFF


class Control:
    """The contender says how many threads."""

    def check(self, case: Case) -> None:
        turn(1)

    def run(self, case: Case, n: int) -> Section:
        workers = case.contender.workers
        turns = max(1, n // ROUNDS // workers)
        meter = Meter()
        if workers > 1:
            together([(partial(turn, turns), cpu) for cpu in case.cpus], meter)
        else:
            alone(partial(turn, turns), case.cpus[0], meter)
        done = turns * workers * ROUNDS
        return Section(done / meter.seconds, meter.seconds, done, meter.cost)


WORKLOADS: dict[str, Workload] = {"control": Control()}
