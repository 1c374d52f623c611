"""`ProcessPoolExecutor`: the standard library's, over shared memory."""

from __future__ import annotations

import concurrent.futures as _futures
import concurrent.futures.process as _standard
import contextlib
import functools
import importlib
import itertools
import logging
import multiprocessing as mp
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from time import monotonic
from traceback import format_exception
from typing import TYPE_CHECKING, Any, TypeVar

from concx import _core, _payload
from concx.futures import _base, _mail, _pool, _worker
from concx.futures._manager import Crew, Manager, WorkerDied

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["BrokenProcessPool", "ProcessPoolExecutor", "ProcessPoolStats", "WorkerDied"]

_std: Any = _standard  # more of it is used than is typed

_T = TypeVar("_T")

_ON_DEATH = ("break", "replace")
_TERMINATE, _KILL = "terminate", "kill"
_FOREIGN = "this is a forked copy of a process pool: its workers belong to the other process"


class _CallQueue:
    """The standard name for what tasks wait in; there is no thread that feeds it."""

    def __init__(self, hub: _core.ProcHub) -> None:
        self._hub = hub

    def qsize(self) -> int:
        return int(self._hub.counts()[2])

    def close(self) -> None:
        """Nothing is to be closed."""

    def join_thread(self) -> None:
        """No thread is to be joined."""

    cancel_join_thread = close


@dataclass(frozen=True, slots=True)
class ProcessPoolStats:
    """What a pool has counted; the answer of ``stats()``.

    Attributes
    ----------
    workers : int
        Processes at this moment, spare ones included.
    submitted : int
        Tasks that were accepted.
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


def _handle(record: logging.LogRecord) -> None:
    """A log record of a worker, given to the logger of its name here."""
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


def _count(name: str, value: int | None, least: int) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int):
        raise TypeError(f"'{name}' must be an int, got {value!r}")
    if value < least:
        raise ValueError(f"'{name}' must be at least {least}, got {value!r}")
    return value


def _picklers(pickler: Any, post: _mail.Post) -> tuple[Any, Any]:
    """What pickles tasks, and what pickles those that could not be; None: the core's own, nothing."""
    if pickler == "pickle":
        return None, None
    if pickler == "auto":
        return None, functools.partial(_second_try, post)
    module = importlib.import_module(pickler) if isinstance(pickler, str) else pickler
    if not callable(getattr(module, "dumps", None)):
        raise TypeError(f"'pickler' must be a module with 'dumps', or its name, got {pickler!r}")
    return module.dumps, None


def _second_try(post: _mail.Post, task: Any, error: BaseException) -> Any:
    """A task that the standard pickler has refused, by cloudpickle if that is installed."""
    try:
        cloudpickle = importlib.import_module("cloudpickle")
    except ImportError:
        raise error from None
    try:
        return post.dump(task, cloudpickle.Pickler)
    except Exception:
        raise error from None


class ProcessPoolExecutor(_core.ProcessExecutorBase, _futures.ProcessPoolExecutor):
    """`concurrent.futures.ProcessPoolExecutor` over shared memory.

    Parameters
    ----------
    max_workers : int, optional
        The most processes; by default the number of CPUs.
    mp_context : multiprocessing context, optional
        How processes are started; by default as `multiprocessing` does.
    initializer : callable, optional
        Called with `initargs` at the start of every process.
    initargs : tuple, default ()
        The arguments of `initializer`.
    max_tasks_per_child : int, optional
        How many tasks a process runs before another one takes its place; not with "fork".
    on_worker_death : {"break", "replace"}, default "break"
        What the death of a worker means: the end of the pool, where every task fails with
        `BrokenProcessPool`, as in the standard library; or a new worker, where the task that it ran
        fails with `WorkerDied` and all others are run.
    warm_spares : int, default 0
        How many more processes wait to take the place of one that ends.
    max_rss : int, optional
        Bytes of resident memory above which a process ends after its task, and is replaced.
    forward_logs : bool, default False
        Send the log records of the workers to the loggers of this process.
    pickler : {"auto", "pickle"}, name of a module, or module, default "auto"
        What pickles tasks: the standard pickler and, if that fails, cloudpickle if it is installed;
        the standard pickler alone; or ``dumps`` of a module.
    views : {"own", "private", "readonly", "copy"}, default "own"
        What NumPy arrays and other buffers of 16 KiB and more are made of where they arrive, in workers and here. They
        cross in shared memory, and what arrives is that memory: "own", the receiver's alone, writable, for as long
        as it likes; "private", its pages copied when they are written, which is also what tasks with `retries` get
        under "own"; "readonly". Or "copy": ordinary memory.
    arena_bytes : int, default 2**30
        How much of such memory each process may have lent at once; what is more crosses in pieces, an argument when
        its task begins: do not write to it before.

    Notes
    -----
    With "fork", workers are forked from a process with one thread, which is itself forked at the first
    ``submit``: they see the state of that moment, those that replace others too.

    Thread safety: every method may be called from any thread.
    """

    _broken: Any
    _initializer: Any

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        on_worker_death: str = "break",
        warm_spares: int = 0,
        max_rss: int | None = None,
        forward_logs: bool = False,
        pickler: Any = "auto",
        views: str = "own",
        arena_bytes: int = _mail.ARENA_BYTES,
    ) -> None:
        _std._check_system_limits()
        if max_workers is None:
            max_workers = getattr(os, "process_cpu_count", os.cpu_count)() or 1
        if max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if mp_context is None:
            mp_context = mp.get_context("spawn" if max_tasks_per_child is not None else None)
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if max_tasks_per_child is not None:
            if not isinstance(max_tasks_per_child, int):
                raise TypeError("max_tasks_per_child must be an integer")
            if max_tasks_per_child <= 0:
                raise ValueError("max_tasks_per_child must be >= 1")
            if mp_context.get_start_method(allow_none=False) == "fork":
                raise ValueError(
                    "max_tasks_per_child is incompatible with the 'fork' multiprocessing start "
                    "method; supply a different mp_context."
                )
        if on_worker_death not in _ON_DEATH:
            raise ValueError(
                f"'on_worker_death' must be 'break' or 'replace', got {on_worker_death!r}"
            )
        if views not in _payload.VIEWS:
            raise ValueError(f"'views' must be one of {', '.join(_payload.VIEWS)}, got {views!r}")
        limit = _count("arena_bytes", arena_bytes, 0) or 0
        self._post = _mail.Post(limit, views)
        dump, fallback = _picklers(pickler, self._post)
        self._max_workers = max_workers
        self._mp_context = mp_context
        self._initializer = initializer
        self._initargs = initargs
        self._max_tasks_per_child = max_tasks_per_child
        self._on_worker_death = on_worker_death
        self._broken = False
        self._shutdown_thread = False
        self._shutdown_lock = threading.Lock()
        self._executor_manager_thread: Any = None
        self._hub = _core.ProcHub(_handle)
        self._hub.growing = True
        self._call_queue: Any = _CallQueue(self._hub)
        job = _worker.Job(
            initializer,
            initargs,
            max_tasks_per_child,
            _count("max_rss", max_rss, 1),
            bool(forward_logs),
            limit,
            views,
        )
        spares = _count("warm_spares", warm_spares, 0) or 0
        self._crew = Crew(self._hub, mp_context, job, max_workers, spares, self._post)
        self._processes: Any = self._crew.processes
        self._attach(self._hub, _base.Future, dump, fallback, self._post.dump)

    @property
    def _force_shutting_down(self) -> bool:
        """The standard name; its tests assign it."""
        return self._crew.forced

    @_force_shutting_down.setter
    def _force_shutting_down(self, value: bool) -> None:
        self._crew.forced = value

    # --- what the core calls --------------------------------------------------------------------

    def _grow(self) -> None:
        """Workers for a task that is about to come: no worker is idle."""
        with self._shutdown_lock:
            if self._hub.closed or self._shutdown_thread or self._crew.forced:
                return
            crew = self._crew
            if self._executor_manager_thread is None:
                try:
                    crew.fill() if crew.forks else crew.start()
                    crew.fill_spares()
                finally:  # it ends those that could be started, too
                    manager = Manager(self)
                    manager.start()
                    self._executor_manager_thread = manager
                    _std._threads_wakeups[manager] = self._hub
            elif crew.active() < crew.most:
                crew.activate()
                if crew.active() < crew.most:
                    crew.start()
                crew.fill_spares()
            self._hub.growing = crew.active() < crew.most

    def _refuse(self) -> None:
        """Say why nothing can be submitted."""
        if self._broken:
            raise BrokenProcessPool(self._broken)
        if self._shutdown_thread:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if _std._global_shutdown:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        raise RuntimeError(_FOREIGN)

    def _unpicklable(self, future: Any, error: BaseException) -> None:
        """The outcome of a task that could not be pickled."""
        text = "".join(format_exception(error))
        error.__cause__ = _std._RemoteTraceback(f'\n"""\n{text}"""')
        future.set_exception(error)

    # --- tasks ----------------------------------------------------------------------------------

    def submit_with(
        self,
        fn: Callable[..., _T],
        /,
        *args: Any,
        timeout: float | timedelta | None = None,
        retries: int = 0,
        **kwargs: Any,
    ) -> _base.Future[_T]:
        """Schedule ``fn(*args, **kwargs)`` with limits.

        Parameters
        ----------
        timeout : float, optional
            Seconds that the call may take, counted from its start. Then its worker is killed and
            replaced, and the future's exception is `TimeoutError`; other tasks are not touched.
        retries : int, default 0
            How often the call is made again, by another worker, if its worker dies; with
            ``on_worker_death="replace"``. For calls that may be made twice.
        """
        return self._submit_with(_pool._seconds("timeout", timeout), retries, fn, *args, **kwargs)

    def map(
        self,
        fn: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
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
            How many calls make one task.
        buffersize : int, optional
            How many tasks may be submitted whose results have not been asked for; all if None.

        Raises
        ------
        TimeoutError
            By the iterator, if a result is not there in time.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        end = None if timeout is None else monotonic() + timeout
        calls: Iterator[Any] = zip(*iterables, strict=False)
        if chunksize == 1:
            return _pool._mapped(self, fn, calls, end, buffersize)
        chunks = iter(lambda: tuple(itertools.islice(calls, chunksize)), ())
        call = functools.partial(_std._process_chunk, fn)
        several = _pool._mapped(self, call, ((chunk,) for chunk in chunks), end, buffersize)
        results: Iterator[_T] = _std._chain_from_iterable_of_lists(several)
        return results

    # --- the end --------------------------------------------------------------------------------

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks and let the workers end when all have run.

        Parameters
        ----------
        wait : bool, default True
            Return after the workers have ended.
        cancel_futures : bool, default False
            Cancel the tasks that have not begun.
        """
        if self._hub.foreign:  # nothing is to be ended, and the lock may be held for ever
            self._shutdown_thread = True
            return
        with self._shutdown_lock:
            self._shutdown_thread = True
            manager = self._executor_manager_thread
            self._hub.close()
        if cancel_futures:
            for future in self._hub.queued():
                future.cancel()
        if manager is not None and wait:
            manager.join()
        self._executor_manager_thread = None
        self._call_queue = None
        self._processes = None

    def _force_shutdown(self, operation: str) -> None:
        """What `terminate_workers` and `kill_workers` do; the standard name, which its tests call."""
        if operation not in (_TERMINATE, _KILL):
            raise ValueError(f"'operation' must be 'terminate' or 'kill', got {operation!r}")
        if self._hub.foreign:
            raise RuntimeError(_FOREIGN)
        with self._shutdown_lock:  # from now on no worker is started, who would not be found here
            self._crew.forced = True
            processes = list((self._processes or {}).values())
        self.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            with contextlib.suppress(ProcessLookupError, ValueError):
                if process.is_alive():
                    getattr(process, operation)()

    def terminate_workers(self) -> None:
        """Send SIGTERM to all workers; running tasks fail and the pool is at its end."""
        self._force_shutdown(operation=_TERMINATE)

    def kill_workers(self) -> None:
        """Send SIGKILL to all workers; running tasks fail and the pool is at its end."""
        self._force_shutdown(operation=_KILL)

    def stats(self) -> ProcessPoolStats:
        """What the pool has counted since it was made."""
        return ProcessPoolStats(len(self._crew.members), *self._hub.counts())


_core.bind_methods(ProcessPoolExecutor)
