"""The sequential model of the queues, for the state machines.

Everything happens in one thread, so each call is one step of the model. A task that waits is a
`Waiter`. The native queue hands over: a put grants its item to the waiter that came first, and the
item is out of the queue from then on, whether or not the task has run; if the task is cancelled
before it does, the item comes back in front of all others ("get, then un-get"). A task that waits
with an item to put is granted a slot, which stays reserved until the task runs. In the compatibility
mode and in the lock-free structures (``handing=False``) nothing is granted: a woken task looks again.
"""

from __future__ import annotations

import heapq
import queue
from dataclasses import dataclass, field
from typing import Any

import concx.queue

Empty, Full, ShutDown = queue.Empty, queue.Full, concx.queue.ShutDown


@dataclass(eq=False)
class Waiter:
    role: str  # "get", "put" or "join"
    item: Any = None
    most: int = 0  # for get_many
    deadline: float | None = None
    state: str = "new"  # then waiting, granted, closed, late, over
    stamp: int = 0
    task: Any = None
    cancelled: bool = False


class Wrong(AssertionError):
    """The implementation did what the model cannot do."""


@dataclass
class Model:
    kind: str = "fifo"
    maxsize: int = 0
    overflow: str = "block"
    handing: bool = True
    items: list[Any] = field(default_factory=list)  # in the order they leave; a heap for priority
    returned: list[tuple[int, Any]] = field(default_factory=list)  # (stamp, item)
    getters: list[Waiter] = field(default_factory=list)
    putters: list[Waiter] = field(default_factory=list)
    joiners: list[Waiter] = field(default_factory=list)
    reserved: int = 0
    unfinished: int = 0
    stamps: int = 0
    closed: bool = False
    drained: bool = False
    puts: int = 0
    gets: int = 0
    dropped: int = 0

    # -- the container -------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.items) + len(self.returned)

    def room(self) -> bool:
        return self.maxsize <= 0 or len(self) + self.reserved < self.maxsize

    def _store(self, item: Any) -> None:
        if self.kind == "fifo":
            self.items.append(item)
        elif self.kind == "lifo":
            self.items.insert(0, item)
        else:
            heapq.heappush(self.items, item)

    def _merge(self) -> None:
        if self.kind == "priority":
            for _, item in self.returned:
                heapq.heappush(self.items, item)
            self.returned.clear()

    def _pop(self) -> Any:
        self._merge()
        if self.returned:
            return self.returned.pop(0)[1]
        return heapq.heappop(self.items) if self.kind == "priority" else self.items.pop(0)

    def _pop_oldest(self) -> Any:
        if self.kind == "lifo":
            return self.items.pop()
        return self._pop()

    # -- waiters -------------------------------------------------------------------------------

    def _hand_over(self, item: Any, stamp: int) -> bool:
        if not (self.handing and self.getters):
            return False
        waiter = self.getters.pop(0)
        waiter.state, waiter.item, waiter.stamp = "granted", item, stamp
        self.gets += 1
        return True

    def _insert(self, item: Any) -> None:
        self.puts += 1
        self.unfinished += 1
        if self._hand_over(item, self.stamps + 1):
            self.stamps += 1
        else:
            self._store(item)

    def settle(self) -> None:
        """Grant what is due."""
        if self.closed and self.handing:
            for waiters in (self.getters, self.putters):
                for waiter in waiters:
                    waiter.state = "closed"
                waiters.clear()
        while self.handing and self.putters and self.room():
            waiter = self.putters.pop(0)
            waiter.state = "granted"
            self.reserved += 1
        if not self.unfinished:
            for waiter in self.joiners:
                waiter.state = "granted"
            self.joiners.clear()

    def leave(self, waiter: Waiter) -> None:
        """`waiter` goes without having got what it waited for; what it was granted comes back."""
        state, waiter.state = waiter.state, "over"
        if state == "waiting":
            {"get": self.getters, "put": self.putters, "join": self.joiners}[waiter.role].remove(
                waiter
            )
        elif state == "granted" and waiter.role == "put":
            self.reserved -= 1
        elif state == "granted" and waiter.role == "get":
            self._give_back(waiter)
        self.settle()

    def _give_back(self, waiter: Waiter) -> None:
        self.gets -= 1
        if self.drained:
            self.gets += 1
            self.dropped += 1
            self.unfinished = max(self.unfinished - 1, 0)
        elif self._hand_over(waiter.item, waiter.stamp):
            pass
        elif self.kind == "lifo":
            self.items.insert(0, waiter.item)
        else:
            self.returned.append((waiter.stamp, waiter.item))
            self.returned.sort(key=lambda pair: pair[0])

    def late(self, now: float) -> None:
        """The clock stands at `now`: waiters whose time is over leave."""
        for waiters in (self.getters, self.putters, self.joiners):
            for waiter in list(waiters):
                if waiter.deadline is not None and waiter.deadline <= now:
                    waiters.remove(waiter)
                    waiter.state = "late"

    # -- calls ---------------------------------------------------------------------------------

    def put(self, item: Any, waiter: Waiter | None = None) -> bool:
        """True if `item` went in or was dropped; False if `waiter` waits now."""
        if self.closed:
            raise ShutDown
        if (self.putters and self.handing) or not self.room():
            if self.overflow == "drop_newest":
                self.dropped += 1
                return True
            if self.overflow == "drop_oldest":
                while not self.room():
                    if not len(self):
                        raise Full
                    self._pop_oldest()
                    self.dropped += 1
                    self.unfinished = max(self.unfinished - 1, 0)
                    self.settle()
            elif self.overflow == "raise" or waiter is None:
                raise Full
            else:
                waiter.state = "waiting"
                self.putters.append(waiter)
                return False
        self._insert(item)
        self.settle()
        return True

    def filled(self, waiter: Waiter) -> None:
        """`waiter` has put its item."""
        if self.handing:
            if waiter.state != "granted":
                raise Wrong(f"a put returned that was {waiter.state}")
            self.reserved -= 1
        else:
            if not self.room() or self.closed:
                raise Wrong("a put returned though there was no room, or after shutdown")
            self.putters.remove(waiter)
        waiter.state = "over"
        self._insert(waiter.item)
        self.settle()

    def get(self, waiter: Waiter | None = None) -> Any:
        """The next item; None if `waiter` waits now (no item is None)."""
        if not len(self):
            if self.closed:
                raise ShutDown
            if waiter is None:
                raise Empty
            waiter.state = "waiting"
            self.getters.append(waiter)
            return None
        item = self._pop()
        self.gets += 1
        self.settle()
        return item

    def got(self, waiter: Waiter) -> Any:
        """`waiter` has returned with an item: which one it must be."""
        if self.handing:
            if waiter.state != "granted":
                raise Wrong(f"a get returned that was {waiter.state}")
            waiter.state = "over"
            return waiter.item
        self.getters.remove(waiter)
        waiter.state = "over"
        return self.get()

    def get_many(self, most: int, first: Any = None) -> list[Any]:
        items = [self.get() if first is None else first]
        while len(items) < most and len(self):
            items.append(self.get())
        return items

    def put_many(self, items: list[Any]) -> int:
        for done, item in enumerate(items):
            try:
                self.put(item)
            except Full:
                return done
        return len(items)

    def peek(self) -> Any:
        self._merge()
        if not len(self):
            raise ShutDown if self.closed else Empty
        return self.returned[0][1] if self.returned else self.items[0]

    def clear(self) -> int:
        count = len(self)
        self.items.clear()
        self.returned.clear()
        self.unfinished = max(self.unfinished - count, 0)
        self.settle()
        return count

    def task_done(self) -> None:
        if not self.unfinished:
            raise ValueError("task_done() called too many times")
        self.unfinished -= 1
        self.settle()

    def shutdown(self, immediate: bool) -> None:
        self.closed = True
        if immediate:
            self.drained = True
            self.clear()
        self.settle()

    def set_maxsize(self, maxsize: int) -> None:
        self.maxsize = maxsize
        self.settle()
