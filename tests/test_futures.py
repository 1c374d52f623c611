"""Futures, one at a time: states, waiting, callbacks, what legacy callers do, cycles, sizes."""

from __future__ import annotations

import concurrent.futures as std
import contextlib
import contextvars
import gc
import logging
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from concx.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    CancelledError,
    Future,
    InvalidStateError,
    as_completed,
    wait,
)


@contextlib.contextmanager
def thread(function: Callable[[], object]) -> Iterator[threading.Thread]:
    """Runs it meanwhile; joins at the end."""
    running = threading.Thread(target=function)
    running.start()
    try:
        yield running
    finally:
        running.join()


def finished(value: Any = 1) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def failed(error: BaseException) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def cancelled(notified: bool = True) -> Future[Any]:
    future: Future[Any] = Future()
    future.cancel()
    if notified:
        future.set_running_or_notify_cancel()
    return future


def test_states() -> None:
    f: Future[int] = Future()
    assert isinstance(f, std.Future)
    assert (f.done(), f.running(), f.cancelled()) == (False, False, False)
    assert f.set_running_or_notify_cancel()
    assert (f.done(), f.running(), f.cancelled()) == (False, True, False)
    assert not f.cancel()
    f.set_result(3)
    assert (f.done(), f.running(), f.cancelled()) == (True, False, False)
    assert (f.result(), f.exception()) == (3, None)
    assert f._get_snapshot() == (True, False, 3, None)


def test_repr() -> None:
    f: Future[int] = Future()
    assert repr(f) == f"<Future at {id(f):#x} state=pending>"
    f.set_running_or_notify_cancel()
    assert repr(f).endswith(" state=running>")
    assert repr(finished()).endswith(" state=finished returned int>")
    assert repr(failed(OSError())).endswith(" state=finished raised OSError>")
    assert repr(cancelled(False)).endswith(" state=cancelled>")
    assert repr(cancelled()).endswith(" state=cancelled>")


@pytest.mark.parametrize("make", [finished, cancelled, lambda: failed(OSError())])
def test_done_once(make: Callable[[], Future[Any]]) -> None:
    f = make()
    with pytest.raises(InvalidStateError, match=rf"^{f._state}: <Future at 0x"):
        f.set_result(2)
    with pytest.raises(InvalidStateError):
        f.set_exception(ValueError())


def test_started_twice(caplog: pytest.LogCaptureFixture) -> None:
    f = finished()
    with pytest.raises(RuntimeError, match="Future in unexpected state"):
        f.set_running_or_notify_cancel()
    assert caplog.record_tuples == [
        (
            "concurrent.futures",
            logging.CRITICAL,
            f"Future {id(f)} in unexpected state: FINISHED",
        )
    ]


def test_bad_arguments() -> None:
    with pytest.raises(TypeError, match="no arguments"):
        Future(1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'exception' must be an exception, got 3"):
        Future[int]().set_exception(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'timeout' must be a number"):
        Future[int]().result("1")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="needs a running event loop"):
        Future[int]().add_done_callback(print, context=contextvars.copy_context())
    with pytest.raises(RuntimeError, match="no running event loop"):
        Future[int]().as_asyncio()


def test_timeout() -> None:
    f: Future[int] = Future()
    for timeout in (0, -1, 0.001, 0):
        with pytest.raises(TimeoutError):
            f.result(timeout)
        with pytest.raises(TimeoutError):
            f.exception(timeout=timeout)
    assert finished(4).result(-1) == 4


def test_waiters() -> None:
    f: Future[int] = Future()
    got = []
    threads = [threading.Thread(target=lambda: got.append(f.result())) for _ in range(5)]
    for each in threads:
        each.start()
    f.set_result(7)
    for each in threads:
        each.join()
    assert got == [7] * 5


def test_cancelled_while_waited_for() -> None:
    f: Future[int] = Future()
    told = []

    def body() -> None:
        with pytest.raises(CancelledError):
            f.result()
        told.append(1)

    with thread(body):
        assert f.cancel()
    assert told == [1]
    assert f.cancel()  # again


def test_a_falsy_exception_raises() -> None:
    class Quiet(Exception):
        def __bool__(self) -> bool:
            return False

    error = Quiet()
    with pytest.raises(Quiet):
        failed(error).result()
    assert failed(error).exception() is error
    assert finished().exception() is None


def test_callbacks_in_order(caplog: pytest.LogCaptureFixture) -> None:
    f: Future[int] = Future()
    told: list[Any] = []
    for i in range(3):
        f.add_done_callback(lambda f, i=i: told.append((i, f.result())))  # type: ignore[misc]
    f.add_done_callback(lambda _: 1 / 0)
    f.add_done_callback(lambda _: told.append("last"))
    f.set_result(5)
    f.add_done_callback(lambda _: told.append("late"))
    assert told == [(0, 5), (1, 5), (2, 5), "last", "late"]
    assert [record.getMessage() for record in caplog.records] == [
        f"exception calling callback for {f!r}"
    ]


def test_what_is_no_exception_goes_on_after_all_callbacks() -> None:
    f: Future[int] = Future()
    told = []

    def leave(_: object) -> None:
        raise SystemExit

    f.add_done_callback(leave)
    f.add_done_callback(told.append)
    with pytest.raises(SystemExit):
        f.set_result(1)
    assert told == [f]


def test_callbacks_taken_away() -> None:
    f: Future[int] = Future()
    told: list[Any] = []

    class Listener:
        def hear(self, _: object) -> None:
            told.append(self)

    a, b = Listener(), Listener()
    for each in (a.hear, b.hear, a.hear):
        f.add_done_callback(each)
    assert len(f._done_callbacks) == 3
    assert f.remove_done_callback(a.hear) == 2
    assert f.remove_done_callback(a.hear) == 0
    f.set_result(1)
    assert told == [b]


def test_a_callback_may_do_anything_to_its_future() -> None:
    f: Future[int] = Future()
    told: list[Any] = []

    def hear(future: Future[int]) -> None:
        assert future.done()
        assert not future.cancel()
        future.add_done_callback(lambda _: told.append("inner"))
        with pytest.raises(InvalidStateError):
            future.set_result(2)
        told.append(future.result())

    f.add_done_callback(hear)
    f.set_result(1)
    assert told == ["inner", 1]


# --- private attributes of the standard class -----------------------------------------------------


def test_legacy_attributes() -> None:
    f: Future[int] = Future()
    assert (f._state, f._result, f._exception) == ("PENDING", None, None)
    f._state = "RUNNING"
    assert f.running()
    f._result = 3
    f._state = "FINISHED"
    assert f.result() == 3
    f._exception = OSError("late")
    with pytest.raises(OSError, match="late"):
        f.result()
    f._exception = None
    assert f.result() == 3
    with pytest.raises(ValueError, match=r"'_state' must be .*, got 'DONE'"):
        f._state = "DONE"


def test_legacy_notify_wakes_native_waiters() -> None:
    f: Future[int] = Future()
    got: list[int] = []
    with thread(lambda: got.append(f.result(50))):
        with f._condition:
            f._state = "FINISHED"
            f._result = 42
            f._condition.notify_all()
    assert got == [42]


def test_subclass_that_calls_the_standard_init() -> None:
    class Own(Future[int]):
        def __init__(self, name: str) -> None:
            std.Future.__init__(self)
            self.name = name

    f = Own("a")
    told: list[Any] = []
    f.add_done_callback(told.append)
    assert not std.wait([f], timeout=0).done
    f.set_result(1)
    assert (f.result(), f.name, told) == (1, "a", [f])
    assert std.wait([f]).done == {f}


@pytest.mark.parametrize("module", [std, sys.modules["concx.futures"]], ids=["std", "concx"])
def test_mixed_sets(module: Any) -> None:
    for _ in range(20):
        futures: list[Any] = [Future(), std.Future(), Future(), std.Future()]
        with thread(lambda futures=futures: [f.set_result(1) for f in futures]):
            assert module.wait(futures, timeout=20).not_done == set()
        futures = [Future(), std.Future(), Future(), std.Future()]
        with thread(lambda futures=futures: [f.set_result(1) for f in futures]):
            assert set(module.as_completed(futures, timeout=20)) == set(futures)


# --- many of them ---------------------------------------------------------------------------------


def test_wait_for_all() -> None:
    futures = [Future[int]() for _ in range(5)]
    with thread(lambda: [f.set_result(1) for f in futures]):
        done, not_done = wait(futures)
    assert (done, not_done) == (set(futures), set())
    assert wait([]) == (set(), set())
    assert wait(f for f in futures).done == set(futures)


def test_wait_for_the_first() -> None:
    a, b = Future[int](), Future[int]()
    assert wait([a, b], timeout=0).not_done == {a, b}
    with thread(lambda: b.set_result(1)):
        assert wait([a, b], return_when=FIRST_COMPLETED) == ({b}, {a})
    assert wait([a, b], return_when=FIRST_COMPLETED) == ({b}, {a})


def test_wait_for_an_exception() -> None:
    a, b, c = Future[int](), Future[int](), cancelled(notified=False)
    with thread(lambda: b.set_exception(OSError())):
        assert wait([a, b, c], return_when=FIRST_EXCEPTION) == ({b}, {a, c})
    d: std.Future[int] = std.Future()
    with thread(lambda: d.set_exception(OSError())):
        assert wait([a, c, d], return_when=FIRST_EXCEPTION) == ({d}, {a, c})
    a.set_result(1)
    with thread(c.set_running_or_notify_cancel):
        assert wait([a, c], return_when=FIRST_EXCEPTION) == ({a, c}, set())
    with pytest.raises(ValueError, match="Invalid return condition: 'SOME'"):
        wait([a], return_when="SOME")
    assert wait([a], return_when=ALL_COMPLETED).done == {a}


def test_as_completed() -> None:
    a, b, c = Future[int](), finished(), Future[int]()
    order = as_completed([a, b, c, a])
    assert next(order) is b
    with thread(lambda: c.set_result(1)):
        assert next(order) is c
    with thread(lambda: a.set_result(1)):
        assert next(order) is a
    with pytest.raises(StopIteration):
        next(order)
    with pytest.raises(TimeoutError, match=r"^1 \(of 2\) futures unfinished$"):
        list(as_completed([a, Future()], timeout=0.01))


def test_as_completed_keeps_nothing() -> None:
    class Big:
        pass

    first = finished(Big())
    held = weakref.ref(first.result())
    order = as_completed([first, Future()])
    del first
    del_me = next(order)
    del del_me
    gc.collect()
    assert held() is None


# --- lifetimes ------------------------------------------------------------------------------------


def test_cycles_are_collected() -> None:
    for tie in (
        lambda f: f.add_done_callback(f.set_result),
        lambda f: f._observe(f.set_result),
        lambda f: setattr(f, "me", f),
        lambda f: f.set_result(f),
        lambda f: f._condition,
        lambda f: f._waiters.append(f),
    ):
        f: Future[Any] = Future()
        tie(f)  # type: ignore[no-untyped-call]
        gone = weakref.ref(f)
        del f
        gc.collect()
        assert gone() is None


def test_the_exception_keeps_no_frame_of_ours() -> None:
    def body() -> None:
        f = failed(ValueError("x"))
        local = Local()
        told.append(weakref.ref(local))
        with contextlib.suppress(ValueError):
            f.result()

    class Local:
        pass

    told: list[Any] = []
    gc.disable()
    try:
        body()
    finally:
        gc.enable()
    gc.collect()
    assert told[0]() is None


def test_size() -> None:
    """Half of the standard library's, and 250 bytes, at most."""
    f: Future[int] = Future()
    s: std.Future[int] = std.Future()
    parts = [s, s.__dict__, s._condition, s._condition.__dict__, s._condition._waiters]
    theirs = sum(map(sys.getsizeof, [*parts, s._condition._lock, s._waiters, s._done_callbacks]))
    assert sys.getsizeof(f) <= 250
    assert sys.getsizeof(f) <= theirs / 2


def test_an_interrupted_wait_loses_nothing() -> None:
    class Alarm(Exception):
        pass

    armed = False

    def handler(*_: object) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise Alarm

    f: Future[int] = Future()
    stop = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        while not stop.is_set():
            signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with thread(interrupt):
            for _ in range(200):
                with pytest.raises(Alarm):
                    armed = True
                    f.result()
            stop.set()
    finally:
        signal.signal(signal.SIGUSR1, before)
    with thread(lambda: f.set_result(1)):
        assert f.result() == 1
