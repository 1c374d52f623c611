"""Caches of calls: ``make(maxsize)`` is a decorator."""

from __future__ import annotations

from contenders import Contender


def concx_lru() -> Contender:
    from concx.functools import lru_cache

    return Contender("concx.lru_cache", "concx", lru_cache)


def concx_shared(workers: int) -> Contender:
    from concx.functools import lru_cache

    name = f"concx.lru_cache/shared, {workers} thread{'s' * (workers > 1)}"
    return Contender(name, "concx", lambda n: lru_cache(n, shared=True), workers=workers)


def concx_one_thread() -> Contender:
    return concx_shared(1)


def concx_two_threads() -> Contender:
    return concx_shared(2)


def standard_lru() -> Contender:
    import functools

    return Contender("functools.lru_cache", None, functools.lru_cache)


def standard_two_threads() -> Contender:
    import functools

    return Contender("functools.lru_cache, 2 threads", None, functools.lru_cache, workers=2)


def warp() -> Contender:
    import warp_cache

    return Contender("warp_cache.cache", "warp_cache", lambda n: warp_cache.cache(max_size=n))
