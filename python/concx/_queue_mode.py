"""The state of a queue in the compatibility mode, and the switch into it.

The core keeps a queue in C until someone uses its mutex or one of its conditions, reads or assigns
``queue``, or brings a hook (``_init``, ``_qsize``, ``_put``, ``_get``). From then on, and for good,
the queue is a container, one mutex, three conditions, and hooks that are called with the mutex
held. Asyncio tasks go on waiting in the core's lists and are told to look again.

The switch is ordered so that nothing is lost: the fresh mutex is taken, the mode is installed, the
core hands over its items (in one C call that stores them here, so that no signal comes between),
the container is filled, the mutex is left. Every function completes a switch that was interrupted.

The mutex is re-entrant where a lock would deadlock: a finaliser or a signal handler may use the
queue that its thread is working on. Tasks are woken after the mutex has been left.
"""

from __future__ import annotations

import _thread
import os
import queue as _std
import sys
import threading
import weakref
from collections import deque
from heapq import heapify, heappop, heappush
from itertools import chain, repeat
from operator import eq, index
from types import MethodType
from typing import Any

from concx._core import QueueBase

TAKERS, GIVERS, JOINERS, RETURNED = range(4)
"""Who waits: callers of get, of put, of join. Each has a condition here and a list in the core.
And what is owed besides wakes: to take back what the core was returned."""

ROLES = {"not_empty": TAKERS, "not_full": GIVERS, "all_tasks_done": JOINERS}
ALL = -1

QSIZE, PUT, GET = range(3)
HOOKS: dict[str, tuple[Any, Any, Any]] = {
    kind: (cls._qsize, cls._put, cls._get)  # type: ignore[attr-defined]
    for kind, cls in [
        ("fifo", _std.Queue),
        ("lifo", _std.LifoQueue),
        ("priority", _std.PriorityQueue),
    ]
}
"""The standard library's hooks, by kind of queue: what they do needs no call."""

_Queue = Any  # a QueueBase; hooks and attributes may be anybody's
_ABSENT: Any = object()  # a subclass's `_init` need not set `queue`


class _CarefulRLock(_thread.RLock):  # type: ignore[misc]  # final in the stubs only
    """An RLock that `with` does not leak on Python 3.14.

    There, and there only, a signal handler may raise between `__enter__` and the block.
    """

    _recursion_count: Any

    def __enter__(self, blocking: bool = True, timeout: float = -1) -> bool:
        before = self._recursion_count()
        try:
            taken = self.acquire(blocking, timeout)
        except BaseException:
            if self._recursion_count() > before:
                self.release()
            raise
        return taken


_RLock: Any = _CarefulRLock if sys.version_info[:2] == (3, 14) else _thread.RLock


class Mutex:
    """The lock of a queue: a `threading.Lock` that its holder may take again.

    Its first use switches the queue. Its last release delivers what is owed: wakes of tasks, and
    items that cancelled tasks gave back meanwhile.
    """

    __slots__ = (
        "__weakref__",
        "_acquire_restore",
        "_is_owned",
        "_queue",
        "_release_save",
        "lock",
        "owed",
    )

    def __init__(self, q: _Queue) -> None:
        self._queue = weakref.ref(q)
        self.lock = _RLock()
        self.owed: deque[tuple[int, int]] = deque()
        # What threading.Condition takes from its lock.
        self._release_save = self.lock._release_save
        self._acquire_restore = self.lock._acquire_restore
        self._is_owned = self.lock._is_owned

    def _switch(self) -> None:
        q = self._queue()
        if q is not None:
            c = q._compat
            if c is None or c.fresh:
                opened(q)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the mutex; False if it is taken (by whomever) and `blocking` is false."""
        self._switch()
        if not blocking and self._is_owned():
            return False
        taken: bool = self.lock.acquire(blocking, timeout)
        return taken

    def release(self) -> None:
        """Leave the mutex; only its holder may."""
        self.lock.release()
        self.settle()

    def locked(self) -> bool:
        """Tell whether some thread holds the mutex."""
        self._switch()
        if self._is_owned():
            return True
        if self.lock.acquire(False):
            self.lock.release()
            return False
        return True

    def __enter__(self) -> bool:
        self._switch()
        held = self._is_owned()
        try:
            taken: bool = self.lock.acquire()
        except BaseException:  # a signal handler's, before or after it was taken
            if not held and self._is_owned():
                self.lock.release()
            raise
        return taken

    def __exit__(self, *args: object) -> None:
        self.release()

    def settle(self) -> None:
        """Deliver what is owed, unless the calling thread still holds the mutex."""
        if self.owed and not self._is_owned():
            q = self._queue()
            if q is not None:
                deliver(q, self.owed)

    def _at_fork_reinit(self) -> None:
        self.lock._at_fork_reinit()

    def __repr__(self) -> str:
        return f"<concx queue mutex over {self.lock!r}>"


class Condition(threading.Condition):
    """A condition of a queue: waits for threads, wakes threads and tasks."""

    _waiters: deque[Any]
    _is_owned: Any

    def __init__(self, q: _Queue, mutex: Any, role: int) -> None:
        super().__init__(mutex)
        self._queue = weakref.ref(q)
        self._role = role
        self._owed: deque[tuple[int, int]] | None = getattr(mutex, "owed", None)

    def wait(self, timeout: float | None = None) -> bool:
        if self._owed and self._is_owned():
            q = self._queue()
            if q is not None:
                deliver(q, self._owed)  # while this thread sleeps, nobody else would
        try:
            return super().wait(timeout)
        except BaseException:
            if self._is_owned():
                super().notify()  # the wake may have been used up: pass it on
            raise

    def notify(self, n: int = 1) -> None:
        super().notify(n)
        self._wake_tasks(n)

    def notify_all(self) -> None:
        super().notify(len(self._waiters))
        self._wake_tasks(ALL)

    def _wake_tasks(self, n: int) -> None:
        if self._owed is not None:
            self._owed.append((self._role, n))  # our mutex delivers it when it is left
            return
        q = self._queue()
        if q is not None:
            deliver(q, deque([(self._role, n)]))


def weigh(q: _Queue, item: Any) -> int:
    """The weight of an item, by the queue's `weigher`."""
    result = q._weigher(item)
    try:
        weight = index(result)
    except TypeError:
        raise TypeError(f"what 'weigher' returns must be an int, got {result!r}") from None
    if not 0 <= weight < 2**63:
        raise ValueError(f"what 'weigher' returns must be an int from 0 to 2**63-1, got {result!r}")
    return weight


class Load:
    """The weights of what is in a weighted queue, whoever takes it out."""

    __slots__ = ("count", "total", "weights")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0
        self.weights: dict[int, list[int]] = {}

    def add(self, item: Any, weight: int) -> None:
        self.weights.setdefault(id(item), []).append(weight)
        self.total += weight
        self.count += 1

    def remove(self, item: Any) -> None:
        known = self.weights.get(id(item))
        if known:
            self.total -= known.pop()
            self.count -= 1
            if not known:
                del self.weights[id(item)]

    def check(self, q: _Queue, c: Compat) -> None:
        """Weigh again if somebody changed the container behind the queue's back."""
        now = size(q, c)
        if now == self.count:
            return
        old, self.weights, self.total, self.count = self.weights, {}, 0, 0
        if not now or c.queue is _ABSENT:
            return
        for item in c.queue:
            known = old.get(id(item))
            self.add(item, known.pop() if known else weigh(q, item))


class Compat:
    """The state of a queue in the compatibility mode."""

    __slots__ = (
        "__weakref__",
        "ahead",
        "back",
        "blocked",
        "blocked_on_loop",
        "conditions",
        "drained",
        "dropped",
        "fresh",
        "gets",
        "high_water",
        "hooks",
        "is_shutdown",
        "kind",
        "load",
        "lock",
        "moved",
        "mutex",
        "owed",
        "owned",
        "puts",
        "queue",
        "unfinished",
        "wait_time",
        "waiters",
    )

    def __init__(self, q: _Queue) -> None:
        self.kind: str = q._kind
        self.hooks = HOOKS[self.kind]
        self.fresh = True  # the core has not handed over yet
        self.moved: list[tuple[list[Any], int, bool]] = []  # what it handed over
        self.back: list[Any] = []  # given back, on the way to the container
        self.ahead: list[int] = []  # ids of items given back; some may still stand at the head
        self.queue: Any = _ABSENT
        self.unfinished: Any = 0
        self.is_shutdown: Any = False
        self.drained = False
        self.load = None if q._weigher is None else Load()
        self.puts = self.gets = self.high_water = self.dropped = self.blocked_on_loop = 0
        self.blocked = [0, 0, 0]
        self.wait_time = 0.0
        self.use_mutex(q.mutex)
        self.use_conditions([q.not_empty, q.not_full, q.all_tasks_done])
        _modes.add(self)

    def use_mutex(self, mutex: Any) -> None:
        self.mutex = mutex
        ours = isinstance(mutex, Mutex)
        self.lock: Any = mutex.lock if ours else mutex
        self.owed: deque[tuple[int, int]] = mutex.owed if ours else deque()
        self.owned = getattr(mutex, "_is_owned", bool)

    def use_conditions(self, conditions: list[Any]) -> None:
        self.conditions = conditions
        self.waiters = [condition._waiters for condition in conditions]

    def notify(self, role: int, n: int) -> None:
        """Wake threads now; tasks when the mutex is left (`settle`)."""
        if self.waiters[role]:
            self.notify_threads(role, n)
        self.owed.append((role, n))

    def notify_threads(self, role: int, n: int) -> None:
        condition = self.conditions[role]
        if n == ALL:
            n = len(self.waiters[role])
        if isinstance(condition, Condition):
            threading.Condition.notify(condition, n)
        else:
            condition.notify(n)

    def count_done(self, n: int) -> None:
        if n and self.unfinished > 0:
            self.unfinished = max(self.unfinished - n, 0)
            if not self.unfinished:
                self.notify(JOINERS, ALL)

    def after_fork(self) -> None:
        """In the child: the other threads are gone, and what they held or waited for with them."""
        if not self.owned():
            self.lock._at_fork_reinit()
        for waiters in self.waiters:
            waiters.clear()


_modes: weakref.WeakSet[Compat] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for c in list(_modes):
        c.after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)


# --- the switch -----------------------------------------------------------------------------------


def lazy(q: _Queue, name: str) -> Any:
    """The mutex or a condition of `q`; the core keeps it."""
    c: Compat | None = q._compat
    if c is not None:
        found: Any = c.mutex if name == "mutex" else c.conditions[ROLES[name]]
        return found
    return Mutex(q) if name == "mutex" else Condition(q, q.mutex, ROLES[name])


def set_lazy(q: _Queue, name: str, value: Any) -> None:
    """Put somebody's own mutex or condition in the place of ours."""
    c = opened(q)
    with c.lock:
        if name == "mutex":
            c.use_mutex(value)
            c.use_conditions([Condition(q, value, role) for role in ROLES.values()])
        else:
            conditions = list(c.conditions)
            conditions[ROLES[name]] = value
            c.use_conditions(conditions)


def switch(q: _Queue) -> Compat:
    """Bring `q` into the compatibility mode if it is not in it; its state."""
    c: Compat | None = q._compat
    if c is None:
        mine = Compat(q)
        with mine.lock:
            c = _install(q, mine)
            if c is mine:
                complete(q, c)
        if c is not mine:  # another thread, or a signal handler in this one
            return opened(q)
    return c


def _install(q: _Queue, c: Compat) -> Compat:
    installed: Compat = q._install_compat(c)
    return installed


def complete(q: _Queue, c: Compat) -> None:
    """Fetch what the core holds; with the mutex held, and again if it was interrupted."""
    moved = c.moved  # kept: a signal handler or a finaliser may complete the switch meanwhile
    if not moved:
        # One C call: the items are in c.moved before a signal handler can raise.
        moved.extend(map(QueueBase._native_move, (q,)))
    items, unfinished, is_shutdown = moved[0]
    queue = deque(items) if c.kind == "fifo" else list(items)
    if c.fresh:
        c.queue, c.unfinished, c.is_shutdown = queue, unfinished, is_shutdown
        c.fresh, c.moved = False, []


def opened(q: _Queue) -> Compat:
    """The state of `q`, complete."""
    c = switch(q)
    if c.fresh:
        with c.lock:
            if c.fresh:
                complete(q, c)
    return c


def init(q: _Queue, maxsize: Any) -> None:
    """What `__init__` does in this mode: the container first, by the hook."""
    c = opened(q)
    c.queue = _ABSENT
    c.drained = False
    q._init(maxsize)
    c.unfinished = 0
    c.is_shutdown = False


def settle(q: _Queue, c: Compat) -> None:
    """Deliver what is owed; left to the last release while the calling thread holds the mutex."""
    if not c.owned():
        deliver(q, c.owed)


def deliver(q: _Queue, owed: deque[tuple[int, int]]) -> None:
    while owed:
        try:
            role, n = owed.popleft()
        except IndexError:  # another thread delivers too
            return
        if role == TAKERS:
            q._wake_takers(n)
        elif role == GIVERS:
            q._wake_givers(n)
        elif role == JOINERS:
            q._wake_joiners()
        else:
            reclaim(q)


def reclaim(q: _Queue) -> None:
    """Take back what tasks were granted by the core and did not take; never waits for itself."""
    c = opened(q)
    if c.owned():
        c.owed.append((RETURNED, ALL))
        return
    with c.lock:
        dropped = take_back(q, c)
    settle(q, c)
    del dropped


def take_back(q: _Queue, c: Compat) -> list[Any]:
    """Items that were given back go to the head; what must be dropped is returned."""
    back = c.back
    back.extend(chain.from_iterable(map(QueueBase._native_returned, (q,))))
    n = len(back)
    if c.drained:
        c.count_done(n)
        c.dropped += n
        dropped, c.back = back, []
        return dropped
    # Each in one C call, so that a signal cannot come between pop and push; the last one first.
    last_first = map(back.pop, repeat(-1, n))
    queue = c.queue
    if c.kind == "fifo" and isinstance(queue, deque):
        at = still_ahead(c, queue)
        c.ahead += map(id, back)
        deque(map(queue.insert, repeat(at), last_first), 0)
    elif c.kind != "fifo" and isinstance(queue, list):
        queue.extend(last_first)
        if c.kind == "priority":
            heapify(queue)
    else:
        for item in last_first:
            store(q, c, item)
    if n:
        c.notify(TAKERS, n)
    return []


def still_ahead(c: Compat, queue: deque[Any]) -> int:
    """How many of the items that were given back before stand at the head: later ones follow."""
    ahead = c.ahead
    for start in range(len(ahead)):
        rest = ahead[start:]
        if len(rest) <= len(queue) and all(map(eq, rest, map(id, queue))):
            c.ahead = rest
            return len(rest)
    c.ahead = []
    return 0


# --- attributes -----------------------------------------------------------------------------------


def get_queue(q: _Queue) -> Any:
    """The attribute `queue`, live."""
    c = q._compat
    if c is None or c.fresh:
        c = opened(q)
    queue = c.queue
    if queue is _ABSENT:
        message = f"{type(q).__name__!r} object has no attribute 'queue'"
        raise AttributeError(message, name="queue", obj=q)
    return queue


def set_queue(q: _Queue, value: Any) -> None:
    """Assign the attribute `queue`."""
    opened(q).queue = value


def get_unfinished(q: _Queue) -> Any:
    """The attribute `unfinished_tasks`."""
    return opened(q).unfinished


def set_unfinished(q: _Queue, n: Any) -> None:
    """Assign the attribute `unfinished_tasks`; wakes nobody, as in the standard library."""
    opened(q).unfinished = n


def get_shutdown(q: _Queue) -> Any:
    """The attribute `is_shutdown`."""
    return opened(q).is_shutdown


def set_shutdown(q: _Queue, value: Any) -> None:
    """Assign the attribute `is_shutdown`; wakes nobody, as in the standard library."""
    opened(q).is_shutdown = value


def resized(q: _Queue) -> None:
    """Wake the putters after an assignment to `maxsize`, if the mutex is free or ours."""
    c = opened(q)
    if c.lock.acquire(False):
        try:
            c.notify(GIVERS, ALL)
        finally:
            c.lock.release()
            settle(q, c)


# --- hooks ----------------------------------------------------------------------------------------


def size(q: _Queue, c: Compat) -> int:
    """Call `_qsize`, or do what it would."""
    hook = q._qsize
    if type(hook) is MethodType and hook.__func__ is c.hooks[QSIZE]:
        return len(c.queue)
    answer: int = hook()
    return answer


def store(q: _Queue, c: Compat, item: Any) -> int:
    """Call `_put`, or do what it would; the size after that."""
    hook = q._put
    if type(hook) is MethodType and hook.__func__ is c.hooks[PUT]:
        if c.kind == "priority":
            heappush(c.queue, item)
        else:
            c.queue.append(item)
    else:
        hook(item)
    return size(q, c)


def fetch(q: _Queue, c: Compat) -> Any:
    """Call `_get`, or do what it would."""
    hook = q._get
    if type(hook) is MethodType and hook.__func__ is c.hooks[GET]:
        if c.kind == "fifo":
            item = c.queue.popleft()
        else:
            item = c.queue.pop() if c.kind == "lifo" else heappop(c.queue)
    else:
        item = hook()
    if c.load is not None:
        c.load.remove(item)
    return item


def knows_next(q: _Queue, c: Compat) -> bool:
    """Whether `_get` is what this kind of queue has anyway."""
    hook = q._get
    return type(hook) is MethodType and hook.__func__ is c.hooks[GET]
