"""What every test has: options for the long runs, a seeded generator, queues in both modes, quick thread
switches, scripts in a process of their own.

A test fails after 60 s with the stacks of all threads (pytest-timeout, by SIGALRM: tests leave that
signal and ``ITIMER_REAL`` alone); ``@pytest.mark.timeout(300)`` allows one more. Warnings are errors.
"""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from concx.queue import LifoQueue, PriorityQueue, Queue
from queue_tools import TSAN

SCRIPT_LIMIT = 300.0 if TSAN else 50.0


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("concx")
    group.addoption(
        "--all", action="store_true", help="also run tests marked long: many seeds, minutes"
    )
    group.addoption(
        "--chaos",
        action="store_true",
        help="also run tests marked chaos: 60 s of everything at once",
    )
    group.addoption(
        "--seed",
        type=int,
        help="the seed of the rng fixture (default: one per test, from its name)",
    )


def pytest_report_header(config: pytest.Config) -> str:
    gil = "on" if getattr(sys, "_is_gil_enabled", lambda: True)() else "off"
    return f"gil: {gil}; all: {config.getoption('--all')}; chaos: {config.getoption('--chaos')}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect, rather than skip, what its option did not ask for."""
    unasked = {
        name
        for name, option in (("long", "--all"), ("chaos", "--chaos"))
        if not config.getoption(option)
    }
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in unasked)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this test: ``--seed``, or one that its name gives, so that every run is the same."""
    given = request.config.getoption("--seed")
    return zlib.crc32(request.node.nodeid.encode()) if given is None else given


@pytest.fixture
def rng(seed: int) -> random.Random:
    """A generator that prints its seed, which pytest shows when the test fails."""
    print(f"seed: {seed} (repeat with --seed {seed})")
    return random.Random(seed)


@pytest.fixture(params=[Queue, LifoQueue, PriorityQueue], ids=lambda cls: cls.__name__)
def cls(request: pytest.FixtureRequest) -> Any:
    """A queue class with `maxsize`."""
    return request.param


@pytest.fixture(params=["native", "compat"])
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes a queue in each mode: the additions hold in both."""

    def made(cls: Any = Queue, *args: Any, **kwargs: Any) -> Any:
        q = cls(*args, **kwargs)
        if request.param == "compat":
            with q.mutex:
                pass
        return q

    return made


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Threads take turns some hundred times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@pytest.fixture
def run_script(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python source, or a file, in a process of its own under ``-X dev`` with warnings as errors.

    ``run_script(source, *args, status=0, timeout=…, **popen)`` fails unless the process ends with
    `status` in time; it is a `CompletedProcess` with the text of both streams. ``status=None``
    accepts any; a negative one is a signal.
    """

    def run(
        source: str | Path,
        *args: str,
        status: int | None = 0,
        timeout: float = SCRIPT_LIMIT,
        **options: object,
    ) -> subprocess.CompletedProcess[str]:
        if isinstance(source, Path):
            path = source
        else:
            path = tmp_path / "script.py"
            path.write_text(textwrap.dedent(source), encoding="utf-8")
        command = [sys.executable, "-X", "dev", "-W", "error", str(path), *args]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout, **options
            )  # type: ignore[call-overload]
        except subprocess.TimeoutExpired as error:
            pytest.fail(f"no end after {timeout} s\n{error.stdout}\n{error.stderr}")
        if status is not None and done.returncode != status:
            pytest.fail(f"status {done.returncode}, not {status}\n{done.stdout}\n{done.stderr}")
        assert isinstance(done, subprocess.CompletedProcess)
        return done

    return run
