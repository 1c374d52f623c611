"""The queues' compatibility mode: the standard library's queue, for whoever looks inside.

Methods of the C type that find their queue switched call the function of the same name here, the
queue first. The bodies are what a subclass of the standard library's queue may expect: one mutex
around everything, the hooks called with it held, a condition notified after each change. The state
and the switch are in `_queue_mode`.
"""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any

from concx._core import Empty, Full, ShutDown
from concx._queue_mode import (
    ALL,
    GIVERS,
    JOINERS,
    TAKERS,
    Compat,
    fetch,
    get_queue,
    get_shutdown,
    get_unfinished,
    init,
    knows_next,
    lazy,
    opened,
    reclaim,
    resized,
    set_lazy,
    set_queue,
    set_shutdown,
    set_unfinished,
    settle,
    size,
    store,
    switch,
    weigh,
)

# What the core calls.
__all__ = [
    "clear",
    "empty",
    "full",
    "get",
    "get_many",
    "get_queue",
    "get_shutdown",
    "get_unfinished",
    "init",
    "join",
    "lazy",
    "peek",
    "put",
    "put_many",
    "qsize",
    "reclaim",
    "resized",
    "set_lazy",
    "set_queue",
    "set_shutdown",
    "set_unfinished",
    "shutdown",
    "stats",
    "switch",
    "task_done",
    "try_get",
    "try_get_many",
    "try_join",
    "try_put",
    "try_put_many",
]

_Queue = Any  # a QueueBase; hooks and attributes may be anybody's


# --- putting and getting --------------------------------------------------------------------------


def _seconds(timeout: Any) -> float:
    """A time-out in seconds; fails as the standard library's."""
    if not isinstance(timeout, int | float):
        kind = type(timeout)
        if hasattr(timeout, "total_seconds"):
            timeout = timeout.total_seconds()
        elif not (hasattr(kind, "__float__") or hasattr(kind, "__index__")):
            raise TypeError(
                f"'timeout' must be a number of seconds, a timedelta or None, not {kind.__name__}"
            )
    if timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")
    try:
        seconds = float(timeout)
    except OverflowError:  # an int beyond every float: fails if it comes to waiting
        return float("inf")
    if seconds != seconds:
        raise ValueError("Invalid value NaN (not a number)")
    return seconds


def _deadline(timeout: Any) -> float | None:
    return None if timeout is None else monotonic() + _seconds(timeout)


def _on_loop() -> bool:
    """Whether an event loop runs in this thread."""
    events = sys.modules.get("asyncio.events")
    return bool(events and events._get_running_loop())


def _wait(c: Compat, role: int, deadline: float | None, ready: Any, late: type[Exception]) -> None:
    """Wait, with the mutex held, until `ready()` is true."""
    if ready():
        return
    if deadline is not None and deadline <= monotonic():
        raise late
    condition = c.conditions[role]
    began = monotonic()
    c.blocked[role] += 1
    c.blocked_on_loop += _on_loop()
    try:
        while True:
            if deadline is None:
                condition.wait()
            else:
                remaining = deadline - monotonic()
                if remaining <= 0.0:
                    raise late
                condition.wait(remaining)
            if ready():
                return
    finally:
        c.wait_time += monotonic() - began


def _has_room(q: _Queue, c: Compat, weight: int) -> bool:
    maxsize = q.maxsize
    if maxsize > 0 and size(q, c) >= maxsize:
        return False
    load = c.load
    if load is None:
        return True
    load.check(q, c)
    return bool(load.total + weight <= q._max_weight)


def _make_room(
    q: _Queue, c: Compat, weight: int, block: bool, timeout: Any, dropped: list[Any]
) -> bool:
    """Wait for room or make it, as the overflow mode says; False: the item is to be dropped."""
    if c.load is not None and weight > q._max_weight:
        raise ValueError(f"the item's weight {weight} exceeds max_weight {q._max_weight}")
    if not (q.maxsize > 0 or c.load is not None):
        return True
    overflow = q._overflow
    if overflow == "block" and block:

        def ready() -> bool:
            if c.is_shutdown:
                raise ShutDown
            return _has_room(q, c, weight)

        _wait(c, GIVERS, _deadline(timeout), ready, Full)
        return True
    while not _has_room(q, c, weight):
        if overflow == "drop_newest":
            c.dropped += 1
            return False
        if overflow != "drop_oldest" or not size(q, c):
            raise Full
        oldest = _remove_oldest(q, c)
        if oldest is not _GONE:
            dropped.append(oldest)
            c.dropped += 1
            c.count_done(1)
    return True


def _remove_oldest(q: _Queue, c: Compat) -> Any:
    """Take out the item that was put first, or answer `_GONE` as `_remove` does."""
    if q._kind != "lifo":
        return _remove(q, c)
    queue = c.queue
    try:
        item = queue.popleft() if hasattr(queue, "popleft") else queue.pop(0)
    except IndexError:
        if size(q, c):
            raise
        return _GONE
    if c.load is not None:
        c.load.remove(item)
    return item


def _insert(q: _Queue, c: Compat, item: Any, weight: int) -> None:
    now = store(q, c, item)
    if c.load is not None:
        c.load.add(item, weight)
    c.unfinished += 1
    c.puts += 1
    if now > c.high_water:
        c.high_water = now


_GONE: Any = object()


def _remove(q: _Queue, c: Compat) -> Any:
    """Take out the next item; `_GONE` if a signal handler was quicker: its thread's is the mutex."""
    try:
        return fetch(q, c)
    except IndexError:
        if size(q, c):
            raise
        return _GONE


def _freed(c: Compat, n: int) -> int:
    """How many putters to wake for `n` items; free weight may do for several, or not for the first."""
    return n if c.load is None else ALL


def put(q: _Queue, item: Any, block: bool = True, timeout: Any = None) -> None:
    """What `put` does in this mode."""
    c = q._compat
    if c is None or c.fresh:
        c = opened(q)
    weight = 0 if c.load is None else weigh(q, item)
    dropped: list[Any] = []  # dies after the mutex has been left
    try:
        with c.lock:
            if c.is_shutdown:
                raise ShutDown
            if (c.load is not None or q.maxsize > 0) and not _make_room(
                q, c, weight, block, timeout, dropped
            ):
                return
            _insert(q, c, item, weight)
            if c.waiters[TAKERS]:
                c.notify_threads(TAKERS, 1)
    finally:
        if c.owed:
            settle(q, c)
    if c.owned():
        c.owed.append((TAKERS, 1))
    else:
        q._wake_takers(1)


def _await_item(q: _Queue, c: Compat, block: bool, timeout: Any) -> None:
    """Wait for an item with the mutex held."""
    if size(q, c):
        if block and timeout is not None:
            _seconds(timeout)
        return
    if c.is_shutdown:
        raise ShutDown
    if not block:
        raise Empty

    def ready() -> bool:
        if size(q, c):
            return True
        if c.is_shutdown:
            raise ShutDown
        return False

    _wait(c, TAKERS, _deadline(timeout), ready, Empty)


def get(q: _Queue, block: bool = True, timeout: Any = None) -> Any:
    """What `get` does in this mode."""
    c = q._compat
    if c is None or c.fresh:
        c = opened(q)
    try:
        with c.lock:
            while True:
                _await_item(q, c, block, timeout)
                item = _remove(q, c)
                if item is not _GONE:
                    break
            c.gets += 1
            freed = _freed(c, 1)
            if c.waiters[GIVERS]:
                c.notify_threads(GIVERS, freed)
    finally:
        if c.owed:
            settle(q, c)
    if c.owned():
        c.owed.append((GIVERS, freed))
    else:
        q._wake_givers(freed)
    return item


def try_put(q: _Queue, item: Any) -> None:
    """Put without waiting."""
    put(q, item, False)


def try_get(q: _Queue) -> Any:
    """Get without waiting."""
    return get(q, False)


def try_put_many(q: _Queue, items: tuple[Any, ...], start: int) -> int:
    """Put as many of ``items[start:]`` as fit; the index that was reached."""
    c = opened(q)
    dropped: list[Any] = []
    done, stored = start, 0
    try:
        with c.lock:
            if c.is_shutdown and items:
                raise ShutDown
            try:
                for item in items[start:]:
                    weight = 0 if c.load is None else weigh(q, item)
                    if _make_room(q, c, weight, False, None, dropped):
                        _insert(q, c, item, weight)
                        stored += 1
                    done += 1
            except Full:
                pass
            finally:
                if stored:
                    c.notify(TAKERS, stored)
    finally:
        settle(q, c)
    return done


def put_many(q: _Queue, items: tuple[Any, ...], block: bool = True, timeout: Any = None) -> int:
    """What `put_many` does in this mode."""
    deadline = _deadline(timeout) if block else None
    done = 0
    try:
        while True:
            done = try_put_many(q, items, done)
            if done == len(items) or not block:
                return done
            put(q, items[done], True, deadline and max(deadline - monotonic(), 0.0))
            done += 1
    except Full:
        return done
    except ShutDown:
        if not done:
            raise
        return done


def _take_many(q: _Queue, c: Compat, max_items: int) -> list[Any]:
    items: list[Any] = []
    try:
        while len(items) < max_items and size(q, c):
            item = _remove(q, c)
            if item is _GONE:
                break
            items.append(item)
            c.gets += 1
    finally:
        if items:
            c.notify(GIVERS, _freed(c, len(items)))
    return items


def get_many(q: _Queue, max_items: int, block: bool = True, timeout: Any = None) -> list[Any]:
    """What `get_many` does in this mode."""
    c = opened(q)
    try:
        with c.lock:
            while True:
                _await_item(q, c, block, timeout)
                items = _take_many(q, c, max_items)
                if items or max_items == 0:
                    return items
    finally:
        settle(q, c)


def try_get_many(q: _Queue, max_items: int) -> list[Any]:
    """Get what is there, at least one item."""
    return get_many(q, max_items, False)


# --- the rest of the interface --------------------------------------------------------------------


def task_done(q: _Queue) -> None:
    """What `task_done` does in this mode."""
    c = opened(q)
    try:
        with c.lock:
            unfinished = c.unfinished - 1
            if unfinished < 0:
                raise ValueError("task_done() called too many times")
            c.unfinished = unfinished
            if not unfinished:
                c.notify(JOINERS, ALL)
    finally:
        settle(q, c)


def join(q: _Queue) -> None:
    """What `join` does in this mode."""
    c = opened(q)
    with c.lock:
        _wait(c, JOINERS, None, lambda: not c.unfinished, Empty)


def try_join(q: _Queue) -> bool:
    """Whether `join` would return at once."""
    return not opened(q).unfinished


def qsize(q: _Queue) -> Any:
    """What `qsize` does in this mode."""
    c = opened(q)
    with c.lock:
        return size(q, c)


def empty(q: _Queue) -> bool:
    """What `empty` does in this mode."""
    return not qsize(q)


def full(q: _Queue) -> bool:
    """What `full` does in this mode."""
    c = opened(q)
    with c.lock:
        return bool(0 < q.maxsize <= size(q, c))


def shutdown(q: _Queue, immediate: bool = False) -> None:
    """What `shutdown` does in this mode."""
    c = opened(q)
    dropped: list[Any] = []
    try:
        with c.lock:
            c.is_shutdown = True
            if immediate:
                c.drained = True
                _remove_all(q, c, dropped)
                c.notify(JOINERS, ALL)
            c.notify(TAKERS, ALL)
            c.notify(GIVERS, ALL)
    finally:
        settle(q, c)


def _remove_all(q: _Queue, c: Compat, removed: list[Any]) -> None:
    """Take out what nobody will get; it counts as done."""
    while size(q, c):
        item = _remove(q, c)
        if item is not _GONE:
            removed.append(item)
            if c.unfinished > 0:
                c.unfinished -= 1


def peek(q: _Queue) -> Any:
    """What `peek` does in this mode."""
    c = opened(q)
    with c.lock:
        if not knows_next(q, c):
            raise TypeError(
                f"peek() cannot know what {type(q).__name__}._get would return; "
                "a queue that overrides _get has to override peek too"
            )
        _await_item(q, c, False, None)
        return c.queue[-1 if q._kind == "lifo" else 0]


def clear(q: _Queue) -> int:
    """What `clear` does in this mode."""
    c = opened(q)
    removed: list[Any] = []
    try:
        with c.lock:
            if knows_next(q, c) and hasattr(c.queue, "clear"):
                removed.extend(c.queue)
                c.queue.clear()
                c.unfinished = max(c.unfinished - len(removed), 0)
            else:
                _remove_all(q, c, removed)
            if removed:
                if not c.unfinished:
                    c.notify(JOINERS, ALL)
                c.notify(GIVERS, ALL)
    finally:
        settle(q, c)
    return len(removed)


def stats(q: _Queue) -> tuple[Any, ...]:
    """The fields of `QueueStats`: what the core counts (tasks too) and what this mode does."""
    c = opened(q)
    here = (
        c.puts,
        c.gets,
        c.blocked[GIVERS],
        c.blocked[TAKERS],
        len(c.waiters[GIVERS]),
        len(c.waiters[TAKERS]),
        len(c.waiters[JOINERS]),
        c.high_water,
        c.wait_time,
        c.dropped,
        c.blocked_on_loop,
    )
    core = q._native_stats()
    total = [a + b for a, b in zip(core, here, strict=True)]
    total[7] = max(core[7], c.high_water)
    return tuple(total)
