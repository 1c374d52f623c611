"""Starts the child processes of a run, interleaved, and gathers what they say."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import machine, pace
from harness.spec import CONTROL, Row

DISTURBED = 0.15
"""A run is tried again, three times at most, if other processes took this much of a CPU meanwhile."""
ENOUGH = 3
"""Runs at one pace, of every contender."""
WORKER = Path(__file__).resolve().parent.parent / "worker.py"


@dataclass
class Settings:
    """How a run is done."""

    repeat: int = 5
    seconds: float = 0.5
    quick: bool = False
    cpus: tuple[int, int] = (0, 0)
    add: list[str] = field(default_factory=list)


@dataclass
class Build:
    """One interpreter of a run."""

    executable: str
    facts: dict[str, Any]
    missing: dict[str, str]


def child(executable: str, job: dict[str, Any], limit: float) -> dict[str, Any]:
    """Run the worker once; whatever happens to it becomes an answer."""
    try:
        done = subprocess.run(
            [executable, str(WORKER), json.dumps(job)],
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {
            "status": "disqualified",
            "reason": f"hung for {limit:.0f} s and did not answer: something was lost",
        }
    except OSError as error:
        return {"status": "failed", "reason": str(error)}
    with contextlib.suppress(IndexError, ValueError):
        answer = json.loads(done.stdout.splitlines()[-1])
        if isinstance(answer, dict):
            return answer
    last = done.stderr.strip().splitlines()[-1:] or ["no output"]
    return {"status": "failed", "reason": f"exit status {done.returncode}: {last[0]}"}


def describe(executable: str, names: Sequence[str], settings: Settings) -> Build:
    """Ask an interpreter what it is and which contenders it has."""
    answer = child(
        executable, {"describe": True, "contenders": list(names), "add": settings.add}, 120
    )
    if "build" not in answer:
        raise RuntimeError(f"{executable} cannot run the benchmarks: {answer['reason']}")
    facts = {**answer["build"], "packages": answer["packages"], "missing": answer["missing"]}
    return Build(executable, facts, answer["missing"])


def default_cpus() -> tuple[int, int]:
    """The first two CPUs this process may use (one twice if there is only one)."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[1 % len(allowed)]


class Entry:
    """One contender in one row, variant and build, with its runs."""

    def __init__(self, row: Row, variant: str, build: Build, contender: str) -> None:
        self.row, self.variant, self.build, self.contender = row, variant, build, contender
        self.status, self.reason = "ok", ""
        self.count: int | None = None
        self.runs: list[dict[str, Any]] = []
        self.level = 0.0
        """The pace at which the contenders of the row are compared."""
        self.profile: list[dict[str, Any]] = []

    def once(self, settings: Settings) -> None:
        """One more process: calibrated if it is the first, repeated with more items if the section was too short."""
        if self.status != "ok":
            return
        fixed = bool(self.row.params.get("fixed"))
        if self.count is None and not fixed:
            self.count = self._ask(settings, None).get("count")
        short, disturbed = 3, 0 if settings.quick else 3
        while True:
            answer = self._ask(settings, self.count)
            if self.status != "ok":
                return
            if not fixed and answer["seconds"] < settings.seconds and short:
                short -= 1
                longer = 1.2 * settings.seconds / answer["seconds"]
                self.count = int((self.count or 1) * longer) + 1
            elif answer["foreign"] > DISTURBED * answer["seconds"] and disturbed:
                disturbed -= 1
                time.sleep(1)
            else:
                break
        self.runs.append({key: value for key, value in answer.items() if key != "status"})

    def job(self, settings: Settings, count: int | None) -> dict[str, Any]:
        """What the worker is asked; without a count it calibrates."""
        return {
            "row": self.row.name,
            "variant": self.variant,
            "contender": self.contender,
            "cpus": list(settings.cpus),
            "seconds": settings.seconds,
            "count": count,
            "quick": settings.quick,
            "add": settings.add,
        }

    def _ask(self, settings: Settings, count: int | None) -> dict[str, Any]:
        if self.status != "ok":
            return {}
        answer = child(
            self.build.executable, self.job(settings, count), 120 + 60 * settings.seconds
        )
        if answer["status"] != "ok":
            self.status, self.reason = answer["status"], answer.get("reason", "")
        return answer

    def values(self) -> list[float]:
        """Of the runs that are compared."""
        return [float(run["value"]) for run in pace.compared(self.runs, self.level)]

    def best(self) -> float:
        values = self.values()
        return float(max(values) if self.row.higher else min(values))

    def record(self) -> dict[str, Any]:
        """What the JSON holds of it."""
        entry: dict[str, Any] = {
            "row": self.row.name,
            "variant": self.variant,
            "build": self.build.facts["id"],
            "contender": self.contender,
            "unit": self.row.unit,
            "higher_is_better": self.row.higher,
            "status": self.status,
        }
        if self.reason:
            entry["reason"] = self.reason
        if self.runs and self.status == "ok":
            values = self.values()
            best = self.best()
            entry |= {
                "best": best,
                "median": statistics.median(values),
                "worst": min(values) if self.row.higher else max(values),
                "compared": len(values),
                "runs": self.runs,
            }
        if self.profile:
            entry["profile"] = self.profile
        return entry


def run(
    rows: Sequence[Row],
    builds: Sequence[Build],
    settings: Settings,
    extra: Sequence[str],
    done: Callable[[list[Entry]], None],
) -> None:
    """Run rows one after another; inside a row, builds and contenders take turns in every repetition.

    ``done`` gets the entries of a row and variant as soon as they are complete.
    """
    for row in rows:
        for variant in row.variants:
            if variant == "split" and settings.cpus[0] == settings.cpus[1]:
                print(f"{row.name}/{variant}: left out, there is only one CPU", file=sys.stderr)
                continue
            names = (*row.contenders, *extra)
            group = [
                Entry(row, variant, build, name)
                for build in builds
                for name in (*names, *(CONTROL if is_controlled(row, variant, build) else ()))
            ]
            for entry in group:
                if entry.contender in entry.build.missing:
                    entry.status = "missing"
                    entry.reason = entry.build.missing[entry.contender]
            for turn in range(settings.repeat):
                start = turn * len(group) // max(1, settings.repeat)
                for entry in group[start:] + group[:start]:
                    entry.once(settings)
            for build in builds:
                settle([entry for entry in group if entry.build is build], settings)
            for entry in group:
                print(line(entry), file=sys.stderr, flush=True)
            done(group)


def settle(group: list[Entry], settings: Settings) -> None:
    """Find the pace at which the contenders of one build are compared, with as many runs again as were asked for."""
    for turn in range(settings.repeat + 1):
        common = pace.level([entry.runs for entry in group if entry.status == "ok"])
        for entry in group:
            entry.level = common
        few = [entry for entry in group if len(entry.values()) < min(ENOUGH, settings.repeat)]
        if not few or turn == settings.repeat or settings.quick:
            return
        for entry in few:
            entry.once(settings)


def is_controlled(row: Row, variant: str, build: Build) -> bool:
    """Whether threads are to run at once here, so that it must be known how fast they can."""
    return row.is_controlled and variant == "split" and bool(build.facts["free_threaded"])


def line(entry: Entry) -> str:
    """One line of progress."""
    where = f"{entry.row.name}/{entry.variant:5} {entry.build.facts['id']:18} {entry.contender:19}"
    if entry.status != "ok":
        return f"{where} {entry.status}: {entry.reason}"
    values = entry.values()
    spread = (max(values) - min(values)) / max(values) if max(values) else 0.0
    return f"{where} {entry.best():>14,.1f} {entry.row.unit:14} spread {spread:4.0%}"


def document(
    entries: Sequence[Entry], builds: Sequence[Build], settings: Settings, facts: dict[str, Any]
) -> dict[str, Any]:
    """The JSON of a run."""
    return {
        "schema": 1,
        **facts,
        "finished": machine.now(),
        "settings": {
            "repeat": settings.repeat,
            "seconds": settings.seconds,
            "quick": settings.quick,
            "cpus": list(settings.cpus),
        },
        "builds": [build.facts for build in builds],
        "rows": [entry.record() for entry in entries],
    }
