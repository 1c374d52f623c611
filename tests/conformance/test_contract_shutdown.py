"""`shutdown`, as the standard library has it from 3.13 on and concx has it everywhere."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from queue_tools import Worker, run_threads, wait_until


@pytest.fixture
def make(shutting: ModuleType, name: str) -> Any:
    return getattr(shutting, name)


@pytest.fixture
def shut(shutting: ModuleType) -> type[Exception]:
    return shutting.ShutDown  # type: ignore[no-any-return]


def parked(q: Any, how_many: int, condition: str) -> None:
    """Wait until so many threads are blocked in get or put, by what the implementation shows."""
    if hasattr(q, "stats"):
        gets = condition == "not_empty"
        wait_until(lambda: (q.stats().waiting_gets if gets else q.stats().waiting_puts) == how_many)
    else:
        wait_until(lambda: len(getattr(q, condition)._waiters) == how_many)


def test_is_shutdown(make: Any) -> None:
    q = make()
    assert q.is_shutdown is False
    assert q.shutdown() is None
    assert q.is_shutdown is True
    q.shutdown()
    assert q.is_shutdown is True


def test_put_after_shutdown(make: Any, shut: type[Exception]) -> None:
    q = make(1)
    q.shutdown()
    for call in (
        lambda: q.put(1),
        lambda: q.put(1, False),
        lambda: q.put(1, timeout=0),
        lambda: q.put(1, timeout=0.001),
        lambda: q.put_nowait(1),
    ):
        with pytest.raises(shut) as caught:
            call()
        assert type(caught.value) is shut
    assert q.qsize() == 0
    assert q.unfinished_tasks == 0


def test_get_after_shutdown_gets_what_is_left(make: Any, shut: type[Exception]) -> None:
    q = make()
    q.put(1)
    q.put(2)
    q.shutdown()
    assert {q.get(), q.get_nowait()} == {1, 2}
    for call in (
        q.get,
        q.get_nowait,
        lambda: q.get(False),
        lambda: q.get(timeout=0),
        lambda: q.get(timeout=0.001),
    ):
        with pytest.raises(shut):
            call()


def test_a_full_queue_after_shutdown(make: Any, shut: type[Exception]) -> None:
    q = make(1)
    q.put(1)
    q.shutdown()
    with pytest.raises(shut):
        q.put(2)
    assert q.full()
    assert q.get() == 1


def test_immediate_empties(make: Any, shut: type[Exception]) -> None:
    q = make()
    for item in range(3):
        q.put(item)
    q.get()
    q.shutdown(immediate=True)
    assert q.qsize() == 0
    assert q.empty()
    assert q.unfinished_tasks == 1  # the one that was taken is still to be reported done
    with pytest.raises(shut):
        q.get()
    q.task_done()
    q.join()
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()


def test_immediate_positional(make: Any) -> None:
    q = make()
    q.put(1)
    q.shutdown(True)
    assert q.empty()


def test_immediate_after_shutdown(make: Any) -> None:
    q = make()
    q.put(1)
    q.shutdown()
    assert q.qsize() == 1
    q.shutdown(immediate=True)
    assert q.qsize() == 0
    q.shutdown(immediate=False)
    assert q.is_shutdown


def test_immediate_releases_join(make: Any) -> None:
    q = make()
    q.put(1)
    joiner = Worker(q.join)
    q.shutdown(immediate=True)
    joiner.result()


def test_shutdown_keeps_join_waiting(make: Any) -> None:
    q = make()
    q.put(1)
    joiner = Worker(q.join)
    q.shutdown()
    q.get()
    assert joiner.is_alive()
    q.task_done()
    joiner.result()


@pytest.mark.parametrize("immediate", [False, True])
def test_waiting_gets_are_woken(make: Any, shut: type[Exception], immediate: bool) -> None:
    q = make()
    getters = [Worker(q.get), Worker(q.get, timeout=60), Worker(q.get)]
    parked(q, 3, "not_empty")
    q.shutdown(immediate)
    for getter in getters:
        with pytest.raises(shut):
            getter.result()


@pytest.mark.parametrize("immediate", [False, True])
def test_waiting_puts_are_woken(make: Any, shut: type[Exception], immediate: bool) -> None:
    q = make(1)
    q.put(0)
    putters = [Worker(q.put, 1), Worker(q.put, 2, timeout=60), Worker(q.put, 3)]
    parked(q, 3, "not_full")
    q.shutdown(immediate)
    for putter in putters:
        with pytest.raises(shut):
            putter.result()
    assert q.qsize() == (0 if immediate else 1)
    assert q.unfinished_tasks == (0 if immediate else 1)


def test_shutdown_against_traffic(make: Any, shut: type[Exception]) -> None:
    """What was put and not refused comes out, whichever thread gets there first."""
    for _ in range(10):
        q = make(2)
        put: list[int] = []
        got: list[int] = []

        def produce(q: Any = q, put: list[int] = put) -> None:
            try:
                for item in range(1000):
                    q.put(item)
                    put.append(item)
            except shut:
                pass

        def consume(q: Any = q, got: list[int] = got) -> None:
            try:
                while True:
                    got.append(q.get())
                    if len(got) == 30:
                        q.shutdown()
            except shut:
                pass

        run_threads(produce, consume)
        assert len(put) == len(got)
        assert sorted(got) == put


def test_is_shutdown_is_assignable(make: Any) -> None:
    """The standard attribute is a plain one; code that reopens a queue this way works."""
    q = make()
    q.shutdown()
    q.is_shutdown = False
    q.put(1)
    assert q.get() == 1
