"""C functions over ranges: what may come as one, every index once, errors, and the interpreter left."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from concx.futures import ThreadPoolExecutor
from concx.native import parallel_for

EXAMPLE = Path(__file__).parent.parent / "examples/saxpy/run.py"

SOURCE = """
#include <stdint.h>
void mark(int64_t begin, int64_t end, void *data)
{
    int32_t *counts = data;
    for (int64_t i = begin; i < end; i++)
        counts[i]++;
}
void meet(int64_t begin, int64_t end, void *data)
{
    /* Returns when another thread is in here too. */
    int32_t *here = data;
    (void)begin; (void)end;
    __atomic_fetch_add(here, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(here, __ATOMIC_SEQ_CST) < 2)
        ;
}
"""

RANGE = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (Debian: apt install gcc)")
    folder = tmp_path_factory.mktemp("native")
    Path(folder / "work.c").write_text(SOURCE)
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", "work.so", "work.c"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "work.so"))


def typed(function: Any) -> Any:
    function.argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    function.restype = None
    return function


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


def capsule(function: Any, name: bytes) -> Any:
    new = ctypes.pythonapi.PyCapsule_New
    new.restype = ctypes.py_object
    new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return new(ctypes.cast(function, ctypes.c_void_p), name, None)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 1000, 100_003])
@pytest.mark.parametrize("grain", [None, 1, 13, 10**6])
def test_every_index_once(
    library: Any, pool: ThreadPoolExecutor, n: int, grain: int | None
) -> None:
    if grain == 1 and n > 1000:
        grain = 17
    counts = array("i", bytes(4 * (n + 1)))
    parallel_for(typed(library.mark), n, counts, grain=grain, executor=pool)
    assert list(counts) == [1] * n + [0]


def test_the_shared_pool(library: Any) -> None:
    counts = array("i", bytes(400))
    parallel_for(typed(library.mark), 100, counts)
    assert set(counts) == {1}


def test_the_interpreter_is_left(library: Any, pool: ThreadPoolExecutor) -> None:
    """Two threads are inside the function at once, or this never ends."""
    parallel_for(typed(library.meet), 2, array("i", [0]), grain=1, executor=pool)


def test_submit_native(library: Any, pool: ThreadPoolExecutor) -> None:
    counts = array("i", bytes(40))
    assert pool.submit_native(typed(library.mark), counts, begin=2, end=5).result() is None
    assert list(counts) == [0, 0, 1, 1, 1, 0, 0, 0, 0, 0]
    with pytest.raises(BufferError):
        work = pool.submit_native(typed(library.meet), held := array("i", [0]))
        held.append(1)
    ctypes.c_int32.from_buffer(held).value = 2  # as if two had come
    work.result(30)


def test_capsules(library: Any, pool: ThreadPoolExecutor) -> None:
    counts = array("i", bytes(40))
    good = capsule(library.mark, b"void (int64_t, int64_t, void *)")
    parallel_for(good, 10, counts, executor=pool)
    parallel_for((good, "as scipy wraps it"), 10, counts, executor=pool)
    parallel_for(capsule(library.mark, b"void(int64_t,int64_t,void*)"), 10, counts, executor=pool)
    assert set(counts) == {3}
    parallel_for(good, 10, counts.buffer_info()[0], executor=pool)
    data = capsule(ctypes.c_void_p(counts.buffer_info()[0]), b"data")
    parallel_for(good, 10, data, executor=pool)
    assert set(counts) == {5}
    for name in (b"double (double)", b"void (int64_t, int64_t, void *, int)", b""):
        with pytest.raises(ValueError, match="name must be the signature"):
            parallel_for(capsule(library.mark, name), 10, counts, executor=pool)


def test_bad_arguments(library: Any, pool: ThreadPoolExecutor) -> None:
    mark = typed(library.mark)
    with pytest.raises(ValueError, match="'n' must be a non-negative int, got -1"):
        parallel_for(mark, -1)
    with pytest.raises(ValueError, match="'grain' must be a positive int, got 0"):
        parallel_for(mark, 1, grain=0)
    with pytest.raises(TypeError, match="'user_data' must be None, an address"):
        parallel_for(mark, 1, object())
    with pytest.raises(TypeError, match="'cfunc' must be a function pointer"):
        parallel_for(len, 1)
    library.mark.argtypes = None
    with pytest.raises(TypeError, match="must have argtypes"):
        parallel_for(library.mark, 1)
    with pytest.raises(ValueError, match="NULL"):
        parallel_for(RANGE(0), 1)


def test_python_functions(pool: ThreadPoolExecutor) -> None:
    pieces: list[tuple[int, int, str]] = []

    @RANGE
    def body(begin: int, end: int, _: object) -> None:
        pieces.append((begin, end, threading.current_thread().name))

    parallel_for(body, 100, grain=9, executor=pool)
    assert sorted(p[:2] for p in pieces) == [(i, min(i + 9, 100)) for i in range(0, 100, 9)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_exception_in_a_callback(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ctypes reports it; the range goes on."""
    reported: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", lambda info: reported.append(info.exc_type))

    @RANGE
    def body(begin: int, end: int, _: object) -> None:
        raise ValueError(begin)

    parallel_for(body, 10, grain=1, executor=pool)
    assert reported == [ValueError] * 10


def test_nested(library: Any) -> None:
    """A task of the pool that is used may use it too."""
    counts = array("i", bytes(4000))
    with ThreadPoolExecutor(1) as small:
        small.submit(
            parallel_for, typed(library.mark), 1000, counts, grain=10, executor=small
        ).result(30)
    assert set(counts) == {1}


def test_the_example(run_script: Callable[..., Any]) -> None:
    """examples/saxpy, built and run as its text says; with numba where that is installed."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler called cc (Debian: apt install gcc)")
    told = run_script(EXAMPLE, "20000", env={**os.environ, "PYTHONWARNINGS": "default"})
    assert told.stdout.splitlines()[-1] == "right"
    assert "C, all threads" in told.stdout
