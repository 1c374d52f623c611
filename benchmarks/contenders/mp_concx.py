"""concx between processes."""

from __future__ import annotations

import socket
import struct
from typing import Any

from contenders import Contender


def lock() -> Contender:
    from concx.multiprocessing import Lock

    return Contender("concx.mp.Lock", "concx", lambda _: Lock())


def lock_with() -> Contender:
    from concx.multiprocessing import Lock

    return Contender("concx.mp.Lock/with", "concx", lambda _: Lock(), style="with")


def rlock() -> Contender:
    from concx.multiprocessing import RLock

    return Contender("concx.mp.RLock", "concx", lambda _: RLock())


def rlock_with() -> Contender:
    from concx.multiprocessing import RLock

    return Contender("concx.mp.RLock/with", "concx", lambda _: RLock(), style="with")


def semaphore() -> Contender:
    from concx.multiprocessing import Semaphore

    return Contender("concx.mp.Semaphore", "concx", lambda _: Semaphore())


def semaphore_with() -> Contender:
    from concx.multiprocessing import Semaphore

    return Contender("concx.mp.Semaphore/with", "concx", lambda _: Semaphore(), style="with")


def event() -> Contender:
    from concx.multiprocessing import Event

    return Contender("concx.mp.Event", "concx", lambda _: Event(), style="event")


def queue() -> Contender:
    from concx.multiprocessing import Queue

    return Contender("concx.mp.Queue", "concx", Queue)


def queue_bytes() -> Contender:
    from concx.multiprocessing import Queue

    return Contender("concx.mp.Queue/bytes", "concx", Queue, style="bytes")


def queue_many() -> Contender:
    from concx.multiprocessing import Queue

    return Contender("concx.mp.Queue/get_many", "concx", Queue, style="get_many", batches=True)


def queue_async() -> Contender:
    from concx.multiprocessing import Queue

    return Contender("concx.mp.Queue/async", "concx", Queue, style="async")


class Parcels:
    """One end of a socket over which objects go as parcels, with a connection's methods."""

    def __init__(self, sock: socket.socket) -> None:
        from concx import _payload

        self._parcels = _payload
        self._sock = sock
        self._store = _payload.Store(1 << 30)
        self._segments = _payload.Segments()
        self._sent: set[bytes] = set()

    def _read(self, n: int) -> bytes:
        data = b""
        while len(data) < n:
            part = self._sock.recv(n - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def send(self, obj: Any) -> None:
        parcel = self._parcels.dump(obj, self._store)
        head, bulk = self._parcels.pack(parcel)
        fresh = [segment for segment in parcel.segments if segment.id not in self._sent]
        self._sock.sendall(struct.pack("<II", len(fresh), len(head)))
        for segment in fresh:
            self._parcels.send_segment(self._sock, segment)
            self._read(1)
            self._sent.add(segment.id)
        self._sock.sendall(head)
        assert not bulk

    def recv(self) -> Any:
        segments, length = struct.unpack("<II", self._read(8))
        for _ in range(segments):
            self._segments.receive(self._sock)
            self._sock.sendall(b".")
        return self._parcels.load(self._parcels.unpack(self._read(length)), self._segments)


def parcels() -> Contender:
    return Contender("concx.payload", "concx", lambda _: tuple(map(Parcels, socket.socketpair())))
