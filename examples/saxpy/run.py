"""y = a * x + y over two arrays, by several threads without the interpreter.

    python examples/saxpy/run.py [COUNT]

Compiles saxpy.c into a temporary folder and calls it through ctypes; then does the same with a numba `cfunc`, if numba
is installed. Prints the times of one thread and of all.
"""

import ctypes
import os
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Callable
from time import perf_counter
from typing import Any

from concx.native import parallel_for

try:
    import numba
except ImportError:
    numba = None


RANGE = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
"""What a range function is to ctypes."""


class Job(ctypes.Structure):
    """What the C function gets: the factor and the addresses of both arrays."""

    _fields_ = [
        ("a", ctypes.c_float),
        ("x", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
    ]


def compiled(folder: str) -> Any:
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "saxpy.c")
    library = os.path.join(folder, "saxpy.so")
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run([*compiler, "-O3", "-shared", "-fPIC", "-o", library, source], check=True)
    return RANGE(("saxpy", ctypes.CDLL(library)))


def by_numba() -> Any:
    """The same in Python, over one array of pairs (x, y)."""
    types = numba.types

    @numba.cfunc(types.void(types.int64, types.int64, types.CPointer(types.float32)))
    def saxpy(begin: int, end: int, pairs: Any) -> None:
        for i in range(begin, end):
            pairs[2 * i + 1] += 2 * pairs[2 * i]

    # The third argument is an address, whatever it points at.
    return RANGE(saxpy.address)


def timed(what: str, call: Callable[[], object]) -> None:
    began = perf_counter()
    call()
    print(f"{what}: {(perf_counter() - began) * 1e3:.1f} ms")


def main(count: int) -> None:
    x = array("f", range(count))
    y = array("f", bytes(4 * count))
    job = Job(2, x.buffer_info()[0], y.buffer_info()[0])
    parallel_for(RANGE(lambda begin, end, data: None), 1)  # makes the pool
    with tempfile.TemporaryDirectory() as folder:
        saxpy = compiled(folder)
        timed("C, one thread", lambda: saxpy(0, count, ctypes.byref(job)))
        timed("C, all threads", lambda: parallel_for(saxpy, count, job))
    wrong = sum(y[i] != 4 * x[i] for i in range(count))
    if numba is not None:
        pairs = array("f", (value for i in range(count) for value in (i, 0)))
        function = by_numba()
        address = pairs.buffer_info()[0]
        timed("numba, one thread", lambda: function(0, count, address))
        timed("numba, all threads", lambda: parallel_for(function, count, pairs))
        wrong += sum(pairs[2 * i + 1] != 4 * i for i in range(count))
    print(f"{wrong} values are wrong" if wrong else "right")
    sys.exit(wrong != 0)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4_000_000)
