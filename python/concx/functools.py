"""``functools`` with an `lru_cache` that is faster, and scales on an interpreter without a GIL.

`lru_cache` and `cache` are twins of the standard ones: same arguments, same keys, same statistics, same
victims. Everything else is the standard module's own.

>>> @lru_cache(maxsize=2)
... def square(x):
...     return x * x
>>> square(3), square(3), square.cache_info()
(9, 9, CacheInfo(hits=1, misses=1, maxsize=2, currsize=1))
>>> square.cache_contains(3), square.cache_invalidate(3), square.cache_contains(3)
(True, True, False)
"""

from __future__ import annotations

import sys
from functools import (
    WRAPPER_ASSIGNMENTS,
    WRAPPER_UPDATES,
    cached_property,
    cmp_to_key,
    partial,
    partialmethod,
    reduce,
    singledispatch,
    singledispatchmethod,
    total_ordering,
    update_wrapper,
    wraps,
)

from concx._core import _lru_cache_wrapper

# Like its twin, this module is imported before nearly all others, so it imports none of them: typing
# itself has caches that may be ours.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar, overload

    _T = TypeVar("_T")

__all__ = [
    "WRAPPER_ASSIGNMENTS",
    "WRAPPER_UPDATES",
    "cache",
    "cached_property",
    "cmp_to_key",
    "lru_cache",
    "partial",
    "partialmethod",
    "reduce",
    "singledispatch",
    "singledispatchmethod",
    "total_ordering",
    "update_wrapper",
    "wraps",
]

if sys.version_info >= (3, 14):
    from functools import Placeholder

    __all__ += ["Placeholder"]

if TYPE_CHECKING:

    @overload
    def lru_cache(
        maxsize: int | None = 128, typed: bool = False, *, shared: bool = False
    ) -> Callable[[Callable[..., _T]], _lru_cache_wrapper[_T]]: ...

    @overload
    def lru_cache(
        maxsize: Callable[..., _T], typed: bool = False, *, shared: bool = False
    ) -> _lru_cache_wrapper[_T]: ...


def lru_cache(maxsize: Any = 128, typed: bool = False, *, shared: bool = False) -> Any:
    """Decorate a function so that it keeps the `maxsize` results that were used last.

    Parameters
    ----------
    maxsize : int or None, default 128
        How many results are kept; None: all of them, 0 or less: none. Without parentheses, as in
        ``@lru_cache``, it is the function.
    typed : bool, default False
        Whether arguments of different types are different, though they are equal (``3`` and ``3.0``).
    shared : bool, default False
        For a function that many threads call all the time on an interpreter without a GIL: its
        references are not counted, so that no thread writes what the others read. From 3.14 on the
        garbage collector frees it; on 3.13 it is never freed. With a GIL it changes nothing.

    Returns
    -------
    callable
        The cached function, with `cache_info`, `cache_clear`, `cache_parameters` and ``__wrapped__``
        as in the standard library, and with `cache_invalidate` and `cache_contains`, which take the
        arguments of a call.

    Raises
    ------
    TypeError
        If `maxsize` is not an int, None or a callable; in a call, if an argument has no hash.
    OverflowError
        If `maxsize` does not fit into 63 bits.

    Notes
    -----
    The replacement is strict LRU on every build. Threads that call with the same arguments at the
    same time all run the function, as in the standard library; ``concx.cache.cached`` runs it once.

    Thread safety: everything may be called by any threads at once; no lock is held while the
    function, a ``__hash__`` or an ``__eq__`` runs. Without a GIL a hit takes no lock, and what was
    evicted may be dropped a little later.
    """
    if isinstance(maxsize, int):
        maxsize = max(maxsize, 0)
    elif callable(maxsize) and isinstance(typed, bool):
        return _wrap(maxsize, 128, typed, shared)
    elif maxsize is not None:
        raise TypeError("Expected first argument to be an integer, a callable, or None")

    def decorating_function(user_function: Callable[..., _T]) -> _lru_cache_wrapper[_T]:
        return _wrap(user_function, maxsize, typed, shared)

    return decorating_function


def _wrap(
    function: Callable[..., _T], maxsize: int | None, typed: bool, shared: bool
) -> _lru_cache_wrapper[_T]:
    wrapper = _lru_cache_wrapper(function, maxsize, typed, shared=shared)
    wrapper.cache_parameters = lambda: {"maxsize": maxsize, "typed": typed}
    update_wrapper(wrapper, function)
    return wrapper


def cache(user_function: Callable[..., _T], /) -> _lru_cache_wrapper[_T]:
    """Decorate a function so that it keeps every result: ``lru_cache(maxsize=None)``.

    Parameters
    ----------
    user_function : callable
        What is called where there is no result yet; its arguments must have a hash.

    Returns
    -------
    callable
        As for `lru_cache`.

    Notes
    -----
    Thread safety: as for `lru_cache`.
    """
    return _wrap(user_function, None, False, False)
