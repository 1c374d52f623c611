"""Random deaths in a pool of processes: ``pool_kills.py COUNT SEED METHOD``.

Workers are killed after random times, whatever they do then. Every task comes to an end, no task runs
twice, what came back is right and was run, no more tasks are lost than workers died, and nothing is left.
"""

from __future__ import annotations

import multiprocessing
import random
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import FIRST_COMPLETED
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import pool_tools as do
from concx.futures import wait
from concx.futures.process import ProcessPoolExecutor, WorkerDied

LIMIT = 30.0
READY = 1


def kill_some(
    pool: ProcessPoolExecutor, count: int, rng: random.Random, killed: list[int], over: Any
) -> None:
    for _ in range(count):
        time.sleep(rng.random() * 0.02)
        # Three that end before they are ready would be the end of the pool.
        while not (
            ready := [m for m in list(pool._crew.members.values()) if m.link.state == READY]
        ):
            time.sleep(0.001)
        member = rng.choice(ready)
        member.process.kill()
        killed.append(member.pid)
    over.set()


def size_of(number: int) -> int:
    return 600_000 if number % 37 == 0 else number * 7919 % 12_000


def descriptors_at_full_strength(pool: ProcessPoolExecutor) -> int:
    """With three workers and a spare one, whatever has happened."""
    until = time.monotonic() + LIMIT
    while len(pool._processes) < 4:
        assert time.monotonic() < until, f"{pool.stats()} after {LIMIT} s"
        wait([pool.submit(do.nap, 0.02) for _ in range(4)], LIMIT)
    return do.descriptors_but_arenas(pool._crew)


def journal_of(path: str) -> set[int]:
    """The numbers of the tasks that have run; each of them once."""
    ran = [int(line) for line in Path(path).read_text().split()]
    assert len(set(ran)) == len(ran), "a task ran twice"
    return set(ran)


def main(path: str, count: int, seed: int, method: str) -> None:
    rng = random.Random(seed)
    pool = ProcessPoolExecutor(
        3, multiprocessing.get_context(method), on_worker_death="replace", warm_spares=1
    )
    before = descriptors_at_full_strength(pool)
    killed: list[int] = []
    over = threading.Event()
    killer = threading.Thread(target=kill_some, args=(pool, count, rng, killed, over), daemon=True)
    killer.start()
    open_tasks: dict[Any, int] = {}
    done: set[int] = set()
    lost: dict[int, int] = {}
    number = 0
    while open_tasks or not over.is_set():
        while len(open_tasks) < 60 and not over.is_set():
            data = bytes([number % 251]) * size_of(number) + b"end"
            open_tasks[pool.submit(do.append_and_reverse, path, number, data)] = number
            number += 1
        finished = wait(open_tasks, LIMIT, FIRST_COMPLETED).done
        assert finished, f"no task has ended within {LIMIT} s: {pool.stats()}"
        for future in finished:
            k = open_tasks.pop(future)
            error = future.exception()
            if error is None:
                assert future.result() == (k, b"dne" + bytes([k % 251]) * size_of(k)), k
                done.add(k)
            else:
                assert isinstance(error, WorkerDied), error
                assert error.signal == signal.SIGKILL, error
                lost[k] = error.pid
    killer.join()
    # A death loses the one task that the worker ran, before or after it was written down.
    assert len(set(lost.values())) == len(lost), "a death lost several tasks"
    assert set(lost.values()) <= set(killed), "a task was lost by no death"
    ran = journal_of(path)
    assert done <= ran, f"results of tasks that did not run: {done - ran}"
    assert ran <= done | lost.keys(), f"tasks that ran and told nobody: {ran - done - lost.keys()}"
    assert done | lost.keys() == set(range(number)), "tasks that never ended"
    until = time.monotonic() + 5
    while (now := descriptors_at_full_strength(pool)) != before and time.monotonic() < until:
        time.sleep(0.01)
    assert now == before, (now, before)
    processes = list(pool._processes)
    pool.shutdown()
    assert not any(do.is_running(pid) for pid in processes)
    print(f"{method}: {len(killed)} kills, {len(done)} tasks done, {len(lost)} lost")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(f"{folder}/journal", int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
