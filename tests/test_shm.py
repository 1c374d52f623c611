"""Arenas, shared arrays and named shared memory."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import Any

import pytest

from concx import _core, _shm
from concx import multiprocessing as mp
from concx.shm import Arena, SegmentDamaged, SharedMemory, shared_array, shared_empty
from mp_tools import METHODS, running, space_is_limited
from queue_tools import ASAN, in_child

try:
    import numpy
except ImportError:
    numpy = None  # type: ignore[assignment]

needs_numpy = pytest.mark.skipif(
    numpy is None, reason="NumPy is not installed here; with it these tests run"
)


def test_smoke() -> None:
    arena = Arena(1 << 20)
    view = arena.block(100)
    assert bytes(view) == bytes(100)
    view[:5] = b"hello"
    assert arena.stats().used >= 100
    assert "used=" in repr(arena)
    del view
    assert arena.stats().used == 0
    again = arena.block(100)
    assert bytes(again) == bytes(100)  # zeroed, though warm


def test_a_view_keeps_its_memory() -> None:
    view = Arena(1 << 16).block(10)
    view[:] = b"0123456789"
    part = view[2:4]
    del view
    assert bytes(part) == b"23"


def test_full() -> None:
    arena = Arena(1 << 16)
    with pytest.raises(MemoryError, match="no room"):
        arena.block(1 << 17)
    for size in (-1, "much", 1 << 100):
        with pytest.raises((ValueError, TypeError), match="'size'"):
            arena.block(size)  # type: ignore[arg-type]
        with pytest.raises((ValueError, TypeError), match="'size'"):
            Arena(size)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="File too large"):
        Arena(1 << 62)
    kept = []
    with pytest.raises(MemoryError):
        while True:
            kept.append(arena.block(1000))
    assert len(kept) > 50


def test_a_child_takes_no_blocks_of_its_parents_arena() -> None:
    arena = Arena(1 << 16)
    view = arena.block(8)

    def body() -> None:
        view[:] = b"in child"
        with pytest.raises(MemoryError, match="process that made it"):
            arena.block(8)

    in_child(body)
    assert bytes(view) == b"in child"


def test_blocks_are_checked_against_the_segment() -> None:
    segment = _shm.Segment(_shm.DATA, 8000)
    for offset, size in [(0, 10), (100, 10), (128, 1 << 40), (1 << 63, 64), (1 << 20, 1)]:
        with pytest.raises(SegmentDamaged):
            _core.Block.attach(segment, offset, size)
    with pytest.raises(SegmentDamaged, match="another program"):
        _core.Segment.attach(os.open("/dev/null", os.O_RDWR), _shm.DATA)
    with pytest.raises(SegmentDamaged):
        _core.Segment.attach(os.dup(segment.fileno()), _shm.RING)
    with pytest.raises(OSError, match="Bad file descriptor"):
        _core.Segment.attach(1 << 20, _shm.DATA)


def test_arena_is_passed_to_a_child_only() -> None:
    with pytest.raises(RuntimeError, match="through inheritance"):
        pickle.dumps(Arena(100))


@pytest.mark.skipif(
    ASAN, reason="another library must be loaded first, and a sanitizer wants to be"
)
def test_no_space(tmp_path: Any, run_script: Any) -> None:
    """Where the system has no page left, an exception says so, and what there is goes on."""
    run_script(
        """
        import errno
        import concx.multiprocessing as mp
        from concx.shm import Arena
        arena, q = Arena(64 << 20), mp.Queue()
        block = arena.block(1000)
        q.put("small")
        for attempt in (lambda: arena.block(32 << 20), lambda: q.put(b"x" * (32 << 20))):
            try:
                attempt()
            except OSError as error:
                assert error.errno == errno.ENOSPC
            else:
                raise SystemExit("there was room")
        q.put("small")
        assert q.get_many(9) == ["small", "small"]
        block[:] = bytes(1000)
        """,
        env={**space_is_limited(tmp_path), "NO_SPACE_BEYOND": str(4 << 20)},
    )


def use(array: Any, back: Any, go: Any) -> None:
    array += 1
    mine = shared_array(numpy.arange(6.0))
    back.put(mine[::2])
    back.put(array[1:, ::-1])
    back.put(array * 2)
    assert go.get() == "go"
    assert mine[2] == 77


@needs_numpy
@pytest.mark.parametrize("method", METHODS)
def test_arrays_cross_without_a_copy(method: str) -> None:
    array = shared_empty((3, 2), "i4")
    array[...] = [[1, 2], [3, 4], [5, 6]]
    back: Any = mp.Queue()
    go: Any = mp.Queue()
    with running(method, use, array, back, go):
        theirs, part, copy = back.get(), back.get(), back.get()
        assert array.tolist() == [[2, 3], [4, 5], [6, 7]]
        assert theirs.tolist() == [0, 2, 4]
        theirs[1] = 77
        assert part.tolist() == [[5, 4], [7, 6]]
        part[0, 0] = -1
        assert array[1, 1] == -1
        assert type(copy) is numpy.ndarray
        assert copy.tolist() == [[4, 6], [8, 10], [12, 14]]
        go.put("go")


@needs_numpy
def test_arrays() -> None:
    array = shared_array([[1, 2], [3, 4]])
    assert type(array[0]) is type(array)
    assert type(array + 1) is numpy.ndarray
    before = array
    array += 1
    assert array is before
    assert array.sum() == 14
    assert isinstance(array.sum(), numpy.integer)
    assert shared_empty(0).shape == (0,)
    assert shared_empty((), "f4").shape == ()
    arena = Arena(1 << 20)
    inside = arena.array([1.5, 2.5])
    assert arena.stats().used > 0
    assert inside.tolist() == [1.5, 2.5]
    with pytest.raises(ValueError, match="Python objects"):
        shared_empty(3, object)
    with pytest.raises(ValueError, match="-1"):
        shared_empty(-1)
    with pytest.raises(MemoryError):
        arena.empty(1 << 20)


def attach_and_end(name: str) -> None:
    other = SharedMemory(name)
    assert bytes(other.buf[:4]) == b"data"
    other.buf[:4] = b"seen"
    other.close()


@pytest.mark.parametrize("method", METHODS)
def test_named(method: str) -> None:
    memory = SharedMemory(create=True, size=100)
    try:
        memory.buf[:4] = b"data"
        with running(method, attach_and_end, memory.name):
            pass
        assert bytes(memory.buf[:4]) == b"seen"
        again = pickle.loads(pickle.dumps(memory))
        assert (again.name, again.size) == (memory.name, memory.size)
        again.close()
    finally:
        memory.close()
        memory.unlink()
    with pytest.raises(FileNotFoundError):
        SharedMemory(memory.name)
    with pytest.raises(ValueError, match="'name'"):
        SharedMemory()
    with pytest.raises(ValueError, match="'size'"):
        SharedMemory("x", size=-1)


ATTACH = """
import sys
from concx.shm import SharedMemory
memory = SharedMemory(sys.argv[1])
memory.buf[0] = 7
if sys.argv[2:] == ["unlink"]:
    memory.unlink()
memory.close()
"""


@pytest.mark.parametrize("unlinked_by", ["creator", "attacher"])
def test_named_survives_an_unrelated_process(run_script: Any, unlinked_by: str) -> None:
    """The standard class's tracker of the attacher would unlink it, and print warnings."""
    done = run_script(
        f"""
        import subprocess, sys
        from concx.shm import SharedMemory
        memory = SharedMemory(create=True, size=10)
        how = ["unlink"] if {unlinked_by!r} == "attacher" else []
        subprocess.run([sys.executable, "-c", {ATTACH!r}, memory.name, *how], check=True)
        assert memory.buf[0] == 7
        if not how:
            SharedMemory(memory.name).close()
            memory.unlink()
        memory.close()
        """
    )
    assert done.stderr == ""


def test_named_is_unlinked_when_its_creator_is_killed() -> None:
    source = (
        "import os\nfrom concx.shm import SharedMemory\nm = SharedMemory(create=True, size=10)\n"
        "print(m.name, flush=True)\nos.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=50, check=False
    )
    assert not os.path.exists("/dev/shm/" + done.stdout.strip())
