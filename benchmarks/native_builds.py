"""Parts of the core compiled in more than one way, and measured without Python in between."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CORE = HERE.parent / "csrc"


@dataclass(frozen=True)
class Build:
    """One way to compile a program that has ``int concx_measure(void)``."""

    name: str
    flags: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()


def compiled(folder: Path, source: str, build: Build) -> Path | None:
    """The shared object of a build, with the whole core in it; None if it does not compile."""
    made = folder / f"{build.name.replace('/', '-')}.so"
    sources = [HERE / source, *(CORE / "core").glob("*.c")]
    command = [
        "cc",
        "-std=c11",
        "-O3",
        "-fPIC",
        "-shared",
        "-fvisibility=hidden",
        "-Werror=implicit",
        f"-I{CORE}",
    ]
    command += [*build.flags, *map(str, sources), "-o", str(made), *build.libraries, "-pthread"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{build.name}: does not compile\n{done.stderr}", file=sys.stderr)
        return None
    return made


def measured(made: Path) -> list[float]:
    """The figures that one process prints."""
    code = f"import ctypes, sys; sys.exit(ctypes.CDLL({str(made)!r}).concx_measure())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def best_of(source: str, builds: Sequence[Build], repeat: int) -> dict[str, list[float]]:
    """The least of each figure by the name of the build, over so many processes, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        made = {
            build.name: path for build in builds if (path := compiled(Path(folder), source, build))
        }
        figures: dict[str, list[list[float]]] = {name: [] for name in made}
        for _ in range(repeat):
            for name, path in made.items():
                figures[name].append(measured(path))
    return {
        name: [min(column) for column in zip(*runs, strict=True)] for name, runs in figures.items()
    }
