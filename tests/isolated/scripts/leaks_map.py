"""As leaks.py, for ConcurrentDict and ConcurrentSet.

python leaks_map.py OPERATIONS
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from leaks import TOKEN, fails, report

from concx.map import MISSING, ConcurrentDict, ConcurrentSet


class Vague:
    """A key that only Python can compare."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return self.number % 3

    def __eq__(self, other: object) -> bool:
        if self.number == -1:
            raise ZeroDivisionError
        return isinstance(other, Vague) and self.number == other.number


def steps(make: Callable[[int], Any], rounds: int) -> None:
    """Every step, with and without a value."""
    m: ConcurrentDict[Any, Any] = ConcurrentDict()
    for number in range(rounds // 20 + 1):
        key = make(number % 50)
        m[key] = TOKEN
        m[key] = (TOKEN,)
        m.get(make(99))
        m.setdefault(key, TOKEN)
        m.pop(key)
        m.setdefault(key, TOKEN)
        m.compare_and_set(key, TOKEN, (1, "an item that everybody shares"))
        m.compare_and_set(key, MISSING, 1)
        m.compute(key, lambda old: MISSING)
        m.compute_if_absent(key, lambda: TOKEN)
        fails(ZeroDivisionError, lambda: m.compute_if_absent(make(98), lambda: 1 / 0))
        fails(
            RuntimeError,
            lambda: m.compute_if_absent(make(98), lambda: m.compute_if_absent(make(98), int)),
        )
        m.merge(key, TOKEN, lambda old, new: old + new)
        m.popitem()
        m.pop(key, None)
        m.add(key, number + 10**6)
        m.add(key, 2**70)
        fails(TypeError, lambda: m.add(key, "x"))  # noqa: B023
        m.get_many([key, make(97)])
        fails(KeyError, lambda: m[make(96)])
        fails(TypeError, lambda: m.get_many([key, []]))  # noqa: B023
        m.update({key: TOKEN})
        if number % 20 == 0:
            m.clear()


def whole(rounds: int) -> None:
    """Maps that are walked, copied, compared, grow and shrink, and die with what is in them."""
    for number in range(rounds // 500 + 1):
        m: ConcurrentDict[Any, Any] = ConcurrentDict({(i, "key"): TOKEN for i in range(100)})
        list(m.items())
        next(iter(m.values()))
        assert m == m.copy()
        assert m | {1: TOKEN} != {}
        repr(m)
        fails(TypeError, lambda: ConcurrentDict([1]))
        fails(ValueError, lambda: ConcurrentDict([(TOKEN, 2, 3)]))
        for i in range(100):
            m.pop((i, "key"))
        m["itself"] = m if number % 2 else TOKEN
        s = ConcurrentSet([TOKEN, "b"])
        s.add(TOKEN)
        assert s | {1}
        assert s & {TOKEN}
        s.pop()
        fails(KeyError, partial(s.remove, "c"))


def comparison(rounds: int) -> None:
    for _ in range(rounds // 50 + 1):
        m: ConcurrentDict[Any, Any] = ConcurrentDict({Vague(-1): TOKEN})
        fails(ZeroDivisionError, partial(m.__getitem__, Vague(2)))
        fails(ZeroDivisionError, partial(m.update, {Vague(2): TOKEN}))
        many = ConcurrentDict({Vague(i): TOKEN for i in range(30)})
        assert all(many[Vague(i)] is TOKEN for i in range(30))


def main(operations: int) -> int:
    cases: dict[str, Callable[[int], None]] = {
        "text": partial(steps, str),
        "numbers": partial(steps, int),
        "vague": partial(steps, Vague),
        "whole": whole,
        "comparison": comparison,
    }
    return report(cases, operations)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
