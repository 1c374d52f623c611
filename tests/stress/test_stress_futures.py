"""Futures and the thread pool under everything at once: who submits, waits, cancels, times out, awaits on
loops that close. Every task runs once or was cancelled, every callback is told once, nothing is lost."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import logging
import random
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest

from concx.futures import Future, ThreadPoolExecutor, as_completed, gather_async, wait
from queue_tools import LIMIT, TSAN, Worker

pytestmark = pytest.mark.stress

FUTURES = 4_000 if TSAN else 100_000
BATCH = 50


class Failed(Exception):
    """What every tenth task raises."""


class Account:
    """The futures of one actor, how often each was run, and how often its callback was called."""

    def __init__(self, pool: ThreadPoolExecutor, size: int, seed: float) -> None:
        self.pool = pool
        self.rng = random.Random(seed)
        self.size = size
        self.futures: list[Future[int]] = []
        self.ran = [0] * size
        self.told = [0] * size
        self.complaints: list[str] = []

    def task(self, number: int) -> int:
        self.ran[number] += 1
        if number % 10 == 3:
            raise Failed(number)
        return number

    def submit(self, count: int) -> list[Future[int]]:
        """`count` more futures, each with a callback; some are cancelled at once."""
        batch = []
        for number in range(len(self.futures), min(len(self.futures) + count, self.size)):
            f = self.pool.submit(self.task, number)

            def told(_: Any, number: int = number) -> None:
                self.told[number] += 1

            f.add_done_callback(told)
            if self.rng.random() < 0.1:
                f.cancel()
            batch.append(f)
        self.futures += batch
        return batch

    def check(self) -> None:
        assert len(self.futures) == self.size
        for number, f in enumerate(self.futures):
            assert f.done()
            assert self.ran[number] == (not f.cancelled()), number
            if not f.cancelled():
                error = f.exception()
                assert error.args == (number,) if error is not None else f.result() == number
                assert (error is not None) == (number % 10 == 3)
        assert self.told == [1] * self.size
        # A link may end with the exception that its task, cancelled meanwhile, did not come to see.
        assert not [text for text in self.complaints if "never retrieved" not in text]


def in_threads(account: Account) -> None:
    """Waits in every way that blocks a thread, mostly with time-outs too short."""
    rng = account.rng
    while batch := account.submit(BATCH):
        how = rng.randrange(6)
        short = rng.random() / 1000
        if how == 0:
            wait(batch, timeout=short)
        elif how == 1:
            wait(batch, return_when=rng.choice(["FIRST_COMPLETED", "FIRST_EXCEPTION"]))
        elif how == 2:
            with contextlib.suppress(TimeoutError):
                assert {*as_completed(batch, timeout=short)} == {*batch}
        elif how == 3:
            concurrent.futures.wait(batch, timeout=short)  # the standard library's, on ours
        for f in rng.sample(batch, len(batch) // 5):
            if rng.random() < 0.5:
                f.cancel()
            else:
                with contextlib.suppress(TimeoutError, CancelledError, Failed):
                    f.result(short)
    wait(account.futures)


async def on_a_loop(account: Account, to_the_end: bool) -> None:
    """Awaits in every way; returns, if not `to_the_end`, with tasks still waiting."""
    rng = account.rng

    async def one(f: Future[int]) -> None:
        how = rng.randrange(5)
        with contextlib.suppress(Failed, TimeoutError):
            if how == 0:
                await asyncio.wait_for(f, rng.random() / 1000)
            elif how == 1:
                link = f.as_asyncio()
                if rng.random() < 0.3:
                    link.cancel()
                await link
            elif how == 2:
                await asyncio.shield(asyncio.wrap_future(f))
            else:
                await f

    while batch := account.submit(BATCH):
        tasks = [asyncio.ensure_future(one(f)) for f in batch]
        if not to_the_end and rng.random() < 0.1:
            for _ in range(rng.randrange(3)):
                await asyncio.sleep(0)
            return
        for task in rng.sample(tasks, BATCH // 10 if len(tasks) == BATCH else 0):
            await asyncio.sleep(0)
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome
        with contextlib.suppress(asyncio.CancelledError, Failed):
            await gather_async(batch)


def on_loops(account: Account) -> None:
    """One loop after another, most of them left and closed while tasks wait."""
    while len(account.futures) < account.size:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda _, context: account.complaints.append(str(context)))
        try:
            loop.run_until_complete(on_a_loop(account, account.rng.random() < 0.5))
            for task in asyncio.all_tasks(loop):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                if account.rng.random() < 0.3:
                    task.cancel()
        finally:
            loop.close()
    wait(account.futures)


@pytest.fixture
def all_logs() -> Iterator[list[str]]:
    """What anybody logs, whatever its logger."""
    records: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(self.format(record))

    handler = Keep()
    logging.getLogger().addHandler(handler)
    yield records
    logging.getLogger().removeHandler(handler)


@pytest.mark.timeout(600 if TSAN else 180)
@pytest.mark.usefixtures("quick_switches")
def test_every_outcome_is_accounted_for(rng: random.Random, all_logs: list[str]) -> None:
    """100,000 futures from four threads and two loops."""
    with ThreadPoolExecutor(3) as pool:
        accounts = [Account(pool, FUTURES // 6 + 1, rng.random()) for _ in range(6)]
        workers = [
            Worker(on_loops if number < 2 else in_threads, account)
            for number, account in enumerate(accounts)
        ]
        for worker in workers:
            worker.result(10 * LIMIT)
    gc.collect()
    for account in accounts:
        account.check()
    unwanted = [text for text in all_logs if "InvalidStateError" in text or "Error in" in text]
    assert not unwanted
    stats = pool.stats()
    total = sum(account.size for account in accounts)
    assert stats.submitted == total
    assert stats.completed + stats.failed + stats.cancelled == total
    assert (stats.queued, stats.running, stats.workers) == (0, 0, 0)


@pytest.mark.usefixtures("quick_switches")
def test_threads_that_race_for_one_outcome() -> None:
    """set_result, set_exception and cancel at once: one wins, all waiters see the same."""
    rounds = 200 if TSAN else 2000
    futures: list[Future[int]] = [Future() for _ in range(rounds)]
    gate = threading.Barrier(4)

    def settle(how: str) -> list[bool]:
        won = []
        for f in futures:
            gate.wait(LIMIT)
            try:
                if how == "result":
                    f.set_result(1)
                elif how == "exception":
                    f.set_exception(Failed())
                won.append(how != "cancel" or f.cancel())
            except concurrent.futures.InvalidStateError:
                won.append(False)
        return won

    def look() -> list[str]:
        seen = []
        for f in futures:
            gate.wait(LIMIT)
            try:
                seen.append("result" if f.result(LIMIT) == 1 else "")
            except Failed:
                seen.append("exception")
            except CancelledError:
                seen.append("cancel")
        return seen

    ways = ["result", "exception", "cancel"]
    *won, seen = [
        worker.result() for worker in [*[Worker(settle, how) for how in ways], Worker(look)]
    ]
    for i in range(rounds):
        assert [how for how, wins in zip(ways, won, strict=True) if wins[i]] == [seen[i]]
    assert len({*seen}) > 1
