"""The C interface: pushing into int64 rings from threads that do not have the interpreter."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import concx
from concx import _core
from concx.queue import RingQueue, ShutDown
from queue_tools import Worker, in_child, run_async, run_threads, wait_until, wait_waiting

OK, FULL, CLOSED = 0, 1, 2
FOREVER = 2**63 - 1
EXAMPLE = Path(__file__).parent.parent / "examples/native_producer"

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="native wakes of loops need Linux")

# CFUNCTYPE gives the GIL up around the call, so such a call is one of a native thread.
_Handle = ctypes.c_void_p


class Api(ctypes.Structure):
    _fields_ = [
        ("version", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("ring_from_object", ctypes.PYFUNCTYPE(_Handle, ctypes.py_object)),
        ("ring_retain", ctypes.CFUNCTYPE(_Handle, _Handle)),
        ("ring_release", ctypes.CFUNCTYPE(None, _Handle)),
        ("ring_try_push_int64", ctypes.CFUNCTYPE(ctypes.c_int, _Handle, ctypes.c_int64)),
        (
            "ring_try_push_many_int64",
            ctypes.CFUNCTYPE(
                ctypes.c_size_t, _Handle, ctypes.POINTER(ctypes.c_int64), ctypes.c_size_t
            ),
        ),
        (
            "ring_push_int64",
            ctypes.CFUNCTYPE(ctypes.c_int, _Handle, ctypes.c_int64, ctypes.c_int64),
        ),
        ("ring_len", ctypes.CFUNCTYPE(ctypes.c_size_t, _Handle)),
        ("ring_is_closed", ctypes.CFUNCTYPE(ctypes.c_int, _Handle)),
    ]


def load() -> Api:
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype = ctypes.c_void_p
    get_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return Api.from_address(get_pointer(_core._C_API, b"concx._core._C_API"))


class Functions:
    """The table's functions, looked up once: ctypes makes a new object for every look at a field."""

    def __init__(self, table: Api) -> None:
        for name, _ in Api._fields_:  # type: ignore[misc]
            setattr(self, name, getattr(table, name))


api: Any = Functions(load())


def ring(capacity: int) -> tuple[Any, int]:
    q = RingQueue(capacity, cells="int64")
    return q, api.ring_from_object(q)


def test_smoke() -> None:
    assert api.version == 1
    assert api.size == ctypes.sizeof(Api)
    q, handle = ring(2)
    assert api.ring_try_push_int64(handle, -5) == OK
    assert api.ring_push_int64(handle, 6, 0) == OK
    assert api.ring_try_push_int64(handle, 7) == FULL
    assert api.ring_len(handle) == 2
    assert q.get_many(5) == [-5, 6]
    assert api.ring_is_closed(handle) == 0
    api.ring_release(handle)


@pytest.mark.parametrize("wrong", [RingQueue(1), 7, None, RingQueue])
def test_smoke_type(wrong: Any) -> None:
    with pytest.raises(TypeError, match="a RingQueue with cells='int64' is needed, got"):
        api.ring_from_object(wrong)


def test_batches() -> None:
    q, handle = ring(5)
    values = (ctypes.c_int64 * 8)(*range(8))
    assert api.ring_try_push_many_int64(handle, values, 8) == 5
    assert api.ring_try_push_many_int64(handle, values, 8) == 0
    assert api.ring_try_push_many_int64(handle, values, 0) == 0
    assert q.get_many(8) == [0, 1, 2, 3, 4]
    api.ring_release(handle)


def test_spsc() -> None:
    q, handle = ring(4)
    n = 5000

    def produce() -> None:
        for i in range(n):
            assert api.ring_push_int64(handle, i, FOREVER) == OK

    _, got = run_threads(produce, lambda: [q.get() for _ in range(n)])
    assert got == list(range(n))
    api.ring_release(handle)


def test_mpmc() -> None:
    """Native producers among Python ones; threads and tasks that consume."""
    q, handle = ring(3)
    n = 1000

    def native() -> None:
        for i in range(n):
            assert api.ring_push_int64(handle, i, FOREVER) == OK

    def python() -> None:
        for i in range(n):
            q.put(i)

    async def consume() -> int:
        return sum([i async for i in q])

    consumers = [Worker(lambda: sum(q))]
    if sys.platform == "linux":
        consumers.append(Worker(lambda: run_async(consume())))
    run_threads(native, native, python)
    q.shutdown()
    assert sum(c.result() for c in consumers) == 3 * sum(range(n))
    api.ring_release(handle)


def test_timeout() -> None:
    q, handle = ring(1)
    q.put(1)
    began = time.monotonic_ns()
    assert api.ring_push_int64(handle, 2, began + 10_000_000) == FULL
    assert time.monotonic_ns() >= began + 10_000_000
    assert api.ring_push_int64(handle, 2, began) == FULL
    assert q.stats().waiting_puts == 0
    api.ring_release(handle)


def test_wakes_thread() -> None:
    q, handle = ring(1)
    getter = Worker(q.get)
    wait_waiting(q, gets=1)
    assert api.ring_try_push_int64(handle, 3) == OK
    assert getter.result() == 3
    api.ring_release(handle)


def test_wakes_native() -> None:
    """A native producer that waits for room gets it from a Python consumer."""
    q, handle = ring(1)
    q.put(1)
    pusher = Worker(api.ring_push_int64, handle, 2, FOREVER)
    wait_waiting(q, puts=1)
    assert q.get() == 1
    assert pusher.result() == OK
    assert q.get() == 2
    api.ring_release(handle)


@needs_linux
def test_async() -> None:
    async def main() -> None:
        q, handle = ring(4)
        getter = asyncio.create_task(q.get_async())
        await asyncio.sleep(0)
        assert q.stats().waiting_gets == 1
        assert api.ring_try_push_int64(handle, 3) == OK
        assert await getter == 3
        q.put_many(range(4))
        putter = asyncio.create_task(q.put_async(9))
        pusher = asyncio.get_running_loop().run_in_executor(
            None, api.ring_push_int64, handle, 8, FOREVER
        )
        while q.stats().waiting_puts < 2:
            await asyncio.sleep(0)
        assert q.get_many(4) == [0, 1, 2, 3]
        await putter
        assert await pusher == OK
        assert sorted(q.get_many(4)) == [8, 9]
        api.ring_release(handle)

    run_async(main())


@needs_linux
def test_async_sleeping_loop() -> None:
    """The loop sleeps in its selector, with nothing else to wake it; many times over."""
    q, handle = ring(4)

    async def consume() -> list[int]:
        return [i async for i in q]

    consumer = Worker(lambda: run_async(consume()))
    for i in range(200):
        wait_waiting(q, gets=1)
        assert api.ring_try_push_int64(handle, i) == OK
        wait_until(lambda: len(q) == 0)
    q.shutdown()
    assert consumer.result() == list(range(200))
    api.ring_release(handle)


@needs_linux
def test_async_closed_loop() -> None:
    """A loop is closed while a native wake is on its way to it; the ring and another loop go on."""
    q, handle = ring(4)
    loop = asyncio.new_event_loop()
    task = loop.create_task(q.get_async())
    loop.run_until_complete(asyncio.sleep(0))
    assert q.stats().waiting_gets == 1
    assert api.ring_try_push_int64(handle, 1) == OK
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    del task, loop
    gc.collect()

    async def main() -> None:
        assert await q.get_async() == 1

    run_async(main())
    assert api.ring_try_push_int64(handle, 2) == OK
    assert q.get() == 2
    api.ring_release(handle)


def test_shutdown() -> None:
    q, handle = ring(1)
    q.put(1)
    pusher = Worker(api.ring_push_int64, handle, 2, FOREVER)
    wait_waiting(q, puts=1)
    q.shutdown()
    assert pusher.result() == CLOSED
    assert api.ring_try_push_int64(handle, 2) == CLOSED
    assert api.ring_is_closed(handle) == 1
    assert q.get() == 1
    with pytest.raises(ShutDown):
        q.get()
    api.ring_release(handle)


def test_drops() -> None:
    """The handle outlives the object; nobody can get anything then, so pushes are refused."""
    q, handle = ring(1)
    other = api.ring_retain(handle)
    q.put(1)
    pusher = Worker(api.ring_push_int64, handle, 2, FOREVER)
    wait_waiting(q, puts=1)
    del q
    gc.collect()
    assert pusher.result() == CLOSED
    assert api.ring_try_push_int64(handle, 2) == CLOSED
    api.ring_release(handle)
    assert api.ring_is_closed(other) == 1
    api.ring_release(other)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork() -> None:
    """A process forks while native threads push; its child's ring works whatever they were at."""
    q, handle = ring(64)
    stop = threading.Event()

    def push() -> None:
        while not stop.is_set():
            api.ring_push_int64(handle, 7, time.monotonic_ns() + 1_000_000)

    def child() -> None:
        n = len(q)
        assert q.put_many([7] * (64 - n), block=False) == 64 - n
        assert q.get_many(64) == [7] * 64
        assert api.ring_try_push_int64(handle, 7) == OK
        assert q.get() == 7

    pushers = [Worker(push) for _ in range(2)]
    for _ in range(20):
        q.get()
        in_child(child)
        q.get_many(64)
    stop.set()
    for pusher in pushers:
        pusher.result()
    api.ring_release(handle)


def includes() -> list[str]:
    return [f"-I{concx.get_include()}", f"-I{sysconfig.get_path('include')}"]


@needs_compiler
@pytest.mark.parametrize("language", ["c", "c++"])
def test_header(language: str, tmp_path: Path) -> None:
    """It compiles alone and without warnings, and its table is laid out as this file believes."""
    compiler = shutil.which("cc" if language == "c" else "c++")
    if compiler is None:
        pytest.skip(f"no compiler for {language}")
    offsets = "\n".join(
        f'static_assert(offsetof(concx_api, {name}) == {getattr(Api, name).offset}, "{name}");'
        for name, _ in Api._fields_  # type: ignore[misc]
    )
    source = tmp_path / ("check.c" if language == "c" else "check.cpp")
    source.write_text(
        '#include "concx.h"\n#include <assert.h>\n'
        f"{offsets}\nconst concx_api *use(void) {{ return concx_import(); }}\n"
    )
    standard = "-std=c11" if language == "c" else "-std=c++17"
    system = [flag.replace("-I", "-isystem", 1) for flag in includes()[1:]]
    command = [compiler, standard, "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    subprocess.run([*command, includes()[0], *system, str(source)], check=True)


@needs_compiler
@needs_linux
def test_example() -> None:
    """examples/native_producer, built and run as its text says."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "run.py"), "20000"],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("20000 numbers pushed")
    assert "right" in done.stdout
