"""What the objects of `concx.multiprocessing` answer to ``stats()``."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "BarrierStats",
    "ConditionStats",
    "EventStats",
    "LockStats",
    "QueueStats",
    "SemaphoreStats",
]


@dataclass(frozen=True)
class QueueStats:
    """What a queue between processes holds, and what all processes have done with it.

    Attributes
    ----------
    size, maxsize : int
        Messages in it, and the most there may be; 0 for any number.
    puts, gets : int
        Messages that were put and taken, by all processes.
    unfinished : int
        Messages for which `task_done` was not called; only a `JoinableQueue` ever lowers it.
    memory : int
        Bytes of memory that the messages take or have taken.
    waiting_tasks : int
        Tasks of this process that wait in a ``..._async`` method now.
    is_shutdown : bool
        Whether `shutdown` was called.

    Notes
    -----
    Each number is right at some moment of the call; all are together while nobody puts or gets.
    """

    size: int
    maxsize: int
    puts: int
    gets: int
    unfinished: int
    memory: int
    waiting_tasks: int
    is_shutdown: bool


@dataclass(frozen=True)
class LockStats:
    """The state of a lock at one moment.

    Attributes
    ----------
    locked : bool
    owner : int or None
        The pid of the process that holds it; None if nobody does, or if that one has died and somebody
        has noticed.
    contended : bool
        Whether somebody has waited for it since it was last free.
    """

    locked: bool
    owner: int | None
    contended: bool


@dataclass(frozen=True)
class SemaphoreStats:
    """The state of a semaphore at one moment: its value, the most it counts to, whether somebody waits or did."""

    value: int
    maxvalue: int
    contended: bool


@dataclass(frozen=True)
class EventStats:
    """The state of an event at one moment: whether it is set, and how often it was (modulo 2**30)."""

    is_set: bool
    sets: int


@dataclass(frozen=True)
class ConditionStats:
    """Who waits for a condition, the first 126 of them, and its lock; None for a lock without statistics."""

    waiting: int
    lock: LockStats | SemaphoreStats | None


@dataclass(frozen=True)
class BarrierStats:
    """How many a barrier is for, how many wait, and whether it is broken."""

    parties: int
    waiting: int
    broken: bool
