"""Queues between threads, between asyncio tasks, and between the two.

`Queue`, `LifoQueue`, `PriorityQueue` and `SimpleQueue` take the place of the classes of the same
names in the standard library's `queue`: same arguments, same exceptions, same meaning. Every method
that may block has a twin ``..._async`` for asyncio; threads and any number of event loops may use
one queue at the same time. `RingQueue`, `SpscQueue` and `Stack` are lock-free structures with the
same verbs, for those who know that they want one.

>>> q = Queue(maxsize=2)
>>> q.put("a")
>>> q.put_many(["b", "c"], block=False)
1
>>> q
<concx.Queue size=2 maxsize=2 waiting=0>
>>> q.get(), q.get_many(10)
('a', ['b'])
"""

import queue as _std
from dataclasses import dataclass
from typing import TypeVar

from concx import _core
from concx._core import Empty, Full, RingQueue, ShutDown, SimpleQueue, SpscQueue, Stack

__all__ = [
    "Empty",
    "Full",
    "LifoQueue",
    "PriorityQueue",
    "Queue",
    "QueueStats",
    "RingQueue",
    "ShutDown",
    "SimpleQueue",
    "SpscQueue",
    "Stack",
]

_T = TypeVar("_T")
_O = TypeVar("_O", bound="_core._Comparable")


@dataclass(frozen=True, slots=True)
class QueueStats:
    """What a queue has counted since it was made; the answer of ``stats()``.

    Attributes
    ----------
    puts, gets : int
        Items that went in and came out. An item that a cancelled task gave back did not come out.
    blocked_puts, blocked_gets : int
        Calls, sync and async, that had to wait.
    waiting_puts, waiting_gets, waiting_joins : int
        Callers that wait at this moment.
    high_water : int
        The largest number of items that the queue has held.
    wait_time : float
        Seconds that threads have spent waiting, all calls together.
    dropped : int
        Items that an overflow mode dropped.
    blocked_on_loop : int
        Blocking calls that waited in a thread whose event loop was running, and so froze that loop;
        the ``..._async`` form does not.

    Notes
    -----
    Thread safety: immutable.
    """

    puts: int
    gets: int
    blocked_puts: int
    blocked_gets: int
    waiting_puts: int
    waiting_gets: int
    waiting_joins: int
    high_water: int
    wait_time: float
    dropped: int
    blocked_on_loop: int


class Queue(_core.QueueBase[_T], _std.Queue[_T]):
    """First in, first out; `queue.Queue` with asyncio twins, batches and bounds of other kinds.

    Parameters
    ----------
    maxsize : int, default 0
        How many items the queue holds; no bound if 0 or less. ``maxsize`` is also an attribute that
        may be assigned at any time.
    overflow : {"block", "raise", "drop_oldest", "drop_newest"}, default "block"
        What ``put`` does when the queue is full: waits (for `Full` after its time-out), raises
        `Full` at once, drops the item that was put first, or drops the new item. A dropped item
        counts as done.
    weigher : callable, optional
        ``weigher(item)`` returns the weight of an item, an int that is not negative; called once
        for each put, outside every lock. Needs `max_weight`.
    max_weight : int, optional
        The largest total weight of the items in the queue. Needs `weigher`.

    Raises
    ------
    TypeError
        If only one of `weigher` and `max_weight` is given.
    ValueError
        If `overflow` is none of the four. ``put`` raises it for an item that is heavier than
        `max_weight`.

    Notes
    -----
    ``put``, ``get``, ``put_nowait``, ``get_nowait``, ``task_done``, ``join``, ``qsize``, ``empty``,
    ``full`` and ``shutdown`` are the standard library's, ``shutdown`` on every version of Python.
    In addition:

    ``put_async(item, block=True, timeout=None)``, ``get_async(block=True, timeout=None)``,
    ``join_async(timeout=None)``
        Coroutines. A ``get_async`` that is cancelled after an item was handed to it gives the item
        back to the head of the queue; a ``put_async`` that is cancelled has not put.
    ``put_many(items, block=True, timeout=None)``
        How many of `items` went in, always the first ones. Raises `ShutDown` only if none did.
    ``get_many(max_items, block=True, timeout=None)``
        Waits for the first item and takes what is there, at most `max_items`: a list.
    ``put_many_async``, ``get_many_async``
        The same as coroutines.
    ``peek()``
        The item that ``get`` would return, which stays in; `Empty` or `ShutDown` if there is none.
    ``clear()``
        Removes all items, each of which counts as done; how many there were.
    ``consume()``
        An iterator, for ``for`` and ``async for``, that gets items until the queue is shut down and
        empty.
    ``stats()``
        A `QueueStats`.

    Time-outs are seconds or a `datetime.timedelta`; None waits for ever.

    Using ``mutex``, ``not_empty``, ``not_full`` or ``all_tasks_done``, reading or assigning
    ``queue``, and bringing a hook (``_init``, ``_qsize``, ``_put``, ``_get``) in a subclass or on
    an instance switch a queue for good to a compatibility mode, which behaves as the standard
    library's queue and is slower.

    Thread safety: every method may be called from any thread, any task of any event loop, signal
    handlers, finalisers and weak reference callbacks, also while another call is under way in the
    same thread. Waiting callers are served in the order in which they came.
    """


class LifoQueue(Queue[_T], _std.LifoQueue[_T]):
    """Last in, first out; otherwise a `Queue`, with the same parameters.

    Notes
    -----
    ``overflow="drop_oldest"`` drops the item at the bottom.

    Thread safety: as `Queue`.
    """


class PriorityQueue(Queue[_O], _std.PriorityQueue[_O]):
    """The least item first; otherwise a `Queue`, with the same parameters.

    Raises
    ------
    ValueError
        For ``overflow="drop_oldest"``: a heap does not know which item is the oldest.

    Notes
    -----
    A binary heap in the order of `heapq`, equal items included. Comparisons run outside every lock.
    Where one raises, a ``put`` has not put and a ``get`` has not taken.

    Thread safety: as `Queue`.
    """


for _cls in (Queue, LifoQueue, PriorityQueue):
    # Each class has its own copy of the methods: CPython specialises calls of those only.
    _core.bind_methods(_cls)
del _cls
