"""Calls that can be watched from outside; for the tests of SingleFlight, of loads and of cached functions."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from concx import _core
from concx.cache import cached

GIL = bool(_core.build_info()["gil"])
WAIT = 30.0
"""Seconds after which something that has to happen has not."""


class Worker(threading.Thread):
    """Runs a call in a thread; `outcome` joins it and gives back what came of it."""

    def __init__(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(daemon=True)
        self.call = (fn, args, kwargs)
        self.value: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        fn, args, kwargs = self.call
        try:
            self.value = fn(*args, **kwargs)
        except BaseException as error:
            self.error = error

    def outcome(self) -> Any:
        self.join(WAIT)
        assert not self.is_alive(), "a thread hangs"
        if self.error is not None:
            raise self.error
        return self.value


class Gate:
    """A call that says that it has begun, and ends when it is told to."""

    def __init__(self, end: Callable[[], Any] = lambda: "value") -> None:
        self.begun, self.go, self.end, self.calls = threading.Event(), threading.Event(), end, 0

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        self.begun.set()
        assert self.go.wait(WAIT)
        return self.end()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.0005)


async def until_async(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT
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


class Clock:
    """A timer that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


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
    if GIL:
        return one is other
    return type(one) is type(other) and one.args == other.args
