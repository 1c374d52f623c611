"""Threads on the queues: every item comes out once, whatever happens around it."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import concx.queue
from queue_tools import (
    BOUNDED,
    CLASSES,
    FREE_THREADED,
    LIMIT,
    TSAN,
    StackAsQueue,
    Worker,
    in_child,
    make_queue,
    run_threads,
    wait_until,
    wait_waiting,
)

RINGS: dict[str, Callable[[], Any]] = {
    "RingQueue": lambda: concx.queue.RingQueue(1),
    "SpscQueue": lambda: concx.queue.SpscQueue(1),
    "Stack": lambda: StackAsQueue(concx.queue.Stack()),
}

pytestmark = [pytest.mark.stress, pytest.mark.usefixtures("quick_switches")]

Empty, Full, ShutDown = concx.queue.Empty, concx.queue.Full, concx.queue.ShutDown


def put_somehow(q: Any, item: Any, rng: random.Random) -> None:
    while True:
        way = rng.randrange(4)
        try:
            if way == 0:
                q.put(item)
            elif way == 1:
                q.put_nowait(item)
            elif way == 2:
                q.put(item, timeout=rng.random() * 0.0005)
            elif not q.put_many([item], timeout=rng.random() * 0.0005):
                continue
            return
        except Full:
            continue


def get_somehow(q: Any, rng: random.Random) -> list[Any]:
    while True:
        way = rng.randrange(4)
        try:
            if way == 0:
                return [q.get_nowait()]
            if way == 1:
                return [q.get(timeout=rng.random() * 0.0005)]
            if way == 2:
                return list(q.get_many(rng.randint(1, 5), timeout=rng.random() * 0.0005))
            return [q.get()]
        except Empty:
            continue


def traffic(
    q: Any, rng: random.Random, each: int = 150, producers: int = 3, consumers: int = 3
) -> None:
    """Producers and consumers in every manner of call; then every item has come out once."""
    total = producers * each

    def produce(index: int, rng: random.Random) -> None:
        for number in range(each):
            put_somehow(q, (number, index), rng)

    def consume(rng: random.Random) -> list[Any]:
        got: list[Any] = []
        try:
            while True:
                items = get_somehow(q, rng)
                got += items
                done.extend(items)
        except ShutDown:
            return got

    done: list[Any] = []

    def stop() -> None:
        wait_until(lambda: len(done) == total, f"{total} items")
        q.shutdown()

    seeds = [random.Random(rng.random()) for _ in range(producers + consumers)]
    results = run_threads(
        *[lambda i=i: produce(i, seeds[i]) for i in range(producers)],
        *[lambda i=i: consume(seeds[producers + i]) for i in range(consumers)],
        stop,
    )
    got = [item for part in results[producers : producers + consumers] for item in part]
    wanted = [(number, index) for index in range(producers) for number in range(each)]
    assert Counter(got) == Counter(wanted)
    assert q.qsize() == 0
    if type(q).__name__ in ("Queue", "SimpleQueue"):
        for part in results[producers : producers + consumers]:
            for index in range(producers):
                mine = [number for number, producer in part if producer == index]
                assert mine == sorted(mine)  # of one producer, in its order


@pytest.mark.parametrize(
    ("name", "maxsize"),
    [("SimpleQueue", 0), *((name, maxsize) for name in BOUNDED for maxsize in (0, 1, 4))],
)
def test_mpmc(name: str, maxsize: int, rng: random.Random) -> None:
    traffic(make_queue(name, maxsize), rng)


@pytest.mark.parametrize("name", BOUNDED)
def test_mpmc_in_compatibility_mode(name: str, rng: random.Random) -> None:
    traffic(make_queue(name, 2, inside=True), rng, each=60)


@pytest.mark.parametrize("name", BOUNDED)
def test_the_switch_in_the_middle_of_traffic(name: str, rng: random.Random) -> None:
    """Somebody uses the mutex while others wait and work: nothing is lost by the switch."""
    for _ in range(5):
        q = make_queue(name, rng.choice([0, 1, 3]))
        point = rng.randrange(60)

        def switch(q: Any = q, point: int = point) -> None:
            wait_until(lambda: q.stats().puts >= point)
            with q.mutex:
                assert q._qsize() >= 0

        switcher = Worker(switch)
        traffic(q, rng, each=40)
        switcher.result()


@pytest.mark.parametrize("name", BOUNDED)
def test_maxsize_changes_in_traffic(name: str, rng: random.Random) -> None:
    q = make_queue(name, 1)
    over = threading.Event()

    def change() -> None:
        while not over.is_set():
            q.maxsize = rng.choice([0, 1, 2, 5])
            time.sleep(0)
        q.maxsize = 0

    changer = Worker(change)
    try:
        traffic(q, rng)
    finally:
        over.set()
        changer.result()


def test_join_in_traffic() -> None:
    q = make_queue("Queue", 3)
    for _ in range(30):
        finished = []

        def work(finished: list[int] = finished) -> None:
            while (item := q.get()) is not None:
                finished.append(item)
                q.task_done()
            q.task_done()

        workers = [Worker(work) for _ in range(2)]
        for item in range(10):
            q.put(item)
        q.join()
        assert sorted(finished) == list(range(10))
        for _ in workers:
            q.put(None)
        for worker in workers:
            worker.result()
        q.join()


@pytest.mark.parametrize("name", BOUNDED)
def test_shutdown_in_traffic(name: str, rng: random.Random) -> None:
    """What put accepted comes out, or is among what an immediate shutdown removed."""
    for _ in range(20):
        q = make_queue(name, rng.choice([0, 1, 3]))
        immediate = rng.random() < 0.3
        point = rng.randrange(100)
        put: list[Any] = []
        got: list[Any] = []

        def produce(index: int, q: Any = q, put: list[Any] = put) -> None:
            try:
                for number in range(200):
                    q.put((number, index))
                    put.append((number, index))
            except ShutDown:
                pass

        def consume(q: Any = q, got: list[Any] = got) -> None:
            try:
                while True:
                    got.append(q.get())
            except ShutDown:
                pass

        def stop(
            q: Any = q, got: list[Any] = got, point: int = point, now: bool = immediate
        ) -> None:
            wait_until(lambda: len(got) >= point)
            q.shutdown(now)

        run_threads(lambda: produce(0), lambda: produce(1), consume, consume, stop)
        if immediate:
            assert not Counter(got) - Counter(put)
        else:
            assert Counter(got) == Counter(put)
        assert q.qsize() == 0


def test_waiters_are_served_in_order() -> None:
    q = make_queue("Queue", 0)
    getters = []
    for count in range(1, 6):
        getters.append(Worker(q.get))
        wait_waiting(q, gets=count)
    for item in range(5):
        q.put(item)
    assert [getter.result() for getter in getters] == [0, 1, 2, 3, 4]
    q = make_queue("Queue", 1)
    q.put(-1)
    putters = []
    for count in range(1, 6):
        putters.append(Worker(q.put, count))
        wait_waiting(q, puts=count)
    assert [q.get() for _ in range(6)] == [-1, 1, 2, 3, 4, 5]
    for putter in putters:
        putter.result()


def test_a_waiting_put_of_a_lifo_queue() -> None:
    q = make_queue("LifoQueue", 1)
    q.put(1)
    putter = Worker(q.put, 2)
    wait_waiting(q, puts=1)
    assert q.get() == 1
    putter.result()
    assert q.get() == 2


def test_a_hundred_waiters_and_one_put_many() -> None:
    q = make_queue("Queue", 0)
    getters = [Worker(q.get) for _ in range(100)]
    wait_waiting(q, gets=100)
    assert q.put_many(range(100)) == 100
    assert sorted(getter.result() for getter in getters) == list(range(100))


def test_a_hundred_waiting_puts_and_one_get_many() -> None:
    q = make_queue("Queue", 1)
    q.put(-1)
    putters = [Worker(q.put, item) for item in range(100)]
    wait_waiting(q, puts=100)
    got: list[int] = []
    while len(got) < 101:
        got += q.get_many(200, timeout=LIMIT)
    assert sorted(got) == list(range(-1, 100))
    for putter in putters:
        putter.result()


def test_timeouts_that_race_with_grants(rng: random.Random) -> None:
    """Each get gives up about when its item arrives: it has it, or the queue has."""
    q = make_queue("Queue", 0)
    got: list[int] = []
    rounds = 300

    def getter() -> None:
        while len(got) < rounds:
            try:
                got.append(q.get(timeout=0.0001))
            except Empty:
                pass

    worker = Worker(getter)
    for item in range(rounds):
        q.put(item)
        time.sleep(rng.random() * 0.0003)  # not to synchronise: to hit the time-out from both sides
    worker.result()
    assert got == list(range(rounds))


# -- timeout=0 never waits, never lets others run ------------------------------------------------------


@pytest.mark.skipif(
    FREE_THREADED, reason="without a GIL there is none to release; builds with a GIL run this"
)
@pytest.mark.parametrize("name", [*CLASSES, *RINGS])
def test_no_wait_keeps_the_gil(name: str) -> None:
    """With a switch interval of an hour, another thread runs only if the GIL is released."""
    make = RINGS.get(name) or partial(make_queue, name, 1)
    q = make()
    ran = [0]
    over = threading.Event()

    def other() -> None:
        while not over.is_set():
            ran[0] += 1
            time.sleep(0)  # gives the GIL away, so that this thread always wants it

    worker = Worker(other)
    wait_until(lambda: ran[0] > 10)
    calls: list[Callable[[], Any]] = [
        lambda: q.get(timeout=0), lambda: q.get(False), q.get_nowait, lambda: q.get(timeout=0.0),
        lambda: q.get_many(3, block=False),
    ]  # fmt: skip
    if name not in ("SimpleQueue", "Stack"):
        full = make()
        full.put(0)
        calls += [
            lambda: full.put(1, timeout=0), lambda: full.put_nowait(1), lambda: full.put(1, False),
            lambda: full.put_many([1], block=False),
        ]  # fmt: skip
    sys.setswitchinterval(3600)
    try:
        seen = ran[0]
        wait_until(lambda: ran[0] > seen + 5)  # the other thread now waits by the new interval
        before = ran[0]
        for call in calls * 20:
            try:
                call()
            except (Empty, Full):
                pass
        for item in range(200):
            q.put_nowait(item)
            assert q.get(timeout=0) == item
        after = ran[0]
    finally:
        sys.setswitchinterval(1e-5)
        over.set()
    worker.result()
    assert after == before


# -- fork ----------------------------------------------------------------------------------------------


no_threads_in_child = pytest.mark.skipif(
    TSAN, reason="ThreadSanitizer dies in a forked child that starts threads"
)


@no_threads_in_child
@pytest.mark.parametrize("inside", [False, True], ids=["native", "compat"])
@pytest.mark.parametrize("name", BOUNDED)
def test_fork_with_others_blocked(name: str, inside: bool) -> None:
    q = make_queue(name, 1, inside)
    getters = [Worker(q.get) for _ in range(2)]
    wait_waiting(q, gets=2)

    def child() -> None:
        assert q.stats().waiting_gets == 0
        assert q.qsize() == 0
        q.put(5, timeout=5)  # is not handed to a thread that the child does not have
        assert q.qsize() == 1
        assert q.get(timeout=5) == 5
        worker = Worker(q.get)
        q.put(6)
        assert worker.result(5) == 6
        assert asyncio.run(both()) == 7

    async def both() -> Any:
        task = asyncio.create_task(q.get_async())
        await asyncio.sleep(0)
        await q.put_async(7)
        return await task

    in_child(child)
    q.put(1)
    q.put(2)
    assert sorted(getter.result() for getter in getters) == [1, 2]


@no_threads_in_child
def test_fork_with_puts_blocked_and_traffic() -> None:
    q = make_queue("Queue", 1)
    q.put(0)
    putter = Worker(q.put, 1)
    wait_waiting(q, puts=1)
    busy = make_queue("Queue", 2)
    over = threading.Event()

    def pump() -> None:
        while not over.is_set():
            busy.put(1)
            busy.get()

    pumps = [Worker(pump) for _ in range(2)]

    def child() -> None:
        assert q.get(timeout=5) == 0
        q.put(9, timeout=5)
        assert q.get(timeout=5) == 9
        fresh = make_queue("Queue", 1)
        fresh.put(1, timeout=5)
        busy.put_many([1, 2, 3], block=False)
        busy.clear()
        busy.put(4, timeout=5)
        assert busy.get(timeout=5) == 4

    for _ in range(5):
        in_child(child)
    over.set()
    for each in pumps:
        each.result()
    assert q.get() == 0
    putter.result()
    assert q.get() == 1


def test_fork_while_a_loop_waits() -> None:
    q = make_queue("Queue", 0)

    async def main() -> Any:
        task = asyncio.create_task(q.get_async())
        await asyncio.sleep(0)
        in_child(lambda: (q.put(3, timeout=5), q.stats()))
        await asyncio.sleep(0)
        assert not task.done()
        q.put(1)
        return await task

    assert asyncio.run(main()) == 1


@pytest.mark.parametrize("name", ["Queue", "LifoQueue"])
def test_batches_on_both_sides_of_a_small_bound(name: str) -> None:
    """Whoever takes a batch wakes a putter that enlisted just before it was taken."""
    for _ in range(300):
        q = make_queue(name, 2)
        putter = Worker(q.put_many, range(50))
        got: list[int] = []
        while len(got) < 50:
            got += q.get_many(3, timeout=LIMIT)
        assert sorted(got) == list(range(50))
        assert putter.result() == 50
