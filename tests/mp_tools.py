"""What the tests between processes share: contexts, bounded children, and what children do.

The functions stand at module level, because children that do not come by fork import them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from queue_tools import LIMIT, wait_until

METHODS = ("fork", "forkserver", "spawn")


PRELOAD = """
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
int
fallocate(int fd, int mode, off_t offset, off_t length)
{
    (void)fd, (void)mode;
    if (getenv("NO_SPACE_BEYOND") && offset + length > atol(getenv("NO_SPACE_BEYOND"))) {
        errno = ENOSPC;
        return -1;
    }
    return 0;
}
int
fallocate64(int fd, int mode, off_t offset, off_t length)
{
    return fallocate(fd, mode, offset, length);
}
"""


def space_is_limited(folder: Path) -> dict[str, str]:
    """An environment in which segments get no pages beyond the offset ``NO_SPACE_BEYOND``, if that is set."""
    (folder / "full.c").write_text(PRELOAD)
    library = folder / "full.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-o", library, folder / "full.c"], check=True, timeout=50
    )
    return {**os.environ, "LD_PRELOAD": str(library)}


def start(method: str, target: Callable[..., Any], *args: Any) -> BaseProcess:
    """A daemonic child that runs ``target(*args)``."""
    child = multiprocessing.get_context(method).Process(target=target, args=args, daemon=True)  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # "multi-threaded, use of fork()"
        child.start()
    return child  # type: ignore[no-any-return]


@contextmanager
def running(method: str, target: Callable[..., Any], *args: Any) -> Iterator[BaseProcess]:
    """A child for the time of the block; it must end well by itself soon after."""
    child = start(method, target, *args)
    try:
        yield child
        child.join(LIMIT)
        assert child.exitcode == 0, f"the child ended with {child.exitcode}"
    finally:
        child.kill()
        child.join(LIMIT)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(child: BaseProcess) -> None:
    """Wait until the child has died by SIGKILL."""
    child.join(LIMIT)
    assert child.exitcode == -signal.SIGKILL


def acquire_and_die(lock: Any) -> None:
    lock.acquire()
    die()


def acquire_and_wait(lock: Any, held: Any, go: Any) -> None:
    with lock:
        held.set()
        assert go.wait(LIMIT)


def wait_and_tell(cond: Any, waiting: Any, woken: Any) -> None:
    with cond:
        waiting.release()
        cond.wait(LIMIT)
    woken.release()


def put_all(queue: Any, items: list[Any]) -> None:
    for item in items:
        queue.put(item)


def put_forever(queue: Any, number: int) -> None:
    i = 0
    while True:
        queue.put((number, i, b"x" * (i % 3000)))
        i += 1


def get_forever(queue: Any) -> None:
    while True:
        queue.get()


def add(value: Any, n: int) -> None:
    for _ in range(n):
        with value.get_lock():
            value.get_obj().value += 1  # `value.value` takes the lock once more


def work_off(queue: Any, done: Any) -> None:
    for item in iter(queue.get, None):
        done.put(item * 2)
        queue.task_done()


def dead(child: BaseProcess, method: str = "fork") -> None:
    """Until the child has died; one that is ours is a zombie then that nobody has waited for."""
    if method == "forkserver":
        killed(child)
        return
    wait_until(lambda: os.waitid(os.P_PID, child.pid or 0, os.WEXITED | os.WNOHANG | os.WNOWAIT))


def echo(there: Any, back: Any, n: int) -> None:
    for _ in range(n):
        back.put(there.get())


def shut_down(queue: Any, immediate: bool) -> None:
    queue.shutdown(immediate)


def finish(queue: Any, n: int) -> None:
    for _ in range(n):
        queue.get()
        queue.task_done()
