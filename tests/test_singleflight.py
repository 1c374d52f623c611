"""SingleFlight: one call per key, for threads and tasks together."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from concx.cache import Result, SingleFlight, SingleFlightStats
from flight_tools import Evil, Gate, alike, raises, until_async
from queue_tools import LIMIT, Worker, wait_until


@pytest.fixture
def flights() -> Iterator[SingleFlight]:
    table = SingleFlight()
    yield table
    assert table.stats().running == 0


# --- threads ---------------------------------------------------------------------------------------


def test_smoke(flights: SingleFlight) -> None:
    assert flights.do("k", lambda: 5) == Result(5, False) == (5, False)
    assert flights.do("k", lambda: 6).value == 6, "nothing is kept"
    assert flights.stats() == SingleFlightStats(calls=2, joined=0, woken=0, running=0)
    assert repr(flights) == "<concx.SingleFlight running=0>"
    assert not flights.forget("k")
    assert weakref.ref(flights)() is flights


@pytest.mark.parametrize("wrong", [(), ("k",), ("k", int, 1), ("k", 1)])
def test_wrong_arguments(flights: SingleFlight, wrong: Any) -> None:
    with pytest.raises(TypeError):
        flights.do(*wrong)


def test_unhashable_key_and_bad_timeout(flights: SingleFlight) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        flights.do([], int)
    with pytest.raises(ValueError, match="timeout"):
        flights.do("k", int, timeout=-1)


def test_threads_share_one_call(flights: SingleFlight) -> None:
    gate = Gate()
    workers = [Worker(flights.do, "cold", gate) for _ in range(64)]
    wait_until(lambda: flights.stats().joined == 63)
    assert flights.stats().running == 1
    gate.go.set()
    assert [w.result() for w in workers] == [Result("value", True)] * 64
    assert gate.calls == 1


def test_exception_reaches_who_waits_and_is_not_kept(flights: SingleFlight) -> None:
    gate = Gate(lambda: raises(LookupError("gone")))
    workers = [Worker(flights.do, "k", gate) for _ in range(8)]
    wait_until(lambda: flights.stats().joined == 7)
    gate.go.set()
    for worker in workers:
        with pytest.raises(LookupError, match="gone"):
            worker.result()
    assert gate.calls == 1
    assert flights.do("k", lambda: 1).value == 1


class Particular(Exception):
    """Its arguments are not those of its class."""

    def __init__(self, code: int, *, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code, self.why = code, why


@pytest.mark.parametrize(
    "error",
    [
        Particular(5, why="x"),
        OSError(2, "no file", "name"),
        KeyError("k"),
        UnicodeDecodeError("a", b"b", 0, 1, "c"),
    ],
)
def test_exceptions_reach_who_waits_whole(flights: SingleFlight, error: Exception) -> None:
    gate = Gate(lambda: raises(error))
    error.__cause__ = ValueError("cause")
    workers = [Worker(flights.do, "k", gate) for _ in range(3)]
    wait_until(lambda: flights.stats().joined == 2)
    gate.go.set()
    for worker in workers:
        with pytest.raises(type(error)) as caught:
            worker.result()
        assert alike(caught.value, error)
        assert vars(caught.value) == vars(error)
        assert str(caught.value) == str(error)
        assert caught.value.__cause__ is error.__cause__
        assert any(entry.name == "raises" for entry in caught.traceback)


def test_killed_leader_hands_over(flights: SingleFlight) -> None:
    gate, second = Gate(lambda: raises(SystemExit())), Gate()
    leader = Worker(flights.do, "k", gate)
    assert gate.begun.wait(LIMIT)
    workers = [Worker(flights.do, "k", second) for _ in range(5)]
    wait_until(lambda: flights.stats().joined == 5)
    gate.go.set()
    with pytest.raises(SystemExit):
        leader.result()
    assert second.begun.wait(LIMIT)
    wait_until(lambda: flights.stats().joined == 9)
    second.go.set()
    assert [w.result().value for w in workers] == ["value"] * 5
    assert second.calls == 1


def test_timeout_is_of_the_wait_alone(flights: SingleFlight) -> None:
    gate = Gate()
    leader = Worker(flights.do, "k", gate)
    assert gate.begun.wait(LIMIT)
    other = Worker(flights.do, "k", gate)
    with pytest.raises(TimeoutError, match="has not ended in time"):
        flights.do("k", gate, timeout=0.001)
    with pytest.raises(TimeoutError):
        flights.do("k", gate, timeout=0)
    gate.go.set()
    assert leader.result().value == other.result().value == "value"
    assert flights.do("k", lambda: 1, timeout=0).value == 1, "a call of one's own has no bound"


def test_forget_begins_anew(flights: SingleFlight) -> None:
    gate = Gate(lambda: "old")
    leader = Worker(flights.do, "k", gate)
    assert gate.begun.wait(LIMIT)
    waiter = Worker(flights.do, "k", gate)
    wait_until(lambda: flights.stats().joined == 1)
    assert flights.forget("k")
    assert not flights.forget("k")
    assert flights.do("k", lambda: "new") == Result("new", False)
    gate.go.set()
    assert leader.result() == waiter.result() == Result("old", True)


def test_own_key_is_called_directly(flights: SingleFlight) -> None:
    assert flights.do("k", lambda: flights.do("k", lambda: "inner").value + "!").value == "inner!"
    # also out of sight of the context variable
    fresh = contextvars.Context()
    assert flights.do("k", lambda: fresh.run(flights.do, "k", lambda: 1).value + 1).value == 2


def test_circle_between_threads_is_not_closed(flights: SingleFlight) -> None:
    both = threading.Barrier(2)
    calls: list[str] = []

    def load(key: str, other: str, first: bool) -> str:
        calls.append(key)
        if first:
            both.wait(LIMIT)
            return key + flights.do(other, lambda: load(other, key, False)).value
        return key

    one = Worker(flights.do, "a", lambda: load("a", "b", True))
    two = Worker(flights.do, "b", lambda: load("b", "a", True))
    values = sorted((one.result().value, two.result().value))
    # The wait that would have closed the circle was a call; the other one got what came of it.
    assert values in (["ab", "bab"], ["aba", "ba"]), values
    assert len(calls) == 3


def test_long_circle(flights: SingleFlight) -> None:
    n = 12
    start = threading.Barrier(n)

    def load(i: int) -> int:
        start.wait(LIMIT)
        return 1 + int(flights.do((i + 1) % n, lambda: 0).value)

    workers = [Worker(flights.do, i, lambda i=i: load(i)) for i in range(n)]
    assert sorted(w.result().value for w in workers) == list(range(1, n + 1))


def test_no_thread_wakes_for_another_key() -> None:
    """Each wait ends with one wake, that of its own call: 64 threads, each of which asks for 64 cold keys
    in an order of its own, with loaders of 10 ms."""
    flights, n = SingleFlight(), 64
    start = threading.Barrier(n)
    done: dict[int, int] = {}

    def load(key: int) -> int:
        time.sleep(0.01)
        return key

    def ask(first: int) -> None:
        start.wait(LIMIT)
        for i in range(n):
            key = (first + i) % n
            if key not in done:
                done[key] = flights.do(key, lambda: load(key)).value  # noqa: B023
            assert done[key] == key

    for worker in [Worker(ask, i // 2 * 2) for i in range(n)]:
        worker.result()
    stats = flights.stats()
    assert stats.joined > 0
    assert stats.woken <= stats.joined


def test_each_wake_is_of_its_own_call() -> None:
    flights = SingleFlight()
    gates = [Gate(lambda i=i: i) for i in range(8)]
    workers = [Worker(flights.do, i, gates[i]) for i in range(8) for _ in range(8)]
    wait_until(lambda: flights.stats().joined == 56)
    for i, gate in enumerate(gates):
        assert flights.stats().woken == 7 * i, "nobody wakes before"
        gate.go.set()
        assert [w.result().value for w in workers[8 * i : 8 * i + 8]] == [i] * 8
        assert all(w.is_alive() for w in workers[8 * i + 8 :])
    assert flights.stats() == SingleFlightStats(calls=8, joined=56, woken=56, running=0)


def test_eq_that_raises_leaves_nothing_hanging(
    flights: SingleFlight, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    leader = Worker(flights.do, Evil(), gate)
    assert gate.begun.wait(LIMIT)
    monkeypatch.setattr(Evil, "act", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        flights.do(Evil(), int)
    monkeypatch.undo()
    gate.go.set()
    assert leader.result().value == "value"


def test_interrupt_while_waiting_for_a_leader(flights: SingleFlight) -> None:
    gate = Gate()
    leader = Worker(flights.do, "k", gate)
    assert gate.begun.wait(LIMIT)
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        wait_until(lambda: flights.stats().joined == 1)
        signal.pthread_kill(main, signal.SIGINT)

    presser = Worker(interrupt)
    with pytest.raises(KeyboardInterrupt):
        flights.do("k", gate)
    presser.result()
    gate.go.set()
    assert leader.result().value == "value"


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_fork_in_a_call(flights: SingleFlight) -> None:
    gate = Gate()
    leader = Worker(flights.do, "k", gate)
    assert gate.begun.wait(LIMIT)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            ok = flights.stats().running == 0 and flights.do("k", lambda: "child").value == "child"
            # the call that forks goes on in both
            status = 0 if ok else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    gate.go.set()
    assert leader.result().value == "value"

    def forks() -> bool:
        pid = os.fork()
        if pid == 0:
            return True
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        return False

    if flights.do("f", forks).value:
        os._exit(0 if flights.do("f", lambda: 3).value == 3 else 1)


# --- tasks -----------------------------------------------------------------------------------------


def test_tasks_share_one_call(flights: SingleFlight) -> None:
    calls = []

    async def call() -> str:
        calls.append(1)
        await asyncio.sleep(0.001)
        return "value"

    async def main() -> None:
        results = await asyncio.gather(*(flights.do_async("k", call) for _ in range(1000)))
        assert set(results) == {Result("value", True)}
        assert await flights.do_async("k", call) == Result("value", False)

    asyncio.run(main())
    assert len(calls) == 2


def test_two_loops_and_threads_share_one_call(flights: SingleFlight) -> None:
    gate = Gate()

    async def main(n: int) -> list[Any]:
        async def never() -> None:
            raise AssertionError("a second call")

        return await asyncio.gather(*(flights.do_async("k", never) for _ in range(n)))

    leader = Worker(flights.do, "k", gate)
    assert gate.begun.wait(LIMIT)
    loops = [Worker(asyncio.run, main(5)) for _ in range(2)]
    threads = [Worker(flights.do, "k", gate) for _ in range(3)]
    wait_until(lambda: flights.stats().joined == 13)
    gate.go.set()
    assert leader.result() == Result("value", True)
    for loop in loops:
        assert loop.result() == [Result("value", True)] * 5
    assert [t.result() for t in threads] == [Result("value", True)] * 3
    assert gate.calls == 1


def test_task_leads_threads_and_another_loop(flights: SingleFlight) -> None:
    go = threading.Event()

    async def call() -> str:
        await until_async(go.is_set)
        return "of a task"

    async def main() -> Any:
        return await flights.do_async("k", call)

    leader = Worker(asyncio.run, main())
    wait_until(lambda: flights.stats().running)
    others = [Worker(flights.do, "k", int), Worker(asyncio.run, main())]
    wait_until(lambda: flights.stats().joined == 2)
    go.set()
    assert [w.result() for w in [leader, *others]] == [Result("of a task", True)] * 3


STEPS = 4


@pytest.mark.parametrize("step", range(STEPS + 2))
def test_leader_cancelled_at_every_step(flights: SingleFlight, step: int) -> None:
    async def call() -> str:
        for _ in range(STEPS):
            await asyncio.sleep(0)
        return "value"

    async def main() -> None:
        tasks = [asyncio.create_task(flights.do_async("k", call)) for _ in range(4)]
        for _ in range(step):
            await asyncio.sleep(0)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        if not isinstance(results[0], Result):
            assert isinstance(results[0], asyncio.CancelledError)
        assert [r.value for r in results[1:] if isinstance(r, Result)] == ["value"] * 3

    asyncio.run(main())


def test_cancelled_waiter_touches_nobody(flights: SingleFlight) -> None:
    async def main() -> None:
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def call() -> str:
            return await done

        tasks = [asyncio.create_task(flights.do_async("k", call)) for _ in range(4)]
        await until_async(lambda: flights.stats().joined == 3)
        tasks[2].cancel()
        with pytest.raises(TimeoutError):
            await flights.do_async("k", call, timeout=0.001)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await flights.do_async("k", call)
        done.set_result("value")
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results.pop(2), asyncio.CancelledError)
        assert results == [Result("value", True)] * 3

    asyncio.run(main())
    assert flights.stats().calls == 1


def test_child_tasks_inherit_the_call(flights: SingleFlight) -> None:
    async def inner() -> str:
        return "inner"

    async def outer() -> str:
        own = await flights.do_async("k", inner)
        child = await asyncio.create_task(flights.do_async("k", inner))
        thread = await asyncio.to_thread(flights.do, "k", lambda: "thread")
        return f"{own.value} {child.value} {thread.value}"

    async def main() -> None:
        assert (await flights.do_async("k", outer)).value == "inner inner thread"

    asyncio.run(main())
    assert flights.stats() == SingleFlightStats(calls=1, joined=0, woken=0, running=0)


def test_circle_between_tasks_and_threads(flights: SingleFlight) -> None:
    both = threading.Barrier(2)

    async def task() -> int:
        both.wait(LIMIT)
        return 1 + int((await flights.do_async("thread", direct)).value)

    async def direct() -> int:
        return 100

    def thread() -> int:
        both.wait(LIMIT)
        return 10 + int(flights.do("task", lambda: 100).value)

    async def main() -> Any:
        return await flights.do_async("task", task)

    one, two = Worker(asyncio.run, main()), Worker(flights.do, "thread", thread)
    assert (one.result().value, two.result().value) in ((101, 111), (111, 110))


def test_thread_does_not_wait_for_its_own_loop(flights: SingleFlight) -> None:
    async def main() -> None:
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def call() -> str:
            return await done

        task = asyncio.create_task(flights.do_async("k", call))
        await until_async(lambda: flights.stats().running)
        assert flights.do("k", lambda: "directly").value == "directly"
        done.set_result("value")
        assert (await task).value == "value"

    asyncio.run(main())


def test_thread_that_blocks_a_loop_closes_a_circle(flights: SingleFlight) -> None:
    """The loop's thread waits for `a`, whose leader then asks for `b`, which a task of that loop leads."""
    gate = threading.Event()
    led = threading.Event()

    def a() -> str:
        led.set()
        assert gate.wait(LIMIT)
        return "a" + flights.do("b", lambda: "direct").value

    async def main() -> str:
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def b() -> str:
            return await never

        task = asyncio.create_task(flights.do_async("b", b))
        await until_async(lambda: flights.stats().running == 2)
        opener = Worker(lambda: (wait_until(lambda: flights.stats().joined == 1), gate.set()))
        value = str(flights.do("a", str).value)  # blocks the loop
        opener.result()
        task.cancel()
        return value

    leader = Worker(flights.do, "a", a)
    assert led.wait(LIMIT)
    assert asyncio.run(main()) == "adirect"
    assert leader.result().value == "adirect"


def test_loop_closed_with_a_leader_and_waiters(flights: SingleFlight) -> None:
    async def call() -> None:
        await asyncio.get_running_loop().create_future()

    def abandon() -> None:
        loop = asyncio.new_event_loop()
        tasks = [loop.create_task(flights.do_async("k", call)) for _ in range(3)]
        for _ in range(4):
            loop.call_soon(loop.stop)
            loop.run_forever()
        assert flights.stats().running == 1
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()

    abandon()
    waiter = Worker(flights.do, "k", lambda: "thread")
    wait_until(lambda: (gc.collect(), not waiter.is_alive())[1])
    assert waiter.result().value == "thread"


def test_coroutine_that_is_dropped_hands_over(flights: SingleFlight) -> None:
    async def call() -> None:
        await asyncio.sleep(0)

    coroutine = flights.do_async("k", call)
    coroutine.send(None)
    assert flights.stats().running == 1
    coroutine.close()
    assert flights.stats().running == 0
    coroutine = flights.do_async("k", call)
    coroutine.send(None)
    del coroutine
    gc.collect()
    assert flights.stats().running == 0


def test_gc_frees_a_table_in_a_cycle() -> None:
    class Holder:
        flights: SingleFlight

    holder = Holder()
    holder.flights = SingleFlight()
    holder.flights.do(holder, lambda: None)
    ref = weakref.ref(holder)
    del holder
    gc.collect()
    assert ref() is None
