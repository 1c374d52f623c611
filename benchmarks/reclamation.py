"""What the readers' sections and the grace periods of core/rcu cost, and the same over liburcu.

    python benchmarks/reclamation.py

Compiles reclamation.c with the core twice, needs a C compiler and, for the second, liburcu's headers.
Prints a line for each: nanoseconds for a section, for an item of a batch of 60, and for that while
another thread reads all the time. Each build runs in processes of its own, in turn; the best counts.
"""

from __future__ import annotations

import sys

from native_builds import Build, best_of

REPEAT = 5
BUILDS = [Build("epochs"), Build("liburcu-bp", ("-DCX_WITH_URCU",), ("-lurcu-bp",))]


def main() -> int:
    figures = best_of("reclamation.c", BUILDS, REPEAT)
    print(f"{'':12}{'section':>10}{'item':>10}{'item, busy':>12}   ns, best of {REPEAT}")
    for name, best in figures.items():
        print(f"{name:12}{best[0]:>10.2f}{best[1]:>10.2f}{best[2]:>12.2f}")
    return 0 if len(figures) == len(BUILDS) else 1


if __name__ == "__main__":
    sys.exit(main())
