"""Queues between processes awaited by tasks: nobody polls, and nothing is lost when a wait ends early."""

from __future__ import annotations

import asyncio
import gc
import os
import queue
import signal
import time
from typing import Any

import pytest

import concx.multiprocessing as mp
import mp_tools as tools
from concx.queue import ShutDown
from mp_tools import METHODS, running, start
from queue_tools import LIMIT, Worker, in_child, run_async, wait_until

QUEUES = [mp.Queue, mp.JoinableQueue, mp.SimpleQueue]


def waiting(q: Any, n: int) -> None:
    wait_until(lambda: q.stats().waiting_tasks == n, f"{n} waiting tasks")


async def come_to_rest(q: Any, n: int) -> None:
    while q.stats().waiting_tasks != n:
        await asyncio.sleep(0)


@pytest.mark.parametrize("cls", QUEUES)
def test_smoke(cls: Any) -> None:
    q = cls()

    async def main() -> None:
        await q.put_async("a")
        assert await q.put_many_async(range(3)) == 3
        await q.put_bytes_async(bytearray(b"raw"))
        assert await q.get_async() == "a"
        assert await q.get_many_async(2) == [0, 1]
        assert await q.get_async() == 2
        assert await q.get_bytes_async() == b"raw"
        assert await q.get_many_async(0) == []
        with pytest.raises(queue.Empty):
            await q.get_async(False)
        with pytest.raises(queue.Empty):
            await q.get_many_async(1, block=False)
        with pytest.raises(queue.Empty):
            await q.get_async(timeout=-1)
        with pytest.raises(TypeError, match="'timeout'"):
            q.get_async(timeout="soon")

    run_async(main(), debug=True)


def test_a_wait_ends_when_the_time_is_up() -> None:
    q: Any = mp.Queue(1)

    async def main() -> None:
        for wait in (q.get_async(timeout=0.01), q.get_many_async(1, timeout=0.01)):
            with pytest.raises(queue.Empty):
                await wait
        await q.put_async(1)
        with pytest.raises(queue.Full):
            await q.put_async(2, timeout=0.01)
        with pytest.raises(queue.Full):
            await q.put_async(2, False)
        assert await q.put_many_async([2, 3], timeout=0.01) == 0
        assert await q.put_many_async([2, 3], False) == 0
        assert await q.get_async() == 1

    run_async(main())
    assert q.stats().waiting_tasks == 0


@pytest.mark.parametrize("method", METHODS)
def test_between_processes(method: str) -> None:
    """A child echoes what this loop puts; both queues are so short that everybody waits."""
    there: Any = mp.Queue(2)
    back: Any = mp.Queue(2)

    async def main() -> None:
        async def put() -> None:
            for i in range(200):
                await there.put_async(i)
            assert await there.put_many_async(range(200, 300)) == 100

        putting = asyncio.create_task(put())
        got = [await back.get_async() for _ in range(150)]
        while len(got) < 300:
            got += await back.get_many_async(7)
        await putting
        assert got == list(range(300))

    with running(method, tools.echo, there, back, 300):
        run_async(main())


def test_pickling_errors_are_raised_where_it_is_awaited() -> None:
    class Unpicklable:
        def __reduce__(self) -> Any:
            raise ZeroDivisionError

    q: Any = mp.Queue()

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await q.put_async(Unpicklable())
        with pytest.raises(ZeroDivisionError):
            await q.put_many_async([1, Unpicklable()])
        assert q.qsize() == 0

    run_async(main())


def test_what_is_put_is_what_it_was_when_the_wait_began() -> None:
    q: Any = mp.Queue(1)
    item = [1]

    async def main() -> None:
        await q.put_async(0)
        putting = asyncio.create_task(q.put_async(item))
        await come_to_rest(q, 1)
        item.append(2)
        assert await q.get_async() == 0
        await putting
        assert await q.get_async() == [1]

    run_async(main())


@pytest.mark.parametrize("how", ["before", "granted"])
def test_a_cancelled_getter_takes_nothing(how: str) -> None:
    q: Any = mp.Queue()

    async def main() -> None:
        tasks = [asyncio.create_task(q.get_async()) for _ in range(3)]
        await come_to_rest(q, 3)
        if how == "granted":
            q.put("x")
            while q.stats().waiting_tasks == 3:  # until the first one was told to look
                await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[1].cancel()
        if how == "before":
            q.put("x")
        assert await tasks[2] == "x"
        results = await asyncio.gather(*tasks[:2], return_exceptions=True)
        assert all(isinstance(error, asyncio.CancelledError) for error in results)

    run_async(main())
    assert q.qsize() == 0


def test_a_cancelled_putter_puts_nothing() -> None:
    q: Any = mp.Queue(1)

    async def main() -> None:
        await q.put_async(0)
        tasks = [asyncio.create_task(q.put_async(i)) for i in (1, 2, 3)]
        await come_to_rest(q, 3)
        assert q.get() == 0
        while q.stats().waiting_tasks == 3:
            await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[2].cancel()
        assert await q.get_async() == 2
        await asyncio.wait(tasks)

    run_async(main())
    assert q.qsize() == 0


def test_cancellation_storm() -> None:
    """Getters of two loops are cancelled at random moments; every message arrives once, in order of each getter."""
    q: Any = mp.Queue(5)
    n = 600
    got: list[list[int]] = [[], []]

    async def main(mine: list[int]) -> None:
        async def get() -> None:
            mine.append(await q.get_async())

        step = 0
        while len(got[0]) + len(got[1]) < n:
            tasks = [asyncio.create_task(get()) for _ in range(3)]
            for task in tasks[: 1 + step % 3]:
                for _ in range(step % 5):
                    await asyncio.sleep(0)
                task.cancel()
            for task in tasks:
                if len(got[0]) + len(got[1]) + q.qsize() >= n:
                    task.cancel()
            await asyncio.wait(tasks, timeout=0.01)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            step += 1

    with running("fork", tools.put_all, q, list(range(n))):
        workers = [Worker(run_async, main(mine)) for mine in got]
        for worker in workers:
            worker.result()
    assert sorted(got[0] + got[1]) == list(range(n))


def test_two_loops_wait_for_one_queue() -> None:
    q: Any = mp.Queue()

    async def get(n: int) -> list[Any]:
        return [await q.get_async() for _ in range(n)]

    loops = [Worker(run_async, get(100)) for _ in range(2)]
    waiting(q, 2)
    with running("fork", tools.put_all, q, list(range(200))):
        got = [worker.result() for worker in loops]
    assert sorted(got[0] + got[1]) == list(range(200))


def test_threads_and_tasks_wait_for_one_queue() -> None:
    q: Any = mp.Queue(3)

    async def get(n: int) -> list[Any]:
        return [await q.get_async() for _ in range(n)]

    thread = Worker(lambda: [q.get() for _ in range(150)])
    loop = Worker(run_async, get(150))
    with running("fork", tools.put_all, q, list(range(300))):
        assert sorted(thread.result() + loop.result()) == list(range(300))


def test_a_loop_that_was_closed_waits_no_more() -> None:
    """Its tasks hold nothing back, nor the memory of the queue."""
    q: Any = mp.Queue()
    loop = asyncio.new_event_loop()
    tasks: list[Any] = []

    async def begin() -> None:
        tasks.append(asyncio.ensure_future(q.get_async()))
        await come_to_rest(q, 1)

    loop.run_until_complete(begin())
    loop.close()
    q.put(1)

    async def main() -> None:
        assert await q.get_async() == 1

    run_async(main())
    tasks.clear()
    gc.collect()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_waiting_queue_goes_with_its_loop() -> None:
    before = len(os.listdir("/proc/self/fd"))

    def once() -> None:
        async def main() -> None:
            q: Any = mp.Queue()
            with pytest.raises(queue.Empty):
                await q.get_async(timeout=0.001)

        run_async(main())

    for _ in range(5):
        once()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_waiting_task_is_not_collected() -> None:
    """Nobody here but its loop knows of it; who will wake it is another process."""
    there: Any = mp.Queue()

    async def main() -> None:
        done = asyncio.get_running_loop().create_future()

        async def wait() -> None:
            mine: Any = mp.Queue()
            child = start("fork", tools.put_all, mine, ["x"])
            done.set_result(await mine.get_async())
            child.join(LIMIT)

        asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(wait()) and None)
        for _ in range(20):
            await asyncio.sleep(0)
            gc.collect()
        assert await done == "x"

    run_async(main())
    assert there.empty()


def test_fork_while_tasks_wait() -> None:
    """The child has none of its parent's waiters, and a loop of its own works; so does the parent's."""
    q: Any = mp.Queue()

    async def get() -> Any:
        return await q.get_async()

    def body() -> None:
        assert q.stats().waiting_tasks == 0

        async def put_and_get() -> None:
            mine: Any = mp.Queue()
            task = asyncio.create_task(mine.get_async())
            await come_to_rest(mine, 1)
            await mine.put_async("mine")
            assert await task == "mine"

        run_async(put_and_get())
        q.put("from the child")

    worker = Worker(run_async, get())
    waiting(q, 1)
    in_child(body)
    assert worker.result() == "from the child"


def test_shutdown_wakes_tasks() -> None:
    q: Any = mp.Queue(1)

    async def main() -> None:
        getting = asyncio.create_task(q.get_async())
        await come_to_rest(q, 1)
        child = start("fork", tools.shut_down, q, False)
        with pytest.raises(ShutDown):
            await getting
        child.join(LIMIT)
        with pytest.raises(ShutDown):
            await q.put_async(1)

    run_async(main())


def test_join_async() -> None:
    q: Any = mp.JoinableQueue()

    async def main() -> None:
        assert await q.join_async() is True
        await q.put_many_async(range(10))
        assert await q.join_async(timeout=0.01) is False
        joining = asyncio.create_task(q.join_async())
        await come_to_rest(q, 1)
        child = start("fork", tools.finish, q, 10)
        assert await joining is True
        child.join(LIMIT)

    run_async(main())


def test_a_peer_that_stands_still_inside_does_not_stop_the_loop() -> None:
    """A consumer that was stopped, wherever it was: the loop goes on, and gets its message afterwards."""
    q: Any = mp.Queue()
    child = start("fork", tools.get_forever, q)
    try:
        for _ in range(10):
            for i in range(20):
                q.put(i)
            os.kill(child.pid or 0, signal.SIGSTOP)

            async def main() -> None:
                turns = 0

                async def count() -> None:
                    nonlocal turns
                    while True:
                        await asyncio.sleep(0)
                        turns += 1

                counting = asyncio.create_task(count())
                getting = asyncio.create_task(q.get_async())
                await asyncio.wait([getting], timeout=0.01)
                counting.cancel()
                getting.cancel()
                await asyncio.wait([getting, counting])
                assert turns > 0

            run_async(main())
            os.kill(child.pid or 0, signal.SIGCONT)
    finally:
        child.kill()
        child.join(LIMIT)


def test_a_killed_putter_leaves_no_task_asleep() -> None:
    """Killed between a put and the signal, or anywhere: the messages that are there arrive."""
    for _ in range(10):
        q: Any = mp.Queue()
        child = start("fork", tools.put_forever, q, 0)

        async def main(q: Any = q, child: Any = child) -> None:
            for i in range(200):
                number, k, _ = await q.get_async()
                assert (number, k) == (0, i)
            child.kill()
            tools.killed(child)
            left = q.qsize()
            rest = [await q.get_async(timeout=LIMIT) for _ in range(left)]
            assert [k for _, k, _ in rest] == list(range(200, 200 + left))
            began = time.monotonic()
            with pytest.raises(queue.Empty):
                await q.get_async(timeout=0.05)
            assert time.monotonic() - began < LIMIT

        run_async(main())


def test_a_put_that_nobody_signalled_is_found() -> None:
    """What a producer does that dies right after its message was published, before it could tell anyone."""
    q: Any = mp.Queue()

    async def main() -> None:
        getting = asyncio.create_task(q.get_async())
        await come_to_rest(q, 1)
        mute = q._segment().__class__.attach(os.dup(q._segment().fileno()), 2)
        other: Any = mp._core.MpQueueBase(mute)  # the same ring without its event
        other.put("found")
        assert await getting == "found"

    run_async(main())


def test_an_idle_loop_is_woken_only_now_and_then() -> None:
    q: Any = mp.Queue()

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        selects = 0
        select = loop._selector.select

        def counted(timeout: Any = None) -> Any:
            nonlocal selects
            selects += 1
            return select(timeout)

        loop._selector.select = counted
        with pytest.raises(queue.Empty):
            await q.get_async(timeout=0.35)
        assert selects < 12

    run_async(main())


def test_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop", reason="needs uvloop, which is not installed")
    q: Any = mp.Queue(2)

    async def main() -> None:
        getting = asyncio.create_task(q.get_many_async(3))
        await come_to_rest(q, 1)
        child = start("fork", tools.put_all, q, [1])
        assert await getting == [1]
        child.join(LIMIT)

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(asyncio.wait_for(main(), LIMIT))
    finally:
        loop.close()
