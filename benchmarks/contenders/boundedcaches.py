"""Caches: concx's, and the packages that people use."""

from __future__ import annotations

from threading import Lock
from typing import Any

from contenders import Contender

TTL = 60


def _concx(name: str, **options: Any) -> Contender:
    from concx.cache import Cache

    return Contender(f"concx.Cache/{name}", "concx", lambda size: Cache(size, **options))


def concx_default() -> Contender:
    return _concx("s3fifo", policy="s3fifo")


def concx_lru() -> Contender:
    return _concx("lru", policy="lru")


def concx_ttl() -> Contender:
    return _concx("s3fifo, ttl", policy="s3fifo", ttl=TTL)


def concx_lru_ttl() -> Contender:
    return _concx("lru, ttl", policy="lru", ttl=TTL)


def concx_timed() -> Contender:
    """``make(timer)``: unbounded, with a clock of the row's."""
    from concx.cache import Cache

    return Contender("concx.Cache/timer", "concx", lambda timer: Cache(None, timer=timer))  # type: ignore[arg-type]


def _shared(workers: int, policy: str) -> Contender:
    from concx.cache import Cache

    name = "concx.Cache/shared, " + ("lru, " if policy == "lru" else "")
    name += f"{workers} thread{'s' * (workers > 1)}"
    return Contender(
        name, "concx", lambda size: Cache(size, policy=policy, shared=True), workers=workers
    )


def concx_one_thread() -> Contender:
    return _shared(1, "s3fifo")


def concx_two_threads() -> Contender:
    return _shared(2, "s3fifo")


def concx_lru_one_thread() -> Contender:
    return _shared(1, "lru")


def concx_lru_two_threads() -> Contender:
    return _shared(2, "lru")


def cachetools_two_threads() -> Contender:
    from cachetools import LRUCache

    return Contender(
        "cachetools.LRUCache/lock, 2 threads",
        "cachetools",
        lambda size: _Locked(LRUCache(size)),
        workers=2,
    )


class _Locked:
    """As cachetools asks of who shares one of its caches."""

    def __init__(self, cache: Any) -> None:
        self.cache, self.lock = cache, Lock()

    def get(self, key: int) -> Any:
        with self.lock:
            return self.cache.get(key)

    def __setitem__(self, key: int, value: object) -> None:
        with self.lock:
            self.cache[key] = value


def cachebox_two_threads() -> Contender:
    from cachebox import LRUCache

    return Contender("cachebox.LRUCache, 2 threads", "cachebox", LRUCache, workers=2)


def cachetools_lru() -> Contender:
    from cachetools import LRUCache

    return Contender("cachetools.LRUCache", "cachetools", LRUCache)


def cachetools_ttl() -> Contender:
    from cachetools import TTLCache

    return Contender("cachetools.TTLCache", "cachetools", lambda size: TTLCache(size, TTL))


def cachebox_lru() -> Contender:
    from cachebox import LRUCache

    return Contender("cachebox.LRUCache", "cachebox", LRUCache)


def cachebox_ttl() -> Contender:
    from cachebox import TTLCache

    return Contender("cachebox.TTLCache", "cachebox", lambda size: TTLCache(size, TTL))


def theine_cache() -> Contender:
    from theine import Cache

    return Contender("theine.Cache", "theine", lambda size: _Theine(Cache(size)), style="set")


class _Theine:
    """``get`` answers with a pair."""

    def __init__(self, cache: Any) -> None:
        self.get, self.set = cache.get, cache.set


def moka() -> Contender:
    from moka_py import Moka

    return Contender("moka_py.Moka", "moka-py", Moka, style="set")


def moka_ttl() -> Contender:
    from moka_py import Moka

    return Contender("moka_py.Moka/ttl", "moka-py", lambda size: Moka(size, ttl=TTL), style="set")


def functools_lru() -> Contender:
    """Only for its bytes: its key is what it is called with."""
    from functools import lru_cache

    return Contender(
        "functools.lru_cache/entries", None, lambda size: _Called(lru_cache(size)(_nothing))
    )


def _nothing(key: int) -> None:
    pass


class _Called:
    def __init__(self, call: Any) -> None:
        self.call = call

    def __setitem__(self, key: int, value: object) -> None:
        self.call(key)

    def get(self, key: int) -> Any:
        before = self.call.cache_info().hits
        self.call(key)
        return key if self.call.cache_info().hits > before else None
