"""C functions over ranges, on several threads and without the interpreter.

A *range function* is a C function ``void f(int64_t begin, int64_t end, void *user_data)`` that does the
work of the indices ``begin`` to ``end - 1``. It may come as

- a function pointer of ctypes, with its ``argtypes`` and ``restype`` set, or of cffi;
- a capsule whose name is the signature ``void (int64_t, int64_t, void *)``, or an object whose first
  item is one, such as a `scipy.LowLevelCallable`;
- an object with an integer ``address`` and a ``ctypes`` attribute, such as numba's ``cfunc``.

>>> import ctypes
>>> @ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
... def nothing(begin, end, user_data):
...     pass
>>> parallel_for(nothing, 1000)
"""

from __future__ import annotations

import concurrent.futures as _std
import os
import sys
import threading
from typing import Any

from concx import _core

__all__ = ["parallel_for"]

_PIECES = 8
"""Pieces for each thread where no grain is given: few calls, and still something to balance."""

_lock = threading.Lock()
_shared: _std.ThreadPoolExecutor | None = None


def parallel_for(
    cfunc: object,
    n: int,
    user_data: object = None,
    *,
    grain: int | None = None,
    executor: _std.ThreadPoolExecutor | None = None,
) -> None:
    """Call ``cfunc(begin, end, user_data)`` for pieces that cover ``range(n)``, each index once.

    The calling thread takes part, and returns when all is done.

    Parameters
    ----------
    cfunc : range function
        See the module. It is called without the interpreter, by several threads at once.
    n : int
        How many indices; nothing is called if 0.
    user_data : object, optional
        What the function gets as its third argument: an object with a contiguous buffer (its
        memory, which is kept alive), a capsule (its pointer), an int (an address), or None (NULL).
    grain : int, optional
        The most indices of one call. By default a share of `n` that gives every thread several
        pieces.
    executor : ThreadPoolExecutor, optional
        Whose threads help; by default those of a pool that the module makes, one for each CPU.

    Raises
    ------
    TypeError
        If `cfunc` is no range function, or `user_data` has no memory.
    ValueError
        If `n` is negative, `grain` is not positive, or a capsule has another signature.
    """
    if n < 0:
        raise ValueError(f"'n' must be a non-negative int, got {n!r}")
    if grain is not None and grain < 1:
        raise ValueError(f"'grain' must be a positive int, got {grain!r}")
    pool = _default_executor() if executor is None else executor
    workers = pool._max_workers
    if grain is None:
        grain = max(1, n // (_PIECES * (workers + 1)))
    work = _range(cfunc, 0, n, grain, user_data)
    pieces = -(-n // grain)
    helpers = [pool.submit(work.run) for _ in range(min(workers, pieces - 1))]
    try:
        work.run()
        for helper in helpers:
            if not helper.cancel():
                helper.result()
    except BaseException:
        work.stop()  # what is being run goes on to its end, and keeps its memory
        raise


def _range(cfunc: object, begin: int, end: int, grain: int, user_data: object) -> _core.NativeRange:
    return _core.NativeRange(_function(cfunc), begin, end, grain, user_data, cfunc)


def _default_executor() -> _std.ThreadPoolExecutor:
    global _shared
    with _lock:
        if _shared is None:
            from concx.futures import ThreadPoolExecutor

            count = getattr(os, "process_cpu_count", os.cpu_count)
            _shared = ThreadPoolExecutor(count() or 1, "concx-native")
        return _shared


def _function(cfunc: Any) -> Any:
    """What `NativeRange` takes: a capsule or an address."""
    kind = type(cfunc)
    if kind.__name__ == "PyCapsule":
        return cfunc
    if isinstance(cfunc, tuple) and cfunc and type(cfunc[0]).__name__ == "PyCapsule":
        return cfunc[0]
    ctypes = sys.modules.get("ctypes")
    if ctypes is not None and isinstance(getattr(cfunc, "ctypes", None), ctypes._CFuncPtr):
        cfunc = cfunc.ctypes
    if ctypes is not None and isinstance(cfunc, ctypes._CFuncPtr):
        return _ctypes_address(ctypes, cfunc)
    if kind.__module__ == "_cffi_backend" and kind.__name__ in {"_CDataBase", "CData"}:
        return _cffi_address(cfunc)
    raise TypeError(
        "'cfunc' must be a function pointer of ctypes or cffi, or a capsule, of the signature "
        f"'void (int64_t, int64_t, void *)', got {cfunc!r}"
    )


def _ctypes_address(ctypes: Any, cfunc: Any) -> int:
    wanted = [ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    argtypes = cfunc.argtypes
    if argtypes is None or list(argtypes) != wanted or cfunc.restype is not None:
        raise TypeError(
            "'cfunc' must have argtypes [c_int64, c_int64, c_void_p] and restype None, got "
            f"{argtypes!r} and {cfunc.restype!r}"
        )
    address: int = ctypes.cast(cfunc, ctypes.c_void_p).value or 0
    return address


def _cffi_address(cfunc: Any) -> int:
    backend = sys.modules["_cffi_backend"]
    ffi = backend.FFI()
    name = ffi.typeof(cfunc).cname
    if name.replace(" ", "") not in {
        "void(*)(int64_t,int64_t,void*)",
        "void(*)(long,long,void*)",
    }:
        raise TypeError(f"'cfunc' must be a 'void(*)(int64_t, int64_t, void *)', got a {name!r}")
    return int(ffi.cast("uintptr_t", cfunc))
