"""Does the same work over and over and looks at what it leaves behind.

    python leaks.py OPERATIONS

Prints nothing if all is well. Each piece of work is warmed up first; then neither the blocks of Python's
allocator, nor the bytes of C's (what the core allocates), nor the references of a common item may grow
with the number of rounds.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys
import threading
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import concx.queue
from queue_tools import StackAsQueue

TOKEN = (1, "an item that everybody shares")
ALL = ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")
Empty, Full, ShutDown = concx.queue.Empty, concx.queue.Full, concx.queue.ShutDown


RINGS = {
    "RingQueue": lambda: concx.queue.RingQueue(2),
    "SpscQueue": lambda: concx.queue.SpscQueue(2),
    "Stack": lambda: StackAsQueue(concx.queue.Stack()),
}
"""The lock-free structures, as small as `calls_ring` wants them."""


class MallInfo(ctypes.Structure):
    """What glibc's mallinfo2 answers: ten sizes; `hblkhd` mapped, `uordblks` in use besides."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def bytes_in_use() -> int:
    """What malloc has given out and not got back; 0 where the C library does not tell."""
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None:
        return 0
    mallinfo.restype = MallInfo
    info = mallinfo()
    return int(info.uordblks + info.hblkhd)


def fails(error: type[Exception], call: Callable[[], object]) -> None:
    try:
        call()
    except error:
        return
    raise AssertionError(f"no {error.__name__}")


def pairs(q: object) -> Callable[[int], None]:
    def work(rounds: int) -> None:
        for _ in range(rounds):
            q.put(TOKEN)
            q.get()

    return work


def calls(name: str, inside: bool) -> Callable[[int], None]:
    cls = getattr(concx.queue, name)

    def once() -> None:
        q = cls(2)
        if inside:
            with q.mutex:
                pass
        q.put(TOKEN)
        q.put_nowait(TOKEN)
        fails(Full, lambda: q.put(TOKEN, timeout=0))
        fails(Full, lambda: q.put(TOKEN, timeout=1e-6))
        fails(ValueError, lambda: q.put(TOKEN, timeout=-1))
        fails(TypeError, lambda: q.put(TOKEN, timeout="x"))
        fails(TypeError, lambda: q.put(TOKEN, no=1))
        q.peek()
        repr(q)
        q.stats()
        q.get_many(2)
        fails(Empty, q.get_nowait)
        fails(Empty, lambda: q.get(timeout=1e-6))
        q.put_many([TOKEN] * 5, block=False)
        q.clear()
        q.put(TOKEN)
        q.maxsize = 7
        q.task_done()
        q.shutdown()
        fails(ShutDown, lambda: q.put(TOKEN))
        list(q.consume())
        fails(ShutDown, q.get)

    def work(rounds: int) -> None:
        for _ in range(rounds // 40 + 1):
            once()

    return work


def calls_ring(name: str) -> Callable[[int], None]:
    def once() -> None:
        q = RINGS[name]()
        q.put(TOKEN)
        q.put_nowait(TOKEN)
        if name != "Stack":
            fails(Full, lambda: q.put(TOKEN, timeout=0))
            fails(Full, lambda: q.put(TOKEN, timeout=1e-6))
        repr(q)
        q.stats()
        q.get_many(2)
        fails(Empty, q.get_nowait)
        fails(Empty, lambda: q.get(timeout=1e-6))
        q.put_many([TOKEN] * 2, block=False)
        q.clear()
        q.put(TOKEN)
        q.shutdown()
        fails(ShutDown, lambda: q.put(TOKEN))
        list(q)
        fails(ShutDown, q.get)

    def work(rounds: int) -> None:
        for _ in range(rounds // 40 + 1):
            once()

    return work


def dropping(mode: str) -> Callable[[int], None]:
    def work(rounds: int) -> None:
        q = concx.queue.Queue(3, overflow=mode)
        for _ in range(rounds):
            q.put(TOKEN)

    return work


def left_inside(name: str) -> Callable[[int], None]:
    """Queues that die with items in them, some in reference cycles."""
    make = RINGS.get(name) or getattr(concx.queue, name)

    def work(rounds: int) -> None:
        for number in range(rounds // 20 + 1):
            q = make()
            q.put(TOKEN)
            if name != "PriorityQueue":
                q.put(q if number % 2 else TOKEN)
            del q

    return work


def awaits(rounds: int) -> None:
    async def main() -> None:
        q = concx.queue.Queue(2)
        for _ in range(rounds // 40 + 1):
            await q.put_async(TOKEN)
            await q.get_async()
            task = asyncio.create_task(q.get_async())
            await asyncio.sleep(0)
            q.put(TOKEN)
            await task
            task = asyncio.create_task(q.get_async())
            await asyncio.sleep(0)
            q.put(TOKEN)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await q.get_async()
            try:
                await q.get_async(timeout=1e-6)
            except Empty:
                pass
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                q.get_async()
                q.put_async(TOKEN)
            await q.put_many_async([TOKEN, TOKEN])
            task = asyncio.create_task(q.put_async(TOKEN))
            await asyncio.sleep(0)
            assert len(await q.get_many_async(9)) >= 2
            await task
            q.clear()

    asyncio.run(main())


def awaits_ring(rounds: int) -> None:
    async def main() -> None:
        q = concx.queue.RingQueue(2)
        for _ in range(rounds // 40 + 1):
            await q.put_async(TOKEN)
            await q.get_async()
            tasks = [asyncio.create_task(q.get_async()) for _ in range(2)]
            await asyncio.sleep(0)
            q.put(TOKEN)
            tasks[0].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            fails(Empty, q.get_nowait)
            q.put_many([TOKEN, TOKEN])
            task = asyncio.create_task(q.put_async(TOKEN))
            await asyncio.sleep(0)
            q.clear()
            await task
            q.clear()

    asyncio.run(main())


def threads(make: Callable[[], object], rounds: int) -> None:
    q = make()
    each = rounds // 40 + 1

    def put() -> None:
        for _ in range(each):
            q.put(TOKEN)

    def get() -> None:
        for _ in range(each):
            q.get()

    started = [threading.Thread(target=target) for target in (put, get, put, get)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def measure(work: Callable[[int], None], rounds: int) -> tuple[int, int, int]:
    """Blocks, bytes and references that `rounds` leave behind."""

    def look() -> tuple[int, int, int]:
        gc.collect()
        return sys.getallocatedblocks(), bytes_in_use(), sys.getrefcount(TOKEN)

    before = look()
    work(rounds)
    blocks, size, references = (now - then for now, then in zip(look(), before, strict=True))
    return blocks, size, references


def report(cases: dict[str, Callable[[int], None]], operations: int) -> int:
    """Runs the cases; 1 if one of them leaves more behind the more it does, which is printed.

    A free-threaded interpreter frees late what one thread made and another one dropped: some hundred
    blocks after any number of rounds. So it is the difference between few rounds and many that counts.
    """
    bad = 0
    rounds = operations // len(cases) // 2
    for name, work in cases.items():
        work(rounds // 10 + 10)
        for _attempt in range(10):  # a cache that fills is no leak
            few, many = measure(work, rounds), measure(work, 3 * rounds)
            blocks, size, references = (b - a for a, b in zip(few, many, strict=True))
            if references == 0 and blocks < max(20, rounds // 200) and size < 4096 + rounds // 2:
                break
        else:
            print(
                f"{name}: {2 * rounds} more rounds left {blocks} more blocks, {size} more bytes "
                f"and {references} more references"
            )
            bad += 1
    return 1 if bad else 0


def main(operations: int) -> int:
    cases: dict[str, Callable[[int], None]] = {
        "awaits": awaits,
        "awaits RingQueue": awaits_ring,
        "threads": partial(threads, partial(concx.queue.Queue, 1)),
        "threads RingQueue": partial(threads, partial(concx.queue.RingQueue, 1)),
        "drop_oldest": dropping("drop_oldest"),
        "drop_newest": dropping("drop_newest"),
    }
    for name in ALL:
        cases[f"pairs {name}"] = pairs(getattr(concx.queue, name)())
        cases[f"left inside {name}"] = left_inside(name)
        if name != "SimpleQueue":
            cases[f"calls {name}"] = calls(name, False)
            cases[f"calls {name} compat"] = calls(name, True)
    for name, make in RINGS.items():
        cases[f"pairs {name}"] = pairs(make())
        cases[f"left inside {name}"] = left_inside(name)
        cases[f"calls {name}"] = calls_ring(name)
    return report(cases, operations)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
