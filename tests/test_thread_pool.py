"""ThreadPoolExecutor: what it adds, what it must not lose, and its ends."""

from __future__ import annotations

import concurrent.futures as std
import contextvars
import gc
import os
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures.thread import BrokenThreadPool
from typing import Any

import pytest

from concx.futures import (
    CancelledError,
    PriorityThreadPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from queue_tools import Gate


def name() -> str:
    return threading.current_thread().name


def test_is_a_standard_executor() -> None:
    with ThreadPoolExecutor(2, "w") as pool:
        assert isinstance(pool, std.ThreadPoolExecutor)
        assert pool.submit(pow, 2, 10).result() == 1024
        assert pool.submit(lambda *a, **k: (a, k), 1, 2, 3, 4, 5, x=6).result() == (
            (1, 2, 3, 4, 5),
            {"x": 6},
        )
        assert pool.submit(name).result() == "w_0"
        assert list(pool.map(pow, [1, 2, 3], [2, 2, 2])) == [1, 4, 9]
        assert [f.result() for f in pool.submit_many(abs, [-1, -2])] == [1, 2]
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.submit(name)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.submit_many(abs, [1])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_workers": 0}, ValueError, "max_workers must be greater than 0"),
        ({"initializer": 3}, TypeError, "initializer must be a callable"),
        ({"on_full": "wait"}, ValueError, "'on_full' must be .*, got 'wait'"),
        ({"max_queue": 0}, ValueError, "'max_queue' must be a positive int or None, got 0"),
        (
            {"idle_timeout": "x"},
            TypeError,
            "'idle_timeout' must be a number of seconds, a timedelta or None, got 'x'",
        ),
        (
            {"idle_timeout": -1},
            ValueError,
            "'idle_timeout' must be a non-negative duration, got -1",
        ),
        ({"max_workers": 1.5}, TypeError, "'max_workers' must be an int, got 1.5"),
        ({"max_queue": "x"}, TypeError, "'max_queue' must be a positive int or None, got 'x'"),
    ],
)
def test_bad_arguments(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ThreadPoolExecutor(**arguments)


def test_submit_without_init() -> None:
    class Own(ThreadPoolExecutor):
        def __init__(self) -> None:
            pass

    with pytest.raises(RuntimeError, match="__init__ was not called"):
        Own().submit(name)
    with ThreadPoolExecutor(1) as pool, pytest.raises(TypeError, match="missing 1 required"):
        pool.submit()  # type: ignore[call-arg]


def test_threads_start_when_needed() -> None:
    gates = [Gate() for _ in range(3)]
    with ThreadPoolExecutor(5) as pool:
        assert len(pool._threads) == 0
        for _ in range(20):
            pool.submit(name).result()
        assert len(pool._threads) == 1
        for gate in gates:
            pool.submit(gate)
        for gate in gates:
            assert gate.entered.wait(30)
        assert len(pool._threads) == 3
        for gate in gates:
            gate.opened.set()


def test_a_task_that_blocks_holds_nothing_back() -> None:
    for _ in range(50):
        gate = Gate()
        with ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(name) for _ in range(5)]
            held = pool.submit(gate, 1)
            futures += [pool.submit(name) for _ in range(5)]
            assert wait(futures, timeout=30).not_done == set()
            gate.opened.set()
            assert held.result() == 1


def test_order_is_that_of_submission() -> None:
    ran: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        for i in range(1000):
            pool.submit(ran.append, i)
    assert ran == list(range(1000))


def test_exceptions_of_tasks() -> None:
    with ThreadPoolExecutor(1) as pool:
        for error in (ValueError("x"), SystemExit(3), KeyboardInterrupt()):

            def fail(error: BaseException = error) -> None:
                raise error

            assert pool.submit(fail).exception() is error
        assert pool.submit(name).result()


def test_system_exit_in_a_callback_kills_no_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", lambda info: reported.append(info.exc_type))

    def leave(_: object) -> None:
        raise SystemExit

    gate = Gate()
    with ThreadPoolExecutor(1) as pool:
        f = pool.submit(gate)
        f.add_done_callback(leave)
        gate.opened.set()
        assert pool.submit(name).result(30)
        assert len(pool._threads) == 1
    assert reported == [SystemExit]


def test_bounded_queue() -> None:
    gate = Gate()
    with ThreadPoolExecutor(1, max_queue=2, on_full="raise") as pool:
        held = [pool.submit(gate)]
        assert gate.entered.wait(30)
        held += [pool.submit(name), pool.submit(name)]
        with pytest.raises(queue.Full):
            pool.submit(name)
        gate.opened.set()
        assert wait(held, timeout=30).not_done == set()
    gate = Gate()
    with ThreadPoolExecutor(1, max_queue=1, on_full="caller_runs") as pool:
        pool.submit(gate)
        assert gate.entered.wait(30)
        pool.submit(name)
        assert pool.submit(name).result() == threading.current_thread().name
        gate.opened.set()
    gate = Gate()
    with ThreadPoolExecutor(1, max_queue=1) as pool:
        pool.submit(gate)
        assert gate.entered.wait(30)
        pool.submit(name)
        late: list[Any] = []
        threads = [
            threading.Thread(target=lambda: late.append(pool.submit(name))) for _ in range(4)
        ]
        for each in threads:
            each.start()
        gate.opened.set()
        for each in threads:
            each.join()
        assert wait(late, timeout=30).not_done == set()


def test_shutdown_ends_a_submit_that_waits_for_room() -> None:
    gate = Gate()
    pool = ThreadPoolExecutor(1, max_queue=1)
    pool.submit(gate)
    assert gate.entered.wait(30)
    pool.submit(name)
    told: list[BaseException] = []

    def body() -> None:
        try:
            pool.submit(name)
        except RuntimeError as error:
            told.append(error)

    waits = threading.Thread(target=body)
    waits.start()
    pool.shutdown(wait=False)
    waits.join()
    gate.opened.set()
    pool.shutdown()
    assert len(told) <= 1  # it may have come too late to wait at all, and then says the same
    assert str(told[0]) == "cannot schedule new futures after shutdown"


def test_copy_context() -> None:
    var: contextvars.ContextVar[int] = contextvars.ContextVar("var", default=0)
    var.set(5)

    def change() -> int:
        before = var.get()
        var.set(6)
        return before

    with ThreadPoolExecutor(1, copy_context=True) as pool:
        assert pool.submit(change).result() == 5
        assert pool.submit(change).result() == 5
    assert var.get() == 5


def test_nothing_imports_datetime(run_script: Callable[..., Any]) -> None:
    """A time-out may be a timedelta; who has none need not import it, and CPython 3.13.0 crashes when
    several interpreters do."""
    run_script(
        """
        import sys
        import concx.atomic, concx.futures, concx.native, concx.queue
        assert "datetime" not in sys.modules
        """
    )


def test_idle_threads_end() -> None:
    with ThreadPoolExecutor(2, idle_timeout=0.001) as pool:
        for _ in range(5):
            thread = pool.submit(threading.current_thread).result()
            thread.join(30)
            assert not thread.is_alive()
            assert not pool._threads


def test_initializer() -> None:
    local = threading.local()

    def start(value: int) -> None:
        local.value = value

    with ThreadPoolExecutor(2, initializer=start, initargs=(3,)) as pool:
        assert pool.submit(lambda: local.value).result() == 3


def test_initializer_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    entered, go = threading.Event(), threading.Event()

    def start() -> None:
        entered.set()
        assert go.wait(30)
        raise ValueError("nothing works")

    pool = ThreadPoolExecutor(1, initializer=start)
    futures = [pool.submit(name) for _ in range(3)]
    assert entered.wait(30)
    go.set()
    for f in futures:
        with pytest.raises(BrokenThreadPool):
            f.result(30)
    with pytest.raises(BrokenThreadPool, match="A thread initializer failed"):
        pool.submit(name)
    pool.shutdown()
    assert caplog.records[0].getMessage() == "Exception in initializer:"


def test_shutdown_cancels_and_tells() -> None:
    gate = Gate()
    pool = ThreadPoolExecutor(1)
    running = pool.submit(gate, 1)
    assert gate.entered.wait(30)
    queued = [pool.submit(name) for _ in range(10)]
    pool.shutdown(wait=False, cancel_futures=True)
    assert wait(queued, timeout=30).not_done == set()
    assert set(std.as_completed(queued, timeout=30)) == set(queued)
    assert all(f.cancelled() for f in queued)
    with pytest.raises(TimeoutError, match=r"1 threads still run after 0\.01 s"):
        pool.shutdown(timeout=0.01)
    gate.opened.set()
    pool.shutdown(timeout=30)
    assert running.result() == 1


def test_shutdown_against_submit(rng: Any) -> None:
    """Every future that was accepted is done; every refusal raises."""
    for _ in range(30):
        shut_down_against_submits(rng)


def shut_down_against_submits(rng: Any) -> None:
    pool = ThreadPoolExecutor(2)
    accepted: list[Any] = []
    refused: list[int] = []
    start = threading.Barrier(9)

    def submit() -> None:
        start.wait()
        for _ in range(100):
            try:
                accepted.append(pool.submit(int))
            except RuntimeError:
                refused.append(1)

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for each in threads:
        each.start()
    start.wait()
    accepted.extend(pool.submit(int) for _ in range(rng.randrange(100)))
    cancel = rng.random() < 0.5
    pool.shutdown(cancel_futures=cancel)
    for each in threads:
        each.join()
    assert all(f.done() for f in accepted)
    assert all(f.cancelled() or f.result() == 0 for f in accepted)
    assert cancel or not any(f.cancelled() for f in accepted)


def test_cancelled_tasks_are_not_run() -> None:
    gate = Gate()
    ran: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        pool.submit(gate)
        futures = [pool.submit(ran.append, i) for i in range(10)]
        for f in futures[::2]:
            assert f.cancel()
        gate.opened.set()
    assert ran == [1, 3, 5, 7, 9]
    with pytest.raises(CancelledError):
        futures[0].result()


def test_a_dropped_executor_runs_what_is_left() -> None:
    ran: list[int] = []
    gate = Gate()
    pool = ThreadPoolExecutor(2)
    pool.submit(gate)
    for i in range(10):
        pool.submit(ran.append, i)
    threads = list(pool._threads)
    gone = weakref.ref(pool)
    del pool
    gc.collect()
    assert gone() is None
    gate.opened.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert sorted(ran) == list(range(10))


def test_arguments_and_results_are_let_go() -> None:
    class Big:
        def own(self) -> None:
            pass

    with ThreadPoolExecutor(1) as pool:
        big = Big()
        gone = weakref.ref(big)
        f = pool.submit(big.own)
        del big
        f.result()
        gc.collect()
        assert gone() is None
        for made in pool.map(lambda _: Big(), range(3)):
            gone = weakref.ref(made)
            del made
            gc.collect()
            assert gone() is None


def test_map() -> None:
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(pow, [2, 3], [3, 2], timeout=30)) == [8, 9]
        assert list(pool.map(int, [])) == []
        results = pool.map(lambda x: 1 // x, [1, 0, 1])
        assert next(results) == 1
        with pytest.raises(ZeroDivisionError):
            next(results)
        for bad, error in ((0, ValueError), (1.5, TypeError)):
            with pytest.raises(error, match="buffersize must be"):
                pool.map(int, [1], buffersize=bad)  # type: ignore[arg-type]
        gate = Gate()
        with pytest.raises(TimeoutError):
            list(pool.map(gate, [1], timeout=0.01))
        gate.opened.set()


def test_map_takes_no_more_than_buffersize() -> None:
    taken: list[int] = []

    def items() -> Any:
        for i in range(10):
            taken.append(i)
            yield i

    with ThreadPoolExecutor(2) as pool:
        results = pool.map(abs, items(), buffersize=3)
        assert taken == [0, 1, 2]
        assert next(results) == 0
        assert taken == [0, 1, 2, 3]
        assert list(results) == list(range(1, 10))


def test_map_with_progress(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert [*pool.map(divmod, range(9), range(1, 8), progress=True)] == [
            divmod(i, i + 1) for i in range(7)
        ]
        assert " 7/7 " in capsys.readouterr().err
        assert sum(pool.map(abs, iter(range(5)), progress=True, buffersize=2)) == 10
        assert "5it " in capsys.readouterr().err
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
        with pytest.raises(ImportError, match=r"needs tqdm: pip install 'concx\[progress\]'"):
            pool.map(abs, [1], progress=True)
        assert [*pool.map(abs, [-1])] == [1]


def test_map_goes_through_an_overridden_submit() -> None:
    class Counting(ThreadPoolExecutor):
        count = 0

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            self.count += 1
            return super().submit(fn, *args, **kwargs)

    with Counting(1) as pool:
        assert list(pool.map(abs, [-1, -2])) == [1, 2]
        assert pool.count == 2


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_fork() -> None:
    """The child can submit and ends cleanly; what was the parent's does not run there."""
    gate = Gate()
    read, write = os.pipe()
    pool = ThreadPoolExecutor(1)
    running = pool.submit(gate, "parent")
    assert gate.entered.wait(30)
    queued = pool.submit(os.write, write, b"q")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            assert pool.submit(lambda: 5).result(20) == 5
            assert queued.cancelled()
            assert isinstance(running.exception(20), BrokenThreadPool)
            pool.shutdown()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    gate.opened.set()
    assert running.result(30) == "parent"
    pool.shutdown()
    os.close(write)
    assert os.read(read, 10) == b"q"  # once
    os.close(read)


def test_what_others_look_at() -> None:
    gate = Gate()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(gate)
        assert gate.entered.wait(30)
        pool.submit(name)
        assert pool._work_queue.qsize() == 1
        assert pool._max_workers == 1
        assert pool._idle_semaphore._value == 0
        assert (pool._broken, pool._shutdown) == (False, False)
        gate.opened.set()


def test_a_loop_of_calls_into_c_gives_way() -> None:
    with ThreadPoolExecutor(1) as pool:
        last = pool.submit_many(abs, range(200_000))[-1]
        began = time.monotonic()
        assert last.result(30) == 199_999
        assert time.monotonic() - began < 30


def test_stats() -> None:
    gate = Gate()
    with ThreadPoolExecutor(1) as pool:
        assert pool.stats().submitted == 0
        pool.submit(gate)
        assert gate.entered.wait(30)
        dropped = pool.submit(int)
        dropped.cancel()
        failing = pool.submit(divmod, 1, 0)
        now = pool.stats()
        assert (now.workers, now.submitted, now.running, now.queued) == (1, 3, 1, 2)
        gate.opened.set()
        wait([failing])
        for _ in range(320):
            pool.submit(time.sleep, 0).result()
    now = pool.stats()
    assert (now.workers, now.submitted, now.running, now.queued) == (0, 323, 0, 0)
    assert (now.completed, now.failed, now.cancelled) == (321, 1, 1)
    assert 19 <= now.queue_wait.total == now.run_time.total <= 21
    assert 0 < now.run_time.quantile(0.5) <= now.run_time.quantile(1) < 64
    with pytest.raises(ValueError, match="'q' must be from 0 to 1, got 2"):
        now.run_time.quantile(2)


def test_priorities() -> None:
    gate = Gate()
    ran: list[int] = []
    with PriorityThreadPoolExecutor(1) as pool:
        pool.submit(gate)
        assert gate.entered.wait(30)
        for i in range(50):
            pool.submit(ran.append, i, priority=-(i // 5))
        pool.submit_many(ran.append, [100, 101], priority=-100)
        gate.opened.set()
    expected = [i for block in range(9, -1, -1) for i in range(block * 5, block * 5 + 5)]
    assert ran == [100, 101, *expected]
    with pytest.raises(
        OverflowError, match=r"'priority' must be an int from -2\*\*63 to 2\*\*63-1"
    ):
        PriorityThreadPoolExecutor(1).submit(int, priority=2**63)
    with pytest.raises(TypeError, match="'priority' must be an int, got 'high'"):
        PriorityThreadPoolExecutor(1).submit(int, priority="high")  # type: ignore[arg-type]
