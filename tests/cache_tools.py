"""What the cache tests share: policies, a clock, a listener, keys that misbehave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

POLICIES = ["s3fifo", "lru", "tinylfu", "sieve", "lfu", "fifo"]
EACH = pytest.mark.parametrize("policy", POLICIES)


class Clock:
    """A timer that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Log(list[tuple[Any, Any, str]]):
    """An on_evict that remembers."""

    def __call__(self, key: Any, value: Any, cause: str) -> None:
        self.append((key, value, cause))


class Key:
    """Equal hashes; what __eq__ does besides is a test's."""

    act: Callable[[], object] = staticmethod(lambda: None)

    def __init__(self, name: Any) -> None:
        self.name = name

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        type(self).act()
        return isinstance(other, Key) and self.name == other.name
