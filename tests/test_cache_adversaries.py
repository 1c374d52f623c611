"""Cache: listeners, keys that misbehave, the collector, leaks, threads."""

from __future__ import annotations

import gc
import os
import sys
import threading
import weakref
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from cache_tools import EACH, Clock, Key, Log
from concx.cache import Cache, CacheStats
from queue_tools import FREE_THREADED, TSAN, Worker, run_threads, wait_until

FORKS = pytest.mark.skipif(
    not hasattr(os, "fork") or TSAN,
    reason="needs fork; and ThreadSanitizer follows no child of a process with threads (a future one may)",
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


# -- listeners ------------------------------------------------------------------------------------


def test_causes(clock: Clock) -> None:
    log = Log()
    c: Cache[Any, Any] = Cache(2, policy="fifo", timer=clock, on_evict=log)
    c["a"] = 1
    c["a"] = 2
    c["a"] = c["a"]  # the same object: nothing has left
    c["b"] = 3
    c["c"] = 4
    del c["b"]
    assert c.pop("c") == 4
    c.set("d", 5, ttl=1)
    clock.now += 1
    assert "d" not in c
    c["e"], c["f"] = 6, 7
    assert c.invalidate_if(lambda k, v: v == 6) == 1
    c.clear()
    assert log == [
        ("a", 1, "replaced"),
        ("a", 2, "size"),
        ("b", 3, "explicit"),
        ("c", 4, "explicit"),
        ("d", 5, "expired"),
        ("e", 6, "explicit"),
        ("f", 7, "cleared"),
    ]
    s = c.stats()
    assert isinstance(s, CacheStats)
    assert (s.evicted, s.expired, s.removed, s.cleared) == (1, 1, 3, 1)


def test_listeners_that_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    def listener(*_: object) -> None:
        raise ValueError("mine")

    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    c: Cache[int, int] = Cache(1, on_evict=listener)
    c[1] = 1
    c[2] = 2
    del c[2]
    with pytest.raises(KeyError, match="9"):
        c[9]
    assert [str(u.exc_value) for u in seen] == ["mine", "mine"]


@EACH
def test_listeners_that_change_the_cache(policy: Any) -> None:
    depth = 0

    def listener(key: int, value: int, cause: str) -> None:
        nonlocal depth
        if depth < 3:
            depth += 1
            c[-key] = value
            c.pop(key - 1, None)
            c.resize(4 + key % 3)
            depth -= 1

    c: Cache[int, int] = Cache(5, policy=policy, on_evict=listener)
    for i in range(2000):
        c[i] = i
        assert len(c) <= 6
    c.clear()


# -- keys that misbehave --------------------------------------------------------------------------


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    return lambda what: monkeypatch.setattr(Key, "act", staticmethod(what))


@EACH
def test_equal_hashes(policy: Any) -> None:
    c: Cache[Key, int] = Cache(10, policy=policy)
    for i in range(300):
        c[Key(i % 13)] = i
        assert c[Key(i % 13)] == i
        assert len(c) <= 10
    assert c.get(Key("none")) is None


def test_eq_that_clears(act: Any) -> None:
    c: Cache[Key, int] = Cache(10)
    keys = [Key(i) for i in range(5)]
    for key in keys:
        c[key] = 1
    act(c.clear)
    assert c.get(Key(4)) is None
    c[Key(3)] = 5
    act(lambda: None)
    assert len(c) == 1
    assert c[Key(3)] == 5


def test_eq_that_raises(act: Any) -> None:
    c: Cache[Key, int] = Cache(10, items=[(Key(1), 1)])

    def fail() -> None:
        raise RuntimeError("not comparable")

    act(fail)
    other = Key(1)
    for call in (
        lambda: c[other],
        lambda: c.set(other, 1),
        lambda: c.pop(other),
        lambda: other in c,
        lambda: c.touch(other),
        lambda: c.ttl(other),
        lambda: c.compute(other, lambda v: 1),
    ):
        with pytest.raises(RuntimeError, match="not comparable"):
            call()
    act(lambda: None)
    assert c[other] == 1
    assert len(c) == 1


def test_an_eq_that_blocks_holds_nobody_up(act: Any) -> None:
    """Whoever else comes meanwhile, to read or to write, does not wait; nor does it find what was cleared."""
    entered, go = threading.Event(), threading.Event()
    main = threading.current_thread()

    def block() -> None:
        if threading.current_thread() is not main:
            entered.set()
            assert go.wait(30)

    c: Cache[Any, int] = Cache(10, items=[(Key(1), 1), (2, 2)])
    act(block)
    for blocked in (partial(c.get, Key(1)), partial(c.__setitem__, Key(1), 5)):
        entered.clear()
        go.clear()
        slow = Worker(blocked)
        assert entered.wait(30)
        assert c[2] == 2
        assert c[Key(1)] == 1
        c[Key(3)] = 3
        c[Key(1)] = 1
        c.clear()
        c[2] = 2
        go.set()
        assert slow.result() is None
        c.update({Key(1): 1})
    assert c[Key(1)] == 1
    assert len(c) == 2


def test_eq_that_takes_away_what_it_compares(act: Any) -> None:
    """The key that is compared is kept alive; what it was the key of is gone by the time of the answer."""
    c: Cache[Any, Any] = Cache(10)
    for call in (c.get, c.peek, c.__contains__, lambda key: c.pop(key, None)):
        stored = Key("x")
        ref = weakref.ref(stored)
        c[stored] = 1
        del stored

        def act_once() -> None:
            act(lambda: None)
            c.clear()
            gc.collect()

        act(act_once)
        assert call(Key("x")) in (None, False, 1, True)
        assert len(c) == 0
        assert ref() is None


def test_a_hash_that_calls_the_cache() -> None:
    class Loud:
        def __hash__(self) -> int:
            c.clear()
            c[1] = 1
            return 5

    c: Cache[Any, int] = Cache(10)
    key = Loud()
    c[key] = 7
    assert c[key] == c.get(key, 7) == 7 if key in c else c.get(key) is None
    assert c[1] == 1


def test_eq_that_collects_and_churns(act: Any) -> None:
    c: Cache[Any, Any] = Cache(20, policy="lru")
    count = iter(range(10**9))

    def churn() -> None:
        n = next(count)
        c[n] = [n]
        if n % 50 == 0:
            gc.collect()

    for i in range(8):
        c[Key(i)] = i
    act(churn)
    for i in range(100):
        c[Key(i % 8)] = i
        c.get(Key(i % 11))
    act(lambda: None)
    assert len(c) == 20


def test_del_of_values_that_come_back() -> None:
    class Value:
        def __del__(self) -> None:
            c[object()] = None
            c.get(3)

    c: Cache[Any, Any] = Cache(4)
    for i in range(500):
        c[i] = Value()
        assert len(c) <= 4
    c.clear()
    assert len(c) <= 4


def test_kinds_of_keys() -> None:
    c: Cache[Any, Any] = Cache(None)
    keys: list[Any] = [1, 2**100, 1.5, "a", "ä", "\U0001f600", b"a", (1, "a"), (1, (2, "b")), None]
    keys += [frozenset([1]), (1.5, Key(1)), -1, -2, "", (), True and "t"]
    for i, key in enumerate(keys):
        c[key] = i
    again: list[Any] = [
        int("1"),
        2**100,
        float("1.5"),
        "".join(["a"]),
        "ä",
        "\U0001f600",
        bytes([97]),
    ]
    again += [(1, "".join("a")), (1, (2, "b")), None, frozenset([1]), (1.5, Key(1)), -1, -2, "", ()]
    for i, key in enumerate(again):
        assert c[key] == i
    assert c[1.0] == c[True] == 0  # equal, as in a dict
    assert c.get((1, 2)) is None
    assert c.get("b") is None


# -- the collector, leaks -------------------------------------------------------------------------


def test_cycles_are_collected() -> None:
    class Node:
        cache: Any

    def cycle() -> weakref.ref[Node]:
        node = Node()
        node.cache = Cache(5, items={1: node}, on_evict=lambda *_: node.cache)
        return weakref.ref(node)

    ref = cycle()
    gc.collect()
    gc.collect()
    assert ref() is None


@EACH
def test_evictions_leak_nothing(policy: Any, clock: Clock) -> None:
    class Value:
        alive = 0

        def __init__(self) -> None:
            Value.alive += 1

        def __del__(self) -> None:
            Value.alive -= 1

    c: Cache[Any, Value] = Cache(50, policy=policy, ttl=1000, timer=clock)
    for i in range(5_000 if TSAN else 100_000):
        c[i % 1999 if i % 2 else (i,)] = Value()
        if i % 97 == 0:
            clock.now += 30
    waiting = (
        len(c) // 4 if TSAN else 0
    )  # without membarrier, a thread does not know that it is alone
    assert len(c) <= Value.alive <= len(c) + 2 * waiting
    c.clear()
    assert Value.alive == 0


def test_references_are_as_many_as_before(clock: Clock) -> None:
    c: Cache[Any, Any] = Cache(3, ttl=100, timer=clock, on_evict=lambda *_: None)
    objects = [Key(i) for i in range(6)]
    before = [sys.getrefcount(one) for one in objects]
    for turn in range(50):
        for one in objects:
            c[one] = one
            c[one] = objects[0]
            c.set(one, one, ttl=5, tti=2, tags=["a"])
            c.get(one), c.peek(one), one in c, c.setdefault(one, one), c.get_many([one])
            c.compute(one, lambda old: old)
            c.touch(one), c.ttl(one), c.coldest(2), list(c.items())
            if turn % 3 == 0:
                c.pop(one, None)
            with pytest.raises(TypeError):
                c.get([])
        clock.now += 3 * (turn % 4)
        c.invalidate_tag("a") if turn % 5 == 0 else c.expire()
        c.popitem() if c else None
        c.invalidate_if(lambda k, v: k.name == 2)
    c.clear()
    del one
    assert [sys.getrefcount(one) for one in objects] == before


def test_memory_stays_as_it_was(run_script: Any) -> None:
    """Evictions, replaced values, expiry, growth, clears and errors leave neither objects nor memory."""
    run_script("""
    import gc, resource
    from concx.cache import Cache
    live = 0
    class Value:
        def __init__(self):
            global live
            live += 1
        def __del__(self):
            global live
            live -= 1
    def turn():
        now = 0
        for policy in ("s3fifo", "lru", "tinylfu", "sieve", "lfu", "fifo"):
            c = Cache(300, policy=policy, tti=50, timer=lambda: now, weigher=lambda k, v: k % 3)
            for i in range(3000):
                now += 1
                c[i % 700] = Value(); c.get(i % 11); c.set(i % 50, Value(), ttl=3, tags=["x"])
                try: c[None] = Value()
                except TypeError: pass
            c.resize(20)
            c.expire(); c.clear()
        c = Cache(None)
        for i in range(5000):
            c[i, i] = Value()
    turn()
    gc.collect()
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(8):
        turn()
    gc.collect()
    assert live == 0, live
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size
    assert grown < 20_000, grown
    """)


def test_memory_of_an_entry() -> None:
    for ttl, most in ((None, 64), (60, 72)):
        c: Cache[int, None] = Cache(100_000, ttl=ttl)
        for i in range(200_000):
            c[i] = None
        assert sys.getsizeof(c) / 100_000 <= most
        c.clear()
        assert sys.getsizeof(c) < 64 * 16_384  # what the policy remembers stays


# -- threads --------------------------------------------------------------------------------------


@EACH
def test_threads(policy: Any) -> None:
    rounds = 500 if TSAN else 5_000
    c: Cache[Any, Any] = Cache(100, policy=policy, max_weight=150, weigher=lambda k, v: v % 3)

    def work(n: int) -> None:
        for i in range(rounds):
            key: Any = (i * 7 + n) % 250
            match i % 8:
                case 0 | 1:
                    c[key] = i
                case 2:
                    c.set(key, i, ttl=0.001 * (i % 5 + 1))
                case 3:
                    c.pop(key, None)
                case 4:
                    c.compute(Key(key), lambda v: (v or 0) + 1)
                case 5 if i % 400 == 5:
                    c.clear() if n == 0 else list(c.items())
                case _:
                    c.get(key)
            assert len(c) <= 100
            assert c.weight <= 150

    run_threads(*(partial(work, n) for n in range(4)))

    def is_settled() -> bool:
        c.expire()
        values = list(c.values())
        return len(c) == c.stats().size == len(values) and c.weight == sum(v % 3 for v in values)

    wait_until(is_settled)  # what expires meanwhile makes it wrong for a moment


def test_compute_loses_no_update() -> None:
    rounds = 300 if TSAN else 3_000
    c: Cache[str, int] = Cache(10)

    def work() -> None:
        for _ in range(rounds):
            c.compute("n", lambda v: v + 1, 0)

    run_threads(*[work] * 4)
    assert c["n"] == 4 * rounds


def test_setdefault_has_one_winner() -> None:
    c: Cache[int, object] = Cache(100)

    def work() -> list[object]:
        return [c.setdefault(key, object()) for key in range(100)]

    for got in zip(*run_threads(*[work] * 4), strict=True):
        assert len(set(map(id, got))) == 1


@FORKS
def test_fork_while_threads_are_inside(run_script: Any) -> None:
    done = run_script(
        """
        import os, threading, warnings
        from concx.cache import Cache

        warnings.simplefilter("ignore", DeprecationWarning)  # of fork among threads

        c = Cache(50, ttl=5)
        stop = False

        def churn(n):
            while not stop:
                for i in range(100):
                    c.set(i, i, tags=[str(i % 5)])
                    c.get(i + 7)

        threads = [threading.Thread(target=churn, args=(n,), daemon=True) for n in range(3)]
        for t in threads:
            t.start()
        for round in range(30):
            pid = os.fork()
            if pid == 0:
                for i in range(200):
                    c.set(i, i, tags=["x"])
                    assert c.get(i) == i
                assert len(c) <= 50 and sorted(c) == sorted(c.values())
                c.invalidate_tag("x")
                c.clear()
                assert len(c) == 0
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        stop = True
        for t in threads:
            t.join()
        print("whole")
        """
    )
    assert done.stdout.strip() == "whole"


def test_shared() -> None:
    c: Cache[int, int] = Cache(10, shared=True)
    before = sys.getrefcount(c)
    c[1] = 2
    assert c[1] == 2
    if FREE_THREADED and sys.version_info < (3, 14):
        holders = [c] * 100
        assert sys.getrefcount(c) == before
        assert len(holders) == 100


# -- the expiry thread ----------------------------------------------------------------------------


def sweepers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "concx-expiry"]


def test_expire_every() -> None:
    log = Log()
    caches: list[Cache[int, int]] = [
        Cache(9, ttl=0.01, expire_every=timedelta(milliseconds=5), on_evict=log) for _ in range(3)
    ]
    for c in caches:
        c[1] = 1
    assert len(sweepers()) == 1
    wait_until(lambda: not any(map(len, caches)))
    assert log == [(1, 1, "expired")] * 3
    del c
    caches.clear()
    wait_until(lambda: not sweepers(), "the thread ends with the last cache")
    caches.append(Cache(9, ttl=0.01, expire_every=0.005, items={1: 1}))
    wait_until(lambda: len(caches[0]) == 0, "another thread looks after it")
    caches.clear()
    wait_until(lambda: not sweepers())
    with pytest.raises(ValueError, match="expire_every must be more than 0 seconds, got 0"):
        Cache(1, expire_every=0)


def test_expire_every_with_a_timer_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    wrong = True

    def timer() -> float:
        if wrong:
            raise OSError("no time")
        return 1e9

    c: Cache[int, int] = Cache(9, ttl=1, timer=timer, expire_every=0.005)
    wait_until(lambda: len(reported) >= 2)
    assert isinstance(reported[0].exc_value, OSError)
    wrong = False
    c[1] = 1
    assert len(c) == 1
    del c
    reported.clear()  # with the tracebacks that know the cache
    wait_until(lambda: not sweepers())


@FORKS
def test_expire_every_after_fork(run_script: Any) -> None:
    run_script(
        """
        import os, time, warnings
        from concx.cache import Cache

        warnings.simplefilter("ignore", DeprecationWarning)  # of fork among threads
        c = Cache(9, ttl=0.05, expire_every=0.01, items={1: 1})
        pid = os.fork()
        limit = time.monotonic() + 20
        while len(c) and time.monotonic() < limit:
            time.sleep(0.001)
        if pid == 0:
            os._exit(7 if len(c) == 0 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7 and len(c) == 0
        """
    )
