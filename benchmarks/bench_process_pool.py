"""The rows of pools of processes: what is measured, against whom, and what is asked of concx."""

from __future__ import annotations

from harness.spec import Goal, Row

OURS = "concx.ProcessPoolExecutor"
STANDARD = "futures.ProcessPoolExecutor"
POOL = "multiprocessing.Pool"
OUR_POOL = "concx.multiprocessing.Pool"
LOKY = "loky"
SHARED = "concx.ProcessPoolExecutor/shared_empty"

ROWS = [
    Row(
        "process-tasks",
        "pool of processes, tasks that do nothing",
        "process-tasks",
        (OURS, OUR_POOL, STANDARD, POOL, LOKY),
        unit="tasks/s",
        goals=(
            Goal(OURS, (STANDARD,), 10, 10),
            Goal(OURS, (POOL,), 4, 4),
            Goal(OUR_POOL, (POOL,), 4, 4),
            Goal(OURS, (LOKY,), 15, 15),
        ),
        why="A task is a slot in memory that both processes see; submit fills it, and nobody is woken who is awake.",
    ),
    Row(
        "process-round-trip",
        "pool of processes, one task after another",
        "process-round-trips",
        (OURS, STANDARD, POOL, LOKY),
        unit="tasks/s",
        goals=(Goal(OURS, (STANDARD,), 6, 6),),
        why="One futex wakes the worker, one event descriptor the thread that settles the future.",
    ),
    Row(
        "process-64k",
        "pool of processes, an argument of 64 KB",
        "process-arguments",
        (OURS, STANDARD, POOL, LOKY),
        unit="tasks/s",
        goals=(Goal(OURS, (STANDARD,), 5, 5),),
        why="The pickle is copied into shared pages that stay warm, and read there.",
    ),
    Row(
        "process-recovery",
        "pool of processes, from a death to the next result",
        "process-recovery",
        (f"{OURS}, warm spare", f"{OURS}, start of a worker"),
        unit="recoveries/s",
        goals=(Goal(f"{OURS}, warm spare", (f"{OURS}, start of a worker",), 5, 5),),
        why="The kernel tells of the death at once, and the process that takes the place has started already.",
    ),
    Row(
        "process-recycling",
        "pool of processes, a new worker after 25 tasks against none, imports of 300 ms",
        "process-recycling",
        (f"{OURS}, 25 tasks per worker", f"{OURS}, spawned"),
        unit="tasks/s",
        goals=(Goal(f"{OURS}, 25 tasks per worker", (f"{OURS}, spawned",), 1 / 1.5, 1 / 1.5),),
        why="The successor imports while the worker still works.",
    ),
    Row(
        "process-array-64m",
        "pool of processes, a NumPy argument of 64 MB",
        "process-arrays",
        (OURS, STANDARD, POOL, LOKY),
        unit="tasks/s",
        goals=(Goal(OURS, (STANDARD,), 15, 15),),
        why="One copy into memory that both processes see and whose pages are warm.",
    ),
    Row(
        "process-echo-64m",
        "pool of processes, a NumPy argument of 64 MB that comes back",
        "process-echoes",
        (OURS, STANDARD, POOL, LOKY),
        unit="tasks/s",
        goals=(Goal(OURS, (STANDARD,), 15, 15),),
        why="One copy on either way.",
    ),
    Row(
        "process-shared",
        "pool of processes, an argument of 64 MB in shared_empty, against no argument",
        "process-shared",
        (SHARED, OURS),
        unit="tasks/s",
        goals=(Goal(SHARED, (OURS,), 0.5, 0.5),),
        why="Its place crosses; its segment did once.",
    ),
]
