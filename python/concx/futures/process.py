"""The names of `concurrent.futures.process`."""

from concurrent.futures.process import BrokenProcessPool

from concx.futures._process import ProcessPoolExecutor, WorkerDied

__all__ = ["BrokenProcessPool", "ProcessPoolExecutor", "WorkerDied"]
