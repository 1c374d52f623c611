"""The contexts of `concx.multiprocessing`."""

from __future__ import annotations

import multiprocessing.context as _context
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concx.multiprocessing._pool import Pool

__all__ = ["get_context"]

_default: Any = _context._default_context


class _OurPool:
    """Mixed into a context: its `Pool`."""

    def Pool(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
    ) -> Pool:
        """A pool of workers that are started as this context does."""
        from concx.multiprocessing._pool import Pool as Kind

        return Kind(processes, initializer, initargs, maxtasksperchild, context=self)

    def get_context(self, method: str | None = None) -> Any:
        """This context, or the one of another start method."""
        return self if method is None else get_context(method)


_contexts: dict[type, Any] = {}


def get_context(method: str | None = None) -> Any:
    """The context of a start method: the standard one, but for its ``Pool``, which is concx's.

    Raises
    ------
    ValueError
        If there is no such start method.
    """
    standard: Any = _default.get_context(method)
    kind = type(standard)
    if kind.__module__ != _context.__name__:
        return standard  # somebody's own
    if kind not in _contexts:
        _contexts[kind] = type(kind.__name__, (_OurPool, kind), {"__module__": __name__})()
    return _contexts[kind]
