"""Ctrl-C, which goes to a whole group of processes: ``pool_ctrl_c.py METHOD``.

Interrupts its own group while it waits for a task: one KeyboardInterrupt here, none that anybody
prints, and a pool that goes on.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pool_tools as do
from concx.futures.process import ProcessPoolExecutor
from queue_tools import wait_until

LIMIT = 30.0


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    pool = ProcessPoolExecutor(3, multiprocessing.get_context(sys.argv[1]))
    for future in [pool.submit(do.nap, 0.2) for _ in range(3)]:
        future.result(LIMIT)
    pids = list(pool._processes)
    busy = pool.submit(do.touch_and_wait, str(folder / "started"), str(folder / "never"))
    wait_until((folder / "started").exists)

    def interrupt() -> None:
        os.killpg(0, signal.SIGINT)

    thread = threading.Timer(0.1, interrupt)
    thread.start()
    try:
        threading.Event().wait(LIMIT)
        raise AssertionError("no interrupt came")
    except KeyboardInterrupt:
        print("interrupted")
    thread.join()
    assert isinstance(busy.exception(LIMIT), KeyboardInterrupt), busy
    wait_until(lambda: sum(map(do.is_running, pids)) <= 1)  # one may go on: it had a task
    assert [pool.submit(abs, -i).result(LIMIT) for i in range(10)] == list(range(10))
    pool.shutdown()


if __name__ == "__main__":
    main()
