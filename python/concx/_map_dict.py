"""ConcurrentDict: the dict of concx.map."""

from __future__ import annotations

from collections.abc import (
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from reprlib import recursive_repr
from typing import Any, NoReturn, Self, TypeVar, cast

from concx._core import MapBase, bind_methods
from concx._map_stats import MapStats

_K = TypeVar("_K")
_V = TypeVar("_V")
_K2 = TypeVar("_K2")
_V2 = TypeVar("_V2")


class _Keys(KeysView[_K]):
    __slots__ = ()
    _mapping: ConcurrentDict[_K, Any]

    def __repr__(self) -> str:
        return f"{type(self._mapping).__name__}.keys({list(self)!r})"

    def isdisjoint(self, other: Iterable[Any]) -> bool:
        return not any(item in self for item in other)


class _Items(ItemsView[_K, _V]):
    __slots__ = ()
    _mapping: ConcurrentDict[_K, _V]

    def __iter__(self) -> Iterator[tuple[_K, _V]]:
        return self._mapping._iter_items()

    @recursive_repr()
    def __repr__(self) -> str:
        return f"{type(self._mapping).__name__}.items({list(self)!r})"

    def isdisjoint(self, other: Iterable[Any]) -> bool:
        return not any(item in self for item in other)


class _Values(ValuesView[_V]):
    __slots__ = ()
    _mapping: ConcurrentDict[Any, _V]

    def __iter__(self) -> Iterator[_V]:
        return self._mapping._iter_values()

    @recursive_repr()
    def __repr__(self) -> str:
        return f"{type(self._mapping).__name__}.values({list(self)!r})"


class ConcurrentDict(MapBase[_K, _V]):
    """A dict for many threads: no lock around it, no "changed size during iteration".

    Parameters
    ----------
    mapping_or_items : mapping or iterable of pairs, optional
        The first entries, as for `dict`.
    shared : bool, default False
        On a free-threaded build, do not count references to this object, so that threads do not
        fight over the count: it is never freed on 3.13, by the garbage collector from 3.14 on, and
        on 3.13 neither is what it holds at the end. Without effect where there is a GIL.
    capacity : int, default 0
        So many entries fit without growing.
    count_lookups : bool, default False
        Count hits and misses, for `stats`.
    **kwargs
        Further entries. Keys with the names of the options above cannot be given so.

    Notes
    -----
    As `dict`, but for the order, which is that of the keys' hashes and says nothing. Iterators and
    views show every key that stays while they are walked, once; of what comes and goes meanwhile they
    show some. `len` is exact when nobody writes.

    Each method is one step for other threads, `update`, `get_many` and the constructor are one for each
    key. `snapshot`, `copy`, ``==`` and pickling see one instant.

    Readers walk chains of entries under read-copy-update (P. McKenney, J. Slingwine, 1998); the table
    grows a few buckets with each write.

    Thread safety: every method may be called from any thread at any time, also by ``__eq__``,
    ``__hash__`` and ``__del__`` of keys and values.
    """

    __slots__ = ()

    def keys(self) -> KeysView[_K]:
        """A set-like view of the keys."""
        return _Keys(cast("Mapping[_K, Any]", self))

    def values(self) -> ValuesView[_V]:
        """A view of the values."""
        return _Values(cast("Mapping[Any, _V]", self))

    def items(self) -> ItemsView[_K, _V]:
        """A set-like view of pairs of key and value."""
        return _Items(cast("Mapping[_K, _V]", self))

    def update(self, other: Any = (), /, **kwargs: _V) -> None:
        """Set each key of `other`, a mapping or an iterable of pairs, and of `kwargs`."""
        self._update(other)
        if kwargs:
            self._update(kwargs)

    def copy(self) -> ConcurrentDict[_K, _V]:
        """A `ConcurrentDict` with what was there at one instant."""
        return ConcurrentDict(self)

    @classmethod
    def fromkeys(cls, iterable: Iterable[Any], value: Any = None, /) -> Self:
        """A map with the keys of `iterable`, all with the same value."""
        made = cls()
        for key in iterable:
            made[key] = value
        return made

    def stats(self) -> MapStats:
        """Size, buckets, migrations, what waits to be freed; lookups if counted."""
        return MapStats(*self._stats())

    def __reversed__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__!r} object is not reversible: it keeps no order")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, MapBase):
            return self is other or self.snapshot() == other.snapshot()
        if isinstance(other, dict):
            return self.snapshot() == other
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    @recursive_repr()
    def _items_repr(self) -> str:
        return repr(self.snapshot())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._items_repr()})"

    def __or__(self, other: Mapping[_K2, _V2]) -> ConcurrentDict[_K | _K2, _V | _V2]:
        if not isinstance(other, (MapBase, dict)):
            return NotImplemented
        made = cast("ConcurrentDict[_K | _K2, _V | _V2]", self.copy())
        made._update(other)
        return made

    def __ror__(self, other: Mapping[_K2, _V2]) -> ConcurrentDict[_K | _K2, _V | _V2]:
        if not isinstance(other, dict):
            return NotImplemented
        made = cast("ConcurrentDict[_K | _K2, _V | _V2]", ConcurrentDict(other))
        made._update(self)
        return made

    def __ior__(self, other: Any) -> Self:  # type: ignore[misc]
        self._update(other)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.snapshot(),), self.__getstate__())


bind_methods(ConcurrentDict)
MutableMapping.register(ConcurrentDict)
