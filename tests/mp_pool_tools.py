"""What the tests of `concx.multiprocessing.Pool` share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pool_tools as do
from concx import multiprocessing as mp
from queue_tools import LIMIT, wait_until

MakePool = Callable[..., mp.Pool]


@contextmanager
def making_pools() -> Iterator[MakePool]:
    """Pools that are terminated, however the test ends."""
    pools: list[mp.Pool] = []

    def make_pool(workers: int | None = 2, method: str = "fork", **options: Any) -> mp.Pool:
        pools.append(mp.get_context(method).Pool(workers, **options))
        return pools[-1]

    try:
        yield make_pool
    finally:
        for pool in pools:
            pool.terminate()
            pool.join()


class Held:
    """A task that has begun in a worker, and ends when it is told to."""

    def __init__(self, pool: mp.Pool, folder: Path, name: str, result: Any = None) -> None:
        started, self.go = folder / f"{name}-started", folder / f"{name}-go"
        self.result = pool.apply_async(do.touch_and_wait, (str(started), str(self.go), result))
        wait_until(started.exists)

    def end(self) -> Any:
        self.go.touch()
        return self.result.get(LIMIT)
