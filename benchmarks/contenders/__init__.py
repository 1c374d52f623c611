"""Who is measured: one function per contender, one file per package.

A function imports its package when it is called, so that a package that is not installed is named as missing
and everything else still runs. A contender of your own: ``run.py --add NAME=FILE.py:FUNCTION``.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def itself(queue: Any) -> Any:
    """Most queues are their own synchronous and asynchronous face."""
    return queue


@dataclass(frozen=True)
class Contender:
    """One queue or pool and the way its users call it."""

    name: str
    package: str | None
    """The distribution whose version stands beside the figures; None is the standard library."""
    make: Callable[[int], Any]
    """``make(maxsize)``, 0 is unbounded; or ``make(workers)``."""
    sync: Callable[[Any], Any] = itself
    aio: Callable[[Any], Any] = itself
    twins: bool = False
    """Whether the coroutines are ``put_async`` and ``get_async`` rather than ``put`` and ``get``."""
    batches: bool = False
    """Whether it has ``put_many`` and ``get_many``."""
    bounded: bool = True
    style: str = ""
    """How it is called, where there is more than one way."""
    workers: int = 0
    """How many threads, where the row leaves it to the contender."""
    close: Callable[[Any], Awaitable[None]] | None = None


WHERE = {
    "queue.Queue": "stdlib:queue_queue",
    "queue.SimpleQueue": "stdlib:queue_simplequeue",
    "queue.LifoQueue": "stdlib:queue_lifoqueue",
    "queue.PriorityQueue": "stdlib:queue_priorityqueue",
    "asyncio.Queue": "stdlib:asyncio_queue",
    "collections.deque": "stdlib:collections_deque",
    "janus": "janus:janus_queue",
    "culsans": "culsans:culsans_queue",
    "concx.Queue": "concx:queue",
    "concx.SimpleQueue": "concx:simplequeue",
    "concx.LifoQueue": "concx:lifoqueue",
    "concx.PriorityQueue": "concx:priorityqueue",
    "concx.RingQueue": "concx:ringqueue",
    "concx.SpscQueue": "concx:spscqueue",
    "futures.ThreadPoolExecutor": "stdlib:futures_threadpool",
    "futures.ThreadPoolExecutor/1 worker": "stdlib:futures_one_worker",
    "futures.ThreadPoolExecutor/2 workers": "stdlib:futures_two_workers",
    "two calls in two threads": "stdlib:calls_two_threads",
    "one call": "stdlib:calls_one_thread",
    "concx.ThreadPoolExecutor": "concx:threadpool",
    "concx.ThreadPoolExecutor/1 worker": "concx:threadpool_one_worker",
    "concx.ThreadPoolExecutor/2 workers": "concx:threadpool_two_workers",
    "concx.native.parallel_for": "concx:parallel_for",
    "concx.AtomicInt": "concx:atomic_int",
    "concx.Counter": "concx:counter",
    "concx.Counter/shared, 1 thread": "concx:counter_one_thread",
    "concx.Counter/shared, 2 threads": "concx:counter_two_threads",
    "concx.AtomicInt/shared, 2 threads": "concx:atomic_int_two_threads",
    "int under a Lock": "stdlib:locked_int",
    "int under a Lock, 2 threads": "stdlib:locked_int_two_threads",
    "itertools.count": "stdlib:itertools_count",
    "cereggii.AtomicInt64": "cereggii:atomic_int64",
    "concx.ConcurrentDict": "concx:concurrentdict",
    "concx.ConcurrentDict, 2 threads": "concx:concurrentdict_two_threads",
    "concx.ConcurrentDict/shared, 1 thread": "concx:concurrentdict_shared_one_thread",
    "concx.ConcurrentDict/shared, 2 threads": "concx:concurrentdict_shared_two_threads",
    "dict": "stdlib:plain_dict",
    "dict, 2 threads": "stdlib:plain_dict_two_threads",
    "dict under a Lock": "stdlib:locked_dict",
    "dict under a Lock, 2 threads": "stdlib:locked_dict_two_threads",
    "cereggii.AtomicDict": "cereggii:atomic_dict",
    "concx.lru_cache": "caches:concx_lru",
    "concx.lru_cache/shared, 1 thread": "caches:concx_one_thread",
    "concx.lru_cache/shared, 2 threads": "caches:concx_two_threads",
    "functools.lru_cache": "caches:standard_lru",
    "functools.lru_cache, 2 threads": "caches:standard_two_threads",
    "warp_cache.cache": "caches:warp",
    "a loop, 1 thread": "control:one_thread",
    "a loop, 2 threads": "control:two_threads",
    "concx.Cache/s3fifo": "boundedcaches:concx_default",
    "concx.Cache/lru": "boundedcaches:concx_lru",
    "concx.Cache/s3fifo, ttl": "boundedcaches:concx_ttl",
    "concx.Cache/lru, ttl": "boundedcaches:concx_lru_ttl",
    "concx.Cache/timer": "boundedcaches:concx_timed",
    "concx.Cache/shared, 1 thread": "boundedcaches:concx_one_thread",
    "concx.Cache/shared, 2 threads": "boundedcaches:concx_two_threads",
    "concx.Cache/shared, lru, 1 thread": "boundedcaches:concx_lru_one_thread",
    "concx.Cache/shared, lru, 2 threads": "boundedcaches:concx_lru_two_threads",
    "cachetools.LRUCache/lock, 2 threads": "boundedcaches:cachetools_two_threads",
    "cachebox.LRUCache, 2 threads": "boundedcaches:cachebox_two_threads",
    "cachetools.LRUCache": "boundedcaches:cachetools_lru",
    "cachetools.TTLCache": "boundedcaches:cachetools_ttl",
    "cachebox.LRUCache": "boundedcaches:cachebox_lru",
    "cachebox.TTLCache": "boundedcaches:cachebox_ttl",
    "theine.Cache": "boundedcaches:theine_cache",
    "moka_py.Moka": "boundedcaches:moka",
    "moka_py.Moka/ttl": "boundedcaches:moka_ttl",
    "functools.lru_cache/entries": "boundedcaches:functools_lru",
    "concx.cached": "cachedcalls:concx_cached",
    "concx.cached/ttl": "cachedcalls:concx_cached_ttl",
    "concx.cached/async": "cachedcalls:concx_cached_async",
    "cachetools.cached": "cachedcalls:cachetools_cached",
    "cachetools.cached/condition": "cachedcalls:cachetools_condition",
    "async_lru.alru_cache": "cachedcalls:alru",
    "a coroutine": "cachedcalls:coroutine",
    "concx.ProcessPoolExecutor": "processpools:ours",
    "concx.ProcessPoolExecutor/shared_empty": "processpools:shared",
    "futures.ProcessPoolExecutor": "processpools:standard",
    "concx.ProcessPoolExecutor, warm spare": "processpools:spare",
    "concx.ProcessPoolExecutor, start of a worker": "processpools:start",
    "concx.ProcessPoolExecutor, 25 tasks per worker": "processpools:recycled",
    "concx.ProcessPoolExecutor, spawned": "processpools:spawned",
    "concx.multiprocessing.Pool": "processpools:our_pool",
    "multiprocessing.Pool": "processpools:pool",
    "loky": "processpools:loky",
    "concx.mp.Lock": "mp_concx:lock",
    "multiprocessing.Lock": "mp_stdlib:lock",
    "concx.mp.Lock/with": "mp_concx:lock_with",
    "multiprocessing.Lock/with": "mp_stdlib:lock_with",
    "concx.mp.RLock": "mp_concx:rlock",
    "multiprocessing.RLock": "mp_stdlib:rlock",
    "concx.mp.RLock/with": "mp_concx:rlock_with",
    "multiprocessing.RLock/with": "mp_stdlib:rlock_with",
    "concx.mp.Semaphore": "mp_concx:semaphore",
    "multiprocessing.Semaphore": "mp_stdlib:semaphore",
    "concx.mp.Semaphore/with": "mp_concx:semaphore_with",
    "multiprocessing.Semaphore/with": "mp_stdlib:semaphore_with",
    "concx.mp.Event": "mp_concx:event",
    "multiprocessing.Event": "mp_stdlib:event",
    "concx.mp.Queue": "mp_concx:queue",
    "concx.mp.Queue/bytes": "mp_concx:queue_bytes",
    "concx.mp.Queue/get_many": "mp_concx:queue_many",
    "multiprocessing.Queue": "mp_stdlib:queue",
    "multiprocessing.SimpleQueue": "mp_stdlib:simplequeue",
    "multiprocessing.Pipe/bytes": "mp_stdlib:pipe",
    "concx.mp.Queue/async": "mp_concx:queue_async",
    "multiprocessing.Queue/run_in_executor": "mp_stdlib:queue_executor",
    "concx.payload": "mp_concx:parcels",
    "multiprocessing.Pipe": "mp_stdlib:pipe_objects",
    "faster_fifo": "faster_fifo:queue",
    "concx.ThreadPoolExecutor/gather": "concx:threadpool_plain",
    "concx.ThreadPoolExecutor/as_asyncio": "concx:threadpool_linked",
    "concx.ThreadPoolExecutor/gather_async": "concx:threadpool_native",
    "concx.ThreadPoolExecutor/run_in_executor": "concx:threadpool_executor",
}


def add(spec: str) -> str:
    """Register ``NAME=FILE.py:FUNCTION``; the name comes back."""
    name, equals, where = spec.partition("=")
    file, colon, function = where.rpartition(":")
    if not (name and equals and file and colon and function):
        raise ValueError(f"--add takes NAME=FILE.py:FUNCTION, not {spec!r}")
    WHERE[name] = f"{Path(file).resolve()}:{function}"
    return name


def load(name: str) -> Contender:
    """Import a contender; ImportError says that its package is missing."""
    try:
        where, _, function = WHERE[name].rpartition(":")
    except KeyError:
        raise ValueError(f"no contender is called {name!r}; known: {', '.join(WHERE)}") from None
    if where.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(where).stem, where)
        if spec is None or spec.loader is None:
            raise ImportError(f"{where} cannot be loaded")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(f"contenders.{where}")
    contender: Contender = getattr(module, function)()
    return contender
