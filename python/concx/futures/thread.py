"""The names of `concurrent.futures.thread`."""

from concurrent.futures.thread import BrokenThreadPool

from concx.futures._pool import ThreadPoolExecutor

__all__ = ["BrokenThreadPool", "ThreadPoolExecutor"]
