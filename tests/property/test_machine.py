"""State machines: random programs of sync and async calls in one thread, against the model.

Tasks of two loops wait on the queue between the calls; the loops are stepped by hand, so a task may be
cancelled before it started, while it waits, after it was granted and before its loop knows, after
the loop knows and before it runs. The model is told by the task itself what happened, at the moment
it happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from concx.queue import (
    LifoQueue,
    PriorityQueue,
    Queue,
    RingQueue,
    SimpleQueue,
    SpscQueue,
    Stack,
)
from property.model import Empty, Full, Model, ShutDown, Waiter, Wrong
from queue_tools import StackAsQueue, SteppedLoop

MAXSIZES = st.sampled_from([0, 1, 1, 2, 3])


class Machine(RuleBasedStateMachine):
    """The calls that every class has, and where they are bounded those that wait for room."""

    kind: ClassVar[str] = "fifo"
    bounded: ClassVar[bool] = True
    handing: ClassVar[bool] = True

    def queue(self, maxsize: int, data: st.DataObject) -> tuple[Any, Model]:
        """The queue, and the model of it."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.loops = [SteppedLoop(), SteppedLoop()]
        self.waiters: list[Waiter] = []
        self.number = 0
        self.wrong: list[BaseException] = []

    @initialize(maxsize=MAXSIZES, data=st.data())
    def make(self, maxsize: int, data: st.DataObject) -> None:
        self.q, self.model = self.queue(maxsize, data)

    def teardown(self) -> None:
        for loop in self.loops:
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.settle()
        for loop in self.loops:
            loop.settle()
            loop.close()
        if hasattr(self, "q"):
            self.check()

    # -- helpers -------------------------------------------------------------------------------

    def new(self) -> Any:
        """An item; items of a priority queue tie now and then."""
        self.number += 1
        return (self.number * 7 % 5, self.number) if self.kind == "priority" else self.number

    def same(self, expected: Callable[[], Any], real: Callable[[], Any]) -> None:
        """Both return the same or raise the same."""
        results: list[Any] = []
        for call in (expected, real):
            try:
                results.append(call())
            except (Empty, Full, ShutDown, ValueError) as error:
                results.append(type(error))
        assert results[1] == results[0], f"got {results[1]!r}; the model says {results[0]!r}"

    def start(self, waiter: Waiter, body: Any, loop: int) -> None:
        async def run() -> None:
            try:
                await body(waiter)
            except asyncio.CancelledError:
                self.model.leave(waiter)
                raise
            except Exception as error:
                self.wrong.append(error)
                raise

        waiter.task = self.loops[loop].create_task(run())
        self.waiters.append(waiter)

    def deadline(self, waiter: Waiter, timeout: float | None, loop: int) -> None:
        waiter.deadline = None if timeout is None else self.loops[loop].time() + timeout

    async def outcome(self, waiter: Waiter, call: Any) -> Any:
        """Await `call`; None if it ended with the exception that the model expects."""
        try:
            return await call
        except ShutDown:
            if waiter.state == "granted" and waiter.role == "put" and self.model.closed:
                self.model.leave(waiter)  # the slot was granted, but the queue closed since
            elif not self.handing and self.model.closed and waiter.state == "waiting":
                if waiter.role == "get" and len(self.model):
                    raise Wrong("ShutDown for a get with items left") from None
                self.model.leave(waiter)
            elif waiter.state != "closed":
                raise Wrong(f"ShutDown for a {waiter.role} that was {waiter.state}") from None
        except (Empty, Full) as error:
            if waiter.state != "late" or isinstance(error, Empty) != (waiter.role == "get"):
                raise Wrong(f"{error!r} for a {waiter.role} that was {waiter.state}") from None
        waiter.state = "over"
        return None

    # -- sync calls ----------------------------------------------------------------------------

    @rule(how=st.sampled_from(["nowait", "block=False", "timeout=0", "timeout"]))
    def put(self, how: str) -> None:
        item = self.new()
        q = self.q
        real = {
            "nowait": lambda: q.put_nowait(item),
            "block=False": lambda: q.put(item, block=False),
            "timeout=0": lambda: q.put(item, timeout=0),
            "timeout": lambda: q.put(item, True, 0.0001),
        }[how]
        self.same(lambda: self.model.put(item) and None, real)

    @rule(how=st.sampled_from(["nowait", "block=False", "timeout=0", "timeout"]))
    def get(self, how: str) -> None:
        q = self.q
        real = {
            "nowait": q.get_nowait,
            "block=False": lambda: q.get(block=False),
            "timeout=0": lambda: q.get(timeout=0),
            "timeout": lambda: q.get(True, 0.0001),
        }[how]
        self.same(self.model.get, real)

    @rule(count=st.integers(0, 5))
    def put_many(self, count: int) -> None:
        items = [self.new() for _ in range(count)]
        self.same(lambda: self.model.put_many(items), lambda: self.q.put_many(items, block=False))

    @rule(most=st.integers(1, 5))
    def get_many(self, most: int) -> None:
        self.same(lambda: self.model.get_many(most), lambda: self.q.get_many(most, block=False))

    @precondition(lambda self: hasattr(self.q, "peek"))
    @rule()
    def peek(self) -> None:
        self.same(self.model.peek, self.q.peek)

    @rule()
    def clear(self) -> None:
        self.same(self.model.clear, self.q.clear)

    @precondition(lambda self: self.number > 8)
    @rule(immediate=st.sampled_from([False, False, False, True]))
    def shutdown(self, immediate: bool) -> None:
        self.q.shutdown(immediate)
        self.model.shutdown(immediate)

    # -- async calls ---------------------------------------------------------------------------

    @rule(timeout=st.sampled_from([None, None, 0.5, 2.0]), loop=st.integers(0, 1))
    def start_get(self, timeout: float | None, loop: int) -> None:
        if not self.handing:
            timeout = None  # one that looks again arms its timer by the real clock, not by ours

        async def body(waiter: Waiter) -> None:
            self.deadline(waiter, timeout, loop)
            try:
                expected = self.model.get(waiter)
            except ShutDown:
                with pytest.raises(ShutDown):
                    await self.q.get_async(timeout=timeout)
                return
            item = await self.outcome(waiter, self.q.get_async(timeout=timeout))
            if item is not None:
                expected = self.model.got(waiter) if expected is None else expected
                assert item == expected, f"got {item}; the model says {expected}"

        self.start(Waiter("get"), body, loop)

    @rule(most=st.integers(1, 4), loop=st.integers(0, 1))
    def start_get_many(self, most: int, loop: int) -> None:
        async def body(waiter: Waiter) -> None:
            try:
                first = self.model.get(waiter)
            except ShutDown:
                with pytest.raises(ShutDown):
                    await self.q.get_many_async(most)
                return
            if first is not None:
                # All at once: what a slot that becomes free lets in comes after.
                items = await self.q.get_many_async(most)
            else:
                items = await self.outcome(waiter, self.q.get_many_async(most))
                if items is None:
                    return
                first = self.model.got(waiter)
            expected = self.model.get_many(most, first)
            assert items == expected, f"got {items}; the model says {expected}"

        self.start(Waiter("get"), body, loop)

    @precondition(lambda self: self.bounded)
    @rule(timeout=st.sampled_from([None, None, 0.5, 2.0]), loop=st.integers(0, 1))
    def start_put(self, timeout: float | None, loop: int) -> None:
        if not self.handing:
            timeout = None  # one that looks again arms its timer by the real clock, not by ours

        async def body(waiter: Waiter) -> None:
            self.deadline(waiter, timeout, loop)
            item = waiter.item = self.new()
            call = self.q.put_async(item, timeout=timeout)
            try:
                done = self.model.put(item, waiter)
            except (ShutDown, Full) as error:
                with pytest.raises(type(error)):
                    await call
                return
            if done:
                assert await call is None
                return
            if await self.outcome(waiter, self.told(call)):
                self.model.filled(waiter)

        self.start(Waiter("put"), body, loop)

    async def told(self, call: Any) -> bool:
        assert await call is None
        return True

    @precondition(lambda self: self.waiters)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(self.waiters), label="waiter")
        if waiter.state == "new":
            waiter.state = "over"  # never ran: it never called anything
        waiter.task.cancel()

    @rule(loop=st.integers(0, 1), times=st.integers(1, 3))
    def step(self, loop: int, times: int) -> None:
        self.loops[loop].step(times)

    @rule()
    def settle(self) -> None:
        for _ in range(25):  # what one loop's tasks do may wake those of the other
            for loop in self.loops:
                loop.settle()
        for waiter in self.waiters:
            # In the compatibility mode a join that was woken looks again, and may wait on.
            if self.handing or waiter.role != "join":
                assert waiter.state not in ("granted", "closed", "late")
        if not self.handing:
            assert not (self.model.getters and len(self.model))
            assert not (self.model.putters and self.model.room())

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 2.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.settle()
        self.model.late(self.loops[0].time() + seconds)
        for loop in self.loops:
            loop._now += seconds
        self.settle()

    @rule(count=st.integers(1, 4), loop=st.integers(0, 1))
    def park_gets(self, count: int, loop: int) -> None:
        """Several tasks that wait, side by side."""
        for _ in range(count):
            self.start_get(None, loop)
        self.loops[loop].step()

    @precondition(lambda self: self.model.getters and not self.model.closed)
    @rule(extra=st.integers(0, 2))
    def serve(self, extra: int) -> None:
        """An item for each task that waits, and some more."""
        for _ in range(len(self.model.getters) + extra):
            self.put("nowait")

    @precondition(lambda self: self.model.maxsize > 0 and self.model.overflow == "block")
    @rule(count=st.integers(1, 3), loop=st.integers(0, 1))
    def park_puts(self, count: int, loop: int) -> None:
        while self.model.room() and not self.model.closed:
            self.put("nowait")
        for _ in range(count):
            self.start_put(None, loop)
        self.loops[loop].step()

    @rule(count=st.integers(2, 4))
    def take(self, count: int) -> None:
        for _ in range(count):
            self.get("nowait")

    @precondition(lambda self: self.of_state("granted"))
    @rule(data=st.data(), in_between=st.sampled_from(["nothing", "put", "get"]))
    def cancel_what_was_granted(self, data: st.DataObject, in_between: str) -> None:
        """The item comes back, in front of what was put since."""
        granted = self.of_state("granted")
        count = data.draw(st.integers(1, min(len(granted), 3)), label="count")
        for waiter in data.draw(st.permutations(granted), label="order")[:count]:
            waiter.task.cancel()
            if in_between == "nothing":
                waiter.task.get_loop().settle()
        if in_between == "put":
            self.put("nowait")
        elif in_between == "get":
            self.get("nowait")

    def of_state(self, state: str) -> list[Waiter]:
        return [w for w in self.waiters if w.state == state and not w.task.done()]

    # -- what must hold after every step -------------------------------------------------------

    @invariant()
    def check(self) -> None:
        if self.wrong:
            raise self.wrong[0]
        self.waiters = [w for w in self.waiters if not w.task.done()]
        if not hasattr(self, "q"):
            return
        q, model = self.q, self.model
        assert q.qsize() == len(model)
        assert q.empty() == (not len(model))
        stats = q.stats()
        if self.handing:
            assert stats.waiting_gets == len(model.getters)
            assert stats.waiting_puts == len(model.putters)
            assert stats.gets == model.gets
        assert stats.puts == model.puts
        assert stats.dropped == model.dropped
        assert q.is_shutdown == model.closed
        if self.bounded and not model.reserved:
            assert q.full() == (not model.room())


class SimpleMachine(Machine):
    bounded = False

    def queue(self, maxsize: int, data: st.DataObject) -> tuple[Any, Model]:
        return SimpleQueue(), Model()


class RingMachine(Machine):
    """Nothing is handed over: who is woken looks again, and may find that somebody was faster."""

    handing = False
    make_ring: ClassVar[Callable[[int], Any]]

    def queue(self, maxsize: int, data: st.DataObject) -> tuple[Any, Model]:
        capacity = max(maxsize, 1) if self.bounded else 0
        return type(self).make_ring(capacity), Model(self.kind, capacity, handing=False)


class QueueMachine(Machine):
    """And the calls that the classes with `maxsize` have."""

    overflows: ClassVar[tuple[str, ...]] = ("block",)
    classes: ClassVar[dict[str, Any]] = {
        "fifo": Queue, "lifo": LifoQueue, "priority": PriorityQueue,
    }  # fmt: skip

    def queue(self, maxsize: int, data: st.DataObject) -> tuple[Any, Model]:
        overflow = data.draw(st.sampled_from(self.overflows), label="overflow")
        q = self.classes[self.kind](maxsize, overflow=overflow)
        if not self.handing:
            with q.mutex:
                pass
        return q, Model(self.kind, maxsize, overflow, self.handing)

    @rule(loop=st.integers(0, 1))
    def start_join(self, loop: int) -> None:
        async def body(waiter: Waiter) -> None:
            waits = self.model.unfinished
            if waits:
                waiter.state = "waiting"
                self.model.joiners.append(waiter)
            await self.q.join_async()
            if waits and waiter.state != "granted":
                if self.handing or self.model.unfinished:
                    raise Wrong(f"join returned, its waiter being {waiter.state}")
                self.model.joiners.remove(waiter)
            waiter.state = "over"

        self.start(Waiter("join"), body, loop)

    @rule(maxsize=MAXSIZES)
    def assign_maxsize(self, maxsize: int) -> None:
        self.q.maxsize = maxsize
        self.model.set_maxsize(maxsize)
        assert self.q.maxsize == maxsize

    @rule()
    def task_done(self) -> None:
        self.same(self.model.task_done, self.q.task_done)

    @rule()
    def all_done(self) -> None:
        while self.model.unfinished:
            self.same(self.model.task_done, self.q.task_done)

    @invariant()
    def check_more(self) -> None:
        if not hasattr(self, "q"):
            return
        q, model = self.q, self.model
        assert q.unfinished_tasks == model.unfinished
        if self.handing:
            assert q.stats().waiting_joins == len(model.joiners)


def machine(base: type[Machine] = QueueMachine, **attributes: Any) -> type[Machine]:
    return type("Machine", (base,), attributes)


def ring(make: Callable[[int], Any], **attributes: Any) -> type[Machine]:
    return machine(RingMachine, make_ring=staticmethod(make), **attributes)


MACHINES = {
    "Queue": machine(kind="fifo"),
    "LifoQueue": machine(kind="lifo"),
    "PriorityQueue": machine(kind="priority"),
    "SimpleQueue": machine(SimpleMachine),
    "RingQueue": ring(RingQueue),
    "RingQueue-int64": ring(lambda capacity: RingQueue(capacity, cells="int64")),
    "SpscQueue": ring(SpscQueue),
    "Stack": ring(lambda _: StackAsQueue(Stack()), kind="lifo", bounded=False),
    "Queue-overflow": machine(kind="fifo", overflows=("raise", "drop_oldest", "drop_newest")),
    "LifoQueue-overflow": machine(kind="lifo", overflows=("raise", "drop_oldest", "drop_newest")),
    "PriorityQueue-overflow": machine(kind="priority", overflows=("raise", "drop_newest")),
    "Queue-compat": machine(kind="fifo", handing=False),
    "LifoQueue-compat": machine(kind="lifo", handing=False),
    "PriorityQueue-compat": machine(kind="priority", handing=False),
}


def run(name: str, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        MACHINES[name],
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MACHINES)
def test_machine(name: str) -> None:
    run(name, 250, 50)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", MACHINES)
def test_machine_at_length(name: str) -> None:
    run(name, 1500, 60)
