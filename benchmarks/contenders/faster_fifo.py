"""faster-fifo: a byte ring in shared memory under one lock, of fixed size."""

from __future__ import annotations

from typing import Any

from contenders import Contender


def make(_: int) -> Any:
    from faster_fifo import Queue

    return Queue(max_size_bytes=1 << 20)


def queue() -> Contender:
    import faster_fifo  # noqa: F401

    return Contender("faster_fifo", "faster-fifo", make)
