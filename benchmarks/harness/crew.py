"""Threads that pin themselves, start together and are timed by the clock on the wall."""

from __future__ import annotations

import gc
import os
import resource
import threading
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from harness.machine import busy


def pin(cpu: int) -> None:
    """Bind the calling thread, and only it, to one CPU."""
    os.sched_setaffinity(0, {cpu})


class Meter:
    """Wall clock and what getrusage counts for the whole process, between start and stop.

    ``foreign`` is the CPU time of everything else on the machine meanwhile.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cost: dict[str, float] = {}

    def start(self) -> None:
        gc.collect()
        self._busy = busy()
        self._before = resource.getrusage(resource.RUSAGE_SELF)
        self._begin = perf_counter()

    def stop(self, end: float | None = None) -> None:
        self.seconds = (perf_counter() if end is None else end) - self._begin
        before, after = self._before, resource.getrusage(resource.RUSAGE_SELF)
        own = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        self.cost = {
            "foreign": max(0.0, busy() - self._busy - own),
            "user": after.ru_utime - before.ru_utime,
            "system": after.ru_stime - before.ru_stime,
            "voluntary": after.ru_nvcsw - before.ru_nvcsw,
            "involuntary": after.ru_nivcsw - before.ru_nivcsw,
            "rss_kib": after.ru_maxrss,
            "rss_before_kib": before.ru_maxrss,
        }


class Member(threading.Thread):
    """A thread that pins itself, says that it is ready, waits for its go, runs, and notes when it ended."""

    def __init__(self, job: Callable[[], Any], cpu: int) -> None:
        super().__init__(daemon=True)
        self.job, self.cpu = job, cpu
        self.result: Any = None
        self.error: BaseException | None = None
        self.ended = 0.0
        self._ready = threading.Event()
        self._go = threading.Lock()
        self._go.acquire()

    def run(self) -> None:
        pin(self.cpu)
        self._ready.set()
        self._go.acquire()
        try:
            self.result = self.job()
        except BaseException as error:
            self.error = error
        self.ended = perf_counter()

    def prepare(self) -> None:
        """Start the thread and come back when it stands at the line."""
        self.start()
        self._ready.wait()

    def go(self) -> None:
        self._go.release()

    def finish(self) -> Any:
        """Wait for the end; the job's own exception is raised here."""
        self.join()
        if self.error is not None:
            raise self.error
        return self.result


def alone(job: Callable[[], Any], cpu: int, meter: Meter) -> Any:
    """Run and time the job in the calling thread, which owns what it made before."""
    pin(cpu)
    meter.start()
    result = job()
    meter.stop()
    return result


def together(jobs: Sequence[tuple[Callable[[], Any], int]], meter: Meter) -> list[Any]:
    """Run every (job, cpu) in a thread of its own; time from just before the release to the last one's end."""
    crew = [Member(job, cpu) for job, cpu in jobs]
    for member in crew:
        member.prepare()
    meter.start()
    for member in crew:
        member.go()
    for member in crew:
        member.join()
    meter.stop(max(member.ended for member in crew))
    return [member.finish() for member in crew]
