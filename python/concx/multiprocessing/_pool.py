"""`concx.multiprocessing.Pool`."""

from __future__ import annotations

import multiprocessing.context as _context
import multiprocessing.pool as _standard
import os
import queue
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from concx.multiprocessing._results import (
    ApplyResult,
    IMapIterator,
    IMapUnorderedIterator,
    MapResult,
    chunks,
)
from concx.multiprocessing._workers import WorkerDied, Workers

__all__ = ["Pool", "PoolStats", "WorkerDied"]

_S = TypeVar("_S")
_T = TypeVar("_T")

_std: Any = _standard  # more of it is used than is typed

_AHEAD = 64
"""Calls of an `imap` for each worker that are sent and not back."""


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What a pool of processes has counted; the answer of ``stats()``.

    Attributes
    ----------
    workers : int
        Processes at this moment.
    submitted : int
        Tasks that were sent; several calls of a ``map`` make one task.
    running, queued : int
        Tasks at this moment.
    completed, failed : int
        Tasks that workers have run and that returned, or raised.
    """

    workers: int
    submitted: int
    running: int
    queued: int
    completed: int
    failed: int


class _Outstanding:
    """The standard name for what is not done yet, as far as it can be counted."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def __len__(self) -> int:
        _, running, queued, *_ = self._workers._hub.counts()
        return running + queued


def _feed(calls: queue.SimpleQueue[Any], workers: Workers) -> None:
    """What the thread does that takes from the iterables of `imap`, one after the other."""
    while (entry := calls.get()) is not None:
        results, func, items = entry
        results._feed(workers.submit, func, items)
        del entry, results, func, items
    workers.close()


class Pool(_standard.Pool):
    """`multiprocessing.pool.Pool` on shared memory.

    Parameters
    ----------
    processes : int, optional
        How many workers; by default the number of CPUs.
    initializer : callable, optional
        Called with `initargs` at the start of every worker.
    initargs : iterable, default ()
        The arguments of `initializer`.
    maxtasksperchild : int, optional
        How many tasks a worker runs before another one takes its place.
    context : multiprocessing context, optional
        How workers are started; by default as `multiprocessing` does.

    Notes
    -----
    The death of a worker fails the task that it ran with `WorkerDied`, and another worker takes its
    place; the standard pool waits for the result for ever. With "fork", workers are forked from a
    process with one thread, which is itself forked by the constructor.

    Thread safety: every method may be called from any thread.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
    ) -> None:
        self._state: str = _std.INIT
        self._pid = os.getpid()
        self._ctx: Any = _context._default_context.get_context() if context is None else context
        if processes is None:
            count: Any = getattr(os, "process_cpu_count", os.cpu_count)()
            processes = int(count or 1)
        if processes < 1:
            raise ValueError("Number of processes must be at least 1")
        most: Any = maxtasksperchild
        if most is not None and (not isinstance(most, int) or most <= 0):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._processes = processes
        self._maxtasksperchild = maxtasksperchild
        self._initializer = initializer
        self._initargs = initargs
        self._feeder_lock = threading.Lock()
        self._task_handler: threading.Thread | None = None
        self._taskqueue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._workers = Workers(
            self._ctx, processes, initializer, tuple(initargs), maxtasksperchild, self.Process
        )
        self._submit = self._workers.submit
        self._worker_handler = self._result_handler = self._workers.manager
        self._terminate = self._workers.manager.terminate
        self._cache = _Outstanding(self._workers)
        self._state = _std.RUN

    # At the interpreter's end the names of modules are gone.
    def __del__(
        self, _warn: Any = warnings.warn, _run: str = _std.RUN, _getpid: Any = os.getpid
    ) -> None:
        if self._state == _run and self._pid == _getpid():
            _warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self)
            # What was sent is done, then the workers end: they go with the last reference.
            self._taskqueue.put(None)

    def _check_running(self) -> None:
        if self._state != _std.RUN:
            raise ValueError("Pool not running")

    @property
    def _pool(self) -> list[Any]:
        """The workers' processes."""
        workers = self.__dict__.get("_workers")
        return [] if workers is None else workers.processes

    def _repopulate_pool(self) -> None:
        """Start workers for those that have ended, which happens by itself, too."""
        self._workers.fill()

    def stats(self) -> PoolStats:
        """What the pool has counted since it was made."""
        return PoolStats(*self._workers.counts())

    # --- calls ----------------------------------------------------------------------------------

    def apply_async(
        self,
        func: Callable[..., _T],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callable[[_T], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> ApplyResult[_T]:
        """Have ``func(*args, **kwds)`` called by a worker.

        The call is pickled here; what cannot be pickled is raised by the result.
        """
        if self._state != _std.RUN:
            self._check_running()
        return ApplyResult(self._submit(func, *args, **kwds), callback, error_callback)

    if TYPE_CHECKING:  # the standard methods, which call the one below

        def map_async(
            self,
            func: Callable[[_S], _T],
            iterable: Iterable[_S],
            chunksize: int | None = None,
            callback: Callable[[list[_T]], object] | None = None,
            error_callback: Callable[[BaseException], object] | None = None,
        ) -> MapResult[_T]: ...

        def starmap_async(
            self,
            func: Callable[..., _T],
            iterable: Iterable[Iterable[Any]],
            chunksize: int | None = None,
            callback: Callable[[list[_T]], object] | None = None,
            error_callback: Callable[[BaseException], object] | None = None,
        ) -> MapResult[_T]: ...

    def _map_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        mapper: Callable[..., Any],
        chunksize: int | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> MapResult[Any]:
        self._check_running()
        items: Any = iterable if hasattr(iterable, "__len__") else list(iterable)
        if chunksize is None:
            chunksize = -(-len(items) // (self._processes * 4))
        if len(items) == 0:
            chunksize = 0
        result: MapResult[Any] = MapResult(len(items), chunksize, callback, error_callback)
        result._send(self._submit, mapper, func, items)
        return result

    def imap(
        self, func: Callable[[_S], _T], iterable: Iterable[_S], chunksize: int | None = 1
    ) -> _standard.IMapIterator[_T]:
        """Like ``map``, but an iterator that takes from `iterable` as the workers get on."""
        results: _standard.IMapIterator[_T] = self._imap(IMapIterator, func, iterable, chunksize)
        return results

    def imap_unordered(
        self, func: Callable[[_S], _T], iterable: Iterable[_S], chunksize: int | None = 1
    ) -> _standard.IMapIterator[_T]:
        """Like ``imap``, but the results come as they are ready."""
        kind = IMapUnorderedIterator
        results: _standard.IMapIterator[_T] = self._imap(kind, func, iterable, chunksize)
        return results

    def _imap(
        self,
        kind: type[IMapIterator],
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: Any,
    ) -> Any:
        self._check_running()
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize!r}")
        results = kind(_AHEAD * self._processes)
        if chunksize == 1:
            self._hand_over((results, func, iterable))
            return results
        self._hand_over((results, _std.mapstar, chunks(func, iterable, chunksize)))
        return (item for chunk in results for item in chunk)

    def _hand_over(self, entry: Any) -> None:
        """Give calls to the thread that takes from iterables, which starts with the first ones."""
        with self._feeder_lock:
            self._check_running()
            self._taskqueue.put(entry)
            if self._task_handler is None:
                self._task_handler = threading.Thread(
                    target=_feed,
                    args=(self._taskqueue, self._workers),
                    name="concx-pool-feeder",
                    daemon=True,
                )
                self._task_handler.start()

    # --- the end --------------------------------------------------------------------------------

    def close(self) -> None:
        """Take no more calls; the workers end when all have run."""
        with self._feeder_lock:
            if self._state != _std.RUN:
                return
            self._state = _std.CLOSE
            if self._task_handler is None:
                self._workers.close()
            else:
                self._taskqueue.put(None)

    def terminate(self) -> None:
        """End all workers now: what was not done fails with `BrokenProcessPool`."""
        self._state = _std.TERMINATE
        self._terminate()

    def join(self) -> None:
        """Wait for the workers to end, after ``close`` or ``terminate``."""
        if self._state == _std.RUN:
            raise ValueError("Pool is still running")
        if self._state == _std.CLOSE and self._task_handler is not None:
            self._task_handler.join()
        self._workers.manager.join()


Pool.__module__ = "concx.multiprocessing"
