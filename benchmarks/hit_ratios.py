"""The hit ratios of every policy on traces: ``python benchmarks/hit_ratios.py FOLDER [NAME@SIZE…]``.

A trace is a file NAME.txt.gz or NAME.txt in the folder, one key a line in the order of the requests. Without names
those of docs/explanation/caching.md are taken that are there. The table is Markdown.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Sequence
from pathlib import Path

from concx.cache import Cache

POLICIES = ("s3fifo", "sieve", "tinylfu", "lru", "lfu", "fifo")
POINTS = (
    "web07@128",
    "web12@1000",
    "scarab@1000",
    "scarab@25000",
    "oltp@1000",
    "oltp@5000",
    "corda@1000",
    "multi3@1000",
    "sprite@128",
    "gli@1024",
)
LOOPS = ("multi3", "gli")
"""Mixtures of loops, left out of the second mean."""


def read(folder: Path, name: str) -> list[int] | None:
    """The keys of a trace; None if it is not there."""
    packed, plain = folder / f"{name}.txt.gz", folder / f"{name}.txt"
    if packed.exists():
        return [int(line) for line in gzip.decompress(packed.read_bytes()).split()]
    return [int(line) for line in plain.read_bytes().split()] if plain.exists() else None


def hit_ratio(policy: str, size: int, keys: Sequence[int]) -> float:
    """Hits of a hundred requests, each a get and, after a miss, a set."""
    cache: Cache[int, int] = Cache(size, policy=policy)  # type: ignore[arg-type]
    get = cache.get
    for key in keys:
        if get(key) is None:
            cache[key] = key
    return 100 * cache.stats().hit_ratio


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 if no trace was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("points", nargs="*", default=POINTS, metavar="NAME@SIZE")
    arguments = parser.parse_args(argv)
    rows: dict[str, list[float]] = {}
    print("| trace@size |", " | ".join(POLICIES), "|")
    print("|---" * (len(POLICIES) + 1) + "|")
    for point in arguments.points:
        name, _, size = point.partition("@")
        keys = read(arguments.folder, name)
        if keys is None:
            print(f"{name} is not in {arguments.folder}", file=sys.stderr)
            continue
        rows[point] = [hit_ratio(policy, int(size), keys) for policy in POLICIES]
        print(f"| {point} |", " | ".join(f"{ratio:.1f}" for ratio in rows[point]), "|", flush=True)
    for title, names in (
        ("mean", list(rows)),
        ("mean without loops", [p for p in rows if not p.startswith(LOOPS)]),
    ):
        if names:
            means = [sum(rows[p][i] for p in names) / len(names) for i in range(len(POLICIES))]
            print(f"| {title} |", " | ".join(f"{mean:.1f}" for mean in means), "|")
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
