"""The rows of the queues: what is measured, against whom, and what is asked of concx."""

from __future__ import annotations

from typing import Any

from harness.spec import Goal, Row

PINNED = ("split", "same")
RINGS = ("concx.RingQueue", "concx.SpscQueue")
OURS = ("concx.Queue", "concx.SimpleQueue")
STANDARD = ("queue.Queue", "queue.SimpleQueue")
BRIDGES = ("janus", "culsans")
GIL_WHY = (
    "On a GIL build a stream is bound by the cost of one put and one get; hand-overs are rare."
)


def stream(name: str, title: str, *contenders: str, why: str, **more: Any) -> Row:
    """Producers and consumers in threads of their own, pinned in both ways unless said otherwise."""
    return Row(name, title, "stream", contenders, why=why, **{"variants": PINNED, **more})


def in_one_loop(name: str, bound: str, *contenders: str, why: str, maxsize: int = 0) -> Row:
    """Two tasks; asyncio's own queue is the one to beat."""
    return Row(
        name,
        f"asyncio to asyncio in one loop, {bound}",
        "loop-to-loop",
        ("concx.Queue", "asyncio.Queue", *contenders),
        params={"maxsize": maxsize} if maxsize else {},
        goals=(Goal("concx.Queue", ("asyncio.Queue",), 1, 1),),
        why=why,
    )


def across(name: str, title: str, workload: str, why: str, *goals: Goal) -> Row:
    """Between a thread and a task."""
    return Row(
        name,
        f"{title}, maxsize 100",
        workload,
        ("concx.Queue", "concx.RingQueue", *BRIDGES),
        variants=PINNED,
        params={"maxsize": 100},
        goals=goals,
        why=why,
    )


def crowd(pairs: int, why: str) -> Row:
    return stream(
        f"mpmc{pairs}",
        f"{pairs} producers, {pairs} consumers, maxsize 1000 (SimpleQueue has no bound)",
        "concx.Queue",
        "concx.RingQueue",
        *STANDARD,
        variants=("split",),
        params={"maxsize": 1000, "pairs": pairs},
        why=why,
    )


ROWS = [
    Row(
        "seq",
        "put + get, one thread",
        "seq",
        (*OURS, *RINGS, *STANDARD, "collections.deque"),
        unit="pairs/s",
        goals=(
            Goal("concx.Queue", ("queue.Queue",), 20, 15, {"3.14": 12, "3.15": 12}),
            Goal("concx.Queue", ("queue.SimpleQueue",), 1.3, 1.05, {"3.15": 1.1}),
        ),
        why="queue.Queue takes a lock and notifies a condition in Python; here one C call does the whole operation.",
    ),
    stream(
        "spsc1000",
        "Queue(1000), one producer, one consumer",
        "concx.Queue",
        *RINGS,
        "queue.Queue",
        params={"maxsize": 1000},
        goals=(Goal("concx.Queue", ("queue.Queue",), 10, 10),),
        why="No bounded queue in the standard library is written in C; a full queue hands the slot to one putter.",
    ),
    stream(
        "stream",
        "unbounded stream, one producer, one consumer",
        *OURS,
        *STANDARD,
        goals=(Goal("concx.Queue", ("queue.SimpleQueue",), 1.1, 0.9),),
        why=GIL_WHY,
    ),
    Row(
        "batch64",
        "put_many / get_many of 64, per item",
        "batch",
        ("concx.Queue", *RINGS, "queue.SimpleQueue", "queue.Queue"),
        variants=PINNED,
        params={"items": "kept"},
        goals=(Goal("concx.Queue", ("queue.SimpleQueue",), 2, 5),),
        why="One call, one lock and one wake-up serve 64 items; the standard queues move them one by one.",
    ),
    Row(
        "batch64-fresh",
        "the same, every int made and freed on the way",
        "batch",
        ("concx.Queue", *RINGS, "queue.SimpleQueue"),
        variants=PINNED,
        params={"items": "fresh"},
        why="Making an int and freeing it in another thread costs more than the queue does.",
    ),
    Row(
        "pingpong",
        "ping-pong through two queues",
        "pingpong",
        (*OURS, *RINGS, *STANDARD),
        unit="round trips/s",
        variants=("same", "split"),
        goals=(Goal("concx.Queue", ("queue.Queue",), 1.7, 10, variants=("same",)),),
        why="Each hand-over is one scheduler wake-up; across CPUs that wake-up costs more than everything else.",
    ),
    across(
        "thread-asyncio100",
        "thread to asyncio",
        "thread-to-loop",
        "Any number of completions cost one call_soon_threadsafe per loop iteration.",
        Goal("concx.Queue", BRIDGES, 4, 4),
    ),
    in_one_loop(
        "asyncio0",
        "unbounded",
        why="The awaitable is a C object that completes without the loop when an item is there.",
    ),
    in_one_loop(
        "asyncio1",
        "maxsize 1",
        maxsize=1,
        why="Every item is a wait for the loop; what differs is how many callbacks a hand-over needs.",
    ),
    in_one_loop(
        "asyncio100",
        "maxsize 100",
        *BRIDGES,
        maxsize=100,
        why="One wait per hundred items, the rest completes without the loop.",
    ),
    Row(
        "idle",
        "100 blocked getters, 50 items a second: p99 of the wake-up",
        "idle",
        (*OURS, *STANDARD),
        unit="µs",
        higher=False,
        variants=("split",),
        params={"getters": 100, "fixed": True},
        goals=(Goal("concx.Queue", ("queue.Queue",), 1, 1, limits={"idle_cpu_percent": 0.1}),),
        why="A sleeper is on a futex and costs nothing; the wake-up itself is the kernel's.",
    ),
    stream(
        "spsc1",
        "Queue(1), one producer, one consumer in lock-step",
        "concx.Queue",
        *RINGS,
        "queue.Queue",
        params={"maxsize": 1},
        why="Every item is a hand-over, as in ping-pong.",
    ),
    crowd(2, GIL_WHY),
    crowd(4, "More threads than CPUs: what is woken too early or too often shows here."),
    Row(
        "lifo",
        "LifoQueue, put + get, one thread",
        "seq",
        ("concx.LifoQueue", "queue.LifoQueue"),
        unit="pairs/s",
        params={"order": "lifo"},
        why="The same engine with the other end.",
    ),
    Row(
        "priority",
        "PriorityQueue of 1000 (int, object) pairs: put + get",
        "priority",
        ("concx.PriorityQueue", "queue.PriorityQueue"),
        unit="pairs/s",
        params={"depth": 1000},
        why="heapq is C already and both compare as often; what differs is the lock and the conditions around it.",
    ),
    across(
        "asyncio-thread100",
        "asyncio to thread",
        "loop-to-thread",
        "A full queue grants slots to the task through the loop's port, many per iteration.",
    ),
    Row(
        "memory-object",
        "memory of one empty queue",
        "per-object",
        (*OURS, *RINGS, *STANDARD, "asyncio.Queue"),
        unit="bytes",
        higher=False,
        params={"fixed": True},
        why="queue.Queue is a Python object with a lock, three conditions and a deque; the rings hold 1024 cells each.",
    ),
    Row(
        "memory-item",
        "memory of one queued item, without the item",
        "per-item",
        (*OURS, *STANDARD),
        unit="bytes",
        higher=False,
        params={"fixed": True},
        why="A queue that grows by doubling holds up to two words per item; a list of blocks holds little more than one.",
    ),
]
