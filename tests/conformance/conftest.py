"""The conformance suite runs every test for the standard library and for concx."""

from __future__ import annotations

import queue as stdlib
from types import ModuleType

import pytest

import concx.queue

IMPLEMENTATIONS = {"stdlib": stdlib, "concx": concx.queue}
CLASSES = ("Queue", "LifoQueue", "PriorityQueue")


@pytest.fixture(params=IMPLEMENTATIONS)
def impl(request: pytest.FixtureRequest) -> ModuleType:
    """The module under test."""
    return IMPLEMENTATIONS[request.param]


@pytest.fixture(params=IMPLEMENTATIONS)
def shutting(request: pytest.FixtureRequest) -> ModuleType:
    """The module under test, if it knows `shutdown`."""
    module = IMPLEMENTATIONS[request.param]
    if not hasattr(module, "ShutDown"):
        pytest.skip(
            "queue.Queue.shutdown came with Python 3.13; newer interpreters run this for the standard library"
        )
    return module


@pytest.fixture(params=CLASSES)
def name(request: pytest.FixtureRequest) -> str:
    """The name of a queue class with `maxsize`."""
    return str(request.param)


@pytest.fixture
def cls(impl: ModuleType, name: str) -> type:
    """A queue class with `maxsize`, of the module under test."""
    return getattr(impl, name)  # type: ignore[no-any-return]
