"""Large arguments and results of `ProcessPoolExecutor`, which cross in blocks of shared memory.

What a task or a result says goes through its lane. The segments in which its blocks lie go before it through a
socket between the pool and the worker, once for each. If that fails, for want of descriptors say, the task comes
back and goes again with its data inside.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import socket
import threading
from collections.abc import Callable, Iterable
from multiprocessing.reduction import ForkingPickler
from time import monotonic
from typing import Any
from weakref import ref

from concx import _core, _payload, _shm
from concx._payload import Parcel, Segments, Store

__all__ = ["ARENA_BYTES", "Box", "Desk", "Letter", "Post"]

ARENA_BYTES = 1 << 30
"""How much one process lends, by default."""

PATIENCE = 1.0
"""Seconds that a worker waits for the pool to take a new segment; then its data goes inside the message."""

_SEGMENT, _DROP, _TAKEN, _NOT_TAKEN = b"S", b"D", b"+", b"-"


class Box:
    """One end of the socket between a pool and a worker, and the segments that came through it.

    The caller sees to it that one thread at a time sends, and one receives.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self.end = end
        self.segments = Segments()
        self.answers: list[bool] = []
        self.ended = False  # the other process has closed its end
        self._sent: dict[bytes, Any] = {}
        self._gone: list[bytes] = []  # of those that were sent: this process has no use for them

    def _post(self, text: bytes, fds: tuple[int, ...] = ()) -> bool:
        try:
            socket.send_fds(self.end, [text], fds)
        except OSError:  # no room, no descriptors, or the other one has gone
            return False
        return True

    def has_sent(self, segment: _shm.Segment) -> bool:
        """Whether it was."""
        return segment.id in self._sent

    def pass_on(self, segments: Iterable[_shm.Segment], *, again: bool = False) -> bool:
        """Send the segments that were not sent, or all; false if that failed."""
        while self._gone and self._post(_DROP + self._gone[-1]):
            del self._sent[self._gone.pop()]
        passed = True
        for segment in segments:
            key = segment.id
            if again or key not in self._sent:
                if not self._post(_SEGMENT + key, (segment.fileno(),)):
                    passed = False
                    continue
                self._sent[key] = ref(segment, functools.partial(_note, self._gone, key))
        return passed

    def forget(self, segments: Iterable[_shm.Segment]) -> None:
        """They were sent in vain."""
        for segment in segments:
            self._sent.pop(segment.id, None)

    def receive(self) -> list[bool]:
        """Read what is there; whether each segment that came could be taken."""
        took: list[bool] = []
        while True:
            try:
                text, fds, _, _ = socket.recv_fds(self.end, 64, 1)
            except OSError:
                return took
            if not text:
                self.ended = True
                return took
            kind, key = text[:1], text[1:]
            if kind == _SEGMENT:
                took.append(self.segments.take(key, fds))
            elif kind == _DROP:
                self.segments.drop(key)
            else:
                self.answers.append(kind == _TAKEN)

    def answer(self, took: list[bool]) -> None:
        """Tell the other end."""
        for each in took:
            self._post(_TAKEN if each else _NOT_TAKEN)

    def close(self) -> None:
        """The other process has ended."""
        self.end.close()


def _note(gone: list[bytes], key: bytes, _: object) -> None:
    gone.append(key)


class Letter:
    """What a task has lent: taken back when the task is gone, as far as nobody has taken it over."""

    __slots__ = ("parcel", "post", "tries")

    def __init__(self, post: Post, parcel: Parcel) -> None:
        self.post = post
        self.parcel = parcel
        self.tries = 0

    def __del__(self) -> None:
        self.post.store.call_back(self.parcel)

    def again(self) -> Any:
        """The payload for another try, of a task whose worker had not got a segment."""
        self.tries += 1
        if self.tries == 1:
            self.post.pass_on(self.parcel.segments, again=True)
        elif self.tries == 2:
            # Shared arrays need their segments; all else does without.
            self.parcel = _payload.inline(self.parcel)
        else:
            raise OSError("a worker has not got the shared memory of its task: out of descriptors?")
        return _message(self.parcel, self)


def _message(parcel: Parcel, keeper: Any) -> tuple[Any, ...]:
    """The bytes of a message and their keeper; and the buffers that follow in pieces, if they are large."""
    head, bulk = _payload.pack(parcel, most=_core.PIECE)
    if sum(part.nbytes for part in bulk) > _core.PIECE:
        return head, keeper, bulk
    return b"".join((head, *bulk)) if bulk else head, keeper


def _is_small(parcel: Parcel) -> bool:
    """Whether the pickle is all there is to say."""
    return not (
        parcel.segments or parcel.buffers or parcel.wholes or len(parcel.data) > _core.PIECE
    )


class Post:
    """The pool's end: lends arguments, and reads results.

    Parameters
    ----------
    limit : int
        Bytes that may be lent at once.
    views : str
        What results are made of; see `concx._payload.load`.

    Notes
    -----
    Thread safety: every method may be called from any thread.
    """

    def __init__(self, limit: int, views: str) -> None:
        self.store = Store(limit)
        self.views = views
        self._lock = threading.Lock()
        self._boxes: list[Box] = []

    def add(self, box: Box) -> None:
        """A worker is about to start."""
        with self._lock:
            box.pass_on(self.store.segments)
            self._boxes = [*self._boxes, box]

    def remove(self, box: Box, pid: int) -> None:
        """A worker has ended, and was not waited for."""
        with self._lock:
            self._boxes = [other for other in self._boxes if other is not box]
        self.store.bury(pid)
        box.close()

    def pass_on(self, segments: list[_shm.Segment], *, again: bool = False) -> None:
        """See to it that all workers have the segments."""
        if again or not all(box.has_sent(s) for box in self._boxes for s in segments):
            with self._lock:
                for box in self._boxes:
                    box.pass_on(segments, again=again)

    def dump(self, task: Any, pickler: Any = ForkingPickler) -> Any:
        """The pickle of a task, or that and a `Letter`."""
        parcel = _payload.dump(task, self.store, pickler)
        if _is_small(parcel):
            return parcel.data
        letter = Letter(self, parcel)
        self.pass_on(parcel.segments)
        return _message(parcel, letter)

    def load(self, box: Box, data: memoryview, bulk: list[Any] | None = None) -> Any:
        """The result of a task; its bulk, if that came in pieces."""
        head, bulk = _payload.split(data) if bulk is None else (data, bulk)
        return _payload.load(_payload.unpack(head, bulk), box.segments, self.views)


class Desk:
    """A worker's end: reads tasks, and lends results.

    Parameters
    ----------
    end : socket
        To the pool.
    limit, views : int, str
        As in `Post`.
    ring : callable
        Tells the pool to read its end of the socket; None, or false if it has gone.
    """

    def __init__(
        self, end: socket.socket, limit: int, views: str, ring: Callable[[], object]
    ) -> None:
        self.store = Store(limit)
        self.views = views
        self._box = Box(end)
        self._ring = ring

    def expect(self, head: bytes) -> list[tuple[int, bool]] | None:
        """The parts of a task's bulk; None if the rest of it lies where this process cannot read."""
        self._box.receive()
        try:
            for key in _payload.segments_of(head):
                self._box.segments.find(key)
        except _shm.Unreachable:
            return None
        return _payload.bulk_sizes(head)

    def load(self, data: memoryview, kept: bool, bulk: list[Any] | None = None) -> Any:
        """A task; None if it lies where this process cannot read. `kept`: it may be loaded again, elsewhere.

        `bulk` is what came in pieces.
        """
        self._box.receive()
        views = "private" if kept and self.views == "own" else self.views
        head, bulk = _payload.split(data) if bulk is None else (data, bulk)
        parcel = _payload.unpack(head, bulk)
        try:
            # Held until the arrays in them hold them.
            held = [self._box.segments.find(key) for key in _payload.needs(head)]
            task = _payload.load(parcel, self._box.segments, views, last=not kept)
        except _shm.Unreachable:
            return None
        del held
        return task

    def dump(self, result: Any) -> Any:
        """The pickle of a result, or that and what `call_back` takes, and what follows in pieces."""
        parcel = _payload.dump(result, self.store)
        if _is_small(parcel):
            return parcel.data
        try:
            if not self._pass_on(parcel):
                parcel = _payload.inline(parcel)
                if parcel.segments:
                    raise OSError("the pool did not take the shared memory of a result")
            return _message(parcel, parcel)
        except BaseException:
            self.call_back(parcel)
            raise

    def call_back(self, parcel: Parcel) -> None:
        """A result could not be sent."""
        self.store.call_back(parcel)

    def close(self) -> None:
        """The worker leaves."""
        self._box.close()

    def _pass_on(self, parcel: Parcel) -> bool:
        """Whether the pool has all segments of a parcel; waits for its answer if one is new."""
        held = self._box.segments
        fresh = [s for s in parcel.segments if not (self._box.has_sent(s) or held.has(s.id))]
        if not fresh:
            return True
        if not self._box.pass_on(fresh):
            self._box.forget(fresh)
            return False
        self._box.answers.clear()
        self._ring()
        until = monotonic() + PATIENCE
        poll = select.poll()
        poll.register(self._box.end, select.POLLIN)
        while len(self._box.answers) < len(fresh) and not self._box.ended and monotonic() < until:
            poll.poll(max(until - monotonic(), 0) * 1000 + 1)
            self._box.receive()
        taken = len(self._box.answers) == len(fresh) and all(self._box.answers)
        if not taken:
            self._box.forget(fresh)
        return taken


def socket_of(fd: int) -> socket.socket:
    """The end of a pair that came as a descriptor."""
    try:
        return socket.socket(fileno=fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(fd)
        raise
