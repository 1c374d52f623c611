"""Caches: bounded mappings that forget by use, age and weight.

>>> users = Cache(1000, ttl=60)
>>> users["ann"] = 1
>>> users.get("ann"), users.get("bob"), len(users)
(1, None, 1)
>>> users.stats().hits, users.stats().misses
(1, 1)
"""

from collections.abc import ItemsView, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from dataclasses import dataclass
from typing import Any, TypeVar

from concx._core import Cache, SingleFlight
from concx._load import Result, SingleFlightStats

__all__ = ["Cache", "CacheStats", "Result", "SingleFlight", "SingleFlightStats"]

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
