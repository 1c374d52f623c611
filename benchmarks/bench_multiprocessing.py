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
    Row(
        "mp-async",
        "messages from another process to a task",
        "mp-stream",
        ("concx.mp.Queue/async", "multiprocessing.Queue/run_in_executor"),
        unit="messages/s",
        variants=("split",),
        goals=(Goal("concx.mp.Queue/async", ("multiprocessing.Queue/run_in_executor",), 3, 3),),
        why="No thread waits for the queue; a message that is there is taken in the task's own step.",
    ),
    *(
        Row(
            f"mp-array-{name}",
            f"a NumPy array of {text} to another process and back",
            "mp-echo",
            ("concx.payload", "multiprocessing.Pipe"),
            unit="echoes/s",
            variants=("split",),
            params={"bytes": size},
            goals=(Goal("concx.payload", ("multiprocessing.Pipe",), goal, goal),) if goal else (),
            why="One copy each way, into warm memory that both processes map.",
        )
        for name, text, size, goal in (
            ("64m", "64 MB", 64 << 20, 15),
            ("64k", "64 KB", 64 << 10, 0),
        )
    ),
    *(pairs(kind) for kind in LOCKS),
    *(pairs(kind, "/with") for kind in LOCKS),
    pairs("Event"),
]
