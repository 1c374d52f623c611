"""Locks, semaphores, conditions, events and barriers between processes, and the death of a holder."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import pytest

import concx.multiprocessing as mp
import mp_tools as tools
from mp_tools import METHODS, running, start
from queue_tools import LIMIT, Worker, in_child, wait_until

LOCKS = [mp.Lock, mp.RLock]
NOTICED = 0.2
"""Seconds within which the death of a holder is noticed."""


def test_lock() -> None:
    lock = mp.Lock()
    assert lock.locked() is False
    assert lock.acquire() is True
    assert lock.locked() is True
    assert lock.acquire(False) is False
    assert lock.acquire(timeout=0.01) is False
    assert lock.acquire(True, -1) is False
    Worker(lock.release).result()  # any thread may
    with pytest.raises(ValueError, match="released too many times"):
        lock.release()
    with lock as entered:
        assert entered is True
        assert repr(lock) == "<Lock(owner=MainProcess)>"
    assert repr(lock) == "<Lock(owner=None)>"
    assert lock.recover() is False


def test_rlock() -> None:
    lock = mp.RLock()
    with lock, lock:
        assert repr(lock) == "<RLock(MainProcess, 2)>"
        assert Worker(lock.acquire, False).result() is False
        with pytest.raises(AssertionError, match="not owned by thread"):
            Worker(lock.release).result()
        with pytest.raises(AssertionError):
            raise AssertionError
    with pytest.raises(AssertionError, match="not owned by thread"):
        lock.release()


def test_semaphore() -> None:
    sem = mp.Semaphore(2)
    assert sem.acquire()
    assert sem.acquire()
    assert not sem.acquire(False)
    waiter = Worker(sem.acquire)
    sem.release()
    assert waiter.result() is True
    sem.release()
    sem.release()
    sem.release()
    assert sem.get_value() == 3
    assert repr(sem) == "<Semaphore(value=3)>"
    bounded = mp.BoundedSemaphore(1)
    with pytest.raises(ValueError, match="too many times"):
        bounded.release()
    assert repr(bounded) == "<BoundedSemaphore(value=1, maxvalue=1)>"
    with pytest.raises(ValueError, match="-1"):
        mp.Semaphore(-1)


@pytest.mark.parametrize("value", ["soon", b"", []])
def test_bad_owner_death(value: Any) -> None:
    with pytest.raises(ValueError, match="on_owner_death"):
        mp.Lock(on_owner_death=value)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cls", LOCKS)
def test_exclusion(cls: Any, method: str) -> None:
    value = mp.Value("i", 0, lock=cls())
    with running(method, tools.add, value, 2000):
        tools.add(value, 2000)
    assert value.value == 4000


@pytest.mark.parametrize("cls", LOCKS)
def test_held_elsewhere(cls: Any) -> None:
    lock, held, go = cls(), mp.Event(), mp.Event()
    with running("fork", tools.acquire_and_wait, lock, held, go):
        assert held.wait(LIMIT)
        assert "SomeOtherProcess" in repr(lock)
        assert lock.acquire(False) is False
        assert lock.acquire(timeout=0.25) is False  # longer than a look at its owner
        waiter = Worker(lock.acquire)
        go.set()
        assert waiter.result() is True


def test_any_process_may_release_a_lock() -> None:
    lock = mp.Lock()
    lock.acquire()
    with running("fork", lock.release):
        assert lock.acquire(timeout=LIMIT)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cls", LOCKS)
def test_owner_died(cls: Any, method: str) -> None:
    lock = cls()
    child = start(method, tools.acquire_and_die, lock)
    tools.dead(child, method)
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(mp.OwnerDied, match="has died"):
            lock.acquire()
    assert time.monotonic() - began < NOTICED
    assert lock.recover() is True
    assert lock.recover() is False
    with lock:
        pass
    child.join(LIMIT)


@pytest.mark.parametrize("cls", LOCKS)
def test_owner_dies_while_others_wait(cls: Any) -> None:
    lock, held, go = cls(), mp.Event(), mp.Event()
    child = start("fork", tools.acquire_and_wait, lock, held, go)
    assert held.wait(LIMIT)
    waiters = [Worker(lock.acquire) for _ in range(3)]
    wait_until(lambda: all(w.is_alive() for w in waiters))
    began = time.monotonic()
    child.kill()
    for waiter in waiters:
        with pytest.raises(mp.OwnerDied):
            waiter.result()
    assert time.monotonic() - began < NOTICED + 0.5  # the death itself takes its time
    child.join(LIMIT)


@pytest.mark.parametrize("cls", LOCKS)
def test_recovery(cls: Any) -> None:
    lock = cls(on_owner_death="recover")
    for _ in range(5):
        child = start("fork", tools.acquire_and_die, lock)
        tools.killed(child)
        assert lock.acquire(timeout=LIMIT) is True
        assert lock.acquire(False) is (cls is mp.RLock)
        if cls is mp.RLock:
            lock.release()
        lock.release()


def test_release_frees_a_lock_whose_owner_died() -> None:
    lock = mp.Lock()
    tools.killed(start("fork", tools.acquire_and_die, lock))
    with pytest.raises(mp.OwnerDied):
        lock.acquire(False)
    lock.release()
    assert lock.acquire(False)


def test_fork_while_held() -> None:
    lock = mp.RLock()

    def body() -> None:
        assert lock.acquire(False) is False
        with pytest.raises(AssertionError, match="not owned"):
            lock.release()

    with lock:
        in_child(body)
    assert lock.acquire(False)


def test_what_a_child_knows_is_not_used_again() -> None:
    """The parent drops its locks; a child goes on with them, and new ones are elsewhere."""
    kept = [mp.Lock() for _ in range(50)]

    def body() -> None:
        assert all(lock.acquire(False) for lock in kept)

    kept_blocks = {lock._block().place()[1] for lock in kept}
    in_child(body)  # the child has died with all of them
    kept.clear()
    fresh = [mp.Lock() for _ in range(50)]
    assert not kept_blocks & {lock._block().place()[1] for lock in fresh}
    assert all(lock.acquire(False) for lock in fresh)
    places = {lock._block().place()[1] for lock in fresh}
    fresh.clear()
    assert places & {mp.Lock()._block().place()[1]}  # no fork in between: warm memory


@pytest.mark.parametrize("method", METHODS)
def test_event(method: str) -> None:
    event, go = mp.Event(), mp.Event()
    assert event.wait(0.01) is False
    assert event.wait(-1) is False
    assert "unset" in repr(event)
    with running(method, event.set):
        assert event.wait(LIMIT) is True
    assert event.is_set()
    assert " set>" in repr(event)
    event.clear()
    assert not event.is_set()
    waiters = [Worker(go.wait, LIMIT) for _ in range(3)]
    go.set()
    assert [w.result() for w in waiters] == [True] * 3


def waiting(cond: Any) -> int:
    return int(repr(cond).rpartition(", ")[2].removesuffix(")>"))


@pytest.mark.parametrize("method", METHODS)
def test_condition(method: str) -> None:
    cond, sleeping, woken = mp.Condition(), mp.Semaphore(0), mp.Semaphore(0)
    with (
        running(method, tools.wait_and_tell, cond, sleeping, woken),
        running(method, tools.wait_and_tell, cond, sleeping, woken),
    ):
        assert sleeping.acquire(timeout=LIMIT)
        assert sleeping.acquire(timeout=LIMIT)
        with cond:  # whoever told has released the lock by waiting
            assert waiting(cond) == 2
            cond.notify()
        assert woken.acquire(timeout=LIMIT)
        assert woken.acquire(timeout=0.05) is False
        with cond:
            cond.notify_all()
        assert woken.acquire(timeout=LIMIT)
    with cond:
        assert cond.wait(0.01) is False
        assert cond.wait_for(lambda: False, 0.01) is False
        assert cond.wait_for(lambda: 7) == 7
    assert waiting(cond) == 0
    for call in (cond.wait, cond.notify, cond.notify_all):
        with pytest.raises(AssertionError):
            call()


def test_a_dead_waiter_takes_no_notification() -> None:
    cond, sleeping, woken = mp.Condition(), mp.Semaphore(0), mp.Semaphore(0)
    child = start("fork", tools.wait_and_tell, cond, sleeping, woken)
    assert sleeping.acquire(timeout=LIMIT)
    with cond:
        assert waiting(cond) == 1
    thread = Worker(tools.wait_and_tell, cond, sleeping, woken)
    assert sleeping.acquire(timeout=LIMIT)
    with cond:
        child.kill()  # it is first in line
        tools.dead(child)
        cond.notify()
    assert woken.acquire(timeout=LIMIT)
    thread.result()
    child.join(LIMIT)


def test_condition_with_more_waiters_than_cells() -> None:
    cond, sleeping, woken = mp.Condition(), mp.Semaphore(0), mp.Semaphore(0)
    threads = [Worker(tools.wait_and_tell, cond, sleeping, woken) for _ in range(140)]
    for _ in threads:
        assert sleeping.acquire(timeout=LIMIT)
    with cond:
        cond.notify_all()
    for thread in threads:
        thread.result()


def test_condition_reacquires_a_nested_lock() -> None:
    cond = mp.Condition()
    with cond, cond:
        assert cond.wait(0.01) is False
        assert cond._lock._count() == 2
    assert cond._lock._get_value() == 1


@pytest.mark.parametrize("method", METHODS)
def test_barrier(method: str) -> None:
    barrier = mp.Barrier(2)
    with running(method, barrier.wait, LIMIT):
        assert barrier.wait(LIMIT) in (0, 1)
    assert barrier.n_waiting == 0
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(0.01)
    assert barrier.broken


def test_objects_keep_the_attributes_of_a_subclass() -> None:
    class Named(mp.Lock):
        def __init__(self, name: str) -> None:
            self.name = name

        def __new__(cls, name: str) -> Any:
            return super().__new__(cls)

    lock = Named("mine")
    assert (lock.name, lock.acquire()) == ("mine", True)


def test_threads_of_many_processes(rng: Any) -> None:
    """A lock under load from threads here and there, with one child killed again and again."""
    lock = mp.Lock(on_owner_death="recover")
    value = mp.Value("q", 0, lock=lock)
    stop = threading.Event()

    def here() -> int:
        n = 0
        while not stop.is_set():
            assert value.get_lock().acquire(timeout=LIMIT)
            value.get_obj().value += 1
            value.get_lock().release()
            n += 1
        return n

    threads = [Worker(here) for _ in range(2)]
    for _ in range(8):
        child = start("fork", tools.add, value, 1 << 40)
        time.sleep(rng.random() * 0.02)  # how far it gets is what is random
        os.kill(child.pid or 0, 9)
        tools.killed(child)
    stop.set()
    assert sum(thread.result() for thread in threads) <= value.get_obj().value
