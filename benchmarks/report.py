"""Makes docs/benchmarks.md and docs/benchmarks.svg out of the raw results.

python benchmarks/report.py [FILE.json ...] [--out FOLDER] [--draft]

Without files it takes ``benchmarks/results/*.json``. The page is never edited by hand.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from chart import chart
from harness.results import Record, Results, Verdict, load
from harness.spec import Goal, Row
from worker import rows

TIMES = "\u00d7"
HERE = Path(__file__).resolve().parent
INTRODUCTION = """\
# Benchmarks

<!-- Made by benchmarks/report.py from benchmarks/results/*.json: measure again, never edit. -->

We wrote concx and these benchmarks, so they are bound to ask the questions that concx answers well.
Look for the row that resembles your program, read
[the cases that concx loses](#where-concx-is-slower), and measure on your own machine:

```sh
python benchmarks/run.py --json mine.json && python benchmarks/report.py mine.json --out .
```

![Times as fast as the named peer](benchmarks.svg)

Every figure is the best of several processes, each of which runs one contender in one timed section
of at least half a second; contenders take turns. A machine that others share only ever adds time, so
the best run is nearest to the truth; the range in brackets says how far the others were from it.
Where the processor runs now slower, now faster, only runs at one pace of it are compared.
Threads pin themselves to a CPU: *split* is two CPUs, *same* is one. Before each section the contender
is checked, and after it the items are counted: whoever loses or doubles one is left out and named.
The words and methods are defined in `benchmarks/README.md`.

Under the GIL only one thread runs Python at a time: there a faster queue means less time per item and
fewer switches between threads, not parallel Python code."""


def number(value: float) -> str:
    """Three significant digits with a unit prefix."""
    for limit, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= limit:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g}"


def plain(value: float) -> str:
    """Three significant digits, no exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def times(ratio: float) -> str:
    return f"{ratio:.0f}{TIMES}" if ratio >= 100 else f"{ratio:.3g}{TIMES}"


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *lines])


def asked(goal: Goal) -> str:
    """A goal in words: GIL builds / free-threaded builds; later versions."""

    def one(value: float | None) -> str:
        return "-" if value is None else f"{value:g}{TIMES}"

    text = f"{one(goal.gil)} / {one(goal.free_threaded)}"
    later: dict[float, list[str]] = {}
    for version, value in goal.versions.items():
        later.setdefault(value, []).append(version)
    return "; ".join([text, *(f"{', '.join(who)}: {one(value)}" for value, who in later.items())])


def short(build: str) -> str:
    return build.removeprefix("cpython-")


def where(row: Row, variant: str) -> str:
    return row.title if variant == "one" else f"{row.title} ({variant})"


def goals(results: Results) -> str:
    """The table of the goals: one line per goal and variant, one column per build."""
    cells: dict[tuple[str, str, int], dict[str, Verdict]] = {}
    for verdict in results.verdicts():
        place = verdict.row.goals.index(verdict.goal)
        cells.setdefault((verdict.row.name, verdict.variant, place), {})[verdict.build] = verdict
    lines = []
    for (name, variant, place), verdicts in cells.items():
        row = results.rows[name]
        goal = row.goals[place]
        line = [
            f"{where(row, variant)}: {goal.ours} against {' or '.join(goal.peers)}",
            asked(goal),
        ]
        for build in results.builds:
            verdict_ = verdicts.get(build)
            if verdict_ is None:
                line.append("not measured")
                continue
            span = f"({verdict_.low:.3g} to {verdict_.high:.3g})"
            word = "" if verdict_.target is None else f" {verdict_.word}"
            ratio = times(verdict_.ratio)
            line.append(f"**{ratio}{word}** {span}" if verdict_.missed else f"{ratio}{word} {span}")
        lines.append(line)
    judged = [verdict for verdict in results.verdicts() if verdict.judged]
    count = sum(verdict.met for verdict in judged)
    return "\n\n".join(
        [
            "## Goals",
            f"How many times as fast as the fastest of the named peers, in the same run: {count} of {len(judged)} goals are met. "
            "A goal is given for GIL builds before 3.14 / for free-threaded builds, and for later versions and Debian's optimised "
            "build where they have one of their own; a figure without a word has no goal. A goal of two threads is void where a plain loop was not "
            "fast enough in two threads of the same run: its figure stands behind the word. In brackets: our worst run against the peer's best, and "
            "our best against the peer's worst.",
            table(["", "goal", *map(short, results.builds)], lines),
        ]
    )


def losses(results: Results) -> str:
    """Every case with a ratio below 1 on some build, worst first."""
    cases = results.losses()
    lines = []
    for case in sorted(cases, key=lambda case: min(cases[case].values())):
        name, variant, ours, peer = case
        line = [f"{where(results.rows[name], variant)}: {ours} against {peer}"]
        for build in results.builds:
            ratio = cases[case].get(build)
            text = "" if ratio is None else times(ratio)
            line.append(f"**{text}**" if ratio is not None and ratio < 1 else text)
        lines.append(line)
    text = (
        "Every pair of a concx class and a peer, in any row and variant, where the peer is better on some "
        "build. `collections.deque` is no peer but a floor: nobody can wait for it."
    )
    head = ["", *map(short, results.builds)]
    return "\n\n".join(
        [
            "## Where concx is slower",
            text,
            table(head, lines) if lines else "No case in these runs.",
        ]
    )


def per_item(record: Record) -> dict[str, float]:
    """The cost of one item in the cheapest way the runs allow, and the largest resident set."""
    runs = record["runs"]
    return {
        "user": min(run["user"] / run["items"] for run in runs) * 1e9,
        "system": min(run["system"] / run["items"] for run in runs) * 1e9,
        "cpu": min((run["user"] + run["system"]) / run["items"] for run in runs) * 1e9,
        "switches": min((run["voluntary"] + run["involuntary"]) / run["items"] for run in runs)
        * 1e3,
        "rss": max(run["rss_kib"] for run in runs) / 1024,
    }


def misses(results: Results) -> str:
    """What the time of a missed goal is spent on, ours beside the peer's, and the profile if one was taken."""
    parts = []
    for verdict in results.verdicts():
        if not verdict.missed:
            continue
        group = results.measured(verdict.build, verdict.row.name, verdict.variant)
        lines = []
        for name in (verdict.goal.ours, verdict.peer):
            cost = per_item(group[name])
            lines.append([name, *(plain(cost[key]) for key in ("user", "system", "switches"))])
        parts.append(
            f"### {where(verdict.row, verdict.variant)} on {short(verdict.build)}: "
            f"{times(verdict.ratio)} of {verdict.target:g}{TIMES}"
        )
        parts.append(
            table(["", "user ns per item", "system ns per item", "switches per 1000 items"], lines)
        )
        parts += [f"Above its limit: {text}." for text in verdict.above]
        profile = group[verdict.goal.ours].get("profile")
        if profile:
            symbols = [
                f"`{line['symbol']}` ({line['where']}) {line['percent']:.1f} %" for line in profile
            ]
            parts.append(f"Profile of {verdict.goal.ours}: {', '.join(symbols)}.")
    return "\n\n".join(["## Missed goals", *(parts or ["None."])])


def details(results: Results) -> str:
    """Every row: figures of all contenders on all builds, then what they cost."""
    parts = ["## Every row"]
    builds = list(results.builds)
    for row in results.rows.values():
        speed, cost = [], []
        for variant in row.variants:
            groups = {build: results.group(build, row.name, variant) for build in builds}
            names = dict.fromkeys(name for group in groups.values() for name in group)
            for name in names:
                label = name if variant == "one" else f"{name} ({variant})"
                records = [groups[build].get(name) for build in builds]
                free = [bool(results.builds[build]["free_threaded"]) for build in builds]
                speed.append([label, *map(figure, records, free)])
                cost.append([label, *(spent(row, record) for record in records)])
        if not speed:
            continue
        better = "more is better" if row.higher else "less is better"
        parts.append(f"### {row.title[0].upper()}{row.title[1:]} (`{row.name}`)")
        parts.append(f"{row.why} Unit: {row.unit}, {better}.")
        parts.append(table(["", *map(short, builds)], speed))
        if row.workload == "idle":
            head = "p50 / largest wake-up in µs; CPU in % while nothing comes / with the items"
        elif row.workload in ("per-object", "per-item"):
            continue
        else:
            head = "CPU ns per item; switches per 1000 items; largest resident set in MiB"
        parts.append(f"{head}:")
        parts.append(table(["", *map(short, builds)], cost))
    return "\n\n".join(parts)


def figure(record: Record | None, free: bool) -> str:
    """The best value and how far the worst run was from it."""
    if record is None:
        return ""
    if "best" not in record:
        return str(record["status"])
    best, worst = record["best"], record["worst"]
    away = 100 * (worst / best - 1) if best else 0.0
    gil = "" if not free or not record["runs"][0]["gil"] else ", turned the GIL on"
    return f"{number(best)} ({away:+.0f} %{gil})"


def spent(row: Row, record: Record | None) -> str:
    """What a contender cost beside its speed."""
    if record is None or "best" not in record:
        return ""
    if row.workload == "idle":
        run = min(record["runs"], key=lambda run: run["p99_us"])
        idle, busy = (
            min(run[key] for run in record["runs"])
            for key in ("idle_cpu_percent", "busy_cpu_percent")
        )
        return f"{run['p50_us']:.0f} / {run['max_us']:.0f}; {idle:.2f} / {busy:.2f}"
    cost = per_item(record)
    return "; ".join(plain(cost[key]) for key in ("cpu", "switches", "rss"))


def yes(value: Any) -> str:
    return {True: "yes", False: "no", None: "not stated"}.get(value, str(value))


def machines(results: Results) -> str:
    """Machine, builds, versions, commits, dates."""
    facts, lines = [], []
    for build, run, found in results.runs():
        host = run["machine"]
        virtual = ", a virtual machine" if host["virtual"] else ""
        facts.append(
            f"{host['cpu']} ({host['cpu_family']}, {host['mhz']} MHz), {host['cpus']} CPUs{virtual}, {host['architecture']}, "
            f"{host['memory_mib']} MiB, Linux {host['kernel']}, frequency governor {host['governor']}"
        )
        optimised = "profile-guided " + yes(build["profile_guided"]) + ", LTO " + yes(build["lto"])
        versions = ", ".join(
            f"{name} {version}" for name, version in sorted(build["packages"].items())
        )
        missing = ", ".join(sorted(build["missing"]))
        lines.append(
            [
                short(build["id"]),
                "no" if build["free_threaded"] else "yes",
                f"{build['distribution']}, {build['compiler']}, {build['optimisation']}, {optimised}",
                versions + (f"; missing: {missing}" if missing else ""),
                run["commit"] + (" with changes" if run["changed"] else ""),
                run["started"][:16].replace("T", " "),
                f"{run['settings']['repeat']} {TIMES} {run['settings']['seconds']:g} s",
                f"{host['load']:g} to {host['load_after']:g}; {run['stolen_seconds']:g} s",
                ", ".join(found),
            ]
        )
    head = [
        "build",
        "GIL",
        "compiled",
        "versions",
        "commit",
        "date (UTC)",
        "runs",
        "load; stolen by the host",
        "rows that count from it",
    ]
    text = "\n".join(f"- {fact}" for fact in dict.fromkeys(facts))
    excluded = dict.fromkeys(
        f"- {record['contender']} in {record['row']} ({record['variant']}) on {short(record['build'])}: "
        f"{record['status']}, {record.get('reason', '')}"
        for record in results.excluded()
        if record["status"] != "missing"
    )
    parts = ["## Machine and builds", text, table(head, lines)]
    parts += ["Left out:", "\n".join(excluded)] if excluded else []
    return "\n\n".join(parts)


def page(results: Results) -> str:
    """The whole page."""
    parts = [
        INTRODUCTION,
        goals(results),
        losses(results),
        misses(results),
        machines(results),
        details(results),
    ]
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks/report.py", description="Make the page and the chart."
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.json")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs", metavar="FOLDER")
    parser.add_argument("--draft", action="store_true", help="take --quick runs as well")
    options = parser.parse_args(arguments)
    files = options.files or sorted((HERE / "results").glob("*.json"))
    if not files:
        raise SystemExit(
            "report.py: there are no results; run benchmarks/run.py --json benchmarks/results/NAME.json"
        )
    results = Results(load(files, options.draft), rows())
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "benchmarks.md").write_text(page(results))
    (options.out / "benchmarks.svg").write_text(chart(results))
    print(f"{options.out / 'benchmarks.md'} and benchmarks.svg from {len(files)} files")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
