"""What a row of the speed tables is: a workload, its contenders, and the goals it is held to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FLOORS = ("collections.deque", "itertools.count")
"""Contenders that show what is possible at all and are no peers: nobody can wait for them."""

CONTROL = ("a loop, 1 thread", "a loop, 2 threads")
"""The contenders that show what the machine gives two threads of a build without a GIL."""


class Disqualified(Exception):
    """A contender lost, doubled or reordered an item, so its figures mean nothing."""


class Unsuited(Exception):
    """A contender that has no word for what this row asks."""


@dataclass(frozen=True)
class Goal:
    """``ours`` is at least so many times as fast as the fastest of ``peers``.

    ``gil`` holds for GIL builds before 3.14 and ``free_threaded`` for free-threaded ones; ``versions`` names the
    goal of a later GIL build, or, as in "3.11-debian", of the build that Debian has optimised. A build without a goal is
    measured and shown without a verdict.
    """

    ours: str
    peers: tuple[str, ...]
    gil: float | None = None
    free_threaded: float | None = None
    versions: Mapping[str, float] = field(default_factory=dict)
    variants: tuple[str, ...] = ()
    """The variants that the goal speaks of; none named means all."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Figures of ours, by their name in a run, whose median may not be above a number."""

    scales: float | None = None
    """How many times as fast as in one thread the control must be in two, in the same run, on a free-threaded
    build; otherwise the goal is void."""

    def target(self, build: str, free_threaded: bool) -> float | None:
        """The ratio asked of a build by its name ("cpython-3.14.0"), or None where none is asked."""
        _, version, *vendor = build.split("-")
        minor = ".".join(version.split(".")[:2])
        if free_threaded:
            return self.free_threaded
        for name in ("-".join((minor, *vendor)), minor):
            if name in self.versions:
                return self.versions[name]
        return self.gil if int(minor.split(".")[1]) < 14 else None

    def covers(self, variant: str) -> bool:
        """Whether the goal speaks of this variant."""
        return not self.variants or variant in self.variants


@dataclass(frozen=True)
class Row:
    """One line of the speed table: what is done, by whom, and what is asked of concx."""

    name: str
    title: str
    workload: str
    contenders: tuple[str, ...]
    unit: str = "items/s"
    higher: bool = True
    variants: tuple[str, ...] = ("one",)
    params: Mapping[str, Any] = field(default_factory=dict)
    goals: tuple[Goal, ...] = ()
    why: str = ""
    """One sentence: the mechanism that explains the result."""

    @property
    def is_controlled(self) -> bool:
        """Whether the control is to be measured with it."""
        return any(goal.scales is not None for goal in self.goals)

    def ratio(self, ours: float, peer: float) -> float:
        """How many times better ``ours`` is than ``peer``; above 1 is better whatever the unit."""
        first, second = (ours, peer) if self.higher else (peer, ours)
        return first / second if second else float("inf")


@dataclass
class Section:
    """One timed section: what was done, how long it took, what it cost."""

    value: float
    seconds: float
    items: int
    cost: Mapping[str, float]
    extra: dict[str, float] = field(default_factory=dict)
