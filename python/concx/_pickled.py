"""What crosses between a pool and its workers, as bytes.

The engine calls `dump` for what not every pickler writes alike, and moves what it returns.
"""

from __future__ import annotations

from multiprocessing.reduction import ForkingPickler
from typing import Any

__all__ = ["dump"]


def dump(obj: Any) -> memoryview:
    """What `multiprocessing` would send for the object, pickled with protocol 5."""
    return ForkingPickler.dumps(obj, 5)
