"""The owner of a pool that is to be killed: ``pool_owner.py METHOD SECONDS executor|pool|pieces``.

Prints the pids of its workers and of what else it has started; one worker is busy for that long. With
"pieces", of the others one waits for the rest of an argument, and one for room for the rest of a result.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import pool_tools as do
from concx import multiprocessing as ours
from concx.futures.process import ProcessPoolExecutor
from queue_tools import wait_until


def with_pool() -> None:
    pool = ours.get_context(sys.argv[1]).Pool(3)
    pool.map(do.nap, [0.2] * 3, 1)
    pool.apply_async(do.nap, (float(sys.argv[2]),))
    wait_until(lambda: pool.stats().running == 1)
    tell((process.pid for process in pool._pool), pool._workers._crew.zygote)


def with_executor() -> None:
    pool = ProcessPoolExecutor(3, multiprocessing.get_context(sys.argv[1]))
    busy = [pool.submit(do.nap, 0.2) for _ in range(3)]
    for future in busy:
        future.result()
    pool.submit(do.nap, float(sys.argv[2]))
    wait_until(lambda: pool.stats().running == 1)
    tell(pool._processes, pool._crew.zygote)


def with_pieces() -> None:
    pool = ProcessPoolExecutor(3, multiprocessing.get_context(sys.argv[1]), arena_bytes=0)
    for future in [pool.submit(do.nap, 0.2) for _ in range(3)]:
        future.result()
    held = threading.Event()
    pool.submit(do.nap, 0.1).add_done_callback(lambda _: (held.set(), time.sleep(60)))
    held.wait()
    pool.submit(do.nap, float(sys.argv[2]))
    pool.submit(bytes, 1 << 25)
    argument = pool.submit(len, bytes(1 << 25))
    links = [member.link for member in pool._crew.members.values()]
    wait_until(argument.running)
    wait_until(lambda: max(os.fstat(link.fileno()).st_blocks * 512 for link in links) > 1 << 22)
    tell(pool._processes, pool._crew.zygote)


def tell(pids: Iterable[int], zygote: Any) -> None:
    others = [] if zygote is None else [zygote._process.pid]
    print(*pids, "|", *others, flush=True)
    time.sleep(60)


if __name__ == "__main__":
    {"executor": with_executor, "pool": with_pool, "pieces": with_pieces}[sys.argv[3]]()
