"""Runs CPython's own tests of modules that cache, with concx's lru_cache under all of them.

    python -S cached_suite.py fnmatch | re | typing | ipaddress | enum | fractions | urlparse | functools

`functools.lru_cache` and `functools.cache` are replaced before anything has imported them, which is why
it wants ``-S``. Exit status 0: all passed; 1: failures; 77: this interpreter has no test package.
"""

import functools
import sys

import concx.functools

EARLY = [name for name in ("re", "typing", "enum", "fnmatch", "fractions") if name in sys.modules]
# A child that multiprocessing starts for a test imports this file late.
assert not EARLY or __name__ != "__main__", f"{EARLY} came before the replacement"

Standard = type(functools.lru_cache(len))
functools.lru_cache = concx.functools.lru_cache  # type: ignore[assignment]
functools.cache = concx.functools.cache  # type: ignore[assignment]

import importlib  # noqa: E402
import inspect  # noqa: E402
import types  # noqa: E402
import unittest  # noqa: E402
from pathlib import Path  # noqa: E402

ABSENT = 77
MODULES = {
    "fnmatch": "fnmatch",
    "re": "re",
    "typing": "typing",
    "ipaddress": "ipaddress",
    "enum": "enum",
    "fractions": "fractions",
    "urlparse": "urllib.parse",
}
Ours = type(functools.lru_cache(len))


def caches(module: types.ModuleType) -> list[object]:
    """Every cached function of a module: its own, its classes', and those in closures and lists."""
    found: list[object] = []
    seen: set[int] = set()
    waiting: list[object] = list(vars(module).values())
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Ours | Standard):
            found.append(value)
        elif inspect.isclass(value) and value.__module__ == module.__name__:
            waiting += vars(value).values()
        elif isinstance(value, property | staticmethod | classmethod):
            waiting += [getattr(value, name, None) for name in ("fget", "__func__")]
        elif isinstance(value, types.BuiltinMethodType):  # typing keeps its `cache_clear`s
            waiting.append(value.__self__)
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict) and value is not vars(module):
            waiting += value.values()
    return found


def check(name: str) -> None:
    """Whatever the module caches by lru_cache is ours, and there is such a thing if its source says so."""
    module = importlib.import_module(name)
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    found = caches(module)
    wrong = [one for one in found if not isinstance(one, Ours)]
    assert not wrong, wrong
    says = "lru_cache" in source or "functools.cache\n" in source
    assert bool(found) == says, f"{name}: {found}, but its source says {says}"
    print(f"{name}: {len(found)} caches are ours")


@concx.functools.lru_cache()
def cached_func(x: int, y: int) -> int:
    return 3 * x + y


def functools_tests() -> list[type[unittest.TestCase]]:
    from test import test_functools as standard

    twin = types.SimpleNamespace(
        lru_cache=concx.functools.lru_cache,
        cache=concx.functools.cache,
        partial=functools.partial,
        WRAPPER_ASSIGNMENTS=functools.WRAPPER_ASSIGNMENTS,
        _CacheInfo=functools._CacheInfo,  # type: ignore[attr-defined]
    )
    # The recursion test asks more of the C implementation, which it knows by identity.
    standard.c_functools = twin

    class TestLRU(standard.TestLRU, unittest.TestCase):  # type: ignore[misc]
        module = twin
        cached_func = (cached_func,)

        @twin.lru_cache()
        def cached_meth(self, x: int, y: int) -> int:
            return 3 * x + y

        @staticmethod
        @twin.lru_cache()
        def cached_staticmeth(x: int, y: int) -> int:
            return 3 * x + y

    class TestCache(standard.TestCache, unittest.TestCase):  # type: ignore[misc]
        module = twin

    # Pickled by reference, so they have to be found.
    TestLRU.__qualname__ = "TestLRU"
    for name in ("cached_meth", "cached_staticmeth"):
        getattr(TestLRU, name).__qualname__ = f"TestLRU.{name}"
    globals()["TestLRU"] = TestLRU
    return [TestLRU, TestCache]


def main() -> int:
    name = sys.argv[1]
    try:
        importlib.import_module("test.support")
        loader = unittest.TestLoader()
        if name == "functools":
            cases = [loader.loadTestsFromTestCase(case) for case in functools_tests()]
        else:
            check(MODULES[name])
            cases = [loader.loadTestsFromName(f"test.test_{name}")]
    except ModuleNotFoundError:
        return ABSENT
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=1).run(unittest.TestSuite(cases))
    good = result.testsRun - len(result.skipped) - len(result.failures) - len(result.errors)
    print(f"{name}: {good} passed, {len(result.skipped)} skipped of {result.testsRun}")
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
