"""Cached calls: hits over a hundred keys, or misses that evict."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import repeat
from typing import Any

from harness.crew import Meter, alone, together
from harness.spec import Disqualified, Section
from workloads import Case, Workload

MAXSIZE = 128
KEYS = 100
Calls = Callable[[Any, list[int], int], None]


def one(f: Any, keys: list[int], rounds: int) -> None:
    for _ in repeat(None, rounds):
        for key in keys:
            f(key)


def two(f: Any, keys: list[int], rounds: int) -> None:
    for _ in repeat(None, rounds):
        for key in keys:
            f(key, key)


def keyword(f: Any, keys: list[int], rounds: int) -> None:
    for _ in repeat(None, rounds):
        for key in keys:
            f(x=key)


def method(owner: Any, keys: list[int], rounds: int) -> None:
    for _ in repeat(None, rounds):
        for key in keys:
            owner.f(key)


def identity(x: Any, y: Any = None) -> Any:
    return x


def keys_of(thread: int, count: int = KEYS) -> list[int]:
    """Ints that nothing else refers to."""
    return [1000 * (thread + 1) + 7 * i for i in range(count)]


class Cached:
    """The calls of one shape by one thread; ``keys`` beyond MAXSIZE make every call a miss."""

    def __init__(self, calls: Calls, keys: int = KEYS) -> None:
        self.calls, self.keys = calls, keys

    def subject(self, decorate: Any) -> Any:
        if self.calls is not method:
            return decorate(identity)

        class Owner:
            @decorate
            def f(self, x: int) -> int:
                return x

        return Owner()

    def check(self, case: Case) -> None:
        called: list[int] = []

        @case.contender.make(MAXSIZE)
        def f(x: int) -> int:
            called.append(x)
            return -x

        for _ in range(2):
            if [f(x) for x in range(KEYS)] != [-x for x in range(KEYS)]:
                raise Disqualified("it returned what the function does not")
        if called != list(range(KEYS)):
            raise Disqualified(f"{len(called)} calls of the function for {KEYS} keys")

    def run(self, case: Case, n: int) -> Section:
        f, keys = self.subject(case.contender.make(MAXSIZE)), keys_of(0, self.keys)
        rounds = max(1, n // len(keys))
        self.calls(f, keys, 2)
        meter = Meter()
        alone(partial(self.calls, f, keys, rounds), case.cpus[0], meter)
        done = rounds * len(keys)
        return Section(done / meter.seconds, meter.seconds, done, meter.cost)


class Threads:
    """Hits by one thread or by two, which have a cache in common and keys of their own."""

    def check(self, case: Case) -> None:
        Cached(one).check(case)

    def run(self, case: Case, n: int) -> Section:
        f = case.contender.make(1024)(identity)
        workers = case.contender.workers
        rounds = max(1, n // KEYS // workers)
        # Each thread makes its own keys and puts them in: it owns them, as it does in a program.
        meter = Meter()

        def work(thread: int) -> None:
            one(f, keys_of(thread), rounds)

        if workers > 1:
            together([(partial(work, i), cpu) for i, cpu in enumerate(case.cpus)], meter)
        else:
            alone(partial(work, 0), case.cpus[0], meter)
        done = rounds * KEYS * workers
        return Section(done / meter.seconds, meter.seconds, done, meter.cost)


WORKLOADS: dict[str, Workload] = {
    "cache-int": Cached(one),
    "cache-two": Cached(two),
    "cache-keyword": Cached(keyword),
    "cache-method": Cached(method),
    "cache-miss": Cached(one, 1000),
    "cache-threads": Threads(),
}
