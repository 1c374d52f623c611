"""culsans: janus' interface for any number of loops, in Python on aiologic."""

from __future__ import annotations

from contenders import Contender


def culsans_queue() -> Contender:
    import culsans

    return Contender(
        "culsans",
        "culsans",
        culsans.Queue,
        sync=lambda queue: queue.sync_q,
        aio=lambda queue: queue.async_q,
    )
