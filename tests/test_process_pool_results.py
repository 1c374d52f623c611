"""Results of real computations by pools of processes: they equal those of one process."""

from __future__ import annotations

import multiprocessing as std
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

import pool_tools as do
from concx import multiprocessing as mp
from concx.futures.process import ProcessPoolExecutor
from pool_tools import every_method

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
    pytest.mark.timeout(300),
]

Results = Callable[[Callable[..., Any], Iterable[Any]], Any]

PIECE = 1 << 20  # numbers of 8 bytes


def by_executor(method: str, fn: Callable[..., Any], items: Iterable[Any]) -> list[Any]:
    with ProcessPoolExecutor(2, std.get_context(method)) as pool:
        return list(pool.map(fn, items, chunksize=3))


def by_submit(method: str, fn: Callable[..., Any], items: Iterable[Any]) -> list[Any]:
    with ProcessPoolExecutor(2, std.get_context(method)) as pool:
        return [future.result() for future in [pool.submit(fn, item) for item in items]]


def by_map(method: str, fn: Callable[..., Any], items: Iterable[Any]) -> list[Any]:
    with mp.get_context(method).Pool(2) as pool:
        return list(pool.map(fn, items))


def by_imap(method: str, fn: Callable[..., Any], items: Iterable[Any]) -> list[Any]:
    with mp.get_context(method).Pool(2, maxtasksperchild=20) as pool:
        return list(pool.imap(fn, items))


WAYS = [by_executor, by_submit, by_map, by_imap]


def sources(pattern: str) -> list[str]:
    return sorted(map(str, Path(sysconfig.get_paths()["stdlib"]).glob(pattern)))


def check_words(paths: list[str], method: str, ways: Iterable[Any]) -> None:
    serial = [do.count_words(path) for path in paths]
    whole = reduce(Counter.__iadd__, serial, Counter())
    assert whole.total() > 100_000
    for way in ways:
        counts = way(method, do.count_words, paths)
        assert counts == serial
        assert reduce(Counter.__iadd__, counts, Counter()) == whole


@every_method
def test_words_of_the_standard_library(method: str) -> None:
    """Its modules; with ``--all`` its packages, too."""
    check_words(sources("*.py"), method, WAYS)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_all_words_of_the_standard_library() -> None:
    check_words(sources("**/*.py"), "fork", WAYS)


def check_reduction(pieces: int, method: str, ways: Iterable[Any]) -> None:
    pytest.importorskip("numpy", reason="numpy is not installed")
    serial = [do.reduce_piece(do.make_piece(seed, PIECE)) for seed in range(pieces)]
    for way in ways:
        # Made one after the other, so that not all of them are here at once where the pool is lazy.
        assert way(method, do.reduce_piece, Pieces(pieces)) == serial
    with mp.get_context(method).Pool(2) as pool:
        arguments = [(seed, PIECE) for seed in range(pieces)]
        assert pool.starmap(do.make_and_reduce, arguments) == serial


class Pieces:
    """The arrays, made when they are asked for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Any:
        return (do.make_piece(seed, PIECE) for seed in range(self.count))


@every_method
def test_reduction(method: str) -> None:
    """64 MiB in pieces of 8."""
    check_reduction(8, method, WAYS)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_reduction_of_a_gibibyte() -> None:
    check_reduction(128, "fork", [by_imap])
