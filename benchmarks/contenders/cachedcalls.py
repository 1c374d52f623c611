"""Functions over caches: ``make(maxsize)`` is a decorator."""

from __future__ import annotations

from threading import Condition
from typing import Any

from contenders import Contender


def concx_cached() -> Contender:
    from concx.cache import cached

    return Contender("concx.cached", "concx", cached, style="flight")


def concx_cached_ttl() -> Contender:
    from concx.cache import cached

    return Contender("concx.cached/ttl", "concx", lambda n: cached(n, ttl=60))


def concx_cached_async() -> Contender:
    from concx.cache import cached

    return Contender("concx.cached/async", "concx", cached)


def cachetools_cached() -> Contender:
    import cachetools

    return Contender(
        "cachetools.cached", "cachetools", lambda n: cachetools.cached(cachetools.LRUCache(n))
    )


class Counted(Condition):
    """A condition that counts how often somebody has woken, and who found that it was not for them."""

    def __init__(self) -> None:
        super().__init__()
        self.woken = self.joined = 0

    def wait_for(self, predicate: Any, timeout: float | None = None) -> bool:
        if predicate():
            return True
        self.joined += 1
        while not predicate():
            self.wait(timeout)
            self.woken += 1
        return True


def cachetools_condition() -> Contender:
    import cachetools

    def make(n: int) -> Any:
        condition = Counted()

        def decorate(function: Any) -> Any:
            wrapper = cachetools.cached(cachetools.LRUCache(n), condition=condition)(function)
            wrapper.counted = condition
            return wrapper

        return decorate

    return Contender("cachetools.cached/condition", "cachetools", make, style="condition")


def alru() -> Contender:
    from async_lru import alru_cache

    return Contender("async_lru.alru_cache", "async-lru", alru_cache)


def coroutine() -> Contender:
    """What an await costs at least."""
    return Contender("a coroutine", None, lambda n: lambda function: function, style="uncached")
