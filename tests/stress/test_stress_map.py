"""ConcurrentDict and ConcurrentSet with threads that do everything at once; what ./dev tsan runs."""

from __future__ import annotations

import gc
import random
import threading
import time
import weakref
from functools import partial
from typing import Any

import pytest

from concx.map import MISSING, ConcurrentDict, ConcurrentSet
from queue_tools import LIMIT, TSAN, Worker, in_child, run_threads

pytestmark = pytest.mark.stress

ROUNDS = 300 if TSAN else 5000


class Slow:
    """A key that only Python can compare."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return self.number % 7

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slow) and self.number == other.number


@pytest.mark.usefixtures("quick_switches")
def test_sums_add_up() -> None:
    m: ConcurrentDict[int, int] = ConcurrentDict()

    def add(seed: int) -> int:
        rng = random.Random(seed)
        total = 0
        for _ in range(ROUNDS):
            delta = rng.randrange(10)
            m.add(rng.randrange(50), delta)
            total += delta
        return total

    assert sum(run_threads(*[partial(add, seed) for seed in range(4)])) == sum(m.values())


@pytest.mark.usefixtures("quick_switches")
def test_counters_lose_nothing_to_who_takes_them() -> None:
    m: ConcurrentDict[int, int] = ConcurrentDict()

    def add(seed: int) -> int:
        rng = random.Random(seed)
        for _ in range(ROUNDS):
            m.add(rng.randrange(5), 1)
        return ROUNDS

    def take() -> int:
        rng = random.Random(9)
        taken = 0
        for i in range(ROUNDS):
            key = rng.randrange(5)
            if i % 3 == 0:
                taken += m.pop(key, 0)
            elif i % 3 == 1:
                taken += m.snapshot().get(key, 0) and m.pop(key, 0)
            else:
                was: Any = MISSING

                def reset(old: Any) -> int:
                    nonlocal was
                    was = old
                    return 0

                m.compute(key, reset)
                taken += 0 if was is MISSING else was
        return -taken

    *added, taken = run_threads(*[partial(add, seed) for seed in range(3)], take)
    assert sum(added) + taken == sum(m.values())


@pytest.mark.usefixtures("quick_switches")
@pytest.mark.parametrize("make", [int, Slow, str], ids=["int", "Slow", "str"])
def test_every_value_is_taken_once(make: Any) -> None:
    """What goes in comes out once: replaced, popped, popped as an item, or left at the end."""
    m: ConcurrentDict[Any, int] = ConcurrentDict()

    def churn(thread: int) -> list[int]:
        rng = random.Random(thread)
        out = []
        for i in range(ROUNDS):
            number = thread * ROUNDS + i
            key = make(rng.randrange(40))
            taken: Any = MISSING

            def swap(old: Any, number: int = number) -> int:
                nonlocal taken
                taken = old
                return number

            m.compute(key, swap)
            out.append(taken)
            out.append(m.pop(make(rng.randrange(40)), MISSING))
            if i % 50 == 0:
                try:
                    out.append(m.popitem()[1])
                except KeyError:
                    pass
        return [value for value in out if value is not MISSING]

    results = run_threads(*[partial(churn, thread) for thread in range(4)])
    everything = [value for part in results for value in part] + list(m.values())
    assert sorted(everything) == list(range(4 * ROUNDS))


@pytest.mark.usefixtures("quick_switches")
def test_a_factory_is_called_once_for_each_key() -> None:
    m: ConcurrentDict[int, int] = ConcurrentDict()
    calls: ConcurrentDict[int, int] = ConcurrentDict()

    def ask(_: int) -> None:
        for key in range(ROUNDS // 10):
            assert m.compute_if_absent(key, lambda: calls.add(key, 1) + key) == key + 1  # noqa: B023

    run_threads(*[partial(ask, thread) for thread in range(4)])
    assert calls == dict.fromkeys(range(ROUNDS // 10), 1)


@pytest.mark.usefixtures("quick_switches")
def test_walks_and_snapshots_while_others_write() -> None:
    m: ConcurrentDict[int, int] = ConcurrentDict(dict.fromkeys(range(200), 0))
    done = threading.Event()

    def write(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for i in range(ROUNDS):
                key = 200 + rng.randrange(2000)
                if i // 500 % 2:
                    m.pop(key, None)
                else:
                    m[key] = i
        finally:
            done.set()

    def walk() -> int:
        rounds = 0
        while not done.is_set() or rounds == 0:
            keys = list(m)
            assert len(keys) == len(set(keys))
            assert set(range(200)) <= set(keys)
            assert set(range(200)) <= m.snapshot().keys()
            assert len(list(m.items())) >= 200
            rounds += 1
        return rounds

    run_threads(partial(write, 1), partial(write, 2), walk, walk)


@pytest.mark.usefixtures("quick_switches")
def test_snapshots_are_instants() -> None:
    """Two keys go up in turn; whoever sees the second one's step sees the first one's."""
    m = ConcurrentDict(first=0, second=0)
    done = threading.Event()

    def write() -> None:
        for i in range(1, ROUNDS):
            m["first"] = i
            m["second"] = i
        done.set()

    def look() -> None:
        while not done.is_set():
            seen = m.snapshot()
            assert seen["second"] <= seen["first"] <= seen["second"] + 1

    run_threads(write, look, look)


@pytest.mark.usefixtures("quick_switches")
def test_sets() -> None:
    s: ConcurrentSet[int] = ConcurrentSet()

    def churn(seed: int) -> int:
        rng = random.Random(seed)
        balance = 0
        for _ in range(ROUNDS):
            if rng.random() < 0.6:
                balance += s.add_if_absent(rng.randrange(300))
            else:
                try:
                    s.remove(rng.randrange(300))
                    balance -= 1
                except KeyError:
                    pass
        return balance

    assert sum(run_threads(*[partial(churn, seed) for seed in range(4)])) == len(s) == len(list(s))


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "seconds", [pytest.param(3, id="3 s"), pytest.param(60, id="60 s", marks=pytest.mark.long)]
)
def test_churn(seconds: float) -> None:
    """Writers, walkers, snapshots, clears, the collector and forks at once; then nothing is left."""

    class Value:
        pass

    m: ConcurrentDict[Any, Any] = ConcurrentDict(shared=False)
    alive: weakref.WeakSet[Value] = weakref.WeakSet()
    deadline = time.monotonic() + (seconds / 3 if TSAN else seconds)

    def write(seed: int) -> None:
        rng = random.Random(seed)
        while time.monotonic() < deadline:
            for _ in range(50):
                number = rng.randrange(500)
                key = rng.choice([number, str(number), Slow(number)])
                if rng.random() < 0.4:
                    m.pop(key, None)
                else:
                    value: Any = Value()
                    value.map, value.key = m, key  # a cycle through the map
                    m[key] = value

    def look() -> None:
        while time.monotonic() < deadline:
            list(m.items())
            m.snapshot()
            gc.collect()
            m.clear()

    def in_the_child() -> None:
        m[1] = "child"
        assert m[1] == "child"
        assert 1 in m.snapshot()
        for _ in m.items():
            pass
        m.clear()
        assert len(m) == 0

    def fork() -> None:
        while time.monotonic() < deadline:
            in_child(in_the_child)

    workers = [Worker(write, 1), Worker(write, 2), Worker(look), *([] if TSAN else [Worker(fork)])]
    for worker in workers:
        worker.result(seconds + LIMIT)
    values = [m.setdefault(i, Value()) for i in range(500)]
    alive.update(value for value in values if isinstance(value, Value))
    del values
    m.clear()
    gc.collect()
    assert len(alive) == 0
    assert m.stats().waiting == 0
