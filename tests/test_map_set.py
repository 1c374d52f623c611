"""ConcurrentSet: what set has; CPython's own tests run in tests/conformance."""

from __future__ import annotations

import gc
import pickle
import weakref
from collections.abc import MutableSet
from typing import Any

import pytest

from concx.map import ConcurrentSet
from queue_tools import run_threads


def test_smoke() -> None:
    s = ConcurrentSet("abc")
    assert s == {"a", "b", "c"}
    assert isinstance(s, MutableSet)
    assert s.add_if_absent("d")
    assert not s.add_if_absent("d")
    s.discard("d")
    s.discard("d")
    with pytest.raises(KeyError, match="'d'"):
        s.remove("d")
    with pytest.raises(KeyError) as info:
        s.remove((1, 2))
    assert info.value.args == ((1, 2),)
    popped = {s.pop(), s.pop(), s.pop()}
    assert popped == {"a", "b", "c"}
    with pytest.raises(KeyError, match="empty"):
        s.pop()


def test_options() -> None:
    s = ConcurrentSet(range(10), capacity=100, count_lookups=True, shared=False)
    assert 5 in s
    assert 50 not in s
    stats = s.stats()
    assert (stats.size, stats.buckets, stats.hits, stats.misses) == (10, 128, 1, 1)
    with pytest.raises(TypeError, match="size"):
        ConcurrentSet(size=5)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="not iterable"):
        ConcurrentSet(5)  # type: ignore[arg-type]


def test_with_each_other() -> None:
    a, b = ConcurrentSet([1, 2, 3]), ConcurrentSet([3, 4])
    assert type(a | b) is ConcurrentSet
    assert a | b == {1, 2, 3, 4}
    assert {9} | a == {1, 2, 3, 9}
    assert a & b == {3}
    assert a - b == {1, 2}
    assert {3, 7} - a == {7}
    assert a ^ b == {1, 2, 4}
    assert a > {1}
    assert a >= a
    assert not a < {1}
    assert {1} < a
    with pytest.raises(TypeError):
        a | [1]
    a |= b
    a -= {1}
    a &= {2, 3, 4, 5}
    a ^= {5}
    assert a == {2, 3, 4, 5}
    a.symmetric_difference_update(a)
    assert not a


def test_itself_as_the_other() -> None:
    s = ConcurrentSet(range(5))
    s.update(s)
    assert len(s) == 5
    s.intersection_update(s)
    assert len(s) == 5
    s.difference_update(s)
    assert not s


def test_a_set_is_looked_up_as_a_frozenset() -> None:
    s = ConcurrentSet([frozenset([1])])
    assert {1} in s
    assert ConcurrentSet([1]) in s
    s.discard({1})
    assert not s
    with pytest.raises(TypeError, match="unhashable"):
        s.add({1})  # type: ignore[arg-type]


def test_pickle_and_repr() -> None:
    s = ConcurrentSet([1])
    assert pickle.loads(pickle.dumps(s)) == s
    assert repr(s) == "ConcurrentSet({1})"
    assert repr(ConcurrentSet()) == "ConcurrentSet()"


def test_collected() -> None:
    class Item:
        def __init__(self) -> None:
            self.owner: Any = ConcurrentSet([self])

    ref = weakref.ref(Item())
    gc.collect()
    assert ref() is None


def test_threads_add_each_item_once() -> None:
    s: ConcurrentSet[int] = ConcurrentSet()
    added = run_threads(*[lambda: sum(s.add_if_absent(i) for i in range(2000))] * 4)
    assert sum(added) == len(s) == 2000
