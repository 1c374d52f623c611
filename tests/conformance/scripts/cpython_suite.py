"""Runs a module of CPython's own test suite with parts of concx in place of the standard ones.

    python cpython_suite.py queue | logging | futures [--queue] | pool [--std-wait] | asyncio | map

The module's source is loaded under another name; wherever it would find the standard `queue`, or for
`pool` and `asyncio` the standard futures and thread pool, it finds concx's. Exit status 0: all passed; 1: failures; 77: this interpreter has no test package.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import runpy
import sys
import types
import unittest
from pathlib import Path

import concx.queue

ABSENT = 77

# Test cases that are about something else than the queue, each with the reason.
LEFT_OUT: dict[str, str] = {
    "CSimpleQueueTest.test_simplequeue_sizeof": "3.15 asserts the size of the struct in its own Modules/_queuemodule.c",
    "ConcurrentDictTest.test_repr": "its repr names the class, as that of every container that is no literal",
    "ConcurrentDictTest.test_reversible": "it keeps no order, and says so",
    "ConcurrentDictTest.test_mutatingiteration": "a change of size during iteration is no error",
    "ConcurrentSetTest.test_pickling": "it gives the instance an attribute; that is tried with a subclass",
    **{
        f"{case}.{name}": reason
        for case in ("ConcurrentSetTest", "ConcurrentSetSubclassTest")
        for name, reason in {
            "test_iterator_pickling": "an iterator of what others change has no content to be pickled",
            "test_do_not_rehash_dict_keys": "the hashes that a dict has stored are not to be had from outside",
        }.items()
    },
}


def module_path(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin else None


def load(name: str, alias: str) -> types.ModuleType | None:
    """The module `name`, loaded afresh under the name `alias`."""
    path = module_path(name)
    if path is None:
        return None
    spec = importlib.util.spec_from_file_location(alias, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.__package__ = name.rpartition(".")[0]  # its relative imports are those of the original
    sys.modules[alias] = module
    spec.loader.exec_module(module)
    return module


def cases(suite: unittest.TestSuite) -> list[unittest.TestCase]:
    found: list[unittest.TestCase] = []
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            found.extend(cases(part))
        else:
            found.append(part)
    return found


def queue_suite() -> list[unittest.TestCase] | None:
    from test.support import import_helper

    standard = import_helper.import_fresh_module

    def fresh(name: str, *args: object, **kwargs: object) -> types.ModuleType:
        return concx.queue if name == "queue" else standard(name, *args, **kwargs)

    import_helper.import_fresh_module = fresh
    try:
        module = load("test.test_queue", "concx_test_queue")
    finally:
        import_helper.import_fresh_module = standard
    if module is None:
        return None
    assert module.py_queue is concx.queue
    assert module.c_queue is concx.queue
    found = cases(unittest.defaultTestLoader.loadTestsFromModule(module))
    # The Python and the C half are the same class here: the C half says what a C class must do.
    return [case for case in found if not type(case).__name__.startswith("Py")]


def logging_suite() -> list[unittest.TestCase] | None:
    import logging.config
    import logging.handlers

    logging.handlers.queue = concx.queue  # type: ignore[attr-defined]
    logging.config.queue = concx.queue  # type: ignore[attr-defined]
    # Its own classes derive from the queue module's, so they must find ours while it is loaded.
    standard = sys.modules["queue"]
    sys.modules["queue"] = concx.queue
    try:
        module = load("test.test_logging", "concx_test_logging")
    finally:
        sys.modules["queue"] = standard
    if module is None:
        return None
    assert module.queue is concx.queue
    found = cases(unittest.defaultTestLoader.loadTestsFromModule(module))
    return [case for case in found if "queue" in case.id().lower()]


def futures_suite() -> list[unittest.TestCase] | None:
    import concurrent.futures.thread as thread

    def take(queue_class: type) -> types.SimpleNamespace:
        return types.SimpleNamespace(
            SimpleQueue=queue_class,
            Queue=queue_class,
            Empty=concx.queue.Empty,
            Full=concx.queue.Full,
        )

    chosen = concx.queue.Queue if "--queue" in sys.argv else concx.queue.SimpleQueue
    thread.queue = take(chosen)  # type: ignore[attr-defined]
    names = ["test.test_concurrent_futures"]
    path = module_path(names[0])
    if path is None:
        return None
    if path.name == "__init__.py":
        names = [f"{names[0]}.{file.stem}" for file in sorted(path.parent.glob("test_*.py"))]
    found: list[unittest.TestCase] = []
    for number, name in enumerate(names):
        module = load(name, f"concx_test_futures_{number}")
        assert module is not None
        found.extend(cases(unittest.defaultTestLoader.loadTestsFromModule(module)))
    return [case for case in found if "ThreadPool" in case.id()]


def swap_pool() -> None:
    """Our futures and pool everywhere, in the interpreters that the tests start too."""
    from test.support import script_helper

    folder = str(Path(__file__).parent / "swapped")
    os.environ["CONCX_SWAPPED"] = "std" if "--std-wait" in sys.argv else "all"
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, *filter(None, sys.path)])
    script_helper.interpreter_requires_environment = lambda: True
    runpy.run_path(str(Path(folder) / "sitecustomize.py"))


def pool_suite() -> list[unittest.TestCase] | None:
    path = module_path("test.test_concurrent_futures")
    if path is None:
        return None
    swap_pool()
    names = ["test.test_concurrent_futures"]
    if path.name == "__init__.py":
        names = [
            f"{names[0]}.{file.stem}"
            for file in sorted(path.parent.glob("test_*.py"))
            if file.stem not in {"test_process_pool", "test_deadlock", "test_interpreter_pool"}
        ]
    found: list[unittest.TestCase] = []
    for number, name in enumerate(names):
        module = load(name, f"concx_test_pool_{number}")
        assert module is not None
        found.extend(cases(unittest.defaultTestLoader.loadTestsFromModule(module)))
    return [
        case
        for case in found
        if "ThreadPool" in type(case).__name__ or type(case).__name__ == "FutureTests"
    ]


ASYNCIO = {
    "test_futures": ("wrap_future", "run_in_executor"),
    "test_threads": ("",),
    "test_events": ("run_in_executor", "executor"),
    "test_base_events": ("executor",),
    "test_tasks": ("RunCoroutineThreadsafe",),
}
"""The modules of test_asyncio where futures and pools of threads take part, and what names them."""


def asyncio_suite() -> list[unittest.TestCase] | None:
    if module_path("test.test_asyncio") is None:
        return None
    swap_pool()
    found: list[unittest.TestCase] = []
    for stem, words in ASYNCIO.items():
        module = load(f"test.test_asyncio.{stem}", f"concx_test_asyncio_{stem}")
        assert module is not None
        loaded = cases(unittest.defaultTestLoader.loadTestsFromModule(module))
        found += [case for case in loaded if any(word in case.id() for word in words)]
    return found


def map_suite() -> list[unittest.TestCase] | None:
    if module_path("test.mapping_tests") is None or module_path("test.test_set") is None:
        return None
    from test import mapping_tests, test_set

    from concx.map import ConcurrentDict, ConcurrentSet

    def case(name: str, base: type, **attributes: object) -> type:
        return type(name, (base,), {"__module__": "map", "__qualname__": name, **attributes})

    mapping_subclass = type("Subclass", (ConcurrentDict,), {})
    # Pickle finds it by its module.
    set_subclass = type("Subclass", (ConcurrentSet,), {"__module__": __name__})
    globals()["Subclass"] = set_subclass
    kinds = [
        case("ConcurrentDictTest", mapping_tests.TestHashMappingProtocol, type2test=ConcurrentDict),
        case(
            "ConcurrentDictSubclassTest",
            mapping_tests.BasicTestMappingProtocol,
            type2test=mapping_subclass,
        ),
        case("ConcurrentSetTest", test_set.TestSet, thetype=ConcurrentSet, basetype=ConcurrentSet),
        case(
            "ConcurrentSetSubclassTest",
            test_set.TestSet,
            thetype=set_subclass,
            basetype=ConcurrentSet,
        ),
    ]
    load_case = unittest.defaultTestLoader.loadTestsFromTestCase
    return [found for kind in kinds for found in cases(load_case(kind))]


def main() -> int:
    suites = {
        "queue": queue_suite,
        "logging": logging_suite,
        "futures": futures_suite,
        "pool": pool_suite,
        "asyncio": asyncio_suite,
        "map": map_suite,
    }
    name = sys.argv[1]
    try:
        importlib.import_module("test.support")
    except ModuleNotFoundError:
        return ABSENT
    tests = suites[name]()
    if tests is None:
        return ABSENT
    tests = [case for case in tests if case.id().partition(".")[2] not in LEFT_OUT]
    assert tests, "the selection is empty: CPython's tests were renamed"
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(unittest.TestSuite(tests))
    good = result.testsRun - len(result.skipped) - len(result.failures) - len(result.errors)
    print(f"{name}: {good} passed, {len(result.skipped)} skipped of {result.testsRun}")
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
