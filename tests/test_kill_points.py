"""Every store to memory that processes share is a place where a test lets a process die.

The C tests see to it that somebody has died at each ``CX_KILL_POINT()`` (`every_point_was_hit` in
``tests/core/killing.h``); this one, that no atomic store is without one.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CORE = Path(__file__).parents[1] / "csrc" / "core"
FILES = sorted(
    path.name
    for path in CORE.iterdir()
    # The one store of shm.c is a plain one, of a whole header.
    if "CX_KILL_POINT();" in path.read_text(encoding="utf-8") and path.name != "shm.c"
)
PRIVATE = {
    "shmring.c: region_of",  # of this process alone
    "worklink.c: cx_worklink_note",  # on which processor: any number will do
}
STORE = re.compile(r"\bcx_(?:store|xchg|cas|fetch_add)_\w+\(")
SEEDED = re.compile(r"if \(CX_BUG\(\w+\)[^{]*\{.*?\n\s*\}\n", re.DOTALL)
FUNCTION = re.compile(r"^\w[^\n]*\n(\w+)\([^;]*?\n\{.*?^\}", re.MULTILINE | re.DOTALL)


def test_files() -> None:
    assert {
        "shmarena.c",
        "shmcond.c",
        "shmcursor.h",
        "shmlock.c",
        "shmring.c",
        "worklink.c",
    } <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_every_store_is_followed_by_one(name: str) -> None:
    text = SEEDED.sub("", (CORE / name).read_text(encoding="utf-8"))
    stores = 0
    for function in FUNCTION.finditer(text):
        place = f"{name}: {function[1]}"
        body = re.sub(r"/\*.*?\*/", "", function[0], flags=re.DOTALL)
        found = list(STORE.finditer(body))
        if place in PRIVATE:
            assert found, f"{place} stores nothing any more"
            continue
        stores += len(found)
        for store, following in zip(found, [*found[1:], None], strict=False):
            end = len(body) if following is None else following.start()
            assert "CX_KILL_POINT();" in body[store.end() : end], (
                f"{place}: no CX_KILL_POINT() between\n{body[store.start() : store.start() + 70]}\n"
                "and the next store"
            )
    assert stores > 0
    counted = sum(len(STORE.findall(f[0])) for f in FUNCTION.finditer(text))
    assert counted == len(STORE.findall(text)), f"{name}: a store in no function that was found"
