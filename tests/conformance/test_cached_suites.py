"""CPython's own tests of `functools` and of the modules that cache, with concx's lru_cache under them."""

from __future__ import annotations

from pathlib import Path

import pytest

import concx
from conformance.suites import check_suite

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
    check_suite(
        "cached_suite.py",
        suite,
        least=EXPECTED[suite],
        cwd=tmp_path,
        timeout=190,
        options=("-S",),
        env={"PYTHONPATH": str(Path(concx.__file__).parent.parent)},
    )
