"""Objects on their way to another process: a few bytes, and large buffers that stay where they are.

An object is pickled with protocol 5. What its pickle would copy (NumPy's data, `PickleBuffer`, Arrow's data,
`bytes`, `bytearray`) is copied once, into a block of shared memory that is lent with the message; the receiver's
array is a view of that block, and when the last view goes, the sender may use the block again. Nobody waits for
that: a store that is full grows by a segment, and one that has come to its limit, or a system without memory or
descriptors, leaves the data to the message. It follows that in pieces if it is large, out of the sender's own
buffers, and the receiver puts them together in memory that becomes the object's.

`dump` makes a `Parcel`. Its transport passes `parcel.segments`, as far as the receiver has not got them, then the
head and the bulk of `pack`; `unpack` and `load` put it together again. A transport has to see to two things more:
`call_back` for a parcel that will not be loaded, and `bury` for a process that has died.
"""

from __future__ import annotations

import contextlib
import functools
import io
import pickle
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing import reduction
from typing import Any, NamedTuple, TypeAlias

from concx import _core, _shm
from concx._shm import Unreachable

__all__ = [
    "LEAST",
    "VIEWS",
    "Parcel",
    "Reference",
    "Segments",
    "Store",
    "Unreachable",
    "dump",
    "inline",
    "load",
    "needs",
    "pack",
    "send_segment",
    "split",
    "unpack",
]

LEAST = 1 << 14
"""Bytes from which on a buffer goes into a block; less is copied faster than it is lent."""

STEP = 64 << 20
VIEWS = ("own", "private", "readonly", "copy")

Buffer: TypeAlias = Any
"""Bytes in whatever object; there is no name for it in the typing of 3.11."""


class Reference(NamedTuple):
    """A lent block: the id of its segment, and where in it; the sender's knows which loan it is."""

    segment: bytes
    offset: int
    size: int
    loan: int = 0


class Parcel(NamedTuple):
    """An object on its way.

    Attributes
    ----------
    data : bytes
        The pickle.
    buffers, wholes : list of Reference or buffer
        What was left out of it, in order: buffers, and `bytes` and `bytearray` objects. What there was no block for
        is here itself.
    segments : list of Segment
        Those that the receiver must have.
    """

    data: bytes
    buffers: list[Any]
    wholes: list[Any]
    segments: list[_shm.Segment]


# --- the sender


class Store:
    """The blocks that one process lends.

    Parameters
    ----------
    limit : int
        Bytes that all segments together may come to.
    step : int
        Bytes of the first segment; each next one is twice as large.

    Notes
    -----
    Thread safety: every method may be called from any thread.
    """

    def __init__(self, limit: int, step: int = STEP) -> None:
        self.limit = limit
        self._step = step
        self._lock = threading.Lock()
        self._segments: list[_shm.Segment] = []  # the newest first
        # With blocks that are lost, and where those are.
        self._retired: dict[bytes, tuple[_shm.Segment, set[int]]] = {}

    @property
    def segments(self) -> list[_shm.Segment]:
        """All that blocks are lent from, and those from which some still are."""
        with self._lock:
            return [*self._segments, *(segment for segment, _ in self._retired.values())]

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self.segments)

    def lend(self, data: Buffer) -> tuple[Reference, _shm.Segment] | None:
        """A copy of `data` in a block; None if there is no room, or the system gives no more."""
        size = memoryview(data).nbytes
        if self._retired:
            self.trim()
        try:
            for segment in self._segments:
                lent = segment.lend(data)
                if lent is not None:
                    return Reference(segment.id, lent[0], size, lent[1]), segment
            fresh = self._grow(size)
            lent = None if fresh is None else fresh.lend(data)
        except (OSError, MemoryError):
            return None
        if fresh is None or lent is None:
            return None
        return Reference(fresh.id, lent[0], size, lent[1]), fresh

    def _grow(self, size: int) -> _shm.Segment | None:
        with self._lock:
            have = sum(s.size for s in self._segments) + sum(
                s.size for s, _ in self._retired.values()
            )
            # A quarter more than the block: its class may be so much larger.
            want = max(self._step << len(self._segments), size + size // 4 + 4096)
            room = min(want, self.limit - have)
            if room < size + 4096:
                return None
            segment = _shm.Segment(_shm.DATA, room - 4096)
            self._segments = [segment, *self._segments]
            return segment

    def call_back(self, parcel: Parcel) -> None:
        """Take back the blocks of a parcel that will not be loaded; nothing happens to those that were."""
        known = {segment.id: segment for segment in parcel.segments}
        for reference in (*parcel.buffers, *parcel.wholes):
            if isinstance(reference, Reference):
                known[reference.segment].call_back(reference.offset, reference.loan)

    def bury(self, pid: int) -> None:
        """That process has died, and has not been waited for; whoever it had forked may still see its blocks.

        Their segments lend no more, and go once everything else in them is back.
        """
        for segment in self.segments:
            lost = segment.held_by(pid)
            if lost:
                with self._lock:
                    self._segments = [s for s in self._segments if s is not segment]
                    self._retired.setdefault(segment.id, (segment, set()))[1].update(lost)
        self.trim()

    def trim(self) -> list[bytes]:
        """Let go of the segments that are not needed; the ids of those that no receiver needs either."""
        gone = []
        with self._lock:
            for key, (segment, lost) in list(self._retired.items()):
                if segment.lent <= len(lost):
                    del self._retired[key]
                    gone.append(key)
            idle = [s for s in self._segments[:-1] if s.lent == 0]  # the first one stays warm
            self._segments = [s for s in self._segments if s not in idle]
        return gone + [segment.id for segment in idle]


class _Packer:
    """Where the large parts of one object go while it is pickled."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.buffers: list[Any] = []
        self.wholes: list[Any] = []
        self.segments: dict[bytes, _shm.Segment] = {}
        self._seen: dict[int, int] = {}  # id of a whole -> its place
        self._kept: list[Any] = []  # so that ids stay theirs

    def _lend(self, data: Buffer) -> Any:
        lent = self.store.lend(data)
        if lent is None:
            return data
        reference, segment = lent
        self.segments[segment.id] = segment
        return reference

    def buffer(self, buffer: pickle.PickleBuffer) -> bool:
        """`buffer_callback`: true to leave it in the pickle."""
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous: the pickler says so
            return True
        if raw.nbytes < LEAST:
            return True
        self.buffers.append(self._lend(raw))
        return False

    def whole(self, obj: Any) -> int | None:
        """`persistent_id`."""
        if type(obj) not in (bytes, bytearray) or len(obj) < LEAST:
            return None
        place = self._seen.get(id(obj))
        if place is None:
            place = self._seen[id(obj)] = len(self.wholes)
            self._kept.append(obj)
            self.wholes.append(self._lend(obj))
        return place * 2 + (type(obj) is bytearray)

    def parcel(self, data: bytes) -> Parcel:
        return Parcel(data, self.buffers, self.wholes, list(self.segments.values()))


def _has_wholes(obj: Any, depth: int = 4) -> bool:
    """Whether large bytes will be met near the surface; deeper ones are copied with the pickle."""
    kind = type(obj)
    if kind is bytes or kind is bytearray:
        return len(obj) >= LEAST
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        return obj.nbytes >= LEAST and not obj.flags.forc  # NumPy makes bytes of it first
    if depth == 0 or kind not in (tuple, list, dict) or len(obj) > 1000:
        return False
    return any(_has_wholes(item, depth - 1) for item in (obj.values() if kind is dict else obj))


@functools.cache
def _with_wholes(base: Any) -> Any:
    """A pickler that leaves wholes out as well."""

    class Pickler(base):  # type: ignore[misc]
        whole: Callable[[Any], int | None]

        def persistent_id(self, obj: Any) -> int | None:
            return self.whole(obj)

    return Pickler


def dump(obj: Any, store: Store, pickler: Any = reduction.ForkingPickler) -> Parcel:
    """Make a parcel of an object.

    Parameters
    ----------
    obj : object
    store : Store
        Of this process.
    pickler : class
        `ForkingPickler`, or a subclass of `pickle.Pickler` that takes `protocol` and `buffer_callback`.

    Raises
    ------
    Exception
        Whatever pickling raises; no block stays lent then.
    """
    packer = _Packer(store)
    stream = io.BytesIO()
    kind = _with_wholes(pickler) if _has_wholes(obj) else pickler
    passing = _shm.passing
    outer, passing.segments = getattr(passing, "segments", None), packer.segments
    try:
        if issubclass(pickler, reduction.ForkingPickler):
            instance = kind(stream, 5, True, packer.buffer)
        else:
            instance = kind(stream, protocol=5, buffer_callback=packer.buffer)
        if kind is not pickler:
            instance.whole = packer.whole
        instance.dump(obj)
    except BaseException:
        store.call_back(packer.parcel(b""))
        raise
    finally:
        passing.segments = outer
    return packer.parcel(stream.getvalue())


# --- on the way

_COUNTS = struct.Struct(
    "<III?"
)  # buffers, wholes, segments of neither; the pickle is one more part
_ENTRY = struct.Struct("<Q16sQ")  # size, segment and offset; an offset of 0: in the bulk
_BYTES = b"bytes".ljust(16, b"\0")  # in place of the segment: as a bytes object


def pack(parcel: Parcel, *, most: int | None = None) -> tuple[bytes, list[memoryview]]:
    """The head of a parcel, small, and its bulk, which there was no block for: to be sent in pieces.

    A pickle of more than `most` bytes belongs to the bulk.
    """
    apart = most is not None and len(parcel.data) > most
    parts = (*parcel.buffers, *parcel.wholes, *([parcel.data] if apart else ()))
    others = [segment.id for segment in parcel.segments]
    if parts:
        others = [i for i in others if not any(type(p) is Reference and p[0] == i for p in parts)]
    entries = [_COUNTS.pack(len(parcel.buffers), len(parcel.wholes), len(others), apart), *others]
    bulk = []
    for part in parts:
        if isinstance(part, Reference):
            entries.append(_ENTRY.pack(part.size, part.segment, part.offset))
        else:
            view = memoryview(part).cast("B")
            entries.append(_ENTRY.pack(view.nbytes, _BYTES if type(part) is bytes else b"", 0))
            bulk.append(view)
    return b"".join((*entries, b"" if apart else parcel.data)), bulk


def _entries(head: Buffer) -> list[tuple[int, bytes, int]]:
    buffers, wholes, others, apart = _COUNTS.unpack_from(head)
    at = _COUNTS.size + others * 16
    count = buffers + wholes + apart
    return [_ENTRY.unpack_from(head, at + i * _ENTRY.size) for i in range(count)]


def bulk_sizes(head: Buffer) -> list[tuple[int, bool]]:
    """How many bytes each part of the bulk has, in order, and whether it is to be `bytes`, not a `bytearray`."""
    return [(size, kind == _BYTES) for size, kind, offset in _entries(head) if offset == 0]


def split(data: memoryview) -> tuple[memoryview, list[Buffer]]:
    """Head and bulk of a parcel whose bulk follows its head, the bulk copied out."""
    sizes = bulk_sizes(data)
    at = len(data) - sum(size for size, _ in sizes)
    if at < 0:
        raise ValueError(f"a parcel of {len(data)} bytes cannot hold parts of {sizes} bytes")
    head, bulk = data[:at], []
    for size, is_bytes in sizes:
        bulk.append((bytes if is_bytes else bytearray)(data[at : at + size]))
        at += size
    return head, bulk


def needs(head: Buffer) -> list[bytes]:
    """The ids of the segments that its receiver must have apart from those with blocks of it."""
    others = _COUNTS.unpack_from(head)[2]
    view = memoryview(head)
    return [bytes(view[_COUNTS.size + i * 16 :][:16]) for i in range(others)]


def segments_of(head: Buffer) -> set[bytes]:
    """The ids of all segments that its receiver must have."""
    return {*needs(head), *(segment for _, segment, offset in _entries(head) if offset)}


def unpack(head: Buffer, bulk: Iterable[Buffer] = ()) -> Parcel:
    """The parcel again; the bulk in writable buffers, which become the object's."""
    buffers, wholes, others, apart = _COUNTS.unpack_from(head)
    rest = iter(bulk)
    entries = _entries(head)
    parts: list[Any] = [
        Reference(segment, offset, size) if offset else next(rest, None)
        for size, segment, offset in entries
    ]
    if any(part is None for part in parts):
        raise ValueError(f"a parcel of {len(parts)} parts without those that follow its head")
    at = _COUNTS.size + others * 16 + len(entries) * _ENTRY.size
    data = parts.pop() if apart else bytes(memoryview(head)[at:])
    return Parcel(data, parts[:buffers], parts[buffers : buffers + wholes], [])


def inline(parcel: Parcel) -> Parcel:
    """The same without blocks, of a parcel that the receiver could not load.

    The data stays in them, and they are back when it is dropped.
    """
    known = {segment.id: segment for segment in parcel.segments}

    def copied(part: Any) -> Any:
        if not isinstance(part, Reference):
            return part
        block: Any = _shm.Block.borrow(known[part.segment], part.offset, part.size)
        return memoryview(block)

    buffers, wholes = (
        [copied(part) for part in parts] for parts in (parcel.buffers, parcel.wholes)
    )
    return Parcel(parcel.data, buffers, wholes, [])


def send_segment(sock: socket.socket, segment: _shm.Segment) -> None:
    """Pass a segment on through a Unix socket, to `Segments.receive`."""
    socket.send_fds(sock, [segment.id], [segment.fileno()])


# --- the receiver


class Segments:
    """The segments that a process has got from others.

    Notes
    -----
    Thread safety: every method may be called from any thread; one at a time calls `receive` for a socket.
    """

    def __init__(self) -> None:
        self._held: dict[bytes, _shm.Segment] = {}

    def receive(self, sock: socket.socket) -> bool:
        """Take what `send_segment` sent; False if there was no descriptor or no address space for it.

        Raises
        ------
        EOFError
            If the other end was closed.
        """
        data, descriptors, _, _ = socket.recv_fds(sock, 16, 1)
        if not data:
            raise EOFError
        return self.take(data, descriptors)

    def take(self, identity: bytes, descriptors: Sequence[int]) -> bool:
        """The same, received already."""
        try:
            for fd in descriptors:
                segment = _shm.attach(identity, fd, _shm.DATA)
                self._held[segment.id] = segment
        except (OSError, MemoryError):
            return False
        return bool(descriptors)

    def has(self, identity: bytes) -> bool:
        """Whether it was received, and not dropped."""
        return identity in self._held

    def drop(self, identity: bytes) -> None:
        """Let go of a segment that its owner lends from no more; views hold what they need."""
        self._held.pop(identity, None)

    def find(self, identity: bytes) -> _shm.Segment:
        segment = self._held.get(identity) or _shm.known(identity)
        if segment is None:
            raise Unreachable(
                f"a message lies in the segment {identity.hex()}, which was not received"
            )
        return segment

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[bytes]:
        """The ids of those that were received, and not dropped."""
        return iter(list(self._held))


def _view(block: Buffer, views: str) -> memoryview:
    if views == "readonly":
        return memoryview(block).toreadonly()
    lent = type(block) is _shm.Block  # what came in pieces is a copy already
    return memoryview(bytearray(block) if lent and views == "copy" else block)


def load(parcel: Parcel, segments: Segments, views: str = "own", *, last: bool = True) -> Any:
    """The object of a parcel.

    Parameters
    ----------
    parcel : Parcel
    segments : Segments
        Of this process.
    views : {"own", "private", "readonly", "copy"}
        What the buffers of the object are: the blocks, to be written by this process alone; the blocks, whose pages
        are copied when they are written; the blocks, not to be written; copies. A `PickleBuffer` arrives as a
        memoryview.
    last : bool
        Whether the parcel is not loaded again. Its sender calls it back otherwise.

    Raises
    ------
    Unreachable
        If a segment is missing; nothing has happened then.
    SegmentDamaged
        If a block is not where the parcel says, or was loaded already.
    Exception
        Whatever unpickling raises.
    """
    if views not in VIEWS:
        raise ValueError(f"'views' must be one of {', '.join(VIEWS)}, got {views!r}")
    private = views == "private"
    parts: Sequence[Any] = (*parcel.buffers, *parcel.wholes)
    found = {r.segment: segments.find(r.segment) for r in parts if isinstance(r, Reference)}

    def borrow(part: Any, private: bool) -> Any:
        if not isinstance(part, Reference):
            return part
        return _shm.Block.borrow(found[part.segment], part.offset, part.size, last, private)

    blocks: list[Any] = []
    try:
        for part in parts:
            blocks.append(borrow(part, private and len(blocks) < len(parcel.buffers)))
    except BaseException:
        for part in parts[len(blocks) + 1 :] if last else ():
            with contextlib.suppress(_core.SegmentDamaged):
                borrow(part, False)  # and give it back
        raise
    buffers = [_view(block, views) for block in blocks[: len(parcel.buffers)]]
    wholes = blocks[len(parcel.buffers) :]
    del blocks
    if not wholes:
        return pickle.loads(parcel.data, buffers=buffers)
    return _Unpickler(io.BytesIO(parcel.data), wholes, buffers).load()


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, wholes: list[Any], buffers: list[Any]) -> None:
        super().__init__(stream, buffers=buffers)
        self._wholes = wholes
        self._made: dict[int, Any] = {}

    def persistent_load(self, pid: Any) -> Any:
        """The same object each time, as it was one object."""
        if pid not in self._made:
            kind = bytearray if pid % 2 else bytes
            part = self._wholes[pid // 2]
            self._made[pid] = part if type(part) is kind else kind(part)
            self._wholes[pid // 2] = None  # its block is back
        return self._made[pid]
