"""CPython's own tests of `functools` and of the modules that cache, with concx's lru_cache under them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import concx

RUNNER = Path(__file__).parent / "scripts" / "cached_suite.py"
ABSENT = 77
# At least so many tests must run: a selection that shrinks silently proves nothing.
EXPECTED = {
    "functools": 28,
    "fnmatch": 15,
    "re": 140,
    "typing": 500,
    "ipaddress": 190,
    "enum": 500,
    "fractions": 30,
    "urlparse": 65,
}


@pytest.mark.timeout(200)
@pytest.mark.parametrize("suite", EXPECTED)
def test_cpython(suite: str, tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-X", "faulthandler", str(RUNNER), suite]
    path = str(Path(concx.__file__).parent.parent)
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=190,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
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
