"""ConcurrentSet: the set of concx.map."""

from __future__ import annotations

from collections.abc import Iterable, MutableSet, Set
from reprlib import recursive_repr
from typing import Any, Self, TypeVar

from concx._core import SetBase, bind_methods
from concx._map_stats import MapStats

_T = TypeVar("_T")
_SETS = (SetBase, set, frozenset, Set)


def _elements(*others: Iterable[Any]) -> list[Any]:
    """The sets to look into: those that are none are made sets once."""
    return [
        other.snapshot()
        if isinstance(other, SetBase)
        else other
        if isinstance(other, (set, frozenset))
        else set(other)
        for other in others
    ]


class ConcurrentSet(SetBase[_T]):
    """A set for many threads: no lock around it, no "changed size during iteration".

    Parameters
    ----------
    iterable : iterable, optional
        The first items.
    shared, capacity, count_lookups
        As for `ConcurrentDict`.

    Notes
    -----
    As `set`; what `ConcurrentDict` says of iterators, `len`, steps and instants holds here. Operators and
    methods that take several sets look at each of them at one instant of its own, and the methods that
    change this set do so item by item.

    Thread safety: every method may be called from any thread at any time.
    """

    __slots__ = ()

    def update(self, *others: Iterable[_T]) -> None:
        """Add the items of all others."""
        for other in others:
            self._update(other.snapshot() if isinstance(other, SetBase) else other)

    def intersection_update(self, *others: Iterable[Any]) -> None:
        """Keep what is in all others."""
        sets = _elements(*others)
        for item in self.snapshot():
            if not all(item in other for other in sets):
                self.discard(item)

    def difference_update(self, *others: Iterable[Any]) -> None:
        """Remove what is in any other."""
        for other in others:
            for item in other.snapshot() if isinstance(other, SetBase) else other:
                self.discard(item)

    def symmetric_difference_update(self, other: Iterable[_T], /) -> None:
        """Remove what is in the other, too, and add what is only there."""
        for item in _elements(other)[0]:
            if not self.add_if_absent(item):
                self.discard(item)

    def union(self, *others: Iterable[Any]) -> ConcurrentSet[Any]:
        """A set with the items of all."""
        made = self.copy()
        made.update(*others)
        return made

    def intersection(self, *others: Iterable[Any]) -> ConcurrentSet[Any]:
        """A set with what is in all."""
        return ConcurrentSet(self.snapshot().intersection(*_elements(*others)))

    def difference(self, *others: Iterable[Any]) -> ConcurrentSet[Any]:
        """A set with what is in no other."""
        return ConcurrentSet(self.snapshot().difference(*_elements(*others)))

    def symmetric_difference(self, other: Iterable[Any], /) -> ConcurrentSet[Any]:
        """A set with what is in one of the two."""
        return ConcurrentSet(self.snapshot().symmetric_difference(*_elements(other)))

    def isdisjoint(self, other: Iterable[Any], /) -> bool:
        """Whether nothing is in both."""
        return self.snapshot().isdisjoint(*_elements(other))

    def issubset(self, other: Iterable[Any], /) -> bool:
        """Whether all of it is in the other."""
        return self.snapshot().issubset(*_elements(other))

    def issuperset(self, other: Iterable[Any], /) -> bool:
        """Whether all of the other is in it."""
        return self.snapshot().issuperset(*_elements(other))

    def copy(self) -> ConcurrentSet[Any]:
        """A set with what was there at one instant."""
        return ConcurrentSet(self.snapshot())

    def stats(self) -> MapStats:
        """Size, buckets, migrations, what waits to be freed; lookups if counted."""
        return MapStats(*self._stats())

    def __eq__(self, other: object) -> bool:
        return (
            self.snapshot() == _elements(other)[0] if isinstance(other, _SETS) else NotImplemented
        )

    __hash__ = None  # type: ignore[assignment]

    def __le__(self, other: Any) -> bool:
        return self.issubset(other) if isinstance(other, _SETS) else NotImplemented

    def __lt__(self, other: Any) -> bool:
        return (
            bool(self.snapshot() < _elements(other)[0])
            if isinstance(other, _SETS)
            else NotImplemented
        )

    def __ge__(self, other: Any) -> bool:
        return self.issuperset(other) if isinstance(other, _SETS) else NotImplemented

    def __gt__(self, other: Any) -> bool:
        return (
            bool(self.snapshot() > _elements(other)[0])
            if isinstance(other, _SETS)
            else NotImplemented
        )

    def __or__(self, other: Any) -> ConcurrentSet[Any]:
        return self.union(other) if isinstance(other, _SETS) else NotImplemented

    def __and__(self, other: Any) -> ConcurrentSet[Any]:
        return self.intersection(other) if isinstance(other, _SETS) else NotImplemented

    def __sub__(self, other: Any) -> ConcurrentSet[Any]:
        return self.difference(other) if isinstance(other, _SETS) else NotImplemented

    def __xor__(self, other: Any) -> ConcurrentSet[Any]:
        return self.symmetric_difference(other) if isinstance(other, _SETS) else NotImplemented

    __ror__, __rand__, __rxor__ = __or__, __and__, __xor__

    def __rsub__(self, other: Any) -> ConcurrentSet[Any]:
        return (
            ConcurrentSet(_elements(other)[0] - self.snapshot())
            if isinstance(other, _SETS)
            else NotImplemented
        )

    def __ior__(self, other: Any) -> Self:
        if not isinstance(other, _SETS):
            return NotImplemented
        self.update(other)
        return self

    def __iand__(self, other: Any) -> Self:
        if not isinstance(other, _SETS):
            return NotImplemented
        self.intersection_update(other)
        return self

    def __isub__(self, other: Any) -> Self:
        if not isinstance(other, _SETS):
            return NotImplemented
        self.difference_update(other)
        return self

    def __ixor__(self, other: Any) -> Self:
        if not isinstance(other, _SETS):
            return NotImplemented
        self.symmetric_difference_update(other)
        return self

    @recursive_repr()
    def _items_repr(self) -> str:
        items = ", ".join(map(repr, self))
        return f"{{{items}}}" if items else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._items_repr()})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (list(self.snapshot()),), self.__getstate__())


bind_methods(ConcurrentSet)
MutableSet.register(ConcurrentSet)
