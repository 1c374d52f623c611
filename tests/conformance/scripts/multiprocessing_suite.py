"""Runs CPython's `_test_multiprocessing` with concx's queues, locks, shared values and pool swapped in.

    python multiprocessing_suite.py fork | forkserver | spawn [part of a test's name]

Interpreters that tests start swap by sitecustomize. Children that do not come by fork import this file again, so it swaps as it is imported. Exit status
as that of cpython_suite.py.
"""

from __future__ import annotations

import os
import sys
import unittest
from pathlib import Path
from typing import Any

ABSENT = 77
METHOD = sys.argv[1]
CLASSES = (
    *("Queue", "Lock", "Semaphore", "Condition", "Event", "Barrier", "Value", "Array"),
    *("Pool", "PoolWorkerErrors", "PoolWorkerLifetime"),
)
MORE = {
    "TestSimpleQueue": "",
    "TestInitializers": "test_pool_initializer",
    "TestStdinBadfiledescriptor": "test_pool_in_process",
    "MiscTestCase": "test_large_pool",
}
"""Classes that are not made by `install_tests_in_module_dict`, and of which tests: "" for all."""

NAMES = (
    *("Queue", "JoinableQueue", "SimpleQueue", "Lock", "RLock", "Semaphore", "BoundedSemaphore"),
    *("Condition", "Event", "Barrier", "Value", "Array", "RawValue", "RawArray", "Pool"),
)
FOLDER = Path(__file__).parent / "swapped_mp"

LEFT_OUT = {
    "WithProcessesTestQueue.test_queue_feeder_donot_stop_onexc": "it demands that errors of "
    "pickling are printed by a feeder thread; put() raises them",
    "WithProcessesTestQueue.test_queue_feeder_on_queue_feeder_error": "about the feeder thread of "
    "a subclass of multiprocessing.queues.Queue",
    "TestSimpleQueue.test_closed": "looks at the two ends of a pipe; there is none",
}

TIMED = {"test_repr_lock", "test_repr_rlock"}
"""They look after a sleep of 0.1 s for what another thread does for 0.2 s; on a busy machine that may be
over, so a failure of these counts only if it comes twice."""

try:
    from test import _test_multiprocessing as suite
    from test.support import script_helper
except ImportError:
    sys.exit(ABSENT)

import multiprocessing  # noqa: E402

from concx import multiprocessing as ours  # noqa: E402


def check_invariant(self: unittest.TestCase, cond: Any) -> None:
    """Nobody waits; the standard condition's three semaphores are not ours."""
    assert repr(cond).endswith(", 0)>"), repr(cond)


def swap() -> None:
    os.environ["CONCX_SWAPPED_NAMES"] = " ".join(NAMES)
    paths = [str(FOLDER), *filter(None, sys.path)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    script_helper.interpreter_requires_environment = lambda: True
    for name in NAMES:
        replacement = getattr(ours, name)
        setattr(multiprocessing, name, replacement)
        if hasattr(suite.ProcessesMixin, name):
            setattr(suite.ProcessesMixin, name, staticmethod(replacement))
    suite._TestCondition.check_invariant = check_invariant
    suite.install_tests_in_module_dict(globals(), METHOD)
    wanted = {f"WithProcessesTest{name}" for name in CLASSES}
    for name, value in list(globals().items()):
        if isinstance(value, type) and issubclass(value, unittest.TestCase) and name not in wanted:
            del globals()[name]

    for name, only in MORE.items():
        base = getattr(suite, name, None)
        if base is None:
            continue  # of a later version
        kind = type(name, (base,), {"__module__": __name__, "__qualname__": name})
        for other in unittest.defaultTestLoader.getTestCaseNames(kind):
            if only not in other:
                setattr(kind, other, None)
        globals()[name] = kind


swap()


def main() -> int:
    module = sys.modules["__main__"]
    tests: list[unittest.TestCase] = []
    for case in unittest.defaultTestLoader.loadTestsFromModule(module):
        tests += [test for test in case if test.id().partition(".")[2] not in LEFT_OUT]  # type: ignore[union-attr]
    if len(sys.argv) > 2:
        tests = [test for test in tests if sys.argv[2] in test.id()]
    result = run(tests)
    good = result.testsRun - len(result.skipped) - len(result.failures) - len(result.errors)
    failed = [test for test, _ in result.failures + result.errors]
    if failed and all(test.id().rpartition(".")[2] in TIMED for test in failed):
        print("again:", *failed)
        again = run([type(test)(test._testMethodName) for test in failed])
        good += again.testsRun - len(again.failures) - len(again.errors)
        result = again
    print(f"{METHOD}: {good} passed, {len(result.skipped)} skipped of {len(tests)}")
    return 0 if result.wasSuccessful() else 1


def run(tests: list[unittest.TestCase]) -> unittest.TestResult:
    return unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(unittest.TestSuite(tests))


if __name__ == "__main__":
    sys.exit(main())
