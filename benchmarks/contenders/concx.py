"""concx, each class as its users call it."""

from __future__ import annotations

from contenders import Contender

UNBOUNDED = 1024
"""What the bounded-only classes get where a row asks for no bound."""


def queue() -> Contender:
    from concx.queue import Queue

    return Contender("concx.Queue", "concx", Queue, twins=True, batches=True)


def simplequeue() -> Contender:
    from concx.queue import SimpleQueue

    return Contender(
        "concx.SimpleQueue", "concx", lambda maxsize: SimpleQueue(), twins=True, bounded=False
    )


def lifoqueue() -> Contender:
    from concx.queue import LifoQueue

    return Contender("concx.LifoQueue", "concx", LifoQueue, twins=True, batches=True)


def priorityqueue() -> Contender:
    from concx.queue import PriorityQueue

    return Contender("concx.PriorityQueue", "concx", PriorityQueue, twins=True, batches=True)


def ringqueue() -> Contender:
    from concx.queue import RingQueue

    return Contender(
        "concx.RingQueue",
        "concx",
        lambda maxsize: RingQueue(maxsize or UNBOUNDED),
        twins=True,
        batches=True,
    )


def spscqueue() -> Contender:
    from concx.queue import SpscQueue

    return Contender(
        "concx.SpscQueue",
        "concx",
        lambda maxsize: SpscQueue(maxsize or UNBOUNDED),
        twins=True,
        batches=True,
    )


def pool(style: str) -> Contender:
    from concx.futures import ThreadPoolExecutor

    return Contender("concx.ThreadPoolExecutor", "concx", ThreadPoolExecutor, style=style)


def threadpool() -> Contender:
    return pool("plain")


def threadpool_plain() -> Contender:
    return pool("plain")


def threadpool_linked() -> Contender:
    return pool("linked")


def threadpool_native() -> Contender:
    return pool("native")


def threadpool_executor() -> Contender:
    return pool("executor")


def threadpool_workers(workers: int) -> Contender:
    from concx.futures import ThreadPoolExecutor

    name = f"concx.ThreadPoolExecutor/{workers} worker{'s' * (workers > 1)}"
    return Contender(name, "concx", ThreadPoolExecutor, workers=workers)


def threadpool_one_worker() -> Contender:
    return threadpool_workers(1)


def threadpool_two_workers() -> Contender:
    return threadpool_workers(2)


def parallel_for() -> Contender:
    from concx.futures import ThreadPoolExecutor

    return Contender(
        "concx.native.parallel_for", "concx", ThreadPoolExecutor, style="parallel", workers=1
    )


def atomic_int() -> Contender:
    from concx.atomic import AtomicInt

    return Contender("concx.AtomicInt", "concx", lambda _: AtomicInt())


def counter() -> Contender:
    from concx.atomic import Counter

    return Contender("concx.Counter", "concx", lambda _: Counter())


def shared_counter(threads: int) -> Contender:
    from concx.atomic import Counter

    name = f"concx.Counter/shared, {threads} thread{'s' * (threads > 1)}"
    return Contender(name, "concx", lambda _: Counter(shared=True), workers=threads)


def counter_one_thread() -> Contender:
    return shared_counter(1)


def counter_two_threads() -> Contender:
    return shared_counter(2)


def atomic_int_two_threads() -> Contender:
    from concx.atomic import AtomicInt

    name = "concx.AtomicInt/shared, 2 threads"
    return Contender(name, "concx", lambda _: AtomicInt(shared=True), workers=2)


def concurrentdict() -> Contender:
    from concx.map import ConcurrentDict

    return Contender("concx.ConcurrentDict", "concx", lambda _: ConcurrentDict())


def concurrentdict_two_threads() -> Contender:
    from concx.map import ConcurrentDict

    name = "concx.ConcurrentDict, 2 threads"
    return Contender(name, "concx", lambda _: ConcurrentDict(), workers=2)


def shared_dict(threads: int) -> Contender:
    from concx.map import ConcurrentDict

    name = f"concx.ConcurrentDict/shared, {threads} thread{'s' * (threads > 1)}"
    return Contender(name, "concx", lambda _: ConcurrentDict(shared=True), workers=threads)


def concurrentdict_shared_one_thread() -> Contender:
    return shared_dict(1)


def concurrentdict_shared_two_threads() -> Contender:
    return shared_dict(2)
