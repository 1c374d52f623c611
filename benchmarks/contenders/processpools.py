"""Pools of processes, forked where the package lets one choose."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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


def our_pool() -> Contender:
    from concx import multiprocessing

    return Contender(
        "concx.multiprocessing.Pool", None, multiprocessing.get_context("fork").Pool, style="pool"
    )


def _spawning(name: str, style: str, **options: Any) -> Contender:
    """A contender whose workers import something slow as they start."""
    import multiprocessing

    from concx.futures import ProcessPoolExecutor
    from workloads.processpools import import_slowly

    context = multiprocessing.get_context("spawn")
    return Contender(
        f"concx.ProcessPoolExecutor, {name}",
        None,
        lambda n: ProcessPoolExecutor(
            n, context, import_slowly if style == "import" else None, **options
        ),
        style=style,
    )


def spare() -> Contender:
    return _spawning("warm spare", "replace", on_worker_death="replace", warm_spares=1)


def start() -> Contender:
    return _spawning("start of a worker", "start")


def recycled() -> Contender:
    return _spawning("25 tasks per worker", "import", max_tasks_per_child=25, warm_spares=1)


def spawned() -> Contender:
    return _spawning("spawned", "import")


def loky() -> Contender:
    from joblib.externals.loky import ProcessPoolExecutor

    return Contender("loky", "joblib", lambda n: ProcessPoolExecutor(max_workers=n))
