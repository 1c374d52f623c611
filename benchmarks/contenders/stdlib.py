"""The standard library's own: the fast twins, the slow ones, and a floor."""

from __future__ import annotations

from contenders import Contender


def queue_queue() -> Contender:
    import queue

    return Contender("queue.Queue", None, queue.Queue)


def queue_simplequeue() -> Contender:
    import queue

    return Contender("queue.SimpleQueue", None, lambda maxsize: queue.SimpleQueue(), bounded=False)


def queue_lifoqueue() -> Contender:
    import queue

    return Contender("queue.LifoQueue", None, queue.LifoQueue)


def queue_priorityqueue() -> Contender:
    import queue

    return Contender("queue.PriorityQueue", None, queue.PriorityQueue)


def asyncio_queue() -> Contender:
    import asyncio

    return Contender("asyncio.Queue", None, asyncio.Queue)


def collections_deque() -> Contender:
    """No queue: nobody can wait for it. What append and popleft cost is the floor."""
    import collections

    return Contender("collections.deque", None, lambda maxsize: collections.deque(), bounded=False)


def futures_threadpool() -> Contender:
    import concurrent.futures

    pool = concurrent.futures.ThreadPoolExecutor
    return Contender("futures.ThreadPoolExecutor", None, pool, style="executor")


def futures_workers(workers: int) -> Contender:
    import concurrent.futures

    pool = concurrent.futures.ThreadPoolExecutor
    name = f"futures.ThreadPoolExecutor/{workers} worker{'s' * (workers > 1)}"
    return Contender(name, None, pool, workers=workers)


def futures_one_worker() -> Contender:
    return futures_workers(1)


def futures_two_workers() -> Contender:
    return futures_workers(2)


def calls_one_thread() -> Contender:
    """A C function called once, over the whole range."""
    return Contender("one call", None, lambda workers: None, style="calls", workers=1)


def calls_two_threads() -> Contender:
    """A C function called by two threads, over half the range each: what the machine can do."""
    return Contender(
        "two calls in two threads", None, lambda workers: None, style="calls", workers=2
    )


class LockedInt:
    """As one writes it without atomics."""

    def __init__(self) -> None:
        import threading

        self.lock = threading.Lock()
        self.n = 0

    def increment(self) -> None:
        with self.lock:
            self.n += 1

    def get(self) -> int:
        return self.n


def locked(name: str, threads: int) -> Contender:
    return Contender(name, None, lambda _: LockedInt(), workers=threads)


def locked_int() -> Contender:
    return locked("int under a Lock", 1)


def locked_int_two_threads() -> Contender:
    return locked("int under a Lock, 2 threads", 2)


def itertools_count() -> Contender:
    """No counter: nobody can ask it. What a call into C costs is the floor."""
    import itertools

    return Contender("itertools.count", None, lambda _: itertools.count(), style="next")


def plain_dict() -> Contender:
    return Contender("dict", None, lambda _: {})


def plain_dict_two_threads() -> Contender:
    return Contender("dict, 2 threads", None, lambda _: {}, workers=2)


def locked_dict() -> Contender:
    return Contender("dict under a Lock", None, lambda _: {}, style="lock")


def locked_dict_two_threads() -> Contender:
    return Contender("dict under a Lock, 2 threads", None, lambda _: {}, style="lock", workers=2)
