"""Atomics: each against a model, at the edge of 64 bits, from many threads, re-entered, collected."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concx.atomic import AtomicFlag, AtomicFloat, AtomicInt, AtomicRef, Counter
from queue_tools import FREE_THREADED, TSAN, run_threads

LEAST, MOST = -(2**63), 2**63 - 1
INTS = st.one_of(st.integers(LEAST, MOST), st.integers(-3, 3), st.sampled_from([LEAST, MOST]))
ROUNDS = 2_000 if TSAN else 20_000
SHARED = pytest.mark.parametrize("shared", [False, True])


# -- one thread: the model ------------------------------------------------------------------------


@given(INTS, st.lists(st.tuples(st.sampled_from("ixcau+-g"), INTS)))
def test_int_against_a_model(value: int, steps: list[tuple[str, int]]) -> None:
    a = AtomicInt(value)
    for step, n in steps:
        moves: dict[str, tuple[Callable[[], int], int, bool]] = {
            "i": (a.increment, value + 1, True),
            "-": (a.decrement, value - 1, True),
            "+": (lambda n=n: a.add(n), value + n, True),  # type: ignore[misc]
            "a": (lambda n=n: a.get_and_add(n), value + n, False),  # type: ignore[misc]
            "g": (a.get_and_increment, value + 1, False),
        }
        if step in moves:
            call, after, new = moves[step]
            if LEAST <= after <= MOST:
                assert call() == (after if new else value)
                value = after
            else:
                with pytest.raises(OverflowError, match="does not fit into 64 bits"):
                    call()
        elif step == "x":
            assert a.exchange(n) == value
            value = n
        elif step == "c":
            assert a.compare_and_set(n, 7) == (n == value)
            value = 7 if n == value else value
        else:
            assert a.update(lambda old: ~old) == ~value
            value = ~value
        assert a.get() == int(a) == value


@given(st.floats(), st.lists(st.tuples(st.sampled_from("i-+axc"), st.floats())))
def test_float_against_a_model(value: float, steps: list[tuple[str, float]]) -> None:
    def same(x: float, y: float) -> bool:
        return x == y or (math.isnan(x) and math.isnan(y))

    a = AtomicFloat(value)
    for step, n in steps:
        if step in "i-":
            value += 1 if step == "i" else -1
            assert same(a.increment() if step == "i" else a.decrement(), value)
        elif step == "+":
            value += n
            assert same(a.add(n), value)
        elif step == "a":
            assert same(a.get_and_add(n), value)
            value += n
        elif step == "x":
            assert same(a.exchange(n), value)
            value = n
        else:
            assert a.compare_and_set(n, 0.5) == (n == value)
            value = 0.5 if n == value else value
        assert same(a.get(), value)
        assert same(float(a), value)


def test_float_compares_as_floats_do() -> None:
    a = AtomicFloat(-0.0)
    assert a.compare_and_set(0, 1)
    a.set(math.nan)
    assert not a.compare_and_set(math.nan, 1)
    assert a.update(lambda old: 2) == 2
    assert a.get_and_increment() == 2
    assert repr(a) == "AtomicFloat(3.0)"


def test_flag() -> None:
    flag = AtomicFlag()
    assert (bool(flag), flag.get(), repr(flag)) == (False, False, "AtomicFlag(False)")
    assert flag.test_and_set() is False
    assert flag.test_and_set() is True
    assert flag.exchange([]) is True
    flag.set()
    assert flag.compare_and_set(1, 0) is True
    assert flag.compare_and_set(1, 0) is False
    flag.set(True)
    assert flag
    flag.set(0)
    assert not flag
    flag.set()
    flag.clear()
    assert not flag
    assert AtomicFlag("x").get() is True
    with pytest.raises(TypeError, match="at most 1 argument"):
        flag.set(1, 2)  # type: ignore[call-arg]


def test_ref() -> None:
    one, other = [1], [1]
    ref: AtomicRef[Any] = AtomicRef(one)
    assert ref.get() is one
    assert not ref.compare_and_set(other, 0)  # equal is not enough
    assert ref.compare_and_set(one, other)
    assert ref.exchange(None) is other
    assert ref.update(lambda old: (old, 2)) == (None, 2)
    assert repr(ref) == "AtomicRef((None, 2))"
    ref.set(ref)
    assert repr(ref) == "AtomicRef(AtomicRef(...))"
    ref.set(None)
    assert AtomicRef().get() is None
    assert AtomicRef[int].__origin__ is AtomicRef  # type: ignore[attr-defined]


def test_counter() -> None:
    c = Counter()
    assert (c.value(), int(c), repr(c)) == (0, 0, "<Counter 0>")
    c.increment()
    c.add(-3)
    assert c.value() == -2
    c.add(MOST)
    with pytest.raises(OverflowError, match="does not fit into 64 bits"):
        c.add(3)
    assert c.value() == MOST - 2
    assert sys.getsizeof(c) > sys.getsizeof(AtomicInt())


def test_a_sum_beyond_64_bits() -> None:
    """Each thread's part fits, the sum does not; with a GIL all threads have one cell."""
    c = Counter()
    overflows: list[int] = []

    def add(sign: int) -> None:
        try:
            c.add(sign * 2**62)
            c.add(sign * (2**62 - 1))
        except OverflowError:
            overflows.append(1)

    for sign, turns in ((1, 3), (-1, 5)):
        threads = [threading.Thread(target=add, args=(sign,)) for _ in range(turns)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if not overflows:
        assert c.value() == -2 * MOST
    else:
        assert LEAST <= c.value() <= MOST


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: AtomicInt("1"), TypeError, "'value' must be an int, got '1'"),
        (lambda: AtomicInt(1.0), TypeError, "'value' must be an int, got 1.0"),
        (lambda: AtomicInt(2**63), OverflowError, r"'value' must be an int from -2\*\*63"),
        (lambda: AtomicInt().set(LEAST - 1), OverflowError, f"got {LEAST - 1}"),
        (lambda: AtomicInt().add(None), TypeError, "'n' must be an int, got None"),
        (lambda: AtomicInt().compare_and_set(1), TypeError, r"takes 2 arguments \(1 given\)"),
        (lambda: AtomicInt().compare_and_set("a", 1), TypeError, "'expected' must be an int"),
        (lambda: AtomicInt().update(str), TypeError, "what 'fn' returns must be an int, got '0'"),
        (lambda: AtomicInt().update(3), TypeError, "not callable"),
        (lambda: AtomicFloat("x"), TypeError, "'value' must be a number, got 'x'"),
        (lambda: AtomicFloat().add("x"), TypeError, "'n' must be a number, got 'x'"),
        (lambda: AtomicFloat().update(str), TypeError, "what 'fn' returns must be a number"),
        (lambda: AtomicRef().compare_and_set(1, 2, 3), TypeError, r"2 arguments \(3 given\)"),
        (lambda: Counter().add(0.5), TypeError, "'n' must be an int, got 0.5"),
        (lambda: bool(AtomicInt()), TypeError, "the truth of .*AtomicInt is not .*: call get"),
        (lambda: bool(Counter()), TypeError, "the truth of .*Counter"),
        (lambda: pickle.dumps(AtomicInt()), TypeError, "cannot pickle"),
        (lambda: copy.copy(AtomicRef()), TypeError, "cannot pickle"),
        (lambda: AtomicInt() + 1, TypeError, "unsupported operand"),
        (lambda: AtomicInt() < 1, TypeError, "not supported"),
    ],
)
def test_refused(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("make", [AtomicInt, AtomicFloat, Counter])
def test_no_rebinding(make: Callable[[], Any]) -> None:
    a = b = make()
    with pytest.raises(TypeError, match="would bind the name to another object: call a method"):
        a += 1
    with pytest.raises(TypeError, match="would bind the name"):
        a -= 1
    assert a is b
    assert a == b
    assert a != make()
    assert len({a, b, make()}) == 2


def test_final() -> None:
    for cls in (AtomicInt, AtomicFloat, AtomicFlag, AtomicRef, Counter):
        with pytest.raises(TypeError, match="not an acceptable base type"):
            type("Sub", (cls,), {})


# -- many threads ---------------------------------------------------------------------------------


@pytest.mark.stress
@SHARED
@pytest.mark.usefixtures("quick_switches")
def test_every_change_counts(shared: bool) -> None:
    a, f, c = AtomicInt(shared=shared), AtomicFloat(shared=shared), Counter(shared=shared)
    ref: AtomicRef[tuple[int, ...]] = AtomicRef((0,), shared=shared)
    by_hand = AtomicInt(shared=shared)

    def body() -> list[int]:
        seen = []
        for _ in range(ROUNDS // 4):
            seen.append(a.increment())
            f.add(0.5)
            c.increment()
            ref.update(lambda old: (old[0] + 1,))
            while True:
                old = by_hand.get()
                if by_hand.compare_and_set(old, old + 1):
                    break
        return seen

    seen = run_threads(body, body, body, body)
    total = ROUNDS // 4 * 4
    assert a.get() == by_hand.get() == c.value() == ref.get()[0] == total
    assert f.get() == total / 2
    # Every value came out once, and each thread saw them ascending.
    assert sorted(value for each in seen for value in each) == [*range(1, total + 1)]
    assert all(each == sorted(each) for each in seen)


@pytest.mark.stress
@pytest.mark.usefixtures("quick_switches")
def test_a_flag_has_one_winner() -> None:
    rounds = ROUNDS // 10
    flags = [AtomicFlag() for _ in range(rounds)]

    def body() -> list[bool]:
        return [not flag.test_and_set() for flag in flags]

    for winners in zip(*run_threads(body, body, body, body), strict=True):
        assert sum(winners) == 1


@pytest.mark.stress
@pytest.mark.usefixtures("quick_switches")
def test_a_reference_is_never_to_what_is_gone() -> None:
    """Readers and writers of objects that nobody else holds."""

    class Item:
        def __init__(self, number: int) -> None:
            self.number = number
            self.twice = number * 2

    ref: AtomicRef[Item] = AtomicRef(Item(0))

    def write() -> None:
        for number in range(ROUNDS):
            old = ref.exchange(Item(number))
            assert old.twice == 2 * old.number

    def read() -> None:
        for _ in range(ROUNDS):
            item = ref.get()
            assert item.twice == 2 * item.number

    run_threads(write, read, write, read)


@pytest.mark.stress
def test_a_change_publishes_what_came_before() -> None:
    box: list[int] = []
    ready = AtomicInt()

    def give() -> None:
        for number in range(ROUNDS):
            box.append(number)
            ready.set(number + 1)

    def take() -> None:
        seen = 0
        while seen < ROUNDS:
            now = ready.get()
            assert now >= seen
            seen = now
            assert len(box) >= seen

    run_threads(give, take)


# -- re-entry, collection ---------------------------------------------------------------------------


def test_a_finaliser_that_looks() -> None:
    ref: AtomicRef[Any] = AtomicRef()
    told: list[Any] = []

    class Item:
        def __del__(self) -> None:
            told.append(ref.get())
            ref.set("after")

    ref.set(Item())
    ref.set("before")  # drops the item, whose finaliser comes in here
    assert told == ["before"]
    assert ref.get() == "after"
    ref.set(Item())
    assert ref.compare_and_set(ref.get(), "again")


def test_update_goes_by_what_is_there() -> None:
    """A function that changes the value itself is called again."""
    a = AtomicInt()
    calls: list[int] = []

    def meddle(old: int) -> int:
        calls.append(old)
        if len(calls) < 3:
            a.add(10)
        return old + 1

    assert a.update(meddle) == 21
    assert calls == [0, 10, 20]


def test_cycles_are_collected() -> None:
    class Item:
        ref: Any

    item = Item()
    item.ref = AtomicRef(item)
    gone = weakref.ref(item)
    del item
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(
    FREE_THREADED and sys.version_info < (3, 14),
    reason="a shared object is never freed on 3.13; deferred counting came with 3.14",
)
def test_what_is_shared_is_freed() -> None:
    class Item:
        pass

    item = Item()
    gone = weakref.ref(item)
    ref: AtomicRef[Any] = AtomicRef(item, shared=True)
    del item, ref
    gc.collect()
    assert gone() is None


def test_no_leaks() -> None:
    def work(rounds: int) -> None:
        for _ in range(rounds):
            a = AtomicInt()
            a.increment()
            a.update(lambda old: old + 1000)
            f = AtomicFloat()
            f.add(1.5)
            repr(f)
            AtomicFlag().test_and_set()
            ref = AtomicRef([])
            ref.update(lambda old: [old])
            ref.compare_and_set(ref.get(), a)
            c = Counter()
            c.add(2**62)
            c.value()

    work(200)
    gc.collect()
    before = sys.getallocatedblocks()
    work(2000)
    gc.collect()
    assert sys.getallocatedblocks() - before < 200
