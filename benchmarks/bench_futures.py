"""The rows of futures and thread pools: what is measured, against whom, and what is asked of concx."""

from __future__ import annotations

from harness.spec import Goal, Row

BOTH = ("concx.ThreadPoolExecutor", "futures.ThreadPoolExecutor")

ROWS = [
    Row(
        "pool-submit",
        "submit, then result: no-ops, 2 workers",
        "pool-submit",
        BOTH,
        unit="tasks/s",
        variants=("split", "same"),
        goals=(Goal(BOTH[0], BOTH[1:], 15, 15),),
        why="A task is one object; the standard pool makes a lock, a condition and two objects in Python.",
    ),
    Row(
        "pool-map",
        "map of a no-op, 2 workers",
        "pool-map",
        BOTH,
        unit="tasks/s",
        variants=("split", "same"),
        goals=(Goal(BOTH[0], BOTH[1:], 15, 15),),
        why="As for submit; what is left is the generator that hands the results out.",
    ),
    Row(
        "pool-round-trip",
        "submit().result(), 1 worker",
        "pool-round-trip",
        BOTH,
        unit="round trips/s",
        variants=("same", "split"),
        params={"workers": 1},
        goals=(Goal(BOTH[0], BOTH[1:], 2, 5, variants=("same",)),),
        why="Two hand-overs between threads; the scheduler's part is the same for everybody.",
    ),
    Row(
        "pool-body",
        "6 us of Python in each task",
        "pool-body",
        (
            "concx.ThreadPoolExecutor/2 workers",
            "concx.ThreadPoolExecutor/1 worker",
            "futures.ThreadPoolExecutor/2 workers",
            "futures.ThreadPoolExecutor/1 worker",
        ),
        unit="tasks/s",
        variants=("split",),
        goals=(
            Goal(
                "concx.ThreadPoolExecutor/2 workers",
                ("concx.ThreadPoolExecutor/1 worker",),
                free_threaded=1.6,
            ),
        ),
        why="Without a GIL two workers run Python at the same time; with one they take turns.",
    ),
    Row(
        "pool-pending",
        "memory of one task that waits, with its future",
        "pool-pending",
        BOTH,
        unit="bytes",
        higher=False,
        params={"fixed": True},
        goals=(Goal(BOTH[0], BOTH[1:], 2, 2),),
        why="One object, where the standard pool has a future with a condition, a lock and lists, and a work item.",
    ),
    Row(
        "pool-gather",
        "results in asyncio, all at once",
        "pool-gather",
        (
            "concx.ThreadPoolExecutor/gather",
            "concx.ThreadPoolExecutor/as_asyncio",
            "concx.ThreadPoolExecutor/gather_async",
            "concx.ThreadPoolExecutor/run_in_executor",
            "futures.ThreadPoolExecutor",
        ),
        unit="tasks/s",
        variants=("split", "same"),
        goals=(
            Goal("concx.ThreadPoolExecutor/gather", BOTH[1:], 2.5, 2.5),
            Goal("concx.ThreadPoolExecutor/gather_async", BOTH[1:], 6, 6),
            Goal("concx.ThreadPoolExecutor/run_in_executor", BOTH[1:], 1, 1),
        ),
        why="Completions wake the loop once, however many there are; run_in_executor wakes it for each.",
    ),
    Row(
        "pool-await",
        "results in asyncio, one by one, 1 worker",
        "pool-await",
        (
            "concx.ThreadPoolExecutor/gather",
            "concx.ThreadPoolExecutor/run_in_executor",
            "futures.ThreadPoolExecutor",
        ),
        unit="round trips/s",
        variants=("same", "split"),
        params={"workers": 1},
        goals=(Goal("concx.ThreadPoolExecutor/gather", BOTH[1:], 1.7, 2.5, variants=("same",)),),
        why="Every task is a wake-up of the worker and one of the loop, through its selector.",
    ),
]
