"""Deaths at random, in processes of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

KILLS = Path(__file__).parent / "scripts" / "kills.py"


@pytest.mark.timeout(120)
def test_two_hundred_kills(run_script: Any, seed: int) -> None:
    run_script(KILLS, "200", str(seed), timeout=110)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_ten_thousand_kills(run_script: Any, seed: int) -> None:
    for part in range(20):
        run_script(KILLS, "500", str(seed + part), timeout=300)
