"""MapStats: what a concurrent map or set tells of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MapStats:
    """What is in a `ConcurrentDict` or `ConcurrentSet`, and how it got there.

    Attributes
    ----------
    size : int
        Entries.
    buckets : int
        Of the table; there are at most as many entries, but while it grows.
    migrations : int
        How often the table has grown, shrunk or been cleared.
    waiting : int
        Removed objects that a reader may still be looking at, on free-threaded builds.
    hits, misses : int or None
        Lookups, if the constructor was given ``count_lookups=True``.
    """

    size: int
    buckets: int
    migrations: int
    waiting: int
    hits: int | None
    misses: int | None
