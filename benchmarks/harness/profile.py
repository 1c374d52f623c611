"""Where the time of one contender goes, by Linux perf, for the goals that are missed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from harness.runner import WORKER, Entry, Settings

SHOWN = 12


def available() -> bool:
    """Whether perf is installed."""
    return shutil.which("perf") is not None


def profile(entry: Entry, settings: Settings) -> list[dict[str, Any]]:
    """The symbols that take most of the time of a section four times as long as the measured one."""
    job = entry.job(settings, 4 * entry.count if entry.count else None)
    with tempfile.TemporaryDirectory() as folder:
        data = str(Path(folder) / "perf.data")
        command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "1999", "-o", data, "--"]
        command += [entry.build.executable, str(WORKER), json.dumps(job)]
        subprocess.run(command, capture_output=True, timeout=600, check=False)
        report = ["perf", "report", "-q", "--stdio", "--no-children", "-F", "overhead,dso,symbol"]
        done = subprocess.run(
            [*report, "-i", data], capture_output=True, text=True, timeout=600, check=False
        )
    found = []
    for line in done.stdout.splitlines():
        match = re.match(r"\s*([\d.]+)%\s+(\S+)\s+\[(.)\]\s+(.+?)\s*$", line)
        if match:
            share, place, level, symbol = match.groups()
            where = "kernel" if level == "k" else Path(place).name
            found.append({"percent": float(share), "where": where, "symbol": symbol})
    return found[:SHOWN]
