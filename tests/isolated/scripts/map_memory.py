"""Prints how many bytes an entry of a ConcurrentDict takes, key and value not counted.

    python map_memory.py ENTRIES

By what the process grows, so that what the allocators add is in it.
"""

from __future__ import annotations

import gc
import os
import sys

from concx.map import ConcurrentDict


def resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(entries: int) -> None:
    keys = list(range(10**6, 10**6 + entries))
    gc.collect()
    before = resident()
    m: ConcurrentDict[int, None] = ConcurrentDict()
    for key in keys:
        m[key] = None
    print((resident() - before) / entries)


if __name__ == "__main__":
    main(int(sys.argv[1]))
