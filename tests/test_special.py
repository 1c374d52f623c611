"""`__enter__` and `__exit__` of locks between processes, which a ``with`` binds without making objects."""

from __future__ import annotations

import gc
import inspect
import sys
import weakref
from typing import Any

import pytest

from concx import multiprocessing as mp

KINDS = (mp.Lock, mp.RLock, mp.Semaphore, mp.BoundedSemaphore)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def lock(request: pytest.FixtureRequest) -> Any:
    return request.param()


def is_free(lock: Any) -> bool:
    return not lock.locked()


def test_with(lock: Any) -> None:
    for _ in range(3):
        with lock as taken:
            assert taken is True
            assert not is_free(lock)
        assert is_free(lock)
    with pytest.raises(KeyError), lock:
        raise KeyError
    assert is_free(lock)


def test_two_at_once() -> None:
    """The second one of a class finds the spare memory in use."""
    first, second = mp.Lock(), mp.Lock()
    with first, second:
        assert not is_free(first)
        assert not is_free(second)
    with first:
        assert not is_free(first)
        with second:
            assert not is_free(second)
        assert is_free(second)
    assert is_free(first)


def test_a_bound_method_is_the_locks(lock: Any) -> None:
    enter, leave = lock.__enter__, lock.__exit__
    with type(lock)():
        pass
    assert enter() is True
    assert not is_free(lock)
    assert leave(None, None, None) is None
    assert is_free(lock)
    assert type(lock).__enter__(lock) is True
    type(lock).__exit__(lock, None, None, None)
    assert is_free(lock)
    assert enter.__self__ is lock
    assert enter.__name__ == "__enter__"
    assert "Take it" in enter.__doc__
    assert repr(lock) in repr(enter) or "__enter__" in repr(enter)


def test_refused_arguments(lock: Any) -> None:
    for wrong in (
        lambda: lock.__enter__(1),
        lambda: type(lock).__enter__(),
        lambda: lock.__enter__(a=1),
    ):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(TypeError, match=r"LockBase|Lock|Semaphore"):
        type(lock).__enter__(object())
    with pytest.raises(TypeError, match=r"LockBase|Lock|Semaphore"):
        vars(type(lock))["__enter__"].__get__(object())
    assert is_free(lock)


def test_signature() -> None:
    assert str(inspect.signature(mp.Lock.__enter__)) == "(self, /)"
    assert str(inspect.signature(mp.Lock().__enter__)) == "()"


def test_nothing_is_kept() -> None:
    """A lock goes with its last reference, also after a `with`, and a bound method keeps it."""

    class Mine(mp.Semaphore):
        pass

    lock = Mine(1)
    gone = weakref.ref(lock)
    with lock:
        pass
    enter = lock.__enter__
    del lock
    assert gone() is not None
    del enter
    assert gone() is None


def test_a_cycle_through_a_bound_method_is_collected() -> None:
    class Mine(mp.Semaphore):
        kept: Any

    lock = Mine(1)
    lock.kept = lock.__enter__
    gone = weakref.ref(lock)
    del lock
    gc.collect()
    assert gone() is None


def test_no_references_are_left(lock: Any) -> None:
    before = (
        sys.getrefcount(lock),
        sys.getrefcount(type(lock)),
        sys.getrefcount(type(lock).__enter__),
    )
    for _ in range(1000):
        with lock:
            pass
    after = (
        sys.getrefcount(lock),
        sys.getrefcount(type(lock)),
        sys.getrefcount(type(lock).__enter__),
    )
    assert after == before


def test_a_class_that_overrides() -> None:
    calls = []

    class Mine(mp.Lock):
        def __enter__(self) -> bool:
            calls.append("enter")
            return bool(super().__enter__())

    with Mine() as taken:
        assert taken is True
    assert calls == ["enter"]
