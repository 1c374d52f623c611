"""core/map beside liburcu's cds_lfht, both in C alone.

    python benchmarks/hashtables.py

Compiles hashtables.c twice, needs a C compiler and, for the second, liburcu's headers. Prints a line for
each: nanoseconds for a look-up among a thousand and among a million entries and for an insert of a million
into an empty table, milliseconds for the longest of those and for the longest call while the table gets
twice its buckets, and how many threads the table started. Each build runs in processes of its own, in turn; the best counts.
"""

from __future__ import annotations

import sys

from native_builds import Build, best_of

REPEAT = 5
BUILDS = [Build("core/map"), Build("cds_lfht", ("-DLFHT",), ("-lurcu-bp", "-lurcu-cds"))]


def main() -> int:
    figures = best_of("hashtables.c", BUILDS, REPEAT)
    heads = ("of 1,000", "of 1,000,000", "insert", "longest, ms", "resize, ms", "threads")
    print(f"{'':12}{''.join(f'{head:>14}' for head in heads)}   ns, best of {REPEAT}")
    for name, best in figures.items():
        print(f"{name:12}{''.join(f'{value:>14.2f}' for value in best[:-1])}{best[-1]:>14.0f}")
    return 0 if len(figures) == len(BUILDS) else 1


if __name__ == "__main__":
    sys.exit(main())
