"""The queue classes as objects: names, types, subclassing, weak references, copies, the protocols of logging."""

from __future__ import annotations

import copy
import gc
import logging
import logging.config
import logging.handlers
import pickle
import queue as stdlib
import types
import weakref
from types import ModuleType
from typing import Any

import pytest

import concx.queue
from queue_tools import Worker, wait_until


def test_names(cls: type, name: str) -> None:
    assert cls.__name__ == name
    assert cls.__qualname__ == name
    assert type(cls()).__name__ == name


def test_simple_queue_name(impl: ModuleType) -> None:
    assert impl.SimpleQueue.__name__ == "SimpleQueue"


def test_is_a_standard_queue(cls: type, name: str) -> None:
    assert issubclass(cls, getattr(stdlib, name))
    assert isinstance(cls(), stdlib.Queue)
    assert isinstance(cls(), getattr(stdlib, name))


def test_the_hierarchy(impl: ModuleType) -> None:
    assert issubclass(impl.LifoQueue, stdlib.Queue)
    assert issubclass(impl.PriorityQueue, stdlib.Queue)
    assert not isinstance(impl.Queue(), impl.LifoQueue)
    assert not isinstance(impl.SimpleQueue(), stdlib.Queue)


def test_concx_classes_among_themselves() -> None:
    assert issubclass(concx.queue.LifoQueue, concx.queue.Queue) == issubclass(
        stdlib.LifoQueue, stdlib.Queue
    )
    assert issubclass(concx.queue.PriorityQueue, concx.queue.Queue)


def test_every_public_name_is_there() -> None:
    names = set(stdlib.__all__) | {"ShutDown"}
    assert names <= set(concx.queue.__all__)
    for public in concx.queue.__all__:
        assert hasattr(concx.queue, public), public


def test_generic(cls: type) -> None:
    alias = cls[int]  # type: ignore[index]
    assert isinstance(alias, types.GenericAlias)
    assert alias.__origin__ is cls
    assert alias.__args__ == (int,)
    q = alias(2)
    assert type(q) is cls
    assert q.maxsize == 2


def test_generic_simple_queue(impl: ModuleType) -> None:
    alias = impl.SimpleQueue[str]
    assert alias.__origin__ is impl.SimpleQueue
    assert type(alias()) is impl.SimpleQueue


def test_weak_references(impl: ModuleType, name: str) -> None:
    for make in (getattr(impl, name), impl.SimpleQueue):
        q = make()
        dead: list[Any] = []
        ref = weakref.ref(q, dead.append)
        assert ref() is q
        del q
        gc.collect()
        assert ref() is None
        assert dead == [ref]


def test_attributes_of_the_user(cls: type) -> None:
    q = cls()
    q.label = "mine"
    assert q.label == "mine"
    assert vars(q)["label"] == "mine"
    del q.label
    assert not hasattr(q, "label")
    with pytest.raises(AttributeError):
        q.no_such_name  # noqa: B018


def test_no_attributes_on_simple_queue(impl: ModuleType) -> None:
    q = impl.SimpleQueue()
    with pytest.raises(AttributeError):
        q.label = 1


def test_identity_equality(cls: type) -> None:
    a, b = cls(), cls()
    assert a == a
    assert a != b
    assert len({a, b, a}) == 2


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickling(impl: ModuleType, protocol: int) -> None:
    for make in (impl.Queue, impl.LifoQueue, impl.PriorityQueue, impl.SimpleQueue):
        with pytest.raises((TypeError, pickle.PicklingError), match="pickle"):
            pickle.dumps(make(), protocol)
        if impl is concx.queue:
            with pytest.raises(TypeError, match=make.__name__):
                pickle.dumps(make(), protocol)


def test_no_deep_copy(impl: ModuleType) -> None:
    for make in (impl.Queue, impl.LifoQueue, impl.PriorityQueue, impl.SimpleQueue):
        with pytest.raises(TypeError):
            copy.deepcopy(make())


def test_no_shallow_copy(impl: ModuleType) -> None:
    """The standard Queue gives a copy that shares container and lock; concx refuses, as SimpleQueue does."""
    for make in (impl.Queue, impl.LifoQueue, impl.PriorityQueue, impl.SimpleQueue):
        if impl is stdlib and make is not stdlib.SimpleQueue:
            assert copy.copy(make()).queue is not None
            continue
        with pytest.raises(TypeError):
            copy.copy(make())


def test_a_subclass_with_other_arguments(cls: type) -> None:
    class Mine(cls):  # type: ignore[misc, valid-type]
        def __init__(self, label: str, *, maxsize: int = 2) -> None:
            self.label = label
            super().__init__(maxsize)

    q = Mine("a", maxsize=1)
    q.put(1)
    assert q.full()
    assert q.label == "a"
    assert Mine("b").maxsize == 2


def test_a_subclass_that_forgets_init(impl: ModuleType, name: str) -> None:
    """The standard one fails at its first use; concx's is set up before `__init__`."""

    class Mine(getattr(impl, name)):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

    q = Mine()
    if impl is stdlib:
        with pytest.raises(AttributeError, match="not_full"):
            q.put(1)
    else:
        q.put(1)
        assert q.get(timeout=1) == 1


def test_init_called_again(cls: type) -> None:
    q = cls(1)
    q.put(1)
    q.__init__(3)  # type: ignore[misc]
    assert q.maxsize == 3
    assert q.qsize() == 0
    q.put(2)
    assert q.get() == 2


def test_multiple_inheritance(cls: type) -> None:
    class Mixin:
        def twice(self) -> int:
            return 2 * self.qsize()  # type: ignore[attr-defined, no-any-return]

    class Mine(Mixin, cls):  # type: ignore[misc, valid-type]
        __slots__ = ("extra",)

    q = Mine()
    q.extra = 5
    q.put(1)
    assert q.twice() == 2


def test_class_and_method_docs(cls: type) -> None:
    assert cls.__doc__
    for method in (
        "put",
        "get",
        "put_nowait",
        "get_nowait",
        "task_done",
        "join",
        "qsize",
        "empty",
        "full",
    ):
        assert getattr(cls, method).__doc__, method


def test_unbound_methods(cls: type) -> None:
    q = cls()
    cls.put(q, 1)  # type: ignore[attr-defined]
    assert cls.get(q) == 1  # type: ignore[attr-defined]
    bound = q.put
    bound(2)
    assert bound.__self__ is q
    assert bound.__name__ == "put"
    with pytest.raises((TypeError, AttributeError)):
        cls.put(object(), 1)  # type: ignore[attr-defined]


def test_the_standard_methods_work_on_concx(name: str) -> None:
    """A caller that reaches for `queue.Queue.put(q, ...)` gets the same queue, one way or the other."""
    q = getattr(concx.queue, name)(2)
    standard = getattr(stdlib, name)
    q.put(1)
    standard.put(q, 2)
    assert sorted([standard.get(q), q.get()]) == [1, 2]
    assert standard.qsize(q) == 0


def test_logging_takes_the_queue(impl: ModuleType) -> None:
    for make in (impl.Queue, impl.LifoQueue, impl.SimpleQueue):
        q = make()
        handler = logging.handlers.QueueHandler(q)
        record = logging.LogRecord("n", logging.INFO, "p", 1, "hello %s", ("you",), None)
        handler.handle(record)
        assert q.get().getMessage() == "hello you"


def test_logging_listener(impl: ModuleType) -> None:
    for make in (impl.Queue, impl.SimpleQueue):
        q = make()
        seen: list[str] = []

        class Seen(logging.Handler):
            def emit(self, record: logging.LogRecord, seen: list[str] = seen) -> None:
                seen.append(record.getMessage())

        listener = logging.handlers.QueueListener(q, Seen())
        listener.start()
        for i in range(20):
            q.put(logging.LogRecord("n", logging.INFO, "p", 1, str(i), (), None))
        listener.stop()
        assert seen == [str(i) for i in range(20)]


def test_logging_config_takes_the_queue(impl: ModuleType) -> None:
    check = getattr(logging.config, "_is_queue_like_object", None)
    if check is None:
        pytest.skip("logging.config got _is_queue_like_object in 3.12; newer interpreters run this")
    for make in (impl.Queue, impl.LifoQueue, impl.PriorityQueue):
        assert check(make())


def test_a_thread_pool_on_the_queue(impl: ModuleType) -> None:
    """concurrent.futures makes its own SimpleQueue; dask and others put a Queue there."""
    from concurrent.futures import ThreadPoolExecutor

    for make in (impl.SimpleQueue, impl.Queue):
        with ThreadPoolExecutor(2) as pool:
            pool._work_queue = make()  # type: ignore[assignment]
            assert list(pool.map(lambda x: x * x, range(30))) == [x * x for x in range(30)]


def test_multiprocessing_dummy(impl: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    import multiprocessing.dummy.connection as dummy

    monkeypatch.setattr(dummy, "Queue", impl.Queue)
    a, b = dummy.Pipe()
    assert not b.poll()
    a.send(1)
    assert b.poll(5)
    assert b.recv() == 1
    # poll() looks, and only then takes the lock to wait: a send between the two goes unnoticed with
    # either class.
    poller = Worker(b.poll, 30)
    wait_until(lambda: len(b._in.not_empty._waiters) == 1)
    a.send(2)
    assert poller.result()


def test_a_mock_with_the_spec_of_a_queue(cls: type) -> None:
    from unittest import mock

    fake = mock.create_autospec(cls, instance=True)
    fake.get.return_value = 3
    assert fake.get(timeout=1) == 3
    real = cls()
    mock.create_autospec(real)
    real.put(1)
    assert real.get() == 1
