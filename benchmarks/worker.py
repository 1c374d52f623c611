"""One measurement in one process: check the contender, warm up, run one timed section, print one line of JSON.

``run.py`` starts it; by hand: ``python benchmarks/worker.py '{"row": "seq", "contender": "queue.Queue"}'``.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import contenders
from harness import machine
from harness.check import Watchdog
from harness.pace import pace
from harness.spec import Disqualified, Row, Section, Unsuited
from workloads import Case, workload

MOST = 10**12
"""Items that no section can have."""


def rows() -> dict[str, Row]:
    """The rows of every ``bench_<noun>.py``."""
    found: dict[str, Row] = {}
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        for row in import_module(path.stem).ROWS:
            found[row.name] = row
    return found


def reply(answer: dict[str, Any]) -> None:
    """Print the answer and leave at once, whatever threads are still hanging."""
    print(json.dumps(answer), flush=True)
    os._exit(0)


def describe(job: dict[str, Any]) -> dict[str, Any]:
    """What this interpreter is, and which contenders it has."""
    missing: dict[str, str] = {}
    versions: dict[str, str] = {}
    for name in job["contenders"]:
        try:
            package = contenders.load(name).package
        except (ImportError, AttributeError) as error:
            missing[name] = str(error)
            continue
        if package is not None:
            versions[package] = machine.version_of(package) or "not installed as a distribution"
    return {"build": machine.build(), "missing": missing, "packages": versions}


def calibrate(work: Any, case: Case, seconds: float) -> int:
    """How many items make a section somewhat longer than ``seconds``."""
    count = 200
    while True:
        section: Section = work.run(case, count)
        if count > MOST:
            raise ValueError(
                f"{MOST} items take no time: the row must be of one size (params 'fixed')"
            )
        if section.seconds >= seconds / 8:
            return max(1, int(count * 1.12 * seconds / section.seconds))
        count = int(count * min(20.0, max(2.0, seconds / 4 / max(section.seconds, 1e-9))))


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Check one contender in one row, then calibrate or run its timed section."""
    row = rows()[job["row"]]
    quick, seconds = bool(job.get("quick")), float(job.get("seconds", 0.5))
    first, second = job.get("cpus", [0, 0])
    cpus = (first, second) if job.get("variant") == "split" else (first, first)
    watchdog = Watchdog(lambda reason: reply({"status": "disqualified", "reason": reason}))
    case = Case(contenders.load(job["contender"]), row.params, cpus, quick)
    work = workload("control" if case.contender.style == "control" else row.workload)
    watchdog.phase("checked", 3 if quick else 15, case.progress)
    work.check(case)
    case.outs.clear()
    watchdog.phase("timed", 30 + 40 * seconds)
    count = 0
    if not row.params.get("fixed"):
        if job.get("count") is None:
            return {"status": "ok", "count": calibrate(work, case, seconds)}
        count = int(job["count"])
        work.run(case, max(1, min(20_000, count // 20)))
    before = pace()
    section = work.run(case, count)
    watchdog.phase("", 0)
    return {
        "status": "ok",
        "value": section.value,
        "seconds": section.seconds,
        "items": section.items,
        **section.cost,
        **section.extra,
        "pace": [before, pace()],
        "gil": machine.gil_enabled(),
    }


def main(arguments: list[str]) -> None:
    job = json.loads(arguments[0])
    for spec in job.get("add", []):
        contenders.add(spec)
    try:
        answer = describe(job) if job.get("describe") else measure(job)
    except Disqualified as error:
        answer = {"status": "disqualified", "reason": str(error)}
    except (Unsuited, ImportError) as error:
        answer = {"status": "missing", "reason": str(error)}
    except Exception as error:
        answer = {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
    reply(answer)


if __name__ == "__main__":
    main(sys.argv[1:])
