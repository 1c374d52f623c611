"""How fast the processor was in a run, so that like is compared with like.

Where the other half of a core belongs to somebody else, the same code runs at full speed for minutes and at 60 % for
minutes. The best of a few runs would then say who was lucky. So each run takes the pace of an empty loop before and
after its timed section, and the contenders of a row are compared at the fastest pace that all of them have met.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from time import perf_counter
from typing import Any

BAND = 0.85
"""Paces nearer to each other than this are alike."""
TURNS = 100_000

Run = Mapping[str, Any]


def pace() -> float:
    """Turns of an empty loop in a second, here and now: the best of five short ones."""
    best = 0.0
    for _ in range(5):
        begin = perf_counter()
        for _ in repeat(None, TURNS):
            pass
        best = max(best, TURNS / (perf_counter() - begin))
    return best


def of(run: Run) -> float:
    """The pace of a run; 0 if it changed while the run lasted."""
    low, high = sorted(run["pace"])
    return float(low) if low >= BAND * high else 0.0


def level(contenders: Sequence[Sequence[Run]]) -> float:
    """The fastest pace that every contender has met."""
    return min((max(map(of, runs)) for runs in contenders if runs), default=0.0)


def compared(runs: Sequence[Run], common: float) -> list[Run]:
    """The runs at the common pace; all of them where there is none."""
    alike = [run for run in runs if common * BAND <= of(run) <= common / BAND]
    return alike if common and alike else list(runs)
