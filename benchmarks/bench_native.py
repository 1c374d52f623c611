"""The rows of `concx.native`: what is measured, against what, and what is asked of concx."""

from __future__ import annotations

from harness.spec import Goal, Row

ROWS = [
    Row(
        "native-range",
        "a C function over a range",
        "native-range",
        ("concx.native.parallel_for", "one call", "two calls in two threads"),
        unit="indices/s",
        variants=("split",),
        goals=(Goal("concx.native.parallel_for", ("one call",), 1.8, 1.8),),
        why="The caller and a worker take pieces without the interpreter; two plain threads show what the machine gives.",
    ),
]
