"""What crosses between a pool and its workers, as bytes.

The engine calls `dump` for what not every pickler writes alike, and moves what it returns.
"""

from __future__ import annotations

from multiprocessing.reduction import ForkingPickler
from typing import Any

__all__ = ["PROTOCOL", "dump", "dump_with"]

PROTOCOL = 5


def dump(obj: Any) -> memoryview:
    """What `multiprocessing` would send for the object, pickled with protocol 5."""
    return ForkingPickler.dumps(obj, PROTOCOL)


def dump_with(pickler: str, obj: Any) -> Any:
    """The same by a pickler that a pool was made with: the name of a module that has ``dumps``."""
    module = __import__(pickler, fromlist=["dumps"])
    return module.dumps(obj)
