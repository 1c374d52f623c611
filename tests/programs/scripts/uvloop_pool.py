"""uvloop: the same futures awaited, gathered, wrapped, timed out and cancelled on its loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import CancelledError

import uvloop

from concx.futures import ThreadPoolExecutor, gather_async

name = contextvars.ContextVar("name", default="")


async def main() -> None:
    loop = asyncio.get_running_loop()
    assert type(loop).__module__.startswith("uvloop")
    with ThreadPoolExecutor(2) as pool:
        loop.set_default_executor(pool)
        assert await pool.submit(pow, 2, 5) == 32
        assert await gather_async([pool.submit(abs, -i) for i in range(1000)]) == [*range(1000)]
        assert await asyncio.gather(*[pool.submit(abs, -i) for i in range(100)]) == [*range(100)]
        links = [pool.submit(abs, -i).as_asyncio() for i in range(1000)]
        assert await asyncio.gather(*links) == [*range(1000)]
        assert await loop.run_in_executor(None, abs, -7) == 7
        assert await asyncio.to_thread(abs, -8) == 8
        assert await asyncio.wrap_future(pool.submit(abs, -9)) == 9
        done, waiting = await asyncio.wait([asyncio.ensure_future(pool.submit(abs, -1))])
        assert (len(done), len(waiting)) == (1, 0)
        assert [await f for f in asyncio.as_completed([pool.submit(abs, -1)])] == [1]

        gate = threading.Event()
        held = [pool.submit(gate.wait, 30) for _ in range(2)]
        queued = pool.submit(abs, -1)
        try:
            await asyncio.wait_for(queued, 0.01)
        except TimeoutError:
            pass
        else:
            raise AssertionError("no TimeoutError")
        assert queued.cancelled()
        shielded = pool.submit(abs, -2)
        task = asyncio.ensure_future(asyncio.shield(shielded))
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        assert not shielded.cancelled()
        told: asyncio.Future[str] = loop.create_future()
        name.set("mine")
        held[0].add_done_callback(
            lambda _: told.set_result(name.get()), context=contextvars.copy_context()
        )
        gate.set()
        assert await told == "mine"
        assert await shielded == 2
        try:
            queued.result()
        except CancelledError:
            pass
        else:
            raise AssertionError("no CancelledError")


for debug in (False, True):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop, debug=debug) as runner:
        runner.run(main())
print("ok")
