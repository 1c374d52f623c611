"""ConcurrentDict with keys and values that do their worst."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from concx.map import ConcurrentDict
from queue_tools import FREE_THREADED, Worker, wait_until


class Key:
    """A key that only Python can compare; how many there are of a hash is the test's choice."""

    def __init__(self, name: Any, hashed: int = 0, on_eq: Callable[[], Any] | None = None) -> None:
        self.name, self.hashed, self.on_eq = name, hashed, on_eq

    def __hash__(self) -> int:
        return self.hashed

    def __eq__(self, other: object) -> bool:
        if self.on_eq is not None:
            self.on_eq()
        return isinstance(other, Key) and self.name == other.name


def test_keys_that_only_python_can_compare() -> None:
    m: ConcurrentDict[Key, int] = ConcurrentDict()
    for i in range(300):
        m[Key(i, i % 3)] = i
    assert len(m) == 300
    assert all(m[Key(i, i % 3)] == i for i in range(300))
    assert Key(300, 0) not in m
    for i in range(0, 300, 2):
        assert m.pop(Key(i, i % 3)) == i
    assert sorted(m.values()) == list(range(1, 300, 2))


def test_comparison_that_raises() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    bad = Key("b")
    m: ConcurrentDict[Any, Any] = ConcurrentDict({Key("a", on_eq=fail): 1})
    for call in (
        lambda: m[bad],
        lambda: m.get(bad),
        lambda: bad in m,
        lambda: m.setdefault(bad, 1),
        lambda: m.pop(bad, 1),
        lambda: m.update({bad: 1}),
        lambda: m.add(bad, 1),
        lambda: m.compute_if_absent(bad, int),
        lambda: m.__setitem__(bad, 1),
        lambda: m.__delitem__(bad),
    ):
        with pytest.raises(ZeroDivisionError):
            call()
    assert len(m) == 1


def test_hash_that_raises() -> None:
    class Bad:
        def __hash__(self) -> int:
            raise ZeroDivisionError

    m: ConcurrentDict[Any, Any] = ConcurrentDict()
    for call in (lambda: m[Bad()], lambda: m.add(Bad(), 1), lambda: m.pop(Bad(), None)):
        with pytest.raises(ZeroDivisionError):
            call()


@pytest.mark.parametrize("what", ["clear", "delete", "grow", "collect", "replace", "look"])
def test_comparison_that_changes_the_map(what: str) -> None:
    m: ConcurrentDict[Any, Any] = ConcurrentDict()
    busy = False

    def change() -> None:
        nonlocal busy
        if busy:
            return
        busy = True
        if what == "clear":
            m.clear()
        elif what == "delete":
            m.pop(Key("a", 1), None)
        elif what == "grow":
            m.update({i: i for i in range(200)})
        elif what == "collect":
            gc.collect()
        elif what == "replace":
            m[Key("a", 1)] = "replaced"
        else:
            assert m.get(Key("a", 1)) is not None
        busy = False

    for _ in range(5):
        m[Key("a", 1, on_eq=change)] = "a"
        m[Key("b", 1, on_eq=change)] = "b"
        m[Key("c", 1, on_eq=change)] = 1
        assert m[Key("c", 1)] == 1
        assert m.pop(Key("c", 1), None) in (1, None)  # None: cleared while it was looked for
        assert m.get(Key("z", 1)) is None
        m.clear()


@pytest.mark.parametrize("others", [0, 3, 20])
def test_an_equal_key_that_is_replaced_while_it_is_compared(others: int) -> None:
    m: ConcurrentDict[Any, Any] = ConcurrentDict()
    replacements = iter(range(3))

    def replace() -> None:
        for _ in replacements:
            del m[old.pop()]
            for i in range(others):
                m[Key(("other", len(m), i))] = i
            old.append(Key("a", on_eq=replace))
            m[old[0]] = "new"
            break

    old = [Key("a", on_eq=replace)]
    m[old[0]] = "old"
    m[Key("a")] = "mine"
    assert m.pop(Key("a")) == "mine"
    assert len(m) == 3 * others


def test_comparison_that_waits_for_another_writer() -> None:
    """No lock is held while Python compares: another thread writes to the same bucket meanwhile."""
    inside, go = threading.Event(), threading.Event()
    main = threading.current_thread()

    def wait() -> None:
        if threading.current_thread() is not main:
            inside.set()
            assert go.wait(30)

    m: ConcurrentDict[Any, Any] = ConcurrentDict({Key("a", on_eq=wait): 1})
    worker = Worker(lambda: m.setdefault(Key("b"), 2))
    inside.wait(30)
    m[Key("c")] = 3
    del m[Key("a")]
    assert len(list(m)) == 1
    go.set()
    assert worker.result() == 2
    assert sorted(m.values()) == [2, 3]


class Dies:
    """Calls when it goes."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call

    def __del__(self) -> None:
        self.call()


def test_values_that_come_back_when_they_go() -> None:
    m: ConcurrentDict[Any, Any] = ConcurrentDict()
    gone = []

    def come_back() -> None:
        gone.append(len(m))
        m["again"] = m.get("again", 0)
        m.pop("nothing", None)
        list(m.items())

    for i in range(200):
        m[i % 10] = Dies(come_back)
    for i in range(10):
        m.pop(i)
    for i in range(10):
        m[i] = Dies(come_back)
    m.clear()
    wait_until(lambda: m.clear() or len(gone) == 210)


def test_replaced_values_go_soon() -> None:
    """Without a GIL they wait for readers, in batches that are few for what may be large."""
    m: ConcurrentDict[str, Any] = ConcurrentDict()
    alive = weakref.WeakSet()  # type: ignore[var-annotated]

    class Value:
        pass

    for _ in range(1000):
        value = Value()
        alive.add(value)
        m["k"] = value
    del value
    assert len(alive) <= (20 if FREE_THREADED else 1)
    assert m.stats().waiting <= 20
    m.clear()
    assert len(alive) == 0


def test_cycles_are_collected() -> None:
    class Node:
        pass

    def cycle() -> weakref.ref[Any]:
        node: Any = Node()
        node.map = ConcurrentDict({"value": node, node: "key"})
        node.map.compute_if_absent("x", lambda: node)
        node.iterator = iter(node.map.items())
        next(node.iterator)
        return weakref.ref(node)

    refs = [cycle() for _ in range(10)]
    gc.collect()
    gc.collect()  # what a batch holds on to goes with the second
    assert [ref() for ref in refs] == [None] * 10


def test_weakref_callbacks_may_use_the_map() -> None:
    m: ConcurrentDict[Any, Any] = ConcurrentDict()

    class Value:
        pass

    def gone(ref: Any) -> None:
        m.pop("other", None)
        m["gone"] = m.get("gone", 0) + 1

    refs = []
    for i in range(50):
        value = Value()
        refs.append(weakref.ref(value, gone))
        m["k"], m["other"] = value, i
    del value
    m["k"] = None
    m.clear()
    assert all(ref() is None for ref in refs)


def test_deep_nesting_is_freed() -> None:
    m: ConcurrentDict[str, Any] = ConcurrentDict()
    for _ in range(100_000):
        m = ConcurrentDict(inner=m)
    del m


def test_many_keys_of_one_hash() -> None:
    """They finish, and nobody else waits long for them."""
    m: ConcurrentDict[Any, Any] = ConcurrentDict()
    numbers = [i * (2**61 - 1) for i in range(3000)]  # CPython's modulus: all hash to 0
    assert {hash(n) for n in numbers} == {0}
    for n in numbers:
        m[n] = n
    for i in range(3000):
        m[str(i)] = i
    assert all(m[n] == n for n in numbers)
    for n in numbers:
        del m[n]
    assert len(m) == 3000
