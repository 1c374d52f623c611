"""ConcurrentDict: what dict has, iteration while it changes, and `shared`."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import weakref
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import pytest

from concx.map import MISSING, ConcurrentDict, MapStats
from queue_tools import FREE_THREADED, run_threads

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
    expected = dict(
        again[0].items()
        if again and isinstance(again[0], ConcurrentDict)
        else again[0]
        if again
        else (),
        **kwargs,
    )
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
