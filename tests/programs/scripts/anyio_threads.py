"""anyio: its worker threads, and asyncio's with our pool as the loop's default executor."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time

import anyio
from anyio import from_thread, to_thread

from concx.futures import ThreadPoolExecutor

number = contextvars.ContextVar("number", default=0)


async def main() -> None:
    pool = ThreadPoolExecutor(4, thread_name_prefix="ours")
    asyncio.get_running_loop().set_default_executor(pool)

    names: set[str] = set()

    def work(value: int) -> int:
        names.add(threading.current_thread().name)
        return value * number.get()

    number.set(3)
    results: dict[int, int] = {}

    async def one(value: int) -> None:
        results[value] = await asyncio.to_thread(work, value)

    async with anyio.create_task_group() as group:
        for value in range(200):
            group.start_soon(one, value)
    assert results == {value: value * 3 for value in range(200)}
    assert all(name.startswith("ours") for name in names), names

    async def twice(value: int) -> int:
        await anyio.sleep(0)
        return value * 2

    # anyio's own worker threads, and from them back into the loop.
    assert await to_thread.run_sync(lambda: from_thread.run(twice, 21)) == 42

    # Our futures inside anyio's cancel scopes.
    slow = [pool.submit(time.sleep, 0.5) for _ in range(8)]
    with anyio.move_on_after(0.05) as scope:
        await slow[-1]
    assert scope.cancelled_caught
    assert slow[-1].cancelled()
    pool.shutdown(cancel_futures=True)


anyio.run(main)
print("ok")
