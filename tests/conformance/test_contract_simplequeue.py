"""The contract of SimpleQueue."""

from __future__ import annotations

import contextlib
import gc
import inspect
import queue as stdlib
import time
import weakref
from types import ModuleType
from typing import Any

import pytest

from queue_tools import LIMIT, Worker


@pytest.fixture
def q(impl: ModuleType) -> Any:
    return impl.SimpleQueue()


def test_order(q: Any) -> None:
    for item in range(100):
        q.put(item)
    assert [q.get() for _ in range(100)] == list(range(100))


def test_size(q: Any) -> None:
    assert q.empty() is True
    assert q.qsize() == 0
    q.put(1)
    assert q.empty() is False
    assert q.qsize() == 1


def test_put_ignores_block_and_timeout(q: Any) -> None:
    q.put(1, False)
    q.put(2, timeout=-1)
    q.put(3, True, "nonsense")
    q.put(item=4, block=[], timeout=float("nan"))
    q.put_nowait(5)
    assert [q.get() for _ in range(5)] == [1, 2, 3, 4, 5]


def test_get_on_empty(q: Any) -> None:
    for call in (
        q.get_nowait,
        lambda: q.get(False),
        lambda: q.get(timeout=0),
        lambda: q.get(True, 0.005),
    ):
        with pytest.raises(stdlib.Empty) as caught:
            call()
        assert caught.value.args == ()
        assert type(caught.value) is stdlib.Empty
    start = time.monotonic()
    with pytest.raises(stdlib.Empty):
        q.get(timeout=0.02)
    assert 0.0198 <= time.monotonic() - start < LIMIT


@pytest.mark.parametrize(
    ("timeout", "error", "message"),
    [
        (-1, ValueError, "'timeout' must be a non-negative number"),
        (-0.001, ValueError, "'timeout' must be a non-negative number"),
        (float("nan"), ValueError, "Invalid value NaN (not a number)"),
        (float("inf"), OverflowError, None),
        (1e300, OverflowError, None),
        (-1e300, OverflowError, None),
        (2**70, OverflowError, None),
        ("1", TypeError, "str"),
        (b"", TypeError, "bytes"),
        ([], TypeError, "list"),
    ],
)
@pytest.mark.parametrize("stocked", [False, True])
def test_bad_timeouts(
    q: Any, timeout: Any, error: type[Exception], message: str | None, stocked: bool
) -> None:
    if stocked:
        q.put(1)
    with pytest.raises(error) as caught:
        q.get(timeout=timeout)
    if error is TypeError:  # concx also takes a timedelta, so its sentence is another
        assert message in str(caught.value)
    elif message is not None:
        assert str(caught.value) == message
    assert q.qsize() == stocked
    with contextlib.nullcontext() if stocked else pytest.raises(stdlib.Empty):
        q.get(False, timeout)  # not looked at


@pytest.mark.parametrize("method", ["put", "get", "put_nowait", "get_nowait", "qsize", "empty"])
def test_signatures(impl: ModuleType, method: str) -> None:
    standard = inspect.signature(getattr(stdlib.SimpleQueue, method))
    mine = inspect.signature(getattr(impl.SimpleQueue, method))
    assert str(mine) == str(standard)


def test_wrong_arguments(q: Any) -> None:
    for call in (
        lambda: q.put(),
        lambda: q.put(1, True, None, 4),
        lambda: q.get(True, None, 3),
        lambda: q.put(1, item=2),
        lambda: q.get_nowait(1),
        lambda: q.put_nowait(),
        lambda: q.get(no=1),
        lambda: q.qsize(1),
    ):
        with pytest.raises(TypeError):
            call()
    assert q.empty()


def test_no_constructor_arguments(impl: ModuleType) -> None:
    with pytest.raises(TypeError):
        impl.SimpleQueue(3)
    with pytest.raises(TypeError):
        impl.SimpleQueue(maxsize=3)


def test_what_it_does_not_have(q: Any) -> None:
    for name in ("join", "task_done", "full", "maxsize", "mutex", "queue", "unfinished_tasks"):
        assert not hasattr(q, name), name


def test_subclass(impl: ModuleType) -> None:
    class Mine(impl.SimpleQueue):  # type: ignore[misc, name-defined]
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            return "mine", super().get(block, timeout)

    q = Mine()
    q.label = 1
    q.put(5)
    assert q.get() == ("mine", 5)
    q.put(6)
    assert (
        q.get_nowait() == 6
    )  # as in the C version of the standard class, and not in the Python one


def test_get_waits(q: Any) -> None:
    getters = [Worker(q.get), Worker(q.get, timeout=LIMIT)]
    q.put(1)
    q.put(1)
    assert [getter.result() for getter in getters] == [1, 1]


def test_put_from_del(q: Any) -> None:
    """Re-entrant: items that put into the queue as they die."""

    class Item:
        def __init__(self, n: int) -> None:
            self.n = n

        def __del__(self) -> None:
            if self.n:
                q.put(Item(self.n - 1))

    q.put(Item(20))
    while not q.empty():
        q.get()
    gc.collect()
    assert q.empty()


def test_put_during_gc(q: Any) -> None:
    """CPython's own `test_reentrancy`: a finaliser that runs in the middle of put."""
    import itertools

    counter = itertools.count()

    class Circular:
        def __init__(self) -> None:
            self.circular = self

        def __del__(self) -> None:
            q.put(next(counter))

    total = 2000
    while next(counter) < total:
        Circular()
    gc.collect()
    items = []
    while not q.empty():
        items.append(q.get())
    assert len(items) > total // 4
    assert len(set(items)) == len(items)


def test_no_reference_is_kept(q: Any) -> None:
    class Item:
        pass

    item = Item()
    ref = weakref.ref(item)
    q.put(item)
    del item
    gc.collect()
    assert ref() is not None
    q.get()
    gc.collect()
    assert ref() is None
