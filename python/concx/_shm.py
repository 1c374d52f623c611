"""Segments and blocks of shared memory that cross to a child while it is being started."""

from __future__ import annotations

import os
import threading
from multiprocessing import context, reduction
from typing import Any
from weakref import WeakValueDictionary

from concx import _core

__all__ = [
    "DATA",
    "RING",
    "SYNC",
    "Block",
    "Segment",
    "Unreachable",
    "attach",
    "block",
    "dumps",
    "known",
    "on_its_way",
    "passing",
    "ring",
    "slot",
    "unique",
]

SYNC, RING, DATA = 1, 2, 3
"""What a segment holds: locks and the like, a queue's messages, or data."""

SYNC_BYTES = 4 << 20
OWN_BYTES = 1 << 16  # a block as large as this gets a segment of its own


passing = threading.local()
"""`segments`: while something is pickled whose segments are passed on apart, a dict of them by id."""


def dumps(obj: Any) -> memoryview:
    """What `multiprocessing` would send for the object."""
    return reduction.ForkingPickler.dumps(obj)


class Segment(_core.Segment):
    """A segment that is passed on by its descriptor, once for each child."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        context.assert_spawning(self)
        event = None if self.event < 0 else reduction.DupFd(self.event)
        return _attach_segment, (reduction.DupFd(self.fileno()), self.kind, event)


def _attach_segment(fd: Any, kind: int, event: Any) -> Segment:
    return Segment.attach(fd.detach(), kind, -1 if event is None else event.detach())


class Block(_core.Block):
    """A block that is passed on as a place in its segment."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        context.assert_spawning(self)
        self.expose()
        return Block.attach, self.place()


_current: Segment | None = None


def slot(size: int) -> Block:
    """A small zeroed block: all locks, events and conditions of a process share a segment.

    A segment that is full, or that was inherited by a fork, is followed by another; each goes with
    the last object in it.
    """
    global _current
    segment = _current
    if segment is not None and segment.mine:
        try:
            return Block(segment, size)
        except MemoryError:
            pass
    fresh = Segment(SYNC, SYNC_BYTES)
    found = Block(fresh, size)
    _current = fresh
    return found


def block(size: int, *, zero: bool = True) -> Block:
    """A block of any size; a large one has a segment of its own."""
    return Block(Segment(DATA, size + 64), size, zero) if size >= OWN_BYTES else slot(size)


def ring() -> Segment:
    """A segment for the messages of one queue."""
    return Segment(RING, 0)


# --- segments that are passed on while the process runs

_known: WeakValueDictionary[bytes, Segment] = WeakValueDictionary()
_known_lock = threading.Lock()


def unique(segment: Segment) -> Segment:
    """The one object of this process for a segment: mapped once."""
    with _known_lock:
        return _known.setdefault(segment.id, segment)


def known(identity: bytes) -> Segment | None:
    """A segment that this process has."""
    with _known_lock:
        return _known.get(identity)


def attach(identity: bytes, fd: int, kind: int) -> Segment:
    """The segment behind a descriptor that came from another process, which is closed if it is known."""
    segment = known(identity)
    if segment is not None:
        os.close(fd)
        return segment
    try:
        return unique(Segment.attach(fd, kind))
    except BaseException:
        os.close(fd)
        raise


class Unreachable(LookupError):
    """What a message needs lies in a segment that this process has not got."""


class _Named:
    """A segment inside a message that was passed on apart."""

    def __init__(self, segment: Segment) -> None:
        self._identity = segment.id

    def __reduce__(self) -> Any:
        return _find, (self._identity,)


def _find(identity: bytes) -> Segment:
    segment = known(identity)
    if segment is None:
        raise Unreachable(f"the segment {identity.hex()} was not received")
    return segment


class _Sent:
    """A segment inside a message; its descriptor is fetched from the process that sent it."""

    def __init__(self, segment: Segment) -> None:
        self._state = segment.id, segment.kind, reduction.DupFd(segment.fileno())

    def __reduce__(self) -> Any:
        return _fetch, self._state


def _fetch(identity: bytes, kind: int, descriptor: Any) -> Segment:
    return attach(identity, descriptor.detach(), kind)


def on_its_way(segment: Segment) -> Any:
    """What stands for a segment in the pickle that is being made."""
    if context.get_spawning_popen() is not None:
        return segment
    segments = getattr(passing, "segments", None)
    if segments is None:
        return _Sent(segment)
    segments[segment.id] = segment
    return _Named(segment)
