"""seq, spsc, mpmc, batches, ping-pong, LIFO and priority: threads on both sides."""

from __future__ import annotations

import heapq
from functools import partial
from itertools import cycle, islice, repeat
from typing import Any

from contenders import Contender
from harness.check import empty, verify
from harness.crew import Meter, alone, together
from harness.spec import Disqualified, Section, Unsuited
from workloads import Case, Workload

CHECKED = 4000
BATCH = 64
TURN = 4
"""Pairs in one turn of the loops of `seq`, so that the loop itself weighs little."""


def put_get(q: Any, n: int) -> None:
    x = object()
    for _ in repeat(None, n // TURN):
        q.put(x)
        q.get()
        q.put(x)
        q.get()
        q.put(x)
        q.get()
        q.put(x)
        q.get()


def append_popleft(q: Any, n: int) -> None:
    x = object()
    for _ in repeat(None, n // TURN):
        q.append(x)
        q.popleft()
        q.append(x)
        q.popleft()
        q.append(x)
        q.popleft()
        q.append(x)
        q.popleft()


def put_range(q: Any, start: int, stop: int) -> None:
    for i in range(start, stop):
        q.put(i)


def get_all(q: Any, n: int) -> None:
    for _ in repeat(None, n):
        q.get()


def get_into(q: Any, n: int, out: list[int]) -> None:
    for _ in range(n):
        out.append(q.get())  # noqa: PERF401 (the watchdog looks at its length)


def put_list(q: Any, items: list[int], times: int) -> None:
    for _ in repeat(None, times):
        for x in items:
            q.put(x)


def put_many_list(q: Any, items: list[int], times: int) -> None:
    for _ in repeat(None, times):
        q.put_many(items)


def put_many_range(q: Any, start: int, stop: int) -> None:
    for i in range(start, stop, BATCH):
        q.put_many(range(i, i + BATCH))


def get_many_all(q: Any, n: int) -> None:
    while n > 0:
        n -= len(q.get_many(BATCH))


def get_many_into(q: Any, n: int, out: list[int]) -> None:
    while n > 0:
        items = q.get_many(BATCH)
        out += items
        n -= len(items)


def serve(q: Any, p: Any, n: int) -> None:
    x = object()
    for _ in repeat(None, n):
        q.put(x)
        p.get()


def answer(q: Any, p: Any, n: int) -> None:
    x = object()
    for _ in repeat(None, n):
        q.get()
        p.put(x)


def answer_same(q: Any, p: Any, n: int) -> None:
    for _ in repeat(None, n):
        p.put(q.get())


def serve_into(q: Any, p: Any, n: int, out: list[int]) -> None:
    for i in range(n):
        q.put(i)
        out.append(p.get())


def replace(q: Any, items: list[Any], n: int) -> None:
    for item in islice(cycle(items), n):
        q.put(item)
        q.get()


class Seq:
    """One thread, the queue's own: put an item, get it back, over and over."""

    def check(self, case: Case) -> None:
        contender = case.contender
        if contender.name == "collections.deque":
            return
        q = contender.sync(contender.make(case.maxsize))
        out, count = case.out(), 1000  # the bounded classes hold 1024 here

        def fill_and_drain() -> None:
            put_range(q, 0, count)
            get_into(q, count, out)

        alone(fill_and_drain, case.cpus[0], Meter())
        expected = list(range(count))
        if case.params.get("order") == "lifo":
            expected.reverse()
        verify([out], 1, count, ordered=False)
        if out != expected:
            raise Disqualified("the items came back in another order than this kind of queue has")
        empty(q)

    def run(self, case: Case, count: int) -> Section:
        contender, meter = case.contender, Meter()
        q = contender.sync(contender.make(case.maxsize))
        count = max(TURN, count // TURN * TURN)
        work = append_popleft if contender.name == "collections.deque" else put_get
        alone(partial(work, q, count), case.cpus[0], meter)
        if work is put_get:
            empty(q)
        return Section(count / meter.seconds, meter.seconds, count, meter.cost)


class Priority:
    """One thread, a heap of ``depth`` (number, object) pairs: put one, get the smallest."""

    def _items(self, count: int) -> list[tuple[int, object]]:
        state, items = 12345, []
        for i in range(count):
            state = (state * 1103515245 + 12345) % 2**31
            items.append((state * count + i, object()))
        return items

    def check(self, case: Case) -> None:
        q = case.contender.sync(case.contender.make(0))
        items = self._items(CHECKED)
        for item in items:
            q.put(item)
        got = [q.get() for _ in items]
        if got != sorted(items):
            raise Disqualified("the items did not come back smallest first")
        empty(q)

    def run(self, case: Case, count: int) -> Section:
        q, meter = case.contender.sync(case.contender.make(0)), Meter()
        depth = case.params["depth"]
        for item in heapq.nsmallest(depth, self._items(2 * depth)):
            q.put(item)
        alone(partial(replace, q, self._items(1024), count), case.cpus[0], meter)
        if q.qsize() != depth:
            raise Disqualified(f"{q.qsize()} items were left where {depth} should be")
        return Section(count / meter.seconds, meter.seconds, count, meter.cost)


class Stream:
    """``pairs`` producers and as many consumers on one queue; fresh ints, so items are made and freed."""

    def _cpus(self, case: Case, pairs: int) -> list[tuple[int, int]]:
        first, second = case.cpus
        return [(first, second) if k % 2 == 0 else (second, first) for k in range(pairs)]

    def check(self, case: Case) -> None:
        contender, pairs = case.contender, case.params.get("pairs", 1)
        q = contender.sync(contender.make(case.maxsize))
        each = CHECKED // pairs
        jobs = []
        for k, (putter, getter) in enumerate(self._cpus(case, pairs)):
            jobs.append((partial(put_range, q, k * each, (k + 1) * each), putter))
            jobs.append((partial(get_into, q, each, case.out()), getter))
        together(jobs, Meter())
        verify(case.outs, pairs, each)
        empty(q)

    def run(self, case: Case, count: int) -> Section:
        contender, pairs, meter = case.contender, case.params.get("pairs", 1), Meter()
        q = contender.sync(contender.make(case.maxsize))
        each = max(1, count // pairs)
        jobs = []
        for k, (putter, getter) in enumerate(self._cpus(case, pairs)):
            jobs.append((partial(put_range, q, k * each, (k + 1) * each), putter))
            jobs.append((partial(get_all, q, each), getter))
        together(jobs, meter)
        empty(q)
        return Section(each * pairs / meter.seconds, meter.seconds, each * pairs, meter.cost)


class Batch:
    """One producer, one consumer, 64 items a call where the contender has such calls, else one by one.

    ``items`` is ``"kept"`` (64 ints that exist all along) or ``"fresh"`` (every int is made and freed).
    """

    def _put(self, contender: Contender, q: Any, count: int, fresh: bool) -> Any:
        if fresh:
            return partial(put_many_range if contender.batches else put_range, q, 0, count)
        put = put_many_list if contender.batches else put_list
        return partial(put, q, list(range(BATCH)), count // BATCH)

    def check(self, case: Case) -> None:
        contender, out = case.contender, case.out()
        if contender.batches and not hasattr(contender.make(case.maxsize), "put_many"):
            raise Unsuited("has no put_many")
        q = contender.sync(contender.make(case.maxsize))
        count = CHECKED // BATCH * BATCH
        get = get_many_into if contender.batches else get_into
        put = self._put(contender, q, count, fresh=True)
        together([(put, case.cpus[0]), (partial(get, q, count, out), case.cpus[1])], Meter())
        verify([out], 1, count)
        empty(q)

    def run(self, case: Case, count: int) -> Section:
        contender, meter = case.contender, Meter()
        q = contender.sync(contender.make(case.maxsize))
        count = max(1, count // BATCH) * BATCH
        put = self._put(contender, q, count, case.params["items"] == "fresh")
        get = partial(get_many_all if contender.batches else get_all, q, count)
        together([(put, case.cpus[0]), (get, case.cpus[1])], meter)
        empty(q)
        return Section(count / meter.seconds, meter.seconds, count, meter.cost)


class PingPong:
    """Two threads and two queues; each waits for the other. One round trip is two hand-overs."""

    def check(self, case: Case) -> None:
        contender, count, out = case.contender, CHECKED // 4, case.out()
        q, p = (contender.sync(contender.make(case.maxsize)) for _ in range(2))
        together(
            [
                (partial(serve_into, q, p, count, out), case.cpus[0]),
                (partial(answer_same, q, p, count), case.cpus[1]),
            ],
            Meter(),
        )
        verify([out], 1, count)
        empty(q)
        empty(p)

    def run(self, case: Case, count: int) -> Section:
        contender, meter = case.contender, Meter()
        q, p = (contender.sync(contender.make(case.maxsize)) for _ in range(2))
        together(
            [
                (partial(serve, q, p, count), case.cpus[0]),
                (partial(answer, q, p, count), case.cpus[1]),
            ],
            meter,
        )
        empty(q)
        empty(p)
        return Section(count / meter.seconds, meter.seconds, count, meter.cost)


WORKLOADS: dict[str, Workload] = {
    "seq": Seq(),
    "priority": Priority(),
    "stream": Stream(),
    "batch": Batch(),
    "pingpong": PingPong(),
}
