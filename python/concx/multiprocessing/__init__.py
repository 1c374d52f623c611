"""Drop-in twin of `multiprocessing`: queues, locks, shared values and pools over shared memory.

>>> from concx.multiprocessing import Process, Queue
>>> q = Queue()
>>> q.put(("a", 1))
>>> q.get()
('a', 1)

Everything that concx does not replace is `multiprocessing`'s own, unchanged.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import multiprocessing.sharedctypes
import multiprocessing.synchronize as _synchronize
import threading
import time
import types
from collections.abc import Callable, Coroutine, Iterable
from multiprocessing import (
    AuthenticationError,
    BufferTooShort,
    Manager,
    Pipe,
    Process,
    ProcessError,
    TimeoutError,
    active_children,
    allow_connection_pickling,
    cpu_count,
    current_process,
    freeze_support,
    get_all_start_methods,
    get_logger,
    get_start_method,
    log_to_stderr,
    parent_process,
    reducer,
    set_executable,
    set_forkserver_preload,
    set_start_method,
)
from multiprocessing.context import assert_spawning as _assert_spawning
from typing import TYPE_CHECKING, Any

from concx import _core, _shm
from concx._core import OwnerDied
from concx._mpstats import (
    BarrierStats,
    ConditionStats,
    EventStats,
    LockStats,
    QueueStats,
    SemaphoreStats,
)
from concx.multiprocessing._context import get_context

if TYPE_CHECKING:
    from concx.multiprocessing._pool import Pool, PoolStats, WorkerDied

_sharedctypes: Any = multiprocessing.sharedctypes  # more of it is used than is typed

__all__ = [
    "Array",
    "AuthenticationError",
    "Barrier",
    "BarrierStats",
    "BoundedSemaphore",
    "BufferTooShort",
    "Condition",
    "ConditionStats",
    "Event",
    "EventStats",
    "JoinableQueue",
    "Lock",
    "LockStats",
    "Manager",
    "OwnerDied",
    "Pipe",
    "Pool",
    "PoolStats",
    "Process",
    "ProcessError",
    "Queue",
    "QueueStats",
    "RLock",
    "RawArray",
    "RawValue",
    "Semaphore",
    "SemaphoreStats",
    "SimpleQueue",
    "TimeoutError",
    "Value",
    "WorkerDied",
    "active_children",
    "allow_connection_pickling",
    "cpu_count",
    "current_process",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "log_to_stderr",
    "parent_process",
    "reducer",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
]

_SEM_VALUE_MAX = 2**31 - 1
_RECURSIVE, _SEMAPHORE, _LOCK = range(3)
_LOCK_BYTES, _LINE_BYTES = 64, 2048


def _recovers(on_owner_death: str) -> bool:
    if on_owner_death not in ("raise", "recover"):
        raise ValueError(f"'on_owner_death' must be 'raise' or 'recover', got {on_owner_death!r}")
    return on_owner_death == "recover"


def _rebuild(base: Any, cls: Any, arguments: tuple[Any, ...], attributes: Any) -> Any:
    self = base.__new__(cls, *arguments)
    if attributes:
        self.__dict__.update(attributes)
    return self


class _LockBase(_core.LockBase):
    """Pickling while a child is started; `_kind` says what `acquire` and `release` mean."""

    __slots__ = ("__weakref__",)
    _kind = _LOCK

    def stats(self) -> Any:
        """What it is like now: a `LockStats`; of a semaphore a `SemaphoreStats`."""
        kind: Any = SemaphoreStats if self._kind == _SEMAPHORE else LockStats
        return kind(*self._stats())

    def __reduce__(self) -> tuple[Any, ...]:
        _assert_spawning(self)
        most = self.maxvalue if self._kind == _SEMAPHORE else 1
        arguments = (self._block(), self._kind, None, most, self._recovers)
        return _rebuild, (_core.LockBase, type(self), arguments, getattr(self, "__dict__", None))


@_core.bind_methods
class Lock(_LockBase):
    """A lock between processes; any thread of any process may release it.

    Parameters
    ----------
    on_owner_death : {"raise", "recover"}
        What happens when the process that holds the lock dies: whoever waits gets `OwnerDied`, and so
        does every later `acquire` until `release` or `recover` frees the lock; or the next one in
        line gets the lock. Either is noticed within 0.2 s.

    Notes
    -----
    Thread safety: every method may be called from any thread of any process.
    """

    __slots__ = ()

    def __new__(cls, *, on_owner_death: str = "raise") -> Lock:
        recovers = _recovers(on_owner_death)
        return super().__new__(cls, _shm.slot(_LOCK_BYTES), _LOCK, None, 1, recovers)

    __repr__ = _synchronize.Lock.__repr__


@_core.bind_methods
class RLock(_LockBase):
    """A lock between processes that its thread may acquire again.

    Parameters
    ----------
    on_owner_death : {"raise", "recover"}
        As for `Lock`.

    Notes
    -----
    Thread safety: every method may be called from any thread of any process; `release` only from the
    one that acquired.
    """

    __slots__ = ()
    _kind = _RECURSIVE

    def __new__(cls, *, on_owner_death: str = "raise") -> RLock:
        recovers = _recovers(on_owner_death)
        return super().__new__(cls, _shm.slot(_LOCK_BYTES), _RECURSIVE, None, 1, recovers)

    __repr__ = _synchronize.RLock.__repr__


@_core.bind_methods
class Semaphore(_LockBase):
    """A semaphore between processes.

    Its permits have no owner, because any process may release: one that a process took and died with
    is gone, as with the standard one.

    Notes
    -----
    Thread safety: every method may be called from any thread of any process.
    """

    __slots__ = ()
    _kind = _SEMAPHORE

    def __new__(cls, value: int = 1) -> Semaphore:
        return super().__new__(cls, _shm.slot(_LOCK_BYTES), _SEMAPHORE, value, _SEM_VALUE_MAX)

    def get_value(self) -> int:
        """How often it can be acquired now."""
        return self._get_value()

    __repr__ = _synchronize.Semaphore.__repr__


@_core.bind_methods
class BoundedSemaphore(Semaphore):
    """A semaphore between processes that is not released above its first value.

    Notes
    -----
    Thread safety: every method may be called from any thread of any process.
    """

    __slots__ = ()

    def __new__(cls, value: int = 1) -> BoundedSemaphore:
        return _LockBase.__new__(cls, _shm.slot(_LOCK_BYTES), _SEMAPHORE, value, value)

    __repr__ = _synchronize.BoundedSemaphore.__repr__


class Condition:
    """A condition between processes.

    Notifications go to those who wait longest, and never to a process that has died waiting. Beyond
    126 waiters, further ones may be woken without a notification.

    Notes
    -----
    Thread safety: every method may be called from any thread of any process that holds the lock.
    """

    def __init__(self, lock: Any = None) -> None:
        self.__setstate__((lock or RLock(), _shm.slot(_LINE_BYTES)))

    def __getstate__(self) -> tuple[Any, Any]:
        _assert_spawning(self)
        return self._lock, self._line._block()

    def __setstate__(self, state: tuple[Any, Any]) -> None:
        self._lock = state[0]
        self._line = _core.WaitLine(state[1])
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def __enter__(self) -> Any:
        return self._lock.__enter__()

    def __exit__(self, *args: object) -> Any:
        return self._lock.__exit__(*args)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._lock}, {self._line.waiting()})>"

    def stats(self) -> ConditionStats:
        """Who waits, and what the lock is like."""
        lock = self._lock.stats() if hasattr(self._lock, "stats") else None
        return ConditionStats(self._line.waiting(), lock)

    def _reacquire(self, count: int) -> None:
        """Take the lock again, whatever a signal handler raises meanwhile; that is raised then."""
        raised: BaseException | None = None
        while count:
            try:
                self._lock.acquire()
            except OwnerDied:
                raise
            except BaseException as error:
                raised = error
            else:
                count -= 1
        if raised is not None:
            raise raised

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, wait for a notification, take the lock; False if none came in time."""
        assert self._lock._semlock._is_mine(), "must acquire() condition before using wait()"
        count = self._lock._semlock._count()
        place = self._line.enter()
        try:
            for _ in range(count):
                self._lock.release()
            try:
                self._line.sleep(place, timeout)
            finally:
                self._reacquire(count)
        except BaseException:
            if self._line.leave(place):
                self._line.notify(1)
            raise
        return self._line.leave(place)

    def notify(self, n: int = 1) -> None:
        """Wake the `n` that wait longest."""
        assert self._lock._semlock._is_mine(), "lock is not owned"
        self._line.notify(n)

    def notify_all(self) -> None:
        """Wake all."""
        self.notify(_SEM_VALUE_MAX)

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until ``predicate()`` is true, and return it."""
        result = predicate()
        deadline = None if timeout is None else time.monotonic() + timeout
        while not result:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result


@_core.bind_methods
class Event(_core.EventBase):
    """An event between processes.

    Notes
    -----
    Thread safety: every method may be called from any thread of any process.
    """

    __slots__ = ("__weakref__",)

    def __new__(cls) -> Event:
        return super().__new__(cls, _shm.slot(_LOCK_BYTES))

    def __reduce__(self) -> tuple[Any, ...]:
        _assert_spawning(self)
        attributes = getattr(self, "__dict__", None)
        return _rebuild, (_core.EventBase, type(self), (self._block(),), attributes)

    def stats(self) -> EventStats:
        """Whether it is set, and how often it was."""
        return EventStats(*self._stats())

    def __repr__(self) -> str:
        state = "set" if self.is_set() else "unset"
        return f"<{type(self).__qualname__} at {id(self):#x} {state}>"


class Barrier(threading.Barrier):
    """A barrier between processes.

    Notes
    -----
    Thread safety: every method may be called from any thread of any process.
    """

    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> None:
        self.__setstate__((parties, action, timeout, Condition(), _shm.slot(_LOCK_BYTES)))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._parties, self._action, self._timeout, self._cond, self._block = state
        self._array = self._block.create_memoryview().cast("i")

    def __getstate__(self) -> tuple[Any, ...]:
        _assert_spawning(self)
        return self._parties, self._action, self._timeout, self._cond, self._block

    def stats(self) -> BarrierStats:
        """How many wait."""
        return BarrierStats(self.parties, self.n_waiting, self.broken)

    @property
    def _state(self) -> int:
        return int(self._array[0])

    @_state.setter
    def _state(self, value: int) -> None:
        self._array[0] = value

    @property
    def _count(self) -> int:
        return int(self._array[1])

    @_count.setter
    def _count(self, value: int) -> None:
        self._array[1] = value


class _QueueBase(_core.MpQueueBase):
    __slots__ = ("__weakref__",)

    def __reduce__(self) -> tuple[Any, ...]:
        _assert_spawning(self)
        attributes = getattr(self, "__dict__", None)
        return _rebuild, (_core.MpQueueBase, type(self), (self._segment(),), attributes)

    def close(self) -> None:
        """This process puts and gets no more; the others may."""
        self._closed = True

    def stats(self) -> QueueStats:
        """What it holds, and what all processes have done with it."""
        return QueueStats(*self._stats())

    __class_getitem__: Any = classmethod(types.GenericAlias)


@_core.bind_methods
class Queue(_QueueBase):
    """A queue between processes, in memory that they share.

    What `put` has returned from is in the queue: there is no thread that feeds it. Pickling happens
    in `put`, so its errors are raised there. Without `maxsize`, `put` never waits for room: the queue
    grows as long as there is memory.

    Parameters
    ----------
    maxsize : int, default 0
        The most messages; without a limit if it is not above 0.

    Notes
    -----
    A process that dies while it puts or gets leaves the queue whole. A message that it had already
    taken is lost.

    Thread safety: every method may be called from any thread of any process.
    """

    __slots__ = ()

    def __new__(cls, maxsize: int = 0) -> Queue:
        return super().__new__(cls, _shm.ring(), max(maxsize, 0))

    def join_thread(self) -> None:
        """Return at once: no thread feeds the queue. An error unless `close` was called."""
        assert self._closed, f"Queue {self!r} not closed"

    def cancel_join_thread(self) -> None:
        """Do nothing: no thread feeds the queue."""


@_core.bind_methods
class JoinableQueue(Queue):
    """A queue between processes that counts what is finished with.

    Notes
    -----
    Thread safety: every method may be called from any thread of any process.
    """

    __slots__ = ()

    def task_done(self) -> None:
        """Tell that one message taken from the queue is finished with.

        Raises
        ------
        ValueError
            If all are already.
        """
        self._task_done()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until every message put so far is finished with; False if it was not in time.

        A message taken by a process that died before `task_done` is never finished with.
        """
        return self._join(timeout)

    def join_async(self, timeout: float | None = None) -> Coroutine[Any, Any, bool]:
        """`join` for a task: await it."""
        return self._join_async(timeout)


@_core.bind_methods
class SimpleQueue(_QueueBase):
    """A queue between processes without a limit.

    Notes
    -----
    Thread safety: every method may be called from any thread of any process.
    """

    __slots__ = ()

    def __new__(cls) -> SimpleQueue:
        return super().__new__(cls, _shm.ring(), 0)

    def close(self) -> None:
        """This process puts and gets no more; the others may."""
        self._simple = True
        super().close()


def _ctype_of(typecode_or_type: Any) -> Any:
    kind = _sharedctypes.typecode_to_type.get(typecode_or_type, typecode_or_type)
    try:
        ctypes.sizeof(kind)
    except TypeError:
        codes = ", ".join(_sharedctypes.typecode_to_type)
        raise TypeError(
            f"bad typecode {typecode_or_type!r} (must be a ctypes type or one of {codes})"
        ) from None
    return kind


def _new_ctype(kind: Any) -> Any:
    return _sharedctypes.rebuild_ctype(kind, _shm.block(ctypes.sizeof(kind)), None)


def RawValue(typecode_or_type: Any, *args: Any) -> Any:
    """A ctypes object in shared memory, without a lock."""
    obj = _new_ctype(_ctype_of(typecode_or_type))
    obj.__init__(*args)
    return obj


def RawArray(typecode_or_type: Any, size_or_initializer: int | Iterable[Any]) -> Any:
    """A ctypes array in shared memory, without a lock."""
    kind = _ctype_of(typecode_or_type)
    if isinstance(size_or_initializer, int):
        return _new_ctype(kind * size_or_initializer)
    values = tuple(size_or_initializer)
    obj = _new_ctype(kind * len(values))
    obj.__init__(*values)
    return obj


def _synchronized(obj: Any, lock: Any) -> Any:
    if lock is False:
        return obj
    if lock in (True, None):
        lock = RLock()
    if not hasattr(lock, "acquire"):
        raise AttributeError(f"{lock!r} has no method 'acquire'")
    return _sharedctypes.synchronized(obj, lock)


def Value(typecode_or_type: Any, *args: Any, lock: Any = True) -> Any:
    """A ctypes object in shared memory, with an `RLock` (`get_lock`) unless ``lock=False``."""
    return _synchronized(RawValue(typecode_or_type, *args), lock)


def Array(
    typecode_or_type: Any, size_or_initializer: int | Iterable[Any], *, lock: Any = True
) -> Any:
    """A ctypes array in shared memory, with an `RLock` (`get_lock`) unless ``lock=False``."""
    return _synchronized(RawArray(typecode_or_type, size_or_initializer), lock)


def __getattr__(name: str) -> Any:
    if name in {"Pool", "PoolStats", "WorkerDied"}:  # only who wants a pool waits for its imports
        from concx.multiprocessing import _pool

        return getattr(_pool, name)
    # Submodules and what else hangs on the standard module: `multiprocessing.shared_memory`, ...
    return getattr(multiprocessing, name)
