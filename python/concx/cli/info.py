"""Print versions, build and the mechanisms in use. Paste it into a bug report."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import sysconfig
from typing import Any

import concx
from concx import _core

__all__ = ["add_arguments", "facts", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def facts() -> dict[str, dict[str, Any]]:
    """Everything ``info`` prints, by section."""
    build = dict(_core.build_info())
    return {
        "versions": {
            "concx": concx.__version__,
            "python": f"{platform.python_implementation()} {platform.python_version()} ({', '.join(platform.python_build())})",
            "platform": platform.platform(),
            "libc": " ".join(part for part in platform.libc_ver() if part) or "unknown",
        },
        "build": {
            "compiler": _compiler(str(build.get("compiler"))),
            "for": "GIL" if build.get("gil") else "free threading",
            "debug": bool(build.get("debug")),
            "sanitizer": build.get("sanitizer"),
            "liburcu": build.get("urcu"),
            "extension": _core.__file__,
        },
        "interpreter": {
            "gil": _gil_state(),
            "free-threaded build": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
            "executable": sys.executable,
            "switch interval": sys.getswitchinterval(),
        },
        "cpus": {
            "usable": _usable_cpus(),
            "in the machine": os.cpu_count(),
            "cgroup limit": _cgroup_limit(),
        },
        "mechanisms": {
            "sleeping threads": "futex" if build.get("futex") else "mutex and condition variable",
            "queue guard": "the GIL" if build.get("gil") else "a short lock in each queue",
            "asyncio": "one loop port per event loop, one call_soon_threadsafe per batch of wake-ups",
            "native producers": "eventfd"
            if hasattr(os, "eventfd")
            else "none (no eventfd on this platform)",
        },
    }


def _compiler(version: str) -> str:
    """GCC says its number only."""
    return f"GCC {version}" if version[:1].isdigit() else version


def _gil_state() -> str:
    enabled = getattr(sys, "_is_gil_enabled", None)
    return "enabled" if enabled is None or enabled() else "disabled"


def _usable_cpus() -> int | None:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count()


def _cgroup_limit() -> float | None:
    """CPUs' worth of time that the control group allows; None where there is no limit or it cannot be told."""
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _word(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def run(arguments: argparse.Namespace) -> int:
    sections = facts()
    if arguments.json:
        print(json.dumps(sections, indent=2))
        return 0
    for section, rows in sections.items():
        print(section)
        for name, value in rows.items():
            print(f"  {name:<20} {_word(value)}")
    return 0
