"""Futures awaited: every way asyncio has, cancellation at every step, loops that end, several loops."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import selectors
import threading
import time
import weakref
from collections.abc import Coroutine
from typing import Any

import pytest

from concx.futures import (
    CancelledError,
    Future,
    InvalidStateError,
    ThreadPoolExecutor,
    gather_async,
)
from queue_tools import FREE_THREADED


def run(main: Coroutine[Any, Any, Any], debug: bool = True) -> Any:
    return asyncio.run(asyncio.wait_for(main, 30), debug=debug)


async def steps(n: int = 5) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


def test_await() -> None:
    async def main() -> None:
        with ThreadPoolExecutor(2) as pool:
            assert await pool.submit(pow, 2, 3) == 8
            f = pool.submit(pow, 2, 3)
            assert (await f, await f) == (8, 8)
            with pytest.raises(ZeroDivisionError):
                await pool.submit(divmod, 1, 0)
            assert await asyncio.gather(*[pool.submit(abs, -i) for i in range(50)]) == list(
                range(50)
            )
            assert await gather_async(pool.submit(abs, -i) for i in range(50)) == list(range(50))
            links = [pool.submit(abs, -i).as_asyncio() for i in range(50)]
            assert await asyncio.gather(*links) == list(range(50))

    run(main())


def test_the_functions_of_asyncio() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        pool = ThreadPoolExecutor(2)
        loop.set_default_executor(pool)
        assert await loop.run_in_executor(None, pow, 2, 3) == 8
        assert await asyncio.to_thread(pow, 2, 3) == 8
        assert await asyncio.wrap_future(pool.submit(pow, 2, 3)) == 8
        assert await asyncio.wait_for(pool.submit(pow, 2, 3), 30) == 8
        assert await asyncio.shield(pool.submit(pow, 2, 3)) == 8
        async with asyncio.timeout(30):
            assert await pool.submit(pow, 2, 3) == 8
        futures = [pool.submit(abs, -i) for i in range(20)]
        done, pending = await asyncio.wait(futures)  # type: ignore[type-var]
        assert (done, pending) == (set(futures), set())
        late: Future[int] = Future()
        done, pending = await asyncio.wait([late], timeout=0.001)  # type: ignore[type-var]
        assert (done, pending) == (set(), {late})
        assert late._done_callbacks == []
        assert late.remove_done_callback(print) == 0
        assert sorted([await f for f in asyncio.as_completed(futures)]) == list(range(20))
        async with asyncio.TaskGroup() as group:

            async def one(i: int) -> int:
                return await pool.submit(abs, -i)

            tasks = [group.create_task(one(i)) for i in range(5)]
        assert [task.result() for task in tasks] == list(range(5))
        with pytest.raises(TypeError, match="coroutine"):
            await asyncio.create_task(pool.submit(int))  # type: ignore[arg-type]

    run(main())


def test_cancelling_the_task_cancels_what_has_not_begun() -> None:
    async def main() -> None:
        f: Future[int] = Future()

        async def body() -> int:
            return await f

        a, b = asyncio.create_task(body()), asyncio.create_task(body())
        await steps()
        a.cancel()
        await steps()
        assert a.cancelled()
        assert f.cancelled()
        assert b.cancelled()  # woken too
        g: Future[int] = Future()
        g.set_running_or_notify_cancel()

        async def other() -> int:
            return await g

        a, b = asyncio.create_task(other()), asyncio.create_task(other())
        await steps()
        a.cancel()
        await steps()
        assert a.cancelled()
        assert g.running()
        g.set_result(3)
        assert await b == 3

    run(main())


def test_shield_protects() -> None:
    async def main() -> None:
        f: Future[int] = Future()
        outer = asyncio.shield(f)
        await steps()
        outer.cancel()
        await steps()
        assert not f.done()
        f.set_result(1)
        await steps()

    run(main())


def test_a_coroutine_that_is_closed_cancels_nothing() -> None:
    async def main() -> None:
        f: Future[int] = Future()

        async def body() -> int:
            return await f

        coroutine = body()
        coroutine.send(None)
        coroutine.close()
        assert not f.done()
        f.set_result(1)
        await steps()

    run(main())


def test_exceptions_are_asyncios() -> None:
    async def main() -> None:
        for make in (lambda f: f, lambda f: f.as_asyncio()):
            f: Future[int] = Future()
            f.cancel()
            with pytest.raises(asyncio.CancelledError):
                await make(f)
            f = Future()
            f.set_exception(CancelledError("x"))
            with pytest.raises(asyncio.CancelledError, match="x"):
                await make(f)
            f = Future()
            f.set_exception(InvalidStateError("y"))
            with pytest.raises(asyncio.InvalidStateError, match="y"):
                await make(f)
            f = Future()
            f.set_exception(StopIteration(1))
            with pytest.raises(RuntimeError, match="StopIteration interacts badly"):
                await make(f)

    run(main())


def test_as_asyncio() -> None:
    async def main() -> None:
        f: Future[int] = Future()
        a, b = f.as_asyncio(), f.as_asyncio()
        assert isinstance(a, asyncio.Future)
        f.set_result(3)
        assert (await a, await b, await f.as_asyncio()) == (3, 3, 3)
        f = Future()
        a, b = f.as_asyncio(), f.as_asyncio()
        a.cancel()
        await steps()
        assert f.cancelled()
        with pytest.raises(asyncio.CancelledError):
            await b
        f = Future()
        f.set_running_or_notify_cancel()
        a = f.as_asyncio()
        a.cancel()
        await steps()
        assert f.running()
        f.set_result(1)
        await steps()

    run(main())


def test_gather_async() -> None:
    async def main() -> None:
        assert await gather_async([]) == []
        with pytest.raises(TypeError, match="takes futures of concx, got 3"):
            await gather_async([3])  # type: ignore[list-item]
        good: Future[int] = Future()
        good.set_result(1)
        pending: Future[int] = Future()
        bad: Future[int] = Future()
        bad.set_exception(OSError("no"))
        assert (await gather_async([good, bad], return_exceptions=True))[0] == 1
        with pytest.raises(OSError, match="no"):
            await gather_async([pending, good, bad])
        assert not pending.cancelled()
        task = asyncio.create_task(gather_async([pending, good]))
        await steps()
        task.cancel()
        await steps()
        assert task.cancelled()
        assert pending.cancelled()

    run(main())


def test_callbacks_on_the_loop() -> None:
    var: contextvars.ContextVar[int] = contextvars.ContextVar("var", default=0)

    async def main() -> None:
        told: list[Any] = []

        def hear(f: Any) -> None:
            told.append((f.result(), var.get(), threading.current_thread()))

        context = contextvars.copy_context()
        context.run(var.set, 5)
        f: Future[int] = Future()
        f.add_done_callback(hear, context=context)
        f.add_done_callback(hear)
        worker = threading.Thread(target=f.set_result, args=(1,))
        worker.start()
        worker.join()
        assert told == [(1, 0, worker)]
        await steps()
        assert told[1:] == [(1, 5, threading.main_thread())]
        f.add_done_callback(hear, context=context)
        assert len(told) == 2  # never at once: the loop calls
        await steps()
        assert len(told) == 3
        f = Future()
        f.add_done_callback(hear, context=context)
        assert f.remove_done_callback(hear) == 1
        f.set_result(2)
        await steps()
        assert len(told) == 3

    run(main())


def test_two_loops_await_one_future() -> None:
    f: Future[int] = Future()
    ready = threading.Barrier(3)
    got: list[int] = []

    async def main() -> None:
        async def body() -> int:
            return await f

        tasks = [asyncio.create_task(body()) for _ in range(10)]
        await steps()
        await asyncio.to_thread(ready.wait)
        got.extend(await asyncio.gather(*tasks, f, f.as_asyncio()))

    threads = [threading.Thread(target=lambda: run(main())) for _ in range(2)]
    for each in threads:
        each.start()
    ready.wait(30)
    f.set_result(7)
    for each in threads:
        each.join()
    assert got == [7] * 24


def test_a_closed_loop_drops_what_comes() -> None:
    f: Future[int] = Future()

    async def main() -> None:
        f.as_asyncio()
        f.add_done_callback(print, context=contextvars.copy_context())
        coroutine = wait_for_it()
        coroutine.send(None)
        kept.append(coroutine)

    async def wait_for_it() -> int:
        return await f

    kept: list[Any] = []
    asyncio.run(main())
    f.set_result(1)
    assert f.result() == 1
    kept[0].close()


def test_abandoned_loops_are_collected() -> None:
    async def main() -> None:
        f: Future[int] = Future()
        f.as_asyncio()
        f.add_done_callback(print, context=contextvars.copy_context())
        f.me = f  # type: ignore[attr-defined]
        refs.append(weakref.ref(f))

    refs: list[Any] = []
    asyncio.run(main())
    gc.collect()
    assert refs[0]() is None


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_loop_that_nobody_runs_any_more_is_collected() -> None:
    """Though it is open, and the outcome of what its task awaits has come."""
    loop = asyncio.new_event_loop()
    gate = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        f = pool.submit(gate.wait, 30)

        async def main() -> None:
            here = asyncio.get_running_loop()
            here.call_soon(here.stop)
            await f

        task = loop.create_task(main())
        loop.run_forever()
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        gate.set()
    assert f.done()
    ref = weakref.ref(task)
    del task, loop, main
    gc.collect()
    gc.collect()  # a loop that closes in its finaliser leaves handles to the next round
    assert ref() is None


class Unwatching(asyncio.SelectorEventLoop):
    """A loop that watches no descriptors but its own."""

    asked = 0

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:
        self.asked += 1
        raise NotImplementedError


def test_a_loop_without_add_reader() -> None:
    async def main() -> None:
        with ThreadPoolExecutor(1) as pool:
            for i in range(100):
                assert await pool.submit(abs, -i) == i

    loop = Unwatching()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert loop.asked >= (0 if FREE_THREADED else 1)


def test_descriptors_are_closed() -> None:
    async def main() -> None:
        with ThreadPoolExecutor(1) as pool:
            assert await pool.submit(time.sleep, 0.001) is None

    asyncio.run(main())
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        asyncio.run(main())
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_many_wakes_cost_one_message() -> None:
    """Of 10,000 outcomes under load; a message is what ends the loop's wait in its selector."""

    class Counting(selectors.DefaultSelector):
        messages = 0

        def select(self, timeout: float | None = None) -> Any:
            ready = super().select(timeout)
            self.messages += bool(ready)
            return ready

    async def main() -> None:
        with ThreadPoolExecutor(2) as pool:
            await pool.submit(int)
            selector.messages = 0
            for _ in range(10):
                await gather_async(pool.submit(int) for _ in range(500))
                links = [pool.submit(int).as_asyncio() for _ in range(500)]
                await asyncio.gather(*links)

    selector = Counting()
    loop = asyncio.SelectorEventLoop(selector)
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert 0 < selector.messages <= 10_000 * 20 / 1000
