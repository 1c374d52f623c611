"""The thread that manages the workers of a `ProcessPoolExecutor`."""

from __future__ import annotations

import concurrent.futures.process as _standard
import contextlib
import os
import signal
import socket
import threading
import weakref
from concurrent.futures import InvalidStateError
from concurrent.futures.process import BrokenProcessPool
from time import monotonic
from traceback import format_exception
from typing import TYPE_CHECKING, Any

from concx import _core, _payload
from concx.futures import _worker
from concx.futures._mail import Box, Post
from concx.futures._zygote import Zygote, bury

if TYPE_CHECKING:
    from concx.futures._process import ProcessPoolExecutor

_std: Any = _standard  # more of it is used than is typed

__all__ = ["Crew", "Manager", "WorkerDied"]

_BROKEN = "A child process terminated abruptly, the process pool is not usable anymore"
_LOST = (
    "A process in the process pool was terminated abruptly while the future was running or pending."
)
_FORCED = "The process pool was forcefully shut down; tasks that were still queued are not run"
_COLLECTED = (
    "The process pool was garbage collected, and its last worker has run as many tasks as it may; "
    "tasks that were still queued cannot be run"
)
_NO_WORKER = (
    "A worker process could not be started in the place of the last one; the process pool is not "
    "usable anymore"
)
_FAILED_INITIALIZER = "A process initializer failed, the process pool is not usable anymore"
_NEVER_STARTED = (
    "{} processes in a row ended before their first task, the process pool is not usable anymore; "
    "can the workers import the main module, and does it start processes under "
    "`if __name__ == '__main__':` only?"
)

MOST_STILLBORN = 3
"""Workers that may end before their first task, one after the other."""

PATIENCE = 2.0
"""Seconds that a worker has to end when it is terminated; then it is killed."""

_STARTING, _LEFT, _FAILED = 0, 2, 3  # states of a link


class WorkerDied(BrokenProcessPool):
    """The worker process that ran a task has died; the pool goes on.

    Attributes
    ----------
    pid : int
        Of the worker.
    exitcode : int
        What it ended with; the negative number of a signal.
    signal : signal.Signals or None
        What ended it.
    task : str
        The name of the function that was called.
    """

    def __init__(self, pid: int, exitcode: int | None, task: str) -> None:
        self.pid, self.exitcode, self.task = pid, exitcode, task
        self.signal: signal.Signals | None = None
        if exitcode is not None and exitcode < 0:
            with contextlib.suppress(ValueError):
                self.signal = signal.Signals(-exitcode)
        how = f"by {self.signal.name}" if self.signal else f"with exit code {exitcode}"
        super().__init__(f"worker process {pid} ended {how} while it ran {task}")

    def __reduce__(self) -> tuple[Any, ...]:
        return WorkerDied, (self.pid, self.exitcode, self.task)


def _name_of(fn: Any) -> str:
    while not hasattr(fn, "__qualname__") and hasattr(fn, "func"):
        fn = fn.func
    name = getattr(fn, "__qualname__", None)
    return repr(fn) if name is None else f"{getattr(fn, '__module__', None)}.{name}"


class Member:
    """One worker: its process and its link."""

    def __init__(
        self, process: Any, pidfd: int, link: _core.WorkLink, post: Post, box: Box
    ) -> None:
        self.process = process
        self.pidfd = pidfd
        self.link = link
        self.post = post
        self.box = box
        self.killed = False  # by the pool, for its task was out of time
        self.ended = False  # the hub has told so
        self.pid: int = process.pid

    def expect(self, head: bytes) -> list[tuple[int, bool]]:
        """The parts of a result's bulk, which comes in pieces."""
        return _payload.bulk_sizes(head)

    def load(self, data: memoryview, bulk: list[Any] | None = None) -> Any:
        """A result with lent blocks, or with a bulk that came in pieces."""
        return self.post.load(self.box, data, bulk)

    def receive(self) -> None:
        """It has sent segments."""
        self.box.answer(self.box.receive())


class Crew:
    """The workers of one pool. The lock of the executor is held where they are started."""

    def __init__(
        self,
        hub: _core.ProcHub,
        context: Any,
        job: _worker.Job,
        most: int,
        spares: int,
        post: Post,
    ) -> None:
        self.hub = hub
        self.post = post
        self.context = context
        self.job = job
        self.most = most
        self.spares = spares
        self.forks = context.get_start_method(allow_none=False) == "fork"
        self.zygote: Zygote | None = None
        self.members: dict[int, Member] = {}
        self.processes: dict[int, Any] = {}
        self.forced = False  # ended by terminate_workers() or kill_workers(): no worker is started

    def active(self) -> int:
        """How many workers get tasks."""
        return sum(member.link.active for member in self.members.values())

    def new_process(self, **how: Any) -> Any:
        """A worker that is not started yet."""
        return self.context.Process(**how)

    def start(self, *, active: bool = True) -> None:
        """Start one worker."""
        link = _core.WorkLink()
        if self.forks and self.zygote is None:
            self.zygote = Zygote(self.hub.fileno(), self.job)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                process, pidfd = _spawn_worker(self, link.fileno(), theirs.fileno())
        except BaseException:
            ours.close()
            raise
        member = Member(process, pidfd, link, self.post, Box(ours))
        self.post.add(member.box)
        self.members[member.pid] = member
        self.processes[member.pid] = member.process
        self.hub.add(link, member, member.pidfd, active, self.job.max_tasks)

    def fill(self) -> None:
        """Start workers up to the number that there may be."""
        while self.active() < self.most:
            self.start()
        self.fill_spares()

    def fill_spares(self) -> None:
        """Start spare workers up to their number."""
        while len(self.members) - self.active() < self.spares:
            self.start(active=False)

    def replace(self) -> None:
        """After one has ended: a spare one steps in, another one is started if there is work."""
        try:
            self.activate()
            # Not all at once: those that come late find the tasks done.
            if self.active() < self.most and self.hub.pending:
                self.start()
            self.fill_spares()
        finally:
            self.hub.growing = self.active() < self.most

    def activate(self) -> None:
        """Give tasks to spare workers as far as there is room."""
        for member in self.members.values():
            if self.active() >= self.most:
                break
            if not member.link.active and not member.ended:
                self.hub.activate(member.link)

    def forget(self, member: Member) -> int | None:
        """One that has ended: its exit status."""
        self.post.remove(member.box, member.pid)
        code = bury(member.process)
        self.members.pop(member.pid, None)
        self.processes.pop(member.pid, None)
        if not self.forks:
            os.close(member.pidfd)
        return code

    def end(self) -> None:
        """After the last one: the zygote, too."""
        zygote, self.zygote = self.zygote, None
        if zygote is not None:
            zygote.close()


def _spawn_worker(crew: Crew, segment: int, mail: int) -> tuple[Any, int]:
    """A new process that works over that segment and that end of a socket, and its pidfd."""
    if crew.zygote is not None:
        worker = crew.zygote.fork(segment, mail)
        return worker, worker.sentinel
    ends = map(_worker.Descriptor, (segment, crew.hub.fileno(), mail))
    process = crew.new_process(target=_worker.main, args=(*ends, crew.job))
    process.start()
    try:
        return process, _pidfd_of(process)
    except BaseException:
        process.kill()
        bury(process)
        raise


def _pidfd_of(process: Any) -> int:
    try:
        return os.pidfd_open(process.pid)
    except ProcessLookupError:
        # The forkserver has buried it already: a descriptor that says the same.
        read, write = os.pipe()
        os.close(write)
        return read


class Manager(threading.Thread):
    """Settles futures, and decides what follows from the death of a worker."""

    def __init__(self, executor: ProcessPoolExecutor) -> None:
        super().__init__(name="concx-process-pool")
        self.crew = executor._crew
        self.hub = executor._hub
        self.lock = executor._shutdown_lock
        self.replaces = executor._on_worker_death == "replace"
        hub = self.hub
        self.executor = weakref.ref(executor, lambda _: hub.wake())
        self.stillborn = self.done = 0
        self.broken = False

    def run(self) -> None:
        """Work until the pool is shut down and done, or broken."""
        try:
            while not self.is_done():
                self.handle_all(self.hub.poll())
        except BaseException as error:
            self.break_pool(cause=_text_of(error))
            raise
        finally:
            self.finish()

    def is_done(self) -> bool:
        """Whether the pool is broken, or shut down and has no tasks."""
        if not self.broken and self.is_ending() and not self.hub.closed:
            self.hub.close()
        return self.broken or (self.hub.closed and not self.hub.pending)

    def is_ending(self) -> bool:
        """Whether no task can come any more."""
        executor = self.executor()
        return executor is None or bool(executor._shutdown_thread) or bool(_std._global_shutdown)

    # --- events -------------------------------------------------------------------------------

    def handle_all(self, events: list[tuple[str, Any, Any]]) -> None:
        """What the hub has told; nothing of it is kept while it sleeps."""
        for event in events:
            self.handle(*event)

    def handle(self, what: str, member: Member, detail: Any) -> None:
        """One event: of a worker, with a detail."""
        if what == "ended":
            member.ended = True
            self.bury(member)
        elif what == "expired":
            member.killed = True
            member.process.kill()
        elif what == "damaged":
            member.process.kill()
        elif what == "unreadable":
            future, error = detail
            if self.replaces:
                _fail(future, error)
            else:
                self.break_pool(cause=_text_of(error), also=[future])

    def bury(self, member: Member) -> None:
        """A worker has ended: what becomes of its task, of its place, of the pool."""
        self.handle_all(self.hub.drain(member.link))
        if self.broken:
            return
        state = member.link.state
        with self.lock:
            replaces = self.replaces and not self.crew.forced
            lost = self.hub.bury(member.link, replaces)
            code = self.crew.forget(member)
        self.count_stillborn(state == _STARTING and not lost)
        dead = []
        for future, fn, expired in lost:
            if expired:
                _fail(future, TimeoutError(f"{_name_of(fn)} was out of time"))
            elif replaces and state != _FAILED:
                _fail(future, WorkerDied(member.pid, code, _name_of(fn)))
            else:
                dead.append(future)
        del lost
        if state == _FAILED:
            self.break_pool(_FAILED_INITIALIZER, also=dead)
        elif dead or not (replaces or member.killed or state == _LEFT):
            abrupt = f"Process {member.pid} terminated abruptly with exit code {code}"
            self.break_pool(cause=abrupt if code else None, also=dead)
        elif self.stillborn >= MOST_STILLBORN:
            self.break_pool(_NEVER_STARTED.format(self.stillborn))
        else:
            self.go_on(worn=state == _LEFT and member.link.budget == 0)

    def count_stillborn(self, stillborn: bool) -> None:
        """How many have ended in a row before they were ready; tasks that were done end the row."""
        *_, completed, failed = self.hub.counts()
        if not stillborn or completed + failed != self.done:
            self.stillborn = 0
        self.done = completed + failed
        self.stillborn += stillborn

    def go_on(self, *, worn: bool) -> None:
        """The place of a worker that has ended is taken by another if there is work for it.

        `worn` is one that has run as many tasks as it may. As in the standard library, nobody takes its
        place once the executor has been collected, unless workers are replaced anyway.
        """
        why, cause = None, None
        with self.lock:
            if self.is_ending() and not self.hub.pending:
                return
            if self.crew.forced:
                why = _FORCED
            elif worn and not self.replaces and self.executor() is None:
                self.crew.activate()
                why = _COLLECTED
            else:
                try:
                    self.crew.replace()
                except Exception as error:
                    why, cause = _NO_WORKER, _text_of(error)
            deserted = why is not None and not self.crew.members and self.hub.pending
        if deserted:
            self.break_pool(why or _BROKEN, cause=cause)

    # --- the end ------------------------------------------------------------------------------

    def break_pool(
        self,
        why: str = _BROKEN,
        *,
        cause: str | None = None,
        also: list[Any] | None = None,
    ) -> None:
        """Nothing more is taken, all tasks fail, all workers are terminated."""
        self.broken = True
        executor = self.executor()
        with self.lock:
            self.hub.close()
            if executor is not None:
                executor._broken = why
                executor._shutdown_thread = True
            del executor
        message = _LOST if why is _BROKEN else why
        for future in (also or []) + self.hub.take_all():
            error = BrokenProcessPool(message)
            if cause is not None:
                error.__cause__ = _std._RemoteTraceback(f"\n'''\n{cause}'''")
            _fail(future, error)
        del also
        for member in list(self.crew.members.values()):
            member.process.terminate()

    def finish(self) -> None:
        """Let all workers end, and wait for them."""
        with self.lock:
            self.hub.close()
            members = list(self.crew.members.values())
        for member in members:
            member.link.stop()
        until = monotonic() + PATIENCE if self.broken else None
        while self.crew.members:
            # The hub tells of each end once; of some it did while the pool was breaking.
            for member in [member for member in self.crew.members.values() if member.ended]:
                self.hub.drain(member.link)
                self.hub.bury(member.link, False)
                self.crew.forget(member)
            if not self.crew.members:
                break
            rest = None if until is None else max(until - monotonic(), 0.0)
            for what, member, _ in self.hub.sleep(rest):
                member.ended = member.ended or what == "ended"
                if what == "damaged":
                    member.process.kill()
            if until is not None and monotonic() >= until:
                until = None
                for member in self.crew.members.values():
                    member.process.kill()
        self.crew.end()


def _text_of(error: BaseException) -> str:
    return "".join(format_exception(error))


def _fail(future: Any, error: BaseException) -> None:
    with contextlib.suppress(InvalidStateError):
        future.set_exception(error)
