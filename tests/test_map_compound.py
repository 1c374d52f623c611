"""ConcurrentDict: steps that look and change in one."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest

from concx.map import MISSING, ConcurrentDict
from queue_tools import Worker, in_child, wait_until


def test_compare_and_set() -> None:
    m: ConcurrentDict[str, Any] = ConcurrentDict()
    assert m.compare_and_set("a", MISSING, [1])
    assert not m.compare_and_set("a", MISSING, [2])
    assert m.compare_and_set("a", [1], [2])  # an equal one
    assert not m.compare_and_set("a", [1], [3])
    assert m["a"] == [2]
    assert not m.compare_and_set("b", [1], [3])
    assert not m.compare_and_set("a", MISSING, MISSING)
    assert m.compare_and_set("b", MISSING, MISSING)
    assert m.compare_and_set("a", [2], MISSING)
    assert m == {}
    with pytest.raises(TypeError, match=r"takes 3 arguments \(2 given\)"):
        m.compare_and_set("a", 1)  # type: ignore[call-arg]


def test_compute() -> None:
    m: ConcurrentDict[str, Any] = ConcurrentDict()
    seen = []

    def step(value: Any) -> Any:
        seen.append(value)
        return MISSING if value == 2 else 1 if value is MISSING else value + 1

    assert [m.compute("a", step) for _ in range(3)] == [1, 2, MISSING]
    assert seen == [MISSING, 1, 2]
    assert m == {}
    assert m.compute("a", lambda value: MISSING) is MISSING
    with pytest.raises(ZeroDivisionError):
        m.compute("a", lambda value: 1 / 0)
    assert m == {}


def test_compute_is_called_again() -> None:
    m = ConcurrentDict(a=1)
    calls = []

    def step(value: int) -> int:
        calls.append(value)
        if len(calls) == 1:
            m["a"] = 10  # somebody else was faster
        if len(calls) == 2:
            del m["a"]
        return 5 if value is MISSING else value + 1

    assert m.compute("a", step) == 5
    assert calls == [1, 10, MISSING]
    assert m == {"a": 5}


def test_merge_and_add() -> None:
    m: ConcurrentDict[str, Any] = ConcurrentDict()
    assert m.merge("a", [1], lambda old, new: old + new) == [1]
    assert m.merge("a", [2], lambda old, new: old + new) == [1, 2]
    assert m.merge("a", 0, lambda old, new: MISSING) is MISSING
    assert m == {}
    assert m.add("n", 5) == 5
    assert m.add("n", -7) == -2
    assert m.add("f", 0.5, 1) == 1.5
    assert m.add("s", "b", "a") == "ab"
    assert m.add("big", 2**63) == 2**63
    assert m.add("big", 2**63) == 2**64
    assert m.add("n", 0.5) == -1.5
    assert m.add("flag", True) == 1
    assert m.add("s", "c") == "abc"
    for key in ("new", "n"):
        with pytest.raises(TypeError, match="unsupported operand"):
            m.add(key, "x")
    assert "new" not in m


@pytest.mark.parametrize("start", [2**63 - 2, -(2**63) + 1, 2**62, 0, -1])
@pytest.mark.parametrize("delta", [1, 2, -1, -2, 2**63 - 1, -(2**63), 2**70])
def test_add_at_the_edges(start: int, delta: int) -> None:
    m = ConcurrentDict(a=start)
    assert m.add("a", delta) == start + delta
    assert m["a"] == start + delta


def test_what_add_leaves_is_an_int_everywhere() -> None:
    """The map keeps it without an object of its own."""
    m: ConcurrentDict[Any, Any] = ConcurrentDict({i: 1000 * i for i in range(50)})
    expected = {i: 1000 * i - 7 for i in range(50)}
    for i in range(50):
        m.add(i, -7)
    assert m == expected
    assert dict(m) == m.snapshot() == expected
    assert sorted(m.values()) == sorted(expected.values())
    assert set(m.items()) == set(expected.items())
    assert sorted(m) == list(range(50))
    assert m.get_many(range(50)) == list(expected.values())
    assert ConcurrentDict(m) == pickle.loads(pickle.dumps(m)) == m | {} == expected
    assert m[3] == m.get(3) == m.setdefault(3, 0) == m.compute_if_absent(3, int) == 2993
    assert m.compare_and_set(3, 2993, "three")
    assert not m.compare_and_set(4, 3992, "four")
    assert m.compare_and_set(4, 3993.0, "four")  # an equal one
    assert m.compute(5, lambda n: n + 1) == 4994
    assert m.merge(6, 1, lambda old, new: old + new) == 5994
    assert m.add(7, 0.5) == 6993.5
    assert m.add(8, 2**62) == 2**62 + 7993
    assert m.add(8, -(2**62)) == 7993
    assert m.pop(9) == 8993
    popped = [m.popitem() for _ in range(len(m))]
    assert {key for key, _ in popped} == set(range(50)) - {9}
    assert dict(popped)[10] == 9993


def test_get_many() -> None:
    m = ConcurrentDict(a=1, b=2)
    assert m.get_many("abc") == [1, 2, None]
    assert m.get_many(iter("ca"), 0) == [0, 1]
    with pytest.raises(TypeError, match="unhashable"):
        m.get_many(["a", []])
    with pytest.raises(TypeError, match="not iterable"):
        m.get_many(5)  # type: ignore[arg-type]


def test_a_factory_is_called_once() -> None:
    m: ConcurrentDict[str, Any] = ConcurrentDict()
    calls = []
    go = threading.Event()

    def factory() -> object:
        calls.append(1)
        go.wait(30)
        return object()

    workers = [Worker(m.compute_if_absent, "k", factory) for _ in range(16)]
    wait_until(lambda: calls)
    go.set()
    results = {id(worker.result()) for worker in workers}
    assert len(calls) == len(results) == 1
    assert m.compute_if_absent("k", lambda: 1 / 0) is m["k"]


def test_a_factory_that_fails_keeps_nothing() -> None:
    m: ConcurrentDict[str, Any] = ConcurrentDict()
    calls = []
    go = threading.Event()

    def factory() -> object:
        calls.append(1)
        go.wait(30)
        raise ValueError("no")

    workers = [Worker(m.compute_if_absent, "k", factory) for _ in range(8)]
    wait_until(lambda: calls)
    wait_until(lambda: len([t for t in workers if t.is_alive()]) == 8)
    go.set()
    for worker in workers:
        with pytest.raises(ValueError, match="no"):
            worker.result()
    assert 1 <= len(calls) <= 8  # who came late enough called for himself
    assert m.compute_if_absent("k", lambda: 5) == 5


def test_a_factory_that_is_interrupted_hands_over() -> None:
    m: ConcurrentDict[str, Any] = ConcurrentDict()
    inside, go = threading.Event(), threading.Event()

    def interrupted() -> object:
        inside.set()
        go.wait(30)
        raise KeyboardInterrupt

    first = Worker(m.compute_if_absent, "k", interrupted)
    inside.wait(30)
    second = Worker(m.compute_if_absent, "k", lambda: "second")
    go.set()
    with pytest.raises(KeyboardInterrupt):
        first.result()
    assert second.result() == "second"


def test_a_factory_that_asks_for_its_own_key() -> None:
    m: ConcurrentDict[str, Any] = ConcurrentDict()
    with pytest.raises(RuntimeError, match="the factory of 'k' waits for itself"):
        m.compute_if_absent("k", lambda: m.compute_if_absent("k", int))
    assert m == {}
    # another key's is fine
    assert m.compute_if_absent("k", lambda: m.compute_if_absent("l", int) + 1) == 1
    assert m == {"k": 1, "l": 0}


def test_factories_that_wait_for_each_other() -> None:
    m: ConcurrentDict[str, Any] = ConcurrentDict()
    both = threading.Barrier(2)

    def factory(other: str) -> str:
        both.wait(30)
        return f"after {m.compute_if_absent(other, lambda: 'alone')}"

    def ask(key: str, other: str) -> Any:
        try:
            return m.compute_if_absent(key, lambda: factory(other))
        except RuntimeError as error:
            return str(error)

    a, b = Worker(ask, "a", "b"), Worker(ask, "b", "a")
    assert any("waits for itself" in result for result in (a.result(), b.result()))


def test_a_set_value_wins_over_a_factory() -> None:
    m: ConcurrentDict[str, Any] = ConcurrentDict()

    def factory() -> str:
        m["k"] = "set meanwhile"
        return "made"

    assert m.compute_if_absent("k", factory) == "set meanwhile"


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="there is no fork here")
def test_fork_in_a_factory() -> None:
    m: ConcurrentDict[str, Any] = ConcurrentDict()
    inside, go = threading.Event(), threading.Event()

    def factory() -> str:
        inside.set()
        go.wait(30)
        return "parent's"

    worker = Worker(m.compute_if_absent, "k", factory)
    inside.wait(30)

    def child() -> None:  # the thread in the factory does not exist here
        assert m.compute_if_absent("k", lambda: "child's") == "child's"

    in_child(child)
    go.set()
    assert worker.result() == "parent's"
