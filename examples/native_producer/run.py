"""Numbers from a thread that has no interpreter, consumed by asyncio.

    python examples/native_producer/run.py [COUNT]

Compiles producer.c into a temporary folder, starts its thread on a RingQueue of int64 cells and adds up what comes.
"""

import asyncio
import ctypes
import os
import subprocess
import sys
import sysconfig
import tempfile

import concx
from concx.queue import RingQueue


def compile_library(folder: str) -> ctypes.PyDLL:
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "producer.c")
    library = os.path.join(folder, "producer.so")
    compiler = os.environ.get("CC", "cc").split()
    includes = [concx.get_include(), sysconfig.get_path("include")]
    flags = ["-O2", "-shared", "-fPIC", "-pthread", *(f"-I{path}" for path in includes)]
    subprocess.run([*compiler, *flags, "-o", library, source], check=True)
    loaded = ctypes.PyDLL(library)
    loaded.producer_start.restype = ctypes.c_void_p
    loaded.producer_start.argtypes = [ctypes.py_object, ctypes.c_int64]
    loaded.producer_join.restype = ctypes.c_int64
    loaded.producer_join.argtypes = [ctypes.c_void_p]
    return loaded


async def add_up(queue: RingQueue[int], count: int) -> int:
    total = 0
    while count > 0:
        numbers = await queue.get_many_async(min(count, 256), timeout=10)
        count -= len(numbers)
        total += sum(numbers)
    return total


def main(count: int) -> None:
    queue: RingQueue[int] = RingQueue(64, cells="int64")
    with tempfile.TemporaryDirectory() as folder:
        library = compile_library(folder)
        producer = library.producer_start(queue, count)
        total = asyncio.run(add_up(queue, count))
        pushed = library.producer_join(producer)
    expected = count * (count - 1) // 2
    verdict = "right" if total == expected else "wrong"
    print(f"{pushed} numbers pushed, their sum is {total}, which is {verdict}")
    sys.exit(total != expected)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
