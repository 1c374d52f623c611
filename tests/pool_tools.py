"""What the tests of pools of processes have their workers do.

The functions stand at module level, because workers that do not come by fork import them.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import mmap
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from concx.futures.process import ProcessPoolExecutor
from queue_tools import LIMIT, wait_until

METHODS = ("fork", "forkserver", "spawn")

MakePool = Callable[..., ProcessPoolExecutor]

every_method = pytest.mark.parametrize("method", METHODS)


@contextlib.contextmanager
def pools() -> Iterator[MakePool]:
    """What makes pools, which are killed and shut down at the end."""
    made: list[ProcessPoolExecutor] = []

    def make_pool(workers: int = 2, method: str = "fork", **options: Any) -> ProcessPoolExecutor:
        made.append(ProcessPoolExecutor(workers, multiprocessing.get_context(method), **options))
        return made[-1]

    yield make_pool
    for pool in made:
        pool.kill_workers()
        pool.shutdown()


class Held:
    """A task that has begun in a worker, and ends when it is told to."""

    def __init__(
        self, pool: ProcessPoolExecutor, folder: Path, name: str, result: Any = None
    ) -> None:
        self.started, self.go = folder / f"{name}-started", folder / f"{name}-go"
        self.future = pool.submit(touch_and_wait, str(self.started), str(self.go), result)
        wait_until(self.started.exists)

    def end(self) -> Any:
        self.go.touch()
        return self.future.result(LIMIT)


def touch_and_wait(started: str, go: str, result: Any = None) -> Any:
    """Say that the task has begun, wait for the word to end."""
    Path(started).touch()
    while not Path(go).exists():
        time.sleep(0.002)
    return result


def append(path: str, text: str) -> None:
    """One line of a file that several processes write."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{text}\n".encode())
    os.close(fd)


def append_and_reverse(path: str, number: int, data: bytes) -> tuple[int, bytes]:
    append(path, str(number))
    return number, data[::-1]


def append_and_die(path: str, text: str) -> None:
    append(path, text)
    die()


def die_until(path: str, lives: int) -> int:
    """Die so many times, then return how often it was tried."""
    append(path, "x")
    tries = len(Path(path).read_text().split())
    if tries <= lives:
        die()
    return tries


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def leave(code: int) -> NoReturn:
    os._exit(code)


def echo(value: Any) -> Any:
    return value


def nap(seconds: float, result: Any = None) -> Any:
    time.sleep(seconds)
    return result


def worker_pid(*ignored: Any) -> int:
    return os.getpid()


def log_something(name: str) -> None:
    logging.getLogger(name).warning("from %s", "afar")


def fail_to_start() -> None:
    raise RuntimeError("no")


def start_and_die(path: str) -> None:
    append(path, str(os.getpid()))
    die()


@functools.cache
def _kept() -> list[bytes]:
    return []


def keep(size: int) -> int:
    _kept().append(b"x" * size)
    return os.getpid()


def resident() -> int:
    """Bytes of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


class Unreadable:
    """Cannot be unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, ()


def _refuse() -> None:
    raise ValueError("not to be read")


def make_unreadable() -> Unreadable:
    return Unreadable()


WATCHED: dict[str, Any] = {}
"""The future whose result cancels it as it is read."""


class Canceller:
    """Becomes the answer of ``cancel()`` of the watched future."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _cancel_watched, ()


def _cancel_watched() -> bool:
    while "future" not in WATCHED:
        time.sleep(0.001)
    return bool(WATCHED["future"].cancel())


def make_canceller() -> Canceller:
    return Canceller()


def scribble() -> None:
    """Overwrite what this worker shares with its pool, but for the header that says what it is."""
    for link in Path("/proc/self/fd").iterdir():
        if "memfd:" in str(link.resolve()):
            with mmap.mmap(int(link.name), 1 << 16) as shared:
                shared[1024:40_000] = b"\xa5" * (40_000 - 1024)


class Unpicklable:
    """Cannot be pickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise ValueError("not to be written")


def make_unpicklable() -> Unpicklable:
    return Unpicklable()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def is_running(pid: int) -> bool:
    """Whether it exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


if sys.platform != "linux":
    raise RuntimeError("these tests look into /proc")
