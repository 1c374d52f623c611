"""The standard library's own between processes."""

from __future__ import annotations

from contenders import Contender


def lock() -> Contender:
    from multiprocessing import Lock

    return Contender("multiprocessing.Lock", None, lambda _: Lock())


def lock_with() -> Contender:
    from multiprocessing import Lock

    return Contender("multiprocessing.Lock/with", None, lambda _: Lock(), style="with")


def rlock() -> Contender:
    from multiprocessing import RLock

    return Contender("multiprocessing.RLock", None, lambda _: RLock())


def rlock_with() -> Contender:
    from multiprocessing import RLock

    return Contender("multiprocessing.RLock/with", None, lambda _: RLock(), style="with")


def semaphore() -> Contender:
    from multiprocessing import Semaphore

    return Contender("multiprocessing.Semaphore", None, lambda _: Semaphore())


def semaphore_with() -> Contender:
    from multiprocessing import Semaphore

    return Contender("multiprocessing.Semaphore/with", None, lambda _: Semaphore(), style="with")


def event() -> Contender:
    from multiprocessing import Event

    return Contender("multiprocessing.Event", None, lambda _: Event(), style="event")


def queue() -> Contender:
    from multiprocessing import Queue

    return Contender("multiprocessing.Queue", None, Queue)


def simplequeue() -> Contender:
    from multiprocessing import SimpleQueue

    return Contender("multiprocessing.SimpleQueue", None, lambda _: SimpleQueue())


def pipe() -> Contender:
    from multiprocessing import Pipe

    return Contender("multiprocessing.Pipe/bytes", None, lambda _: Pipe(False), style="pipe")


def queue_executor() -> Contender:
    from multiprocessing import Queue

    return Contender("multiprocessing.Queue/run_in_executor", None, Queue, style="executor")


def pipe_objects() -> Contender:
    from multiprocessing import Pipe

    return Contender("multiprocessing.Pipe", None, lambda _: Pipe())
