"""ConcurrentDict: what dict has, what it adds, and keys and values that do their worst."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import pytest

from concx.map import MISSING, ConcurrentDict, MapStats
from queue_tools import FREE_THREADED, Worker, in_child, run_threads, wait_until


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


# --- as dict ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        (({"a": 1, "b": 2},), {}),
        (([("a", 1), ["b", 2]],), {"c": 3}),
        ((iter([("a", 1)]),), {"a": 2}),
        ((ConcurrentDict(a=1),), {"b": 2}),
    ],
)
def test_construction(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    again = (list(args[0]),) if args and isinstance(args[0], Iterator) else args
    expected = dict(again[0].items() if again and isinstance(again[0], ConcurrentDict) else again[0] if again else (), **kwargs)
    m = ConcurrentDict(*again, **kwargs)
    assert m == expected
    assert expected == m
    assert len(m) == len(expected)
    assert m.snapshot() == expected
    assert dict(m) == expected
    assert {**m} == expected


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (5, TypeError, "not iterable"),
        ([1], TypeError, "element #0"),
        ([(1, 2), (1, 2, 3)], ValueError, "element #1 has length 3; 2 is required"),
        ({"a": []}.items, TypeError, "not iterable"),
        ([([], 1)], TypeError, "unhashable"),
    ],
)
def test_wrong_entries(wrong: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        ConcurrentDict(wrong)
    with pytest.raises(error, match=words):
        ConcurrentDict().update(wrong)


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"'capacity'.*-1"):
        ConcurrentDict(capacity=-1)
    with pytest.raises(TypeError, match="'capacity'"):
        ConcurrentDict(capacity="much")
    with pytest.raises(TypeError, match="at most 1 argument"):
        ConcurrentDict({}, {})  # type: ignore[call-overload]


def test_one_entry() -> None:
    m: ConcurrentDict[Any, Any] = ConcurrentDict()
    m["a"] = None
    assert m["a"] is None
    assert "a" in m
    assert "b" not in m
    assert m.get("a", 5) is None
    assert m.get("b") is None
    assert m.get("b", 5) == 5
    assert m.setdefault("a", 7) is None
    assert m.setdefault("c", 7) == 7
    assert m.setdefault("d") is None
    del m["d"]
    assert m.pop("c") == 7
    assert m.pop("c", 8) == 8
    with pytest.raises(KeyError, match="'c'"):
        m.pop("c")
    with pytest.raises(KeyError, match="'c'"):
        del m["c"]
    with pytest.raises(KeyError, match="'c'"):
        m["c"]
    assert m.popitem() == ("a", None)
    with pytest.raises(KeyError, match="empty"):
        m.popitem()
    assert not m


def test_a_tuple_is_one_key() -> None:
    m: ConcurrentDict[Any, Any] = ConcurrentDict()
    with pytest.raises(KeyError) as info:
        m[1, 2]
    assert info.value.args == ((1, 2),)
    m[1, ("a", 2.5)] = 1
    assert m[(1, ("a", 2.5))] == 1
    assert m[(1.0, ("a", 2.5))] == 1
    assert (1, ("a", 2.6)) not in m


def test_equal_keys_of_different_types() -> None:
    m = ConcurrentDict({1: "int"})
    m[1.0] = "float"
    m[True] = "bool"
    assert m == {1: "bool"}
    assert [type(key) for key in m] == [int]  # the first one stays, as in a dict


def test_nan_is_found_by_identity() -> None:
    nan, other = float("nan"), float("nan")
    m = ConcurrentDict({nan: 1})
    assert m[nan] == 1
    assert other not in m
    m[other] = 2
    assert len(m) == 2


@pytest.mark.parametrize("n", [10, 1000, 30_000])
def test_grows_and_shrinks(n: int) -> None:
    m: ConcurrentDict[int, int] = ConcurrentDict()
    for i in range(n):
        m[i] = i
    assert len(m) == n
    assert all(m[i] == i for i in range(n))
    assert sorted(m) == list(range(n))
    grown = m.stats()
    assert grown.buckets >= n
    for i in range(n - 5):
        del m[i]
    for i in range(2000):  # a removed one takes the table along
        m[-1 - i % 5] = i
        del m[-1 - i % 5]
    assert sorted(m.items()) == [(i, i) for i in range(n - 5, n)]
    assert n < 1000 or m.stats().buckets < grown.buckets / 8


def test_capacity() -> None:
    m = ConcurrentDict(dict.fromkeys(range(1000)), capacity=1000)
    assert m.stats() == MapStats(1000, 1024, 0, 0, None, None)


def test_views() -> None:
    m = ConcurrentDict(a=1, b=2)
    assert m.keys() == {"a", "b"}
    assert m.keys() & {"a"} == {"a"}
    assert {"a", "c"} - m.keys() == {"c"}
    assert m.items() == {("a", 1), ("b", 2)}
    assert sorted(m.values()) == [1, 2]
    assert len(m.keys()) == len(m.items()) == len(m.values()) == 2
    assert ("a", 1) in m.items()
    assert ("a", 2) not in m.items()
    assert 2 in m.values()
    assert m.keys().isdisjoint({"c"})
    assert not m.items().isdisjoint({("a", 1)})
    m["c"] = 3
    assert "c" in m.keys()  # a view, not a copy
    assert repr(ConcurrentDict(a=1).keys()) == "ConcurrentDict.keys(['a'])"
    assert repr(ConcurrentDict(a=1).items()) == "ConcurrentDict.items([('a', 1)])"
    assert repr(ConcurrentDict(a=1).values()) == "ConcurrentDict.values([1])"


def test_operators() -> None:
    m = ConcurrentDict(a=1, b=2)
    joined = m | {"b": 3, "c": 4}
    assert type(joined) is ConcurrentDict
    assert joined == {"a": 1, "b": 3, "c": 4}
    assert {"b": 0, "z": 1} | m == {"a": 1, "b": 2, "z": 1}
    assert type({"z": 1} | m) is ConcurrentDict
    same = m
    m |= [("d", 5)]
    assert m is same
    assert m == {"a": 1, "b": 2, "d": 5}
    with pytest.raises(TypeError, match="unsupported operand"):
        m | [("d", 5)]
    assert m != {"a": 1}
    assert m != ConcurrentDict()
    assert m != 5
    assert ConcurrentDict.fromkeys("ab", 0) == {"a": 0, "b": 0}


def test_what_it_is() -> None:
    m = ConcurrentDict(a=1)
    assert isinstance(m, Mapping)
    assert isinstance(m, MutableMapping)
    with pytest.raises(TypeError, match="unhashable"):
        hash(m)
    with pytest.raises(TypeError, match="keeps no order"):
        reversed(m)
    assert ConcurrentDict[str, int].__args__ == (str, int)
    assert weakref.ref(m)() is m
    assert sys.getsizeof(m) > sys.getsizeof(ConcurrentDict()) - 1


def test_repr() -> None:
    m: ConcurrentDict[str, Any] = ConcurrentDict(a=1)
    assert repr(m) == "ConcurrentDict({'a': 1})"
    m["a"] = m
    assert repr(m) == "ConcurrentDict({'a': ConcurrentDict(...)})"
    m["a"] = m.items()
    assert repr(m) == "ConcurrentDict({'a': ConcurrentDict.items([('a', ...)])})"
    m.clear()


class Sub(ConcurrentDict[str, Any]):
    label = ""

    def __missing__(self, key: str) -> str:
        return f"no {key}"


def test_subclass() -> None:
    m = Sub(a=1)
    m.label = "x"
    assert m["b"] == "no b"
    assert m.get("b") is None
    assert "b" not in m
    assert repr(m) == "Sub({'a': 1})"
    assert type(m.copy()) is ConcurrentDict  # as dict has it
    for other in (pickle.loads(pickle.dumps(m)), copy.copy(m), copy.deepcopy(m)):
        assert type(other) is Sub
        assert other == m
        assert other.label == "x"


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol: int) -> None:
    m = ConcurrentDict({"a": [1], (2, 3): None})
    other = pickle.loads(pickle.dumps(m, protocol))
    assert other == m
    assert other["a"] is not m["a"]
    assert copy.copy(m)["a"] is m["a"]
    assert pickle.loads(pickle.dumps(MISSING, protocol)) is MISSING
    assert repr(MISSING) == "MISSING"


def test_counted_lookups() -> None:
    m = ConcurrentDict(a=1, count_lookups=True)
    m["a"], m.get("b"), "a" in m
    assert (m.stats().hits, m.stats().misses) == (2, 1)


# --- steps -----------------------------------------------------------------------------------------


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
            assert "waits for itself" in str(error)
            return "circle"

    a, b = Worker(ask, "a", "b"), Worker(ask, "b", "a")
    assert "circle" in {a.result(), b.result()}


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


# --- hostile keys and values -----------------------------------------------------------------------


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


# --- iteration -------------------------------------------------------------------------------------


def test_iteration_while_it_changes() -> None:
    m: ConcurrentDict[int, int] = ConcurrentDict({i: i for i in range(1000)})
    seen = []
    for step, key in enumerate(m):
        seen.append(key)
        m[1000 + step] = 0  # grows
        m.pop(key + 1000, None)
    assert len(seen) == len(set(seen))
    assert set(range(1000)) <= set(seen)


def test_iteration_after_clear_and_after_the_map() -> None:
    m = ConcurrentDict({i: i for i in range(1000)})
    iterator = iter(m.items())
    next(iterator)
    m.clear()
    assert len(list(iterator)) < 100  # what was fetched before
    assert list(iterator) == []
    iterator = iter(ConcurrentDict(a=1))
    gc.collect()
    assert list(iterator) == ["a"]


def test_a_parked_iterator_holds_little() -> None:
    class Value:
        pass

    m: ConcurrentDict[int, Any] = ConcurrentDict({i: Value() for i in range(5000)})
    alive = [weakref.ref(value) for value in m.values()]
    iterator = iter(m.values())
    next(iterator)
    m.clear()
    gc.collect()
    assert sum(ref() is not None for ref in alive) < 100
    del iterator


def test_length_hint() -> None:
    from operator import length_hint

    m = ConcurrentDict(a=1, b=2)
    iterator = iter(m)
    assert length_hint(iterator) == 2
    assert length_hint(iter([*iterator, iterator])) == 3
    assert length_hint(iterator) == 0


def test_two_threads_share_an_iterator() -> None:
    m = ConcurrentDict({i: i for i in range(20_000)})
    iterator = iter(m)
    halves = run_threads(lambda: list(iterator), lambda: list(iterator))
    assert sorted(halves[0] + halves[1]) == list(range(20_000))


# --- shared ----------------------------------------------------------------------------------------


def test_shared() -> None:
    m: ConcurrentDict[int, int] = ConcurrentDict({1: 1}, shared=True)
    run_threads(*[lambda: [m.add(i % 5, 1) for i in range(1000)]] * 3)
    assert sum(m.values()) == 3001
    if FREE_THREADED and sys.version_info < (3, 14):
        assert sys.getrefcount(m) > 2**31  # never freed
    else:
        ref = weakref.ref(m)
        del m
        gc.collect()
        assert ref() is None
