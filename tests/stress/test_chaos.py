"""Everything at once, from one seed: threads, two loops, cancellations, time-outs, signals, shutdowns,
forks, a changing maxsize, the switch to the compatibility mode. Every item is accounted for.

A run is a series of rounds of about a second, each with new queues. ``./dev test --chaos`` runs for
60 s; CONCX_CHAOS_SECONDS sets another duration and ``--seed`` another seed.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

import concx.queue
from queue_tools import LIMIT, TSAN, Worker, in_child

Empty, Full, ShutDown = concx.queue.Empty, concx.queue.Full, concx.queue.ShutDown


@dataclass
class Account:
    """What one actor put and got, per queue."""

    put: list[list[int]] = field(default_factory=list)
    got: list[list[int]] = field(default_factory=list)
    cleared: list[int] = field(default_factory=list)


class Round:
    """A handful of queues and everybody who uses them."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.queues = [self.make() for _ in range(4)]
        self.accounts: list[Account] = []
        self.over = threading.Event()
        self.number = 0

    def make(self) -> Any:
        rng = self.rng
        cls = rng.choice(
            [concx.queue.Queue, concx.queue.Queue, concx.queue.LifoQueue, concx.queue.PriorityQueue]
        )
        q = cls(rng.choice([0, 1, 2, 5]))
        if rng.random() < 0.2:
            with q.mutex:
                pass
        return q

    def account(self) -> Account:
        made = Account([[] for _ in self.queues], [[] for _ in self.queues], [0] * len(self.queues))
        self.accounts.append(made)
        return made

    def source(self) -> Any:
        """Numbers that nobody else puts."""
        self.number += 1
        return iter(range(self.number * 10_000_000, (self.number + 1) * 10_000_000))

    # -- actors --------------------------------------------------------------------------------

    def act(self, rng: random.Random, mine: Account, items: Any, *, may_wait: bool = True) -> None:
        """One random call."""
        index = rng.randrange(len(self.queues))
        q, put, got = self.queues[index], mine.put[index], mine.got[index]
        timeout = rng.random() * 0.002 if may_wait else 0
        way = rng.randrange(14)
        try:
            if way < 4:
                item = next(items)
                q.put(item, timeout=timeout)
                put.append(item)
            elif way < 8:
                got.append(q.get(timeout=timeout))
            elif way == 8:
                batch = [next(items) for _ in range(rng.randint(1, 6))]
                put.extend(batch[: q.put_many(batch, timeout=timeout)])
            elif way == 9:
                got.extend(q.get_many(rng.randint(1, 6), timeout=timeout))
            elif way == 10:
                q.maxsize = rng.choice([0, 1, 2, 5])
            elif way == 11 and rng.random() < 0.1:
                mine.cleared[index] += q.clear()
            elif way == 12 and rng.random() < 0.02:
                with q.mutex:
                    assert q._qsize() >= 0
            else:
                q.stats()
                q.peek()
        except (Empty, Full):
            pass

    def thread(self, rng: random.Random, mine: Account, items: Any) -> None:
        while not self.over.is_set():
            try:
                self.act(rng, mine, items)
            except ShutDown:
                time.sleep(0.001)  # not to synchronise: a shut queue is busy waiting otherwise

    async def task(self, rng: random.Random, mine: Account, items: Any) -> None:
        while not self.over.is_set():
            index = rng.randrange(len(self.queues))
            q, put, got = self.queues[index], mine.put[index], mine.got[index]
            timeout = rng.choice([None, None, 0.0005, 0.003])
            try:
                if rng.random() < 0.5:
                    item = next(items)
                    await q.put_async(item, timeout=timeout)
                    put.append(item)
                elif rng.random() < 0.2:
                    got.extend(await q.get_many_async(4, timeout=timeout))
                else:
                    got.append(await q.get_async(timeout=timeout))
            except (Empty, Full):
                pass
            except ShutDown:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                if self.over.is_set():
                    return

    def loop(self, rng: random.Random, accounts: list[Account], sources: list[Any]) -> None:
        async def main() -> None:
            tasks = [
                asyncio.create_task(self.task(random.Random(rng.random()), account, source))
                for account, source in zip(accounts, sources, strict=True)
            ]
            while not self.over.is_set():
                rng.choice(tasks).cancel()
                await asyncio.sleep(rng.random() * 0.002)
            while any(not task.done() for task in tasks):
                for task in tasks:
                    task.cancel()
                await asyncio.sleep(0)
            for task in tasks:
                if not task.cancelled():
                    task.result()

        asyncio.run(main(), debug=rng.random() < 0.2)

    # -- the course of a round -------------------------------------------------------------------

    def child(self) -> None:
        """What a forked child does: it uses the queues that others were using."""
        for q in self.queues:
            q.stats()
            q.maxsize = 0
            try:
                q.put(1, timeout=1)
                q.put_many([2, 3], timeout=1)
                q.get(timeout=1)
            except ShutDown:
                pass
            q.clear()
            assert q.empty()

    def run(self, seconds: float) -> None:
        rng = self.rng
        threads = [
            Worker(self.thread, random.Random(rng.random()), self.account(), self.source())
            for _ in range(3)
        ]
        threads += [
            Worker(
                self.loop,
                random.Random(rng.random()),
                [self.account() for _ in range(4)],
                [self.source() for _ in range(4)],
            )
            for _ in range(2)
        ]
        main, in_handler = self.account(), self.account()
        items, handler_items, handler_rng = (
            self.source(),
            self.source(),
            random.Random(rng.random()),
        )

        def handler(*_: Any) -> None:
            try:
                self.act(handler_rng, in_handler, handler_items, may_wait=False)
            except ShutDown:
                pass

        before = signal.signal(signal.SIGUSR1, handler)
        over_signals = threading.Event()

        def storm() -> None:
            while not over_signals.wait(0.002):
                os.kill(os.getpid(), signal.SIGUSR1)

        sender = Worker(storm)
        immediate = [False] * len(self.queues)
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                try:
                    self.act(rng, main, items)
                except ShutDown:
                    pass
                chance = rng.random()
                if chance < 0.0005 and not TSAN:
                    in_child(self.child)
                elif chance < 0.001:
                    index = rng.randrange(len(self.queues))
                    immediate[index] |= rng.random() < 0.3
                    self.queues[index].shutdown(immediate[index])
        finally:
            over_signals.set()
            sender.result()
            signal.signal(signal.SIGUSR1, before)
            self.over.set()
        for index, q in enumerate(self.queues):
            q.shutdown(immediate[index])
        for worker in threads:
            worker.result()
        self.check(immediate)

    def check(self, immediate: list[bool]) -> None:
        for index, q in enumerate(self.queues):
            put = Counter(x for account in self.accounts for x in account.put[index])
            got = Counter(x for account in self.accounts for x in account.got[index])
            cleared = sum(account.cleared[index] for account in self.accounts)
            left = Counter(q.consume())
            assert not (got + left) - put, "items from nowhere, or twice"
            missing = put - (got + left)
            if immediate[index]:
                assert cleared <= missing.total()
            else:
                assert missing.total() == cleared, f"{missing.total()} gone, {cleared} cleared: {q}"
            stats = q.stats()
            assert (stats.waiting_gets, stats.waiting_puts, stats.waiting_joins) == (0, 0, 0)
            assert stats.puts == put.total()
            assert q.empty()


def chaos(seconds: float, seed: int) -> None:
    rng = random.Random(seed)
    print(f"chaos: seed {seed}, {seconds} s")
    before = sys.getswitchinterval()
    end = time.monotonic() + seconds
    rounds = 0
    try:
        while time.monotonic() < end:
            sys.setswitchinterval(rng.choice([1e-5, 1e-4, 1e-3]))
            Round(rng).run(min(1.0, max(0.1, end - time.monotonic())))
            rounds += 1
    finally:
        sys.setswitchinterval(before)
    assert rounds


@pytest.mark.stress
@pytest.mark.timeout(LIMIT * 4)
def test_a_little_chaos(seed: int) -> None:
    chaos(3.0, seed)


@pytest.mark.chaos
@pytest.mark.timeout(7200)
def test_chaos(seed: int) -> None:
    chaos(float(os.environ.get("CONCX_CHAOS_SECONDS", "60")), seed)
