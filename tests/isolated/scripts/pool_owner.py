"""The owner of a pool that is to be killed: ``pool_owner.py METHOD SECONDS``.

Prints the pids of its workers and of what else it has started; one worker is busy for that long.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pool_tools as do
from concx.futures.process import ProcessPoolExecutor


def main() -> None:
    pool = ProcessPoolExecutor(3, multiprocessing.get_context(sys.argv[1]))
    busy = [pool.submit(do.nap, 0.2) for _ in range(3)]
    for future in busy:
        future.result()
    pool.submit(do.nap, float(sys.argv[2]))
    zygote = pool._crew.zygote
    others = [] if zygote is None else [zygote._process.pid]
    time.sleep(0.1)
    print(*pool._processes, "|", *others, flush=True)
    time.sleep(60)


if __name__ == "__main__":
    main()
