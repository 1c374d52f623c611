"""ConcurrentDict and ConcurrentSet do what dict and set do, whatever is asked of them in whatever order."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from concx.map import MISSING, ConcurrentDict, ConcurrentSet


class Same:
    """Equal by number, with a hash that many share; C cannot compare it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return self.number % 3

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.number == other.number

    def __repr__(self) -> str:
        return f"Same({self.number})"


KEYS = st.one_of(
    st.integers(-3, 40),
    st.sampled_from([0.0, 1.0, 0.5, "a", "b", b"a", None, True, (1, "a"), (1.0, "a"), (), 2**70]),
    st.builds(Same, st.integers(0, 20)),
)
VALUES = st.integers(0, 3)


class DictMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.m: ConcurrentDict[Any, int] = ConcurrentDict()
        self.d: dict[Any, int] = {}
        self.walks: list[
            tuple[Any, set[Any], list[Any]]
        ] = []  # iterator, what stayed, what it showed

    @rule(key=KEYS, value=VALUES)
    def set(self, key: Any, value: int) -> None:
        self.m[key] = self.d[key] = value

    @rule(keys=st.lists(KEYS, max_size=30), value=VALUES)
    def update(self, keys: list[Any], value: int) -> None:
        self.m.update(dict.fromkeys(keys, value))
        self.d.update(dict.fromkeys(keys, value))

    @rule(key=KEYS)
    def get(self, key: Any) -> None:
        assert self.m.get(key, "none") == self.d.get(key, "none")
        assert (key in self.m) == (key in self.d)

    @rule(key=KEYS)
    def pop(self, key: Any) -> None:
        assert self.m.pop(key, "none") == self.d.pop(key, "none")

    @rule(key=KEYS, value=VALUES)
    def setdefault(self, key: Any, value: int) -> None:
        assert self.m.setdefault(key, value) == self.d.setdefault(key, value)

    @rule(key=KEYS, value=VALUES)
    def compute_if_absent(self, key: Any, value: int) -> None:
        assert self.m.compute_if_absent(key, lambda: value) == self.d.setdefault(key, value)

    @rule(key=KEYS, value=VALUES)
    def add(self, key: Any, value: int) -> None:
        self.d[key] = self.d.get(key, 0) + value
        assert self.m.add(key, value) == self.d[key]

    @rule(
        key=KEYS,
        expected=st.one_of(VALUES, st.just(MISSING)),
        new=st.one_of(VALUES, st.just(MISSING)),
    )
    def compare_and_set(self, key: Any, expected: Any, new: Any) -> None:
        matches = self.d.get(key, MISSING) == expected
        assert self.m.compare_and_set(key, expected, new) == matches
        if matches and new is MISSING:
            self.d.pop(key, None)
        elif matches:
            self.d[key] = new

    @rule()
    def popitem(self) -> None:
        if self.d:
            key, value = self.m.popitem()
            assert self.d.pop(key) == value

    @rule()
    def clear(self) -> None:
        self.m.clear()
        self.d.clear()

    @rule()
    def walk(self) -> None:
        """Begin a walk that goes on while other rules run: what stays is seen once, nothing is twice."""
        self.walks.append((iter(self.m), set(self.d), []))

    @precondition(lambda self: self.walks)
    @rule(data=st.data(), steps=st.integers(1, 20))
    def go_on(self, data: st.DataObject, steps: int) -> None:
        walk = data.draw(st.sampled_from(self.walks))
        iterator, stayed, seen = walk
        for _ in range(steps):
            key = next(iterator, MISSING)
            if key is MISSING:
                assert stayed <= set(seen)
                self.walks.remove(walk)
                break
            assert key not in seen
            seen.append(key)

    @invariant()
    def what_leaves_is_not_waited_for(self) -> None:
        for _, stayed, _ in self.walks:
            stayed.intersection_update(self.d)

    @invariant()
    def same(self) -> None:
        assert len(self.m) == len(self.d)
        assert self.m == self.d
        assert sorted(map(repr, self.m)) == sorted(map(repr, self.d))


class SetMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.m: ConcurrentSet[Any] = ConcurrentSet()
        self.s: set[Any] = set()

    @rule(item=KEYS)
    def add(self, item: Any) -> None:
        assert self.m.add_if_absent(item) == (item not in self.s)
        self.s.add(item)

    @rule(item=KEYS)
    def discard(self, item: Any) -> None:
        self.m.discard(item)
        self.s.discard(item)

    @rule()
    def pop(self) -> None:
        if self.s:
            self.s.remove(self.m.pop())

    @rule(items=st.lists(KEYS), which=st.sampled_from(["__or__", "__and__", "__sub__", "__xor__"]))
    def operate(self, items: list[Any], which: str) -> None:
        expected = getattr(self.s, which)(set(items))
        assert getattr(self.m, which)(set(items)) == expected
        assert getattr(self.m, which)(ConcurrentSet(items)) == expected
        getattr(self.m, which.replace("__", "__i", 1))(set(items))
        self.s = expected

    @rule(items=st.lists(KEYS))
    def compare(self, items: list[Any]) -> None:
        other = set(items)
        assert (self.m <= other, self.m < other) == (self.s <= other, self.s < other)
        assert (self.m >= other, self.m > other) == (self.s >= other, self.s > other)
        assert (self.m == other, self.m.isdisjoint(other)) == (
            self.s == other,
            self.s.isdisjoint(other),
        )

    @invariant()
    def same(self) -> None:
        assert len(self.m) == len(self.s)
        assert self.m == self.s
        assert set(self.m) == self.s


TestDict = DictMachine.TestCase
TestSet = SetMachine.TestCase
TestDict.settings = TestSet.settings = settings(
    max_examples=60, stateful_step_count=50, deadline=None
)
