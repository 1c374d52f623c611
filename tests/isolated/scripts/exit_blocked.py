"""Ends the interpreter while daemon threads wait, in calls of every kind.

python exit_blocked.py native|compat|async|busy|pending
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import concx.queue
from queue_tools import wait_until


def blocked(inside: bool) -> None:
    for name in ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"):
        cls = getattr(concx.queue, name)
        q = cls() if name == "SimpleQueue" else cls(1)
        if inside and name != "SimpleQueue":
            with q.mutex:
                pass
        calls = [q.get, lambda q=q: q.get(timeout=1000), lambda q=q: q.get_many(5)]
        if name != "SimpleQueue":
            full = cls(1)
            if inside:
                with full.mutex:
                    pass
            full.put(1)
            calls += [
                lambda full=full: full.put(2),
                lambda full=full: full.put(2, timeout=1000),
                full.join,
            ]
        for call in calls:
            threading.Thread(target=call, daemon=True).start()
        wait_until(lambda q=q: q.stats().waiting_gets == 3)
        if name != "SimpleQueue":
            wait_until(lambda full=full: full.stats().waiting_puts == 2)
            wait_until(lambda full=full: full.stats().waiting_joins == 1)


def on_loops() -> None:
    """Daemon threads whose loops wait; one that is granted an item at the end."""
    q = concx.queue.Queue()
    for _ in range(3):
        threading.Thread(target=lambda: asyncio.run(q.get_async()), daemon=True).start()
    wait_until(lambda: q.stats().waiting_gets == 3)
    q.put(1)


def busy() -> None:
    """Daemon threads in the middle of traffic."""
    q = concx.queue.Queue(2)

    def pump() -> None:
        while True:
            q.put(1)

    def drain() -> None:
        while True:
            q.get()

    for target in (pump, drain, pump, drain):
        threading.Thread(target=target, daemon=True).start()
    wait_until(lambda: q.stats().gets > 1000)


def pending() -> None:
    """A loop that is never closed, with tasks that wait and one that was granted."""
    loop = asyncio.new_event_loop()
    q = concx.queue.Queue()
    tasks = [loop.create_task(q.get_async()) for _ in range(3)]
    while q.stats().waiting_gets < 3:
        loop.call_soon(loop.stop)
        loop.run_forever()
    q.put(1)
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    keep.extend([loop, q, *tasks])


keep: list[object] = []
what = sys.argv[1]
if what in ("native", "compat"):
    blocked(what == "compat")
elif what == "async":
    on_loops()
elif what == "busy":
    busy()
else:
    pending()
print("end", time.monotonic())
