"""Run benchmark rows. The benchmarks are part of the source tree, not of the installed package."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import concx

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to run (default: all)")
    parser.add_argument("--json", metavar="FILE", help="write the raw figures to FILE")
    parser.add_argument("--plot", metavar="FILE", help="draw a chart into FILE")


def find_runner(start: Path) -> Path | None:
    """``benchmarks/run.py`` of the source tree that `start` lies in, or that this package is imported from."""
    package = Path(concx.__file__).resolve()
    for folder in (start, *start.parents, *package.parents):
        if (folder / "python" / "concx").is_dir() and (folder / "benchmarks" / "run.py").is_file():
            return folder / "benchmarks" / "run.py"
    return None


def run(arguments: argparse.Namespace) -> int:
    runner = find_runner(Path.cwd())
    if runner is None:
        print(
            f"concx bench: no benchmarks/run.py in {str(Path.cwd())!r} or a folder above it; run this in a source tree of concx",
            file=sys.stderr,
        )
        return 2
    command = [sys.executable, str(runner), *arguments.rows]
    for option in ("json", "plot"):
        value = getattr(arguments, option)
        if value is not None:
            command += [f"--{option}", value]
    with subprocess.Popen(command) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # The runner shares the terminal and has got the signal too; it ends by itself.
                continue
