"""Is a recorded history of concurrent calls linearizable?

A history is a list of `Op`: what was called, what came back, and when call and return happened. It is
linearizable if each call can be given one instant between the two such that the calls, executed one
after the other in that order, give the recorded results. The search is Wing and Gong's with Lowe's
memo: a set of calls that are placed and the model's state after them is visited once.

A call whose effect has two instants (an async put that is granted a slot and fills it when its task
runs; an async get that was granted an item and, cancelled, gives it back) is recorded as two `Op`
with ``after`` naming the first.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

FULL, EMPTY = "Full", "Empty"
State = Hashable


@dataclass(frozen=True)
class Op:
    """One call. `invoke` and `response` are instants of one monotonic clock."""

    name: str
    argument: Any
    result: Any
    invoke: int
    response: int
    thread: int = 0
    key: int = field(default=-1)
    after: int = -1

    def __str__(self) -> str:
        call = f"{self.name}({'' if self.argument is None else self.argument})"
        return f"[{self.invoke}, {self.response}] thread {self.thread}: {call} -> {self.result}"


class QueueModel:
    """A bounded queue. State: (items in the order they leave, slots reserved, items granted)."""

    def __init__(self, maxsize: int = 0, kind: str = "fifo") -> None:
        self.maxsize = maxsize
        self.kind = kind

    def initial(self) -> State:
        return (), 0, ()

    def _insert(self, items: tuple[Any, ...], item: Any) -> tuple[Any, ...]:
        if self.kind == "fifo":
            return (*items, item)
        if self.kind == "lifo":
            return (item, *items)
        return tuple(heapq.merge(items, (item,)))

    def _room(self, items: tuple[Any, ...], reserved: int) -> bool:
        return self.maxsize <= 0 or len(items) + reserved < self.maxsize

    def step(self, state: Any, op: Op) -> Iterable[State]:
        """The states that `op` with its recorded result may lead to; none if it cannot happen now."""
        items, reserved, granted = state
        if op.name == "put":
            room = self._room(items, reserved)
            if op.result == FULL:
                return () if room else (state,)
            return ((self._insert(items, op.argument), reserved, granted),) if room else ()
        if op.name == "get":
            if op.result == EMPTY:
                return () if items else (state,)
            if not items or items[0] != op.result:
                return ()
            return ((items[1:], reserved, granted),)
        if op.name == "qsize":
            return (state,) if op.result == len(items) else ()
        if op.name == "clear":
            return (((), reserved, granted),) if op.result == len(items) else ()
        if op.name == "peek":
            return (state,) if op.result == (items[0] if items else EMPTY) else ()
        if op.name == "reserve":
            return ((items, reserved + 1, granted),) if self._room(items, reserved) else ()
        if op.name == "fill":
            return ((self._insert(items, op.argument), reserved - 1, granted),)
        # A cancelled call may have been granted or not: both are tried.
        if op.name == "may reserve":
            taken = (items, reserved + 1, (*granted, (op.key, None)))
            return (state, taken) if self._room(items, reserved) else (state,)
        if op.name == "may take":
            if not items:
                return (state,)
            return (state, (items[1:], reserved, (*granted, (op.key, items[0]))))
        if op.name == "give back":
            for index, (key, item) in enumerate(granted):
                if key == op.after:
                    rest = granted[:index] + granted[index + 1 :]
                    if op.argument == "slot":
                        return ((items, reserved - 1, rest),)
                    back = self._insert(items, item) if self.kind == "priority" else (item, *items)
                    return ((back, reserved, rest),)
            return (state,)
        raise AssertionError(f"the model knows no {op.name}")


def linearize(history: list[Op], model: QueueModel) -> list[Op] | None:
    """An order that explains `history`, or None if there is none."""
    count = len(history)
    position = {op.key: index for index, op in enumerate(history) if op.key >= 0}
    before = [1 << position[op.after] if op.after >= 0 else 0 for op in history]
    everything = (1 << count) - 1
    seen: set[tuple[int, State]] = set()
    # Depth first, with a stack of its own: (placed, state, the order so far as a linked list).
    stack: list[tuple[int, State, Any]] = [(0, model.initial(), None)]
    by_invoke = sorted(range(count), key=lambda index: history[index].invoke)
    while stack:
        placed, state, order = stack.pop()
        if placed == everything:
            found = []
            while order is not None:
                found.append(history[order[0]])
                order = order[1]
            return found[::-1]
        horizon = min(history[i].response for i in range(count) if not placed >> i & 1)
        for index in by_invoke:
            op = history[index]
            if op.invoke > horizon:
                break
            if placed >> index & 1 or before[index] & ~placed:
                continue
            reached = placed | 1 << index
            for following in model.step(state, op):
                if (reached, following) not in seen:
                    seen.add((reached, following))
                    stack.append((reached, following, (index, order)))
    return None


def check(history: list[Op], model: QueueModel) -> None:
    """Fail, with the history in the message, unless it is linearizable."""
    if linearize(history, model) is None:
        lines = "\n".join(str(op) for op in sorted(history, key=lambda op: op.invoke))
        raise AssertionError(f"no order of these calls explains their results:\n{lines}")
