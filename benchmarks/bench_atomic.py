"""The rows of the atomics: what is measured, against whom, and what is asked of concx."""

from __future__ import annotations

from harness.spec import Goal, Row

ROWS = [
    Row(
        "atomic-increment",
        "increment a shared int",
        "atomic-increment",
        (
            "concx.AtomicInt",
            "concx.Counter",
            "int under a Lock",
            "itertools.count",
            "cereggii.AtomicInt64",
        ),
        unit="increments/s",
        variants=("one",),
        goals=(
            Goal("concx.AtomicInt", ("int under a Lock",), 5, 5),
            Goal("concx.AtomicInt", ("cereggii.AtomicInt64",), 1, 1),
        ),
        why="One call into C, instead of two for the lock and the interpreter's own arithmetic.",
    ),
    Row(
        "atomic-two-threads",
        "count in two threads",
        "atomic-threads",
        (
            "concx.Counter/shared, 2 threads",
            "concx.Counter/shared, 1 thread",
            "concx.AtomicInt/shared, 2 threads",
            "int under a Lock, 2 threads",
        ),
        unit="increments/s",
        variants=("split",),
        goals=(
            Goal(
                "concx.Counter/shared, 2 threads",
                ("concx.Counter/shared, 1 thread",),
                free_threaded=1.7,
                scales=1.8,
            ),
        ),
        why="Without a GIL each thread has a cell of its own, and nobody writes the counter's reference count.",
    ),
]
