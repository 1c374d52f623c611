"""Random deaths: ``kills.py COUNT SEED`` forks children that use a queue, locks, an event and a
condition, and kills each after a random time. Those who stay must go on, and each message that comes
must be whole and in its sender's order.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
import traceback
import warnings
import zlib
from queue import Empty
from typing import Any

import concx.multiprocessing as mp

LIMIT = 20.0
COUNT, SEED = int(sys.argv[1]), int(sys.argv[2])
rng = random.Random(SEED)
queue: Any = mp.Queue()
bounded: Any = mp.JoinableQueue(5)
lock, rlock = mp.Lock(on_owner_death="recover"), mp.RLock(on_owner_death="recover")
cond, event = mp.Condition(mp.RLock(on_owner_death="recover")), mp.Event()
stop = threading.Event()


def message(sender: int, number: int) -> tuple[int, int, int, bytes]:
    size = (number * 7919) % 3000 if number % 50 else 1_200_000
    data = bytes([number % 251]) * size
    return sender, number, zlib.crc32(data), data


def produce(sender: int) -> None:
    for number in range(1 << 60):
        queue.put(message(sender, number))


def consume(sender: int) -> None:
    while True:
        queue.get()


def bounded_use(sender: int) -> None:
    while True:
        bounded.put((sender, b"x" * 500))
        bounded.get()
        bounded.task_done()


def locks(sender: int) -> None:
    while True:
        with lock, rlock, rlock:
            event.set()
            event.clear()


def conditions(sender: int) -> None:
    while True:
        with cond:
            cond.notify()
            cond.wait(0.001)


ROLES = [produce, consume, bounded_use, locks, conditions]


def survivor(work: Any) -> threading.Thread:
    def body() -> None:
        try:
            while not stop.is_set():
                work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    thread = threading.Thread(target=body)
    thread.start()
    return thread


last: dict[int, int] = {}


def take_one() -> None:
    try:
        sender, number, crc, data = queue.get(timeout=0.01)
    except Empty:
        return
    assert zlib.crc32(data) == crc, "a torn message"
    assert number > last.get(sender, -1), "a message twice, or out of order"
    last[sender] = number


def take_locks() -> None:
    for it in (lock, rlock, cond):
        assert it.acquire(timeout=LIMIT), f"{it!r} hangs"
        it.release()


def main() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads
    threads = [survivor(take_one), survivor(take_locks)]
    for sender in range(COUNT):
        role = rng.choice(ROLES)
        pid = os.fork()
        if pid == 0:
            stop.set()
            role(sender)
        time.sleep(rng.random() * 0.008)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        # Room for the next one; what a dead one had taken is gone.
        while bounded.qsize() >= 4:
            bounded.get_many(5, timeout=LIMIT)
    stop.set()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive(), "a survivor hangs"
    queue.put("end")
    while queue.get(timeout=LIMIT) != "end":
        pass
    bounded.put("end", timeout=LIMIT)
    print(f"{COUNT} deaths, {len(last)} senders heard of")


main()
