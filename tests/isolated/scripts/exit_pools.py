"""Ends the interpreter with pools in every state.

python exit_pools.py idle|queued|daemon|awaiting|late|cycles|dropped|native
"""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from concx.futures import Future, PriorityThreadPoolExecutor, ThreadPoolExecutor, as_completed
from queue_tools import wait_until

keep: list[Any] = []


def idle() -> None:
    """Threads that wait for tasks: the exit ends them."""
    for pool in (ThreadPoolExecutor(3), PriorityThreadPoolExecutor(2), ThreadPoolExecutor(1)):
        pool.submit(int).result()
        keep.append(pool)


def queued() -> None:
    """What was submitted runs before the end, also what a task submits meanwhile."""
    pool = ThreadPoolExecutor(2)
    done: list[int] = []

    def parent(number: int) -> None:
        time.sleep(0.002)  # not to synchronise: the exit is to find most of them still to come
        try:
            pool.submit(done.append, number)
        except RuntimeError:  # the exit has begun
            done.append(number)

    pool.submit_many(parent, range(50))

    def check() -> None:
        assert sorted(done) == [*range(50)], done
        print("checked")

    atexit.register(check)  # after the threads have been joined
    keep.append(pool)


def daemon() -> None:
    """Threads that nobody waits for: one that sleeps for ever, one that is busy."""
    pool = ThreadPoolExecutor(3, daemon=True)
    entered = threading.Barrier(3)

    def busy() -> None:
        entered.wait()
        while True:
            pass

    pool.submit(busy)
    pool.submit(lambda: (entered.wait(), threading.Event().wait()))
    pool.submit_many(time.sleep, [1000] * 5)
    entered.wait()


def awaiting() -> None:
    """Loops that are never closed, with tasks that await: one outcome is there, one never comes."""
    pool = ThreadPoolExecutor(2, daemon=True)
    loop = asyncio.new_event_loop()
    gate = threading.Event()

    async def one(f: Any) -> None:
        await f

    futures = [pool.submit(gate.wait), pool.submit(threading.Event().wait), Future()]
    tasks = [loop.create_task(one(f)) for f in futures]
    links = [loop.run_until_complete(linked(f)) for f in futures]
    gate.set()
    futures[0].result()
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    keep.extend([loop, tasks, links, pool])


async def linked(f: Future[Any]) -> Any:
    await asyncio.sleep(0)
    return f.as_asyncio()


def late() -> None:
    """A submit during the exit is refused, by the standard words."""
    pool = ThreadPoolExecutor(1)
    pool.submit(int).result()

    def check() -> None:
        for each in (pool, ThreadPoolExecutor(1)):
            try:
                each.submit(int)
                told = "it was accepted"
            except RuntimeError as error:
                told = str(error)
            assert "after interpreter shutdown" in told, told
        print("checked")

    atexit.register(check)


def cycles() -> None:
    """Objects that only the last collection finds."""
    pool = ThreadPoolExecutor(2)

    class Node:
        pass

    for number in range(100):
        node: Any = Node()
        node.future = pool.submit(lambda node=node: node)
        node.pool = pool
        node.own = Future()
        node.own.node = node
        node.own.add_done_callback(lambda _, node=node: None)
        node.iterator = as_completed([node.own, node.future])
        if number % 2:
            next(node.iterator)
            node.loop = asyncio.new_event_loop()
            node.coroutine = awaiting_one(node.own)
            node.loop.run_until_complete(started(node))
            node.loop.close()
    keep.append(pool)


async def awaiting_one(f: Any) -> None:
    await f


async def started(node: Any) -> None:
    node.link = node.own.as_asyncio()
    node.task = asyncio.ensure_future(node.coroutine)
    node.task._log_destroy_pending = False
    await asyncio.sleep(0)


def dropped() -> None:
    """A pool that nobody holds, with tasks; the threads run them and end."""
    done: list[int] = []
    for _ in range(3):
        ThreadPoolExecutor(2).submit_many(done.append, range(100))

    def check() -> None:
        assert len(done) == 300, len(done)
        print("checked")

    atexit.register(check)


def native() -> None:
    """A C function that sleeps in a daemon pool."""
    libc = ctypes.CDLL(None)
    function = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)(
        ("sleep", libc)
    )
    pool = ThreadPoolExecutor(1, daemon=True)
    f = pool.submit_native(function, begin=1000, end=1001)
    wait_until(f.running)
    keep.append(pool)


what = sys.argv[1]
{
    "idle": idle,
    "queued": queued,
    "daemon": daemon,
    "awaiting": awaiting,
    "late": late,
    "cycles": cycles,
    "dropped": dropped,
    "native": native,
}[what]()
print("end")
