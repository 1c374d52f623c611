"""The benchmark runner works, its JSON has its shape, and a contender that lies is found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT / "benchmarks" / "run.py"
REPORT = ROOT / "benchmarks" / "report.py"

pytestmark = pytest.mark.skipif(not RUN.exists(), reason="the benchmarks are not in this tree")

LIARS = """
import queue
from contenders import Contender

class Loser(queue.Queue):
    def put(self, item):
        if item != 777:
            super().put(item)

class Doubler(queue.Queue):
    def put(self, item):
        super().put(item)
        if item == 777:
            super().put(item)

class LateDoubler(queue.Queue):
    count = 0
    def put(self, item):
        super().put(item)
        self.count += 1
        if self.count == 1001:
            super().put(item)

class Shuffler(queue.LifoQueue):
    pass

def loser(): return Contender("loser", None, Loser)
def doubler(): return Contender("doubler", None, Doubler)
def late(): return Contender("late", None, LateDoubler)
def shuffler(): return Contender("shuffler", None, Shuffler)
"""


@contextmanager
def on_path() -> Iterator[None]:
    """The harness can be imported in the block."""
    sys.path.insert(0, str(RUN.parent))
    try:
        yield
    finally:
        sys.path.remove(str(RUN.parent))


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RUN), "--quick", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def entries(document: dict[str, Any]) -> dict[str, Any]:
    return {entry["contender"]: entry for entry in document["rows"]}


@pytest.mark.timeout(180)
def test_json_and_page(tmp_path: Path) -> None:
    raw = tmp_path / "raw.json"
    names = ("queue.Queue", "queue.SimpleQueue", "concx.Queue")
    only = [text for name in names for text in ("--only", name)]
    done = bench("seq", *only, "--repeat", "2", "--json", str(raw))
    assert done.returncode == 0, done.stderr
    document = json.loads(raw.read_text())
    assert document["schema"] == 1
    assert document["settings"]["quick"] is True
    assert document["machine"].keys() >= {"cpu", "kernel", "governor", "load"}
    (build,) = document["builds"]
    assert build.keys() >= {"version", "compiler", "free_threaded", "packages", "missing"}
    found = entries(document)
    assert found.keys() == set(names)
    for name in names:
        entry = found[name]
        assert entry["status"] == "ok", entry
        assert len(entry["runs"]) == 2
        assert entry["best"] >= entry["worst"] > 0
        for run in entry["runs"]:
            assert run["seconds"] >= 0.02
            assert run["rss_kib"] > 0
            assert run.keys() >= {"user", "system", "voluntary", "involuntary", "items", "pace"}
    assert "concx.Queue is" in done.stdout

    command = [sys.executable, str(REPORT), "--out", str(tmp_path), str(raw)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode != 0
    assert "proves nothing" in refused.stderr
    subprocess.run([*command, "--draft"], check=True, timeout=60)
    page = (tmp_path / "benchmarks.md").read_text()
    assert "## Goals" in page
    assert document["commit"] in page
    assert (tmp_path / "benchmarks.svg").read_text().startswith("<svg")


@pytest.mark.timeout(180)
def test_a_liar_is_disqualified(tmp_path: Path) -> None:
    (tmp_path / "liars.py").write_text(LIARS)
    added = [
        text
        for name in ("loser", "doubler", "late", "shuffler")
        for text in ("--add", f"{name}={tmp_path / 'liars.py'}:{name}")
    ]
    done = bench("seq", "--only", "queue.Queue", "--json", "-", *added)
    found = entries(json.loads(done.stdout))
    for name, word in {
        "loser": "lost",
        "doubler": "came twice",
        "late": "doubled",
        "shuffler": "another order",
    }.items():
        assert found[name]["status"] == "disqualified", found[name]
        assert word in found[name]["reason"]
        assert "best" not in found[name]
    assert found["queue.Queue"]["status"] == "ok"


def test_an_unknown_row_is_named() -> None:
    done = bench("sequ")
    assert done.returncode != 0
    assert "no row matches 'sequ'" in done.stderr


def test_like_is_compared_with_like() -> None:
    with on_path():
        from harness import pace

    def runs(*paces: tuple[float, float]) -> list[dict[str, Any]]:
        return [{"value": before, "pace": [before, after]} for before, after in paces]

    fast, slow, changed = (100.0, 98.0), (60.0, 62.0), (100.0, 60.0)
    lucky, unlucky = runs(slow, fast, slow), runs(slow, slow, changed)
    assert pace.level([lucky, unlucky]) == 60
    assert pace.compared(lucky, 60) == [lucky[0], lucky[2]]
    assert pace.compared(unlucky, 60) == unlucky[:2]
    assert pace.level([lucky, runs(fast, slow)]) == 98
    assert pace.compared(lucky, 98) == [lucky[1]]
    assert pace.level([lucky, runs(changed)]) == 0
    assert pace.compared(lucky, 0) == lucky


def test_goals_of_builds() -> None:
    with on_path():
        from harness.spec import Goal
    goal = Goal("we", ("they",), 5, 4, {"3.14": 3, "3.11-debian": 2})
    assert goal.target("cpython-3.11.7", False) == 5
    assert goal.target("cpython-3.11.2-debian", False) == 2
    assert goal.target("cpython-3.14.0-debian", False) == goal.target("cpython-3.14.0", False) == 3
    assert goal.target("cpython-3.15.2-debian", False) is None
    assert goal.target("cpython-3.13.5t", True) == 4


def results_with(control: float, ours: float) -> Any:
    """Of a run in which two threads were so many times as fast as one: a loop, and we."""
    with on_path():
        from harness.results import Results
        from harness.spec import CONTROL, Goal, Row
    row = Row("count", "count", "count", ("two", "one"), variants=("split",))
    row = replace(row, goals=(Goal("two", ("one",), free_threaded=1.4, scales=1.8),))
    values = {"two": ours, "one": 1.0, CONTROL[0]: 10.0, CONTROL[1]: 10.0 * control}
    records = [
        {
            "build": "cpython-3.13.5t",
            "row": "count",
            "variant": "split",
            "contender": name,
            "status": "ok",
        }
        | {"best": value, "worst": value, "median": value, "runs": []}
        for name, value in values.items()
    ]
    build = {"id": "cpython-3.13.5t", "version": "3.13.5", "free_threaded": True}
    return Results([{"started": "", "builds": [build], "rows": records}], {"count": row})


@pytest.mark.parametrize(
    ("control", "ours", "word"),
    [
        (1.9, 1.5, "met"),
        (1.9, 1.2, "missed"),
        (1.2, 1.1, "void, the control 1.20"),
        (1.2, 1.5, "void, the control 1.20"),
    ],
)
def test_goals_of_two_threads_need_two_processors(control: float, ours: float, word: str) -> None:
    (verdict,) = results_with(control, ours).verdicts()
    assert verdict.word == word
    assert verdict.missed == (word == "missed")
    assert verdict.judged == ("void" not in word)
