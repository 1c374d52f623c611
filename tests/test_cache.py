"""Cache: dict's behaviour, victims, time, weights."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import unittest
import weakref
from collections.abc import Iterator, MutableMapping
from datetime import timedelta
from typing import Any

import pytest

from cache_tools import EACH, POLICIES, Clock, Log
from cache_traces import GENERATORS
from concx.cache import Cache


@pytest.fixture
def clock() -> Clock:
    return Clock()


# -- dict's behaviour -----------------------------------------------------------------------------


@EACH
def test_smoke(policy: Any) -> None:
    c: Cache[Any, Any] = Cache(3, policy=policy, items={"a": 1, "b": None})
    assert c["a"] == 1
    assert c["b"] is None
    assert "b" in c
    assert "x" not in c
    assert c.get("x") is None
    assert c.get("x", 5) == 5
    assert c.get("b", 5) is None
    c["c"] = 3
    assert len(c) == 3
    c["d"] = 4
    assert len(c) == 3
    assert "d" in c
    del c["d"]
    assert len(c) == 2
    assert "d" not in c
    c.clear()
    assert len(c) == 0
    assert list(c) == []
    assert isinstance(c, MutableMapping)
    assert c.policy == policy
    assert c.maxsize == 3
    assert c.max_weight is None


def test_missing_keys_raise() -> None:
    c: Cache[Any, Any] = Cache(3)
    for call in (
        lambda: c["x"],
        lambda: c.pop("x"),
        lambda: c.ttl("x"),
        lambda: c.__delitem__("x"),
    ):
        with pytest.raises(KeyError, match="'x'"):
            call()
    with pytest.raises(KeyError, match="the cache is empty"):
        c.popitem()
    assert c.pop("x", 1) == 1
    assert c.pop("x", None) is None
    assert c.touch("x") is False


def test_equality_and_views() -> None:
    c: Cache[Any, Any] = Cache(9, items=[(1, "a"), (2, "b")])
    assert c == {1: "a", 2: "b"} == c
    assert c != {1: "a"}
    assert c != 5
    assert not c == 5
    assert c == Cache(5, items={2: "b", 1: "a"})
    assert c.keys() == {1, 2}
    assert c.keys() & {1, 7} == {1}
    assert (1, "a") in c.items()
    assert (1, "b") not in c.items()
    assert (3, "a") not in c.items()
    assert "a" in c.values()
    assert "z" not in c.values()
    assert sorted(c.items()) == [(1, "a"), (2, "b")]
    assert sorted(c.values()) == ["a", "b"]
    assert len(c.items()) == 2
    assert c.stats().hits == 0  # no view is a use
    with pytest.raises(TypeError, match="unhashable"):
        hash(c)


def test_update() -> None:
    c: Cache[Any, Any] = Cache(9)
    c.update({1: 2}, a=3)
    c.update([(5, 6)])
    c.update()
    c.set_many({7: 8}, ttl=100)
    assert c == {1: 2, "a": 3, 5: 6, 7: 8}
    assert c.ttl(7) is not None
    assert c.ttl(1) is None
    assert c.get_many([1, 5, 99]) == {1: 2, 5: 6}
    with pytest.raises(ValueError, match=r"item 1 of items must be a pair .* got \(1, 2, 3\)"):
        c.update([(1, 1), (1, 2, 3)])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        c.update([5])
    with pytest.raises(TypeError, match="unhashable"):
        c.get_many([[]])


def test_update_from_a_cache_is_no_use_of_it() -> None:
    other: Cache[int, int] = Cache(9, items={1: 2})
    assert Cache(9, items=other) == {1: 2}
    assert other.stats().hits == other.stats().misses == 0


def test_as_cpython_tests_mappings() -> None:
    mapping_tests = pytest.importorskip(
        "test.mapping_tests", reason="this interpreter comes without its own tests"
    )

    class Tests(mapping_tests.BasicTestMappingProtocol):  # type: ignore[name-defined, misc]
        type2test = staticmethod(lambda: Cache(None))

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Tests)
    outcome = suite.run(unittest.TestResult())
    assert outcome.testsRun >= 10
    assert outcome.failures == outcome.errors == []


def test_setdefault_pop_compute() -> None:
    c: Cache[Any, Any] = Cache(9)
    assert c.setdefault("a") is None
    assert c.setdefault("a", 5) is None
    assert c.setdefault("b", 5) == 5
    assert c.setdefault("b", 6) == 5
    assert c.pop("b") == 5
    assert "b" not in c
    assert c.compute("n", lambda v: v + 1, 10) == 11
    assert c.compute("n", lambda v: v + 1) == 12
    assert c["n"] == 12
    with pytest.raises(ZeroDivisionError):
        c.compute("n", lambda v: v / 0)
    assert c["n"] == 12


def test_compute_is_made_again_when_the_entry_changed() -> None:
    c: Cache[str, int] = Cache(9, items={"n": 1})
    seen = []

    def fn(value: int | None) -> int:
        seen.append(value)
        if len(seen) == 1:
            c["n"] = 50
        return (value or 0) + 1

    assert c.compute("n", fn) == 51
    assert seen == [1, 50]


def test_compute_whose_result_is_refused_ends() -> None:
    c: Cache[str, int] = Cache(9, max_weight=5, weigher=lambda _, v: v)
    assert c.compute("n", lambda _: 6) == 6
    assert "n" not in c
    assert c.stats().refused == 1


def test_iteration_while_the_cache_changes() -> None:
    c: Cache[int, int] = Cache(None, items={i: i for i in range(100)})
    seen = []
    for key in c:
        seen.append(key)
        if key < 100:
            c[1000 + key] = 0
            if key % 2 == 0 and key + 1 not in seen:
                c.pop(key + 1, None)
    assert len(seen) == len(set(seen))
    assert set(range(0, 100, 2)) <= set(seen)
    iterator = iter(c)
    c.clear()
    assert list(iterator) == []
    assert list(iterator) == []


def test_what_it_refuses() -> None:
    for wrong, error, match in [
        (lambda: Cache(-1), ValueError, "maxsize .* got -1"),
        (lambda: Cache("a"), TypeError, "maxsize must be an int, got 'a'"),  # type: ignore[arg-type]
        (lambda: Cache(1, max_weight=-2), ValueError, "max_weight .* got -2"),
        (lambda: Cache(1, policy="mru"), ValueError, "'lfu' or 'fifo', got 'mru'"),  # type: ignore[arg-type]
        (lambda: Cache(1, policy=None), ValueError, "got None"),  # type: ignore[arg-type]
        (lambda: Cache(1, ttl=0), ValueError, "ttl must be more than 0 seconds, got 0"),
        (lambda: Cache(1, tti=-1.5), ValueError, "tti must be more than 0 seconds, got -1.5"),
        (lambda: Cache(1, ttl=math.nan), ValueError, "got nan"),
        (lambda: Cache(1, ttl="a"), TypeError, "ttl must be a number of seconds .* got 'a'"),  # type: ignore[arg-type]
        (lambda: Cache(1, jitter=1.0), ValueError, "jitter .* got 1.0"),
        (lambda: Cache(1, timer=5), TypeError, "timer must be callable, got 5"),  # type: ignore[arg-type]
        (lambda: Cache(1, weigher=5), TypeError, "weigher must be callable, got 5"),  # type: ignore[arg-type]
        (lambda: Cache(1, on_evict=5), TypeError, "on_evict must be callable, got 5"),  # type: ignore[arg-type]
        (lambda: Cache(1).set(1, 2, ttl=-1), ValueError, "ttl .* got -1"),
        (lambda: Cache(1).set(1, 2, weight=-1), ValueError, "weight .* got -1"),
        (lambda: Cache(1).set([], 2), TypeError, "unhashable"),
        (lambda: Cache(1).set(1, 2, 3), TypeError, "2 positional arguments"),  # type: ignore[call-arg]
        (lambda: Cache(1).expire(0), ValueError, "limit .* got 0"),
        (lambda: Cache(1).coldest(-1), ValueError, "n must .* got -1"),
        (lambda: Cache(1).resize(-1), ValueError, "maxsize .* got -1"),
        (lambda: pickle.dumps(Cache(1)), TypeError, "cannot pickle"),
        (lambda: copy.copy(Cache(1)), TypeError, "cannot pickle"),
    ]:
        with pytest.raises(error, match=match):
            wrong()  # type: ignore[no-untyped-call]


def test_nothing_fits_into_nothing() -> None:
    c: Cache[int, int] = Cache(0)
    assert c.set(1, 2) is False
    c[1] = 2
    assert len(c) == 0
    assert c.setdefault(1, 5) == 5
    assert c.stats().refused == 3


def test_subclass_repr_weakref() -> None:
    class Mine(Cache[str, int]):
        pass

    c = Mine(2, items={"a": 1})
    c.note = "x"  # type: ignore[attr-defined]
    assert repr(c) == "<concx.Cache size=1 maxsize=2 policy=s3fifo>"
    assert repr(Cache(None)) == "<concx.Cache size=0 maxsize=None policy=s3fifo>"
    ref = weakref.ref(c)
    del c
    gc.collect()
    assert ref() is None


# -- victims --------------------------------------------------------------------------------------


def test_order_of_lru_and_fifo() -> None:
    lru: Cache[int, int] = Cache(3, policy="lru", items={1: 1, 2: 2, 3: 3})
    fifo: Cache[int, int] = Cache(3, policy="fifo", items={1: 1, 2: 2, 3: 3})
    for c in (lru, fifo):
        c[1]
        c.peek(2)
        assert 2 in c
    assert [k for k, _ in lru.coldest(9)] == [2, 3, 1] == [k for k, _ in lru.hottest(9)][::-1]
    assert fifo.coldest(2) == [(1, 1), (2, 2)]
    assert fifo.hottest(1) == [(3, 3)]
    lru[4] = fifo[4] = 4
    assert set(lru) == {3, 1, 4}
    assert set(fifo) == {2, 3, 4}
    assert lru.popitem() == (3, 3)


@EACH
def test_resize(policy: Any) -> None:
    log = Log()
    c: Cache[int, int] = Cache(100, policy=policy, on_evict=log)
    c.update((i, i) for i in range(100))
    c.resize(40)
    assert len(c) == 40
    assert c.maxsize == 40
    assert len(log) == 60
    assert {cause for _, _, cause in log} == {"size"}
    assert set(c) | {k for k, _, _ in log} == set(range(100))
    c.resize(max_weight=10)
    assert len(c) == c.weight == 10 == c.max_weight
    assert c.maxsize == 40
    c.resize(None, max_weight=None)
    c.update((i, i) for i in range(1000))
    assert len(c) == 1000


def hit_ratio(policy: Any, size: int, keys: list[int]) -> float:
    c: Cache[int, int] = Cache(size, policy=policy)
    for key in keys:
        if c.get(key) is None:
            c[key] = key
    assert len(c) <= size
    return c.stats().hit_ratio


def test_hit_ratios_by_the_kind_of_load() -> None:
    zipf, soon, loop, scans, shift = (
        {p: hit_ratio(p, 500, list(GENERATORS[name](40_000, 7))) for p in POLICIES}
        for name in ("zipf", "soon", "loop", "scans", "shift")
    )
    for policy in ("s3fifo", "sieve", "tinylfu"):
        assert zipf[policy] > zipf["lru"] + 0.03 > zipf["fifo"] + 0.04
        assert soon[policy] > 0.98 * soon["lru"]
        assert scans[policy] > scans["lru"] + 0.05
        assert shift[policy] > 0.9 * shift["lru"]
    assert loop["lru"] == loop["fifo"] == 0
    assert loop["tinylfu"] > 0.4
    assert zipf["lfu"] > zipf["lru"]
    assert shift["lfu"] > 0.8 * shift["lru"]


# -- time -----------------------------------------------------------------------------------------


@EACH
def test_ttl(policy: Any, clock: Clock) -> None:
    log = Log()
    c: Cache[str, int] = Cache(
        9, policy=policy, ttl=timedelta(seconds=10), timer=clock, on_evict=log
    )
    c["a"] = 1
    c.set("b", 2, ttl=5)
    c.set("c", 3, ttl=math.inf)
    assert [c.ttl(k) for k in "abc"] == [10.0, 5.0, None]
    clock.now += 4.999
    assert c["b"] == 2
    clock.now += 0.001
    assert "b" not in c
    assert c.get("b") is None
    assert log == [("b", 2, "expired")]
    clock.now += 5
    assert dict(c.items()) == {"c": 3}
    assert len(c) == 2
    assert c.expire() == 1
    assert len(c) == 1
    assert log == [("b", 2, "expired"), ("a", 1, "expired")]
    assert c.stats().expired == 2


def test_what_is_stored_again_lives_anew(clock: Clock) -> None:
    c: Cache[str, int] = Cache(9, ttl=10, timer=clock)
    c["a"] = 1
    clock.now += 9
    c["a"] = 2
    clock.now += 9
    assert c["a"] == 2
    assert c.touch("a")
    assert c.ttl("a") == 10.0
    assert c.touch("a", ttl=3)
    assert c.ttl("a") == 3.0
    assert c.touch("a", ttl=math.inf)
    assert c.ttl("a") is None
    c.set("a", 3, ttl=1)
    clock.now += 1
    assert c.setdefault("a", 7) == 7
    clock.now += 10
    assert c.compute("a", lambda v: v, 5) == 5


def test_tti(clock: Clock) -> None:
    c: Cache[str, int] = Cache(9, tti=10, ttl=25, timer=clock)
    c["a"] = 1
    for _ in range(3):
        clock.now += 7
        assert c["a"] == 1
    assert c.ttl("a") == 4.0  # the ttl ends first
    clock.now += 4
    assert "a" not in c
    c.set("b", 2, tti=2, ttl=math.inf)
    clock.now += 1.5
    assert c.peek("b") == 2
    assert "b" in c
    clock.now += 0.5
    assert c.get("b") is None
    c.set("e", 2, tti=math.inf, ttl=math.inf)
    assert c.ttl("e") is None


def test_writes_remove_what_has_expired(clock: Clock) -> None:
    c: Cache[int, int] = Cache(None, ttl=1, timer=clock)
    for i in range(10_000):
        c[i] = i
        clock.now += 0.01
    assert len(c) < 120


def test_expire_in_steps(clock: Clock) -> None:
    c: Cache[int, int] = Cache(None, ttl=5, timer=clock)
    c.update((i, i) for i in range(5000))
    clock.now += 5
    removed = calls = 0
    while len(c):
        step = c.expire(limit=100)
        assert step <= 100
        removed += step
        calls += 1
    assert removed == 5000
    assert calls <= 2 * 5000 / 100 + 10
    assert c.expire(limit=1) == 0


def test_many_that_are_not_due_in_the_present_tick(clock: Clock) -> None:
    c: Cache[int, int] = Cache(None, timer=clock)
    for i in range(3000):
        c.set(i, i, ttl=(i + 1) * 1e-6)
    clock.now += 1500.5e-6
    assert c.expire() == 1500
    assert len(c) == 1500


def test_a_clock_that_goes_back(clock: Clock) -> None:
    c: Cache[str, int] = Cache(9, ttl=10, timer=clock)
    c["a"] = 1
    clock.now -= 500
    assert c["a"] == 1
    assert c.ttl("a") == 510.0
    c["b"] = 2
    clock.now += 10
    assert "b" not in c
    assert "a" in c
    assert c.expire() == 0
    clock.now += 500
    c["c"] = 3
    assert c.expire() == 1
    assert set(c) == {"c"}


def test_a_timer_that_raises(clock: Clock) -> None:
    def timer() -> float:
        raise OSError("no time")

    c: Cache[str, int] = Cache(9, timer=timer)
    c["a"] = 1  # nobody asks
    for call in (lambda: c.set("b", 1, ttl=1), lambda: c["a"], lambda: list(c), c.expire):
        with pytest.raises(OSError, match="no time"):
            call()
    wrong: Cache[str, int] = Cache(9, timer=lambda: "x", ttl=1)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError):
        wrong["a"] = 1


def test_jitter(clock: Clock) -> None:
    c: Cache[int, int] = Cache(None, ttl=100, jitter=0.2, timer=clock)
    c.update((i, i) for i in range(1000))
    left = [c.ttl(i) or 0 for i in range(1000)]
    assert 80 <= min(left) < 85
    assert 115 < max(left) <= 120
    assert 98 < sum(left) / 1000 < 102


def test_real_clocks() -> None:
    for ttl in (0.02, 1.0):  # below a second the exact clock, from there on the coarse one
        c: Cache[str, int] = Cache(9, ttl=ttl)
        c["a"] = 1
        left = c.ttl("a")
        assert left is not None
        assert ttl - 0.015 < left <= ttl
        while "a" in c:
            pass
        assert c.stats().expired == 1


# -- weights --------------------------------------------------------------------------------------


@EACH
def test_weights(policy: Any) -> None:
    log = Log()
    c: Cache[str, Any] = Cache(
        None, policy=policy, max_weight=100, weigher=lambda k, v: len(v), on_evict=log
    )
    for i in range(50):
        c[f"k{i}"] = "x" * (i % 7 + 1)
        assert c.weight == sum(map(len, c.values())) <= 100
    assert c.set("big", "x" * 101) is False
    assert "big" not in c
    assert c.stats().refused == 1
    assert c.stats().weight == c.weight
    c["k49"] = "y" * 100  # the others make way for it
    assert dict(c.items()) == {"k49": "y" * 100}
    c["k49"] = "y" * 101  # what it was is stale
    assert len(c) == c.weight == 0
    assert log[-1] == ("k49", "y" * 100, "replaced")


@EACH
def test_pinned(policy: Any) -> None:
    c: Cache[int, int] = Cache(10, policy=policy)
    for i in range(5):
        c.set(-i - 1, i, weight=0)
    c.update((i, i) for i in range(1000))
    assert {-1, -2, -3, -4, -5} <= set(c)
    assert len(c) == 10
    assert all(k >= 0 for k, _ in c.coldest(99))
    for i in range(5, 10):
        c.set(-i - 1, i, weight=0)
    assert c.set(1, 1) is False
    assert c.stats().refused == 1
    c[-1] = 5  # weighs again
    assert c.set(1, 1) is True
    assert -1 not in c
    assert c.popitem() == (1, 1)
    assert c.popitem()[0] < 0


def test_a_weigher_that_lies() -> None:
    weights: Iterator[Any] = iter([3, -1, "a", 2**70, 5])
    c: Cache[int, int] = Cache(None, max_weight=10, weigher=lambda k, v: next(weights))
    c[0] = 0
    for error, match in ((ValueError, "got -1"), (TypeError, "got 'a'"), (ValueError, "got 11805")):
        with pytest.raises(error, match=match):
            c[1] = 1
    c[1] = 1
    with pytest.raises(StopIteration):
        c[2] = 2
    assert c.weight == 8
    assert set(c) == {0, 1}


def test_a_missing_tuple_is_one_key() -> None:
    cache: Cache[Any, int] = Cache(5)
    for ask in (cache.__getitem__, cache.__delitem__, cache.pop, cache.ttl):
        with pytest.raises(KeyError) as info:
            ask((1, 2))
        assert info.value.args == ((1, 2),)
