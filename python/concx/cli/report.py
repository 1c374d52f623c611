"""What the demo shows: a tally, a progress line and tables."""

from __future__ import annotations

import contextlib
import keyword
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from concx.map import ConcurrentDict

__all__ = [
    "OURS",
    "OUR_POOL",
    "Disagreement",
    "Done",
    "Progress",
    "Rates",
    "Tally",
    "print_index",
    "print_pool",
    "print_replay",
    "print_summary",
    "print_whole",
]

Digest = bytes
Rates = dict[str, list[float]]
"""Messages in a second, of every run, by the name of the pipeline. The names of concx's begin with "concx"."""

OURS = "concx Queue"
OUR_POOL = "concx ThreadPoolExecutor"
NAMED = 10
"""Unreadable files that are named one by one."""


class Done(NamedTuple):
    """The last message of a file: its content, its messages (this one included), or why it cannot be read."""

    path: str
    data: bytes
    messages: int
    reason: str | None


@dataclass
class Tally:
    """What a consumer has merged so far."""

    files: int = 0
    bytes: int = 0
    tokens: int = 0
    messages: int = 0
    counts: ConcurrentDict[str, int] = field(default_factory=ConcurrentDict)
    kinds: ConcurrentDict[str, int] = field(default_factory=ConcurrentDict)
    digests: Counter[Digest] = field(default_factory=Counter)
    unreadable: list[tuple[str, str]] = field(default_factory=list)

    @property
    def copies(self) -> int:
        """Files whose content is that of another one."""
        return self.digests.total() - len(self.digests)

    def same(self, other: Tally) -> bool:
        """Whether both counted the same files to the same result."""

        def everything(tally: Tally) -> tuple[object, ...]:
            numbers = tally.files, tally.bytes, tally.tokens, tally.messages
            return (
                *numbers,
                tally.counts,
                tally.kinds,
                tally.digests,
                sorted(tally.unreadable),
            )

        return everything(self) == everything(other)


class Disagreement(Exception):
    """Two pipelines over the same files counted differently."""

    def __init__(self, name: str, expected: Tally, got: Tally) -> None:
        super().__init__(
            f"{name} counted {got.files} files, {got.tokens} tokens in {got.messages} messages where "
            f"{expected.files}, {expected.tokens} and {expected.messages} were expected; "
            "either a file changed meanwhile, or a message was lost or doubled, which is a bug in concx"
        )


class Progress:
    """On a terminal a line that is written over; elsewhere a line for each phase, and one every `SPARSE` seconds."""

    LIVE = 0.1
    SPARSE = 5.0

    def __init__(self) -> None:
        self.stream = sys.stderr
        self.live = self.stream.isatty() and os.environ.get("TERM") != "dumb"

    @contextlib.contextmanager
    def phase(self, name: str, tally: Tally) -> Iterator[None]:
        """Show `tally` growing while the body runs."""
        start = time.perf_counter()
        over = threading.Event()

        def line() -> str:
            counted = f"{tally.files:,} files, " if tally.files else ""
            return (
                f"{name}: {counted}{tally.messages:,} messages, {time.perf_counter() - start:.1f} s"
            )

        def show() -> None:
            while not over.wait(self.LIVE if self.live else self.SPARSE):
                self._write(line())

        shower = threading.Thread(target=show, name="concx-demo-progress", daemon=True)
        shower.start()
        try:
            yield
        finally:
            over.set()
            shower.join()
            if self.live:
                self._write("")
            else:
                self._write(line())

    def _write(self, text: str) -> None:
        # A closed or broken stderr must not stop the work.
        with contextlib.suppress(OSError, ValueError):
            if self.live:
                width = max(20, _columns() - 1)
                self.stream.write(f"\r\x1b[K{text[:width]}")
            else:
                self.stream.write(f"{text}\n")
            self.stream.flush()


def _columns() -> int:
    try:
        return os.get_terminal_size(2).columns
    except OSError:
        return 80


def printable(text: str) -> str:
    """`text` without what could move the cursor or break the line."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )


def per_second(count: float, seconds: float) -> str:
    return f"{count / seconds:,.0f}/s" if seconds > 0 else "-"


def print_index(
    folder: Path,
    tally: Tally,
    seconds: float,
    readers: int,
    top: int,
    queue_stats: Any,
    pool_stats: Any,
    cache_stats: Any,
    process_stats: Any,
    stopped: bool,
) -> None:
    print(f"\nIndex of {printable(str(folder))}" + (" (partial)" if stopped else ""))
    print(
        f"  walker thread -> concx Queue -> {readers} reader threads -> concx Queue -> asyncio consumer"
        f"\n  reader threads -> one concx cached function (the kind of each name)"
        f"\n  asyncio consumer -> concx ThreadPoolExecutor, {readers} threads (digests) -> await\n"
    )
    rows = [
        ("files", f"{tally.files:,}", per_second(tally.files, seconds)),
        (
            "bytes",
            f"{tally.bytes:,}",
            f"{tally.bytes / 1e6 / seconds:,.1f} MB/s" if seconds > 0 else "-",
        ),
        ("tokens", f"{tally.tokens:,}", per_second(tally.tokens, seconds)),
        ("messages", f"{tally.messages:,}", per_second(tally.messages, seconds)),
        ("seconds", f"{seconds:.2f}", ""),
        ("digests", f"{tally.digests.total():,}", per_second(tally.digests.total(), seconds)),
        ("copies", f"{tally.copies:,}", ""),
        ("unreadable", f"{len(tally.unreadable):,}", ""),
    ]
    for name, value, rate in rows:
        print(f"  {name:<12}{value:>14}  {rate:>16}".rstrip())
    for path, reason in tally.unreadable[:NAMED]:
        print(f"      {printable(path)}: {printable(reason)}")
    if len(tally.unreadable) > NAMED:
        print(f"      and {len(tally.unreadable) - NAMED:,} more")
    if queue_stats is not None:
        print(
            f"  message queue: at most {queue_stats.high_water:,} waiting; readers had to wait "
            f"{queue_stats.blocked_puts:,} times, the consumer {queue_stats.blocked_gets:,} times"
        )
    if pool_stats is not None and pool_stats.queue_wait.total:
        wait, run = pool_stats.queue_wait.quantile(0.5), pool_stats.run_time.quantile(0.5)
        print(
            f"  pool: half of the digests waited less than {wait * 1e6:,.0f} us for a thread "
            f"and took less than {run * 1e6:,.0f} us"
        )
    if process_stats is not None:
        print(
            f"  processes: {process_stats.submitted:,} large files were tokenised by other processes"
        )
    if cache_stats is not None and tally.kinds:
        kinds = sorted(tally.kinds.items(), key=lambda item: (-item[1], item[0]))
        print(
            f"  cache: {cache_stats.hits + cache_stats.misses:,} look-ups of a name's kind, hit ratio "
            f"{cache_stats.hit_ratio:.1%}, {cache_stats.loads:,} calls\n      "
            + ", ".join(f"{count:,} {kind}" for kind, count in kinds)
        )
    names = [
        (name, count)
        for name, count in sorted(tally.counts.items(), key=lambda item: (-item[1], item[0]))
        if name.isidentifier() and not keyword.iskeyword(name)
    ]
    if names:
        print("\n  most frequent identifiers")
        for name, count in names[:top]:
            print(f"      {name:<24}{count:>10,}")


def _print_rates(rates: Rates, what: str = "message", first: str = OURS) -> None:
    ours = max(rates.get(first, [0.0]))
    print(f"    {'':<36}{what + 's/s':>12}{'worst run':>12}{'us/' + what:>12}   {first} is")
    for name, runs in sorted(rates.items(), key=lambda row: (row[0] != first, -max(row[1]))):
        best = max(runs)
        ratio = "" if name == first or not ours else f"{ours / best:.2f} x as fast"
        print(
            f"    {name:<36}{best:>12,.0f}{min(runs):>12,.0f}{1e6 / best:>12.2f}   {ratio}".rstrip()
        )


def print_whole(rates: Rates, sample: Tally) -> None:
    print(
        f"\n  The same pipeline on other queues: {sample.files:,} files, {sample.tokens:,} tokens,"
        f" {sample.messages:,} messages;\n  every run counted the same."
    )
    _print_rates(rates)


def print_replay(rates: Rates, whole: Rates) -> None:
    print(
        "\n  Transport only: recorded messages through the same threads and queues,"
        "\n  nothing read, nothing tokenised, nothing counted but the messages."
    )
    _print_rates(rates)
    print(
        "\n  Transport alone, as a share of the whole pipeline's time (there, waking up comes on top):"
    )
    over = False
    for name, runs in whole.items():
        if name in rates:
            share = max(runs) / max(rates[name])
            over = over or share > 1
            print(f"    {name:<36}{share:>12.0%}")
    if over:
        print("    (above 100% where the stages overlap less in the replay)")


def print_pool(rates: Rates) -> None:
    print("\n  Pool only: empty jobs, submitted and awaited by the consumer.")
    _print_rates(rates, "job", OUR_POOL)


def print_summary(whole: Rates, replay: Rates, pool: Rates) -> None:
    """The ratios to the faster one of the standard ways."""

    def ratio(rates: Rates, ours: str = OURS) -> float:
        others = [max(runs) for name, runs in rates.items() if not name.startswith("concx")]
        return max(rates[ours]) / max(others)

    print(
        f"\n  Against the faster of the standard ways, {OURS} is {ratio(replay):.2f} x as fast in"
        f"\n  transport and the pool {ratio(pool, OUR_POOL):.2f} x; the whole pipeline, reading and tokenising included,"
        f" is {ratio(whole):.2f} x as fast."
    )
