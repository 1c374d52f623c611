"""The control of rows of two threads: a loop that needs a processor and nothing else."""

from __future__ import annotations

from contenders import Contender
from harness.spec import CONTROL


def nothing(_: int) -> None:
    return None


def one_thread() -> Contender:
    return Contender(CONTROL[0], None, nothing, style="control", workers=1)


def two_threads() -> Contender:
    return Contender(CONTROL[1], None, nothing, style="control", workers=2)
