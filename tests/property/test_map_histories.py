"""Recorded histories of ConcurrentDict are linearizable: each call, a snapshot too, is one instant."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest

from concx.map import MISSING, ConcurrentDict
from property.linearize import Op
from property.recording import check_seeds, now, some_seed_contradicts
from queue_tools import TSAN, run_threads

pytestmark = pytest.mark.usefixtures("quick_switches")

KEYS = 3
CALLS = 8


class MapModel:
    """State: the values of the keys 0, 1, 2; None where there is none."""

    def initial(self) -> Any:
        return (None,) * KEYS

    def step(self, state: Any, op: Op) -> Iterable[Any]:
        if op.name == "snapshot":
            return (state,) if op.result == state else ()
        if op.name == "clear":
            return ((None,) * KEYS,)
        key, *rest = op.argument
        old = state[key]

        def becomes(new: Any) -> tuple[Any]:
            return ((*state[:key], new, *state[key + 1 :]),)

        if op.name == "get":
            return (state,) if op.result == old else ()
        if op.name == "set":
            return becomes(rest[0])
        if op.name == "pop":
            return becomes(None) if op.result == old else ()
        if op.name == "add":
            new = (old or 0) + rest[0]
            return becomes(new) if op.result == new else ()
        if op.name == "setdefault":
            new = rest[0] if old is None else old
            return becomes(new) if op.result == new else ()
        assert op.name == "compare_and_set"
        if op.result != (old == rest[0]):
            return ()
        return becomes(rest[1]) if op.result else (state,)


def call(m: Any, name: str, key: int, numbers: Any) -> tuple[Any, Any]:
    """The argument and result of one call."""
    if name == "snapshot":
        seen = m.snapshot()
        return None, tuple(seen.get(key) for key in range(KEYS))
    if name == "clear":
        return None, m.clear()
    number = next(numbers)
    if name == "get":
        return (key,), m.get(key)
    if name == "set":
        m[key] = number
        return (key, number), None
    if name == "pop":
        return (key,), m.pop(key, None)
    if name == "compare_and_set":
        expected = m.get(key)
        done = m.compare_and_set(key, MISSING if expected is None else expected, number)
        return (key, expected, number), done
    return (key, number), getattr(m, name)(key, number)


NAMES = ["get", "get", "set", "set", "pop", "add", "add", "setdefault", "compare_and_set"]


def record(make: Any, names: list[str], threads: int, seed: int) -> list[Op]:
    rng = random.Random(seed)
    m, numbers, ops = make(), itertools.count(1), []
    programs = [
        [(rng.choice(names), rng.randrange(KEYS)) for _ in range(CALLS)] for _ in range(threads)
    ]

    def run(thread: int, program: list[tuple[str, int]]) -> None:
        for name, key in program:
            begun = now()
            argument, result = call(m, name, key, numbers)
            ops.append(Op(name, argument, result, begun, now(), thread))

    run_threads(*[partial(run, *pair) for pair in enumerate(programs)])
    return ops


@pytest.mark.parametrize("first", range(0, 1200, 300))
def test_entries(first: int) -> None:
    check_seeds(partial(record, ConcurrentDict, NAMES, 4), MapModel(), first, 300)  # type: ignore[arg-type]


@pytest.mark.parametrize("first", range(0, 900, 300))
def test_snapshots(first: int) -> None:
    names = [*NAMES, "snapshot", "snapshot", "clear"]
    check_seeds(partial(record, ConcurrentDict, names, 3), MapModel(), first, 300)  # type: ignore[arg-type]


@pytest.mark.parametrize("first", range(0, 600, 300))
def test_counters(first: int) -> None:
    """Counters change without a lock; a snapshot of them is an instant all the same."""
    names = ["add", "add", "add", "add", "snapshot", "pop", "set", "compare_and_set"]
    check_seeds(partial(record, ConcurrentDict, names, 4), MapModel(), first, 300)  # type: ignore[arg-type]


@pytest.mark.long
def test_many() -> None:
    names = [*NAMES, "snapshot", "clear"]
    check_seeds(partial(record, ConcurrentDict, names, 4), MapModel(), 10_000, 10_000)  # type: ignore[arg-type]


class Torn(dict[Any, Any]):
    """A map whose steps are two."""

    def add(self, key: int, number: int) -> int:
        old = self.get(key, 0)
        time.sleep(0)  # lets others in between
        self[key] = old + number
        return self[key]

    def snapshot(self) -> dict[Any, Any]:
        return {key: self[key] for key in list(self) if key in self}

    def compare_and_set(self, key: int, expected: Any, number: int) -> bool:
        if self.get(key, MISSING) != expected:
            return False
        self[key] = number
        return True


@pytest.mark.skipif(TSAN, reason="it races on purpose, in CPython's dict")
def test_a_torn_map_is_found_out() -> None:
    assert some_seed_contradicts(partial(record, Torn, ["add", "get", "set"], 4), MapModel())  # type: ignore[arg-type]
