"""Raw results made into ratios and verdicts; nothing here measures or prints."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from harness.spec import CONTROL, FLOORS, Goal, Row

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """One goal in one variant on one build."""

    row: Row
    variant: str
    build: str
    goal: Goal
    peer: str
    """The fastest of the goal's peers in the same run."""
    ratio: float
    low: float
    """Our worst run against the peer's best."""
    high: float
    """Our best run against the peer's worst."""
    target: float | None
    above: tuple[str, ...] = ()
    """Limits of the goal that our figures are above."""
    control: float | None = None
    """How many times as fast the control was in two threads, where the goal asks for one."""

    @property
    def void(self) -> bool:
        """Whether the machine could not show what the goal asks for."""
        asked = self.goal.scales
        return self.control is not None and asked is not None and self.control < asked

    @property
    def judged(self) -> bool:
        return self.target is not None and not self.void

    @property
    def met(self) -> bool:
        return self.target is None or (self.ratio >= self.target and not self.above)

    @property
    def missed(self) -> bool:
        return self.judged and not self.met

    @property
    def word(self) -> str:
        if self.target is None:
            return "no goal"
        if self.void:
            return f"void, the control {self.control:.2f}"
        return "met" if self.met else "missed"


def order(build: Mapping[str, Any]) -> tuple[bool, list[int]]:
    """Builds with a GIL first, then by version."""
    return build["free_threaded"], [int(part) for part in re.findall(r"\d+", build["version"])]


class Results:
    """The newest measurement of each (build, row, variant) out of any number of runs.

    The contenders of one (build, row, variant) always come from one run: a ratio never spans two.
    """

    def __init__(self, documents: Iterable[Mapping[str, Any]], rows: Mapping[str, Row]) -> None:
        self.rows = rows
        self.builds: dict[str, dict[str, Any]] = {}
        self.documents = sorted(documents, key=lambda document: str(document["started"]))
        self._records: dict[tuple[str, str, str], dict[str, Record]] = {}
        self._runs: dict[tuple[str, str, str], Mapping[str, Any]] = {}
        for document in self.documents:
            groups: dict[tuple[str, str, str], dict[str, Record]] = {}
            for record in document["rows"]:
                key = (record["build"], record["row"], record["variant"])
                groups.setdefault(key, {})[record["contender"]] = record
            self._records.update(groups)
            self._runs.update(dict.fromkeys(groups, document))
            for build in document["builds"]:
                self.builds[build["id"]] = build
        self.builds = dict(sorted(self.builds.items(), key=lambda item: order(item[1])))

    def group(self, build: str, row: str, variant: str) -> dict[str, Record]:
        """Every contender of one row, variant and build, measured or not."""
        return self._records.get((build, row, variant), {})

    def runs(self) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any], list[str]]]:
        """Each build in each run that figures come from: the build as it was then, the run, and its rows."""
        for name in self.builds:
            for document in self.documents:
                rows = [
                    key[1] for key, run in self._runs.items() if run is document and key[0] == name
                ]
                if rows:
                    (build,) = (one for one in document["builds"] if one["id"] == name)
                    yield build, document, list(dict.fromkeys(rows))

    def measured(self, build: str, row: str, variant: str) -> dict[str, Record]:
        """Only the contenders that have figures."""
        group = self.group(build, row, variant)
        return {name: record for name, record in group.items() if "best" in record}

    def ratio(self, row: Row, ours: Record, peer: Record) -> tuple[float, float, float]:
        """Best against best, and the range that the runs of both allow."""
        return (
            row.ratio(ours["best"], peer["best"]),
            row.ratio(ours["worst"], peer["best"]),
            row.ratio(ours["best"], peer["worst"]),
        )

    def verdict(self, row: Row, variant: str, build: str, goal: Goal) -> Verdict | None:
        """Judge one goal; None where we or all of its peers have no figures."""
        measured = self.measured(build, row.name, variant)
        ours = measured.get(goal.ours)
        peers = [name for name in goal.peers if name in measured]
        if ours is None or not peers or not goal.covers(variant):
            return None
        best = max if row.higher else min
        peer = best(peers, key=lambda name: float(measured[name]["best"]))
        facts = self.builds[build]
        target = goal.target(build, facts["free_threaded"])
        ratio, low, high = self.ratio(row, ours, measured[peer])
        above = []
        for name, limit in goal.limits.items():
            value = median(run[name] for run in ours["runs"])
            if value > limit:
                above.append(f"{name} {value:.3g}, limit {limit:g}")
        control = self.control(measured) if goal.scales is not None else None
        limits = tuple(above)
        return Verdict(row, variant, build, goal, peer, ratio, low, high, target, limits, control)

    @staticmethod
    def control(measured: Mapping[str, Record]) -> float | None:
        """How many times as fast the loop was in two threads; None where it was not measured."""
        if not all(name in measured for name in CONTROL):
            return None
        one, two = (float(measured[name]["best"]) for name in CONTROL)
        return two / one

    def verdicts(self) -> Iterator[Verdict]:
        """Every goal in every variant on every build, in the order of the tables."""
        for row in self.rows.values():
            for goal in row.goals:
                for variant in row.variants:
                    for build in self.builds:
                        verdict = self.verdict(row, variant, build, goal)
                        if verdict is not None:
                            yield verdict

    def losses(self) -> dict[tuple[str, str, str, str], dict[str, float]]:
        """Pairs of ours and a peer that is better on some build.

        From (row, variant, ours, peer) to the ratio on each build.
        """
        ratios: dict[tuple[str, str, str, str], dict[str, float]] = {}
        for build, name, variant in self._records:
            row, measured = self.rows.get(name), self.measured(build, name, variant)
            for ours in (who for who in measured if row and who.startswith("concx.")):
                for peer in (who for who in measured if not who.startswith("concx.")):
                    if row is None or peer in (*FLOORS, *CONTROL):
                        continue
                    ratio = self.ratio(row, measured[ours], measured[peer])[0]
                    ratios.setdefault((name, variant, ours, peer), {})[build] = ratio
        return {case: builds for case, builds in ratios.items() if min(builds.values()) < 1}

    def excluded(self) -> Iterator[Record]:
        """Contenders without figures, with the reason."""
        for group in self._records.values():
            for record in group.values():
                if record["status"] != "ok":
                    yield record


def load(files: Iterable[Path], quick: bool = False) -> list[dict[str, Any]]:
    """Read result files; quick ones prove nothing and are refused unless asked for."""
    documents = []
    for file in files:
        document = json.loads(file.read_text())
        if document.get("schema") != 1:
            raise SystemExit(f"{file}: schema {document.get('schema')!r}, this script reads 1")
        if document["settings"]["quick"] and not quick:
            raise SystemExit(f"{file}: a --quick run proves nothing; measure without it")
        documents.append(document)
    return documents
