"""The process from which the workers of a pool are forked.

It is forked from the pool's process at the first task, has one thread, and waits for orders. So no
worker is forked from a process with threads, whenever it comes to be.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import select
import signal
import socket
import threading
from multiprocessing import connection, context, process
from time import monotonic, sleep
from typing import Any

from concx.futures import _worker

__all__ = ["Worker", "Zygote", "bury"]

_MOST = 1 << 16
_LATE = 1.0


def bury(process: Any) -> int | None:
    """The exit status of a child of `multiprocessing` that ends; waits for it.

    Whoever starts a process buries others that have ended, too, and ``join()`` of a thread that comes
    second returns before the first one has noted the status. Nothing tells of that.
    """
    process.join()
    until = monotonic() + _LATE
    while process.exitcode is None and monotonic() < until:
        sleep(0.001)
    code: int | None = process.exitcode  # None: it was not multiprocessing that took the status
    return code


class Worker:
    """A process that the zygote has forked, as `multiprocessing.Process` shows one."""

    def __init__(self, zygote: Zygote, pid: int, name: str, sentinel: int, daemon: bool) -> None:
        self.daemon = daemon
        self.pid = self.ident = pid
        self.name = name
        self.sentinel = sentinel
        self._zygote = zygote
        self._exitcode: int | None = None
        self._asking = threading.Lock()

    def __repr__(self) -> str:
        code = self.exitcode
        state = "started" if code is None else f"stopped exitcode={code}"
        return f"<{type(self).__name__} name={self.name!r} pid={self.pid} {state}>"

    @property
    def exitcode(self) -> int | None:
        """None while it runs; the negative number of the signal that ended it."""
        self.join(0)
        return self._exitcode

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.exitcode is None

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended."""
        if self._exitcode is None and connection.wait([self.sentinel], timeout):
            with self._asking:  # it is told once
                if self._exitcode is None:
                    self._exitcode = self._zygote.status(self.pid)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.sentinel, number)

    def __del__(self, close: Any = os.close) -> None:
        close(self.sentinel)  # not before: any thread may wait for it


class Zygote:
    """The pool's end of the wire to the process that forks workers."""

    def __init__(self, bell: int, job: _worker.Job) -> None:
        self._lock = threading.Lock()
        self._job = job
        self._pid = os.getpid()
        self._wire, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = context.ForkProcess(
            target=_main, args=(theirs, self._wire, bell, job), name="concx-zygote"
        )
        try:
            # An interrupt that comes before the zygote ignores it would end it.
            masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                self._process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        except BaseException:
            self._wire.close()
            raise
        finally:
            theirs.close()

    def _ask(self, *question: Any, fds: tuple[int, ...] = ()) -> tuple[Any, list[int]]:
        if os.getpid() != self._pid:
            raise RuntimeError("the workers of this pool belong to another process")
        with self._lock:
            try:
                socket.send_fds(self._wire, [pickle.dumps(question)], fds)
                data, got, _, _ = socket.recv_fds(self._wire, _MOST, 1)
            except OSError as error:
                raise RuntimeError(f"the process that forks workers is gone: {error}") from error
        if not data:
            raise RuntimeError("the process that forks workers is gone")
        answer = pickle.loads(data)
        if isinstance(answer, OSError):
            try:
                raise answer
            finally:
                del answer  # or it would hold this frame, and its traceback the pool
        return answer, got

    def fork(self, segment: int, mail: int) -> Worker:
        """A new worker over that segment and that end of a socket."""
        number = next(process._process_counter)  # type: ignore[attr-defined]
        name = f"Fork{self._job.title}-{number}"
        pid, fds = self._ask("fork", name, fds=(segment, mail))
        if not fds:  # no room for its pidfd here; nobody else waits for it, so the pid is its own
            os.kill(pid, signal.SIGKILL)
            self.status(pid)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return Worker(self, pid, name, fds[0], self._job.daemon)

    def status(self, pid: int) -> int | None:
        """The exit status of a worker that has ended, or 255 if nobody knows any more."""
        try:
            return int(self._ask("status", pid)[0])
        except RuntimeError:
            return 255

    def close(self) -> None:
        """Let it end; all workers have ended."""
        if os.getpid() == self._pid:
            # Not by hanging up alone: a process that was forked meanwhile holds the wire, too.
            with self._lock, self._wire, contextlib.suppress(OSError):
                self._wire.send(pickle.dumps(("quit",)))
            if bury(self._process) is not None:
                self._process.close()


def _main(wire: socket.socket, other: socket.socket, bell: int, job: _worker.Job) -> None:
    """The zygote's loop: until the pool hangs up, or its process has ended."""
    other.close()
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    parent: Any = process.parent_process()
    try:
        owner = os.pidfd_open(parent.pid)
    except ProcessLookupError:
        os._exit(0)
    if os.getppid() != parent.pid:
        os._exit(0)
    poll = select.poll()
    poll.register(owner, select.POLLIN)
    poll.register(wire, select.POLLIN)
    workers: dict[int, Any] = {}

    def begin(segment: int, mail: int) -> None:
        wire.close()
        os.close(owner)
        signal.signal(signal.SIGINT, interrupt)
        process._parent_process = parent  # type: ignore[attr-defined]
        of = _worker.Descriptor
        _worker.main(of(segment), of(bell), of(mail), job)

    while True:
        gone = owner in dict(poll.poll())
        data, fds, _, _ = (b"", [], 0, 0) if gone else socket.recv_fds(wire, _MOST, 2)
        if not data:
            os._exit(0)  # the workers see it for themselves; a return would terminate daemonic ones
        question = pickle.loads(data)
        if question[0] == "quit":
            return
        try:
            if question[0] == "fork":
                if len(fds) < 2:
                    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
                worker: Any = context.ForkProcess(
                    target=begin, args=tuple(fds), name=question[1], daemon=job.daemon
                )
                worker.start()
                workers[worker.pid] = worker
                pidfd = os.pidfd_open(worker.pid)
                socket.send_fds(wire, [pickle.dumps(worker.pid)], [pidfd])
                os.close(pidfd)
            else:
                worker = workers.pop(question[1])
                worker.join()
                wire.send(pickle.dumps(worker.exitcode))
        except OSError as error:
            wire.send(pickle.dumps(error))
        finally:
            for fd in fds:
                os.close(fd)
