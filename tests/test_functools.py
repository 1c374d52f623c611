"""concx.functools: the twin of the standard lru_cache, its additions, and what would break it."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import os
import pickle
import random
import subprocess
import sys
import weakref
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import concx.functools
from concx.functools import cache, lru_cache
from functools_tools import BOTH, Recorder
from queue_tools import FREE_THREADED

# --- the twin -------------------------------------------------------------------------------------

VALUES = [0, 1, 1.0, True, -1, -2, 2**31, 2**63, 2**64, "", "a", "\xe9", b"a", None, (), (1, 2)]
VALUES += [(1, 2.0), ("a", ("b", 1)), frozenset({1}), Fraction(1), 1j, float("nan"), int, str, -0.0]
CALLS = st.tuples(
    st.lists(st.sampled_from(VALUES), max_size=3),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from(VALUES), max_size=2),
)


def fresh(value: Any) -> Any:
    """An equal object that is another one, where there can be."""
    if isinstance(value, tuple):
        return tuple(fresh(part) for part in value)
    if type(value) in {int, str, bytes, float} and value == value:
        return pickle.loads(pickle.dumps(value))
    return value


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("maxsize", [None, -1, 0, 1, 2, 3, 8, 1000])
@settings(max_examples=40, deadline=None)
@given(calls=st.lists(st.one_of(CALLS, st.just("clear")), max_size=60))
def test_it_calls_whenever_the_standard_one_does(
    maxsize: int | None, typed: bool, calls: list[Any]
) -> None:
    """Same hits, same misses and so the same victims, after any calls."""
    theirs, ours = Recorder(), Recorder()
    standard = functools.lru_cache(maxsize, typed)(theirs)
    twin = lru_cache(maxsize, typed)(ours)
    for call in calls:
        if call == "clear":
            standard.cache_clear()
            twin.cache_clear()
        else:
            args, kwargs = call
            again = [fresh(value) for value in args]
            assert standard(*args, **kwargs) == twin(*again, **kwargs)
        assert standard.cache_info() == twin.cache_info()
    assert str(theirs.calls) == str(ours.calls)


@pytest.mark.parametrize("maxsize", [1, 7, 64, 300])
def test_victims_of_long_random_calls_are_those_of_the_standard_one(
    maxsize: int, rng: random.Random
) -> None:
    theirs, ours = Recorder(), Recorder()
    standard, twin = functools.lru_cache(maxsize)(theirs), lru_cache(maxsize)(ours)
    for _ in range(20_000):
        key = int(rng.paretovariate(0.5)) % 1000 if rng.random() < 0.7 else rng.randrange(500)
        assert standard(key) == twin(key)
    assert theirs.calls == ours.calls
    assert standard.cache_info() == twin.cache_info()


@settings(max_examples=150, deadline=None)
@given(
    maxsize=st.sampled_from([1, 2, 3, 9, 20, None]),
    steps=st.lists(st.tuples(st.sampled_from("ccccid"), st.integers(0, 24)), max_size=200),
)
def test_against_a_model_that_forgets_too(
    maxsize: int | None, steps: list[tuple[str, int]]
) -> None:
    """Calls, invalidations and questions against a dict in the order of use."""
    model: dict[int, int] = {}
    recorder = Recorder()
    twin = lru_cache(maxsize)(recorder)
    for what, key in steps:
        if what == "i":
            assert twin.cache_invalidate(key) == (model.pop(key, None) is not None)
        elif what == "d":
            assert twin.cache_contains(key) == (key in model)
        else:
            result = twin(key)
            assert result == model.pop(key, len(recorder.calls))
            if len(model) == maxsize:
                del model[next(iter(model))]
            model[key] = result
        assert twin.cache_info().currsize == len(model)
    assert all(twin.cache_contains(key) for key in model)


@BOTH
def test_keys_are_those_of_functools(lru: Any) -> None:
    f = lru(None)(Recorder())
    assert f(1) != f(1.0)  # one exact int stands for itself,
    assert f(1.0) == f(True)  # anything else is in a tuple
    assert f(1, 2) == f(1.0, True + 1) != f((1, 2))
    assert f(a=1, b=2) != f(b=2, a=1)
    assert f(0) == f(0, **{})
    assert f(1, a=2) != f(1, "a", 2)
    assert f("x") == f("".join("x"))


@BOTH
def test_types_count_if_asked(lru: Any) -> None:
    f = lru(typed=True)(Recorder())
    assert len({f(3), f(3.0), f(True), f(x=3), f(x=3.0), f((3,))}) == 6
    assert f((3,)) == f((3.0,))  # of the arguments, not of what they hold


@BOTH
def test_one_that_came_meanwhile_stays_in_a_bounded_cache_and_goes_in_an_unbounded_one(
    lru: Any,
) -> None:
    for maxsize, kept in ((8, "inner"), (None, "outer")):
        running = False

        @lru(maxsize)
        def f(x: int) -> str:
            nonlocal running
            if running:
                return "inner"
            running = True
            f(x)
            return "outer"

        assert f(1) == "outer"
        assert f(1) == kept
        assert f.cache_info() == (1, 2, maxsize, 1)


@BOTH
def test_an_error_counts_as_a_miss_and_is_not_kept(lru: Any) -> None:
    @lru(8)
    def f(x: int) -> float:
        return 1 / x

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            f(0)
    assert f.cache_info() == (0, 2, 8, 0)


@BOTH
@pytest.mark.parametrize("maxsize", [8, None])
def test_what_has_no_hash_is_refused_and_not_counted(lru: Any, maxsize: int | None) -> None:
    f = lru(maxsize)(Recorder())
    for call in (lambda: f([]), lambda: f(1, []), lambda: f(x=[]), lambda: f(([],))):
        with pytest.raises(TypeError, match="unhashable"):
            call()
    assert f.cache_info() == (0, 0, maxsize, 0)
    assert lru(0)(Recorder())([]) == 1  # nothing is kept, so nothing is hashed


@BOTH
def test_it_looks_like_what_it_wraps(lru: Any) -> None:
    def f(x: int, *, y: int = 1) -> int:
        """Doc."""
        return x + y

    f.mark = 1  # type: ignore[attr-defined]
    g = lru(f)
    for name in functools.WRAPPER_ASSIGNMENTS:
        if hasattr(f, name):
            assert getattr(g, name) == getattr(f, name)
    assert g.__wrapped__ is f
    assert g.mark == 1
    assert set(vars(g)) == {*vars(functools.lru_cache(f))}
    assert inspect.signature(g) == inspect.signature(f)
    parameters = g.cache_parameters()
    assert parameters == {"maxsize": 128, "typed": False}
    parameters["maxsize"] = 1
    assert g.cache_parameters() == {"maxsize": 128, "typed": False}
    assert type(g.cache_info()) is functools._CacheInfo  # type: ignore[attr-defined]


@BOTH
def test_what_is_no_bound_is_refused(lru: Any) -> None:
    with pytest.raises(TypeError, match="Expected first argument to be an integer, a callable, or"):
        lru("8")
    with pytest.raises(TypeError, match="callable"):
        lru(8)(8)
    with pytest.raises(OverflowError):
        lru(2**64)(len)
    assert lru(True)(len).cache_parameters() == {"maxsize": True, "typed": False}


def test_messages_name_the_value() -> None:
    make: Any = type(lru_cache(len))
    with pytest.raises(TypeError, match="maxsize should be integer or None, got '8'"):
        make(len, "8", False)
    with pytest.raises(TypeError, match="the first argument must be callable, got 8"):
        make(8, 8, False)


def test_methods_have_signatures() -> None:
    f = lru_cache(len)
    assert str(inspect.signature(f.cache_info)) == str(inspect.signature(f.cache_clear)) == "()"
    assert str(inspect.signature(f.cache_contains)) == "(*args, **kwargs)"


class Named:
    @lru_cache
    def method(self, x: int) -> tuple[Any, int]:
        return self, x

    @staticmethod
    @lru_cache
    def static(x: int) -> int:
        return x

    @classmethod
    @lru_cache
    def of_class(cls, x: int) -> tuple[Any, int]:
        return cls, x


def test_as_a_method() -> None:
    a, b = Named(), Named()
    Named.method.cache_clear()
    assert a.method(1)[0] is a
    assert b.method(1)[0] is b
    assert a.method(1)[0] is a
    assert a.method.cache_info() == Named.method.cache_info() == (1, 2, 128, 2)
    assert Named.method(a, 1)[0] is a
    assert Named.static(1) == a.static(1) == 1
    assert Named.of_class(1) == a.of_class(1) == (Named, 1)
    bound = a.method
    assert bound.__self__ is a
    assert bound(1)[0] is a
    assert Named.__dict__["method"].__get__(None, Named) is Named.method


def test_pickle_copy_and_weak_references() -> None:
    for f in (Named.method, Named.static):
        assert copy.copy(f) is copy.deepcopy(f) is f
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert pickle.loads(pickle.dumps(f, protocol)) is f
    f = lru_cache(Recorder())
    ref = weakref.ref(f)
    assert ref() is f


def test_cycles_through_a_cache_are_collected() -> None:
    class Owner:
        pass

    refs = []
    for maxsize in (None, 4):
        owner = Owner()

        @lru_cache(maxsize)
        def f(x: Any, owner: Any = owner) -> Any:
            return x

        owner.f = f  # type: ignore[attr-defined]
        f(owner)
        f(owner, 1)
        f(x=owner)
        refs += [weakref.ref(owner), weakref.ref(f)]
        del owner, f
    gc.collect()
    assert [ref() for ref in refs] == [None] * 4


def test_a_cleared_cache_lets_go_at_once() -> None:
    class Value:
        pass

    f = lru_cache(4)(lambda x: Value())
    refs = [weakref.ref(f(i)) for i in range(4)]
    f.cache_clear()
    assert [ref() for ref in refs] == [None] * 4


def test_small_caches_do_not_keep_what_they_evicted() -> None:
    """Without a GIL an evicted value may wait for its grace period, about a quarter of the cache does."""

    class Value:
        pass

    f = lru_cache(8)(lambda x: Value())
    refs = [weakref.ref(f(i)) for i in range(1000)]
    alive = sum(ref() is not None for ref in refs)
    assert alive == 8 if not FREE_THREADED else alive <= 16


def test_the_module_is_the_twin_of_functools() -> None:
    assert concx.functools.partial is functools.partial
    assert set(functools.__all__) <= set(concx.functools.__all__)
    assert cache(len).cache_parameters() == {"maxsize": None, "typed": False}


# --- additions ------------------------------------------------------------------------------------


def test_invalidate_and_contains_take_the_arguments_of_a_call() -> None:
    recorder = Recorder()
    f: Any = lru_cache(8)(recorder)
    f(1, x=2)
    assert f.cache_contains(1, x=2)
    assert not f.cache_contains(1, x=3)
    assert f.cache_info() == (0, 1, 8, 1)
    assert f.cache_invalidate(1, x=2)
    assert not f.cache_invalidate(1, x=2)
    assert f.cache_info() == (0, 1, 8, 0)
    assert f(1, x=2) == 2
    with pytest.raises(TypeError, match="unhashable"):
        f.cache_contains([])
    with pytest.raises(TypeError, match="unhashable"):
        f.cache_invalidate([])


def test_contains_is_no_use() -> None:
    f = lru_cache(2)(Recorder())
    f(1), f(2)
    assert f.cache_contains(1)
    f(3)
    assert not f.cache_contains(1)


@pytest.mark.parametrize("maxsize", [0, 2, None])
def test_invalidate_among_evictions(maxsize: int | None, rng: random.Random) -> None:
    f = lru_cache(maxsize)(Recorder())
    for _ in range(3000):
        key = rng.randrange(6)
        f(key) if rng.random() < 0.5 else f.cache_invalidate(key)
        assert f.cache_info().currsize <= (6 if maxsize is None else maxsize)


def test_shared_behaves_the_same() -> None:
    recorder = Recorder()
    f = lru_cache(2, shared=True)(recorder)
    assert [f(1), f(2), f(1), f(3), f(2)] == [1, 2, 1, 3, 4]
    assert f.cache_parameters() == {"maxsize": 2, "typed": False}


def test_its_size_is_told() -> None:
    f = lru_cache(None)(lambda x: x)
    empty = sys.getsizeof(f)
    for i in range(1000):
        f(i)
    assert 64_000 < sys.getsizeof(f) - empty < 200_000


def test_import_starts_nothing_heavy() -> None:
    code = "import sys, concx.functools; print([m for m in ('typing', 're', 'enum') if m in sys.modules])"
    path = os.path.dirname(os.path.dirname(concx.functools.__file__))
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout.strip() == "[]"
