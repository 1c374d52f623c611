"""Memory that processes share, without names and without leaks.

>>> from concx.shm import Arena
>>> arena = Arena(1 << 20)
>>> view = arena.block(16)
>>> view[:5] = b"hello"

`shared_empty` and `shared_array` make NumPy arrays whose bytes cross to other processes without a copy.
"""

from __future__ import annotations

import _posixshmem  # type: ignore[import-not-found]
import functools
import importlib
import math
import mmap
import os
from dataclasses import dataclass
from multiprocessing import context, resource_tracker, shared_memory
from typing import Any

from concx import _shm
from concx._core import SegmentDamaged

__all__ = [
    "Arena",
    "ArenaStats",
    "SegmentDamaged",
    "SharedMemory",
    "shared_array",
    "shared_empty",
]


@dataclass(frozen=True)
class ArenaStats:
    """What an arena holds, in bytes."""

    size: int
    used: int


class Arena:
    """Memory for blocks and arrays that other processes may see.

    Blocks are handed out by the process that made the arena. The memory of one that is dropped goes to
    the next of its size, with warm pages; unless another process may know it, because it was sent or
    the process has forked since: that memory is freed with the arena. All of it is freed when the last
    object in it is, in whatever process, however the processes end.

    Parameters
    ----------
    size : int
        Bytes that it may come to; they take memory once they are used.

    Raises
    ------
    OSError
        If the system refuses: no descriptors, no memory.

    Notes
    -----
    Thread safety: every method may be called from any thread.
    """

    def __init__(self, size: int) -> None:
        self._segment = _shm.unique(_shm.Segment(_shm.DATA, size))

    def __repr__(self) -> str:
        return f"<concx.shm.Arena size={self._segment.size} used={self._segment.used}>"

    def __reduce__(self) -> Any:
        context.assert_spawning(self)
        return _attach_arena, (self._segment,)

    def block(self, size: int) -> memoryview:
        """A writable view of `size` bytes, zeroed, that keeps them alive.

        Raises
        ------
        MemoryError
            If the arena has no room left, or another process made it.
        OSError
            If there is no memory.
        """
        return _shm.Block(self._segment, size).create_memoryview()

    def empty(self, shape: Any, dtype: Any = float) -> Any:
        """A NumPy array in the arena, its contents whatever they were; see `shared_empty`."""
        return shared_empty(shape, dtype, arena=self)

    def array(self, values: Any) -> Any:
        """A copy of `values` as a NumPy array in the arena; see `shared_array`."""
        return shared_array(values, arena=self)

    def stats(self) -> ArenaStats:
        """How much there is, and how much is handed out."""
        return ArenaStats(self._segment.size, self._segment.used)


def _attach_arena(segment: _shm.Segment) -> Arena:
    arena = Arena.__new__(Arena)
    arena._segment = _shm.unique(segment)
    return arena


@functools.cache
def _array_type() -> Any:
    """The class of shared arrays; made at first use, because NumPy is not required."""
    numpy = importlib.import_module("numpy")

    class SharedArray(numpy.ndarray):  # type: ignore[misc, name-defined]
        """A NumPy array in shared memory; a view of one too. What is computed from it is not."""

        _block: Any = None

        def __array_finalize__(self, source: Any) -> None:
            self._block = getattr(source, "_block", None)

        def __array_wrap__(
            self, array: Any, context: Any = None, return_scalar: bool = False
        ) -> Any:
            if array is self:
                return array
            return array[()] if return_scalar else numpy.asarray(array)

        def __reduce__(self) -> Any:
            start = self._block and self._offset()
            if start is None:
                return numpy.asarray(self).__reduce__()
            segment, offset, size = self._block.place()
            self._block.expose()
            return _rebuild_array, (
                _shm.on_its_way(segment),
                (offset, size),
                (self.shape, self.dtype, start, self.strides),
            )

        def _offset(self) -> int | None:
            """Where in its block it begins; None if it is not, all of it, there."""
            low = high = self.__array_interface__["data"][0] - self._block.address
            begin = low
            for length, stride in zip(self.shape, self.strides, strict=True):
                low += min(0, (length - 1) * stride) if length else 0
                high += max(0, (length - 1) * stride) if length else 0
            inside = low >= 0 and high + self.itemsize <= self._block.place()[2]
            return begin if inside else None

    SharedArray.__module__ = __name__
    SharedArray.__qualname__ = SharedArray.__name__ = "SharedArray"
    return SharedArray


def _make_array(block: Any, *arguments: Any) -> Any:
    shape, dtype, start, strides = arguments
    array = _array_type()(shape, dtype, block, start, strides)
    array._block = block
    return array


def _rebuild_array(segment: _shm.Segment, place: tuple[int, int], how: tuple[Any, ...]) -> Any:
    return _make_array(_shm.Block.attach(_shm.unique(segment), *place), *how)


def shared_empty(shape: Any, dtype: Any = float, *, arena: Arena | None = None) -> Any:
    """A NumPy array whose bytes live in shared memory.

    Sent to another process, as an argument of one that is being started or inside a message, it is
    the same array there: both see what either writes.

    Parameters
    ----------
    shape : int or tuple of int
    dtype : NumPy data type, default float64
        Without Python objects inside.
    arena : Arena, optional
        Where it is; otherwise memory of its own.

    Returns
    -------
    numpy.ndarray
        A subclass, of that shape; its contents are whatever the memory held, zeros if it is new.

    Raises
    ------
    ValueError
        If the data type holds Python objects.
    MemoryError, OSError
        If there is no room in the arena, or no memory.

    Notes
    -----
    Thread safety: that of NumPy's arrays.
    """
    numpy = importlib.import_module("numpy")
    kind = numpy.dtype(dtype)
    if kind.hasobject:
        raise ValueError(f"'dtype' must not hold Python objects, got {kind!r}")
    lengths = (int(shape),) if isinstance(shape, int) else tuple(int(n) for n in shape)
    if any(n < 0 for n in lengths):
        raise ValueError(f"'shape' must not be negative, got {shape!r}")
    size = max(math.prod(lengths) * kind.itemsize, 1)
    if arena is None:
        segment = _shm.unique(_shm.Segment(_shm.DATA, size + 64))
    else:
        segment = arena._segment
    return _make_array(_shm.Block(segment, size, False), lengths, kind, 0, None)


def shared_array(values: Any, *, arena: Arena | None = None) -> Any:
    """A copy of `values` in shared memory; see `shared_empty`."""
    numpy = importlib.import_module("numpy")
    source = numpy.asarray(values)
    array = shared_empty(source.shape, source.dtype, arena=arena)
    array[...] = source
    return array


class SharedMemory(shared_memory.SharedMemory):
    """`multiprocessing.shared_memory.SharedMemory`, whose attachers leave the memory alone.

    The standard class tells a resource tracker of every process that attaches, and a tracker unlinks
    the memory when its processes end, though the creator goes on. Here only the creator is tracked: the
    memory is unlinked if the creator's processes end without having done so.

    Parameters
    ----------
    name, create, size
        As in the standard class.
    track : bool, default True
        Whether the creator is tracked.

    Notes
    -----
    Thread safety: that of the standard class.
    """

    _tracked = False

    def __init__(
        self, name: str | None = None, create: bool = False, size: int = 0, *, track: bool = True
    ) -> None:
        if create:
            super().__init__(name, create, size)
            self._tracked = True
            if not track:
                self._forget()
            return
        if name is None:
            raise ValueError("'name' can only be None if create=True")
        if size < 0:
            raise ValueError("'size' must be a positive integer")
        self._track = False
        self._name = name if name.startswith("/") else "/" + name
        self._fd = _posixshmem.shm_open(self._name, os.O_RDWR, mode=0o600)
        self._size = os.fstat(self._fd).st_size
        self._mmap = mmap.mmap(self._fd, self._size)
        self._buf = memoryview(self._mmap)

    def _forget(self) -> None:
        if self._tracked:
            self._tracked = False
            resource_tracker.unregister(self._name, "shared_memory")

    def close(self) -> None:
        """Unmap it in this process."""
        super().close()
        # Another process has unlinked it: the tracker need not.
        if self._tracked and not os.path.exists("/dev/shm" + self._name):
            self._forget()

    def unlink(self) -> None:
        """Destroy the memory once every process has closed it."""
        _posixshmem.shm_unlink(self._name)
        self._forget()
