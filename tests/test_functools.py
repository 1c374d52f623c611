"""concx.functools: the twin of the standard lru_cache, its additions, and what would break it."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import os
import pickle
import random
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import concx.functools
from concx.functools import cache, lru_cache
from queue_tools import FREE_THREADED, TSAN, Worker, wait_until

BOTH = pytest.mark.parametrize("lru", [functools.lru_cache, lru_cache], ids=["stdlib", "concx"])


class Recorder:
    """A function to be cached, which says with what it was called and never returns the same."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((args, tuple(kwargs.items())))
        return len(self.calls)


# --- the twin -------------------------------------------------------------------------------------

VALUES = [0, 1, 1.0, True, -1, -2, 2**31, 2**63, 2**64, "", "a", "\xe9", b"a", None, (), (1, 2)]
VALUES += [(1, 2.0), ("a", ("b", 1)), frozenset({1}), Fraction(1), 1j, float("nan"), int, str, -0.0]
CALLS = st.tuples(
    st.lists(st.sampled_from(VALUES), max_size=3),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from(VALUES), max_size=2),
)


def fresh(value: Any) -> Any:
    """An equal object that is another one, where there can be."""
    if isinstance(value, tuple):
        return tuple(fresh(part) for part in value)
    if type(value) in {int, str, bytes, float} and value == value:
        return pickle.loads(pickle.dumps(value))
    return value


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("maxsize", [None, -1, 0, 1, 2, 3, 8, 1000])
@settings(max_examples=40, deadline=None)
@given(calls=st.lists(st.one_of(CALLS, st.just("clear")), max_size=60))
def test_it_calls_whenever_the_standard_one_does(
    maxsize: int | None, typed: bool, calls: list[Any]
) -> None:
    """Same hits, same misses and so the same victims, after any calls."""
    theirs, ours = Recorder(), Recorder()
    standard = functools.lru_cache(maxsize, typed)(theirs)
    twin = lru_cache(maxsize, typed)(ours)
    for call in calls:
        if call == "clear":
            standard.cache_clear()
            twin.cache_clear()
        else:
            args, kwargs = call
            again = [fresh(value) for value in args]
            assert standard(*args, **kwargs) == twin(*again, **kwargs)
        assert standard.cache_info() == twin.cache_info()
    assert str(theirs.calls) == str(ours.calls)


@pytest.mark.parametrize("maxsize", [1, 7, 64, 300])
def test_victims_of_long_random_calls_are_those_of_the_standard_one(
    maxsize: int, rng: random.Random
) -> None:
    theirs, ours = Recorder(), Recorder()
    standard, twin = functools.lru_cache(maxsize)(theirs), lru_cache(maxsize)(ours)
    for _ in range(20_000):
        key = int(rng.paretovariate(0.5)) % 1000 if rng.random() < 0.7 else rng.randrange(500)
        assert standard(key) == twin(key)
    assert theirs.calls == ours.calls
    assert standard.cache_info() == twin.cache_info()


@settings(max_examples=150, deadline=None)
@given(
    maxsize=st.sampled_from([1, 2, 3, 9, 20, None]),
    steps=st.lists(st.tuples(st.sampled_from("ccccid"), st.integers(0, 24)), max_size=200),
)
def test_against_a_model_that_forgets_too(maxsize: int | None, steps: list[tuple[str, int]]) -> None:
    """Calls, invalidations and questions against a dict in the order of use."""
    model: dict[int, int] = {}
    recorder = Recorder()
    twin = lru_cache(maxsize)(recorder)
    for what, key in steps:
        if what == "i":
            assert twin.cache_invalidate(key) == (model.pop(key, None) is not None)
        elif what == "d":
            assert twin.cache_contains(key) == (key in model)
        else:
            result = twin(key)
            assert result == model.pop(key, len(recorder.calls))
            if len(model) == maxsize:
                del model[next(iter(model))]
            model[key] = result
        assert twin.cache_info().currsize == len(model)
    assert all(twin.cache_contains(key) for key in model)


@BOTH
def test_keys_are_those_of_functools(lru: Any) -> None:
    f = lru(None)(Recorder())
    assert f(1) != f(1.0)  # one exact int stands for itself,
    assert f(1.0) == f(True)  # anything else is in a tuple
    assert f(1, 2) == f(1.0, True + 1) != f((1, 2))
    assert f(a=1, b=2) != f(b=2, a=1)
    assert f(0) == f(0, **{})
    assert f(1, a=2) != f(1, "a", 2)
    assert f("x") == f("".join("x"))


@BOTH
def test_types_count_if_asked(lru: Any) -> None:
    f = lru(typed=True)(Recorder())
    assert len({f(3), f(3.0), f(True), f(x=3), f(x=3.0), f((3,))}) == 6
    assert f((3,)) == f((3.0,))  # of the arguments, not of what they hold


@BOTH
def test_one_that_came_meanwhile_stays_in_a_bounded_cache_and_goes_in_an_unbounded_one(
    lru: Any,
) -> None:
    for maxsize, kept in ((8, "inner"), (None, "outer")):
        running = False

        @lru(maxsize)
        def f(x: int) -> str:
            nonlocal running
            if running:
                return "inner"
            running = True
            f(x)  # noqa: B023
            return "outer"

        assert f(1) == "outer"
        assert f(1) == kept
        assert f.cache_info() == (1, 2, maxsize, 1)


@BOTH
def test_an_error_counts_as_a_miss_and_is_not_kept(lru: Any) -> None:
    @lru(8)
    def f(x: int) -> float:
        return 1 / x

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            f(0)
    assert f.cache_info() == (0, 2, 8, 0)


@BOTH
@pytest.mark.parametrize("maxsize", [8, None])
def test_what_has_no_hash_is_refused_and_not_counted(lru: Any, maxsize: int | None) -> None:
    f = lru(maxsize)(Recorder())
    for call in (lambda: f([]), lambda: f(1, []), lambda: f(x=[]), lambda: f(([],))):
        with pytest.raises(TypeError, match="unhashable"):
            call()
    assert f.cache_info() == (0, 0, maxsize, 0)
    assert lru(0)(Recorder())([]) == 1  # nothing is kept, so nothing is hashed


@BOTH
def test_it_looks_like_what_it_wraps(lru: Any) -> None:
    def f(x: int, *, y: int = 1) -> int:
        """Doc."""
        return x + y

    f.mark = 1  # type: ignore[attr-defined]
    g = lru(f)
    for name in functools.WRAPPER_ASSIGNMENTS:
        if hasattr(f, name):
            assert getattr(g, name) == getattr(f, name)
    assert g.__wrapped__ is f
    assert g.mark == 1
    assert set(vars(g)) == {*vars(functools.lru_cache(f))}
    assert inspect.signature(g) == inspect.signature(f)
    parameters = g.cache_parameters()
    assert parameters == {"maxsize": 128, "typed": False}
    parameters["maxsize"] = 1
    assert g.cache_parameters() == {"maxsize": 128, "typed": False}
    assert type(g.cache_info()) is functools._CacheInfo  # type: ignore[attr-defined]


@BOTH
def test_what_is_no_bound_is_refused(lru: Any) -> None:
    with pytest.raises(TypeError, match="Expected first argument to be an integer, a callable, or"):
        lru("8")
    with pytest.raises(TypeError, match="callable"):
        lru(8)(8)
    with pytest.raises(OverflowError):
        lru(2**64)(len)
    assert lru(True)(len).cache_parameters() == {"maxsize": True, "typed": False}


def test_messages_name_the_value() -> None:
    make = type(lru_cache(len))
    with pytest.raises(TypeError, match="maxsize should be integer or None, got '8'"):
        make(len, "8", False)
    with pytest.raises(TypeError, match="the first argument must be callable, got 8"):
        make(8, 8, False)


def test_methods_have_signatures() -> None:
    f = lru_cache(len)
    assert str(inspect.signature(f.cache_info)) == str(inspect.signature(f.cache_clear)) == "()"
    assert str(inspect.signature(f.cache_contains)) == "(*args, **kwargs)"


class Named:
    @lru_cache
    def method(self, x: int) -> tuple[Any, int]:
        return self, x

    @staticmethod
    @lru_cache
    def static(x: int) -> int:
        return x

    @classmethod
    @lru_cache
    def of_class(cls, x: int) -> tuple[Any, int]:
        return cls, x


def test_as_a_method() -> None:
    a, b = Named(), Named()
    Named.method.cache_clear()
    assert a.method(1)[0] is a
    assert b.method(1)[0] is b
    assert a.method(1)[0] is a
    assert a.method.cache_info() == Named.method.cache_info() == (1, 2, 128, 2)
    assert Named.method(a, 1)[0] is a
    assert Named.static(1) == a.static(1) == 1
    assert Named.of_class(1) == a.of_class(1) == (Named, 1)
    bound = a.method
    assert bound.__self__ is a
    assert bound(1)[0] is a
    assert Named.__dict__["method"].__get__(None, Named) is Named.method


def test_pickle_copy_and_weak_references() -> None:
    for f in (Named.method, Named.static):
        assert copy.copy(f) is copy.deepcopy(f) is f
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert pickle.loads(pickle.dumps(f, protocol)) is f
    f = lru_cache(Recorder())
    ref = weakref.ref(f)
    assert ref() is f


def test_cycles_through_a_cache_are_collected() -> None:
    class Owner:
        pass

    refs = []
    for maxsize in (None, 4):
        owner = Owner()

        @lru_cache(maxsize)
        def f(x: Any, owner: Any = owner) -> Any:
            return x

        owner.f = f  # type: ignore[attr-defined]
        f(owner)
        f(owner, 1)
        f(x=owner)
        refs += [weakref.ref(owner), weakref.ref(f)]
        del owner, f
    gc.collect()
    assert [ref() for ref in refs] == [None] * 4


def test_a_cleared_cache_lets_go_at_once() -> None:
    class Value:
        pass

    f = lru_cache(4)(lambda x: Value())
    refs = [weakref.ref(f(i)) for i in range(4)]
    f.cache_clear()
    assert [ref() for ref in refs] == [None] * 4


def test_small_caches_do_not_keep_what_they_evicted() -> None:
    """Without a GIL an evicted value may wait for its grace period, about a quarter of the cache does."""

    class Value:
        pass

    f = lru_cache(8)(lambda x: Value())
    refs = [weakref.ref(f(i)) for i in range(1000)]
    alive = sum(ref() is not None for ref in refs)
    assert alive == 8 if not FREE_THREADED else alive <= 16


def test_the_module_is_the_twin_of_functools() -> None:
    assert concx.functools.partial is functools.partial
    assert set(functools.__all__) <= set(concx.functools.__all__)
    assert cache(len).cache_parameters() == {"maxsize": None, "typed": False}


# --- additions ------------------------------------------------------------------------------------


def test_invalidate_and_contains_take_the_arguments_of_a_call() -> None:
    recorder = Recorder()
    f = lru_cache(8)(recorder)
    f(1, x=2)
    assert f.cache_contains(1, x=2)
    assert not f.cache_contains(1, x=3)
    assert f.cache_info() == (0, 1, 8, 1)
    assert f.cache_invalidate(1, x=2)
    assert not f.cache_invalidate(1, x=2)
    assert f.cache_info() == (0, 1, 8, 0)
    assert f(1, x=2) == 2
    with pytest.raises(TypeError, match="unhashable"):
        f.cache_contains([])
    with pytest.raises(TypeError, match="unhashable"):
        f.cache_invalidate([])


def test_contains_is_no_use() -> None:
    f = lru_cache(2)(Recorder())
    f(1), f(2)
    assert f.cache_contains(1)
    f(3)
    assert not f.cache_contains(1)


@pytest.mark.parametrize("maxsize", [0, 2, None])
def test_invalidate_among_evictions(maxsize: int | None, rng: random.Random) -> None:
    f = lru_cache(maxsize)(Recorder())
    for _ in range(3000):
        key = rng.randrange(6)
        f(key) if rng.random() < 0.5 else f.cache_invalidate(key)
        assert f.cache_info().currsize <= (6 if maxsize is None else maxsize)


def test_shared_behaves_the_same() -> None:
    recorder = Recorder()
    f = lru_cache(2, shared=True)(recorder)
    assert [f(1), f(2), f(1), f(3), f(2)] == [1, 2, 1, 3, 4]
    assert f.cache_parameters() == {"maxsize": 2, "typed": False}


# --- adversaries ----------------------------------------------------------------------------------


class Key:
    """Equal to its like, with a hash that all share, and something to do while it is compared."""

    def __init__(self, name: Any, act: Callable[[], Any] | None = None) -> None:
        self.name = name
        self.act = act

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        if self.act is not None:
            self.act()
        return isinstance(other, Key) and self.name == other.name


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
    wait_until(lambda: f.cache_clear() or f.cache_info().currsize == 0)
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
    f = lru_cache(maxsize)(lambda x, y=0: called.append(1) or (x, y))
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
    f = lru_cache(None)(lambda x: called.append(x) or x)
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
    f.cache_clear()
    assert [sys.getrefcount(one) for one in objects] == before


def test_its_size_is_told() -> None:
    f = lru_cache(None)(lambda x: x)
    empty = sys.getsizeof(f)
    for i in range(1000):
        f(i)
    assert 64_000 < sys.getsizeof(f) - empty < 200_000


def test_import_starts_nothing_heavy() -> None:
    code = "import sys, concx.functools; print([m for m in ('typing', 're', 'enum') if m in sys.modules])"
    path = os.path.dirname(os.path.dirname(concx.functools.__file__))
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout.strip() == "[]"
