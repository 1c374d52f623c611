"""Random deaths in a `concx.multiprocessing.Pool`: ``mp_pool_kills.py COUNT SEED``.

Workers are killed after random times, whatever they do then, while `imap` is under way. Every call comes
to an end, none is made twice, what came back is right and in order, no more calls are lost than workers
died, and the pool is as strong as before.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import pool_tools as do
from concx import multiprocessing as mp
from queue_tools import wait_until

COUNT, SEED = int(sys.argv[1]), int(sys.argv[2])
LIMIT = 30.0
READY = 1
rng = random.Random(SEED)
journal = os.open(tempfile.mkstemp()[1], os.O_RDWR | os.O_APPEND | os.O_CREAT)


def data_of(number: int) -> bytes:
    return bytes([number % 251]) * (600_000 if number % 37 == 0 else number * 7919 % 12_000)


def task(message: tuple[int, bytes]) -> bytes:
    os.write(journal, b"%d\n" % message[0])
    return message[1] + b"end"


def numbers() -> Iterator[tuple[int, bytes]]:
    for number in itertools.takewhile(lambda _: not over.is_set(), itertools.count()):
        yield number, data_of(number)


def kill_some(pool: Any) -> None:
    for _ in range(COUNT):
        time.sleep(rng.random() * 0.02)
        members = pool._workers._crew.members
        # Three that end before they are ready would be the end of the pool.
        while not (ready := [m for m in list(members.values()) if m.link.state == READY]):
            time.sleep(0.001)
        rng.choice(ready).process.kill()
        killed.append(1)
    over.set()


def main() -> None:
    pool = mp.get_context("fork").Pool(3)
    pool.map(abs, range(3), 1)
    crew = pool._workers._crew
    before = do.descriptors_but_arenas(crew)
    killer = threading.Thread(target=kill_some, args=(pool,), daemon=True)
    killer.start()
    results = pool.imap(task, numbers())
    lost = done = 0
    signals: set[Any] = set()
    for number in itertools.count():
        try:
            result = results.next(LIMIT)
        except StopIteration:
            break
        except mp.WorkerDied as error:
            signals.add(error.signal)
            lost += 1
        else:
            assert result == data_of(number) + b"end", number
            done += 1
    killer.join()
    assert lost <= len(killed), (lost, len(killed))
    assert signals <= {signal.SIGKILL}, signals
    ran = os.pread(journal, 1 << 30, 0).decode().split()
    assert len(set(ran)) == len(ran), "a call was made twice"
    assert done <= len(ran) <= done + lost
    wait_until(lambda: len(pool._pool) == 3)
    wait_until(lambda: do.descriptors_but_arenas(crew) == before)
    pids = [process.pid for process in pool._pool]
    pool.close()
    pool.join()
    assert not any(do.is_running(pid) for pid in pids)
    print(f"{len(killed)} kills, {done} calls done, {lost} lost")


killed: list[int] = []
over = threading.Event()

if __name__ == "__main__":
    main()
