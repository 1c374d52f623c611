"""Event loops and the queues: closed, stopped, collected, several at once, and what a wake-up costs."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import concx.queue
from queue_tools import (
    BOUNDED,
    CLASSES,
    FREE_THREADED,
    LIMIT,
    SteppedLoop,
    Worker,
    run_async,
    run_threads,
    wait_until,
    wait_waiting,
)

pytestmark = pytest.mark.stress

ShutDown = concx.queue.ShutDown


def parked_get(q: Any, loop: asyncio.AbstractEventLoop) -> asyncio.Task[Any]:
    """A task of `loop` that waits in get, the loop standing still."""
    before = q.stats().waiting_gets
    task = loop.create_task(q.get_async())
    while q.stats().waiting_gets == before:
        loop.call_soon(loop.stop)
        loop.run_forever()
    return task


def forget(task: asyncio.Task[Any]) -> None:
    """A task that will never run again is not to complain."""
    task._log_destroy_pending = False  # type: ignore[attr-defined]


# -- loops that end ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLASSES)
def test_a_loop_closed_with_a_grant_under_way(name: str) -> None:
    """The drain handle is queued and dies with the loop: the item comes back."""
    q = getattr(concx.queue, name)()
    loop = asyncio.new_event_loop()
    task = parked_get(q, loop)
    q.put(1)
    assert q.qsize() == 0
    forget(task)
    loop.close()
    gc.collect()
    wait_until(lambda: q.qsize() == 1)
    assert q.get_nowait() == 1
    del task


@pytest.mark.parametrize("name", CLASSES)
def test_a_loop_closed_while_waiting(name: str) -> None:
    """A put after the close finds a waiter whose loop is gone: the item stays in the queue."""
    q = getattr(concx.queue, name)()
    loop = asyncio.new_event_loop()
    task = parked_get(q, loop)
    forget(task)
    loop.close()
    q.put(1)
    wait_until(lambda: q.qsize() == 1)
    assert q.get_nowait() == 1
    q.put(2)
    assert q.get_nowait() == 2
    del task


def test_a_put_waiter_of_a_closed_loop() -> None:
    q = concx.queue.Queue(1)
    q.put(1)
    loop = asyncio.new_event_loop()
    task = loop.create_task(q.put_async(2))
    while not q.stats().waiting_puts:
        loop.call_soon(loop.stop)
        loop.run_forever()
    forget(task)
    loop.close()
    assert q.get_nowait() == 1
    del task
    gc.collect()
    q.put(3, timeout=LIMIT)  # the slot that was promised is free again
    assert q.get_nowait() == 3


def test_many_grants_and_the_loop_closes() -> None:
    q = concx.queue.Queue()
    loop = asyncio.new_event_loop()
    tasks = [parked_get(q, loop) for _ in range(50)]
    q.put_many(range(60))
    for task in tasks:
        forget(task)
    loop.close()
    tasks.clear()
    del task
    gc.collect()
    wait_until(lambda: q.qsize() == 60)
    assert [q.get_nowait() for _ in range(60)] == list(range(60))


def test_a_granted_item_passes_on_when_the_loop_closes() -> None:
    q = concx.queue.Queue()
    loop = asyncio.new_event_loop()
    task = parked_get(q, loop)
    thread = Worker(q.get)
    wait_waiting(q, gets=2)
    q.put("x")
    forget(task)
    loop.close()
    assert thread.result() == "x"


def test_a_stopped_loop_keeps_its_grant_until_it_runs() -> None:
    q = concx.queue.Queue()
    loop = asyncio.new_event_loop()
    task = parked_get(q, loop)
    q.put("x")
    assert q.empty()
    assert loop.run_until_complete(task) == "x"
    loop.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_stopped_loop_that_is_collected_gives_back() -> None:
    q = concx.queue.Queue()
    loop = asyncio.new_event_loop()
    task = parked_get(q, loop)
    forget(task)
    q.put("x")
    gone = weakref.ref(loop)
    del loop, task
    gc.collect()
    wait_until(lambda: gone() is None or gc.collect() < 0, limit=5)
    wait_until(lambda: q.qsize() == 1)
    assert q.get_nowait() == "x"


def test_no_loop_is_kept_alive() -> None:
    q = concx.queue.Queue()
    for _ in range(3):
        loop = asyncio.new_event_loop()
        task = parked_get(q, loop)
        q.put(1)
        assert loop.run_until_complete(task) == 1
        loop.close()
        gone = weakref.ref(loop)
        del loop, task
        gc.collect()
        assert gone() is None


def test_loops_come_and_go() -> None:
    q = concx.queue.Queue(1)

    async def once(item: int) -> int:
        await q.put_async(item)
        return await q.get_async()

    for item in range(100):
        assert asyncio.run(once(item)) == item
    gc.collect()


def test_dropping_unawaited_awaitables() -> None:
    import warnings

    q = concx.queue.Queue(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        q.get_async()
        q.put_async(1)
        q.join_async()
        q.get_many_async(3)
        q.put_many_async([1, 2])
        gc.collect()
    assert q.empty()
    stats = q.stats()
    assert stats.waiting_gets == stats.waiting_puts == stats.waiting_joins == 0


# -- several loops and threads on one queue ----------------------------------------------------------


async def consume(q: Any, got: list[Any], rng: random.Random | None = None) -> None:
    try:
        while True:
            if rng is not None and rng.random() < 0.3:
                try:
                    got.append(await asyncio.wait_for(q.get_async(), rng.random() * 0.001))
                except (TimeoutError, concx.queue.Empty):
                    continue
            else:
                got.append(await q.get_async())
    except ShutDown:
        return


async def produce(q: Any, items: range, rng: random.Random | None = None) -> None:
    for item in items:
        while True:
            if rng is not None and rng.random() < 0.2:
                try:
                    await q.put_async(item, timeout=rng.random() * 0.001)
                    break
                except concx.queue.Full:
                    continue
            else:
                await q.put_async(item)
                break


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("maxsize", [0, 1, 3])
@pytest.mark.parametrize("name", BOUNDED)
def test_two_loops_and_threads(name: str, maxsize: int, debug: bool, rng: random.Random) -> None:
    q = getattr(concx.queue, name)(maxsize)
    each = 60
    got: list[list[Any]] = [[] for _ in range(4)]
    seeds = [random.Random(rng.random()) for _ in range(4)]

    def async_side(index: int) -> Callable[[], None]:
        async def main() -> None:
            consumer = asyncio.create_task(consume(q, got[index], seeds[index]))
            await produce(q, range(index * each, (index + 1) * each), seeds[index])
            await consumer

        return lambda: run_async(main(), debug=debug)

    def sync_producer() -> None:
        for item in range(2 * each, 3 * each):
            q.put(item)

    def sync_consumer() -> None:
        try:
            while True:
                got[2].append(q.get(timeout=LIMIT))
        except ShutDown:
            return

    def accountant() -> None:
        for _ in range(3 * each):
            wait_until(lambda: sum(map(len, got)) > accountant.done)  # type: ignore[attr-defined]
            accountant.done += 1  # type: ignore[attr-defined]
            q.task_done()
        q.join()
        q.shutdown()

    accountant.done = 0  # type: ignore[attr-defined]
    run_threads(async_side(0), async_side(1), sync_producer, sync_consumer, accountant)
    assert sorted(item for part in got for item in part) == list(range(3 * each))


def test_uvloop(rng: random.Random) -> None:
    if FREE_THREADED:
        pytest.skip("uvloop crashes on free-threaded builds (uvloop#720); run on a build with GIL")
    uvloop = pytest.importorskip(
        "uvloop", reason="uvloop is not installed; pip install uvloop runs this"
    )
    q = concx.queue.Queue(2)
    got: list[int] = []

    async def main() -> None:
        consumer = asyncio.create_task(consume(q, got, rng))
        await produce(q, range(100), rng)
        await asyncio.to_thread(lambda: [q.put(item) for item in range(100, 200)])
        q.shutdown()
        await consumer

    def thread() -> None:
        loop = uvloop.new_event_loop()
        try:
            loop.run_until_complete(asyncio.wait_for(main(), LIMIT))
        finally:
            loop.close()

    Worker(thread).result()
    assert sorted(got) == list(range(200))
    # A uvloop that closes with a grant under way gives the item back.
    loop = uvloop.new_event_loop()
    q = concx.queue.Queue()
    task = parked_get(q, loop)
    q.put(1)
    forget(task)
    loop.close()
    del task, loop
    gc.collect()
    wait_until(lambda: q.qsize() == 1)


def test_two_loops_wait_in_one_list() -> None:
    """A queue belongs to no loop: waiters of two loops are served in the order in which they came."""
    q = concx.queue.Queue()
    a, b = SteppedLoop(), SteppedLoop()
    tasks = [loop.create_task(q.get_async()) for loop in (a, b, a, b)]
    a.step()
    b.step()
    assert q.stats().waiting_gets == 4
    q.put_many([1, 2, 3, 4])
    a.settle()
    b.settle()
    # The tasks of a loop start together, so a's two came first.
    assert [task.result() for task in tasks] == [1, 3, 2, 4]
    a.close()
    b.close()


def test_outside_of_a_loop() -> None:
    q = concx.queue.Queue()
    coroutine = q.get_async()
    with pytest.raises(RuntimeError, match="loop"):
        coroutine.send(None)
    coroutine.close()
    q.put(1)
    assert q.qsize() == 1


# -- what a wake-up costs ------------------------------------------------------------------------------


def test_wakes_are_coalesced() -> None:
    """Any number of completions between two iterations costs one call_soon_threadsafe."""
    loop = SteppedLoop()
    q = concx.queue.Queue()
    other = concx.queue.SimpleQueue()
    tasks = [loop.create_task(q.get_async()) for _ in range(40)]
    tasks += [loop.create_task(other.get_async()) for _ in range(40)]
    loop.settle()
    loop.wakes = 0
    for item in range(20):
        Worker(q.put, item).result()
    for item in range(20, 40):
        q.put(item)
        other.put(item)
    for item in range(20):
        Worker(other.put, item).result()
    assert loop.wakes == 1
    loop.settle()
    assert all(task.done() for task in tasks)
    assert loop.wakes == 1
    loop.close()


def test_at_most_one_wake_per_iteration() -> None:
    """A stream from a thread to many tasks: never more wake-ups than iterations of the loop."""
    q = concx.queue.Queue()
    total, tasks = 4000, 200
    wakes = iterations = 0

    async def get(got: list[int]) -> None:
        for _ in range(total // tasks):
            got.append(await q.get_async())
            await asyncio.sleep(0)  # so that the others wait, and many are served at once

    async def main() -> None:
        nonlocal wakes, iterations
        loop = asyncio.get_running_loop()
        original = loop.call_soon_threadsafe

        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal wakes
            wakes += 1
            return original(*args, **kwargs)

        run_once = loop._run_once  # type: ignore[attr-defined]

        def counted_iteration() -> None:
            nonlocal iterations
            iterations += 1
            run_once()

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign]
        loop._run_once = counted_iteration  # type: ignore[attr-defined]
        got: list[int] = []
        getters = [asyncio.create_task(get(got)) for _ in range(tasks)]
        while q.stats().waiting_gets < tasks:
            await asyncio.sleep(0)
        producer = Worker(lambda: [q.put(item) for item in range(total)])
        await asyncio.gather(*getters)
        producer.result()
        assert sorted(got) == list(range(total))

    run_async(main())
    assert q.stats().blocked_gets >= tasks
    assert wakes <= iterations + 1


def test_a_long_drain_does_not_starve_the_loop() -> None:
    """The port hands a bounded number of completions to the loop per iteration, and all in the end."""
    loop = SteppedLoop()
    q = concx.queue.Queue()
    tasks = [loop.create_task(q.get_async()) for _ in range(5000)]
    loop.settle()
    q.put_many(range(5000))
    done = most = 0
    while done < 5000:
        loop.step()
        before, done = done, sum(task.done() for task in tasks)
        most = max(most, done - before)
    assert most <= 1000
    assert [task.result() for task in tasks] == list(range(5000))
    loop.close()


# -- blocking on the thread of a loop ------------------------------------------------------------------


def test_blocking_calls_on_a_loop_are_counted() -> None:
    q = concx.queue.Queue(1)

    async def main() -> None:
        q.put(1)
        assert q.stats().blocked_on_loop == 0  # did not block
        with pytest.raises(concx.queue.Full):
            q.put(2, timeout=0.001)
        assert q.stats().blocked_on_loop == 1
        q.get()
        with pytest.raises(concx.queue.Empty):
            q.get(timeout=0.001)
        with pytest.raises(concx.queue.Empty):
            q.get(timeout=0)
        assert q.stats().blocked_on_loop == 2
        with pytest.raises(concx.queue.Empty):
            await q.get_async(timeout=0.001)
        assert q.stats().blocked_on_loop == 2

    run_async(main())
    with pytest.raises(concx.queue.Empty):
        q.get(timeout=0.001)
    assert q.stats().blocked_on_loop == 2


def test_a_blocking_get_on_a_loop_is_served_by_a_thread() -> None:
    q = concx.queue.Queue()

    async def main() -> Any:
        worker = Worker(lambda: (wait_waiting(q, gets=1), q.put("x")))
        item = q.get(timeout=LIMIT)
        worker.result()
        return item

    assert run_async(main()) == "x"
    assert q.stats().blocked_on_loop == 1
