"""The rows of cached functions and of single flights: what is measured, against whom, and what is asked of concx."""

from __future__ import annotations

from harness.spec import Goal, Row

ROWS = [
    Row(
        "cached-int",
        "cached(…), hit with an int",
        "cache-int",
        ("concx.cached", "concx.cached/ttl", "functools.lru_cache", "cachetools.cached"),
        unit="calls/s",
        goals=(Goal("concx.cached", ("cachetools.cached",), 10, 10),),
        why="The key of the call is looked up without being made; lru_cache has no policy, no time and no statistics of loads to keep.",
    ),
    Row(
        "cached-keyword",
        "cached(…), hit with a keyword",
        "cache-keyword",
        ("concx.cached", "functools.lru_cache", "cachetools.cached"),
        unit="calls/s",
        goals=(Goal("concx.cached", ("cachetools.cached",), 10, 10),),
        why="The tuple of names that the interpreter passes is part of the key; no dict is made.",
    ),
    Row(
        "cached-async",
        "await of a cached coroutine function, hit",
        "cached-async",
        ("concx.cached/async", "async_lru.alru_cache", "a coroutine"),
        unit="calls/s",
        goals=(Goal("concx.cached/async", ("async_lru.alru_cache",), 6, 6),),
        why="A hit is a coroutine that has ended before it is awaited; no Task, no frame, no suspension.",
    ),
    Row(
        "cached-async-miss",
        "await of a cached coroutine function, miss",
        "cached-async-miss",
        ("concx.cached/async", "async_lru.alru_cache"),
        unit="calls/s",
        why="The leader awaits the function itself; only who has to wait is given something to wait for.",
    ),
    Row(
        "flight-cold",
        "64 threads, 64 cold keys, a loader of 10 ms",
        "flight-cold",
        ("concx.cached", "cachetools.cached/condition"),
        unit="rounds/s",
        params={"fixed": True},
        goals=(
            Goal("concx.cached", ("cachetools.cached/condition",), 1, 1, limits={"in vain": 0}),
        ),
        why="Every key has its own list of who waits; one condition for all wakes all of them for each key.",
    ),
]
