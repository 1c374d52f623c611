"""The async twins: same arguments, same exceptions, served with threads in one order."""

from __future__ import annotations

import asyncio
import collections.abc
import gc
import inspect
import weakref
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from concx.queue import Empty, Full, Queue, ShutDown, SimpleQueue
from queue_tools import LIMIT, Worker, run_async, wait_until, wait_waiting


async def raises(error: type[BaseException], awaitable: Awaitable[Any]) -> None:
    with pytest.raises(error):
        await awaitable


def test_round_trip(make: Any, cls: Any) -> None:
    async def main() -> None:
        q = make(cls)
        assert await q.put_async(1) is None
        assert await q.get_async() == 1
        q.put(2)
        assert await q.get_async() == 2
        await q.put_async(3)
        assert q.get() == 3

    run_async(main())


def test_waiting_in_one_loop(make: Any, cls: Any) -> None:
    async def main() -> None:
        q = make(cls, 1)

        async def produce() -> None:
            for item in range(50):
                await q.put_async(item)

        producer = asyncio.create_task(produce())
        got = [await q.get_async() for _ in range(50)]
        await producer
        assert sorted(got) == list(range(50))

    run_async(main())


def test_a_thread_and_a_loop(make: Any, cls: Any) -> None:
    q = make(cls, 2)
    back = make(cls, 2)

    async def main() -> None:
        for _ in range(100):
            await back.put_async(await q.get_async())

    loop = Worker(lambda: run_async(main()))
    producer = Worker(lambda: [q.put(item) for item in range(100)])
    got = [back.get(timeout=LIMIT) for _ in range(100)]
    producer.result()
    loop.result()
    assert sorted(got) == list(range(100))


def test_timeouts(make: Any) -> None:
    async def main() -> None:
        q = make(Queue, 1)
        await raises(Empty, q.get_async(timeout=0))
        await raises(Empty, q.get_async(timeout=0.002))
        await raises(Empty, q.get_async(True, timedelta(milliseconds=1)))
        await raises(Empty, q.get_async(block=False))
        await raises(Empty, q.get_many_async(3, timeout=0.002))
        await q.put_async(1, timeout=0)
        await raises(Full, q.put_async(2, timeout=0))
        await raises(Full, q.put_async(2, timeout=0.002))
        await raises(Full, q.put_async(2, True, 0.002))
        await raises(Full, q.put_async(2, block=False))
        assert await q.put_many_async([2, 3], timeout=0.002) == 0
        assert q.stats().waiting_gets == q.stats().waiting_puts == 0
        assert await q.get_async(timeout=LIMIT) == 1

    run_async(main())


def test_the_timeout_of_a_served_wait_is_cancelled(make: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        q = make(Queue)
        task = asyncio.create_task(q.get_async(timeout=LIMIT * 10))
        await asyncio.sleep(0)
        q.put(1)
        assert await task == 1
        timers = [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        assert len(timers) <= 1  # that of the test's own limit

    run_async(main())


@pytest.mark.parametrize("bad", [-1, float("nan"), "x", [], timedelta(seconds=-1)])
def test_bad_timeouts(make: Any, bad: Any) -> None:
    async def main() -> None:
        q = make(Queue, 1)
        errors = (ValueError, TypeError)
        with pytest.raises(errors):
            await q.get_async(timeout=bad)
        q.put(1)
        with pytest.raises(errors):
            await q.put_async(2, timeout=bad)
        with pytest.raises(errors):
            await q.get_many_async(2, timeout=bad)
        assert q.qsize() == 1

    run_async(main())


@pytest.mark.parametrize("timeout", [None, LIMIT])
@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_ends_the_waits(
    make: Any, cls: Any, immediate: bool, timeout: float | None
) -> None:
    async def main() -> None:
        q = make(cls)
        calls = [q.get_async(timeout=timeout), q.get_many_async(3, timeout=timeout)]
        gets = [asyncio.create_task(call) for call in calls]
        full = make(cls, 1)
        full.put(0)
        calls = [full.put_async(1, timeout=timeout), full.put_many_async([2, 3], timeout=timeout)]
        puts = [asyncio.create_task(call) for call in calls]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert q.stats().waiting_gets == 2
        assert full.stats().waiting_puts == 2
        q.shutdown(immediate)
        full.shutdown(immediate)
        for task in gets + puts:
            await raises(ShutDown, task)
        assert full.qsize() == (0 if immediate else 1)
        await raises(ShutDown, q.get_async())
        await raises(ShutDown, q.get_async(timeout=0))
        await raises(ShutDown, q.put_async(1))
        await raises(ShutDown, q.put_many_async([1]))

    run_async(main())


def test_shutdown_between_grant_and_run() -> None:
    """The slot was promised, but the queue is shut before the task runs: it has not put."""

    async def main() -> None:
        q: Queue[int] = Queue(1)
        q.put(0)
        task = asyncio.create_task(q.put_async(1))
        await asyncio.sleep(0)
        assert q.get() == 0
        q.shutdown()
        await raises(ShutDown, task)
        assert q.empty()
        assert q.unfinished_tasks == 1

    run_async(main())


def test_an_immediate_shutdown_drops_what_comes_back() -> None:
    async def main() -> None:
        q: Queue[int] = Queue()
        task = asyncio.create_task(q.get_async())
        await asyncio.sleep(0)
        q.put(1)
        q.shutdown(immediate=True)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert q.empty()
        assert q.unfinished_tasks == 0

    run_async(main())


def test_join(make: Any) -> None:
    async def main() -> None:
        q = make()
        await q.join_async()
        q.put_many([1, 2])
        task = asyncio.create_task(q.join_async())
        await asyncio.sleep(0)
        q.get_many(2)
        q.task_done()
        await asyncio.sleep(0)
        assert not task.done()
        q.task_done()
        await task

    run_async(main())


def test_join_with_a_timeout(make: Any) -> None:
    async def main() -> None:
        q = make()
        q.put(1)
        with pytest.raises(TimeoutError):
            await q.join_async(timeout=0.002)
        assert q.stats().waiting_joins == 0
        q.task_done()
        await q.join_async(timeout=0)

    run_async(main())


def test_many(make: Any) -> None:
    async def main() -> None:
        q = make(Queue, 3)
        assert await q.put_many_async(range(3)) == 3
        task = asyncio.create_task(q.put_many_async(x for x in range(3, 10)))
        got: list[int] = []
        while len(got) < 10:
            got += await q.get_many_async(2)
        assert got == list(range(10))
        assert await task == 7
        assert await q.put_many_async([]) == 0
        q.put_many([1, 2])
        task = asyncio.create_task(q.put_many_async([3, 4]))
        await asyncio.sleep(0)
        q.shutdown()
        assert await task == 1

    run_async(main())


def test_a_cancelled_put_many_has_put_the_first_ones(make: Any) -> None:
    async def main() -> None:
        q = make(Queue, 2)
        task = asyncio.create_task(q.put_many_async(range(9)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert q.get_many(9) == [0, 1]
        assert q.stats().waiting_puts == 0
        q.put_many([7, 8], block=False)
        assert q.get_many(9) == [7, 8]

    run_async(main())


def test_get_many_waits_for_the_first(make: Any) -> None:
    async def main() -> None:
        q = make()
        task = asyncio.create_task(q.get_many_async(3))
        await asyncio.sleep(0)
        q.put_many([1, 2, 3, 4])
        assert await task == [1, 2, 3]

    run_async(main())


def test_consume(make: Any) -> None:
    async def main() -> None:
        q = make(Queue, 2)

        async def produce() -> None:
            await q.put_many_async(range(20))
            q.shutdown()

        producer = asyncio.create_task(produce())
        got = [item async for item in q.consume()]
        await producer
        assert got == list(range(20))
        with pytest.raises(StopAsyncIteration):
            await q.consume().__anext__()

    run_async(main())


def test_a_cancelled_consumer_gives_back(make: Any) -> None:
    async def main() -> None:
        q = make()
        iterator = q.consume()
        task = asyncio.ensure_future(iterator.__anext__())
        await asyncio.sleep(0)
        q.put(1)
        task.cancel()
        await asyncio.wait([task])
        assert q.get_nowait() == 1
        q.put(2)
        assert await iterator.__anext__() == 2

    run_async(main())


def test_tasks_and_threads_wait_in_one_line() -> None:
    q: Queue[int] = Queue()

    async def main() -> list[int]:
        first = asyncio.create_task(q.get_async())
        await asyncio.sleep(0)
        thread = Worker(q.get)
        wait_waiting(q, gets=2)
        second = asyncio.create_task(q.get_async())
        await asyncio.sleep(0)
        q.put_many([1, 2, 3])
        return [await first, thread.result(), await second]

    assert run_async(main()) == [1, 2, 3]


def test_the_switch_while_tasks_wait(cls: Any) -> None:
    """Tasks that wait natively are moved along when somebody uses the mutex."""

    async def main() -> None:
        q = cls(1)
        gets = [asyncio.create_task(q.get_async()) for _ in range(3)]
        await asyncio.sleep(0)
        with q.mutex:
            pass
        for item in range(3):
            await q.put_async(item)
        assert sorted([await task for task in gets]) == [0, 1, 2]
        q = cls(1)
        q.put(0)
        puts = [asyncio.create_task(q.put_async(item)) for item in (1, 2)]
        joined = asyncio.create_task(q.join_async())
        await asyncio.sleep(0)
        assert q.queue
        got = [await q.get_async() for _ in range(3)]
        await asyncio.gather(*puts)
        assert sorted(got) == [0, 1, 2]
        for _ in range(3):
            q.task_done()
        await joined

    run_async(main())


@pytest.mark.parametrize("switch_first", [False, True])
def test_the_switch_between_grant_and_run(switch_first: bool) -> None:
    async def main() -> None:
        q: Queue[int] = Queue()
        cancelled, served = (asyncio.create_task(q.get_async()) for _ in range(2))
        await asyncio.sleep(0)
        q.put_many([1, 2])
        if switch_first:
            with q.mutex:
                pass
            cancelled.cancel()
        else:
            cancelled.cancel()
            with q.mutex:
                pass
        assert await served == 2
        await asyncio.wait([cancelled])
        assert q.get(timeout=LIMIT) == 1
        assert q.empty()

    run_async(main())


# -- the awaitables as objects ------------------------------------------------------------------------


def calls(q: Any) -> dict[str, Callable[[], Any]]:
    return {
        "get": q.get_async,
        "put": lambda: q.put_async(1),
        "get_many": lambda: q.get_many_async(2),
        "put_many": lambda: q.put_many_async([1]),
        "join": q.join_async,
    }


@pytest.mark.parametrize("which", ["get", "put", "get_many", "put_many", "join"])
def test_they_are_coroutines(which: str) -> None:
    q: Queue[int] = Queue()
    call = calls(q)[which]
    coroutine = call()
    assert isinstance(coroutine, collections.abc.Coroutine)
    assert isinstance(coroutine, collections.abc.Awaitable)
    assert asyncio.iscoroutine(coroutine)
    assert inspect.isawaitable(coroutine)
    assert which in repr(coroutine)
    coroutine.close()

    async def main() -> None:
        q.put_many([1, 2])
        if which == "join":
            q.clear()
        await asyncio.ensure_future(call())
        q.put_many([1, 2, 3])
        if which == "join":
            q.clear()
        await asyncio.wait_for(call(), LIMIT)

    run_async(main())


def test_async_methods_take_the_sync_arguments() -> None:
    for cls in (Queue, SimpleQueue):
        for name in ("put", "get", "put_many", "get_many"):
            sync = inspect.signature(getattr(cls, name))
            twin = inspect.signature(getattr(cls, f"{name}_async"))
            assert list(sync.parameters) == list(twin.parameters), name


def test_awaiting_twice() -> None:
    async def main() -> None:
        q: Queue[int] = Queue()
        q.put(1)
        coroutine = q.get_async()
        assert await coroutine == 1
        await raises(RuntimeError, coroutine)

    run_async(main())


def test_results_that_look_like_exceptions_and_tuples() -> None:
    async def main() -> None:
        q: Queue[Any] = Queue()
        for item in ((1, 2), (), ValueError("x"), StopIteration(3), None, GeneratorExit()):
            q.put(item)
            assert await q.get_async() is item
            task = asyncio.create_task(q.get_async())
            await asyncio.sleep(0)
            q.put(item)
            assert (await asyncio.gather(task, return_exceptions=True))[0] is item

    run_async(main())


def test_a_blocking_thread_does_not_stop_the_loop() -> None:
    q: Queue[int] = Queue()

    async def main() -> int:
        thread = Worker(q.get)
        await asyncio.to_thread(wait_waiting, q, gets=1)
        await q.put_async(5)
        await asyncio.to_thread(wait_until, lambda: not thread.is_alive())
        return int(thread.result())

    assert run_async(main()) == 5


def test_contexts_are_kept() -> None:
    import contextvars

    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="outside")

    async def main() -> None:
        q: Queue[int] = Queue()

        async def get() -> str:
            name.set("inside")
            await q.get_async()
            return name.get()

        task = asyncio.create_task(get())
        await asyncio.sleep(0)
        q.put(1)
        assert await task == "inside"
        assert name.get() == "outside"

    run_async(main())


@pytest.mark.parametrize("kind", [Queue, SimpleQueue], ids=lambda kind: kind.__name__)
def test_a_queue_keeps_the_task_that_waits_for_it(kind: Any) -> None:
    """As asyncio.Queue does: a task that nobody else refers to is not collected while it waits."""

    async def main() -> None:
        q, got = kind(), []

        async def take() -> None:
            got.append(await q.get_async())

        asyncio.create_task(take())  # noqa: RUF006  (kept nowhere: that is the point)
        while q.stats().waiting_gets == 0:
            await asyncio.sleep(0)
        gc.collect()
        q.put(1)
        while not got:
            await asyncio.sleep(0)
        assert got == [1]

    run_async(main())


def test_a_task_that_waits_goes_with_its_queue() -> None:
    """The queue, the task and the loop that nobody runs any more are collected together."""

    class Marker:
        pass

    def build() -> weakref.ref[Any]:
        q, marker = Queue[Any](), Marker()

        async def take(marker: Marker) -> None:
            await q.get_async()

        loop = asyncio.new_event_loop()
        task = loop.create_task(take(marker))
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        return weakref.ref(marker)

    ref = build()
    gc.collect()
    gc.collect()
    assert ref() is None


def test_a_second_awaiter_is_refused() -> None:
    """As with Python's own coroutines; the first goes on."""

    async def main() -> None:
        q: Queue[int] = Queue()
        call = q.get_async()

        async def wait() -> int:
            return await call

        first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
        await asyncio.sleep(0)
        q.put(1)
        with pytest.raises(RuntimeError, match="coroutine is being awaited already"):
            await second
        assert await first == 1

    run_async(main())
