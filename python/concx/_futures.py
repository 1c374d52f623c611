"""What the native futures leave to Python: legacy conditions and the standard library's log lines."""

from __future__ import annotations

import threading
import weakref
from concurrent.futures._base import LOGGER
from typing import Any

__all__ = ["Condition", "log_callback", "log_unexpected_state"]  # what the core calls


class Condition(threading.Condition):
    """The `_condition` of a future that somebody asked for: wakes native waiters too."""

    def __init__(self, future: Any) -> None:
        super().__init__()
        self._future = weakref.ref(future)

    def notify(self, n: int = 1) -> None:
        super().notify(n)
        future = self._future()
        if future is not None:
            future._wake()


def log_callback(future: object, error: BaseException) -> None:
    """Log what a callback raised, as the standard library words it."""
    LOGGER.error("exception calling callback for %r", future, exc_info=error)


def log_unexpected_state(future: Any) -> None:
    """Log a second start, as the standard library words it."""
    LOGGER.critical("Future %s in unexpected state: %s", id(future), future._state)
