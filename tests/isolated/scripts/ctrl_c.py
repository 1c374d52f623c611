"""Interrupts a blocked call of the main thread many times: quick, nothing lost.

python ctrl_c.py get|put|join|simple|compat COUNT
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import concx.queue

REACTION = float(os.environ.get("CONCX_REACTION", "0.2"))
signal.signal(signal.SIGINT, signal.default_int_handler)


def main(what: str, count: int) -> None:
    q = concx.queue.SimpleQueue() if what == "simple" else concx.queue.Queue(1)
    if what == "compat":
        with q.mutex:
            pass
    if what in ("put", "join"):
        q.put(-1)
    sent = [0.0]
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
            while True:
                sent[0] = time.monotonic()
                os.kill(os.getpid(), signal.SIGINT)
                # The compatibility mode waits as the standard library does: a signal that comes just
                # before its sleep is seen after it. People press Ctrl-C again, and so does this.
                if what != "compat" or caught.wait(0.002):
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
        if number % 10 == 0 and what in ("get", "simple", "compat"):
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
    """Interrupts at any moment of a stream: what a get took and did not return is in the queue."""
    q = concx.queue.Queue()
    total = 20 * count
    got = 0
    interrupts = 0
    state = {"over": False}

    def feed() -> None:
        for number in range(total):
            q.put(number)
            if number % 7 == 0:
                time.sleep(0)

    def storm() -> None:
        while not state["over"] and state["sent"] < count:
            os.kill(os.getpid(), signal.SIGINT)
            state["sent"] += 1
            time.sleep(0.0002)

    state["sent"] = 0
    threads = [threading.Thread(target=t, daemon=True) for t in (feed, storm)]
    started = False
    while True:
        try:
            if not started:
                started = True
                for thread in threads:
                    thread.start()
            while True:
                item = q.get(timeout=0.5)
                if item == total - 1:
                    state["over"] = True
                    break
        except KeyboardInterrupt:
            interrupts += 1
            continue
        except concx.queue.Empty:
            break
        break
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    for thread in threads:
        thread.join()
    stats = q.stats()
    got = stats.gets
    assert stats.puts == total
    assert got + q.qsize() == total, (got, q.qsize(), total)
    print(f"{interrupts} interrupts in a stream of {total} items")


if __name__ == "__main__":
    if sys.argv[1] == "race":
        race(int(sys.argv[2]))
    else:
        main(sys.argv[1], int(sys.argv[2]))
