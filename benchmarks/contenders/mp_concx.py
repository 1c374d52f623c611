"""concx between processes."""

from __future__ import annotations

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
