"""CPython's own tests, as installed with the running interpreter, with parts of concx swapped in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from conformance.suites import check_suite

# At least so many tests must run: a selection that shrinks silently proves nothing.
EXPECTED = {
    "queue": 50 if sys.version_info >= (3, 13) else 25,
    "logging": 9,
    "futures": 30,
    "pool": 60,
    "asyncio": 20,
    "map": 125,
}


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("suite", "options"),
    [
        ("queue", ()),
        ("logging", ()),
        ("futures", ()),
        ("futures", ("--queue",)),
        ("pool", ()),
        ("pool", ("--std-wait",)),
        ("asyncio", ()),
        ("map", ()),
    ],
    ids=[
        "test_queue",
        "test_logging",
        "test_concurrent_futures-SimpleQueue",
        "test_concurrent_futures-Queue",
        "test_concurrent_futures-pool",
        "test_concurrent_futures-pool-std-wait",
        "test_asyncio-pool",
        "mapping_tests-test_set",
    ],
)
def test_cpython(
    suite: str,
    options: tuple[str, ...],
    tmp_path: Path,
) -> None:
    least = EXPECTED[suite]
    check_suite("cpython_suite.py", suite, *options, least=least, cwd=tmp_path, timeout=390)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_cpython_process_pool(method: str, tmp_path: Path) -> None:
    """The ProcessPool classes of test_concurrent_futures: pool, shutdown, init, deadlock, wait, as_completed."""
    check_suite("process_suite.py", method, least=50, cwd=tmp_path, timeout=390)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_cpython_multiprocessing(method: str, tmp_path: Path) -> None:
    """Queues, locks, semaphores, conditions, events, barriers, values and arrays of `_test_multiprocessing`."""
    check_suite("multiprocessing_suite.py", method, least=40, cwd=tmp_path, timeout=390)
