"""Puts concx's futures and pools in the place of the standard ones, in this process.

With this folder on PYTHONPATH every interpreter that a test starts does so at its start.
"""

import concurrent.futures
import concurrent.futures._base as base
import concurrent.futures.process as process
import concurrent.futures.thread as thread
import os

from concx import futures
from concx.futures.process import ProcessPoolExecutor


def swap() -> None:
    concurrent.futures.ThreadPoolExecutor = futures.ThreadPoolExecutor  # type: ignore[misc]
    thread.ThreadPoolExecutor = futures.ThreadPoolExecutor  # type: ignore[misc]
    concurrent.futures.ProcessPoolExecutor = ProcessPoolExecutor  # type: ignore[misc]
    process.ProcessPoolExecutor = ProcessPoolExecutor  # type: ignore[misc]
    concurrent.futures.Future = base.Future = futures.Future  # type: ignore[misc]
    if "std" not in os.environ.get("CONCX_SWAPPED", ""):
        concurrent.futures.wait = base.wait = futures.wait
        concurrent.futures.as_completed = base.as_completed = futures.as_completed


swap()
