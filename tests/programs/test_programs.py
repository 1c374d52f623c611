"""Programs that know nothing of concx, with its futures and pools in the place of the standard ones.

They are the group `programs` of pyproject.toml; where one cannot be installed its test is skipped and says so.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SWAPPED = HERE.parent / "conformance" / "scripts" / "swapped"


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("script", "needs"),
    [
        ("anyio_threads.py", ["anyio"]),
        ("dask_processes.py", ["dask"]),
        ("dask_threaded.py", ["dask"]),
        ("joblib_processes.py", ["joblib"]),
        ("joblib_threading.py", ["joblib"]),
        ("starlette_threadpool.py", ["starlette", "httpx"]),
        ("tqdm_process_map.py", ["tqdm"]),
        ("tqdm_thread_map.py", ["tqdm"]),
        ("uvloop_pool.py", ["uvloop"]),
    ],
    ids=lambda value: value.partition(".")[0] if isinstance(value, str) else "",
)
def test_program(
    script: str, needs: list[str], run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    for name in needs:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: it has no release for this interpreter")
    path = os.pathsep.join([str(SWAPPED), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    env = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "default"}
    told = run_script(HERE / "scripts" / script, env=env, timeout=100)
    assert told.stdout.splitlines()[-1] == "ok"
