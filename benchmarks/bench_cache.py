"""The rows of the caches: what is measured, against whom, and what is asked of concx."""

from __future__ import annotations

from harness.spec import Goal, Row

WITH_TTL = ("cachetools.TTLCache", "cachebox.TTLCache", "theine.Cache", "moka_py.Moka/ttl")
WITHOUT = ("cachetools.LRUCache", "cachebox.LRUCache", "moka_py.Moka")

ROWS = [
    Row(
        "cache-get",
        "get from a cache with a ttl",
        "cache-get",
        ("concx.Cache/s3fifo, ttl", "concx.Cache/lru, ttl", *WITH_TTL),
        unit="gets/s",
        variants=("one",),
        goals=(
            Goal("concx.Cache/s3fifo, ttl", WITH_TTL, 1.3, 1.3),
            Goal("concx.Cache/s3fifo, ttl", ("cachetools.TTLCache",), 10, 10),
        ),
        why="One call into C, the coarse clock, and two bits of the entry.",
    ),
    Row(
        "cache-get-threads",
        "gets by two threads, keys of their own",
        "cache-get-threads",
        (
            "concx.Cache/shared, 2 threads",
            "concx.Cache/shared, 1 thread",
            "concx.Cache/shared, lru, 2 threads",
            "concx.Cache/shared, lru, 1 thread",
            "cachetools.LRUCache/lock, 2 threads",
            "cachebox.LRUCache, 2 threads",
        ),
        unit="gets/s",
        variants=("split",),
        goals=(
            Goal(
                "concx.Cache/shared, 2 threads",
                ("concx.Cache/shared, 1 thread",),
                free_threaded=1.6,
                scales=1.8,
            ),
        ),
        why="Without a GIL a hit takes no lock: it writes two bits of its own entry and its thread's counter.",
    ),
    Row(
        "cache-store-ttl",
        "store into a full cache with a ttl",
        "cache-store",
        ("concx.Cache/s3fifo, ttl", "concx.Cache/lru, ttl", *WITH_TTL),
        unit="stores/s",
        variants=("one",),
        goals=(Goal("concx.Cache/lru, ttl", WITH_TTL, 1.5, 1.5),),
        why="An entry is a C struct in an array; its deadline is four words in a timer wheel.",
    ),
    Row(
        "cache-store",
        "store into a full cache",
        "cache-store",
        ("concx.Cache/s3fifo", "concx.Cache/lru", *WITHOUT),
        unit="stores/s",
        variants=("one",),
        goals=(Goal("concx.Cache/lru", WITHOUT, 1.1, 1.1),),
        why="The two LRU caches do the same work; the default policy remembers what has left besides.",
    ),
    Row(
        "cache-bytes",
        "bytes of an entry",
        "cache-bytes",
        (
            "concx.Cache/s3fifo",
            "concx.Cache/s3fifo, ttl",
            "functools.lru_cache/entries",
            *WITHOUT,
            "cachetools.TTLCache",
            "cachebox.TTLCache",
        ),
        unit="bytes",
        variants=("one",),
        params={"fixed": True},
        higher=False,
        goals=(
            Goal(
                "concx.Cache/s3fifo",
                ("functools.lru_cache/entries",),
                1,
                1,
                limits={"bytes": 64},
            ),
            Goal(
                "concx.Cache/s3fifo, ttl",
                ("functools.lru_cache/entries",),
                1,
                1,
                limits={"bytes": 72},
            ),
        ),
        why="No object per entry: 40 bytes in an array, 56 with a deadline, the index, and hashes of what has left.",
    ),
    Row(
        "cache-expire",
        "a million deadlines that have passed",
        "cache-expire",
        ("concx.Cache/timer",),
        unit="entries/s",
        variants=("one",),
        params={"fixed": True},
        why="The timer wheel deals out entry by entry, so a call with a limit is short however many expire at once.",
    ),
]
