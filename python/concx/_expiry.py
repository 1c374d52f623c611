"""The thread that removes what has expired from the caches that asked for it: one in a process.

It starts with the first such cache and ends when the last one has been freed. A forked child gets its own.
"""

import heapq
import itertools
import os
import sys
import threading
import time
import weakref
from typing import Any

__all__ = ["watch"]

_changed = threading.Condition()
_due: list[tuple[float, int, "weakref.ref[Any]", float]] = []
"""When, in which order, which cache, every how many seconds."""
_serial = itertools.count()
_thread: threading.Thread | None = None


def watch(cache: Any, seconds: float) -> None:
    """Call ``cache.expire()`` every so many seconds for as long as the cache lives."""
    with _changed:
        _enter(weakref.ref(cache), seconds)
        if _thread is None:
            _start()
        else:
            _changed.notify()


def _enter(cache: "weakref.ref[Any]", seconds: float) -> None:
    heapq.heappush(_due, (time.monotonic() + seconds, next(_serial), cache, seconds))


def _start() -> None:
    global _thread
    _thread = threading.Thread(target=_run, name="concx-expiry", daemon=True)
    _thread.start()


def _run() -> None:
    global _thread
    while True:
        with _changed:
            while _due and (seconds := _due[0][0] - time.monotonic()) > 0:
                _changed.wait(seconds)
            if not _due:
                _thread = None
                return
            _, _, ref, every = heapq.heappop(_due)
            cache = ref()
            if cache is not None:  # at once, so that a fork meanwhile finds it
                _enter(ref, every)
        if cache is not None:
            _sweep(cache)
        del cache


def _sweep(cache: Any) -> None:
    """What a cache's timer raises is reported, and the cache is asked again."""
    try:
        cache.expire()
    except Exception:
        threading.excepthook(
            threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread()))
        )


def _after_fork() -> None:
    global _changed, _thread
    _changed, _thread = threading.Condition(), None
    if _due:
        _start()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
