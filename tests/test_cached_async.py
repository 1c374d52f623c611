"""cached over coroutine functions."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import warnings
from collections.abc import Coroutine
from typing import Any

import pytest

from cache_tools import Clock
from concx.cache import cached
from flight_tools import Source, alike, until_async
from queue_tools import LIMIT, Worker, wait_until


def sourced(**options: Any) -> tuple[Any, Source]:
    source = Source()

    @cached(**options)
    async def fn(*args: Any) -> Any:
        await asyncio.sleep(0)
        return source(*args)

    return fn, source


def test_is_a_coroutine_function() -> None:
    fn, _ = sourced()
    assert inspect.iscoroutinefunction(fn)
    if hasattr(asyncio.coroutines, "_is_coroutine"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # since 3.14
            assert asyncio.iscoroutinefunction(fn)

    class Callable:
        async def __call__(self, x: int) -> int:
            return x

        @cached()
        async def method(self, x: int) -> int:
            return x

    assert inspect.iscoroutinefunction(cached()(Callable()))
    assert inspect.iscoroutinefunction(Callable.method)
    assert inspect.iscoroutinefunction(Callable().method)
    assert not inspect.iscoroutinefunction(cached()(lambda: 1))


def test_hit_is_a_coroutine_that_has_ended() -> None:
    fn, source = sourced()

    async def main() -> None:
        assert await fn(1) == 0
        hit = fn(1)
        assert isinstance(hit, Coroutine)
        assert asyncio.iscoroutine(hit)
        assert await hit == 0
        with pytest.raises(RuntimeError, match="cannot reuse"):
            await hit
        assert await asyncio.create_task(fn(1)) == 0
        assert await asyncio.gather(fn(1), fn(1)) == [0, 0]
        assert await asyncio.wait_for(fn(1), 1) == 0
        async with asyncio.TaskGroup() as group:
            task = group.create_task(fn(1))
        assert task.result() == 0
        task = asyncio.create_task(fn(1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert asyncio.run(fn(1)) == 0, "in another loop"
    assert source.calls == 1
    # as generators have it
    with pytest.raises(StopIteration) as stop:
        fn(1).send(None)
    assert stop.value.value == 0
    fn.cache_put((1, 2), 2)
    with pytest.raises(StopIteration) as stop:
        next(iter(fn(2).__await__()))
    assert stop.value.value == (1, 2)
    with pytest.raises(TypeError, match="non-None"):
        fn(1).send(3)
    with pytest.raises(ZeroDivisionError):
        fn(1).throw(ZeroDivisionError)
    with pytest.raises(LookupError, match="x"):
        fn(1).throw(LookupError("x"))
    with pytest.raises(TypeError, match="must be classes or instances"):
        fn(1).throw(3)
    closed = fn(1)
    closed.close()
    with pytest.raises(RuntimeError, match="cannot reuse"):
        closed.send(None)


def test_hit_suspends_nobody() -> None:
    fn, _ = sourced()

    async def main() -> None:
        await fn(1)
        ticks = []
        asyncio.get_running_loop().call_soon(ticks.append, 1)
        for _ in range(100):
            await fn(1)
        assert ticks == []

    asyncio.run(main())


def test_ten_thousand_tasks_share_one_call() -> None:
    fn, source = sourced()

    async def main() -> None:
        assert set(await asyncio.gather(*(fn(1) for _ in range(10_000)))) == {0}

    asyncio.run(main())
    assert source.calls == 1


def test_two_loops_in_two_threads() -> None:
    go, calls = threading.Event(), []

    @cached()
    async def fn(x: int) -> int:
        calls.append(x)
        await until_async(go.is_set)
        return x

    async def main() -> list[int]:
        return await asyncio.gather(*(fn(1) for _ in range(10)))

    loops = [Worker(asyncio.run, main()) for _ in range(2)]
    wait_until(lambda: fn.cache._flights.stats().joined == 19)
    go.set()
    for loop in loops:
        assert loop.result() == [1] * 10
    assert calls == [1]


def test_errors_reach_who_waits_and_are_not_kept() -> None:
    fn, source = sourced()

    async def main() -> None:
        source.value = LookupError("gone")
        results = await asyncio.gather(*(fn(1) for _ in range(5)), return_exceptions=True)
        assert all(alike(result, source.value) for result in results)
        assert len(results) == 5
        assert source.calls == 1
        source.value = 1
        assert await fn(1) == 1

    asyncio.run(main())


@pytest.mark.parametrize("step", range(6))
def test_leader_cancelled_at_every_step(step: int) -> None:
    calls = []

    @cached()
    async def fn(x: int) -> int:
        calls.append(x)
        for _ in range(3):
            await asyncio.sleep(0)
        return x

    async def main() -> None:
        tasks = [asyncio.create_task(fn(1)) for _ in range(4)]
        for _ in range(step):
            await asyncio.sleep(0)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[1:] == [1, 1, 1]
        assert await fn(1) == 1

    asyncio.run(main())
    assert 1 <= len(calls) <= 2


def test_loop_closed_with_waiters() -> None:
    @cached()
    async def fn(x: int) -> int:
        await asyncio.get_running_loop().create_future()
        return x

    def abandon() -> None:
        loop = asyncio.new_event_loop()
        tasks = [loop.create_task(fn(1)) for _ in range(3)]
        for _ in range(5):
            loop.call_soon(loop.stop)
            loop.run_forever()
        for task in tasks:
            task._log_destroy_pending = False
        loop.close()

    abandon()
    gc.collect()
    wait_until(lambda: (gc.collect(), fn.cache._flights.stats().running == 0)[1])


def test_recursion_and_child_tasks() -> None:
    @cached()
    async def fn(x: int, deep: int = 1) -> int:
        if deep:
            same = (
                await asyncio.create_task(fn(x, deep))
                if len(seen) < 1 and not seen.append(1)
                else 0
            )
            return same + 1
        return 0

    seen: list[int] = []
    assert asyncio.run(fn(1)) == 2


def test_methods() -> None:
    class Own:
        @cached(per_instance=True)
        async def own(self, x: int) -> tuple[Any, int]:
            return self, x

        @cached()
        @classmethod
        async def of_class(cls, x: int) -> tuple[Any, int]:
            return cls, x

    async def main() -> None:
        a = Own()
        assert await a.own(1) == await a.own(1) == (a, 1)
        assert a.own.cache_info() == (1, 1, 128, 1)
        assert await a.own.cache_refresh(1) == (a, 1)
        assert await a.of_class(1) == await Own.of_class(1) == (Own, 1)

    asyncio.run(main())


def test_timeout() -> None:
    async def main() -> None:
        done = asyncio.Event()

        @cached(timeout=0.001)
        async def fn(x: int) -> int:
            await done.wait()
            return x

        leader = asyncio.create_task(fn(1))
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await fn(1)
        done.set()
        assert await leader == 1

    asyncio.run(main())


def test_refresh_stale_and_negative() -> None:
    clock = Clock()
    fn, source = sourced(
        ttl=100, refresh_after=10, stale_if_error=50, negative=KeyError, negative_ttl=5, timer=clock
    )

    async def main() -> None:
        assert await fn(1) == 0
        source.value = 1
        clock.now += 10
        assert await asyncio.gather(fn(1), fn(1)) == [0, 0]
        deadline = asyncio.get_running_loop().time() + LIMIT
        while await fn(1) != 1:
            assert asyncio.get_running_loop().time() < deadline
        assert source.calls == 2
        source.value = OSError("down")
        clock.now += 120
        assert await fn(1) == 1
        clock.now += 40
        with pytest.raises(OSError, match="down"):
            await fn(1)
        source.value = KeyError("gone")
        for _ in range(3):
            with pytest.raises(KeyError):
                await fn(2)
        assert source.calls == 5
        clock.now += 5
        source.value = 9
        assert await fn(2) == 9
        assert await fn.cache_refresh(2) == 9

    asyncio.run(main())


def test_options() -> None:
    calls = []

    @cached(copy=list, cache_if=bool, single_flight=False, ignore=["session"])
    async def fn(session: Any, x: int) -> list[int]:
        calls.append(x)
        return [x] if x else []

    async def main() -> None:
        assert await fn([], 1) == await fn({}, 1) == [1]
        assert await fn([], 1) is not await fn([], 1)
        assert await fn([], 0) == await fn([], 0) == []

    asyncio.run(main())
    assert calls == [1, 0, 0]


def test_coroutine_that_is_not_awaited_calls_nothing() -> None:
    fn, source = sourced()
    fn(1).close()
    assert source.calls == 0
    assert fn.cache._flights.stats().running == 0
