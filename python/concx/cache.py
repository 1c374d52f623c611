"""Caches: bounded mappings that forget by use, age and weight, and functions over them.

>>> users = Cache(1000, ttl=60)
>>> users["ann"] = 1
>>> users.get("ann"), users.get("bob"), len(users)
(1, None, 1)
>>> users.stats().hits, users.stats().misses
(1, 1)
>>> @cached(ttl=60)
... def square(x):
...     return x * x
>>> square(3), square(3), square.cache_info()
(9, 9, CacheInfo(hits=1, misses=1, maxsize=128, currsize=1))
"""

import asyncio
import functools
import inspect
import math
import os
import sys
import threading
import time
from collections.abc import (
    Callable,
    Collection,
    ItemsView,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, overload

from concx import _cached
from concx._core import Cache, SingleFlight, _cached_wrapper
from concx._load import Result, SingleFlightStats

__all__ = ["Cache", "CacheStats", "Result", "SingleFlight", "SingleFlightStats", "cached"]

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True)
class CacheStats:
    """What a cache has done, and what it holds; what ``Cache.stats()`` returns.

    Attributes
    ----------
    hits, misses : int
        Uses that found a value, and that did not: `get`, `get_many` and ``cache[key]``.
    evicted, expired, replaced, removed, cleared : int
        Values that left: for the size or weight of others, by time, for a new value of the same key, by
        `pop`, ``del`` and their like, by `clear`.
    refused : int
        Values that were not stored: heavier than `max_weight`, or with everything else pinned.
    size : int
        Entries, with those that have expired and were not yet removed.
    maxsize : int or None
    weight : int
        What the entries weigh.
    max_weight : int or None
    loads, load_failures : int
        Calls of a loader or a cached function that returned, and that raised.
    load_time : float
        Seconds that both took, together.
    """

    hits: int
    misses: int
    evicted: int
    expired: int
    replaced: int
    removed: int
    cleared: int
    refused: int
    size: int
    maxsize: int | None
    weight: int
    max_weight: int | None
    loads: int
    load_failures: int
    load_time: float

    @property
    def mean_load_time(self) -> float:
        """Seconds per load, of either kind; 0.0 before the first."""
        count = self.loads + self.load_failures
        return self.load_time / count if count else 0.0

    @property
    def hit_ratio(self) -> float:
        """Hits per use; 0.0 before the first."""
        uses = self.hits + self.misses
        return self.hits / uses if uses else 0.0


_missing: Any = object()


class _Keys(KeysView[_K]):
    """The keys, as dict's are: a set that follows the cache."""

    _mapping: Cache[_K, Any]

    def __iter__(self) -> Iterator[_K]:
        return iter(self._mapping)


class _Items(ItemsView[_K, _V]):
    """The pairs: looking into them is no use."""

    _mapping: Cache[_K, _V]

    def __contains__(self, item: object) -> bool:
        pair: Any = item
        found = self._mapping.peek(pair[0], _missing)
        return found is not _missing and (found is pair[1] or bool(found == pair[1]))

    def __iter__(self) -> Iterator[tuple[_K, _V]]:
        return self._mapping._iter_items()


class _Values(ValuesView[_V]):
    """The values."""

    _mapping: Cache[Any, _V]

    def __contains__(self, value: object) -> bool:
        return any(each is value or each == value for each in self)

    def __iter__(self) -> Iterator[_V]:
        return self._mapping._iter_values()


def _same(cache: Cache[Any, Any], other: object) -> Any:
    """``cache == other``: as dicts."""
    if not isinstance(other, Mapping):
        return NotImplemented
    return dict(cache.items()) == dict(other.items())


MutableMapping.register(Cache)

# --- cached ---------------------------------------------------------------------------------------

_F = TypeVar("_F", bound=Callable[..., Any])
_Seconds = float | timedelta | None

_pool_lock = threading.RLock()
_pool: Any = None


def _submit(fn: Callable[..., object], *args: Any) -> None:
    """Where values are reloaded that nobody waits for: a few threads, which end when they are idle."""
    global _pool
    from concx.futures import ThreadPoolExecutor

    with _pool_lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(4, "concx-reload", daemon=True, idle_timeout=10)
        pool = _pool
    pool.submit(fn, *args)


def _after_fork() -> None:
    global _pool, _pool_lock
    _pool_lock, _pool = threading.RLock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _seconds(name: str, value: _Seconds, least: float = 0.0) -> float | None:
    """A duration that is more than `least`, or with a negative `least` not less than 0."""
    if value is None:
        return None
    try:
        seconds = float(value.total_seconds() if isinstance(value, timedelta) else value)
    except (TypeError, ValueError):
        raise TypeError(
            f"{name} must be a number of seconds or a timedelta, got {value!r}"
        ) from None
    if math.isnan(seconds) or seconds < 0 or seconds <= least:
        bound = "more than 0" if least == 0 else "at least 0"
        raise ValueError(f"{name} must be {bound} seconds, got {value!r}")
    return seconds


def _callable(name: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be callable, got {value!r}")
    return value


def _is_async(function: Any) -> bool:
    if inspect.iscoroutinefunction(function):
        return True
    call = getattr(type(function), "__call__", None)  # noqa: B004
    return not inspect.isroutine(function) and inspect.iscoroutinefunction(call)


def _ignored(function: Any, names: Collection[str]) -> tuple[frozenset[str] | None, int]:
    """The names of `ignore`, and the places where they stand among positional arguments, as bits."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"ignore must be a collection of parameter names, got {names!r}")
    if not names:
        return None, 0
    parameters = list(inspect.signature(function).parameters.values())
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    places = 0
    for name in names:
        at = [i for i, p in enumerate(parameters) if p.name == name]
        kind = parameters[at[0]].kind if at else None
        if kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD) or (
            not at and not takes_any
        ):
            raise ValueError(f"ignore names {name!r}, which is no single parameter of {function!r}")
        if at and kind is not inspect.Parameter.KEYWORD_ONLY:
            if at[0] >= 64:
                raise ValueError(f"ignore names {name!r}, parameter {at[0] + 1}; at most the 64th")
            places |= 1 << at[0]
    return frozenset(names), places


def _outcome(value: Any) -> Any:
    """What an entry holds: the value, or the error."""
    if not isinstance(value, _cached.Entry):
        return value
    return value.value if value.error is None else value.error


def _of_outcome(weigher: Callable[[Any, Any], int]) -> Callable[[Any, Any], int]:
    def weigh(key: Any, value: Any) -> int:
        if isinstance(value, _cached.Entry) and value.error is not None:
            return 1
        return weigher(key, _outcome(value))

    return weigh


@overload
def cached(maxsize: _F, /) -> _F: ...


@overload
def cached(
    maxsize: int | None = 128,
    *,
    policy: str = "s3fifo",
    ttl: _Seconds = None,
    tti: _Seconds = None,
    jitter: float = 0.0,
    key: Callable[..., Any] | None = None,
    typed: bool = False,
    ignore: Collection[str] = (),
    per_instance: bool = False,
    single_flight: bool = True,
    refresh_after: _Seconds = None,
    stale_if_error: _Seconds = None,
    negative: type[Exception] | tuple[type[Exception], ...] = (),
    negative_ttl: _Seconds = None,
    cache_if: Callable[[Any], object] | None = None,
    timeout: _Seconds = None,
    weigher: Callable[[Any, Any], int] | None = None,
    max_weight: int | None = None,
    on_evict: Callable[[Any, Any, Any], object] | None = None,
    copy: Callable[[Any], Any] | None = None,
    timer: Callable[[], float] = time.monotonic,
) -> Callable[[Callable[..., _V]], _cached_wrapper[_V]]: ...


def cached(
    maxsize: Any = 128,
    *,
    policy: Any = "s3fifo",
    ttl: _Seconds = None,
    tti: _Seconds = None,
    jitter: float = 0.0,
    key: Callable[..., Any] | None = None,
    typed: bool = False,
    ignore: Collection[str] = (),
    per_instance: bool = False,
    single_flight: bool = True,
    refresh_after: _Seconds = None,
    stale_if_error: _Seconds = None,
    negative: type[Exception] | tuple[type[Exception], ...] = (),
    negative_ttl: _Seconds = None,
    cache_if: Callable[[Any], object] | None = None,
    timeout: _Seconds = None,
    weigher: Callable[[Any, Any], int] | None = None,
    max_weight: int | None = None,
    on_evict: Callable[[Any, Any, Any], object] | None = None,
    copy: Callable[[Any], Any] | None = None,
    timer: Callable[[], float] = time.monotonic,
) -> Any:
    """Decorate a function or a coroutine function so that what it returns is kept in a `Cache`.

    Threads, and tasks of any event loops, that ask for the same result at the same time share one
    call.

    Parameters
    ----------
    maxsize : int or None, default 128
        The most results; None: no bound. Without parentheses, as in ``@cached``, it is the function.
    policy, ttl, tti, jitter, weigher, max_weight, on_evict, timer
        As for `Cache`. `weigher` and `on_evict` are given the key and the result.
    key : callable, optional
        ``key(*args, **kwargs)`` makes the key of a call, in the place of its arguments.
    typed : bool, default False
        Whether arguments of different types are different, though they are equal.
    ignore : collection of str, default ()
        Parameters that are not part of the key.
    per_instance : bool, default False
        For methods: every instance has a cache of its own, which goes when the instance goes. Instances
        need a ``__dict__`` and weak references, but no hash.
    single_flight : bool, default True
        Whether those who ask for a result that is being made wait for it; if not, all call.
    refresh_after : float or timedelta, optional
        Seconds after which the next who asks gets the old result, and a new one is made in the
        background, by one call. A result that nobody asks for is not.
    stale_if_error : float or timedelta, optional
        Seconds for which a result is kept beyond its `ttl`, for when the function raises an Exception.
    negative : Exception class or tuple of them, default ()
        What of the function's exceptions is kept too, and raised again, the same object.
    negative_ttl : float or timedelta, optional
        For how long; default: `ttl`.
    cache_if : callable, optional
        ``cache_if(result)``: whether a result is kept.
    timeout : float or timedelta, optional
        Seconds for which a call waits for the call of another, which goes on; then TimeoutError.
    copy : callable, optional
        ``copy(result)`` is what callers get, so that no one changes what is kept.

    Returns
    -------
    callable
        The function, with `cache_info`, `cache_clear`, `cache_parameters` and ``__wrapped__`` as
        `functools.lru_cache` has them, with `cache_invalidate`, `cache_contains`, `cache_peek`,
        `cache_put` and `cache_refresh`, and with ``cache``, the `Cache`.

    Raises
    ------
    TypeError, ValueError
        An option that is none; in a call, TypeError if an argument has no hash.
    TimeoutError
        In a call, see `timeout`.

    Notes
    -----
    A coroutine function stays one. What a call of it returns is a coroutine, on a hit one that has
    ended already, so that awaiting it does not suspend.

    Thread safety: everything may be called by any threads and tasks at once; no lock is held while the
    function or any other code of yours runs.
    """
    if callable(maxsize) or isinstance(maxsize, staticmethod | classmethod):
        return cached()(maxsize)
    parameters = {name: value for name, value in locals().items() if name != "parameters"}
    errors: tuple[Any, ...] = negative if isinstance(negative, tuple) else (negative,)
    if not all(isinstance(e, type) and issubclass(e, Exception) for e in errors):
        raise TypeError(f"negative must be Exception classes, got {negative!r}")
    if negative_ttl is not None and not errors:
        raise ValueError(f"negative_ttl={negative_ttl!r} needs negative=, the exceptions to keep")
    if stale_if_error is not None and ttl is None:
        raise ValueError(f"stale_if_error={stale_if_error!r} needs a ttl: nothing is ever too old")
    if not 0 <= jitter < 1:
        raise ValueError(f"jitter must be at least 0 and less than 1, got {jitter!r}")
    options = _cached.Options(
        ttl=_seconds("ttl", ttl),
        jitter=jitter,
        refresh_after=_seconds("refresh_after", refresh_after),
        stale_if_error=_seconds("stale_if_error", stale_if_error),
        negative=errors,
        negative_ttl=_seconds("negative_ttl", negative_ttl),
        cache_if=_callable("cache_if", cache_if),
        copy=_callable("copy", copy),
        timeout=_seconds("timeout", timeout, -1),
        single_flight=bool(single_flight),
        timer=_callable("timer", timer),
        submit=_submit,
    )
    _callable("key", key), _callable("weigher", weigher), _callable("on_evict", on_evict)
    cache_of: dict[str, Any] = {"policy": policy, "tti": tti, "max_weight": max_weight}
    cache_of["timer"] = timer
    if not options.timed:
        cache_of.update(ttl=ttl, jitter=jitter, weigher=weigher, on_evict=on_evict)
    else:  # each entry has a ttl of its own
        if weigher is not None:
            cache_of["weigher"] = _of_outcome(weigher)
        if on_evict is not None:
            tell = on_evict
            cache_of["on_evict"] = lambda k, value, cause: tell(k, _outcome(value), cause)

    def decorate(function: Any) -> Any:
        if isinstance(function, staticmethod | classmethod):
            return type(function)(decorate(function.__func__))
        if not callable(function):
            raise TypeError(f"cached() takes a function, got {function!r}")
        is_async = _is_async(function)
        names, places = _ignored(function, ignore)

        def make() -> tuple[Cache[Any, Any], _cached.Loads]:
            cache: Cache[Any, Any] = Cache(maxsize, **cache_of)
            return cache, (_cached.AsyncLoads if is_async else _cached.Loads)(
                function, cache, options
            )

        wrapper = _cached_wrapper(
            function,
            *make(),
            make if per_instance else None,
            f"{getattr(function, '__qualname__', 'call')} (cached)",
            key,
            copy,
            options.timeout,
            names,
            places,
            is_async,
            bool(typed),
            options.timed,
            not is_async and not options.timed and cache_if is None,
            options.single_flight,
        )
        functools.update_wrapper(wrapper, function)
        wrapper.cache_parameters = lambda: dict(parameters)
        if is_async:
            _mark_async(wrapper, function)
        return wrapper

    return decorate


def _mark_async(wrapper: Any, function: Any) -> None:
    """Make `iscoroutinefunction` say so, of inspect and of asyncio."""
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(wrapper)
    else:  # inspect believes what looks like a function and has such a code
        plain = inspect.unwrap(function)
        plain = plain if inspect.isfunction(plain) else type(plain).__call__
        for name in ("__code__", "__defaults__", "__kwdefaults__", "__name__"):
            if name not in vars(wrapper):
                setattr(wrapper, name, getattr(plain, name))
    mark = getattr(asyncio.coroutines, "_is_coroutine", None)
    if mark is not None:
        wrapper._is_coroutine = mark
