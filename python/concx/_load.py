"""What tasks do at a flight: the coroutines behind `SingleFlight` and `Cache`.

A thread's turn is made in C (``binding/flight.c``); a task's is a coroutine, because what it leads is one.
"""

import copy
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, NamedTuple, TypeVar

from concx._core import MISSING

__all__ = [
    "Counted",
    "Result",
    "SingleFlightStats",
    "copied",
    "do_async",
    "get_or_load_async",
    "take_turns",
]

_V = TypeVar("_V")


class Result(NamedTuple, Generic[_V]):
    """What `SingleFlight.do` returns.

    Attributes
    ----------
    value : object
        What the call returned.
    shared : bool
        Whether others got it too.
    """

    value: _V
    shared: bool


@dataclass(frozen=True)
class SingleFlightStats:
    """What ``SingleFlight.stats()`` returns.

    Attributes
    ----------
    calls, joined : int
        Calls that were made, and waits for one of them.
    woken : int
        How many of those waits slept until their call had ended; nothing else wakes them but a time-out, a
        signal or a cancellation.
    running : int
        Calls that are under way.
    """

    calls: int
    joined: int
    woken: int
    running: int


def copied(error: BaseException) -> BaseException:
    """An exception like it, for one more thread to raise.

    Without a GIL one exception must not be raised by several threads at once: each writes its traceback,
    and CPython does not guard that. One that cannot be copied is returned itself.
    """
    twin: BaseException | None
    try:
        twin = copy.copy(error)
    except Exception:
        twin = None
    if twin is error or type(twin) is not type(error):
        try:
            twin = type(error).__new__(type(error), *error.args)
            vars(twin).update(vars(error))
        except Exception:
            return error
    assert twin is not None
    twin.__cause__, twin.__context__ = error.__cause__, error.__context__
    twin.__suppress_context__ = error.__suppress_context__
    return twin.with_traceback(error.__traceback__)


class Counted:
    """A block that makes a value: the cache counts it, whether it fails, and its time."""

    __slots__ = ("_began", "_cache")

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, kind: object, *_: object) -> None:
        self._cache._loaded(time.monotonic() - self._began, kind is not None)


def _deadline(timeout: float | timedelta | None) -> float | None:
    if timeout is None:
        return None
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if not seconds >= 0:
        raise ValueError(f"'timeout' must be a non-negative number, got {timeout!r}")
    return time.monotonic() + seconds


async def take_turns(
    table: Any,
    key: Any,
    call: Callable[[Any], Awaitable[Any]],
    timeout: float | timedelta | None,
) -> tuple[Any, bool]:
    """``await call(flight)``, or the outcome of who does so already; and whether it is shared.

    The flight is None where nobody may wait for this call.
    """
    deadline = _deadline(timeout)
    while True:
        with table._trip(key) as trip:
            if not trip.joins:
                value = await call(trip.flight)
                trip.finish(value)
                return value, trip.is_shared
            rest = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if await trip.wait(rest):
                return trip.result(), True


async def do_async(
    table: Any, key: Any, fn: Callable[[], Awaitable[Any]], timeout: float | timedelta | None
) -> Result[Any]:
    """``SingleFlight.do_async``."""

    async def call(flight: Any) -> Any:
        return await fn()

    return Result(*await take_turns(table, key, call, timeout))


async def get_or_load_async(
    cache: Any,
    key: Any,
    loader: Callable[[Any], Awaitable[Any]],
    timeout: float | timedelta | None,
) -> Any:
    """``Cache.get_or_load_async`` after a miss."""

    async def call(flight: Any) -> Any:
        value = MISSING if flight is None else cache.peek(key, MISSING)
        if value is not MISSING:
            return value
        with Counted(cache):
            value = await loader(key)
        cache._keep(key, value, flight, None, MISSING)
        return value

    value, _ = await take_turns(cache._flights, key, call, timeout)
    return value
