"""The pool's own side of ProcessPoolExecutor: submits, cancels, questions, deaths and ends at once.

The workers are threads here. Each has a mapping of its segment, as a process would, so ThreadSanitizer, which
hangs in forked children of threaded programs, sees what the pool's threads do to each other. A worker that
dies goes on as a ghost in a segment that nobody reads.
"""

from __future__ import annotations

import collections
import functools
import itertools
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

from concx.futures import ProcessPoolExecutor, WorkerDied, _manager, _worker, wait
from queue_tools import LIMIT, TSAN, run_threads, wait_until

pytestmark = pytest.mark.stress

TASKS = 150 if TSAN else 500
KILLS = 15 if TSAN else 40
READY = 1

_pids = itertools.count(1 << 23)  # above any that the system gives
_ran: collections.Counter[int] = collections.Counter()
_noting = threading.Lock()


def note(number: int, nap: float = 0.0) -> int:
    """What the tasks do."""
    with _noting:
        _ran[number] += 1
    if nap:
        time.sleep(nap)
    return -number


class ThreadWorker:
    """A worker that is a thread, with what the pool asks of a process."""

    link: Any = None

    def __init__(self, crew: Any, segment: int, mail: int) -> None:
        self.pid = next(_pids)
        self.exitcode: int | None = None
        self._ending = threading.Lock()
        self.pidfd, self._alive = os.pipe()
        ends = os.dup(segment), os.dup(crew.hub.fileno()), os.dup(mail)
        self._thread = threading.Thread(target=self._run, args=(*ends, crew.job), daemon=True)
        self._thread.start()

    def _run(self, segment: int, bell: int, mail: int, job: Any) -> None:
        try:
            _worker.main(*map(_worker.Descriptor, (segment, bell, mail)), job)
        finally:
            self._end(0)
            os.close(bell)

    def _end(self, code: int) -> None:
        with self._ending:
            if self.exitcode is None:
                self.exitcode = code
                os.close(self._alive)

    def kill(self) -> None:
        self._end(-signal.SIGKILL)
        self.link.stop()

    terminate = kill

    def is_alive(self) -> bool:
        return self.exitcode is None

    def join(self) -> None:
        wait_until(lambda: self.exitcode is not None)

    def lay(self) -> None:
        """Wait until the ghost has gone, too."""
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ThreadWorker]]:
    """All that are started; pools start threads instead of processes."""
    started: list[ThreadWorker] = []

    def spawn(crew: Any, segment: int, mail: int) -> tuple[Any, int]:
        started.append(ThreadWorker(crew, segment, mail))
        return started[-1], started[-1].pidfd

    class Member(_manager.Member):
        def __init__(self, process: Any, pidfd: int, link: Any, *more: Any) -> None:
            process.link = link
            super().__init__(process, pidfd, link, *more)

    monkeypatch.setattr(_manager, "_spawn_worker", spawn)
    monkeypatch.setattr(_manager, "Member", Member)
    _ran.clear()
    yield started
    for worker in started:
        worker.lay()


def make_pool(**options: Any) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(3, context, on_worker_death="replace", **options)


def submit_some(pool: ProcessPoolExecutor, rng: random.Random, numbers: range) -> dict[int, Any]:
    """Futures of tasks with those numbers; one in three is cancelled or asked at once."""
    futures: dict[int, Any] = {}
    for number in numbers:
        choice = rng.random()
        try:
            if choice < 0.02:
                future = pool.submit_with(note, number, 0.15, timeout=0.05)
            elif choice < 0.1:
                future = pool.submit_with(note, number, retries=3)
            else:
                future = pool.submit(note, number, rng.random() * 0.002)
        except RuntimeError:
            assert pool._hub.closed
            break
        futures[number] = future
        if choice > 0.9:
            rng.choice(list(futures.values())).cancel()
        elif choice > 0.8:
            future.running()
            repr(future)
            stats = pool.stats()
            assert stats.running <= 3
    return futures


def kill_some(pool: ProcessPoolExecutor, rng: random.Random, over: threading.Event) -> None:
    for _ in range(KILLS):
        if over.wait(rng.random() * 0.01):
            return
        ready = [m for m in list(pool._crew.members.values()) if m.link.state == READY]
        if ready:
            rng.choice(ready).process.kill()


def check(futures: dict[int, Any], errors: tuple[type[BaseException], ...]) -> None:
    """Every task ended, none ran twice that was not to be tried again, and what came back is right."""
    assert wait(futures.values(), LIMIT).not_done == set()
    for number, future in futures.items():
        if future.cancelled():
            assert _ran[number] == 0, number
        elif future.exception() is None:
            assert future.result() == -number
            assert _ran[number] >= 1
        else:
            assert isinstance(future.exception(), errors), future.exception()
        assert _ran[number] <= 4, number


def run_all(pool: ProcessPoolExecutor, seed: int, at_end: Any = None) -> dict[int, Any]:
    """Three threads submit, a fourth kills; their futures."""
    over = threading.Event()
    parts: list[dict[int, Any]] = [{} for _ in range(3)]

    def submitter(k: int) -> None:
        numbers = range(k * TASKS, (k + 1) * TASKS)
        parts[k] = submit_some(pool, random.Random(seed + k), numbers)

    killer = threading.Thread(target=kill_some, args=(pool, random.Random(seed + 3), over))
    killer.start()
    calls: list[Any] = [lambda k=k: submitter(k) for k in range(3)]
    try:
        run_threads(*calls, *([at_end] if at_end else []))
    finally:
        over.set()
        killer.join(LIMIT)
    return {number: future for part in parts for number, future in part.items()}


def test_submit_cancel_die(workers: list[ThreadWorker], seed: int) -> None:
    for part in range(2 if TSAN else 4):
        _ran.clear()
        pool = make_pool(warm_spares=1)
        futures = run_all(pool, seed + part)
        check(futures, (WorkerDied, TimeoutError))
        assert len(futures) == 3 * TASKS
        # As in the standard library, one that comes after shutdown(wait=False) does not wait.
        run_threads(pool.shutdown, pool.shutdown, functools.partial(pool.shutdown, wait=False))
        wait_until(lambda: all(not worker.is_alive() for worker in workers))


@pytest.mark.parametrize("how", ["shutdown", "cancel", "kill_workers", "drop"])
def test_an_end_among_submits(workers: list[ThreadWorker], seed: int, how: str) -> None:
    for part in range(2 if TSAN else 6):
        _ran.clear()
        pool = make_pool()
        rng = random.Random(seed + part)

        def end(pool: ProcessPoolExecutor = pool, rng: random.Random = rng) -> None:
            wait_until(lambda: pool.stats().submitted > rng.random() * TASKS)
            if how == "kill_workers":
                pool.kill_workers()
            elif how != "drop":
                pool.shutdown(cancel_futures=how == "cancel")

        hub = pool._hub
        futures = run_all(pool, seed + part, end)
        del pool, end
        # What a forced end finds queued is cancelled, or lost with the pool.
        check(futures, (WorkerDied, TimeoutError, BrokenProcessPool))
        wait_until(lambda: all(not worker.is_alive() for worker in workers))
        assert not hub.pending
