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
import re
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkContext, ForkProcess, SpawnContext, SpawnProcess
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


def touch_and_wait_for(paths: tuple[str, str]) -> None:
    touch_and_wait(*paths)


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


def die_at(number: int) -> int:
    """Die, if it is a 2."""
    if number == 2:
        die()
    return number


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


def about_process() -> tuple[str, bool]:
    process = multiprocessing.current_process()
    return process.name, process.daemon


def fail_with(error: BaseException) -> NoReturn:
    raise error


def _say(answer: Any) -> None:
    answer.send("child")


def has_child() -> str:
    """What a child of the worker says."""
    read, write = multiprocessing.Pipe(False)
    child = multiprocessing.get_context("fork").Process(target=_say, args=(write,))
    child.start()
    child.join()
    return str(read.recv())


class _Adult:
    """A process that is never daemonic."""

    @property
    def daemon(self) -> bool:
        return False

    @daemon.setter
    def daemon(self, value: bool) -> None:
        pass


class AdultProcess(_Adult, ForkProcess):
    """Forked."""


class AdultSpawnProcess(_Adult, SpawnProcess):
    """Spawned."""


class AdultContext(ForkContext):
    """A context of such processes."""

    Process = AdultProcess


class AdultSpawnContext(SpawnContext):
    """A context of such processes."""

    Process = AdultSpawnProcess


def log_something(name: str) -> None:
    logging.getLogger(name).warning("from %s", "afar")


def fail_to_start() -> None:
    raise RuntimeError("no")


def start_by(path: str) -> None:
    append(path, str(os.getpid()))


def start_and_die(path: str) -> None:
    start_by(path)
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


def limit_address_space(more: int) -> None:
    """This process may have so many bytes of address space more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, limits[1]))


def count_words(path: str) -> Counter[str]:
    """How often each word stands in a file."""
    return Counter(re.findall(rb"\w+", Path(path).read_bytes().lower()))  # type: ignore[arg-type]


def reduce_piece(piece: Any) -> tuple[int, int, int, float]:
    """Sum, minimum, maximum and sum of squares of an array of integers."""
    return int(piece.sum()), int(piece.min()), int(piece.max()), float((piece * 1.0) @ piece)


def make_and_reduce(seed: int, length: int) -> tuple[int, int, int, float]:
    return reduce_piece(make_piece(seed, length))


def make_piece(seed: int, length: int) -> Any:
    """An array that depends on the seed alone; numpy."""
    import numpy

    return numpy.random.default_rng(seed).integers(-(2**31), 2**31, length, dtype="int64")


_both: list[Any] = []


def keep_both(queue: Any, lock: Any) -> None:
    _both[:] = queue, lock


def put_kept(number: int) -> None:
    queue, lock = _both
    with lock:
        queue.put(number)


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


class UnpicklableError(Exception):
    """Cannot be pickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise ValueError("not to be written")


def raise_unpicklable() -> NoReturn:
    raise UnpicklableError("big")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def descriptors_but_arenas(crew: Any) -> int:
    """Those that are open, apart from the segments that a pool and its workers have lent from.

    How many those are depends on what was under way when a worker died.
    """
    held = {segment.id for segment in crew.post.store.segments}
    for member in list(crew.members.values()):
        held.update(member.box.segments)
    assert len(held) <= 4 * (1 + len(crew.members)), held
    return descriptors() - len(held)


def state(pid: int) -> str:
    """The letter that the kernel gives a process: R, S, T, Z …; X if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def is_running(pid: int) -> bool:
    """Whether it exists and is no zombie."""
    return state(pid) not in "ZX"


if sys.platform != "linux":
    raise RuntimeError("these tests look into /proc")
