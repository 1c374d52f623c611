"""The rows of the maps: what is measured, against whom, and what is asked of concx."""

from __future__ import annotations

from harness.spec import Goal, Row

OURS, SHARED = "concx.ConcurrentDict", "concx.ConcurrentDict/shared"

ROWS = [
    Row(
        "map-read",
        "m[k], 1,000 str keys",
        "map-read",
        (OURS, "dict", "cereggii.AtomicDict"),
        unit="reads/s",
        goals=(Goal(OURS, ("dict",), 0.75, 1.0),),
        why="With a GIL a dict's look-up is inlined into the interpreter, and wins; without one it has to take "
        "more care than a section.",
    ),
    Row(
        "map-read-million",
        "m[k], a million str keys",
        "map-read-million",
        (OURS, "dict"),
        unit="reads/s",
        goals=(Goal(OURS, ("dict",), 0.6, 0.6),),
        why="Both wait for memory: a bucket, an entry, a key.",
    ),
    Row(
        "map-read-threads",
        "m[k] in two threads, keys of their own",
        "map-read",
        (f"{OURS}, 2 threads", f"{SHARED}, 2 threads", "dict, 2 threads"),
        unit="reads/s",
        variants=("split",),
        goals=(
            Goal(f"{OURS}, 2 threads", ("dict, 2 threads",), free_threaded=1.0, scales=1.8),
            Goal(f"{SHARED}, 2 threads", ("dict, 2 threads",), free_threaded=4.0, scales=1.8),
        ),
        why="Without a GIL two threads meet at the container's reference count; `shared=True` removes it.",
    ),
    Row(
        "map-mixed",
        "90 % reads, 10 % writes in two threads",
        "map-mixed",
        (f"{SHARED}, 2 threads", "dict under a Lock, 2 threads"),
        unit="steps/s",
        variants=("split",),
        goals=(Goal(f"{SHARED}, 2 threads", ("dict under a Lock, 2 threads",), 3, 6, scales=1.8),),
        why="Readers take no lock, writers one of many.",
    ),
    Row(
        "map-count",
        "add on 64 counters",
        "map-count",
        (OURS, "dict under a Lock"),
        unit="steps/s",
        goals=(Goal(OURS, ("dict under a Lock",), 5, 5),),
        why="One call into C instead of two for the lock and a read and a write by the interpreter; without a GIL "
        "a call of any method is most of it.",
    ),
    Row(
        "map-count-threads",
        "add on 64 counters in two threads",
        "map-count",
        (f"{SHARED}, 2 threads", f"{SHARED}, 1 thread", "dict under a Lock, 2 threads"),
        unit="steps/s",
        variants=("split",),
        goals=(
            Goal(f"{SHARED}, 2 threads", (f"{SHARED}, 1 thread",), free_threaded=1.4, scales=1.8),
        ),
        why="The counters lie in several stripes, each with a lock of its own, and hold no object that one thread would "
        "make and another free; but both threads write the same counters.",
    ),
    Row(
        "map-compute",
        "compute_if_absent of a key that is there",
        "map-compute",
        (OURS, "dict under a Lock"),
        unit="reads/s",
        goals=(Goal(OURS, ("dict under a Lock",), 4, 4, versions={"3.14": 2.5}),),
        why="A hit is a read.",
    ),
    Row(
        "map-insert",
        "the longest of a million inserts",
        "map-insert",
        (OURS, "dict"),
        unit="ms",
        higher=False,
        goals=(Goal(OURS, ("dict",), 1, 1, limits={"longest_ms": 5.0}),),
        why="A dict moves all its entries at once when it grows, the map at most 64 buckets.",
    ),
]
