"""The rows of lru_cache: what is measured, against whom, and what is asked of concx.

warp_cache is no part of the `bench` group, because it does not build for every interpreter; it is measured
where it is installed.
"""

from __future__ import annotations

from harness.spec import Goal, Row

OURS = "concx.lru_cache"
STANDARD = ("functools.lru_cache",)
PEERS = (OURS, *STANDARD, "warp_cache.cache")

DEBIAN = "3.11-debian"


def row(
    name: str, title: str, goals: tuple[Goal, ...], why: str, peers: tuple[str, ...] = PEERS
) -> Row:
    return Row(name, title, name, peers, unit="calls/s", variants=("one",), goals=goals, why=why)


ROWS = [
    row(
        "cache-int",
        "cached call with an int",
        (
            Goal(OURS, STANDARD, 1.6, 1.8, {DEBIAN: 1.2}),
            Goal(OURS, ("warp_cache.cache",), 1.2, 1.2),
        ),
        "The call comes in without a tuple, and the int itself is the key.",
    ),
    row(
        "cache-two",
        "cached call with two ints",
        (Goal(OURS, STANDARD, 1.9, 1.9, {DEBIAN: 1.3}),),
        "Hash and comparison go over the arguments as they are passed.",
    ),
    row(
        "cache-keyword",
        "cached call with a keyword",
        (Goal(OURS, STANDARD, 3, 3, {DEBIAN: 1.8}),),
        "The tuple of names that the interpreter passes is part of the key; no dict is made.",
    ),
    row(
        "cache-method",
        "cached method",
        (Goal(OURS, STANDARD, 1.6, 1.6, {DEBIAN: 1.2}),),
        "It is called with self in front, and no bound method is made.",
        PEERS[:2],  # warp_cache does not bind
    ),
    row(
        "cache-miss",
        "miss and eviction",
        (Goal(OURS, STANDARD, 1.5, 1.5, {DEBIAN: 1.2}),),
        "An entry is one block of memory, no object and no dict slot; the call of the function is in both.",
    ),
    Row(
        "cache-threads",
        "cached calls by two threads, keys of their own",
        "cache-threads",
        (
            "concx.lru_cache/shared, 2 threads",
            "concx.lru_cache/shared, 1 thread",
            "functools.lru_cache, 2 threads",
        ),
        unit="calls/s",
        variants=("split",),
        goals=(
            Goal(
                "concx.lru_cache/shared, 2 threads",
                ("concx.lru_cache/shared, 1 thread",),
                free_threaded=1.6,
                scales=1.8,
            ),
            Goal(
                "concx.lru_cache/shared, 2 threads",
                ("functools.lru_cache, 2 threads",),
                free_threaded=4,
                scales=1.8,
            ),
        ),
        why="Without a GIL a hit writes a stamp into its own entry and a number into its thread's cell.",
    ),
]
