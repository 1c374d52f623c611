"""janus: one queue with a synchronous and an asynchronous face, bound to one event loop."""

from __future__ import annotations

from typing import Any

from contenders import Contender


def janus_queue() -> Contender:
    import janus

    async def close(queue: Any) -> None:
        await queue.aclose()

    return Contender(
        "janus",
        "janus",
        janus.Queue,
        sync=lambda queue: queue.sync_q,
        aio=lambda queue: queue.async_q,
        close=close,
    )
