"""What the tests of pools of processes have their workers do.

The functions stand at module level, because workers that do not come by fork import them.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

METHODS = ("fork", "forkserver", "spawn")

every_method = pytest.mark.parametrize("method", METHODS)


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


def start_by(path: str) -> None:
    append(path, str(os.getpid()))


def die_at_start() -> None:
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
