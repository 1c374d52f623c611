"""Pools of processes that meet limits of their process: ``pool_limits.py descriptors|memory|space METHOD``."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import pool_tools as do
from concx import multiprocessing as ours
from concx.futures.process import ProcessPoolExecutor

LIMIT = 30.0
BIG = 96 << 20
METHOD = sys.argv[2]


@contextmanager
def limited(what: int, value: int) -> Iterator[None]:
    before = resource.getrlimit(what)
    resource.setrlimit(what, (value, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


def refused(body: Callable[[], Any], *errors: int) -> None:
    """It fails with one of these errors, or says that there is no memory."""
    number: int | None = None
    try:
        body()
    except MemoryError:
        number = errno.ENOMEM
    except OSError as error:
        number = error.errno
    if number not in errors:
        raise AssertionError(f"errno is {number}, not one of {errors}")


def refused_if_short(body: Callable[[], Any], value: Any) -> None:
    """There is no address space for a large object; without a GIL the interpreter has some in reserve."""
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        refused(body, errno.ENOMEM)
    else:
        assert body() == value


def executor(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        workers, multiprocessing.get_context(METHOD), on_worker_death="replace"
    )


def descriptors() -> None:
    """Many workers need more descriptors than there may be."""
    context = ours.get_context(METHOD)
    context.Pool(1).terminate()  # what multiprocessing starts once stays
    before = do.descriptors()
    with limited(resource.RLIMIT_NOFILE, before + 24):
        refused(lambda: context.Pool(100), errno.EMFILE)
        with context.Pool(1) as pool:
            assert pool.apply(abs, (-1,)) == 1
        pool.join()
        del pool
    assert do.descriptors() == before, os.listdir("/proc/self/fd")

    def submit_to_many() -> None:
        with executor(100) as many:
            try:
                for i in range(100):
                    many.submit(do.nap, 0.2, i)
            finally:
                assert many.stats().workers > 0

    with limited(resource.RLIMIT_NOFILE, before + 24):
        refused(submit_to_many, errno.EMFILE)
        with executor(1) as few:
            assert few.submit(abs, -1).result(LIMIT) == 1
        del few
    assert do.descriptors() == before, os.listdir("/proc/self/fd")


def address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def memory() -> None:
    """What its receiver has no address space for fails its own task, in the pool's process and in a worker."""
    data = bytes(BIG)
    with executor(1) as pool, ours.get_context(METHOD).Pool(1) as other:
        assert pool.submit(abs, -1).result(LIMIT) == 1
        assert other.apply(abs, (-1,)) == 1
        with limited(resource.RLIMIT_AS, address_space() + BIG // 2):
            # It crosses in pieces, out of the buffer that is there.
            assert pool.submit(len, data).result(LIMIT) == BIG
            assert other.apply_async(len, (data,)).get(LIMIT) == BIG
            assert pool.submit(abs, -2).result(LIMIT) == 2
            assert other.apply(abs, (-2,)) == 2
            refused_if_short(lambda: pool.submit(bytes, BIG).result(LIMIT), data)
            refused_if_short(lambda: other.apply_async(bytes, (BIG,)).get(LIMIT), data)
            assert pool.submit(abs, -3).result(LIMIT) == 3
            assert other.apply(abs, (-3,)) == 3
        assert pool.submit(len, data).result(LIMIT) == BIG
        assert other.apply(len, (data,)) == BIG
    other.join()
    # Workers that have not had anything large yet.
    with executor(1) as pool, ours.get_context(METHOD).Pool(1) as other:
        for submit in (pool.submit, lambda *task: other.apply_async(task[0], task[1:])):
            outcome(submit(do.limit_address_space, BIG // 2))
            for task, value in (((bytes, BIG), data), ((len, data), BIG)):
                refused_if_short(partial(outcome, submit(*task)), value)
            assert outcome(submit(abs, -4)) == 4
    other.join()


def spare_space(limit: int | None) -> None:
    """In this process: no pages for a segment beyond that offset; see `mp_tools.space_is_limited`."""
    os.environ.pop("NO_SPACE_BEYOND", None)
    if limit is not None:
        os.environ["NO_SPACE_BEYOND"] = str(limit)


def answers_or_has_no_space(future: Any, answer: Any) -> None:
    """It does, or it says that."""
    error = future.exception(LIMIT)
    if error is None:
        assert future.result() == answer
    else:
        assert isinstance(error, OSError), error
        assert error.errno == errno.ENOSPC, error


def space() -> None:
    """There are no pages for a segment, in the pool's process, in a worker, or for a worker's link."""
    data = os.urandom(1 << 20) * 12
    spare_space(0)
    with executor(1) as pool:
        for _ in range(2):
            refused(lambda: pool.submit(abs, -1), errno.ENOSPC)
        assert (pool.stats().queued, pool.stats().workers) == (0, 0)
        spare_space(None)
        assert pool.submit(abs, -1).result(LIMIT) == 1
        for limit in (0, 1 << 20):
            spare_space(limit)
            answers_or_has_no_space(pool.submit(len, data), len(data))
            assert pool.submit(abs, -2).result(LIMIT) == 2
            spare_space(None)
            assert pool.submit(len, data).result(LIMIT) == len(data)
        for limit in (0, 1 << 20):
            pool.submit(spare_space, limit).result(LIMIT)
            answers_or_has_no_space(pool.submit(bytes, len(data)), bytes(len(data)))
            assert pool.submit(abs, -3).result(LIMIT) == 3
            pool.submit(spare_space, None).result(LIMIT)
            assert pool.submit(bytes, len(data)).result(LIMIT) == bytes(len(data))
        assert pool.submit(do.echo, data).result(LIMIT) == data


def outcome(result: Any) -> Any:
    return result.get(LIMIT) if hasattr(result, "get") else result.result(LIMIT)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message=".*use of fork", category=DeprecationWarning)
    {"descriptors": descriptors, "memory": memory, "space": space}[sys.argv[1]]()
    print("checked")
