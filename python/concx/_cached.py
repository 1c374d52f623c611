"""What `cached` decides about a call that is no simple hit: `Loads`, one for each cache.

The C side (``binding/cachedcall.c``) answers hits, and calls plain functions itself. Where age counts, the
values in the cache are `Entry` objects, and from an entry's ``check_at`` on it asks here.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any

from concx import _core
from concx._core import MISSING
from concx._load import Counted, copied, take_turns

__all__ = ["AsyncLoads", "Entry", "Loads", "Options"]

_INFINITY = float("inf")

_GIL = bool(_core.build_info()["gil"])
"""Whether one exception may be raised by several threads."""

_tasks: set["asyncio.Task[None]"] = set()
"""Reloads that are under way, which nobody else holds."""


class Entry(_core.Entry):
    """A value or an error in a cache, and from when on it is not simply returned."""

    __slots__ = ("error", "expires_at", "refresh_at", "tickets")

    error: BaseException | None
    expires_at: float
    refresh_at: float
    tickets: list[None]

    def claim(self) -> bool:
        """Whether the caller is the one who reloads it."""
        try:
            self.tickets.pop()  # one step, on every build
        except IndexError:
            return False
        return True


def _entry(value: Any, error: BaseException | None, expires_at: float, refresh_at: float) -> Entry:
    check_at = -_INFINITY if error is not None else min(expires_at, refresh_at)
    entry = Entry(value, check_at)
    entry.error, entry.expires_at, entry.refresh_at = error, expires_at, refresh_at
    entry.tickets = [None]
    return entry


@dataclass(frozen=True)
class Options:
    """The options of `cached` that are not its cache's; durations in seconds, None for none."""

    ttl: float | None
    jitter: float
    refresh_after: float | None
    stale_if_error: float | None
    negative: tuple[type[Exception], ...]
    negative_ttl: float | None
    cache_if: Callable[[Any], object] | None
    copy: Callable[[Any], Any] | None
    timeout: float | None
    single_flight: bool
    timer: Callable[[], float]
    submit: Callable[..., object]

    @property
    def timed(self) -> bool:
        """Whether values are kept as entries."""
        return bool(self.negative) or not (self.refresh_after is self.stale_if_error is None)


class Loads:
    """Makes the values of one cache by calls of one function."""

    def __init__(self, function: Callable[..., Any], cache: Any, options: Options) -> None:
        self.function = function
        self.cache = cache
        self.options = options

    # --- what is kept ---

    def _keep(
        self, key: Any, value: Any, error: BaseException | None, flight: Any, expected: Any
    ) -> None:
        """Keep an outcome where `expected` (or nothing) is; without single flight, flight is MISSING."""
        options = self.options
        ttl: float | None = None
        if error is None and options.cache_if is not None and not options.cache_if(value):
            return
        if options.timed:
            value, ttl = self._made(value, error)
        if flight is not MISSING:
            self.cache._keep(key, value, flight, ttl, expected)
        elif expected is MISSING:
            self.cache.setdefault(key, value) if ttl is None else self.cache.set(
                key, value, ttl=ttl
            )
        else:
            self.cache.set(key, value, ttl=ttl)

    def _made(self, value: Any, error: BaseException | None) -> tuple[Entry, float]:
        """An entry, and for how long it stays in the cache."""
        options, now = self.options, self.options.timer()
        life = options.ttl
        if error is not None and options.negative_ttl is not None:
            life = options.negative_ttl
        if life is None:
            life = _INFINITY
        elif options.jitter:
            life *= 1 + options.jitter * random.uniform(-1, 1)
        after = options.refresh_after
        refresh_at = _INFINITY if after is None or error is not None else now + after
        stays = life if error is not None else life + (options.stale_if_error or 0.0)
        return _entry(value, error, now + life, refresh_at), stays

    def _found(self, key: Any) -> tuple[Any, bool]:
        """What the cache has, without a use, or MISSING; and whether it is fresh."""
        found = self.cache.peek(key, MISSING)
        if isinstance(found, Entry):
            return found, self.options.timer() < found.expires_at
        return found, found is not MISSING

    def _value(self, found: Any) -> Any:
        """The value of something fresh, or its error."""
        if not isinstance(found, Entry):
            return found
        if found.error is not None:
            raise found.error.with_traceback(None) if _GIL else copied(found.error)
        return found.value

    def _out(self, value: Any) -> Any:
        copy = self.options.copy
        return value if copy is None else copy(value)

    def _failed(self, key: Any, error: Exception, flight: Any, found: Any) -> Any:
        """The value to be served in the place of an error, which is kept if it is negative; MISSING."""
        if isinstance(error, self.options.negative):
            kept = error if _GIL else copied(error).with_traceback(None)
            self._keep(key, None, kept, flight, found)
        elif isinstance(found, Entry) and found.error is None and self.options.stale_if_error:
            return found.value
        return MISSING

    # --- plain functions ---

    def call(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the caller of the cached function gets where C has not found it, or found it too old."""
        found, fresh = self._found(key)
        if fresh:
            self._look_after(found, key, args, kwargs)
            return self._out(self._value(found))
        if found is not MISSING:
            self.cache._was_miss()
        load = partial(self._load, key, args, kwargs)
        if not self.options.single_flight:
            return self._out(load(MISSING))
        return self._out(self.cache._flights._do(key, load, self.options.timeout))

    def _load(self, key: Any, args: Any, kwargs: Any, flight: Any) -> Any:
        found, fresh = self._found(key)
        if fresh and flight is not None:
            return self._value(found)
        try:
            with Counted(self.cache):
                value = self.function(*args, **kwargs)
        except Exception as error:
            if (value := self._failed(key, error, flight, found)) is MISSING:
                raise
            return value
        self._keep(key, value, None, flight, found)
        return value

    def refresh(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function and replace what is cached."""
        with Counted(self.cache):
            value = self.function(*args, **kwargs)
        self.put(key, value)
        return self._out(value)

    # --- without being asked ---

    def put(self, key: Any, value: Any) -> bool:
        """Store a value as if the function had returned it."""
        if not self.options.timed:
            return bool(self.cache.set(key, value))
        entry, ttl = self._made(value, None)
        return bool(self.cache.set(key, entry, ttl=ttl))

    def peek(self, key: Any, default: Any) -> Any:
        """The value if it is there and fresh; an error is none."""
        found, fresh = self._found(key)
        if not fresh:
            return default
        if not isinstance(found, Entry):
            return found
        return found.value if found.error is None else default

    def _look_after(self, found: Any, key: Any, args: Any, kwargs: Any) -> None:
        """Reload in the background what is due, once."""
        if isinstance(found, Entry) and found.error is None:
            if self.options.timer() >= found.refresh_at and found.claim():
                self._start(found, key, args, kwargs)

    def _start(self, found: Entry, key: Any, args: Any, kwargs: Any) -> None:
        self.options.submit(self._reload, found, key, args, kwargs)

    def _reload(self, found: Entry, key: Any, args: Any, kwargs: Any) -> None:
        try:
            self.cache._flights._do(key, partial(self._replace, found, key, args, kwargs), None)
        except Exception as error:
            self._not_reloaded(found, error)

    def _replace(self, found: Entry, key: Any, args: Any, kwargs: Any, flight: Any) -> Any:
        with Counted(self.cache):
            value = self.function(*args, **kwargs)
        self._keep(key, value, None, flight, found)
        return value

    def _not_reloaded(self, found: Entry, error: BaseException) -> None:
        """The old value stays, and is due again after as long as before."""
        name = getattr(self.function, "__qualname__", repr(self.function))
        logging.getLogger("concx.cache").warning("reloading %s failed", name, exc_info=error)
        found.refresh_at = self.options.timer() + (self.options.refresh_after or 0.0)
        found.tickets.append(None)


class AsyncLoads(Loads):
    """The same for a coroutine function."""

    def call(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Awaitable[Any]:
        found, fresh = self._found(key)
        if not fresh and found is not MISSING:
            self.cache._was_miss()
        return self._call_async(key, args, kwargs, found if fresh else MISSING)

    async def _call_async(self, key: Any, args: Any, kwargs: Any, found: Any) -> Any:
        if found is not MISSING:
            self._look_after(found, key, args, kwargs)
            return self._out(self._value(found))
        load = partial(self._load_async, key, args, kwargs)
        if not self.options.single_flight:
            return self._out(await load(MISSING))
        value, _ = await take_turns(self.cache._flights, key, load, self.options.timeout)
        return self._out(value)

    async def _load_async(self, key: Any, args: Any, kwargs: Any, flight: Any) -> Any:
        found, fresh = self._found(key)
        if fresh and flight is not None:
            return self._value(found)
        try:
            with Counted(self.cache):
                value = await self.function(*args, **kwargs)
        except Exception as error:
            if (value := self._failed(key, error, flight, found)) is MISSING:
                raise
            return value
        self._keep(key, value, None, flight, found)
        return value

    async def refresh(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with Counted(self.cache):
            value = await self.function(*args, **kwargs)
        self.put(key, value)
        return self._out(value)

    def _start(self, found: Entry, key: Any, args: Any, kwargs: Any) -> None:
        """As a task of the loop that runs here, in a context of its own."""
        task = asyncio.get_running_loop().create_task(
            self._reload_async(found, key, args, kwargs), context=Context()
        )
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    async def _reload_async(self, found: Entry, key: Any, args: Any, kwargs: Any) -> None:
        replace = partial(self._replace_async, found, key, args, kwargs)
        try:
            await take_turns(self.cache._flights, key, replace, None)
        except Exception as error:
            self._not_reloaded(found, error)
        except BaseException:
            found.tickets.append(None)  # cancelled: the next who finds it due reloads it
            raise

    async def _replace_async(
        self, found: Entry, key: Any, args: Any, kwargs: Any, flight: Any
    ) -> Any:
        with Counted(self.cache):
            value = await self.function(*args, **kwargs)
        self._keep(key, value, None, flight, found)
        return value
