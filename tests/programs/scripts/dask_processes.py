"""dask: the scheduler of processes with our executor as its pool."""

from __future__ import annotations

import operator
import os

import dask

from concx.futures import ProcessPoolExecutor


@dask.delayed
def square(value: int) -> int:
    return value * value


@dask.delayed
def pid() -> int:
    return os.getpid()


def main() -> None:
    with ProcessPoolExecutor(2) as pool, dask.config.set(scheduler="processes", pool=pool):
        total = dask.delayed(sum)([square(value) for value in range(100)])
        assert total.compute() == sum(value * value for value in range(100))
        parts = dask.compute(*[square(value) for value in range(50)])
        assert parts == tuple(value * value for value in range(50))
        assert pid().compute() != os.getpid()
        try:
            dask.delayed(operator.truediv)(1, 0).compute()
        except ZeroDivisionError:
            pass
        else:
            raise AssertionError("no ZeroDivisionError")
        assert pool.stats().submitted > 3
    print("ok")


if __name__ == "__main__":
    main()
