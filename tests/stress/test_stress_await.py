"""Awaits that end early: cancelled, closed or dropped at every step, and nothing is lost.

The coroutines are driven by hand, so that each test stands at a known step. A get passes through:
not started; waiting; granted, the loop not told yet; granted, the future done, the task not run.
"""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import concx.queue
from queue_tools import BOUNDED, CLASSES, Step, SteppedLoop, Worker, wait_waiting

pytestmark = pytest.mark.stress

STEPS = ["not started", "waiting", "granted", "told"]
ENDS = ["throw", "close", "drop"]


@pytest.fixture
def loop() -> Iterator[SteppedLoop]:
    made = SteppedLoop()
    asyncio._set_running_loop(made)
    try:
        yield made
    finally:
        asyncio._set_running_loop(None)
        made.close()


def advance(loop: SteppedLoop, times: int = 2) -> None:
    """Run iterations of the loop in the middle of a test that is the loop's running code."""
    asyncio._set_running_loop(None)
    loop.step(times)
    asyncio._set_running_loop(loop)


def end(how: str, step: Step) -> None:
    """End the coroutine, as a cancelled task, a `close` or the collector would."""
    if how == "throw":
        with pytest.raises(asyncio.CancelledError):
            step.throw(asyncio.CancelledError())
    elif how == "close":
        step.coroutine.close()
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # "never awaited", if it says so
            step.coroutine = None  # type: ignore[assignment]
            step.future = None
            gc.collect()


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("at", STEPS)
@pytest.mark.parametrize("name", CLASSES)
def test_a_get_that_ends_early(loop: SteppedLoop, name: str, at: str, how: str) -> None:
    q = getattr(concx.queue, name)()
    step = Step(q.get_async())
    if at != "not started":
        assert not step.send()
        assert q.stats().waiting_gets == 1
    if at in ("granted", "told"):
        q.put(1)
        assert q.qsize() == 0
    if at == "told":
        advance(loop)
        assert step.future is not None
        assert step.future.done()
    end(how, step)
    assert q.stats().waiting_gets == 0
    if at in ("not started", "waiting"):
        q.put(1)
    assert q.qsize() == 1
    q.put(2)
    assert q.get() == (2 if name == "LifoQueue" else 1)
    advance(loop)
    assert q.qsize() == 1
    assert q.stats().gets == 1


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("at", STEPS)
@pytest.mark.parametrize("name", BOUNDED)
def test_a_put_that_ends_early(loop: SteppedLoop, name: str, at: str, how: str) -> None:
    q = getattr(concx.queue, name)(1)
    q.put(1)
    step = Step(q.put_async(2))
    if at != "not started":
        assert not step.send()
        assert q.stats().waiting_puts == 1
    if at in ("granted", "told"):
        assert q.get() == 1
        with pytest.raises(concx.queue.Full):
            q.put_nowait(3)  # the slot is promised
    if at == "told":
        advance(loop)
    end(how, step)
    assert q.stats().waiting_puts == 0
    if at in ("not started", "waiting"):
        assert q.get() == 1
    assert q.empty()
    q.put_nowait(4)
    assert q.get_nowait() == 4
    assert q.unfinished_tasks == 2
    advance(loop)
    assert q.empty()


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("at", STEPS)
def test_a_join_that_ends_early(loop: SteppedLoop, at: str, how: str) -> None:
    q = concx.queue.Queue()
    q.put(1)
    step = Step(q.join_async())
    if at != "not started":
        assert not step.send()
    if at in ("granted", "told"):
        q.task_done()
    if at == "told":
        advance(loop)
    end(how, step)
    assert q.stats().waiting_joins == 0
    if at in ("not started", "waiting"):
        q.task_done()
    q.join()


@pytest.mark.parametrize("name", CLASSES)
def test_the_whole_way(loop: SteppedLoop, name: str) -> None:
    q = getattr(concx.queue, name)()
    step = Step(q.get_async())
    assert not step.send()
    q.put("x")
    advance(loop)
    assert step.send()
    assert step.value == "x"
    with pytest.raises(RuntimeError):
        step.coroutine.send(None)  # finished
    step.coroutine.close()
    assert q.empty()


def test_a_granted_get_that_is_ended_passes_its_item_on(loop: SteppedLoop) -> None:
    q = concx.queue.Queue()
    first, second = Step(q.get_async()), Step(q.get_async())
    first.send()
    second.send()
    q.put("x")
    end("throw", first)
    advance(loop)
    assert second.send()
    assert second.value == "x"


def test_a_granted_put_that_is_ended_passes_its_slot_on(loop: SteppedLoop) -> None:
    q = concx.queue.Queue(1)
    q.put(0)
    first, second = Step(q.put_async(1)), Step(q.put_async(2))
    first.send()
    second.send()
    assert q.get() == 0
    end("close", first)
    advance(loop)
    assert second.send()
    assert q.get() == 2


def test_a_granted_get_that_is_ended_wakes_a_thread(loop: SteppedLoop) -> None:
    q = concx.queue.Queue()
    first = Step(q.get_async())
    first.send()
    thread = Worker(q.get)
    wait_waiting(q, gets=2)
    q.put("x")
    end("close", first)
    assert thread.result() == "x"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)])
def test_what_is_given_back_keeps_its_order(loop: SteppedLoop, order: tuple[int, ...]) -> None:
    q = concx.queue.Queue()
    steps = [Step(q.get_async()) for _ in range(3)]
    for step in steps:
        step.send()
    for item in range(4):
        q.put(item)
    for index in order:
        end("close", steps[index])
    assert [q.get() for _ in range(4)] == [0, 1, 2, 3]


def test_a_returned_item_may_exceed_maxsize(loop: SteppedLoop) -> None:
    q = concx.queue.Queue(1)
    step = Step(q.get_async())
    step.send()
    q.put(1)
    q.put(2)
    end("close", step)
    assert q.qsize() == 2
    assert q.full()
    assert [q.get(), q.get()] == [1, 2]


def test_other_exceptions_than_cancelled(loop: SteppedLoop) -> None:
    for error in (ZeroDivisionError("x"), KeyboardInterrupt(), GeneratorExit(), SystemExit(3)):
        q = concx.queue.Queue()
        step = Step(q.get_async())
        step.send()
        q.put(1)
        with pytest.raises(type(error)):
            step.throw(error)
        assert q.get_nowait() == 1


def test_throw_into_what_has_not_started(loop: SteppedLoop) -> None:
    q = concx.queue.Queue()
    q.put(1)
    step = Step(q.get_async())
    with pytest.raises(ZeroDivisionError):
        step.throw(ZeroDivisionError())
    assert q.qsize() == 1
    step.coroutine.close()
    with pytest.raises(RuntimeError):
        step.send()


def test_close_twice_and_in_another_thread(loop: SteppedLoop) -> None:
    for granted in (False, True):
        q = concx.queue.Queue()
        step = Step(q.get_async())
        step.send()
        if granted:
            q.put(1)
        Worker(step.coroutine.close).result()
        step.coroutine.close()
        assert q.qsize() == granted
        assert q.stats().waiting_gets == 0


def test_dropped_in_another_thread(loop: SteppedLoop) -> None:
    for granted in (False, True):
        q = concx.queue.Queue()
        step = Step(q.get_async())
        step.send()
        if granted:
            q.put(1)
        box = [step]
        del step
        Worker(box.clear).result()
        gc.collect()
        assert q.qsize() == granted


def test_send_before_the_grant_waits_on(loop: SteppedLoop) -> None:
    """A task that is woken without a grant (somebody resolved its future) does not return a nothing."""
    q = concx.queue.Queue()
    step = Step(q.get_async())
    step.send()
    assert step.future is not None
    step.future.set_result(None)
    assert not step.send()
    q.put(1)
    assert q.empty()  # it was handed over to the one that waits on
    step.coroutine.close()
    assert q.get_nowait() == 1


def test_a_second_await_is_no_second_wait(loop: SteppedLoop) -> None:
    q = concx.queue.Queue()
    step = Step(q.get_async())
    step.send()
    with pytest.raises(RuntimeError, match="coroutine is being awaited already"):
        step.coroutine.__await__().send(None)
    assert q.stats().waiting_gets == 1
    step.coroutine.close()
    q.put(1)
    assert q.qsize() == 1


# -- the same through real tasks --------------------------------------------------------------------


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("name", CLASSES)
def test_cancel_a_task_after_so_many_iterations(name: str, steps: int) -> None:
    loop = SteppedLoop()
    q = getattr(concx.queue, name)()
    task = loop.create_task(q.get_async())
    if steps >= 2:
        loop.step()
        q.put(1)
        loop.step(steps - 2)
    else:
        loop.step(steps)
    if task.done():
        assert task.result() == 1
        q.put(1)
    else:
        task.cancel()
        loop.settle()
        assert task.cancelled()
        if steps < 2:
            q.put(1)
    loop.settle()
    assert q.qsize() == 1
    assert q.get_nowait() == 1
    loop.close()


@pytest.mark.parametrize("iterations", range(4))
def test_cancel_and_grant_in_one_iteration(iterations: int) -> None:
    """Both orders: put then cancel, cancel then put; the port has or has not drained."""
    for cancel_first in (False, True):
        loop = SteppedLoop()
        q = concx.queue.Queue()
        task = loop.create_task(q.get_async())
        loop.step(2)

        def act(q: Any = q, task: Any = task, cancel_first: bool = cancel_first) -> None:
            if cancel_first:
                task.cancel()
                q.put(1)
            else:
                q.put(1)
                task.cancel()

        loop.call_soon(act)
        loop.step(1 + iterations)
        loop.settle()
        assert task.cancelled()
        assert q.get_nowait() == 1
        assert q.empty()
        loop.close()


def test_uncancelled_wait_for(loop: SteppedLoop) -> None:
    """wait_for, shield, gather and timeout take the awaitables."""
    asyncio._set_running_loop(None)

    async def main() -> None:
        q = concx.queue.Queue()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(q.get_async(), 0.001)
        q.put(1)
        assert await asyncio.wait_for(q.get_async(), 10) == 1
        gathered = asyncio.gather(q.get_async(), q.get_async())
        await asyncio.sleep(0)
        q.put_many([1, 2])
        assert await gathered == [1, 2]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await q.get_async()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(q.get_async())
            q.put(3)
        assert task.result() == 3
        shielded = asyncio.shield(q.get_async())
        await asyncio.sleep(0)
        shielded.cancel()
        await asyncio.sleep(0)
        q.put(4)
        await asyncio.sleep(0)
        assert q.empty()  # the inner task lives on and has it

    try:
        asyncio.run(main())
    finally:
        asyncio._set_running_loop(loop)
