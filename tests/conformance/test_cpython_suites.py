"""CPython's own tests, as installed with the running interpreter, with parts of concx swapped in."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = Path(__file__).parent / "scripts" / "cpython_suite.py"
ABSENT = 77
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
    command = [sys.executable, "-X", "faulthandler", str(RUNNER), suite, *options]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=390, cwd=tmp_path, check=False
    )
    if done.returncode == ABSENT:
        pytest.skip(
            "this interpreter has no `test` package; on Debian it is in libpython3.X-testsuite"
        )
    assert done.returncode == 0, done.stdout + done.stderr
    told = re.search(rf"^{suite}: (\d+) passed, (\d+) skipped", done.stdout, re.MULTILINE)
    assert told, done.stdout
    print(told.group(0))
    assert int(told.group(1)) >= EXPECTED[suite], done.stdout


@pytest.mark.timeout(400)
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_cpython_multiprocessing(method: str, tmp_path: Path) -> None:
    """Queues, locks, semaphores, conditions, events, barriers, values and arrays of `_test_multiprocessing`."""
    runner = RUNNER.with_name("multiprocessing_suite.py")
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(runner), method],
        capture_output=True,
        text=True,
        timeout=390,
        cwd=tmp_path,
        check=False,
    )
    if done.returncode == ABSENT:
        pytest.skip(
            "this interpreter has no `test` package; on Debian it is in libpython3.X-testsuite"
        )
    assert done.returncode == 0, done.stdout + done.stderr
    told = re.search(rf"^{method}: (\d+) passed, (\d+) skipped", done.stdout, re.MULTILINE)
    assert told, done.stdout
    print(told.group(0))
    assert int(told.group(1)) >= 40, done.stdout
