"""Tags of Cache: what they group, and what becomes of it when entries and threads come and go."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import pytest

from cache_tools import EACH, Log
from concx.cache import Cache
from queue_tools import TSAN, run_threads


def test_tags() -> None:
    log = Log()
    c: Cache[str, int] = Cache(None, on_evict=log)
    assert c.invalidate_tag("u1") == 0
    c.set("a", 1, tags=("u1", "x"))
    c.set("b", 2, tags=["u1", "u1"])
    c.set("d", 3, tags={"x"})
    c["e"] = 4
    assert c.invalidate_tag("u1") == 2
    assert set(c) == {"d", "e"}
    assert [(k, cause) for k, _, cause in sorted(log)] == [("a", "explicit"), ("b", "explicit")]
    c["d"] = 5  # a new value, without tags
    assert c.invalidate_tag("x") == 0
    assert c["d"] == 5
    c.set("d", 6, tags=["x"])
    c.clear()
    c["d"] = 7
    assert c.invalidate_tag("x") == 0
    for wrong, match in (("abc", "not a str: 'abc'"), ([1], "got 1"), (5, "not iterable")):
        with pytest.raises(TypeError, match=match):
            c.set("z", 1, tags=wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got 5"):
        c.invalidate_tag(5)  # type: ignore[arg-type]
    assert "z" not in c


@EACH
def test_tags_against_a_model(policy: Any, rng: Any) -> None:
    c: Cache[int, int] = Cache(60, policy=policy)
    tags: dict[int, set[str]] = {}
    for i in range(4000):
        key, names = rng.randrange(150), {f"t{rng.randrange(12)}" for _ in range(rng.randrange(4))}
        if rng.random() < 0.6:
            c.set(key, i, tags=names)
            tags[key] = names
        elif rng.random() < 0.5:
            c.pop(key, None)
        else:
            name = f"t{rng.randrange(12)}"
            expected = {k for k in c if name in tags[k]}
            assert c.invalidate_tag(name) == len(expected)
            assert not expected & set(c)


def test_names_of_tags_do_not_pile_up() -> None:
    c: Cache[int, int] = Cache(10)
    for i in range(20_000):
        c.set(i, i, tags=[f"only once {i}"])
    assert sys.getsizeof(c) < 10_000
    name = "".join(["a ", "name"])
    before = sys.getrefcount(name)
    c.set(1, 1, tags=[name])
    assert sys.getrefcount(name) == before + 1
    c.clear()
    c.set(1, 1, tags=["other"])
    assert sys.getrefcount(name) == before


def test_tags_by_threads() -> None:
    c: Cache[int, int] = Cache(50)

    def work(n: int) -> None:
        for i in range(300 if TSAN else 3_000):
            c.set((i * 3 + n) % 80, i, tags=[f"t{i % 7}", f"n{n}"])
            if i % 5 == 0:
                c.invalidate_tag(f"t{i % 7}")
            if i % 500 == 0:
                c.clear()

    run_threads(*(partial(work, n) for n in range(4)))
    assert sum(c.invalidate_tag(f"t{i}") for i in range(7)) + len(c) >= 0 == len(c)
