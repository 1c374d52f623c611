"""Pools of processes, forked where the package lets one choose."""

from __future__ import annotations

from dataclasses import replace

from contenders import Contender


def ours() -> Contender:
    import multiprocessing

    from concx.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("fork")
    return Contender(
        "concx.ProcessPoolExecutor", None, lambda n: ProcessPoolExecutor(n, mp_context=context)
    )


def shared() -> Contender:
    return replace(ours(), name="concx.ProcessPoolExecutor/shared_empty", style="shared_empty")


def standard() -> Contender:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("fork")
    return Contender(
        "futures.ProcessPoolExecutor", None, lambda n: ProcessPoolExecutor(n, mp_context=context)
    )


def pool() -> Contender:
    import multiprocessing

    context = multiprocessing.get_context("fork")
    return Contender("multiprocessing.Pool", None, context.Pool, style="pool")


def loky() -> Contender:
    from joblib.externals.loky import ProcessPoolExecutor

    return Contender("loky", "joblib", lambda n: ProcessPoolExecutor(max_workers=n))
