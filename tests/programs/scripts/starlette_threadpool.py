"""Starlette: endpoints in threads, on a loop whose default executor is our pool, called at once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from concx.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor(4)
after: list[int] = []


def in_a_thread(request: Request) -> JSONResponse:
    time.sleep(0.001)  # what such an endpoint does: it blocks
    number = int(request.path_params["number"])
    return JSONResponse({"twice": number * 2}, background=BackgroundTask(after.append, number))


async def in_the_pool(request: Request) -> JSONResponse:
    number = int(request.path_params["number"])
    doubled = await pool.submit(lambda: number * 2)
    same = await asyncio.get_running_loop().run_in_executor(None, lambda: number * 2)
    also = await run_in_threadpool(lambda: number * 2)
    assert doubled == same == also
    return JSONResponse({"twice": doubled})


app = Starlette(
    routes=[Route("/thread/{number}", in_a_thread), Route("/pool/{number}", in_the_pool)]
)


async def main() -> None:
    asyncio.get_running_loop().set_default_executor(pool)
    transport: Any = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        for kind in ("thread", "pool"):
            answers = await asyncio.gather(*[client.get(f"/{kind}/{i}") for i in range(60)])
            assert [answer.json()["twice"] for answer in answers] == [i * 2 for i in range(60)]
    assert sorted(after) == [*range(60)]


asyncio.run(main())
pool.shutdown()
print("ok")
