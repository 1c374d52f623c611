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
