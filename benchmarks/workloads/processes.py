"""Between processes: a child puts, this process gets; and locks that nobody else wants.

A contender's style says how messages are put and got. The child is forked, pinned, and waits for its go.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from itertools import repeat
from typing import Any

from harness.crew import Meter, alone, pin
from harness.spec import Disqualified, Section
from workloads import Case, Workload

CHECKED = 3000
BYTES = b"x" * 100
BATCH = 64


def put(q: Any, n: int) -> None:
    for i in range(n):
        q.put(("abc", i, 2.5))


def get(q: Any, n: int) -> int:
    last = -1
    for _ in repeat(None, n):
        last = q.get()[1]
    return int(last)


def put_bytes(q: Any, n: int) -> None:
    for _ in repeat(None, n):
        q.put_bytes(BYTES)


def get_bytes(q: Any, n: int) -> int:
    for _ in repeat(None, n - 1):
        q.get_bytes()
    return n - 1 if q.get_bytes() == BYTES else -1


def send_bytes(ends: Any, n: int) -> None:
    writer = ends[1]
    for _ in repeat(None, n):
        writer.send_bytes(BYTES)


def recv_bytes(ends: Any, n: int) -> int:
    reader = ends[0]
    for _ in repeat(None, n - 1):
        reader.recv_bytes()
    return n - 1 if reader.recv_bytes() == BYTES else -1


def get_many(q: Any, n: int) -> int:
    left = n
    while left:
        left -= len(q.get_many(min(left, BATCH)))
    return n - 1


def get_in_task(q: Any, n: int) -> int:
    async def main() -> int:
        last = -1
        for _ in repeat(None, n):
            last = (await q.get_async())[1]
        return last

    return asyncio.run(main())


def get_in_executor(q: Any, n: int) -> int:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        last = -1
        for _ in repeat(None, n):
            last = (await loop.run_in_executor(None, q.get))[1]
        return last

    return asyncio.run(main())


STREAMS: dict[str, tuple[Callable[[Any, int], None], Callable[[Any, int], int]]] = {
    "": (put, get),
    "bytes": (put_bytes, get_bytes),
    "pipe": (send_bytes, recv_bytes),
    "get_many": (put_bytes, get_many),
    "async": (put, get_in_task),
    "executor": (put, get_in_executor),
}


def in_child(job: Callable[[], object], cpu: int) -> tuple[int, int]:
    """A forked child that stands at the line: its pid, and the descriptor whose closing is its go."""
    ready, told = os.pipe()
    wait, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ready)
        os.close(go)
        status = 1
        try:
            pin(cpu)
            os.close(told)
            os.read(wait, 1)
            job()
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(told)
    os.close(wait)
    os.read(ready, 1)
    os.close(ready)
    return pid, go


class Stream:
    """From one process to another."""

    def check(self, case: Case) -> None:
        self.run(case, CHECKED)

    def run(self, case: Case, n: int) -> Section:
        putting, getting = STREAMS[case.contender.style]
        q = case.contender.make(0)

        def job() -> None:
            putting(q, n)
            # The standard queue's feeder thread has to be done before the child may end.
            if hasattr(q, "join_thread"):
                q.close()
                q.join_thread()

        pid, go = in_child(job, case.cpus[1])
        meter = Meter()
        pin(case.cpus[0])
        try:
            meter.start()
            os.close(go)
            last = getting(q, n)
            meter.stop()
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            raise
        finally:
            _, status = os.waitpid(pid, 0)
        if last != n - 1 or status != 0:
            raise Disqualified(f"the last of {n} messages was {last}, the child's status {status}")
        return Section(n / meter.seconds, meter.seconds, n, meter.cost)


def echo(end: Any) -> None:
    """Until the other end is closed."""
    while (obj := end.recv()) is not None:
        end.send(obj)
        del obj


class Echo:
    """A NumPy array to another process and back."""

    def check(self, case: Case) -> None:
        self.run(case, 2)

    def run(self, case: Case, n: int) -> Section:
        import numpy

        array = numpy.arange(int(case.params["bytes"]) // 8)
        ours, theirs = case.contender.make(0)
        pid, go = in_child(lambda: echo(theirs), case.cpus[1])
        meter = Meter()
        pin(case.cpus[0])
        try:
            os.close(go)
            for warm in (True, False):
                if not warm:
                    meter.start()
                for _ in range(2 if warm else n):
                    ours.send(array)
                    back = ours.recv()
            meter.stop()
            ours.send(None)
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            raise
        finally:
            _, status = os.waitpid(pid, 0)
        if status != 0 or not (back == array).all():
            raise Disqualified(f"the array came back changed, or the child's status is {status}")
        return Section(n / meter.seconds, meter.seconds, n, meter.cost)


def pairs(lock: Any, n: int) -> None:
    for _ in repeat(None, n):
        lock.acquire()
        lock.release()


def blocks(lock: Any, n: int) -> None:
    for _ in repeat(None, n):
        with lock:
            pass


def events(event: Any, n: int) -> None:
    for _ in repeat(None, n):
        event.set()
        event.clear()


PAIRS = {"": pairs, "with": blocks, "event": events}


class Pairs:
    """Take and give back, or set and clear, with nobody else about."""

    def check(self, case: Case) -> None:
        thing = case.contender.make(0)
        if hasattr(thing, "acquire"):
            thing.acquire()
            again = thing.acquire(False)
            if again != ("RLock" in case.contender.name):
                raise Disqualified(f"a second acquire returned {again}")
            for _ in range(1 + again):
                thing.release()

    def run(self, case: Case, n: int) -> Section:
        meter = Meter()
        thing, work = case.contender.make(0), PAIRS[case.contender.style]
        alone(lambda: work(thing, n), case.cpus[0], meter)
        return Section(n / meter.seconds, meter.seconds, n, meter.cost)


WORKLOADS: dict[str, Workload] = {"mp-stream": Stream(), "mp-pairs": Pairs(), "mp-echo": Echo()}
