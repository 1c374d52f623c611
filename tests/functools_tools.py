"""What the tests of functools share: a function that records its calls, and a key that does things."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from concx.functools import lru_cache

BOTH = pytest.mark.parametrize("lru", [functools.lru_cache, lru_cache], ids=["stdlib", "concx"])


class Recorder:
    """A function to be cached, which says with what it was called and never returns the same."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((args, tuple(kwargs.items())))
        return len(self.calls)


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
