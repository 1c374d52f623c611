"""Interrupts a blocked call of the main thread many times: quick, nothing lost.

python ctrl_c.py get|put|join|simple|compat|ring|stack|race COUNT
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from functools import partial
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import concx.queue
from queue_tools import StackAsQueue

REACTION = float(os.environ.get("CONCX_REACTION", "0.2"))
signal.signal(signal.SIGINT, signal.default_int_handler)


MAKERS = {
    "simple": concx.queue.SimpleQueue,
    "ring": partial(concx.queue.RingQueue, 1),
    "stack": lambda: StackAsQueue(concx.queue.Stack()),
}


def main(what: str, count: int) -> None:
    q = MAKERS.get(what, partial(concx.queue.Queue, 1))()
    if what == "compat":
        with q.mutex:
            pass
    if what in ("put", "join"):
        q.put(-1)
    sent, noticed = [0.0], [False]

    def handler(*_: object) -> None:
        noticed[0] = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handler)
    go, over, caught = threading.Event(), threading.Event(), threading.Event()

    def waiting() -> bool:
        s = q.stats()
        return bool(s.waiting_gets or s.waiting_puts or s.waiting_joins)

    def interrupt() -> None:
        while True:
            go.wait()
            go.clear()
            if over.is_set():
                return
            while not waiting():
                pass
            noticed[0] = False
            while True:
                sent[0] = time.monotonic()
                os.kill(os.getpid(), signal.SIGINT)
                # The compatibility mode waits as the standard library does: a signal that comes just
                # before its sleep is seen after it. People press Ctrl-C again, and so does this; but
                # not while the first one is being handled, where it would find a lock half taken.
                if what != "compat" or caught.wait(0.002) or noticed[0]:
                    break

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    sys.setswitchinterval(1e-4)
    slow, worst = 0, 0.0
    for number in range(count):
        caught.clear()
        try:
            go.set()
            if what == "put":
                q.put(number)
            elif what == "join":
                q.join()
            else:
                q.get()
            raise AssertionError("came back without an interrupt")
        except (KeyboardInterrupt, RuntimeError) as error:
            # The standard library's conditions may turn an interrupt between the release of their lock
            # and the sleep into a RuntimeError (gh-92530); so does the compatibility mode.
            if not isinstance(error, KeyboardInterrupt):
                if what != "compat" or not isinstance(error.__context__, KeyboardInterrupt):
                    raise
            took = time.monotonic() - sent[0]
            caught.set()
            worst = max(worst, took)
            slow += took >= REACTION
        if number % 10 == 0 and what not in ("put", "join"):
            q.put(number)
            assert q.get() == number
        assert not waiting()
    over.set()
    go.set()
    thread.join()
    assert q.qsize() == (1 if what in ("put", "join") else 0)
    # On a machine that is busy with other things one in a hundred may be late.
    assert slow <= count // 100, (
        f"{slow} reactions took longer than {REACTION} s, up to {worst:.3f} s"
    )
    print(f"{count} interrupts, slowest {worst * 1000:.1f} ms")


def race(count: int) -> None:
    """Interrupts at any moment of a stream: everything comes out, once and in order."""
    q = concx.queue.Queue()
    total = 20 * count
    got: list[int] = []
    interrupts = 0
    inside = False
    over = threading.Event()

    def handler(*_: object) -> None:
        nonlocal inside
        if inside:
            inside = False
            raise KeyboardInterrupt

    def feed() -> None:
        for number in range(total):
            q.put(number)
            if number % 7 == 0:
                time.sleep(0)

    def storm() -> None:
        for _ in range(count):
            os.kill(os.getpid(), signal.SIGINT)
            if over.wait(0.0002):
                return

    signal.signal(signal.SIGINT, handler)
    threads = [threading.Thread(target=target, daemon=True) for target in (feed, storm)]
    for thread in threads:
        thread.start()
    while len(got) < total:
        try:
            inside = True
            # No Python code runs between the queue and the list, where a handler could come in
            # when the queue has handed an item out and the list does not have it yet.
            got.extend(islice(q.consume(), total - len(got)))
            inside = False
        except KeyboardInterrupt:
            interrupts += 1
    inside = False
    over.set()
    for thread in threads:
        thread.join()
    assert got == list(range(total))
    assert q.empty()
    assert interrupts
    print(f"{interrupts} interrupts in a stream of {total} items")


if __name__ == "__main__":
    if sys.argv[1] == "race":
        race(int(sys.argv[2]))
    else:
        main(sys.argv[1], int(sys.argv[2]))
