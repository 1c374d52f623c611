"""Runs a script of CPython's own tests, and judges what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "scripts"
ABSENT = 77


def check_suite(
    script: str,
    *arguments: str,
    least: int,
    cwd: Path,
    timeout: float,
    options: tuple[str, ...] = (),
    env: Mapping[str, str] | None = None,
) -> None:
    """Fail unless the suite passes and at least so many of its tests have run.

    A selection that shrinks silently proves nothing. The first argument is the suite's name.
    """
    command = [sys.executable, *options, "-X", "faulthandler", str(SCRIPTS / script), *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        check=False,
    )
    if done.returncode == ABSENT:
        pytest.skip(
            "this interpreter has no `test` package with tests; on Debian it is in libpython3.X-testsuite"
        )
    assert done.returncode == 0, done.stdout + done.stderr
    told = re.search(rf"^{arguments[0]}: (\d+) passed, (\d+) skipped", done.stdout, re.MULTILINE)
    assert told, done.stdout
    print(told.group(0))
    assert int(told.group(1)) >= least, done.stdout
