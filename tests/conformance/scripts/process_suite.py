"""Runs CPython's `test_concurrent_futures` with concx's ProcessPoolExecutor swapped in.

    python process_suite.py fork | forkserver | spawn [part of a test's name]

Children that do not come by fork import this file again, so it swaps as it is imported; interpreters
that tests start do so by sitecustomize. Exit status as that of cpython_suite.py.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
import types
import unittest
import unittest.mock
from pathlib import Path

ABSENT = 77
MIXINS = {
    "fork": "ProcessPoolFork",
    "spawn": "ProcessPoolSpawn",
    "forkserver": "ProcessPoolForkserver",
}
MODULES = ("process_pool", "shutdown", "init", "deadlock", "wait", "as_completed")

LEFT_OUT = {
    "test_gh105829_should_not_deadlock_if_wakeup_pipe_full": "replaces the standard manager thread "
    "and its wake-up pipe; there is no pipe that could be full",
    "test_python_finalization_error": "makes the standard executor's second thread fail to start; "
    "there is only one",
}

PATCHED = {"concurrent.futures.process._spawn_worker": "concx.futures._manager._spawn_worker"}
"""What the tests replace in the standard module to make it fail, and what that is here."""

FOLDER = Path(__file__).parent / "swapped"


def swap() -> None:
    try:
        from test.support import script_helper
    except ImportError:
        sys.exit(ABSENT)
    os.environ["CONCX_SWAPPED"] = "all"
    paths = [str(FOLDER), *filter(None, sys.path)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    script_helper.interpreter_requires_environment = lambda: True
    runpy.run_path(str(FOLDER / "sitecustomize.py"))
    redirect(unittest.mock)


def redirect(mock: types.ModuleType) -> None:
    """`mock.patch` of a name that concx has elsewhere finds it there."""
    find = mock._get_target  # type: ignore[attr-defined]
    mock._get_target = lambda target: find(PATCHED.get(target, target))  # type: ignore[attr-defined]


swap()


def modules() -> list[types.ModuleType]:
    name = "test.test_concurrent_futures"
    if importlib.util.find_spec(name) is None:  # some installations have the tools and no tests
        sys.exit(ABSENT)
    package = importlib.import_module(name)
    if not hasattr(package, "__path__"):
        return [package]
    return [importlib.import_module(f"{name}.test_{each}") for each in MODULES]


def cases(suite: unittest.TestSuite) -> list[unittest.TestCase]:
    found: list[unittest.TestCase] = []
    for part in suite:
        found += cases(part) if isinstance(part, unittest.TestSuite) else [part]
    return found


def main() -> int:
    method = sys.argv[1]
    wanted = MIXINS[method]
    tests: list[unittest.TestCase] = []
    for module in modules():
        for test in cases(unittest.defaultTestLoader.loadTestsFromModule(module)):
            kind, _, name = test.id().rpartition(".")
            own = wanted in kind and ("Forkserver" in kind) == ("Forkserver" in wanted)
            if own and name not in LEFT_OUT:
                tests.append(test)
    if len(sys.argv) > 2:
        tests = [test for test in tests if sys.argv[2] in test.id()]
    assert tests, "the selection is empty: CPython's tests were renamed"
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(unittest.TestSuite(tests))
    good = result.testsRun - len(result.skipped) - len(result.failures) - len(result.errors)
    print(f"{method}: {good} passed, {len(result.skipped)} skipped of {len(tests)}")
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
