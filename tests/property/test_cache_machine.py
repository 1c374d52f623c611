"""Cache against models: the very victims of lru and fifo; of each policy the bounds, the values, the books.

The model knows what each key has, when it expires and, for lru and fifo, the order of victims. The clock
is the machine's. After every step the cache's items are the model's; what left was told to on_evict once,
with the cause that the model expects.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from concx.cache import Cache

KEYS = st.one_of(st.integers(0, 12), st.sampled_from(["a", "b", (1, "c"), 2.5, None]))
VALUES = st.integers(0, 9)
NOBODY = object()
SPANS = st.sampled_from([None, 0.5, 3.0, 40.0, math.inf])


class Entry:
    def __init__(self, value: int, weight: int, hard: float, span: float, now: float) -> None:
        self.value, self.weight, self.hard, self.span = value, weight, hard, span
        self.deadline = min(hard, now + span)

    def used(self, now: float) -> None:
        self.deadline = max(self.deadline, min(self.hard, now + self.span))


class CacheMachine(RuleBasedStateMachine):
    policy: ClassVar[Any]

    @initialize(
        maxsize=st.sampled_from([1, 2, 5, 11]),
        max_weight=st.sampled_from([None, 6, 20]),
        ttl=st.sampled_from([None, 2.0, 30.0]),
        tti=st.sampled_from([None, 4.0]),
    )
    def make(self, maxsize: int, max_weight: int | None, ttl: Any, tti: Any) -> None:
        self.now = 0.0
        self.left: list[tuple[Any, int, str]] = []
        self.maxsize, self.max_weight = maxsize, max_weight
        self.ttl, self.tti = ttl or math.inf, tti or math.inf
        self.cache: Cache[Any, int] = Cache(
            maxsize,
            policy=self.policy,
            max_weight=max_weight,
            ttl=ttl,
            tti=tti,
            timer=lambda: self.now,
            on_evict=lambda *event: self.left.append(event),
        )
        self.model: dict[Any, Entry] = {}  # oldest first, where the order is known
        self.hits = self.misses = 0

    @property
    def is_exact(self) -> bool:
        return self.policy in ("lru", "fifo")

    def settle(self, key: Any = NOBODY, expected: str | None = None) -> None:
        """Takes over what left: by time, for size in the policy's order, or as expected."""
        for gone, value, cause in self.left:
            entry = self.model.get(gone)
            if cause == "expired":
                assert entry is not None
                assert entry.value == value
                assert entry.deadline <= self.now
                del self.model[gone]
            elif cause == "size":
                assert entry is not None
                assert entry.value == value
                assert gone != key
                assert entry.weight > 0
                if self.is_exact:
                    order = [k for k, e in self.model.items() if e.weight > 0 and k != key]
                    assert gone == order[0], f"{gone} left, {order} was the order"
                del self.model[gone]
            else:
                assert (gone, cause) == (key, expected)
        self.left.clear()

    def alive(self, key: Any) -> Entry | None:
        entry = self.model.get(key)
        return entry if entry is not None and entry.deadline > self.now else None

    def touch(self, key: Any) -> None:
        entry = self.model[key]
        entry.used(self.now)
        if self.policy == "lru":
            self.model[key] = self.model.pop(key)

    @rule(key=KEYS)
    def get(self, key: Any) -> None:
        entry = self.alive(key)
        assert self.cache.get(key) == (entry.value if entry else None)
        self.hits, self.misses = self.hits + bool(entry), self.misses + (not entry)
        self.settle()
        if entry:
            self.touch(key)

    @rule(key=KEYS)
    def look(self, key: Any) -> None:
        entry = self.alive(key)
        assert (key in self.cache) == bool(entry)
        assert self.cache.peek(key, -1) == (entry.value if entry else -1)
        self.settle()

    @rule(
        key=KEYS, value=VALUES, ttl=SPANS, tti=SPANS, weight=st.sampled_from([1, 1, 1, 0, 2, 5, 9])
    )
    def put(self, key: Any, value: int, ttl: Any, tti: Any, weight: int) -> None:
        old = self.alive(key)
        stored = self.cache.set(key, value, ttl=ttl, tti=tti, weight=weight)
        replaced = old is not None and (old.value != value or not stored)
        told = [event for event in self.left if event[0] == key and event[2] == "replaced"]
        assert len(told) == replaced
        self.settle(key, "replaced")
        old = self.model.pop(key, None) if not stored else self.model.get(key)
        if not stored:
            assert weight > (self.max_weight or math.inf) or (
                sum(e.weight == 0 for e in self.model.values()) > 0
            )
            return
        hard = self.now + (self.ttl if ttl is None else ttl)
        entry = Entry(value, weight, hard, self.tti if tti is None else tti, self.now)
        if old is not None and self.policy == "fifo" and old.weight == weight:
            self.model[key] = entry  # stays where it is
        elif old is not None and self.policy == "fifo" and old.weight > 0 and weight > 0:
            self.model[key] = entry
            self.same_place_or_last(key)
        else:
            self.model.pop(key, None)
            self.model[key] = entry

    def same_place_or_last(self, key: Any) -> None:
        """An entry of another weight keeps its place unless others had to go for it."""
        if self.cache.coldest(99)[-1][0] == key:
            self.model[key] = self.model.pop(key)

    @rule(key=KEYS)
    def remove(self, key: Any) -> None:
        entry = self.alive(key)
        assert self.cache.pop(key, None) == (entry.value if entry else None)
        assert len(self.left) <= 1
        self.settle(key, "explicit")
        self.model.pop(key, None)

    @rule(key=KEYS, value=VALUES)
    def setdefault(self, key: Any, value: int) -> None:
        entry = self.alive(key)
        assert self.cache.setdefault(key, value) == (entry.value if entry else value)
        self.settle(key)
        if entry:
            self.touch(key)
        elif key in self.cache:
            self.model[key] = Entry(value, 1, self.now + self.ttl, self.tti, self.now)

    @rule(key=KEYS, ttl=SPANS)
    def begin_anew(self, key: Any, ttl: Any) -> None:
        entry = self.alive(key)
        assert self.cache.touch(key, ttl=ttl) == bool(entry)
        self.settle()
        if entry:
            weight, value = entry.weight, entry.value
            hard = self.now + (self.ttl if ttl is None else ttl)
            self.model[key] = Entry(value, weight, hard, self.tti, self.now)
            self.touch(key)

    @rule(seconds=st.sampled_from([0.001, 0.3, 1.0, 7.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def expire(self) -> None:
        due = {k for k, e in self.model.items() if e.deadline <= self.now}
        assert self.cache.expire() == len(due)
        self.settle()
        assert not due & set(self.model)

    @rule(maxsize=st.sampled_from([1, 3, 11]))
    def resize(self, maxsize: int) -> None:
        self.maxsize = maxsize
        self.cache.resize(maxsize)
        self.settle()

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        assert sorted(map(repr, self.left)) == sorted(
            repr((k, e.value, "cleared")) for k, e in self.model.items()
        )
        self.left.clear()
        self.model.clear()

    @rule(odd=st.booleans())
    def invalidate(self, odd: bool) -> None:
        gone = {k for k, e in self.model.items() if e.value % 2 == odd and self.alive(k)}
        assert self.cache.invalidate_if(lambda k, v: v % 2 == odd) == len(gone)
        assert {k for k, _, _ in self.left} == gone
        self.left.clear()
        for key in gone:
            del self.model[key]

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "cache"):
            return
        c = self.cache
        assert len(c) == len(self.model)
        assert dict(c.items()) == {k: e.value for k, e in self.model.items() if self.alive(k)}
        assert c.weight == sum(e.weight for e in self.model.values())
        assert c.weight <= (self.max_weight or math.inf)
        pinned = sum(e.weight == 0 for e in self.model.values())
        assert len(c) <= max(self.maxsize, pinned)
        s = c.stats()
        assert (s.hits, s.misses, s.size) == (self.hits, self.misses, len(c))
        cold = [k for k, _ in c.coldest(99)]
        movable = [k for k, e in self.model.items() if e.weight > 0 and self.alive(k)]
        assert sorted(map(repr, cold)) == sorted(map(repr, movable))
        if self.is_exact:
            assert cold == movable
        assert [k for k, _ in c.hottest(99)] == cold[::-1]
        for key, entry in self.model.items():
            if self.alive(key):
                left = c.ttl(key)
                expected = entry.deadline - self.now
                assert (math.inf if left is None else left) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("policy", ["s3fifo", "lru", "tinylfu", "sieve", "lfu", "fifo"])
def test_machine(policy: str) -> None:
    class Machine(CacheMachine):
        pass

    Machine.policy = policy
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
