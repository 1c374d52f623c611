"""Deaths on the way of a segment between a pool and its workers: ``pool_mail_kills.py worker|owner|retries``.

Segments go through a socket (`concx.futures._mail`). A process is killed before and after each call that sends
one, receives one, rings for the other side or waits for its answer, one such place after another: a worker,
whose task fails or is tried again while all others are done; or the pool's own process, whose workers end.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import select
import signal
import socket
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy

sys.path.insert(0, str(Path(__file__).parents[2]))

import pool_tools as do
from concx.futures import _mail, wait
from concx.futures.process import ProcessPoolExecutor, WorkerDied
from concx.shm import shared_array
from queue_tools import wait_until

LIMIT = 30.0
BIG = 1 << 18
FORK = multiprocessing.get_context("fork")


class Reaper:
    """Kills one process, when it comes to `place` for the `time`-th time."""

    def __init__(self, note: Path, place: str, time: int, *, owner: bool) -> None:
        self.note = note  # made by the one that dies
        self.place = place
        self.left = time
        self.owner = os.getpid()
        self.of_owner = owner

    def at(self, place: str) -> None:
        if place != self.place or (os.getpid() == self.owner) is not self.of_owner:
            return
        self.left -= 1
        if self.left == 0:
            try:
                fd = os.open(self.note, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            except FileExistsError:
                return  # another worker was there before
            os.write(fd, b"died")
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, name: str, call: Any) -> Any:
        def both(*args: Any, **kwargs: Any) -> Any:
            self.at(f"before {name}")
            result = call(*args, **kwargs)
            self.at(f"after {name}")
            return result

        return both


class Instead:
    """A module, or an object, with some names replaced."""

    def __init__(self, of: Any, **names: Any) -> None:
        self.__dict__.update(names)
        self.__dict__["_of"] = of

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)


def watch(reaper: Reaper) -> None:
    """Put the reaper round what the mail calls, here and in all that are forked from here."""
    poll_of, init = select.poll, DESK_INIT

    def poll() -> Any:
        made = poll_of()
        return Instead(made, poll=reaper.around("poll", made.poll))

    def make_desk(desk: Any, end: Any, limit: int, views: str, ring: Any) -> None:
        init(desk, end, limit, views, reaper.around("ring", ring))

    module: Any = _mail
    module.socket = Instead(
        socket,
        send_fds=reaper.around("send", socket.send_fds),
        recv_fds=reaper.around("receive", socket.recv_fds),
    )
    module.select = Instead(select, poll=poll)
    module.Desk.__init__ = make_desk


DESK_INIT: Any = _mail.Desk.__init__


def total(array: Any) -> int:
    return int(array.sum())


def tell_pids(path: str) -> None:
    do.append(path, f"{os.getpid()} {os.getppid()}")


def submit_all(pool: ProcessPoolExecutor, retries: int) -> list[tuple[Any, Any]]:
    """Tasks whose arguments and results need segments, and some that need none; with what they answer."""
    text = bytes(range(256)) * (BIG // 256)
    shared = shared_array(numpy.ones(BIG, "u1"))
    calls = [
        (do.echo, text, text),
        (bytes, BIG, bytes(BIG)),
        (abs, -1, 1),
        (total, numpy.ones(BIG, "u1"), BIG),
        (total, shared, BIG),
        (do.echo, text[1:], text[1:]),
    ]
    return [
        (pool.submit_with(call, argument, retries=retries), answer)
        for call, argument, answer in calls
    ]


def check(pool: ProcessPoolExecutor, retries: int = 0, deaths: int = 1) -> None:
    died = []
    for round_ in range(2):  # the second one tells of the shared array that has gone
        for future, answer in submit_all(pool, retries):
            error = future.exception(LIMIT)
            if error is None:
                assert future.result() == answer, round_
            else:
                assert isinstance(error, WorkerDied), error
                died.append(error.signal)
        gc.collect()
    assert died in ([], [signal.SIGKILL]), died
    assert len(died) <= deaths


def lent(pool: ProcessPoolExecutor) -> int:
    pool._post.store.trim()
    return sum(segment.lent for segment in pool._post.store.segments)


def kill_a_worker(folder: Path, place: str, nth: int, retries: int) -> bool:
    """Whether one has died there; no worker may come there so often."""
    note = folder / f"{place} {nth}"
    before = do.descriptors()
    watch(Reaper(note, place, nth, owner=False))
    pids = use_pool(note, retries)
    gc.collect()
    assert not any(map(do.is_running, pids))
    wait_until(lambda: do.descriptors() == before)
    return note.read_text() == "died"


def use_pool(note: Path, retries: int) -> list[int]:
    with ProcessPoolExecutor(2, FORK, on_worker_death="replace") as pool:
        check(pool, retries, deaths=0 if retries else 1)
        note.touch()  # nobody dies from here on
        check(pool, deaths=0)
        wait_until(lambda: lent(pool) == 0)
        return list(pool._processes)


def kill_the_owner(folder: Path, place: str, nth: int) -> bool:
    note, pids = folder / f"{place} {nth}", folder / f"pids {place} {nth}"
    child = os.fork()
    if child == 0:
        watch(Reaper(note, place, nth, owner=True))
        try:
            with ProcessPoolExecutor(2, FORK, initializer=tell_pids, initargs=(str(pids),)) as pool:
                wait([pool.submit(do.nap, 0.05) for _ in range(2)], LIMIT)
                check(pool, deaths=0)
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    _, status = os.waitpid(child, 0)
    begun = time.monotonic()
    others = {int(pid) for pid in pids.read_text().split()} - {child}
    assert len(others) == 3, others  # two workers, and what forks them
    wait_until(lambda: not any(map(do.is_running, others)), limit=10)
    assert time.monotonic() - begun < 2, "workers that were not idle, but waited for an answer"
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return note.read_text() == "died"
    assert os.WEXITSTATUS(status) == 0
    return False


def main(who: str, folder: Path) -> None:
    warnings.filterwarnings("ignore", message=".*use of fork", category=DeprecationWarning)
    shared = set(os.listdir("/dev/shm"))
    calls = ["send", "receive"] if who == "owner" else ["send", "receive", "ring", "poll"]
    deaths = 0
    for place in (f"{when} {call}" for call in calls for when in ("before", "after")):
        nth = 1
        while (
            kill_the_owner(folder, place, nth)
            if who == "owner"
            else kill_a_worker(folder, place, nth, retries=who == "retries")
        ):
            nth += 1
            deaths += 1
        assert nth > 1, f"nobody died {place}"
    assert {name for name in os.listdir("/dev/shm") if not name.startswith("sem.")} <= shared
    print(f"{who}: {deaths} deaths")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        main(sys.argv[1], Path(made))
