"""Index a source tree: a walker thread, reader threads and an asyncio consumer, joined by concx queues, a cache that the
readers share, and a pool whose futures the consumer awaits.

Then run the same pipeline on the standard library's queues and pool, whole and as a replay of recorded messages without reading
and tokenising, and print the ratios. Ctrl-C stops at any point and prints what there is.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from concx.cache import cached
from concx.cli import pipelines, report, source
from concx.cli.pipelines import Work
from concx.futures import BrokenExecutor

__all__ = ["add_arguments", "run"]

SAMPLE = 60_000
"""Messages in the part of the tree that the comparison runs over."""
REPLAY = 0.5
"""Seconds that a replay is to take: the recording, as many times over as that needs."""
MOST_REPEATS = 100
NAMES = 4096
"""Names whose kind is kept."""
LARGE = 64 << 10
"""Bytes; files of that size are worth a trip to another process."""

Row = tuple[str, Callable[[Work], None]]

PIPELINES: list[Row] = [
    (report.OURS, pipelines.concx_queue),
    ("queue.Queue, run_in_executor(get)", pipelines.standard_executor),
    ("asyncio.Queue, call_soon_threadsafe", pipelines.standard_call_soon),
]
REPLAYS = [
    *PIPELINES,
    (f"{report.OURS}, batches of {pipelines.BATCH}", pipelines.concx_batches),
]
POOLS: list[Row] = [
    (report.OUR_POOL, pipelines.concx_pool),
    ("ThreadPoolExecutor, run_in_executor", pipelines.standard_pool),
]
POOL_JOBS = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        nargs="?",
        metavar="FOLDER",
        help="source tree (default: the standard library without its tests)",
    )
    parser.add_argument(
        "--no-compare",
        action="store_true",
        help="index only, no run on the standard library's queues",
    )
    parser.add_argument(
        "--readers", type=_count, default=2, metavar="N", help="reader threads (default: 2)"
    )
    parser.add_argument(
        "--processes",
        type=_count,
        default=0,
        metavar="N",
        help=f"processes that tokenise files of {LARGE >> 10} KB and more while the tree is indexed "
        "(default: the readers do)",
    )
    parser.add_argument(
        "--grain", type=_count, default=8, metavar="N", help="tokens in a message (default: 8)"
    )
    parser.add_argument(
        "--rounds",
        type=_count,
        default=3,
        metavar="N",
        help="runs of each pipeline; the best counts (default: 3)",
    )
    parser.add_argument(
        "--top", type=_count, default=10, metavar="N", help="identifiers to list (default: 10)"
    )


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


class Stopped(Exception):
    """Ctrl-C was pressed; raised between two runs, never inside one."""


class Interrupts:
    """Turns Ctrl-C into a flag. A second press, a second or more after the first, raises KeyboardInterrupt (a file system
    that hangs), a third one ends the process."""

    def __init__(self) -> None:
        self.work: Work | None = None
        self.first: float | None = None
        self.raised = False

    @property
    def stopped(self) -> bool:
        return self.first is not None

    def handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first = now
            if self.work is not None:
                self.work.stopped = True
        elif now - self.first >= 1.0:
            if self.raised:
                os._exit(130)
            self.raised = True
            raise KeyboardInterrupt

    def run(self, pipeline: Callable[[Work], None], work: Work) -> float:
        """Run `pipeline` over `work`; seconds. Raises `Stopped` if Ctrl-C cut it short."""
        gc.collect()
        self.work = work
        if self.stopped:
            raise Stopped
        start = time.perf_counter()
        pipeline(work)
        seconds = time.perf_counter() - start
        self.work = None
        if self.stopped:
            raise Stopped
        return seconds


def digest(data: bytes) -> bytes:
    """What tells one content from another; of more than 2 KB it is computed without the GIL."""
    return hashlib.sha256(data).digest()


def is_large(path: str) -> bool:
    try:
        return os.path.getsize(path) >= LARGE
    except OSError:
        return False  # who reads it says why


class Index:
    """Files as work for a pipeline, and the tally of what came out of it."""

    def __init__(
        self,
        files: Callable[[], Iterable[str]],
        grain: int,
        processes: Any = None,
    ) -> None:
        self.files = files
        self.grain = grain
        self.processes = processes
        self.result = report.Tally()
        self.kind_of = cached(NAMES)(source.kind_of)
        self.done: list[tuple[str, int]] = []

    def read(self, path: str) -> tuple[list[str], bytes]:
        """`source.read_tokens`, by another process if the file is large and there are such."""
        if self.processes is None or not is_large(path):
            return source.read_tokens(path)
        tokens: tuple[list[str], bytes] = self.processes.submit(source.read_tokens, path).result()
        return tokens

    def expand(self, path: str) -> Iterator[Any]:
        """The messages of one file: lists of `grain` tokens, then the `report.Done` of the file."""
        try:
            tokens, data = self.read(path)
        except (source.SourceError, BrokenExecutor) as error:
            yield report.Done(path, b"", 0, str(error))
            return
        add, add_kind = self.result.counts.add, self.result.kinds.add  # all readers add to one map
        kind_of = self.kind_of  # and ask one cache
        for name, count in Counter(tokens).items():
            add(name, count)
            add_kind(kind_of(name), count)
        grain = self.grain
        for start in range(0, len(tokens), grain):
            yield tokens[start : start + grain]
        yield report.Done(path, data, -(-len(tokens) // grain) + 1, None)

    def merge(self, message: list[str] | report.Done) -> pipelines.Job | None:
        result = self.result
        result.messages += 1
        if isinstance(message, list):
            result.tokens += len(message)
        elif message.reason is None:
            result.files += 1
            result.bytes += len(message.data)
            self.done.append((message.path, message.messages))
            return partial(digest, message.data)
        else:
            result.unreadable.append((message.path, message.reason))
        return None

    def finish(self, digest: bytes) -> None:
        self.result.digests[digest] += 1

    def work(self, readers: int) -> Work:
        return Work(self.files, self.expand, self.merge, self.finish, readers)


class Demo:
    """One run of the command."""

    def __init__(
        self, arguments: argparse.Namespace, folder: Path, left_out: frozenset[str]
    ) -> None:
        self.arguments = arguments
        self.folder = folder
        self.left_out = left_out
        self.interrupts = Interrupts()
        self.progress = report.Progress()
        self.tally = report.Tally()
        self.seconds = 0.0
        self.whole: report.Rates = {}
        self.replay: report.Rates = {}
        self.pool: report.Rates = {}
        self.sample = report.Tally()
        self.queue_stats: Any = None
        self.pool_stats: Any = None
        self.cache_stats: Any = None
        self.process_stats: Any = None

    def processes(self) -> Any:
        """A pool for the time of a block; None if none was asked for. A worker that dies (the system
        may be short of memory) makes its file unreadable, and no other."""
        if not self.arguments.processes:
            return contextlib.nullcontext()
        from concx.futures import ProcessPoolExecutor

        return ProcessPoolExecutor(
            self.arguments.processes,
            multiprocessing.get_context("spawn"),
            signal.signal,
            (signal.SIGINT, signal.SIG_IGN),  # Ctrl-C is for this process
            on_worker_death="replace",
        )

    def index(self) -> list[tuple[str, int]]:
        """The main pass over the whole tree; readable files with their messages, in the order in which they were done."""
        lost: list[tuple[str, str]] = []

        def files() -> Iterator[str]:
            return source.walk(
                str(self.folder), self.left_out, lambda path, reason: lost.append((path, reason))
            )

        index = Index(files, self.arguments.grain)
        self.tally = index.result
        work = index.work(self.arguments.readers)
        start = time.perf_counter()
        try:
            with self.processes() as index.processes, self.progress.phase("indexing", index.result):
                self.interrupts.run(pipelines.concx_queue, work)
        finally:
            self.seconds = time.perf_counter() - start
            if index.processes is not None:
                self.process_stats = index.processes.stats()
            self.tally.unreadable.extend(lost)
            self.tally.unreadable.sort()
            self.queue_stats, self.pool_stats = work.queue_stats, work.pool_stats
            self.cache_stats = index.kind_of.cache.stats()
        return index.done

    def record(self, done: list[tuple[str, int]]) -> list[list[Any]]:
        """Read a sample of the tree again, and keep its messages; one list for each file."""
        recording: list[list[Any]] = []
        index = Index(lambda: (), self.arguments.grain)
        messages = 0
        with self.progress.phase("recording a sample", index.result):
            for path, count in done:
                if self.interrupts.stopped:
                    raise Stopped
                if messages >= SAMPLE:
                    break
                recording.append(list(index.expand(path)))
                messages += count
        return recording

    def compare(self, files: list[str]) -> None:
        """The whole pipeline on every kind of queue. All must count the same."""
        reference: report.Tally | None = None
        for turn in range(self.arguments.rounds):
            for name, pipeline in _turned(PIPELINES, turn):
                index = Index(lambda: files, self.arguments.grain)
                with self.progress.phase(f"whole pipeline, round {turn + 1}: {name}", index.result):
                    seconds = self.interrupts.run(pipeline, index.work(self.arguments.readers))
                self.whole.setdefault(name, []).append(index.result.messages / seconds)
                if reference is None:
                    reference = self.sample = index.result
                elif not reference.same(index.result):
                    raise report.Disagreement(name, reference, index.result)

    def transport(self, recording: list[list[Any]]) -> None:
        """The recorded messages through the same threads and queues, without reading and tokenising."""
        messages = sum(map(len, recording))
        repeats = dict.fromkeys((name for name, _ in REPLAYS), 1)
        for turn in range(self.arguments.rounds + 1):
            for name, pipeline in _turned(REPLAYS, turn):
                tally = report.Tally()
                work = self._replay(recording * repeats[name], tally)
                with self.progress.phase(f"transport only, round {turn}: {name}", tally):
                    seconds = self.interrupts.run(pipeline, work)
                expected = messages * repeats[name]
                if tally.messages != expected:
                    raise report.Disagreement(name, report.Tally(messages=expected), tally)
                if turn == 0:  # finds out how long a run must be to be measured, and is not counted
                    repeats[name] = min(max(round(REPLAY / seconds), 1), MOST_REPEATS)
                else:
                    self.replay.setdefault(name, []).append(expected / seconds)

    def _replay(self, items: list[list[Any]], tally: report.Tally) -> Work:
        def merge(message: Any) -> None:
            tally.messages += 1

        return Work(lambda: items, lambda item: item, merge, merge, self.arguments.readers)

    def pools(self) -> None:
        """Jobs that do nothing, through the pool stage alone."""
        for turn in range(self.arguments.rounds):
            for name, stage in _turned(POOLS, turn):
                tally = report.Tally()
                work = self._replay([], tally)
                work.source = lambda: [int] * POOL_JOBS
                with self.progress.phase(f"pool only, round {turn + 1}: {name}", tally):
                    seconds = self.interrupts.run(stage, work)
                if tally.messages != POOL_JOBS:
                    raise report.Disagreement(name, report.Tally(messages=POOL_JOBS), tally)
                self.pool.setdefault(name, []).append(POOL_JOBS / seconds)

    def everything(self) -> None:
        done = self.index()
        if self.arguments.no_compare or not done:
            return
        recording = self.record(done)
        self.compare([path for path, _ in done[: len(recording)]])
        gc.freeze()  # the recording stays; going through it again and again would be measured too
        try:
            self.transport(recording)
            self.pools()
        finally:
            gc.unfreeze()

    def print(self, stopped: bool) -> None:
        arguments = self.arguments
        report.print_index(
            self.folder,
            self.tally,
            self.seconds,
            arguments.readers,
            arguments.top,
            self.queue_stats,
            self.pool_stats,
            self.cache_stats,
            self.process_stats,
            stopped,
        )
        if self.whole:
            report.print_whole(self.whole, self.sample)
        if self.replay:
            report.print_replay(self.replay, self.whole)
        if self.pool:
            report.print_pool(self.pool)
        if len(self.pool) == len(POOLS):
            report.print_summary(self.whole, self.replay, self.pool)
        if stopped:
            print("\nInterrupted: what stands above is what was done until then.")


def _turned(rows: list[Row], turn: int) -> list[Row]:
    """Every second round runs backwards, so that no row always comes after the same other one."""
    return rows[::-1] if turn % 2 else rows


def run(arguments: argparse.Namespace) -> int:
    if arguments.folder is None:
        folder, left_out = source.default_folder(), source.LEFT_OUT_OF_STDLIB
    else:
        folder, left_out = Path(arguments.folder), source.ALWAYS_LEFT_OUT
    try:
        os.scandir(folder).close()
    except OSError as error:
        print(
            f"concx demo: cannot read FOLDER {str(folder)!r}: {source.reason_of(error)}",
            file=sys.stderr,
        )
        return 2
    demo = Demo(arguments, folder, left_out)
    former = signal.getsignal(signal.SIGINT)
    if former is not signal.SIG_IGN:  # a shell's background job leaves Ctrl-C to others
        signal.signal(signal.SIGINT, demo.interrupts.handle)
    try:
        return _run(demo)
    finally:
        signal.signal(signal.SIGINT, former)


def _run(demo: Demo) -> int:
    stopped = False
    try:
        demo.everything()
    except Stopped:
        stopped = True
    except KeyboardInterrupt:
        demo.print(stopped=True)
        sys.stdout.flush()
        # A thread hangs in the file system; waiting for it is what the user wants to end.
        os._exit(130)
    except report.Disagreement as error:
        print(f"concx demo: {error}", file=sys.stderr)
        return 1
    if not stopped and not demo.tally.files and not demo.tally.unreadable:
        endings = " ".join(source.SUFFIXES)
        print(
            f"concx demo: no source files under {str(demo.folder)!r} (looked for {endings})",
            file=sys.stderr,
        )
        return 2
    demo.print(stopped)
    sys.stdout.flush()
    return 130 if demo.interrupts.stopped else 0
