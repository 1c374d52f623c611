"""Futures and executors: `concurrent.futures`, natively, and awaitable.

>>> with ThreadPoolExecutor(2) as pool:
...     future = pool.submit(pow, 2, 10)
...     future.result()
1024
"""

import concurrent.futures as _std
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    BrokenExecutor,
    CancelledError,
    Executor,
    InvalidStateError,
)

from concx.futures._base import Future, as_completed, gather_async, wait
from concx.futures._pool import (
    Histogram,
    PoolStats,
    PriorityThreadPoolExecutor,
    ThreadPoolExecutor,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concx.futures._process import ProcessPoolExecutor, ProcessPoolStats, WorkerDied

TimeoutError = TimeoutError

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "BrokenExecutor",
    "CancelledError",
    "Executor",
    "Future",
    "Histogram",
    "InvalidStateError",
    "PoolStats",
    "PriorityThreadPoolExecutor",
    "ProcessPoolExecutor",
    "ProcessPoolStats",
    "ThreadPoolExecutor",
    "TimeoutError",
    "WorkerDied",
    "as_completed",
    "gather_async",
    "wait",
]
if hasattr(_std, "InterpreterPoolExecutor"):  # Python 3.14
    __all__ += ["InterpreterPoolExecutor"]


def __getattr__(name: str) -> object:
    """The pools that few programs use, imported when they are asked for: that is costly."""
    if name in {"ProcessPoolExecutor", "ProcessPoolStats", "WorkerDied"}:
        from concx.futures import _process

        return getattr(_process, name)
    if name == "InterpreterPoolExecutor":
        return getattr(_std, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
