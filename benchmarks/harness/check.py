"""Finds the contender that loses, doubles or reorders an item, also when the loss shows as a hang."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from harness.spec import Disqualified


def verify(outs: Sequence[Sequence[int]], producers: int, each: int, ordered: bool = True) -> None:
    """Check what the getters received: producer k put the numbers from ``k * each`` up, in order.

    Parameters
    ----------
    outs
        One list per getter, in the order of receipt.
    producers, each
        How many producers there were and how many numbers each of them put.
    ordered
        Whether the items of one producer must reach a getter in the order in which they were put.
    """
    received = Counter(item for out in outs for item in out)
    doubled = sorted(item for item, times in received.items() if times > 1)
    if doubled:
        raise Disqualified(
            f"{len(doubled)} of {producers * each} items came twice, first {doubled[0]}"
        )
    lost = sorted(set(range(producers * each)) - received.keys())
    if lost:
        raise Disqualified(f"{len(lost)} of {producers * each} items were lost, first {lost[0]}")
    strange = sorted(received.keys() - set(range(producers * each)))
    if strange:
        raise Disqualified(f"{len(strange)} items came that nobody put, first {strange[0]}")
    if not ordered:
        return
    for out in outs:
        last = [-1] * producers
        for item in out:
            producer = item // each
            if item < last[producer]:
                raise Disqualified(f"item {item} came after {last[producer]} of the same producer")
            last[producer] = item


def empty(queue: object) -> None:
    """After as many gets as puts nothing may be left."""
    left = queue.qsize()  # type: ignore[attr-defined]
    if left:
        raise Disqualified(f"{left} items were left after as many gets as puts: some were doubled")


class Watchdog:
    """Calls ``bark(reason)`` when a phase makes no progress for longer than it may.

    ``progress`` is a number that grows while the phase is alive and is looked at five times a
    second; without one the phase has a plain time limit and the watchdog sleeps through it.
    """

    def __init__(self, bark: Callable[[str], None]) -> None:
        self._bark = bark
        self._changed = threading.Condition()
        self._phase = ""
        self._limit = 0.0
        self._since = 0.0
        self._progress: Callable[[], int] | None = None
        self._seen = -1
        threading.Thread(target=self._watch, daemon=True).start()

    def phase(self, name: str, limit: float, progress: Callable[[], int] | None = None) -> None:
        """Begin a phase; a limit of 0 means that nothing is watched."""
        with self._changed:
            self._phase, self._limit, self._progress = name, limit, progress
            self._since, self._seen = time.monotonic(), -1
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while True:
                left = self._since + self._limit - time.monotonic()
                if self._limit and left <= 0:
                    break
                pause = min(0.2, left) if self._progress else left
                self._changed.wait(pause if self._limit else None)
                if self._progress is not None and (seen := self._progress()) != self._seen:
                    self._seen, self._since = seen, time.monotonic()
            known = "" if self._progress is None else f" after {self._seen} items"
            reason = f"hung in the {self._phase} section{known}: an item or a wake-up was lost"
        self._bark(reason)
