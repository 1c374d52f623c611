"""cereggii: atomics for free-threaded Python."""

from __future__ import annotations

from contenders import Contender


def atomic_int64() -> Contender:
    from cereggii import AtomicInt64

    return Contender(
        "cereggii.AtomicInt64", "cereggii", lambda _: AtomicInt64(0), style="increment_and_get"
    )


def atomic_dict() -> Contender:
    from cereggii import AtomicDict

    return Contender("cereggii.AtomicDict", "cereggii", lambda _: AtomicDict())
