"""`Future`, and waiting for many of them."""

from __future__ import annotations

import asyncio
import concurrent.futures as _std
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
)
from time import monotonic
from typing import Any, TypeVar

from concx import _core

__all__ = ["Future", "as_completed", "gather_async", "wait"]

_T = TypeVar("_T")

_NOTIFIED = ("CANCELLED_AND_NOTIFIED", "FINISHED")


class Future(_core.FutureBase[_T], _std.Future[_T]):
    """The outcome of a call that may not have been made yet; a `concurrent.futures.Future`.

    Executors make futures; threads ask them (``result``, ``exception``), event loops await them:
    ``await future``, or any function of asyncio that takes an awaitable or a future, but for
    ``asyncio.create_task``, which takes coroutines only.

    Notes
    -----
    A task that is cancelled while it awaits cancels the future if the call has not begun, and
    leaves a call alone that is being made, as a future wrapped by asyncio does.

    Thread safety: any thread and any event loop may use a future, several at the same time.
    """


_core.bind_methods(Future)


class _Adapter:
    """Stands in the `_waiters` of a future that is not ours and calls one function."""

    def __init__(self, call: Callable[[Any], object]) -> None:
        self.add_result = self.add_exception = self.add_cancelled = call


_Adapters = dict[Any, _Adapter | None]


def _observe(future: Any, call: Callable[[Any], object]) -> _Adapter | None:
    """Have `call(future)` called when `future` is finished or its cancellation known, or now."""
    if isinstance(future, Future):
        future._observe(call)
        return None
    adapter = _Adapter(call)
    with future._condition:
        if future._state not in _NOTIFIED:
            future._waiters.append(adapter)
            return adapter
    call(future)
    return None


def _observe_all(
    adapters: _Adapters,
    futures: Iterable[Any],
    call: Callable[[Any], object],
    foreign: Callable[[Any], object] | None = None,
) -> None:
    """Observe all, those that are not ours with another call if it is given."""
    for f in futures:
        adapters[f] = _observe(f, call if foreign is None or isinstance(f, Future) else foreign)


def _unobserve_all(adapters: _Adapters, call: Callable[[Any], object]) -> None:
    for f, adapter in adapters.items():
        if isinstance(f, Future):
            f._unobserve(call)
        elif adapter is not None:
            with f._condition:
                if adapter in f._waiters:
                    f._waiters.remove(adapter)


def _is_finished(future: Any) -> bool:
    return future._state in _NOTIFIED


class _Early:
    """A countdown's call for futures that are not ours: it cannot see into them."""

    def __init__(self, countdown: _core.Countdown) -> None:
        self.countdown = countdown

    def __call__(self, future: Any) -> None:
        if not future.cancelled() and future.exception() is not None:
            self.countdown.stop()
        self.countdown(future)


def wait(
    fs: Iterable[_std.Future[_T]], timeout: float | None = None, return_when: str = ALL_COMPLETED
) -> Any:
    """Wait for futures, of concx or not, in one sleep.

    Parameters
    ----------
    fs : iterable of Future
        What to wait for; each counts once.
    timeout : float, optional
        The most seconds to wait.
    return_when : {ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION}
        How many have to be done; FIRST_EXCEPTION: all, or the first that failed.

    Returns
    -------
    tuple of two sets
        Named ``done`` and ``not_done``.
    """
    if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
        raise ValueError(f"Invalid return condition: {return_when!r}")
    futures = set(fs)
    done = {f for f in futures if _is_finished(f)}
    pending = futures - done
    if not pending or (
        done
        and (
            return_when == FIRST_COMPLETED
            or (
                return_when == FIRST_EXCEPTION
                and any(not f.cancelled() and f.exception() is not None for f in done)
            )
        )
    ):
        return _Done(done, pending)
    target: Future[None] = Future()
    first = return_when == FIRST_EXCEPTION
    countdown = _core.Countdown(
        target, 1 if return_when == FIRST_COMPLETED else len(pending), first
    )
    foreign = _Early(countdown) if first else countdown
    adapters: _Adapters = {}
    try:
        _observe_all(adapters, pending, countdown, foreign)
        target.result(timeout)
    except TimeoutError:
        pass
    finally:
        _unobserve_all(adapters, countdown)
    done = {f for f in futures if _is_finished(f)}
    return _Done(done, futures - done)


_Done: Any = _std.wait([]).__class__  # DoneAndNotDoneFutures


def as_completed(
    fs: Iterable[_std.Future[_T]], timeout: float | None = None
) -> Iterator[_std.Future[_T]]:
    """Iterate over futures, of concx or not, in the order in which they are done.

    Raises
    ------
    TimeoutError
        If not all are done `timeout` seconds after the call.
    """
    end = None if timeout is None else monotonic() + timeout
    futures = set(fs)
    return _as_completed(futures, end)


def _next_of(
    queue: _core.SimpleQueue[Any],
    end: float | None,
    futures: set[Any],
    adapters: _Adapters,
    total: int,
) -> Any:
    try:
        rest = None if end is None else max(end - monotonic(), 0.0)
        f = _core.TaskQueue.block(queue.get, True, rest)
    except _core.Empty:
        raise TimeoutError(f"{len(futures)} (of {total}) futures unfinished") from None
    futures.discard(f)
    del adapters[f]
    return f


def _as_completed(futures: set[Any], end: float | None) -> Iterator[_std.Future[Any]]:
    total = len(futures)
    queue: _core.SimpleQueue[Any] = _core.SimpleQueue()
    put = queue.put
    adapters: _Adapters = {}
    try:
        _observe_all(adapters, futures, put)
        for _ in range(total):
            # No name for it: a generator that is suspended keeps its variables.
            yield _next_of(queue, end, futures, adapters, total)
    finally:
        _unobserve_all(adapters, put)


async def gather_async(
    futures: Iterable[Future[_T]], *, return_exceptions: bool = False
) -> list[Any]:
    """Await many futures without a task for each: the list of their results, in order.

    Parameters
    ----------
    futures : iterable of Future
        Futures of concx.
    return_exceptions : bool, default False
        Put exceptions into the list, instead of raising the first one as soon as it is there.

    Notes
    -----
    If the awaiting task is cancelled, so are the futures whose calls have not begun.
    """
    each = list(futures)
    for f in each:
        if not isinstance(f, Future):
            raise TypeError(f"gather_async() takes futures of concx, got {f!r}")
    target: Future[None] = Future()
    early = not return_exceptions
    countdown = _core.Countdown(target, len(each), early, early)
    if not each:
        return []
    try:
        for f in each:
            f.add_done_callback(countdown)
        await target
        return Future._outcomes(each, return_exceptions)
    except asyncio.CancelledError:
        if target.cancelled():  # the task was, not one of the futures
            for f in each:
                f.cancel()
        raise
    finally:
        for f in each:
            if not f.done():
                f.remove_done_callback(countdown)
