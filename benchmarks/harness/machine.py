"""The facts that stand beside every figure: machine, system, interpreter, versions, commit."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1].strip() if found else ""


def machine() -> dict[str, Any]:
    """CPU, memory, kernel, clock governor and how busy the machine was."""
    cpuinfo = _text("/proc/cpuinfo")
    cpus = sorted(os.sched_getaffinity(0))
    model = (
        _first(r"^model name\s*:\s*(.*)$", cpuinfo) or platform.processor() or platform.machine()
    )
    family = _first(r"^cpu family\s*:\s*(.*)$", cpuinfo)
    number = _first(r"^model\s*:\s*(.*)$", cpuinfo)
    mhz = _first(r"^cpu MHz\s*:\s*(.*)$", cpuinfo)
    governor = _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return {
        "cpu": model,
        "cpu_family": f"family {family} model {number}" if family else "",
        "mhz": round(float(mhz)) if mhz else None,
        "cpus": len(cpus),
        "architecture": platform.machine(),
        "virtual": "hypervisor" in _first(r"^flags\s*:\s*(.*)$", cpuinfo).split(),
        "memory_mib": int(_first(r"^MemTotal:\s*(\d+)", _text("/proc/meminfo")) or 0) // 1024,
        "kernel": platform.release(),
        "governor": governor or "not exposed",
        "load": round(os.getloadavg()[0], 2),
    }


def _ticks() -> list[float]:
    """Seconds of all CPUs since boot: user, nice, system, idle, waiting, irq, softirq, stolen."""
    fields = _first(r"^cpu\s+(.*)$", _text("/proc/stat")).split()
    return [int(field) / os.sysconf("SC_CLK_TCK") for field in fields[:8]] or [0.0] * 8


def stolen() -> float:
    """Seconds that the host took from this virtual machine since boot."""
    return _ticks()[7]


def busy() -> float:
    """Seconds that the CPUs were not idle since boot, to about a hundredth."""
    ticks = _ticks()
    return sum(ticks) - ticks[3] - ticks[4]


def gil_enabled() -> bool:
    """Whether this process runs under the GIL at this moment."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def version_of(package: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def build() -> dict[str, Any]:
    """This interpreter: version, GIL or not, and how it was compiled. No paths."""
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    flags = " ".join(
        str(sysconfig.get_config_var(name) or "") for name in ("CFLAGS", "PY_CORE_CFLAGS")
    )
    free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    levels = re.findall(r"-O(\w+)", flags)
    profiled: bool | None = "-fprofile-use" in flags or "--enable-optimizations" in arguments
    known = [
        "--enable-optimizations",
        "--with-lto",
        "--disable-gil",
        "--enable-shared",
        "--with-pydebug",
    ]
    debian = os.__file__.startswith("/usr/lib/python3")
    if debian and not profiled:
        profiled = None  # Debian's build rules decide, and leave no trace in sysconfig
    version = platform.python_version()
    return {
        "id": f"{sys.implementation.name}-{version}{'t' if free else ''}{'-debian' if debian else ''}",
        "version": version,
        "free_threaded": free,
        "gil_enabled": gil_enabled(),
        "profile_guided": profiled,
        "lto": None if debian else "-flto" in flags or "--with-lto" in arguments,
        "debug": bool(sysconfig.get_config_var("Py_DEBUG")),
        "optimisation": f"-O{levels[-1]}" if levels else "",
        "configured": [option for option in known if option in arguments],
        "compiler": platform.python_compiler(),
        "distribution": "Debian" if debian else "built from source",
        "switch_interval": sys.getswitchinterval(),
    }


def commit() -> dict[str, Any]:
    """The commit of the source tree and whether tracked sources differ from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        name = git("rev-parse", "--short=12", "HEAD")
        changed = git(
            "status", "--porcelain", "--untracked-files=no", "--", "csrc", "python", "setup.py"
        )
    except OSError:
        name, changed = "", ""
    return {"commit": name or "unknown", "changed": bool(changed)}


def now() -> str:
    """The time of day, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
