"""Runs the speed tables.

    python benchmarks/run.py [ROW...] [--json FILE] [--python EXE ...] [--repeat N] [--quick]

ROW is a row's name or a pattern such as ``asyncio*``; ``--list`` prints them. Without rows all are run. Every
contender runs in processes of its own, interleaved with the others; the table at the end shows the best run of
each, its spread, and what it is against the goals. ``benchmarks/README.md`` says what the words mean.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import contenders
from chart import chart
from harness import machine
from harness.profile import available, profile
from harness.results import Results
from harness.runner import Entry, Settings, default_cpus, describe, document, run
from harness.spec import Row
from worker import rows as all_rows


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks/run.py",
        description="Run the speed tables.",
        epilog="See benchmarks/README.md.",
    )
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help="a row's name or a pattern; default: all"
    )
    parser.add_argument("--goals", action="store_true", help="only the rows that have a goal")
    parser.add_argument(
        "--json", metavar="FILE", help="write the raw results there (- is the standard output)"
    )
    parser.add_argument(
        "--python",
        metavar="EXE",
        nargs="+",
        action="extend",
        help="interpreters to measure; default: this one",
    )
    parser.add_argument(
        "--repeat", type=int, metavar="N", help="processes per contender (default 5)"
    )
    parser.add_argument(
        "--seconds", type=float, metavar="S", help="least length of a timed section (default 0.5)"
    )
    parser.add_argument(
        "--cpus", metavar="A,B", help="the two CPUs to pin to (default: the first two allowed)"
    )
    parser.add_argument("--commit", metavar="TEXT", help="the commit, where there is no git to ask")
    parser.add_argument(
        "--add",
        metavar="NAME=FILE.py:FUNCTION",
        action="append",
        default=[],
        help="one more contender",
    )
    parser.add_argument(
        "--only", metavar="NAME", action="append", help="of the rows' contenders only these"
    )
    parser.add_argument(
        "--plot", metavar="FILE", help="draw the chart of this run into an SVG file"
    )
    parser.add_argument(
        "--profile", action="store_true", help="profile our side of every missed goal (Linux perf)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="tiny sections, one repetition: does it work at all?"
    )
    parser.add_argument("--list", action="store_true", help="print the rows and leave")
    options = parser.parse_args(arguments)
    if options.profile and not available():
        parser.error("--profile needs perf (Debian: linux-perf)")
    if options.repeat is not None and options.repeat < 1:
        parser.error(f"--repeat takes a number of at least 1, not {options.repeat}")
    return options


def choose(patterns: Sequence[str], goals: bool) -> list[Row]:
    """The rows that the patterns name, in the order of the tables."""
    known = all_rows()
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise SystemExit(f"run.py: no row matches {pattern!r}; rows: {', '.join(known)}")
    return [
        row
        for row in known.values()
        if (not patterns or any(fnmatchcase(row.name, pattern) for pattern in patterns))
        and (row.goals or not goals)
    ]


def narrow(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The rows with only the named contenders."""
    for name in names:
        if not any(name in row.contenders for row in rows):
            raise SystemExit(f"run.py: none of the rows has a contender {name!r}")
    return [
        replace(row, contenders=tuple(name for name in row.contenders if name in names))
        for row in rows
    ]


def settings_of(options: argparse.Namespace) -> Settings:
    settings = Settings(quick=options.quick, add=options.add)
    settings.repeat = options.repeat or (1 if options.quick else 5)
    settings.seconds = options.seconds or (0.02 if options.quick else 0.5)
    if options.cpus:
        try:
            first, second = (int(cpu) for cpu in options.cpus.split(","))
        except ValueError:
            raise SystemExit(
                f"run.py: --cpus takes two numbers such as 0,1, not {options.cpus!r}"
            ) from None
        settings.cpus = (first, second)
    else:
        settings.cpus = default_cpus()
    return settings


def verdicts(results: Results) -> list[str]:
    """One line per goal: the ratio in this run, what was asked, met or missed."""
    lines = []
    for verdict in results.verdicts():
        where = f"{verdict.row.name}/{verdict.variant} {verdict.build}"
        asked = "" if verdict.target is None else f"goal {verdict.target:g}: "
        ratio = f"{verdict.ratio:.2f} ({verdict.low:.2f} to {verdict.high:.2f})"
        text = f"{where}: {verdict.goal.ours} is {ratio} x {verdict.peer}, {asked}{verdict.word}"
        lines.append("; ".join([text, *verdict.above]))
    return lines


def add_profiles(results: Results, entries: Sequence[Entry], settings: Settings) -> None:
    """Profile our side of every missed goal."""
    for verdict in results.verdicts():
        if not verdict.missed:
            continue
        for entry in entries:
            key = (entry.row.name, entry.variant, entry.build.facts["id"], entry.contender)
            if key == (verdict.row.name, verdict.variant, verdict.build, verdict.goal.ours):
                entry.profile = entry.profile or profile(entry, settings)


def write(file: str, results: Results) -> None:
    """Write the raw results of this run."""
    text = json.dumps(results.documents[0], indent=1) + "\n"
    if file == "-":
        sys.stdout.write(text)
        return
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(text)


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    chosen = choose(options.rows, options.goals)
    if options.only:
        chosen = narrow(chosen, options.only)
    if options.list:
        for row in chosen:
            print(
                f"{row.name:18} {'goal' if row.goals else '':5} {row.title} [{', '.join(row.variants)}]"
            )
        return 0
    try:
        extra = [contenders.add(spec) for spec in options.add]
    except ValueError as error:
        raise SystemExit(f"run.py: {error}") from None
    options.add = [f"{name}={contenders.WHERE[name]}" for name in extra]
    settings = settings_of(options)
    facts = {"started": machine.now(), "machine": machine.machine(), **machine.commit()}
    facts |= {"stolen_seconds": 0.0}
    facts["machine"]["load_after"] = facts["machine"]["load"]
    if options.commit:
        facts["commit"] = options.commit
    if facts["machine"]["load"] > 0.5 and not options.quick:
        print(f"run.py: the machine is busy (load {facts['machine']['load']})", file=sys.stderr)
    names = sorted({name for row in chosen for name in row.contenders} | set(extra))
    try:
        builds = [
            describe(executable, names, settings)
            for executable in options.python or [sys.executable]
        ]
    except RuntimeError as error:
        raise SystemExit(f"run.py: {error}") from None
    stolen = machine.stolen()
    entries: list[Entry] = []

    def save(group: list[Entry]) -> None:
        """Keep what is measured so far: an interrupted run is not lost."""
        entries.extend(group)
        facts["stolen_seconds"] = round(machine.stolen() - stolen, 2)
        facts["machine"]["load_after"] = round(os.getloadavg()[0], 2)
        if options.json not in (None, "-"):
            write(options.json, results())

    def results() -> Results:
        return Results([document(entries, builds, settings, facts)], all_rows())

    interrupted = False
    try:
        run(chosen, builds, settings, extra, save)
    except KeyboardInterrupt:
        interrupted = True
        print("run.py: interrupted; the rows that are complete are kept", file=sys.stderr)
    for verdict in verdicts(results()):
        print(verdict, file=sys.stderr if options.json == "-" else sys.stdout)
    if options.profile and not interrupted:
        add_profiles(results(), entries, settings)
    if options.json:
        write(options.json, results())
    if options.plot:
        Path(options.plot).write_text(chart(results()))
    if interrupted:
        return 130
    failed = [
        e
        for e in entries
        if e.status in ("failed", "disqualified") and e.contender.startswith("concx.")
    ]
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
