"""Tasks that submit tasks to their own pool: run in place, in the worker's own order, by others, and at every end."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from concx.futures import ThreadPoolExecutor, as_completed, wait
from queue_tools import FREE_THREADED, Gate, wait_until


def name() -> str:
    return threading.current_thread().name


def test_nested_in_a_pool_of_one() -> None:
    def nest(depth: int) -> int:
        return 0 if depth == 0 else 1 + pool.submit(nest, depth - 1).result()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(nest, 100).result(30) == 100
        assert len(pool._threads) == 1


def test_a_time_out_is_kept() -> None:
    """With one, the call is not made in place: it might take longer."""

    def outer() -> tuple[int, int]:
        inner = pool.submit(threading.get_ident)
        with pytest.raises(TimeoutError):
            inner.result(timeout=0)
        return inner.result(timeout=30), threading.get_ident()

    with ThreadPoolExecutor(1) as pool:
        spare, own = pool.submit(outer).result(30)
        assert spare != own


def test_a_spare_thread_when_all_sleep_in_joins() -> None:
    """The task waits, but not for the queued one: nobody could run it in place."""

    def outer() -> Any:
        inner = pool.submit(name)
        return next(as_completed([inner])).result(), wait([pool.submit(name)]).not_done

    with ThreadPoolExecutor(1, "p") as pool:
        assert pool.submit(outer).result(30)[1] == set()
        assert pool.submit(name).result(30)


def pool_of_two_held(tasks: Callable[[ThreadPoolExecutor], list[Any]]) -> Any:
    """A pool whose two workers stay in tasks until the gate opens; one has submitted `tasks` before."""
    pool, gate, both = ThreadPoolExecutor(2), Gate(), threading.Barrier(3)

    def parent() -> list[Any]:
        both.wait(30)
        futures = tasks(pool)
        gate()
        return futures

    def other() -> None:
        both.wait(30)
        gate.opened.wait(30)

    held = [pool.submit(parent), pool.submit(other)]
    both.wait(30)
    assert gate.entered.wait(30)
    return pool, gate, held


def test_what_a_task_submits_is_run_by_others() -> None:
    """In the order of submission, and while the task that has submitted it goes on."""
    ran: list[int] = []
    by: set[int] = set()
    last = threading.Event()

    def child(number: int) -> None:
        ran.append(number)
        by.add(threading.get_ident())
        if number == 299:
            last.set()

    def parent(both: threading.Barrier) -> int:
        both.wait(30)
        pool.submit_many(child, range(300))
        assert last.wait(30)
        return threading.get_ident()

    with ThreadPoolExecutor(2) as pool:
        both = threading.Barrier(2)
        f = pool.submit(parent, both)
        pool.submit(both.wait, 30)
        assert f.result() not in by
        assert len(by) == 1
        assert ran == [*range(300)]
        assert pool.stats().stolen == (300 if FREE_THREADED else 0)


def test_a_tree_of_tasks() -> None:
    """Each waits for two more: they are run in place, stolen, or a spare worker comes."""

    def tree(depth: int) -> int:
        if depth == 0:
            return 1
        left, right = pool.submit(tree, depth - 1), pool.submit(tree, depth - 1)
        return left.result() + right.result()

    with ThreadPoolExecutor(2) as pool:
        assert pool.submit(tree, 9).result() == 512
        assert tree(9) == 512
        wait_until(lambda: pool._work_queue.qsize() == 0)  # what was run in place is passed over


def test_shutdown_cancels_what_a_task_submitted() -> None:
    pool, gate, held = pool_of_two_held(lambda pool: pool.submit_many(abs, range(100)))
    assert pool._work_queue.qsize() == 100
    pool.shutdown(wait=False, cancel_futures=True)
    assert pool._work_queue.qsize() == 0
    gate.opened.set()
    assert all(f.cancelled() for f in held[0].result(30) or [])
    pool.shutdown()


def test_a_dropped_pool_frees_what_a_task_submitted() -> None:
    class Item:
        pass

    refs: list[Any] = []

    def submit(pool: ThreadPoolExecutor) -> list[Any]:
        items = [Item() for _ in range(100)]
        refs.extend(map(weakref.ref, items))
        return [pool.submit(id, item) for item in items]

    pool, gate, held = pool_of_two_held(submit)
    pool.shutdown(wait=False, cancel_futures=True)
    gate.opened.set()
    pool.shutdown()
    del pool, held, gate
    gc.collect()
    assert [ref for ref in refs if ref() is not None] == []


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_fork_with_tasks_of_a_task() -> None:
    read, write = os.pipe()
    pool, gate, held = pool_of_two_held(
        lambda pool: [pool.submit(os.write, write, b"q") for _ in range(5)]
    )
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            assert pool._work_queue.qsize() == 0
            assert pool.submit(lambda: 5).result(20) == 5
            pool.shutdown()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    gate.opened.set()
    wait(held)
    pool.shutdown()
    os.close(write)
    assert os.read(read, 10) == b"q" * 5
    os.close(read)
