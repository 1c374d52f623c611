"""dask: the threaded scheduler with our executor as its pool."""

from __future__ import annotations

import operator

import dask
from dask.threaded import get

from concx.futures import ThreadPoolExecutor


@dask.delayed
def square(value: int) -> int:
    return value * value


with ThreadPoolExecutor(3) as pool:
    with dask.config.set(scheduler="threads", pool=pool):
        total = dask.delayed(sum)([square(value) for value in range(300)])
        assert total.compute() == sum(value * value for value in range(300))
        parts = dask.compute(*[square(value) for value in range(50)])
        assert parts == tuple(value * value for value in range(50))
        try:
            dask.delayed(operator.truediv)(1, 0).compute()
        except ZeroDivisionError:
            pass
        else:
            raise AssertionError("no ZeroDivisionError")
    assert get({"a": 1, "b": (operator.add, "a", 1)}, "b", pool=pool) == 2
    assert pool.stats().completed > 300

print("ok")
