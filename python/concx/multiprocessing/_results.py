"""What the methods of a pool of `concx.multiprocessing` return."""

from __future__ import annotations

import collections
import itertools
import logging
import multiprocessing.pool as _standard
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from multiprocessing import TimeoutError as _TimeoutError
from time import monotonic
from typing import Any, TypeVar

from concx.futures._base import Future

__all__ = ["ApplyResult", "IMapIterator", "IMapUnorderedIterator", "MapResult"]

_T = TypeVar("_T")

_LOGGER = logging.getLogger("concx.multiprocessing")

TERMINATED = "the pool was terminated"
"""What results say that will never come; it is no news for a callback, as with the standard pool."""

_Submit = Callable[..., Future[Any]]


def _call_back(callback: Callable[[Any], object] | None, value: Any) -> None:
    if callback is None:
        return
    try:
        callback(value)
    except Exception:
        _LOGGER.exception("exception calling callback %r", callback)


def _tell(
    error: BaseException | None,
    value: Any,
    callback: Callable[[Any], object] | None,
    error_callback: Callable[[BaseException], object] | None,
) -> None:
    if error is None:
        _call_back(callback, value)
    elif error.args != (TERMINATED,):
        _call_back(error_callback, error)


def _settle_after(
    outer: Future[Any],
    callback: Callable[[Any], object] | None,
    error_callback: Callable[[Any], object] | None,
    inner: Future[Any],
) -> None:
    """The callback has run when the result is seen to be there, as with the standard pool."""
    error = inner.exception()
    value = None if error is not None else inner.result()
    try:
        _tell(error, value, callback, error_callback)
    finally:
        if error is None:
            outer.set_result(value)
        else:
            outer.set_exception(error)


class ApplyResult(_standard.ApplyResult[_T]):
    """The outcome of `Pool.apply_async`; also called `AsyncResult`. It can be awaited.

    Notes
    -----
    Thread safety: every method may be called from any thread.
    """

    def __init__(
        self,
        future: Future[_T],
        callback: Callable[[_T], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> None:
        self._future = future
        if callback is not None or error_callback is not None:
            self._future = Future()
            future.add_done_callback(partial(_settle_after, self._future, callback, error_callback))

    def ready(self) -> bool:
        """Whether it is there."""
        return self._future.done()

    def successful(self) -> bool:
        """Whether the call returned; ValueError if it still runs."""
        if not self._future.done():
            raise ValueError(f"{self!r} not ready")
        return self._future.exception() is None

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it is there, or for so many seconds."""
        if timeout is not None and timeout < 0:
            return
        try:
            self._future.exception(timeout)
        except TimeoutError:
            pass

    def get(self, timeout: float | None = None) -> _T:
        """What the call returned, or raise what it raised.

        Raises
        ------
        multiprocessing.TimeoutError
            If it is not there after so many seconds.
        """
        if timeout is not None:
            self.wait(timeout)
            if not self._future.done():
                raise _TimeoutError
        return self._future.result()

    def __await__(self) -> Generator[Any, Any, _T]:
        return self._future.__await__()


class MapResult(ApplyResult[list[_T]], _standard.MapResult[_T]):
    """The outcome of `Pool.map_async` and `Pool.starmap_async`. It can be awaited.

    Notes
    -----
    Thread safety: every method may be called from any thread.
    """

    def __init__(
        self,
        length: int,
        chunksize: int,
        callback: Callable[[list[_T]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> None:
        self._future = Future()
        self._callbacks = callback, error_callback
        self._chunksize = chunksize
        self._value: list[Any] = [None] * length
        self._error: BaseException | None = None
        self._number_left = 0 if chunksize <= 0 else -(-length // chunksize)
        self._open = 1  # chunks that were sent and are not back; one more until all were sent
        self._lock = threading.Lock()

    def _send(self, submit: _Submit, mapper: Any, func: Any, items: Iterable[Any]) -> None:
        """Send all chunks."""
        if self._chunksize <= 0:
            self._future.set_result(self._value)
            return
        try:
            left = iter(items)
            for i in itertools.count():
                chunk = tuple(itertools.islice(left, self._chunksize))
                if not chunk:
                    break
                with self._lock:
                    self._open += 1
                try:
                    future = submit(mapper, (func, chunk))
                except BaseException:
                    with self._lock:
                        self._open -= 1
                    raise
                future.add_done_callback(partial(self._arrived, i))
        except Exception as error:
            self._error = self._error or error
        self._close(1)

    def _arrived(self, i: int, future: Future[Any]) -> None:
        error = future.exception()
        if error is None:
            at = i * self._chunksize
            self._value[at : at + self._chunksize] = future.result()
        else:
            self._error = self._error or error  # only the first one
        self._number_left -= 1
        self._close(1)

    def _close(self, chunks: int) -> None:
        with self._lock:
            self._open -= chunks
            if self._open:
                return
        # All have run, as with the standard pool: it does not fail before.
        callbacks = self._callbacks
        self._callbacks = None, None
        try:
            _tell(self._error, self._value, *callbacks)
        finally:
            if self._error is None:
                self._future.set_result(self._value)
            else:
                self._future.set_exception(self._error)


class IMapIterator(_standard.IMapIterator):  # type: ignore[type-arg]
    """The results of `Pool.imap`, in order.

    Notes
    -----
    Thread safety: every method may be called from any thread.
    """

    def __init__(self, ahead: int) -> None:
        lock = threading.Lock()
        self._cond = threading.Condition(lock)
        self._space = threading.Condition(lock)  # the feeder waits for room
        self._ahead = ahead
        self._items: collections.deque[tuple[bool, Any]] = collections.deque()
        self._index = 0
        self._length: int | None = None
        self._unsorted: dict[int, tuple[bool, Any]] = {}
        self._sent = 0  # and not back

    def _feed(self, submit: _Submit, func: Any, items: Iterable[Any]) -> None:
        """Send the calls, not further ahead of the workers than they can be kept busy by."""
        i = 0
        try:
            for item in items:
                with self._space:
                    while self._sent >= self._ahead:
                        self._space.wait()
                    self._sent += 1
                future = submit(func, item)
                future.add_done_callback(partial(self._arrived, i))
                i += 1
                del item
        except BaseException as error:
            self._set(i, (False, error))
            i += 1
        self._set_length(i)

    def _arrived(self, i: int, future: Future[Any]) -> None:
        error = future.exception()
        self._set(i, (True, future.result()) if error is None else (False, error))
        with self._space:
            self._sent -= 1
            if self._sent == self._ahead // 2:  # once for many
                self._space.notify()

    def _set(self, i: int, obj: tuple[bool, Any]) -> None:
        with self._cond:
            self._unsorted[i] = obj
            while self._index in self._unsorted:
                self._items.append(self._unsorted.pop(self._index))
                self._index += 1
                self._cond.notify()

    def _set_length(self, length: int) -> None:
        with self._cond:
            self._length = length
            self._cond.notify_all()

    def next(self, timeout: float | None = None) -> Any:
        """The next result, or raise what that call raised.

        Raises
        ------
        multiprocessing.TimeoutError
            If it is not there after so many seconds.
        StopIteration
            After the last one.
        """
        end = None if timeout is None else monotonic() + timeout
        with self._cond:
            while not self._items:
                if self._index == self._length:
                    raise StopIteration
                left = None if end is None else end - monotonic()
                if left is not None and left <= 0:
                    raise _TimeoutError
                self._cond.wait(left)
            success, value = self._items.popleft()
        if success:
            return value
        raise value

    __next__ = next


class IMapUnorderedIterator(IMapIterator, _standard.IMapUnorderedIterator):  # type: ignore[type-arg]
    """The results of `Pool.imap_unordered`, as they come.

    Notes
    -----
    Thread safety: every method may be called from any thread.
    """

    def _set(self, i: int, obj: tuple[bool, Any]) -> None:
        with self._cond:
            self._items.append(obj)
            self._index += 1
            self._cond.notify()


def chunks(func: Any, items: Iterable[Any], size: int) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Several items at a time, as `multiprocessing.pool.mapstar` takes them."""
    left = iter(items)
    while chunk := tuple(itertools.islice(left, size)):
        yield func, chunk
