"""`ThreadPoolExecutor`: the standard library's, around native tasks."""

from __future__ import annotations

import concurrent.futures.thread as _std
import functools
import importlib
import itertools
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures._base import LOGGER
from concurrent.futures.thread import BrokenThreadPool
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from concx import _core
from concx.futures import _base

__all__ = [
    "BrokenThreadPool",
    "Histogram",
    "PoolStats",
    "PriorityThreadPoolExecutor",
    "ThreadPoolExecutor",
]

if TYPE_CHECKING:
    from datetime import timedelta

_T = TypeVar("_T")

_ON_FULL = ("block", "raise", "caller_runs")

_executors: weakref.WeakSet[ThreadPoolExecutor] = weakref.WeakSet()


def _work(
    executor: weakref.ref[ThreadPoolExecutor],
    queue: _core.TaskQueue,
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
) -> None:
    """What a worker thread does."""
    if initializer is not None:
        try:
            initializer(*initargs)
        except BaseException:
            LOGGER.critical("Exception in initializer:", exc_info=True)
            queue._lost()
            pool = executor()
            if pool is not None:
                pool._initializer_failed()
            return
    queue.run()
    pool = executor()
    if pool is not None and not pool._shutdown:
        pool._threads.discard(threading.current_thread())  # it was idle for too long, or spare


@dataclass(frozen=True, slots=True)
class Histogram:
    """How long something took, of one task in sixteen.

    Attributes
    ----------
    counts : tuple of int
        ``counts[i]`` durations were shorter than ``2**i`` microseconds, and not shorter than half
        of that.
    """

    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """How many durations were measured."""
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """The duration in seconds, rounded up to a power of two microseconds, that a share `q` of all does not exceed; 0 if there are none."""
        if not 0 <= q <= 1:
            raise ValueError(f"'q' must be from 0 to 1, got {q!r}")
        rest = q * self.total
        for i, count in enumerate(self.counts):
            rest -= count
            if count and rest <= 0:
                return 2.0**i / 1e6
        return 0.0


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What a pool has counted; the answer of ``stats()``.

    Attributes
    ----------
    workers : int
        Threads at this moment.
    submitted : int
        Tasks that were accepted.
    running, queued : int
        Tasks at this moment.
    completed, failed : int
        Tasks that workers have run and that returned, or raised.
    cancelled : int
        Tasks that workers found cancelled.
    stolen : int
        Tasks that a worker took from another one, to which a task of the pool had submitted them.
    queue_wait, run_time : Histogram
        How long tasks waited for a worker, and how long they ran.
    """

    workers: int
    submitted: int
    running: int
    queued: int
    completed: int
    failed: int
    cancelled: int
    stolen: int
    queue_wait: Histogram
    run_time: Histogram


class ThreadPoolExecutor(_core.ExecutorBase, _std.ThreadPoolExecutor):
    """`concurrent.futures.ThreadPoolExecutor` whose tasks and futures are native.

    Parameters
    ----------
    max_workers : int, optional
        The most threads; by default the number of CPUs and four, 32 at most.
    thread_name_prefix : str, default ""
        What the names of the threads begin with.
    initializer : callable, optional
        Called with `initargs` at the start of every thread.
    initargs : tuple, default ()
        The arguments of `initializer`.
    max_queue : int, optional
        How many tasks may wait; any number if None.
    on_full : {"block", "raise", "caller_runs"}, default "block"
        What ``submit`` does when so many wait: waits for room, raises `queue.Full`, or makes the
        call itself.
    copy_context : bool, default False
        Make each call in a copy of the submitter's context (``contextvars``).
    daemon : bool, default False
        Do not wait for the threads at the interpreter's exit.
    idle_timeout : float, optional
        Seconds after which a thread without work ends; never if None.

    Notes
    -----
    A worker that waits for the result of a task that is still queued in its own pool makes the call
    itself, so tasks may submit and wait for tasks without end.

    Thread safety: every method may be called from any thread.
    """

    _broken: Any
    _initializer: Any
    _counter = itertools.count().__next__
    _by_priority = False

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_queue: int | None = None,
        on_full: str = "block",
        copy_context: bool = False,
        daemon: bool = False,
        idle_timeout: float | timedelta | None = None,
    ) -> None:
        if max_workers is None:
            count = getattr(os, "process_cpu_count", os.cpu_count)
            max_workers = min(32, (count() or 1) + 4)
        if max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if not isinstance(max_workers, int):
            raise TypeError(f"'max_workers' must be an int, got {max_workers!r}")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if on_full not in _ON_FULL:
            raise ValueError(
                f"'on_full' must be 'block', 'raise' or 'caller_runs', got {on_full!r}"
            )
        if max_queue is not None and not isinstance(max_queue, int):
            raise TypeError(f"'max_queue' must be a positive int or None, got {max_queue!r}")
        if max_queue is not None and max_queue <= 0:
            raise ValueError(f"'max_queue' must be a positive int or None, got {max_queue!r}")
        idle_timeout = _seconds("idle_timeout", idle_timeout)
        self._max_workers = max_workers
        self._thread_name_prefix = thread_name_prefix or (
            f"ThreadPoolExecutor-{ThreadPoolExecutor._counter()}"
        )
        self._initializer = initializer
        self._initargs = initargs
        self._daemon = daemon
        self._threads: set[threading.Thread] = set()
        self._broken: str | bool = False
        self._shutdown = False
        self._shutdown_lock = threading.Lock()
        self._starts = threading.Condition()  # notified when a thread has started, or has not
        self._started = itertools.count().__next__
        me = weakref.ref(self)
        self._tasks = _core.TaskQueue(
            max_workers, max_queue or 0, idle_timeout, lambda: _start(me), self._by_priority
        )
        # A pool that nobody holds any more: its threads run what is left, and end.
        weakref.finalize(self, self._tasks.close).atexit = False
        self._work_queue: Any = self._tasks  # the standard name
        self._attach(self._tasks, _base.Future, _ON_FULL.index(on_full), copy_context)
        _executors.add(self)

    def _start_worker(self) -> None:
        """Start a thread; the core has counted it."""
        with self._starts:
            try:
                self._start_thread()
            except BaseException:
                self._tasks._lost()
                raise
            finally:
                self._starts.notify_all()

    def _start_thread(self) -> None:
        if _std._shutdown:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        thread = threading.Thread(
            name=f"{self._thread_name_prefix}_{self._started()}",
            target=_work,
            args=(weakref.ref(self), self._tasks, self._initializer, self._initargs),
            daemon=self._daemon or None,
        )
        self._threads.add(thread)
        try:
            thread.start()
        except BaseException:
            self._threads.discard(thread)
            raise
        if not self._daemon:
            _std._threads_queues[thread] = self._tasks  # type: ignore[index]

    def _refuse(self) -> None:
        """Say why nothing can be submitted; the core has found the queue closed."""
        if self._broken:
            raise BrokenThreadPool(self._broken)
        if _std._shutdown and not self._shutdown:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        raise RuntimeError("cannot schedule new futures after shutdown")

    def _initializer_failed(self) -> None:
        with self._shutdown_lock:
            self._broken = "A thread initializer failed, the thread pool is not usable anymore"
            self._tasks.close()
            for future in _drained(self._tasks):
                if future.set_running_or_notify_cancel():
                    future.set_exception(BrokenThreadPool(self._broken))

    @property
    def _idle_semaphore(self) -> threading.Semaphore:  # type: ignore[override]
        """How many threads have nothing to do; a copy, for those who look."""
        return threading.Semaphore(self._tasks._available)

    def map(
        self,
        fn: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        progress: bool = False,
    ) -> Iterator[_T]:
        """Call ``fn(*items)`` for the items of the iterables side by side; iterate over the results.

        Parameters
        ----------
        fn : callable
            What to call.
        *iterables : iterable
            Where the arguments come from.
        timeout : float, optional
            Seconds, from the call of ``map``, after which asking for a result fails.
        chunksize : int, default 1
            Without effect, as in every pool of threads.
        buffersize : int, optional
            How many tasks may be submitted whose results have not been asked for; all if None.
        progress : bool, default False
            Show a progress bar while the results are iterated over, with ``tqdm``.

        Raises
        ------
        TimeoutError
            By the iterator, if a result is not there in time.
        ImportError
            If there is to be a progress bar and tqdm is not installed.
        """
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        bar = _bar_for(iterables) if progress else None
        end = None if timeout is None else monotonic() + timeout
        results = _mapped(self, fn, zip(*iterables, strict=False), end, buffersize)
        return results if bar is None else iter(bar(results))

    def submit_native(
        self, cfunc: object, user_data: object = None, *, begin: int = 0, end: int = 1
    ) -> _base.Future[None]:
        """Schedule ``cfunc(begin, end, user_data)``, a C function, without the interpreter.

        Parameters
        ----------
        cfunc : range function
            See `concx.native`.
        user_data : object, optional
            An object with a buffer, a capsule, an address, or None; kept alive.
        begin, end : int
            The first two arguments.
        """
        from concx import native

        work = native._range(cfunc, begin, end, max(end - begin, 1), user_data)
        return self.submit(work.run)

    def shutdown(
        self,
        wait: bool = True,
        *,
        cancel_futures: bool = False,
        timeout: float | timedelta | None = None,
    ) -> None:
        """Take no more tasks and let the threads end when all have run.

        Parameters
        ----------
        wait : bool, default True
            Return after the threads have ended.
        cancel_futures : bool, default False
            Cancel the tasks that have not begun.
        timeout : float, optional
            The most seconds to wait.

        Raises
        ------
        TimeoutError
            If threads still run after `timeout` seconds; calling again waits on.
        """
        timeout = _seconds("timeout", timeout)
        end = None if timeout is None else monotonic() + timeout
        with self._shutdown_lock:
            self._shutdown = True
            self._tasks.close()
            cancelled = _drained(self._tasks) if cancel_futures else []
        for future in cancelled:
            if future.cancel():
                future.set_running_or_notify_cancel()
        if not wait:
            return
        joined: set[threading.Thread] = set()
        while threads := self._threads_but(joined):
            for thread in threads:
                thread.join(None if end is None else max(end - monotonic(), 0.0))
            if left := sorted(thread.name for thread in threads if thread.is_alive()):
                raise TimeoutError(f"{len(left)} threads still run after {timeout} s: {left}")
            joined |= threads

    def _threads_but(self, joined: set[threading.Thread]) -> set[threading.Thread]:
        """More threads to join; a submit that came before the end may still be starting one."""
        with self._starts:
            self._starts.wait_for(lambda: self._threads - joined or not self._workers())
            return self._threads - joined

    def _workers(self) -> int:
        return self._tasks._counts()[0]

    def stats(self) -> PoolStats:
        """What the pool has counted since it was made."""
        *counts, waits, runs = self._tasks._counts()
        fields: list[Any] = [*counts, Histogram(waits), Histogram(runs)]
        return PoolStats(*fields)


_core.bind_methods(ThreadPoolExecutor)


class PriorityThreadPoolExecutor(ThreadPoolExecutor):
    """A pool whose tasks with the smallest ``priority`` run first.

    ``submit(fn, /, *args, priority=0, **kwargs)``; tasks of one priority run in the order of
    submission. Everything else is as in `ThreadPoolExecutor`.
    """

    _by_priority = True

    def submit(  # type: ignore[override]
        self, fn: Callable[..., _T], /, *args: Any, priority: int = 0, **kwargs: Any
    ) -> _base.Future[_T]:
        """Schedule ``fn(*args, **kwargs)`` and return its `Future`.

        Parameters
        ----------
        priority : int, default 0
            From ``-2**63`` to ``2**63 - 1``; the smallest runs first.
        """
        return self._submit_at(priority, fn, *args, **kwargs)

    def submit_many(
        self, fn: Callable[[Any], _T], iterable: Iterable[Any], /, *, priority: int = 0
    ) -> list[_base.Future[_T]]:
        """Schedule ``fn(item)`` for every item; return the list of futures."""
        return [self._submit_at(priority, fn, item) for item in iterable]


def _start(executor: weakref.ref[ThreadPoolExecutor]) -> bool:
    """Start a worker that the core has counted; False if the executor is gone."""
    pool = executor()
    if pool is not None:
        pool._start_worker()
    return pool is not None


def _drained(queue: _core.TaskQueue) -> list[_base.Future[Any]]:
    taken: list[_base.Future[Any]] = []
    while True:
        future = queue._drain()
        if future is None:
            return taken
        taken.append(future)


def _seconds(name: str, value: Any) -> float | None:
    """A duration: a number of seconds, a timedelta, or None."""
    if value is None:
        return None
    seconds = value.total_seconds() if hasattr(value, "total_seconds") else value
    if not isinstance(seconds, (int, float)):
        raise TypeError(f"'{name}' must be a number of seconds, a timedelta or None, got {value!r}")
    if not seconds >= 0:
        raise ValueError(f"'{name}' must be a non-negative duration, got {value!r}")
    return seconds


def _bar_for(iterables: tuple[Iterable[Any], ...]) -> Callable[[Iterator[_T]], Iterable[_T]]:
    """What wraps the results of as many calls as the shortest iterable gives in a progress bar."""
    try:
        tqdm = importlib.import_module("tqdm.auto").tqdm
    except ImportError:
        raise ImportError("progress=True needs tqdm: pip install 'concx[progress]'") from None
    lengths = [len(each) for each in iterables if isinstance(each, Sized)]
    return functools.partial(tqdm, total=min(lengths, default=None))


def _mapped(
    executor: Any,
    fn: Callable[..., Any],
    calls: Iterator[Any],
    end: float | None,
    buffersize: int | None,
) -> Iterator[Any]:
    """Submit ``fn(*args)`` for all calls, or as many at a time, and iterate over the results."""
    submit = executor.submit
    if buffersize is None:
        return _results(deque([submit(fn, *args) for args in calls]), end, None, fn, calls)
    first = deque(submit(fn, *args) for args in itertools.islice(calls, buffersize))
    return _results(first, end, weakref.ref(executor), fn, calls)


def _results(
    futures: deque[Any],
    end: float | None,
    executor: weakref.ref[Any] | None,
    fn: Callable[..., Any],
    calls: Iterator[Any],
) -> Iterator[Any]:
    """The results of `futures` in order; refills them if there is an executor to submit to."""
    try:
        while futures:
            if executor is not None and (pool := executor()) is not None:
                if (args := next(calls, None)) is not None:
                    futures.append(pool.submit(fn, *args))
                del pool, args
            # Neither the future nor its result is kept while the generator is suspended.
            yield _take(futures.popleft(), end)
    finally:
        for future in futures:
            future.cancel()


def _take(future: Any, end: float | None) -> Any:
    try:
        return future.result(None if end is None else end - monotonic())
    except BaseException:
        future.cancel()
        raise
    finally:
        del future


def _after_fork_in_child() -> None:
    for executor in list(_executors):
        lost = executor._tasks._after_fork()
        waiting = _drained(executor._tasks)
        executor._threads.clear()
        executor._shutdown_lock = threading.Lock()
        executor._starts = threading.Condition()
        for future in lost:
            if not future.done():
                future.set_exception(
                    BrokenThreadPool("the thread that ran this does not exist in a forked child")
                )
        for future in waiting:
            if future.cancel():
                future.set_running_or_notify_cancel()


os.register_at_fork(after_in_child=_after_fork_in_child)
