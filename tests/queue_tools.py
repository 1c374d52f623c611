"""What the queue tests share: bounded threads, bounded waiting, loops that are driven by hand."""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any

import concx.queue

CLASSES = ["Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"]
BOUNDED = CLASSES[:3]

TSAN = bool(os.environ.get("CONCX_TSAN"))
"""Whether ThreadSanitizer watches, which makes everything about ten times slower."""

ASAN = bool(os.environ.get("CONCX_ASAN"))
"""Whether AddressSanitizer watches."""

LIMIT = 300.0 if TSAN else 30.0
"""No wait in a test is longer than this (seconds); a wait that ends here is a failure."""

FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()


def wait_until(condition: Callable[[], Any], what: str = "", limit: float | None = None) -> None:
    """Return once ``condition()`` is true; fail after `limit` seconds."""
    deadline = time.monotonic() + (LIMIT if limit is None else limit)
    pause = 0.0
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not reached in time: {what or condition}")
        time.sleep(pause)
        pause = min(pause + 0.0002, 0.005)


def wait_waiting(q: Any, *, gets: int | None = None, puts: int | None = None) -> None:
    """Return once exactly so many callers wait on the queue `q`."""

    def reached() -> bool:
        s = q.stats()
        return (gets is None or s.waiting_gets == gets) and (puts is None or s.waiting_puts == puts)

    wait_until(reached, f"{gets} waiting gets and {puts} waiting puts on {q!r}")


class Worker(threading.Thread):
    """A daemon thread whose result or exception comes out of `result`."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(daemon=True)
        self._call = function, args, kwargs
        self._value: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        function, args, kwargs = self._call
        try:
            self._value = function(*args, **kwargs)
        except BaseException as error:
            self._error = error
        finally:
            del self._call

    def result(self, limit: float | None = None) -> Any:
        self.join(LIMIT if limit is None else limit)
        if self.is_alive():
            raise AssertionError("a thread did not end in time")
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return self._value


def run_threads(*functions: Callable[[], Any]) -> list[Any]:
    """Run the functions in a thread each, released together; their results in order."""
    barrier = threading.Barrier(len(functions))

    def body(function: Callable[[], Any]) -> Any:
        barrier.wait(LIMIT)
        return function()

    workers = [Worker(body, function) for function in functions]
    return [worker.result() for worker in workers]


def make_queue(name: str, maxsize: int = 0, inside: bool = False) -> Any:
    """A queue of CLASSES, in the compatibility mode if `inside`."""
    cls = getattr(concx.queue, name)
    q = cls() if name == "SimpleQueue" else cls(maxsize)
    if inside:
        with q.mutex:
            pass
    return q


def drain(q: Any) -> list[Any]:
    """All that is in the queue."""
    items = []
    while True:
        try:
            items.append(q.get_nowait())
        except concx.queue.Empty:
            return items


def fork() -> int:
    """`os.fork()` without the warning that this process has threads: libraries start some as they are imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def in_child(body: Callable[[], Any]) -> None:
    """Run `body` in a forked child, which has no thread but this one; fail if it fails or hangs."""
    pid = fork()
    if pid == 0:
        status = 1
        try:
            body()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def ended() -> bool:
        done, status = os.waitpid(pid, os.WNOHANG)
        assert not done or os.waitstatus_to_exitcode(status) == 0, "a forked child failed"
        return bool(done)

    try:
        wait_until(ended, "the end of a forked child")
    except AssertionError:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        raise


def run_async(main: Coroutine[Any, Any, Any], *, debug: bool = False) -> Any:
    """`asyncio.run` with a limit."""
    return asyncio.run(asyncio.wait_for(main, LIMIT), debug=debug)


class StackAsQueue:
    """A `Stack` under the names that the other classes have."""

    def __init__(self, stack: Any) -> None:
        self.stack = stack
        self.get, self.get_async = stack.pop, stack.pop_async
        self.get_many, self.get_many_async = stack.pop_many, stack.pop_many_async

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stack, name)

    def __len__(self) -> int:
        return len(self.stack)

    qsize = __len__

    def __iter__(self) -> Iterator[Any]:
        return iter(self.stack)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        self.stack.push(item)

    put_nowait = put

    def put_many(self, items: Iterable[Any], block: bool = True) -> int:
        return int(self.stack.push_many(items))

    def get_nowait(self) -> Any:
        return self.stack.pop(block=False)


class _NoWaitSelector(selectors.DefaultSelector):  # type: ignore[valid-type, misc]
    """Never sleeps: the loop is driven one iteration at a time."""

    def select(self, timeout: float | None = None) -> list[Any]:
        return super().select(0)


class SteppedLoop(asyncio.SelectorEventLoop):
    """A loop that runs one iteration when told to, on a clock that moves when told to."""

    def __init__(self) -> None:
        super().__init__(_NoWaitSelector())
        self._now = 1000.0
        self.wakes = 0

    def time(self) -> float:
        return self._now

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> Any:
        self.wakes += 1
        return super().call_soon_threadsafe(*args, **kwargs)

    def step(self, times: int = 1) -> None:
        """Run `times` iterations: every handle that is ready at the start of each."""
        for _ in range(times):
            self.call_soon(self.stop)
            self.run_forever()

    def settle(self) -> None:
        """Run until nothing is ready any more (the self-pipe read included)."""
        for _ in range(200):
            self.step(2)
            if not self._ready:  # type: ignore[attr-defined]
                self.step(2)
                if not self._ready:  # type: ignore[attr-defined]
                    return
        raise AssertionError("the loop did not come to rest in 400 iterations")

    def advance(self, seconds: float) -> None:
        """Move the clock and run the timers that became due."""
        self._now += seconds
        self.settle()


class Step:
    """Drives a coroutine by hand, as a loop's task would, but one step at a time."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.coroutine = coroutine
        self.future: asyncio.Future[Any] | None = None
        self.done = False
        self.value: Any = None

    def send(self) -> bool:
        """One step; True once the coroutine has returned."""
        return self._go(self.coroutine.send, None)

    def throw(self, error: BaseException) -> bool:
        return self._go(self.coroutine.throw, error)

    def _go(self, how: Callable[[Any], Any], what: Any) -> bool:
        try:
            future = how(what)
        except StopIteration as stop:
            self.done, self.value = True, stop.value
            return True
        if future is not None:
            # What a task does with a future it is handed: take note that it is waited for.
            assert future._asyncio_future_blocking is True
            future._asyncio_future_blocking = False
        self.future = future
        return False


class Gate:
    """A task that runs until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, value: Any = None) -> Any:
        self.entered.set()
        assert self.opened.wait(LIMIT)
        return value
