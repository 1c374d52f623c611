"""tqdm.contrib.concurrent.thread_map, which overrides nothing and takes the standard class by name."""

from __future__ import annotations

import concurrent.futures
import threading

from tqdm.contrib.concurrent import thread_map

from concx.futures import ThreadPoolExecutor

assert concurrent.futures.ThreadPoolExecutor is ThreadPoolExecutor

names: set[str] = set()


def work(value: int, more: int) -> int:
    names.add(threading.current_thread().name)
    return value + more


results = thread_map(work, range(1000), range(1000, 2000), max_workers=3, chunksize=10)
assert results == [1000 + 2 * i for i in range(1000)]
assert 1 <= len(names) <= 3

try:
    thread_map(divmod, [1, 1], [1, 0], max_workers=2)
except ZeroDivisionError:
    pass
else:
    raise AssertionError("no ZeroDivisionError")
print("ok")
