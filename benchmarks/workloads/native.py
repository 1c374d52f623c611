"""A C function that computes, over a range of indices.

Its threads need no interpreter while they compute, so a GIL build may use two CPUs.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import shutil
import subprocess
import tempfile
import threading
from array import array
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.crew import Meter
from harness.spec import Disqualified, Section, Unsuited
from workloads import Case, Workload

SOURCE = """
#include <stdint.h>
/* Some arithmetic for each index; the sum of all results tells whether each was done once. */
void work(int64_t begin, int64_t end, void *data)
{
    uint64_t sum = 0;
    for (int64_t i = begin; i < end; i++) {
        uint64_t x = (uint64_t)i;
        for (int k = 0; k < 16; k++)
            x = x * 6364136223846793005u + 1442695040888963407u;
        sum += x >> 32;
    }
    __atomic_fetch_add((uint64_t *)data, sum, __ATOMIC_RELAXED);
}
"""


def compiled() -> Any:
    """The function, as ctypes calls it."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Unsuited("no C compiler")
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "work.c").write_text(SOURCE)
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", "work.so", "work.c"]
    subprocess.run(command, cwd=folder, check=True)
    work = ctypes.CDLL(str(folder / "work.so")).work
    work.argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    work.restype = None
    return work


class Range:
    """The whole range, by one thread, by two that share it as they like, or by two halves."""

    def check(self, case: Case) -> None:
        work = compiled()
        got, expected = array("Q", [0]), array("Q", [0])
        work(0, 10_000, expected.buffer_info()[0])
        self._do(case, work, 10_000, got)
        if got != expected:
            raise Disqualified("an index was left out or done twice")

    def run(self, case: Case, count: int) -> Section:
        meter, work = Meter(), compiled()
        self._do(case, work, count, array("Q", [0]), meter)
        return Section(count / meter.seconds, meter.seconds, count, meter.cost)

    def _do(
        self, case: Case, work: Any, count: int, total: array[int], meter: Meter | None = None
    ) -> None:
        os.sched_setaffinity(0, set(case.cpus))
        meter = meter or Meter()
        if case.contender.style == "parallel":
            from concx.native import parallel_for

            with case.contender.make(1) as pool:
                pool.submit(int).result()
                meter.start()
                parallel_for(work, count, total, executor=pool)
                meter.stop()
            return
        workers, address = case.contender.workers, total.buffer_info()[0]
        cuts = [count * i // workers for i in range(workers + 1)]
        threads = [
            threading.Thread(target=work, args=(begin, end, address))
            for begin, end in pairwise(cuts[1:])
        ]
        meter.start()
        for thread in threads:
            thread.start()
        work(cuts[0], cuts[1], address)
        for thread in threads:
            thread.join()
        meter.stop()


WORKLOADS: dict[str, Workload] = {"native-range": Range()}
