"""The inside of the standard queue that callers reach into: mutex, conditions, the container, the hooks."""

from __future__ import annotations

import queue as stdlib
import threading
from collections import deque
from types import MethodType, ModuleType
from typing import Any

import pytest

from queue_tools import LIMIT, Worker, wait_until

# -- mutex ------------------------------------------------------------------------------------------


def test_the_mutex_excludes(cls: type) -> None:
    q = cls()
    with q.mutex:
        putter = Worker(q.put, 1)
        assert q.mutex.locked()
        putter.join(0.02)
        assert putter.is_alive()
        assert len(q.queue) == 0
    putter.result()
    assert q.qsize() == 1
    with q.mutex:
        getter = Worker(q.get)
        getter.join(0.02)
        assert getter.is_alive()
        assert len(q.queue) == 1
    assert getter.result() == 1


def test_the_mutex_is_a_lock(cls: type) -> None:
    q = cls()
    assert q.mutex.acquire()
    assert q.mutex.locked()
    # From another thread: concx's mutex may be taken again by its holder, so that a signal handler or
    # a finaliser that puts while the mutex is held does not hang.
    assert not Worker(q.mutex.acquire, blocking=False).result()
    assert not Worker(q.mutex.acquire, timeout=0.001).result()
    q.mutex.release()
    assert not q.mutex.locked()
    with pytest.raises(RuntimeError):
        q.mutex.release()
    assert q.mutex is q.mutex


def test_clear_under_the_mutex(impl: ModuleType) -> None:
    """What most callers of `.mutex` do."""
    q = impl.Queue(3)
    for item in range(3):
        q.put(item)
    with q.mutex:
        q.queue.clear()
        q.all_tasks_done.notify_all()
        q.unfinished_tasks = 0
        q.not_full.notify_all()
    assert q.empty()
    q.join()
    q.put(1)
    assert q.get() == 1


def test_clear_under_the_mutex_with_a_waiting_put(impl: ModuleType) -> None:
    q = impl.Queue(1)
    q.put(0)
    putter = Worker(q.put, 1)
    while True:
        with q.mutex:
            q.queue.clear()
            q.not_full.notify_all()
        if not putter.is_alive():
            break
        putter.join(0.002)
    putter.result()


def test_two_threads_under_one_mutex(cls: type) -> None:
    q = cls()
    counter = [0]

    def work() -> None:
        for _ in range(200):
            with q.mutex:
                seen = counter[0]
                q.queue.append(1)
                counter[0] = seen + 1

    workers = [Worker(work) for _ in range(3)]
    for worker in workers:
        worker.result()
    assert counter[0] == 600
    assert q.qsize() == 600


# -- the container --------------------------------------------------------------------------------


def test_the_container_is_live(cls: type, name: str) -> None:
    q = cls()
    q.put(2)
    q.put(1)
    assert type(q.queue) is (deque if name == "Queue" else list)
    assert sorted(q.queue) == [1, 2]
    assert q.queue is q.queue
    q.queue.append(3)
    assert q.qsize() == 3
    q.put(4)
    assert len(q.queue) == 4
    q.queue.clear()
    assert q.empty()
    with pytest.raises(stdlib.Empty):
        q.get_nowait()


def test_the_container_orders(impl: ModuleType) -> None:
    q = impl.Queue()
    for item in "abc":
        q.put(item)
    assert q.queue[0] == "a"
    assert q.queue.pop() == "c"
    q.queue.remove("a")
    assert q.get() == "b"
    q.queue.appendleft("z")
    q.put("y")
    assert [q.get(), q.get()] == ["z", "y"]
    stack = impl.LifoQueue()
    stack.put(1)
    stack.put(2)
    assert stack.queue == [1, 2]
    assert stack.queue.pop(0) == 1
    heap = impl.PriorityQueue()
    for item in (3, 1, 2):
        heap.put(item)
    assert heap.queue[0] == 1
    assert sorted(heap.queue) == [1, 2, 3]


def test_another_container_can_be_assigned(impl: ModuleType) -> None:
    q = impl.Queue()
    q.put(1)
    q.queue = deque([7, 8])
    assert [q.get(), q.get()] == [7, 8]
    assert q.empty()


def test_contains_and_iteration(impl: ModuleType) -> None:
    q = impl.Queue()
    for item in range(5):
        q.put(item)
    assert 3 in q.queue
    assert list(q.queue) == [0, 1, 2, 3, 4]
    assert q.qsize() == 5


# -- conditions ------------------------------------------------------------------------------------


def test_conditions_share_the_mutex(cls: type) -> None:
    q = cls()
    for condition in (q.not_empty, q.not_full, q.all_tasks_done):
        assert isinstance(condition, threading.Condition)
        with condition:
            assert q.mutex.locked()
        assert not q.mutex.locked()
        with pytest.raises(RuntimeError):
            condition.notify()
        with pytest.raises(RuntimeError):
            condition.wait()
    assert q.not_empty is q.not_empty
    assert q.not_empty is not q.not_full


def test_not_empty_is_notified_by_put(cls: type) -> None:
    """multiprocessing.dummy waits this way."""
    q = cls()
    ready = threading.Event()

    def poll() -> bool:
        with q.not_empty:
            ready.set()
            return bool(q.not_empty.wait(LIMIT))

    worker = Worker(poll)
    ready.wait(LIMIT)
    with q.mutex:  # the worker waits, or it would hold the mutex
        pass
    q.put(1)
    assert worker.result() is True
    with q.not_empty:
        assert q.not_empty.wait(0.001) is False


def test_not_full_is_notified_by_get(cls: type) -> None:
    q = cls(1)
    q.put(1)
    ready = threading.Event()

    def poll() -> bool:
        with q.not_full:
            ready.set()
            return bool(q.not_full.wait(LIMIT))

    worker = Worker(poll)
    ready.wait(LIMIT)
    with q.mutex:
        pass
    q.get()
    assert worker.result() is True


def test_all_tasks_done_is_notified_by_task_done(cls: type) -> None:
    """A join with a time-out, as people write it."""
    q = cls()
    q.put(1)
    ready = threading.Event()

    def join() -> bool:
        with q.all_tasks_done:
            ready.set()
            return bool(q.all_tasks_done.wait_for(lambda: not q.unfinished_tasks, LIMIT))

    worker = Worker(join)
    ready.wait(LIMIT)
    q.get()
    q.task_done()
    assert worker.result() is True


def test_notify_under_the_condition(cls: type) -> None:
    q = cls()
    with q.not_empty:
        q.not_empty.notify()
        q.not_empty.notify_all()
    with q.mutex:
        q.not_full.notify_all()
    assert q.empty()


def test_a_get_written_out_by_hand(cls: type) -> None:
    """Some callers copy the body of get and put into a subclass."""
    from time import monotonic

    class Copied(cls):  # type: ignore[misc, valid-type]
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            with self.not_empty:
                if not block:
                    if not self._qsize():
                        raise stdlib.Empty
                elif timeout is None:
                    while not self._qsize():
                        self.not_empty.wait()
                else:
                    end = monotonic() + timeout
                    while not self._qsize():
                        left = end - monotonic()
                        if left <= 0.0:
                            raise stdlib.Empty
                        self.not_empty.wait(left)
                item = self._get()
                self.not_full.notify()
                return item

        def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
            with self.not_full:
                if self.maxsize > 0:
                    if not block:
                        if self._qsize() >= self.maxsize:
                            raise stdlib.Full
                    else:
                        while self._qsize() >= self.maxsize:
                            self.not_full.wait()
                self._put(item)
                self.unfinished_tasks += 1
                self.not_empty.notify()

    q = Copied(1)
    getter = Worker(q.get)
    q.put(1)
    assert getter.result() == 1
    q.put(2)
    with pytest.raises(stdlib.Full):
        q.put_nowait(3)
    putter = Worker(q.put, 4)
    assert q.get() == 2
    putter.result()
    assert q.get(timeout=1) == 4
    with pytest.raises(stdlib.Empty):
        q.get(timeout=0.001)
    for _ in range(3):
        q.task_done()
    q.join()


# -- hooks -----------------------------------------------------------------------------------------


def test_hooks_of_a_subclass_run_under_the_mutex(impl: ModuleType) -> None:
    calls: list[tuple[str, bool]] = []

    class Hooked(impl.Queue):  # type: ignore[misc, name-defined]
        def _init(self, maxsize: int) -> None:
            calls.append(("init", hasattr(self, "mutex") and self.mutex.locked()))
            self.store: list[Any] = []

        def _qsize(self) -> int:
            calls.append(("qsize", self.mutex.locked()))
            return len(self.store)

        def _put(self, item: Any) -> None:
            calls.append(("put", self.mutex.locked()))
            self.store.insert(0, item)

        def _get(self) -> Any:
            calls.append(("get", self.mutex.locked()))
            return self.store.pop(0)

    q = Hooked(2)
    assert calls == [("init", False)]
    q.put(1)
    q.put(2)
    with pytest.raises(stdlib.Full):
        q.put_nowait(3)
    assert q.full()
    assert q.qsize() == 2
    assert [q.get(), q.get()] == [2, 1]
    assert all(locked for what, locked in calls if what != "init")
    assert {what for what, _ in calls} == {"init", "qsize", "put", "get"}


def test_init_sees_maxsize(impl: ModuleType) -> None:
    seen: list[Any] = []

    class Hooked(impl.Queue):  # type: ignore[misc, name-defined]
        def _init(self, maxsize: int) -> None:
            seen.append((maxsize, self.maxsize))
            super()._init(maxsize)

    assert Hooked(3).maxsize == 3
    assert seen == [(3, 3)]


def test_a_unique_queue(impl: ModuleType) -> None:
    """The subclass that half the world has written."""

    class UniqueQueue(impl.Queue):  # type: ignore[misc, name-defined]
        def _init(self, maxsize: int) -> None:
            self.queue = set()

        def _put(self, item: Any) -> None:
            self.queue.add(item)

        def _get(self) -> Any:
            return self.queue.pop()

    q = UniqueQueue()
    for item in (1, 1, 2, 2):
        q.put(item)
    assert q.qsize() == 2
    assert {q.get(), q.get()} == {1, 2}
    assert q.unfinished_tasks == 4


def test_an_explicit_call_of_the_base_hook(impl: ModuleType) -> None:
    class Half(impl.Queue):  # type: ignore[misc, name-defined]
        def _put(self, item: Any) -> None:
            impl.Queue._put(self, item * 2)

        def _get(self) -> Any:
            return impl.Queue._get(self) + 1

    q = Half()
    q.put(4)
    assert q.get() == 9


def test_lifo_and_priority_hooks_by_super(impl: ModuleType) -> None:
    class Lifo(impl.LifoQueue):  # type: ignore[misc, name-defined]
        def _put(self, item: Any) -> None:
            super()._put(("lifo", item))

    class Heap(impl.PriorityQueue):  # type: ignore[misc, name-defined]
        def _put(self, item: Any) -> None:
            super()._put(-item)

        def _get(self) -> Any:
            return -super()._get()

    q = Lifo()
    q.put(1)
    q.put(2)
    assert [q.get(), q.get()] == [("lifo", 2), ("lifo", 1)]
    heap = Heap()
    for item in (1, 3, 2):
        heap.put(item)
    assert [heap.get() for _ in range(3)] == [3, 2, 1]


def test_hooks_can_be_called_directly(cls: type) -> None:
    q = cls()
    with q.mutex:
        q._put(1)
        assert q._qsize() == 1
        assert q._get() == 1
    q._init(0)
    assert q.qsize() == 0


def test_hooks_of_one_instance(impl: ModuleType) -> None:
    """pebble wraps `_put` of a queue that exists already."""
    q, other = impl.Queue(), impl.Queue()
    q.put(0)
    seen: list[Any] = []
    original = q._put

    def spy(self: Any, item: Any) -> None:
        assert self is q
        seen.append((item, self.mutex.locked()))
        original(item)

    with q.mutex:
        q._put = MethodType(spy, q)
    q.put(1)
    other.put(5)
    assert seen == [(1, True)]
    assert [q.get(), q.get()] == [0, 1]
    q._get = lambda: "mine"
    q.put(2)
    assert q.get() == "mine"
    q._qsize = lambda: 77
    assert q.qsize() == 77


def test_a_raising_hook(cls: type) -> None:
    class Failing(cls):  # type: ignore[misc, valid-type]
        fail = False

        def _put(self, item: Any) -> None:
            if self.fail:
                raise ZeroDivisionError
            super()._put(item)

        def _get(self) -> Any:
            if self.fail:
                raise ZeroDivisionError
            return super()._get()

    q = Failing(2)
    q.put(1)
    q.fail = True
    with pytest.raises(ZeroDivisionError):
        q.put(2)
    with pytest.raises(ZeroDivisionError):
        q.get()
    assert not q.mutex.locked()
    assert q.unfinished_tasks == 1
    q.fail = False
    assert q.qsize() == 1
    q.put(2)
    assert sorted([q.get(), q.get()]) == [1, 2]


def test_a_failing_init(impl: ModuleType) -> None:
    class Failing(impl.Queue):  # type: ignore[misc, name-defined]
        def _init(self, maxsize: int) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Failing()


def test_waiting_callers_and_hooks(impl: ModuleType) -> None:
    class Counted(impl.Queue):  # type: ignore[misc, name-defined]
        def _init(self, maxsize: int) -> None:
            self.store: deque[Any] = deque()

        def _qsize(self) -> int:
            return len(self.store)

        def _put(self, item: Any) -> None:
            self.store.append(item)

        def _get(self) -> Any:
            return self.store.popleft()

    q = Counted(1)
    getter = Worker(q.get)
    q.put(1)
    assert getter.result() == 1
    q.put(2)
    putter = Worker(q.put, 3)
    assert q.get() == 2
    putter.result()
    assert q.get() == 3


def test_the_urllib3_queue(impl: ModuleType) -> None:
    """urllib3's LifoQueue: `_qsize` with a default argument, `deque` inside."""

    class LifoQueue(impl.Queue):  # type: ignore[misc, name-defined]
        def _init(self, _: int) -> None:
            self.queue: deque[Any] = deque()

        def _qsize(self, len: Any = len) -> int:
            return len(self.queue)  # type: ignore[no-any-return]

        def _put(self, item: Any) -> None:
            self.queue.append(item)

        def _get(self) -> Any:
            return self.queue.pop()

    q = LifoQueue(2)
    q.put(None)
    q.put("conn")
    assert q.get(block=True, timeout=None) == "conn"
    assert q.get(block=False) is None
    with pytest.raises(stdlib.Empty):
        q.get(block=False)


def test_many_threads_with_the_inside_in_use(cls: type) -> None:
    """Traffic through put and get while another thread looks under the mutex."""
    q = cls(4)
    total = 400
    stop = threading.Event()

    def look() -> int:
        looks = 0
        while not stop.is_set():
            with q.mutex:
                assert len(q.queue) == q._qsize() <= 4
            looks += 1
        return looks

    got: list[int] = []
    watcher = Worker(look)
    consumer = Worker(lambda: [got.append(q.get()) for _ in range(total)])
    producers = [Worker(lambda: [q.put(item) for item in range(total // 2)]) for _ in range(2)]
    for producer in producers:
        producer.result()
    consumer.result()
    wait_until(q.empty)
    stop.set()
    watcher.result()
    assert sorted(got) == sorted(list(range(total // 2)) * 2)
