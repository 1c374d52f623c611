"""How much memory large arguments and results take without blocks: ``pool_pieces.py ARENA_BYTES``.

Each process has the data once, and of what is between them a few pieces exist at a time.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pool_tools as do
from concx import _core
from concx.futures.process import ProcessPoolExecutor

LIMIT = 50.0
MB = 1 << 20
HUGE = 300 * MB
MORE = 12 * _core.PIECE  # pieces under way, of both lanes, and what Python takes


def start_over() -> int:
    """Begin to measure: what this process has now."""
    Path("/proc/self/clear_refs").write_text("5")
    return most()


def most() -> int:
    """The most that it has had since."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


BEFORE = [0]


def begin() -> None:
    BEFORE[0] = start_over()


def took(data: bytearray | None = None) -> int:
    """What this worker has taken since begin()."""
    assert data is None or data[-1] == data[HUGE // 2] == 7
    return most() - BEFORE[0]


def make_data(n: int) -> bytearray:
    return bytearray(b"\7") * n


def main(arena_bytes: int) -> None:
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, context, arena_bytes=arena_bytes) as pool:
        (link,) = pool.submit(do.echo, None).result(LIMIT) or [
            member.link for member in pool._crew.members.values()
        ]
        data = make_data(HUGE)
        for _ in range(2):
            before = start_over()
            pool.submit(begin).result(LIMIT)
            worker = pool.submit(took, data).result(LIMIT)
            mine = most() - before
            print(f"argument: {mine / MB:.1f} MB here, {worker / MB:.1f} MB there")
            assert mine < MORE + arena_bytes
            assert worker < HUGE + MORE + arena_bytes
        for _ in range(2):
            before = start_over()
            pool.submit(begin).result(LIMIT)
            back = pool.submit(make_data, HUGE).result(LIMIT)
            mine, worker = most() - before, pool.submit(took).result(LIMIT)
            print(f"result: {mine / MB:.1f} MB here, {worker / MB:.1f} MB there")
            assert back == data
            assert mine < HUGE + MORE + arena_bytes
            assert worker < HUGE + MORE + arena_bytes
            del back
        shared = os.fstat(link.fileno()).st_blocks * 512
        print(f"shared: {shared / MB:.1f} MB")
        assert shared < MORE


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message=".*use of fork", category=DeprecationWarning)
    main(int(sys.argv[1]))
    print("checked")
