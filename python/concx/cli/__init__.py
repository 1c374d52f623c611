"""The command line: ``python -m concx info | demo | bench``.

A command is a module of this package with two functions: ``add_arguments(parser)`` and ``run(arguments) -> exit status``.
Status 0 is success, 1 a failure found at work, 2 a request that cannot be met as written, 130 an interrupt (Ctrl-C).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import concx
from concx.cli import bench, demo, info

__all__ = ["main"]

COMMANDS = {
    "info": (info, "versions, build and mechanisms in use; paste it into a bug report"),
    "demo": (
        demo,
        "index a source tree through threads and asyncio, and compare with the standard library",
    ),
    "bench": (bench, "run benchmark rows (in a source tree)"),
}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m concx", description="concurrency toolkit: command line"
    )
    parser.add_argument("--version", action="version", version=f"concx {concx.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, line) in COMMANDS.items():
        command = commands.add_parser(name, help=line, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A file name may hold what the terminal's encoding cannot write.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    arguments = build_parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output (head, a pager) has left: no more can be said, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    return status
