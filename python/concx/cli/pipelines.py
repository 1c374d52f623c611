"""One pipeline, joined four ways: a walker thread, reader threads and an asyncio consumer.

    walker thread --paths--> reader threads --messages--> asyncio consumer --jobs--> pool --results--> asyncio consumer

A `Work` says what flows (real files, or a recording); a function of this module says through which queues. All of them
start the same threads, bound both queues alike, and stop the same way: when ``work.stopped`` is set, the walker and the
readers produce nothing more, and what is under way is drained. Nothing is interrupted in the middle, so Ctrl-C costs no message.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor as StandardPool
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from concx.futures import ThreadPoolExecutor
from concx.queue import Queue, ShutDown

__all__ = [
    "BATCH",
    "JOBS",
    "MESSAGES",
    "PATHS",
    "Work",
    "concx_batches",
    "concx_pool",
    "concx_queue",
    "standard_call_soon",
    "standard_executor",
    "standard_pool",
]

PATHS = 64
MESSAGES = 1024
BATCH = 64
JOBS = 32
"""So many jobs are with the pool before the consumer waits for the first of them."""

Job = Callable[[], Any]


@dataclass
class Work:
    """What flows through a pipeline.

    ``source()`` yields items in the walker thread, ``expand(item)`` yields the messages of an item in a reader thread,
    ``merge(message)`` takes one message in the consumer; it may answer with a job for the pool, whose result the consumer
    gives to ``finish``.
    """

    source: Callable[[], Iterable[Any]]
    expand: Callable[[Any], Iterable[Any]]
    merge: Callable[[Any], Job | None]
    finish: Callable[[Any], None]
    readers: int = 2
    stopped: bool = False
    failures: list[BaseException] = field(default_factory=list)
    queue_stats: Any = None
    pool_stats: Any = None

    def messages(self, item: Any) -> Iterable[Any]:
        return () if self.stopped else self.expand(item)

    def start(self, name: str, step: Callable[[], None]) -> threading.Thread:
        """Run `step` in a thread of its own; what it raises stops the pipeline and is raised by `check`."""

        def body() -> None:
            try:
                step()
            except BaseException as error:
                self.failures.append(error)
                self.stopped = True

        thread = threading.Thread(target=body, name=f"concx-demo-{name}", daemon=True)
        thread.start()
        return thread

    def check(self) -> None:
        if self.failures:
            raise self.failures[0]


class Jobs:
    """The consumer's jobs in a pool: it goes on while up to `JOBS` of them wait or run, and takes the results in order."""

    def __init__(self, work: Work, submit: Callable[[Job], Awaitable[Any]]) -> None:
        self.finish = work.finish
        self.submit = submit
        self.under_way: deque[Awaitable[Any]] = deque()

    async def add(self, job: Job) -> None:
        if len(self.under_way) >= JOBS:
            self.finish(await self.under_way.popleft())
        self.under_way.append(self.submit(job))

    async def end(self) -> None:
        while self.under_way:
            self.finish(await self.under_way.popleft())


def concx_queue(work: Work) -> None:
    """Threads and the asyncio task share ``concx.queue.Queue``; ``shutdown()`` says that nothing follows. Jobs go to
    ``concx.futures.ThreadPoolExecutor``, whose futures are awaited."""
    paths: Queue[Any] = Queue(PATHS)
    messages: Queue[Any] = Queue(MESSAGES)

    def read() -> None:
        for item in paths.consume():
            for message in work.messages(item):
                if work.stopped:
                    break
                messages.put(message)

    async def consume(pool: ThreadPoolExecutor) -> None:
        merge = work.merge
        jobs = Jobs(work, pool.submit)
        async for message in messages.consume():
            if job := merge(message):
                await jobs.add(job)
        await jobs.end()

    _concx_threads(work, paths, messages, read)
    with ThreadPoolExecutor(work.readers) as pool:
        asyncio.run(consume(pool))
    work.queue_stats = messages.stats()
    work.pool_stats = pool.stats()
    work.check()


def concx_batches(work: Work) -> None:
    """As `concx_queue`, with up to `BATCH` messages a call: ``put_many`` and ``get_many_async``."""
    paths: Queue[Any] = Queue(PATHS)
    messages: Queue[Any] = Queue(MESSAGES)

    def read() -> None:
        for item in paths.consume():
            messages_of_item = iter(work.messages(item))
            while batch := list(islice(messages_of_item, BATCH)):
                if work.stopped:
                    break
                messages.put_many(batch)

    async def consume(pool: ThreadPoolExecutor) -> None:
        merge = work.merge
        jobs = Jobs(work, pool.submit)
        while True:
            try:
                batch = await messages.get_many_async(BATCH)
            except ShutDown:
                break
            for message in batch:
                if job := merge(message):
                    await jobs.add(job)
        await jobs.end()

    _concx_threads(work, paths, messages, read)
    with ThreadPoolExecutor(work.readers) as pool:
        asyncio.run(consume(pool))
    work.check()


def _concx_threads(
    work: Work, paths: Queue[Any], messages: Queue[Any], read: Callable[[], None]
) -> None:
    def walk() -> None:
        try:
            for item in work.source():
                if work.stopped:
                    break
                paths.put(item)
        finally:
            paths.shutdown()

    def close() -> None:
        for reader in readers:
            reader.join()
        messages.shutdown()

    readers = [work.start("reader", read) for _ in range(work.readers)]
    work.start("walker", walk)
    work.start("closer", close)


def _standard_threads(work: Work, send: Callable[[Any], object], end: object) -> None:
    """Walker and readers on ``queue.Queue``, with an end marker for each reader and one for the consumer."""
    paths: queue.Queue[Any] = queue.Queue(PATHS)

    def walk() -> None:
        try:
            for item in work.source():
                if work.stopped:
                    break
                paths.put(item)
        finally:
            for _ in range(work.readers):
                paths.put(end)

    def read() -> None:
        while (item := paths.get()) is not end:
            for message in work.messages(item):
                if work.stopped:
                    break
                send(message)

    readers = [work.start("reader", read) for _ in range(work.readers)]

    def close() -> None:
        for reader in readers:
            reader.join()
        send(end)

    work.start("walker", walk)
    work.start("closer", close)


def standard_executor(work: Work) -> None:
    """``queue.Queue``; the task takes what is there with ``get_nowait`` and waits with ``run_in_executor(None, q.get)``.
    Jobs go to the standard pool, by ``run_in_executor`` as well."""
    end = object()

    async def consume(pool: StandardPool) -> None:
        messages: queue.Queue[Any] = queue.Queue(MESSAGES)
        loop = asyncio.get_running_loop()
        merge = work.merge
        jobs = Jobs(work, partial(loop.run_in_executor, pool))
        _standard_threads(work, messages.put, end)
        while True:
            try:
                message = messages.get_nowait()
            except queue.Empty:
                message = await loop.run_in_executor(None, messages.get)
            if message is end:
                break
            if job := merge(message):
                await jobs.add(job)
        await jobs.end()

    with StandardPool(work.readers) as pool:
        asyncio.run(consume(pool))
    work.check()


def standard_call_soon(work: Work) -> None:
    """``asyncio.Queue`` fed by ``call_soon_threadsafe``; a semaphore keeps it bounded, which the short form leaves out."""
    end = object()

    async def consume(pool: StandardPool) -> None:
        messages: asyncio.Queue[Any] = asyncio.Queue()
        room = threading.Semaphore(MESSAGES)
        loop = asyncio.get_running_loop()
        merge = work.merge
        jobs = Jobs(work, partial(loop.run_in_executor, pool))

        def send(message: Any) -> None:
            room.acquire()
            loop.call_soon_threadsafe(messages.put_nowait, message)

        _standard_threads(work, send, end)
        while (message := await messages.get()) is not end:
            room.release()
            if job := merge(message):
                await jobs.add(job)
        await jobs.end()

    with StandardPool(work.readers) as pool:
        asyncio.run(consume(pool))
    work.check()


def concx_pool(work: Work) -> None:
    """The last stage alone: what ``work.source()`` yields are the jobs."""

    async def consume(pool: ThreadPoolExecutor) -> None:
        await _run_jobs(work, pool.submit)

    with ThreadPoolExecutor(work.readers) as pool:
        asyncio.run(consume(pool))


def standard_pool(work: Work) -> None:
    """As `concx_pool`, with the standard pool and ``run_in_executor``."""

    async def consume(pool: StandardPool) -> None:
        await _run_jobs(work, partial(asyncio.get_running_loop().run_in_executor, pool))

    with StandardPool(work.readers) as pool:
        asyncio.run(consume(pool))


async def _run_jobs(work: Work, submit: Callable[[Job], Awaitable[Any]]) -> None:
    jobs = Jobs(work, submit)
    for job in work.source():
        if work.stopped:
            break
        await jobs.add(job)
    await jobs.end()
