"""As leaks.py, for futures and pools.

python leaks_futures.py OPERATIONS
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from leaks import TOKEN, fails, report

from concx.futures import (
    CancelledError,
    Future,
    InvalidStateError,
    PriorityThreadPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
    gather_async,
    wait,
)


def futures(rounds: int) -> None:
    for _ in range(rounds // 40 + 1):
        f: Future[Any] = Future()
        f.add_done_callback(lambda f: None)
        fails(TimeoutError, lambda f=f: f.result(1e-6))
        fails(TypeError, lambda f=f: f.result("x"))
        f.set_result(TOKEN)
        assert f.result() is TOKEN
        fails(InvalidStateError, lambda f=f: f.set_result(1))
        repr(f)
        failing: Future[Any] = Future()
        failing.set_exception(ValueError(TOKEN))
        fails(ValueError, failing.result)
        dropped: Future[Any] = Future()
        dropped.add_done_callback(dropped.cancel)
        cancelled: Future[Any] = Future()
        cancelled.cancel()
        fails(CancelledError, cancelled.result)
        legacy: Future[Any] = Future()
        with legacy._condition:
            legacy._condition.notify_all()
        legacy.set_result(1)
        wait([f, failing])
        list(as_completed([f, legacy]))
        fails(TimeoutError, lambda: list(as_completed([Future()], timeout=1e-6)))


def tasks(pool: ThreadPoolExecutor, rounds: int) -> None:
    for _ in range(rounds // 40 + 1):
        assert pool.submit(lambda: TOKEN).result() is TOKEN
        fails(ZeroDivisionError, pool.submit(divmod, 1, 0).result)
        pool.submit(dict, a=TOKEN).result()
        wait(pool.submit_many(id, [TOKEN] * 10))
        list(pool.map(id, [TOKEN] * 10, buffersize=2))
        pool.submit(lambda: pool.submit(id, TOKEN).result()).result()
        pool.stats()


def pools(make: Callable[[], ThreadPoolExecutor], rounds: int) -> None:
    for _ in range(rounds // 200 + 1):
        with make() as pool:
            pool.submit_many(id, [TOKEN] * 5)
        pool = make()
        pool.submit_many(id, [TOKEN] * 5)
        pool.shutdown(cancel_futures=True)


def awaits(rounds: int) -> None:
    async def main(pool: ThreadPoolExecutor) -> None:
        for _ in range(rounds // 40 + 1):
            assert await pool.submit(lambda: TOKEN) is TOKEN
            await gather_async([pool.submit(id, TOKEN) for _ in range(5)])
            await asyncio.gather(*[pool.submit(id, TOKEN).as_asyncio() for _ in range(5)])
            f: Future[Any] = Future()
            link = f.as_asyncio()
            task = asyncio.ensure_future(f)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, link, return_exceptions=True)
            dropped: Future[Any] = Future()
            dropped.as_asyncio()
            try:
                await asyncio.wait_for(Future(), 1e-6)
            except TimeoutError:
                pass

    with ThreadPoolExecutor(2) as pool:
        asyncio.run(main(pool))


def main(operations: int) -> int:
    with ThreadPoolExecutor(2) as pool:
        cases: dict[str, Callable[[int], None]] = {
            "futures": futures,
            "tasks": partial(tasks, pool),
            "pools": partial(pools, lambda: ThreadPoolExecutor(2)),
            "priority pools": partial(pools, lambda: PriorityThreadPoolExecutor(2)),
            "awaits": awaits,
        }
        return report(cases, operations)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
