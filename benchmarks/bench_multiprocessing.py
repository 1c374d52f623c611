"""The rows of what processes share: what is measured, against whom, and what is asked of concx."""

from __future__ import annotations

from harness.spec import Goal, Row

LOCKS = ("Lock", "RLock", "Semaphore")


def pairs(kind: str, style: str = "") -> Row:
    ours, theirs = f"concx.mp.{kind}{style}", f"multiprocessing.{kind}{style}"
    return Row(
        f"mp-{kind.lower()}{style.replace('/', '-')}",
        f"multiprocessing.{kind}" + (", with statement" if style else ", pairs"),
        "mp-pairs",
        (ours, theirs),
        unit="pairs/s",
        goals=(Goal(ours, (theirs,), 3, 3),),
        why="One atomic step in C for each half; what is left is the cost of two calls.",
    )


ROWS = [
    Row(
        "mp-queue",
        "queue between processes, small tuples",
        "mp-stream",
        ("concx.mp.Queue", "multiprocessing.Queue", "multiprocessing.SimpleQueue", "faster_fifo"),
        unit="messages/s",
        variants=("split",),
        goals=(
            Goal("concx.mp.Queue", ("multiprocessing.Queue",), 3, 3),
            Goal("concx.mp.Queue", ("faster_fifo",), 2, 2),
        ),
        why="A message is written into shared memory; no thread feeds a pipe, and no system call is made unless "
        "somebody sleeps.",
    ),
    Row(
        "mp-bytes",
        "raw bytes between processes",
        "mp-stream",
        ("concx.mp.Queue/bytes", "concx.mp.Queue/get_many", "multiprocessing.Pipe/bytes"),
        unit="messages/s",
        variants=("split",),
        goals=(
            Goal("concx.mp.Queue/bytes", ("multiprocessing.Pipe/bytes",), 4, 4),
            Goal("concx.mp.Queue/get_many", ("multiprocessing.Pipe/bytes",), 8, 8),
        ),
        why="Two copies and no system call; get_many takes a batch under one lock.",
    ),
    *(pairs(kind) for kind in LOCKS),
    *(pairs(kind, "/with") for kind in LOCKS),
    pairs("Event"),
]
