"""The workers of a pool of `concx.multiprocessing`, on the engine of `ProcessPoolExecutor`."""

from __future__ import annotations

import multiprocessing.pool as _standard
import threading
import weakref
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import context as _context
from multiprocessing import util
from typing import Any

from concx import _core, _pickled
from concx.futures import _base, _mail, _worker
from concx.futures._manager import Crew, Manager, WorkerDied
from concx.multiprocessing._results import TERMINATED

__all__ = ["WorkerDied", "Workers"]

_std: Any = _standard  # more of it is used than is typed
_util: Any = util

_EXIT_PRIORITY = 15  # when the interpreter ends: that of the standard pool


def _failure(error: BaseException, *result: Any) -> Any:
    """What a worker sends for an exception of a task, or of the pickling of its result."""
    if result:
        return _pickled.dump(_std.MaybeEncodingError(error, result[0]))
    if not isinstance(error, Exception):
        raise error  # as in the standard library, it is the worker's end
    wrapped = _std.ExceptionWithTraceback(error, error.__traceback__)
    try:
        return _pickled.dump(wrapped)
    except Exception as second:
        return _pickled.dump(_std.MaybeEncodingError(second, wrapped))


def _drop_log(record: Any) -> None:
    """Workers of this pool send none."""


class _Crew(Crew):
    """There are as many workers as the pool was made with, whether there is work or not."""

    def __init__(self, workers: Workers, job: _worker.Job, most: int, process: Any) -> None:
        super().__init__(workers._hub, workers._mp_context, job, most, 0, workers._post)
        self._process = process

    def new_process(self, **how: Any) -> Any:
        """A worker that is not started yet."""
        process = self._process(self.context, **how)
        process.name = process.name.replace("Process", self.job.title)
        process.daemon = True
        return process

    def replace(self) -> None:
        """After one has ended: another one."""
        self.fill()


class _Manager(Manager):
    """Ends with the pool: when the interpreter does, it does not wait for tasks."""

    def __init__(self, workers: Workers) -> None:
        super().__init__(workers)  # type: ignore[arg-type]
        self.name = "concx-pool"
        self.daemon = True
        self.terminated = False
        self.finalizer = _util.Finalize(
            None, _terminate, args=(weakref.ref(self),), exitpriority=_EXIT_PRIORITY
        )

    def run(self) -> None:
        """Work until the pool is closed and done, terminated, or broken."""
        try:
            super().run()
        finally:
            self.finalizer.cancel()

    def is_ending(self) -> bool:
        """Whether no task can come any more."""
        workers = self.executor()
        return workers is None or workers._shutdown_thread

    def is_done(self) -> bool:
        """Whether the pool is broken, terminated, or closed and has no tasks."""
        if self.terminated and not self.broken:
            self.break_pool(TERMINATED)
        return super().is_done()

    def terminate(self) -> None:
        """Give up all tasks and end all workers."""
        self.terminated = True
        self.hub.wake()
        if threading.current_thread() is not self:
            self.join()


def _terminate(manager: weakref.ref[_Manager]) -> None:
    alive = manager()
    if alive is not None and alive.is_alive():
        alive.terminate()


def _is_daemon(process: Callable[..., Any], context: Any) -> bool:
    """Whether workers may have no children: a class of processes of one's own may say otherwise."""
    kind = getattr(context, "Process", None)
    if kind in (_context.ForkProcess, _context.SpawnProcess, _context.ForkServerProcess):
        return True
    probe = process(context)
    probe.daemon = True
    return bool(probe.daemon)


@_core.bind_methods
class Workers(_core.ProcessExecutorBase):
    """A pool's processes and what they are to do; if it goes, what was submitted is still done."""

    _on_worker_death = "replace"

    def __init__(
        self,
        context: Any,
        processes: int,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        max_tasks: int | None,
        process: Callable[..., Any],
    ) -> None:
        self._mp_context = context
        self._broken: str | bool = False
        self._shutdown_thread = False
        self._shutdown_lock = threading.Lock()
        self._force: list[bool] = []
        self._hub = _core.ProcHub(_drop_log)
        self._hub.growing = False
        self._post = _mail.Post(_mail.ARENA_BYTES, "own")
        self._attach(self._hub, _base.Future, None, None, self._post.dump)
        job = _worker.Job(
            initializer, tuple(initargs), max_tasks, None, False, _mail.ARENA_BYTES, "own"
        )
        forks = context.get_start_method(allow_none=False) == "fork"
        job = job.like(
            failure=_failure,
            title="PoolWorker",
            daemon=not forks or _is_daemon(process, context),
        )
        self._crew = _Crew(self, job, processes, process)
        try:
            self._crew.fill()
        except BaseException:
            for member in self._crew.members.values():
                member.process.terminate()
            for member in list(self._crew.members.values()):
                self._hub.bury(member.link, False)
                self._crew.forget(member)
            self._crew.end()
            raise
        self.manager = _Manager(self)
        self.manager.start()

    @property
    def processes(self) -> list[Any]:
        """The workers, as `multiprocessing.Process` shows them."""
        return list(self._crew.processes.values())

    def fill(self) -> None:
        """Start workers for those that have ended."""
        with self._shutdown_lock:
            if not self._hub.closed:
                self._crew.fill()

    def close(self) -> None:
        """Take no more tasks; the workers end when all have run."""
        with self._shutdown_lock:
            self._shutdown_thread = True
            self._hub.close()

    def counts(self) -> tuple[int, int, int, int, int, int]:
        """Workers, and what `ProcHub.counts` tells."""
        return (len(self._crew.members), *self._hub.counts())

    # --- what the core calls --------------------------------------------------------------------

    def _grow(self) -> None:
        """No worker is there, nor comes: the last try to start one has failed."""
        self.fill()

    def _refuse(self) -> None:
        if self._broken:
            raise BrokenProcessPool(self._broken)
        if self._shutdown_thread:
            raise ValueError("Pool not running")
        raise RuntimeError(
            "this is a forked copy of a process pool: its workers belong to the other process"
        )

    def _unpicklable(self, future: Any, error: BaseException) -> None:
        future.set_exception(error)
