"""tqdm.contrib.concurrent.process_map, which takes the standard class by name."""

from __future__ import annotations

import concurrent.futures
import os

from tqdm.contrib.concurrent import process_map

from concx.futures import ProcessPoolExecutor

assert concurrent.futures.ProcessPoolExecutor is ProcessPoolExecutor


def work(value: int, more: int) -> tuple[int, int]:
    return value + more, os.getpid()


def main() -> None:
    results = process_map(work, range(1000), range(1000, 2000), max_workers=2, chunksize=10)
    assert [total for total, _ in results] == [1000 + 2 * i for i in range(1000)]
    assert os.getpid() not in {pid for _, pid in results}
    try:
        process_map(divmod, [1, 1], [1, 0], max_workers=2)
    except ZeroDivisionError:
        pass
    else:
        raise AssertionError("no ZeroDivisionError")
    print("ok")


if __name__ == "__main__":
    main()
