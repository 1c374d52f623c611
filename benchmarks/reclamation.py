"""What the readers' sections and the grace periods of core/rcu cost, and the same over liburcu.

    python benchmarks/reclamation.py

Compiles reclamation.c with the core twice, needs a C compiler and, for the second, liburcu's headers.
Prints a line for each: nanoseconds for a section, for an item of a batch of 60, and for that while
another thread reads all the time. Each build runs in processes of its own, in turn; the best counts.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
CORE = HERE.parent / "csrc"
BUILDS = {"epochs": [], "liburcu-bp": ["-DCX_WITH_URCU"]}
LIBRARIES = {"epochs": [], "liburcu-bp": ["-lurcu-bp"]}
REPEAT = 5


def compiled(folder: Path, name: str) -> Path | None:
    """The shared object of a build; None if it does not compile."""
    made = folder / f"{name}.so"
    sources = [HERE / "reclamation.c", *(CORE / "core").glob("*.c")]
    command = ["cc", "-std=c11", "-O3", "-fPIC", "-shared", "-fvisibility=hidden", f"-I{CORE}"]
    command += [*BUILDS[name], *map(str, sources), "-o", str(made), *LIBRARIES[name], "-pthread"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name}: does not compile\n{done.stderr}", file=sys.stderr)
        return None
    return made


def measured(made: Path) -> list[float]:
    """The three figures of one process."""
    code = f"import ctypes, sys; sys.exit(ctypes.CDLL({str(made)!r}).concx_measure())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        builds = {name: made for name in BUILDS if (made := compiled(Path(folder), name))}
        figures: dict[str, list[list[float]]] = {name: [] for name in builds}
        for _ in range(REPEAT):
            for name, made in builds.items():
                figures[name].append(measured(made))
    print(f"{'':12}{'section':>10}{'item':>10}{'item, busy':>12}   ns, best of {REPEAT}")
    for name, runs in figures.items():
        best = [min(column) for column in zip(*runs, strict=True)]
        print(f"{name:12}{best[0]:>10.2f}{best[1]:>10.2f}{best[2]:>12.2f}")
    return 0 if len(figures) == len(BUILDS) else 1


if __name__ == "__main__":
    sys.exit(main())
