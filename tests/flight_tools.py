"""Calls that can be watched from outside; for the tests of SingleFlight, of loads and of cached functions."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from concx.cache import cached
from queue_tools import FREE_THREADED, LIMIT


class Gate:
    """A call that says that it has begun, and ends when it is told to."""

    def __init__(self, end: Callable[[], Any] = lambda: "value") -> None:
        self.begun, self.go, self.end, self.calls = threading.Event(), threading.Event(), end, 0

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        self.begun.set()
        assert self.go.wait(LIMIT)
        return self.end()


async def until_async(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        await asyncio.sleep(0)


def raises(error: BaseException) -> Any:
    raise error


class Evil:
    """Keys whose __eq__ does what it is told."""

    act: Callable[[], object] = int

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        Evil.act()
        return isinstance(other, Evil)


class Source:
    """A function whose result and errors are set from outside."""

    def __init__(self) -> None:
        self.value: Any = 0
        self.calls = 0

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


def counting(**options: Any) -> tuple[Any, list[tuple[Any, ...]]]:
    """A cached function, and the calls that were made of what is under it."""
    calls: list[tuple[Any, ...]] = []

    @cached(**options)
    def fn(*args: Any, **kwargs: Any) -> Any:
        calls.append((*args, *sorted(kwargs.items())))
        return calls[-1]

    return fn, calls


def alike(one: BaseException, other: BaseException) -> bool:
    """Whether both are one exception: without a GIL every thread raises a copy."""
    if not FREE_THREADED:
        return one is other
    return type(one) is type(other) and one.args == other.args
