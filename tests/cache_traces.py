"""Request traces of a known character, made from a seed: what a cache of 500 entries is asked for."""

from __future__ import annotations

import itertools
import random
from bisect import bisect
from collections.abc import Callable, Iterator


def zipf(n: int, seed: int, keys: int = 20_000, exponent: float = 0.9) -> Iterator[int]:
    """Key k with a frequency of 1 / k ** exponent."""
    rng = random.Random(seed)
    weights = list(itertools.accumulate(1 / k**exponent for k in range(1, keys + 1)))
    for _ in range(n):
        yield bisect(weights, rng.random() * weights[-1])


def soon(n: int, seed: int) -> Iterator[int]:
    """Each key three times within a few dozen requests, then never again."""
    rng = random.Random(seed)
    due: list[tuple[int, int]] = []
    fresh = itertools.count()
    for now in range(n):
        due.sort()
        if due and due[0][0] <= now:
            yield due.pop(0)[1]
        else:
            key = next(fresh)
            due += [(now + rng.randrange(5, 25), key), (now + rng.randrange(30, 50), key)]
            yield key


def loop(n: int, seed: int) -> Iterator[int]:
    """Twice as many keys as fit, round and round."""
    return ((i + seed) % 1000 for i in range(n))


def scans(n: int, seed: int) -> Iterator[int]:
    """A skewed load, a third of which is scans of keys that come once."""
    rng = random.Random(seed)
    hot = zipf(n, seed, keys=2_000)
    once = itertools.count(10**6)
    while True:
        for _ in range(200):
            yield from itertools.islice(hot, 2)
            if (n := n - 2) <= 0:
                return
        for _ in range(rng.randrange(150, 250)):
            yield next(once)
            if (n := n - 1) <= 0:
                return


def shift(n: int, seed: int) -> Iterator[int]:
    """A skewed load whose keys are others after each quarter."""
    for quarter in range(4):
        for key in zipf(n // 4, seed + quarter, keys=5_000):
            yield key + 10**6 * quarter


GENERATORS: dict[str, Callable[[int, int], Iterator[int]]] = {
    "zipf": zipf,
    "soon": soon,
    "loop": loop,
    "scans": scans,
    "shift": shift,
}
