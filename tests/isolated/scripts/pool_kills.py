"""Random deaths in a pool of processes: ``pool_kills.py COUNT SEED``.

Workers are killed after random times, whatever they do then. Every task comes to an end, no task runs
twice, what came back is right, no more tasks are lost than workers died, and nothing is left.
"""

from __future__ import annotations

import os
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

COUNT, SEED = int(sys.argv[1]), int(sys.argv[2])
LIMIT = 30.0
READY = 1
rng = random.Random(SEED)
journal = os.open(tempfile.mkstemp()[1], os.O_RDWR | os.O_APPEND | os.O_CREAT)


def task(number: int, data: bytes) -> tuple[int, bytes]:
    os.write(journal, b"%d\n" % number)
    return number, data[::-1]


def kill_some(pool: ProcessPoolExecutor) -> None:
    for _ in range(COUNT):
        time.sleep(rng.random() * 0.02)
        # Three that end before they are ready would be the end of the pool.
        while not (
            ready := [m for m in list(pool._crew.members.values()) if m.link.state == READY]
        ):
            time.sleep(0.001)
        rng.choice(ready).process.kill()
        killed.append(1)
    over.set()


def size_of(number: int) -> int:
    return 600_000 if number % 37 == 0 else number * 7919 % 12_000


def main() -> None:
    pool = ProcessPoolExecutor(3, on_worker_death="replace", warm_spares=1)
    pool.submit(abs, 1).result(LIMIT)
    before = do.descriptors()
    killer = threading.Thread(target=kill_some, args=(pool,), daemon=True)
    killer.start()
    open_tasks: dict[Any, int] = {}
    number = lost = done = 0
    while open_tasks or not over.is_set():
        while len(open_tasks) < 60 and not over.is_set():
            data = bytes([number % 251]) * size_of(number) + b"end"
            open_tasks[pool.submit(task, number, data)] = number
            number += 1
        finished = wait(open_tasks, LIMIT, FIRST_COMPLETED).done
        assert finished, f"no task has ended within {LIMIT} s: {pool.stats()}"
        for future in finished:
            k = open_tasks.pop(future)
            error = future.exception()
            if error is None:
                assert future.result() == (k, b"dne" + bytes([k % 251]) * size_of(k)), k
                done += 1
            else:
                assert isinstance(error, WorkerDied), error
                assert error.signal == signal.SIGKILL, error
                lost += 1
    killer.join()
    assert lost <= len(killed), (lost, len(killed))
    ran = os.pread(journal, 1 << 30, 0).decode().split()
    assert len(set(ran)) == len(ran), "a task ran twice"
    assert done <= len(ran) <= done + lost
    processes = list(pool._processes)
    # Four workers, whatever has happened: as many descriptors as before.
    pool.submit(abs, 1).result(LIMIT)
    until = time.monotonic() + 5
    while do.descriptors() != before and time.monotonic() < until:
        time.sleep(0.01)
    assert do.descriptors() == before, (do.descriptors(), before)
    pool.shutdown()
    assert not any(do.is_running(pid) for pid in processes)
    print(f"{len(killed)} kills, {done} tasks done, {lost} lost")


killed: list[int] = []
over = threading.Event()

if __name__ == "__main__":
    main()
