"""What a worker process of `ProcessPoolExecutor` does."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from concurrent.futures import process as _standard
from concurrent.futures._base import LOGGER
from dataclasses import dataclass, replace
from multiprocessing import reduction
from typing import Any

from concx import _core, _pickled
from concx.futures import _mail

_std: Any = _standard  # more of it is used than is typed

__all__ = ["Descriptor", "Job", "main"]


class Descriptor:
    """A file descriptor that goes to a child while it is being started."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def detach(self) -> int:
        """The descriptor, in the child its own."""
        return self.fd

    def __reduce__(self) -> tuple[Any, ...]:
        return _detached, (reduction.DupFd(self.fd),)


def _detached(duplicate: Any) -> Descriptor:
    return Descriptor(duplicate.detach())


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker of a pool is told."""

    initializer: Callable[..., object] | None
    initargs: tuple[Any, ...]
    max_tasks: int | None
    max_rss: int | None
    forward_logs: bool
    arena_bytes: int
    views: str
    failure: Callable[..., Any] | None = None  # instead of `_failure`
    title: str = "Process"  # in the names of workers
    daemon: bool = False

    def like(self, **changes: Any) -> Job:
        """The same with changes."""
        return replace(self, **changes)


class _Forward(logging.Handler):
    """Sends log records to the process that owns the pool."""

    def __init__(self, worker: _core.ProcWorker) -> None:
        super().__init__()
        self._worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        """Send what can be pickled of the record: its text, not its arguments."""
        try:
            text = self.format(record)
            plain = copy.copy(record)
            plain.msg = plain.message = text
            plain.args = plain.exc_info = plain.exc_text = plain.stack_info = None
            self._worker.log(_pickled.dump(plain))
        except Exception:
            self.handleError(record)


def _failure(error: BaseException, *result: Any) -> Any:
    """What is sent for an exception, or for the one that its pickling raised.

    `result` is given if `error` was raised by its pickling.
    """
    try:
        return _pickled.dump(_std._ExceptionWithTraceback(error, error.__traceback__))
    except BaseException as second:
        return _pickled.dump(_std._ExceptionWithTraceback(second, second.__traceback__))


def main(segment: Descriptor, bell: Descriptor, mail: Descriptor, job: Job) -> None:
    """Be a worker until the pool says to stop."""
    worker = _core.ProcWorker(
        segment.detach(),
        bell.detach(),
        job.failure or _failure,
        job.max_tasks or 0,
        job.max_rss or 0,
    )
    desk = _mail.Desk(_mail.socket_of(mail.detach()), job.arena_bytes, job.views, worker.ring)
    worker.desk = desk
    if job.forward_logs:
        logging.getLogger().handlers[:] = [_Forward(worker)]
    try:
        if job.initializer is not None:
            try:
                job.initializer(*job.initargs)
            except BaseException:
                LOGGER.critical("Exception in initializer:", exc_info=True)
                worker.leave(True)
                return
        worker.run()
    except KeyboardInterrupt:
        worker.leave()  # it had nothing to do; the one who pressed Ctrl-C reads of it once
    finally:
        desk.close()
