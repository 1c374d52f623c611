"""What crosses between a pool and its workers, as bytes.

The engine calls `dump` for what not every pickler writes alike, and moves what it returns.
"""

from __future__ import annotations

import io
from multiprocessing.reduction import ForkingPickler
from typing import Any

__all__ = ["dump"]


def dump(obj: Any) -> bytes:
    """What `multiprocessing` would send for the object, pickled with protocol 5.

    Not by ``ForkingPickler.dumps``, whose result is a view of a stream: without a GIL, the collector
    of 3.13 closes a stream before its view is gone if another thread has dropped that.
    """
    stream = io.BytesIO()
    ForkingPickler(stream, 5).dump(obj)
    return stream.getvalue()  # not a copy
