"""What crosses between a pool and its workers, as bytes.

The engine calls `dump` for what not every pickler writes alike, and moves what it returns.
"""

from __future__ import annotations

import io
from multiprocessing.reduction import ForkingPickler
from typing import Any

__all__ = ["PROTOCOL", "dump", "dump_with"]

PROTOCOL = 5


def dump(obj: Any) -> bytes:
    """What `multiprocessing` would send for the object, pickled with protocol 5.

    Not by ``ForkingPickler.dumps``, whose result is a view of a stream: without a GIL, the collector
    of 3.13 closes a stream before its view is gone if another thread has dropped that.
    """
    stream = io.BytesIO()
    ForkingPickler(stream, PROTOCOL).dump(obj)
    return stream.getvalue()  # not a copy


def dump_with(pickler: str, obj: Any) -> Any:
    """The same by a pickler that a pool was made with: the name of a module that has ``dumps``."""
    module = __import__(pickler, fromlist=["dumps"])
    return module.dumps(obj)
