"""cached: a function over a Cache. Coroutine functions have their own file."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import os
import pickle
import threading
import weakref
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache_tools import Clock
from concx.cache import Cache, cached
from flight_tools import Evil, Gate, counting
from queue_tools import LIMIT, Worker, wait_until


@cached
def pickled(x: int) -> int:
    return x


# --- the function ----------------------------------------------------------------------------------


def test_smoke() -> None:
    @cached(maxsize=2, ttl=60, typed=True)
    def power(x: int, y: int = 2) -> int:
        "x to the y"
        return int(x**y)

    assert power(3) == power(3) == 9
    assert power(3, 3) == 27
    assert power.cache_info() == (1, 2, 2, 2)
    assert type(power.cache_info()) is type(functools.lru_cache(int).cache_info())
    assert power.__doc__ == "x to the y"
    assert power.__name__ == "power"
    assert power.__wrapped__(2) == 4
    assert str(inspect.signature(power)) == "(x: 'int', y: 'int' = 2) -> 'int'"
    assert isinstance(power.cache, Cache)
    assert power.cache_parameters()["maxsize"] == 2
    power.cache_parameters()["maxsize"] = 3
    assert power.cache_parameters()["maxsize"] == 2
    power.cache_clear()
    assert power.cache_info() == (0, 0, 2, 0)
    assert weakref.ref(power)() is power


def test_is_pickled_and_copied_by_reference() -> None:
    assert pickle.loads(pickle.dumps(pickled)) is pickled
    assert copy.copy(pickled) is copy.deepcopy(pickled) is pickled


def test_keys_are_those_of_lru_cache() -> None:
    fn, calls = counting(maxsize=None)
    for _ in range(2):
        for args, kwargs in [
            ((), {}), ((1,), {}), (("1",), {}), ((1, 2), {}), (((1, 2),), {}), ((), {"a": 1}),
            ((), {"a": 1, "b": 2}), ((1,), {"a": 1}), ((2**70,), {}), ((None,), {}), ((1.5,), {}),
            (tuple(range(20)), {}),
        ]:  # fmt: skip
            fn(*args, **kwargs)
    assert len(calls) == 12
    assert fn() == fn(**{})
    assert fn(True) == (True,)  # a key of its own, as with lru_cache
    assert fn(1, 1.0) == fn(1.0, 1) == (1, 1.0)
    with pytest.raises(TypeError, match="unhashable"):
        fn([])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from([0, 1, -1, "a", "b", None, (1, 2), 2.0, True]), max_size=3),
            st.dictionaries(st.sampled_from("xyz"), st.integers(0, 2), max_size=2),
        ),
        max_size=30,
    )
)
def test_calls_once_what_lru_cache_calls_once(calls: list[Any]) -> None:
    ours, theirs = [], []
    a = cached(maxsize=None)(lambda *args, **kwargs: ours.append((args, kwargs)))
    b = functools.lru_cache(maxsize=None)(lambda *args, **kwargs: theirs.append((args, kwargs)))
    for args, kwargs in calls:
        a(*args, **kwargs)
        b(*args, **kwargs)
    assert ours == theirs
    assert a.cache_info() == b.cache_info()


def test_typed_key_and_ignore() -> None:
    fn, calls = counting(typed=True)
    assert [fn(1), fn(1.0), fn(x=1), fn(x=1.0), fn(1)]
    assert len(calls) == 4

    fn, calls = counting(key=lambda *args, **kwargs: len(args))
    assert fn([1]) == fn([2]) == ([1],)
    assert fn.cache_contains("whatever")
    assert list(fn.cache) == [1]
    assert calls == [([1],)]

    made: list[Any] = []

    @cached(ignore=("self", "log"))
    def logged(self: Any, x: int, log: Any = None, *, y: int = 0) -> int:
        made.append(x)
        return x

    assert logged([], 1) == logged({}, 1, []) == logged(self=[], x=1) == logged([], 1, log=[]) == 1
    assert logged([], 1, y=1) == logged({}, 1, y=1, log=3) == 1
    assert len(made) == 3  # 1, x=1, and y=1
    assert logged.cache_invalidate(None, 1)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"maxsize": -1}, ValueError, "-1"),
        ({"policy": "best"}, ValueError, "'best'"),
        ({"ttl": 0}, ValueError, "ttl must be more than 0 seconds, got 0"),
        ({"ttl": "soon"}, TypeError, "'soon'"),
        ({"tti": -1}, ValueError, "-1"),
        ({"ttl": 1, "jitter": 1}, ValueError, "jitter"),
        ({"refresh_after": 0}, ValueError, "refresh_after"),
        ({"stale_if_error": 1}, ValueError, "needs a ttl"),
        ({"negative": int}, TypeError, "int"),
        ({"negative": BaseException}, TypeError, "BaseException"),
        ({"negative_ttl": 1}, ValueError, "needs negative="),
        ({"timeout": -1}, ValueError, "timeout"),
        ({"key": 1}, TypeError, "key must be callable, got 1"),
        ({"copy": True}, TypeError, "copy must be callable, got True"),
        ({"cache_if": 1}, TypeError, "cache_if"),
        ({"ignore": "x"}, TypeError, "ignore"),
        ({"ignore": ["z"]}, ValueError, "'z'"),
        ({"ignore": ["args"]}, ValueError, "'args'"),
    ],
)
def test_options_that_are_none(options: Any, error: type[Exception], says: str) -> None:
    def fn(x: int, *args: int) -> None: ...

    with pytest.raises(error, match=says):
        cached(**options)(fn)
    with pytest.raises(TypeError, match="takes a function"):
        cached()(1)  # type: ignore[arg-type]


def test_invalidate_contains_peek_put_refresh() -> None:
    fn, calls = counting()
    assert not fn.cache_contains(1, a=2)
    assert fn.cache_peek(1) is None
    fn(1, a=2)
    assert fn.cache_contains(1, a=2)
    assert fn.cache_peek(1, a=2) == (1, ("a", 2))
    assert fn.cache_invalidate(1, a=2)
    assert not fn.cache_invalidate(1, a=2)
    assert fn.cache_put("put", 1, a=2)
    assert fn(1, a=2) == "put"
    assert fn.cache_refresh(1, a=2) == fn(1, a=2) == (1, ("a", 2))
    assert len(calls) == 2
    assert fn.cache_info().hits == 2
    with pytest.raises(TypeError, match="takes a value"):
        fn.cache_put()


def test_options_of_the_cache() -> None:
    told: list[Any] = []
    clock = Clock()
    fn, calls = counting(
        maxsize=2, policy="fifo", ttl=timedelta(seconds=10), timer=clock,
        on_evict=lambda *args: told.append(args), weigher=lambda key, value: 2, max_weight=4,
    )  # fmt: skip
    assert [fn(1), fn(2), fn(3)] == [(1,), (2,), (3,)]
    assert told == [(1, (1,), "size")]
    assert fn.cache.weight == 4
    clock.now += 10
    fn(3)
    assert len(calls) == 4


def test_cache_if_and_copy() -> None:
    calls = []

    @cached(cache_if=lambda value: value is not None, copy=list)
    def find(x: int) -> list[int] | None:
        calls.append(x)
        return [x]

    one, two = find(1), find(1)
    assert one == two == [1]
    assert one is not two

    @cached(cache_if=bool)
    def nothing(x: int) -> int:
        calls.append(x)
        return 0

    assert nothing(1) == nothing(1) == 0
    assert calls == [1, 1, 1]


# --- methods ---------------------------------------------------------------------------------------


class Plain:
    calls = 0

    @cached()
    def method(self, x: int) -> tuple[Plain, int]:
        Plain.calls += 1
        return self, x

    @staticmethod
    @cached()
    def static(x: int) -> int:
        return x

    @cached()
    @staticmethod
    def static_too(x: int) -> int:
        return x

    @classmethod
    @cached()
    def cls_method(cls, x: int) -> tuple[type, int]:
        return cls, x

    @cached()
    @classmethod
    def cls_method_too(cls, x: int) -> tuple[type, int]:
        return cls, x


class Derived(Plain): ...


def test_methods() -> None:
    a, b = Plain(), Plain()
    assert a.method(1) == a.method(1) == (a, 1)
    assert b.method(1) == Plain.method(b, 1) == (b, 1)
    assert a.method.cache_info() == Plain.method.cache_info() == (2, 2, 128, 2)
    assert Plain.static(1) == a.static(1) == a.static_too(1) == 1
    assert Derived.cls_method(1) == Derived().cls_method(1) == (Derived, 1)
    assert Plain.cls_method_too(1) == (Plain, 1)
    assert Derived.cls_method_too(1) == (Derived, 1)


class Own:
    def __init__(self) -> None:
        self.calls = 0

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise AssertionError("instances are not compared")

    @cached(per_instance=True, ignore=("log",))
    def method(self, x: int, log: Any = None) -> Any:
        self.calls += 1
        return self, x


def test_per_instance() -> None:
    a, b = Own(), Own()
    assert a.method(1)[0] is a
    assert a.method(1, []) is a.method(1) is Own.method(a, 1)
    assert b.method(1)[0] is b
    assert (a.calls, b.calls) == (1, 1)
    assert a.method.cache_info() == (3, 1, 128, 1)
    assert a.method.cache is not b.method.cache
    assert a.method.cache_contains(1)
    assert a.method.cache_invalidate(1)
    assert a.method.cache_refresh(x=1) == (a, 1) or True
    assert a.calls == 2
    with pytest.raises(TypeError, match="takes an instance"):
        Own.method()
    with pytest.raises(TypeError, match="'int' has not both"):
        Own.method(3, 1)


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))]
)
def test_copy_of_an_instance_has_a_cache_of_its_own(again: Callable[[Own], Own]) -> None:
    a = Own()
    if again is copy.copy:
        a.method(1)
    else:
        a.method.cache_put("put", 1)
    b = again(a)
    assert b.method(2)[0] is b
    assert b.method(1)[0] is b
    assert a.method(2)[0] is a


def test_per_instance_keeps_no_instance_alive() -> None:
    a = Own()
    a.method.cache_put("nothing of it", 1)
    ref = weakref.ref(a)
    del a
    assert ref() is None, "at once: nothing refers to it"
    b = Own()
    b.method(1)  # a result that refers to it
    ref = weakref.ref(b)
    del b
    gc.collect()
    assert ref() is None


def test_per_instance_in_slots() -> None:
    class Slots:
        __slots__ = ("__weakref__",)

        @cached(per_instance=True)
        def method(self) -> int:
            return 1

    with pytest.raises(TypeError, match="__dict__"):
        Slots().method()


def test_per_instance_threads_share_one_cache() -> None:
    for _ in range(50):
        a, start = Own(), threading.Barrier(4)
        workers = [Worker(lambda: (start.wait(LIMIT), a.method.cache)[1]) for _ in range(4)]  # noqa: B023
        assert len({id(w.result()) for w in workers}) == 1


# --- one call --------------------------------------------------------------------------------------


def test_threads_share_one_call() -> None:
    gate = Gate()
    fn = cached()(gate)
    workers = [Worker(fn, "cold") for _ in range(64)]
    wait_until(lambda: fn.cache._flights.stats().joined == 63)
    gate.go.set()
    assert [w.result() for w in workers] == ["value"] * 64
    assert gate.calls == 1
    assert fn.cache_info() == (0, 64, 128, 1)
    assert fn.cache.stats().loads == 1


def test_without_single_flight_all_call() -> None:
    barrier = threading.Barrier(4)

    @cached(single_flight=False)
    def fn(x: int) -> int:
        barrier.wait(LIMIT)
        return x

    workers = [Worker(fn, 1) for _ in range(4)]
    assert [w.result() for w in workers] == [1] * 4
    assert fn(1) == 1


def test_recursion() -> None:
    @cached(maxsize=None)
    def fib(n: int) -> int:
        return n if n < 2 else int(fib(n - 1) + fib(n - 2))

    assert fib(100) == 354224848179261915075
    assert fib.cache_info().misses == 101

    @cached()
    def own(n: int, again: bool = True, *rest: Any) -> int:
        return own(n, again) if not rest and again and own.cache_info().misses < 5 else n

    assert own(1) == 1

    @cached(maxsize=None)
    def endless(n: int) -> int:
        return int(endless(n + 1))

    with pytest.raises(RecursionError):
        endless(0)
    assert fib(10) == 55


def test_timeout() -> None:
    gate = Gate()
    fn = cached(timeout=0.001)(gate)
    leader = Worker(fn, 1)
    assert gate.begun.wait(LIMIT)
    with pytest.raises(TimeoutError):
        fn(1)
    gate.go.set()
    assert leader.result() == fn(1) == "value"


def test_invalidated_while_it_runs() -> None:
    for forget in (lambda f: f.cache_invalidate(1), lambda f: f.cache_clear()):
        gate = Gate()
        fn = cached()(gate)
        leader = Worker(fn, 1)
        assert gate.begun.wait(LIMIT)
        forget(fn)
        gate.go.set()
        assert leader.result() == "value"
        assert not fn.cache_contains(1)


def test_evil_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    fn, calls = counting()
    fn(Evil(), 1)
    assert fn(Evil(), 1)
    assert len(calls) == 1
    monkeypatch.setattr(Evil, "act", fn.cache_clear)
    fn(Evil(), 1)
    monkeypatch.undo()
    fn.cache_put(0, Evil(), 1)
    monkeypatch.setattr(Evil, "act", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fn(Evil(), 1)
    monkeypatch.undo()
    assert fn.cache_contains(Evil(), 1)


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_fork_in_a_call() -> None:
    gate = Gate()
    fn = cached()(gate)
    leader = Worker(fn, 1)
    assert gate.begun.wait(LIMIT)
    pid = os.fork()
    if pid == 0:
        try:
            gate.go.set()
            os._exit(0 if fn(1) == "value" else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    gate.go.set()
    assert leader.result() == "value"


def test_gc_frees_a_function_and_its_cache() -> None:
    class Value: ...

    def made() -> weakref.ref[Value]:
        value = Value()

        @cached()
        def fn(x: int) -> Any:
            return fn, value

        fn(1)
        return weakref.ref(value)

    ref = made()
    gc.collect()
    assert ref() is None
