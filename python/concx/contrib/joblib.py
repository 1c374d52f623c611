"""joblib on a pool of processes of concx: importing this module registers the backend ``"concx"``.

import concx.contrib.joblib
from joblib import Parallel, delayed, parallel_config

with parallel_config("concx"):
    Parallel(n_jobs=4)(delayed(work)(item) for item in items)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import joblib
from joblib import parallel
from joblib._parallel_backends import AutoBatchingMixin, ParallelBackendBase, SequentialBackend

from concx.futures import Future, ProcessPoolExecutor

__all__ = ["ConcxBackend"]


class ConcxBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Runs batches of calls on a `ProcessPoolExecutor`.

    Parameters
    ----------
    **options
        Of `ProcessPoolExecutor`, as given to ``parallel_config`` or ``Parallel``.
    """

    supports_retrieve_callback = True
    supports_return_generator = True
    supports_inner_max_num_threads = False
    uses_threads = False

    _pool: ProcessPoolExecutor | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many workers `n_jobs` stands for: a negative number counts from the number of CPUs."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        return max(joblib.cpu_count() + 1 + n_jobs, 1) if n_jobs < 0 else n_jobs

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: Any = None,
        require: Any = None,
        **options: Any,
    ) -> int:
        """Make the pool, which starts its workers at the first task."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise _fallback(SequentialBackend(nesting_level=self.nesting_level))
        for name in ("temp_folder", "max_nbytes", "mmap_mode", "context", "verbose", "timeout"):
            options.pop(name, None)  # what joblib tells every backend of processes
        self.parallel = parallel
        self._options = options
        self._pool = ProcessPoolExecutor(n_jobs, **options)
        return n_jobs

    def submit(self, func: Callable[[], Any], callback: Any = None) -> Future[Any]:
        """Schedule a batch of calls."""
        if self._pool is None:
            raise RuntimeError("the backend was not configured, or is terminated")
        future = self._pool.submit(func)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    apply_async = submit

    def retrieve_result_callback(self, future: Future[Any]) -> Any:
        """The result of a batch, or its exception."""
        return future.result()

    def terminate(self) -> None:
        """End the pool."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End the pool at once, whatever runs; make another one."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.kill_workers()
            pool.shutdown()
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel, **self._options)


def _fallback(backend: Any) -> Exception:
    from joblib._parallel_backends import FallbackToBackend

    error: Exception = FallbackToBackend(backend)
    return error


parallel.register_parallel_backend("concx", ConcxBackend)
