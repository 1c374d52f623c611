"""What would break an lru_cache: keys and values that act, recursion, threads, forks, leaks."""

from __future__ import annotations

import functools
import gc
import random
import sys
import threading
from fractions import Fraction
from typing import Any

import pytest

from concx.functools import lru_cache
from functools_tools import BOTH, Key, Recorder
from queue_tools import TSAN, Worker, wait_until

# --- adversaries ----------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("maxsize", [3, None])
def test_equal_hashes(lru: Any, maxsize: int | None) -> None:
    f = lru(maxsize)(Recorder())
    assert [f(Key(i)) for i in (1, 2, 3, 1, 2, 3)] == [1, 2, 3, 1, 2, 3]
    assert [f(Key(i), Key(0)) for i in (1, 2, 3, 1, 2, 3)] == [4, 5, 6, 4, 5, 6]


@BOTH
@pytest.mark.parametrize("maxsize", [3, None])
def test_an_eq_that_clears_the_cache(lru: Any, maxsize: int | None) -> None:
    f = lru(maxsize)(Recorder())
    f(Key(1)), f(Key(2))
    assert f(Key(2, lambda: None)) == 2
    stored = Key(3)
    f(stored)
    stored.act = f.cache_clear
    assert f(Key(3)) == 4  # what was found is there no more, so it is looked for again
    assert f.cache_info()[2:] == (maxsize, 1)


@BOTH
@pytest.mark.parametrize("maxsize", [3, None])
def test_an_eq_that_raises(lru: Any, maxsize: int | None) -> None:
    def fail() -> None:
        raise LookupError("eq")

    f = lru(maxsize)(Recorder())
    stored = Key(1)
    f(stored)
    stored.act = fail
    before = f.cache_info()
    with pytest.raises(LookupError, match="eq"):
        f(Key(1))
    assert f.cache_info() == before
    stored.act = None
    assert f(Key(1)) == 1


@BOTH
@pytest.mark.parametrize("maxsize", [2, None])
def test_an_eq_that_collects_calls_and_evicts(lru: Any, maxsize: int | None) -> None:
    f = lru(maxsize)(lambda key: key)
    stored = Key(1)

    def act() -> None:
        stored.act = None
        gc.collect()
        for i in range(10, 20):
            f(Key(i))

    f(stored)
    stored.act = act
    assert f(Key(1)).name == 1
    assert f.cache_info().currsize == (2 if maxsize else 11)


def test_an_eq_that_blocks_holds_nobody_up() -> None:
    entered, go = threading.Event(), threading.Event()

    def act() -> None:
        entered.set()
        assert go.wait(30)

    f = lru_cache(4)(Recorder())
    stored = Key(1)
    f(stored)
    stored.act = act
    slow = Worker(f, Key(1))
    assert entered.wait(30)
    stored.act = None
    assert f(1) == 2
    assert f(Key(2)) == 3
    f.cache_clear()
    go.set()
    assert slow.result() == 4  # the entry was cleared while it was compared


def test_an_eq_that_invalidates_what_it_compares() -> None:
    f = lru_cache(4)(Recorder())
    stored = Key(1)
    f(stored)

    def act() -> None:
        stored.act = None
        assert f.cache_invalidate(stored)

    stored.act = act
    assert not f.cache_contains(Key(1))
    stored.act = None
    f(stored)
    stored.act = act
    assert not f.cache_invalidate(Key(1))
    assert f.cache_info().currsize == 0


def test_a_hash_is_asked_once() -> None:
    asked = 0

    class Hashed:
        def __hash__(self) -> int:
            nonlocal asked
            asked += 1
            return 1

    f = lru_cache(1)(lambda *args, **kwargs: 0)
    key = Hashed()
    for number, call in enumerate(
        [lambda: f(key), lambda: f(key), lambda: f(1), lambda: f(key, 1), lambda: f(x=key)], 1
    ):
        call()
        assert asked == number - (number > 2)


@BOTH
def test_a_hash_that_calls_the_cache(lru: Any) -> None:
    f = lru(2)(lambda key: key)

    class Calls(Key):
        def __hash__(self) -> int:
            f(1), f(2), f(3)
            return 7

    for _ in range(3):
        assert f(Calls(1)).name == 1
    assert f.cache_info().currsize == 2


@pytest.mark.parametrize("maxsize", [1, 3])
def test_a_del_that_calls_the_cache(maxsize: int) -> None:
    deleted = 0

    class Value:
        def __init__(self, x: int) -> None:
            self.x = x

        def __del__(self) -> None:
            nonlocal deleted
            deleted += 1
            if self.x % 3 == 0:
                f(self.x + 1)
            if self.x % 7 == 0:
                f.cache_invalidate(self.x + 2)
            if self.x % 50 == 0:
                f.cache_clear()

    f = lru_cache(maxsize)(Value)
    for i in range(0, 600, 3):
        f(i)
        assert f.cache_info().currsize <= maxsize
    f.cache_clear()
    wait_until(lambda: [f.cache_clear()] and f.cache_info().currsize == 0)
    assert deleted >= 200


def test_a_metaclass_with_an_eq_of_its_own() -> None:
    class Meta(type):
        def __eq__(cls, other: object) -> bool:
            return isinstance(other, Meta)

        def __hash__(cls) -> int:
            return 5

    class A(metaclass=Meta):
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            return True

    class B(A):
        pass

    for lru in (functools.lru_cache, lru_cache):
        f: Any = lru(typed=True)(Recorder())
        assert f(A()) == f(B())


@pytest.mark.parametrize("maxsize", [128, None])
def test_endless_recursion_is_an_error(maxsize: int | None, run_script: Any) -> None:
    run_script(f"""
    import functools
    from concx.functools import lru_cache
    f = lru_cache({maxsize})(lambda n: f(n + 1))
    inner = functools.partial(len)
    g = lru_cache({maxsize})(inner)
    inner.__setstate__((g, (1,), {{}}, None))
    for call in (f, g):
        try:
            call(0)
        except RecursionError:
            pass
        else:
            raise SystemExit("no RecursionError")
    """)


def test_deep_recursion_works() -> None:
    @lru_cache(None)
    def total(n: int) -> int:
        return 0 if n == 0 else n + total(n - 1)

    depth = sys.getrecursionlimit() // 3
    assert total(depth) == depth * (depth + 1) // 2


# --- threads and processes ------------------------------------------------------------------------


@pytest.mark.parametrize("maxsize", [1, 5, 64, None])
@pytest.mark.usefixtures("quick_switches")
def test_counts_are_exact_and_the_bound_holds_with_threads(
    maxsize: int | None, rng: random.Random
) -> None:
    turns, threads, called = 200 if TSAN else 2000, 6, []
    f = lru_cache(maxsize)(lambda x, y=0: (called.append(1), (x, y))[1])
    start = threading.Barrier(threads)
    done = threading.Event()

    def work(seed: int) -> None:
        mine = random.Random(seed)
        start.wait(30)
        for _ in range(turns):
            x = mine.randrange(80)
            if mine.random() < 0.5:
                assert f(x) == (x, 0)
            else:
                assert f(x, y=Fraction(x)) == (x, x)

    def watch() -> None:
        while not done.is_set():
            assert maxsize is None or f.cache_info().currsize <= maxsize

    watcher = Worker(watch)
    collector = Worker(lambda: [gc.collect() for _ in range(5)])
    for worker in [Worker(work, rng.random()) for _ in range(threads)]:
        worker.result()
    done.set()
    watcher.result()
    collector.result()
    info = f.cache_info()
    assert info.misses == len(called)
    assert info.hits + info.misses == turns * threads
    if maxsize is not None:
        assert info.currsize == min(maxsize, 160)


@pytest.mark.usefixtures("quick_switches")
def test_a_key_that_stays_is_never_missed_while_the_table_grows(rng: random.Random) -> None:
    """Readers walk without a lock while entries are moved to other buckets."""
    limit = 2_000 if TSAN else 30_000
    called: list[int] = []
    f = lru_cache(None)(lambda x: (called.append(x), x)[1])
    for x in range(64):
        f(x)
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            for x in range(64):
                f(x)

    readers = [Worker(read) for _ in range(2)]
    for x in range(64, limit):
        f(x)
    done.set()
    for reader in readers:
        reader.result()
    assert len(called) == limit == f.cache_info().currsize


@pytest.mark.usefixtures("quick_switches")
def test_clear_and_invalidate_among_calls(rng: random.Random) -> None:
    class Value:
        def __init__(self, x: int) -> None:
            self.x = x

    f = lru_cache(16)(Value)
    turns = 300 if TSAN else 3000

    def work(seed: int) -> None:
        mine = random.Random(seed)
        for _ in range(turns):
            x = mine.randrange(40)
            what = mine.random()
            if what < 0.01:
                f.cache_clear()
            elif what < 0.2:
                f.cache_invalidate(x)
            elif what < 0.3:
                f.cache_contains(Key(x))
            elif what < 0.4:
                assert f(Key(x % 4)).x.name == x % 4
            else:
                assert f(x).x == x

    for worker in [Worker(work, rng.random()) for _ in range(4)]:
        worker.result()
    assert f.cache_info().currsize <= 16


def test_uses_in_turn_by_two_threads_are_in_order() -> None:
    """A use that is ordered behind another's counts as the later one, whoever made it."""
    f = lru_cache(3)(Recorder())
    for round_ in range(50):
        f.cache_clear()
        f("a"), f("b"), f("c")
        Worker(f, "a").result()
        f("b")
        Worker(f, "c").result()
        Worker(f, f"new{round_}").result()
        assert not f.cache_contains("a")
        f("other")
        assert not f.cache_contains("b")
        assert f.cache_contains("c")


def test_counts_reset_while_others_count() -> None:
    f = lru_cache(2)(lambda x: x)
    f(1)
    for _ in range(20):
        f.cache_clear()
        workers = [Worker(lambda: [f(1) for _ in range(50)]) for _ in range(3)]
        for worker in workers:
            worker.result()
        info = f.cache_info()
        assert info.hits + info.misses == 150


def test_fork_while_others_call(run_script: Any) -> None:
    run_script("""
    import os, sys, threading, warnings
    from concx.functools import lru_cache
    warnings.simplefilter("ignore", DeprecationWarning)
    f = lru_cache(8)(lambda x: x)
    done = False
    def work(n):
        x = n
        while not done:
            f(x % 50)
            x += 7
            if x % 400 == n:
                f.cache_clear()
    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(3)]
    for thread in threads: thread.start()
    for _ in range(60):
        pid = os.fork()
        if pid == 0:
            ok = all(f(x) == x for x in range(100))
            info = f.cache_info()
            f.cache_clear()
            os._exit(0 if ok and info.currsize == 8 and f.cache_info() == (0, 0, 8, 0) else 9)
        assert os.waitpid(pid, 0)[1] == 0
    done = True
    for thread in threads: thread.join()
    """)


def test_nothing_leaks(run_script: Any) -> None:
    """Evictions, clears, replaced values and errors leave neither objects nor memory."""
    run_script("""
    import gc, sys, tracemalloc, resource
    from concx.functools import lru_cache
    live = 0
    class Value:
        def __init__(self, *args, **kwargs):
            global live
            live += 1
        def __del__(self):
            global live
            live -= 1
    def turn():
        for maxsize, typed in ((8, False), (None, False), (8, True), (0, False)):
            f = lru_cache(maxsize, typed)(Value)
            for i in range(2000):
                f(i); f(i, "a"); f(x=i); f((i, i)); f(str(i)); f(2**64 + i)
                f.cache_invalidate(i - 3)
                try: f([])
                except TypeError: pass
            f.cache_clear()
    turn()
    gc.collect()
    before, size = live, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(8):
        turn()
    gc.collect()
    assert live == before == 0, (live, before)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size
    assert grown < 20_000, grown
    """)


def test_references_are_as_many_as_before() -> None:
    f = lru_cache(2)(lambda *args, **kwargs: args)
    objects = [Key(i) for i in range(6)]
    before = [sys.getrefcount(one) for one in objects]
    for _ in range(50):
        for one in objects:
            f(one), f(one, x=one), f((one,)), f.cache_contains(one), f.cache_invalidate(one)
    del one
    f.cache_clear()
    assert [sys.getrefcount(one) for one in objects] == before
