"""The checker of histories, on histories made by hand, and on random ones against brute force."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from property.linearize import EMPTY, FULL, Op, QueueModel, check, linearize


def op(name: str, argument: Any, result: Any, invoke: int, response: int, **more: Any) -> Op:
    return Op(name, argument, result, invoke, response, **more)


GOOD = {
    "one after the other": (
        "fifo",
        0,
        [
            op("put", 1, None, 0, 1),
            op("put", 2, None, 2, 3),
            op("get", None, 1, 4, 5),
            op("get", None, 2, 6, 7),
        ],
    ),
    "concurrent puts, either order": (
        "fifo",
        0,
        [
            op("put", 1, None, 0, 9),
            op("put", 2, None, 0, 9),
            op("get", None, 2, 10, 11),
            op("get", None, 1, 12, 13),
        ],
    ),
    "a get that overlaps the put": (
        "fifo",
        0,
        [op("get", None, 1, 0, 9), op("put", 1, None, 5, 6)],
    ),
    "empty before the put returns": (
        "fifo",
        0,
        [op("put", 1, None, 0, 9), op("get", None, EMPTY, 1, 2)],
    ),
    "full, then room": (
        "fifo",
        1,
        [
            op("put", 1, None, 0, 1),
            op("put", 2, FULL, 2, 3),
            op("get", None, 1, 2, 9),
            op("put", 3, None, 4, 5),
        ],
    ),
    "lifo": (
        "lifo",
        0,
        [
            op("put", 1, None, 0, 1),
            op("put", 2, None, 2, 3),
            op("get", None, 2, 4, 5),
            op("get", None, 1, 6, 7),
        ],
    ),
    "priority": (
        "priority",
        0,
        [
            op("put", 2, None, 0, 1),
            op("put", 1, None, 2, 3),
            op("get", None, 1, 4, 5),
            op("get", None, 2, 6, 7),
        ],
    ),
    "a slot that is reserved and filled later": (
        "fifo",
        1,
        [
            op("reserve", None, None, 0, 9, key=0),
            op("put", 5, FULL, 2, 3),
            op("get", None, EMPTY, 4, 5),
            op("fill", 1, None, 0, 9, after=0),
            op("get", None, 1, 6, 8),
        ],
    ),
    "a cancelled get that was granted": (
        "fifo",
        0,
        [
            op("put", 1, None, 0, 1),
            op("may take", None, None, 2, 9, key=0),
            op("get", None, EMPTY, 3, 4),
            op("give back", "item", None, 2, 9, after=0),
            op("get", None, 1, 10, 11),
        ],
    ),
    "sizes": (
        "fifo",
        0,
        [
            op("put", 1, None, 0, 1),
            op("qsize", None, 1, 2, 3),
            op("peek", None, 1, 2, 3),
            op("clear", None, 1, 4, 5),
            op("peek", None, EMPTY, 6, 7),
            op("qsize", None, 0, 6, 7),
        ],
    ),
}

BAD = {
    "an item from nowhere": ("fifo", 0, [op("get", None, 1, 0, 1)]),
    "an item twice": ("fifo", 0, [
        op("put", 1, None, 0, 1), op("get", None, 1, 2, 3), op("get", None, 1, 2, 3),
    ]),
    "an item lost": ("fifo", 0, [op("put", 1, None, 0, 1), op("get", None, EMPTY, 2, 3)]),
    "out of order": ("fifo", 0, [
        op("put", 1, None, 0, 1), op("put", 2, None, 2, 3), op("get", None, 2, 4, 5), op("get", None, 1, 6, 7),
    ]),
    "fifo order from a lifo": ("lifo", 0, [
        op("put", 1, None, 0, 1), op("put", 2, None, 2, 3), op("get", None, 1, 4, 5),
    ]),
    "not the smallest": ("priority", 0, [
        op("put", 2, None, 0, 1), op("put", 1, None, 2, 3), op("get", None, 2, 4, 5),
    ]),
    "more than maxsize": ("fifo", 1, [op("put", 1, None, 0, 1), op("put", 2, None, 2, 3)]),
    "full with room": ("fifo", 2, [op("put", 1, None, 0, 1), op("put", 2, FULL, 2, 3)]),
    "got before it was put": ("fifo", 0, [op("get", None, 1, 0, 1), op("put", 1, None, 2, 3)]),
    "two orders of the same puts": ("fifo", 0, [
        op("put", 1, None, 0, 9), op("put", 2, None, 0, 9), op("peek", None, 1, 10, 11),
        op("peek", None, 2, 12, 13), op("get", None, 1, 14, 15),
    ]),
    "given back to the wrong end": ("fifo", 0, [
        op("put", 1, None, 0, 1), op("put", 2, None, 2, 3), op("may take", None, None, 4, 9, key=0),
        op("give back", "item", None, 4, 9, after=0), op("get", None, 2, 10, 11), op("get", None, 1, 12, 13),
    ]),
    "filled and still reserved": ("fifo", 1, [
        op("reserve", None, None, 0, 3, key=0), op("fill", 1, None, 0, 3, after=0), op("put", 2, None, 4, 5),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("case", GOOD)
def test_good(case: str) -> None:
    kind, maxsize, history = GOOD[case]
    order = linearize(history, QueueModel(maxsize, kind))
    assert order is not None
    assert sorted(map(str, order)) == sorted(map(str, history))
    check(history, QueueModel(maxsize, kind))


@pytest.mark.parametrize("case", BAD)
def test_bad(case: str) -> None:
    kind, maxsize, history = BAD[case]
    assert linearize(history, QueueModel(maxsize, kind)) is None
    with pytest.raises(AssertionError, match="no order of these calls"):
        check(history, QueueModel(maxsize, kind))


def brute_force(history: list[Op], model: QueueModel) -> bool:
    for order in itertools.permutations(history):
        if any(b.response < a.invoke for i, a in enumerate(order) for b in order[i + 1 :]):
            continue
        states = {model.initial()}
        for each in order:
            states = {after for state in states for after in model.step(state, each)}
        if states:
            return True
    return False


@pytest.mark.parametrize("kind", ["fifo", "lifo", "priority"])
def test_against_brute_force(kind: str, rng: random.Random) -> None:
    verdicts = []
    for _ in range(150):
        history = []
        for _ in range(rng.randint(2, 5)):
            invoke = rng.randrange(8)
            response = invoke + rng.randrange(4)
            name = rng.choice(["put", "get", "get", "qsize"])
            argument, result = {
                "put": (rng.randrange(3), rng.choice([None, None, FULL])),
                "get": (None, rng.choice([0, 1, 2, EMPTY])),
                "qsize": (None, rng.randrange(2)),
            }[name]
            history.append(op(name, argument, result, invoke, response))
        model = QueueModel(2, kind)
        verdict = linearize(history, model) is not None
        assert verdict == brute_force(history, model)
        verdicts.append(verdict)
    assert any(verdicts)
    assert not all(verdicts)
