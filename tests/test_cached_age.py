"""cached: results that are refreshed, served though they are too old, or are errors."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from cache_tools import Clock
from concx.cache import cached
from flight_tools import Gate, Source, alike, counting
from queue_tools import LIMIT, wait_until


def test_refresh_after() -> None:
    clock, source = Clock(), Source()
    fn = cached(refresh_after=10, ttl=100, timer=clock)(source)
    assert fn(1) == 0
    source.value = 1
    clock.now += 9.9
    assert fn(1) == 0
    assert source.calls == 1
    clock.now += 0.2
    gate = Gate(lambda: 1)
    reloading = cached(refresh_after=10, ttl=100, timer=clock)(gate)
    reloading.cache_put("old", 1)
    clock.now += 10
    assert [reloading(1) for _ in range(20)] == ["old"] * 20
    assert gate.begun.wait(LIMIT)
    gate.go.set()
    wait_until(lambda: reloading(1) == 1)
    assert gate.calls == 1
    assert fn(1) == 0, "due, and the old one is served"
    wait_until(lambda: fn(1) == 1)
    assert source.calls == 2
    assert fn.cache_info().misses == 1
    clock.now += 100
    assert fn(1) == 1
    assert source.calls == 3, "too old to be served"


def test_refresh_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    clock, source = Clock(), Source()
    fn = cached(refresh_after=10, timer=clock)(source)
    fn(1)
    source.value = LookupError("gone")
    clock.now += 10
    with caplog.at_level(logging.WARNING, "concx.cache"):
        assert fn(1) == 0
        wait_until(lambda: "gone" in caplog.text)
    assert "reloading" in caplog.text
    wait_until(lambda: fn.cache.stats().load_failures == 1)
    assert fn(1) == 0
    assert source.calls == 2, "not before it is due again"
    source.value = 5
    clock.now += 10
    wait_until(lambda: fn(1) == 5)


def test_refresh_does_not_bring_back_what_was_removed() -> None:
    clock, gate = Clock(), Gate(lambda: "new")
    fn = cached(refresh_after=10, timer=clock)(gate)
    fn.cache_put("old", 1)
    clock.now += 10
    assert fn(1) == "old"
    assert gate.begun.wait(LIMIT)
    assert fn.cache_invalidate(1)
    gate.go.set()
    wait_until(lambda: fn.cache.stats().loads == 1)
    wait_until(lambda: fn.cache._flights.stats().running == 0)
    assert not fn.cache_contains(1)


def test_stale_if_error() -> None:
    clock, source = Clock(), Source()
    fn = cached(ttl=10, stale_if_error=5, timer=clock)(source)
    assert fn(1) == 0
    source.value = LookupError("down")
    clock.now += 12
    assert fn(1) == 0
    assert fn.cache_peek(1) is None, "too old"
    assert not fn.cache_contains(1)
    assert (fn.cache_info().hits, fn.cache_info().misses) == (0, 2)
    assert source.calls == 2
    clock.now += 3.1
    with pytest.raises(LookupError):
        fn(1)
    source.value = 7
    assert fn(1) == 7
    source.value = KeyboardInterrupt()
    clock.now += 12
    with pytest.raises(KeyboardInterrupt):
        fn(1)


def test_negative() -> None:
    clock, source = Clock(), Source()
    told: list[Any] = []
    fn = cached(
        ttl=100, negative=LookupError, negative_ttl=10, timer=clock,
        on_evict=lambda *args: told.append(args), weigher=lambda key, value: 5 + value,
    )(source)  # fmt: skip
    error = source.value = KeyError("gone")
    for _ in range(3):
        with pytest.raises(KeyError) as caught:
            fn(1)
        assert alike(caught.value, error)
    assert source.calls == 1
    assert fn.cache_peek(1) is None
    assert not fn.cache_contains(1)
    assert fn.cache.weight == 1
    clock.now += 10
    source.value = 3
    assert fn(1) == fn(1) == 3
    assert [(key, cause) for key, _, cause in told] == [(1, "expired")]
    assert alike(told[0][1], error)
    assert fn.cache.weight == 8
    fn.cache_clear()
    assert told[1:] == [(1, 3, "cleared")]
    source.value = OSError("down")
    for _ in range(2):
        with pytest.raises(OSError, match="down"):
            fn(1)
    assert source.calls == 4, "not one of those that are kept"


def test_jitter_is_of_each_result() -> None:
    clock = Clock()
    fn, calls = counting(ttl=100, jitter=0.5, stale_if_error=1, timer=clock, maxsize=None)
    for i in range(100):
        fn(i)
    clock.now += 100
    for i in range(100):
        fn(i)
    assert 120 < len(calls) < 180
