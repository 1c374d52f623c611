"""Puts concx's names of `multiprocessing` in the place of the standard ones, in this process.

With this folder on PYTHONPATH every interpreter that a test starts does so at its start.
"""

import multiprocessing
import os

from concx import multiprocessing as ours

for name in os.environ["CONCX_SWAPPED_NAMES"].split():
    setattr(multiprocessing, name, getattr(ours, name))
