"""The command line, run as users run it: in a process of its own."""

from __future__ import annotations

import functools
import itertools
import json
import os
import platform
import pty
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import concx
from concx.cli import demo, main, pipelines, source
from concx.futures import ProcessPoolExecutor
from queue_tools import in_child


def concx_command(
    *arguments: str | Path, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "concx", *map(str, arguments)],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=100,
        cwd=cwd,
        check=False,
    )


def number(output: str, row: str) -> int:
    match = re.search(rf"^  {row} +([\d,]+)", output, re.MULTILINE)
    assert match, f"no row {row!r} in:\n{output}"
    return int(match.group(1).replace(",", ""))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three readable files with nine tokens, four unreadable ones, and things that are none of our business."""
    folder = tmp_path / "tree"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (folder / "__pycache__").mkdir()
    (folder / "a.py").write_text("alpha = alpha + 1  # a comment is one token\n")  # 6 tokens
    (folder / "deep" / "latin.py").write_bytes(b"# -*- coding: latin-1 -*-\ncaf\xe9\n")  # 2
    (folder / "deep" / "er" / "alpha.c").write_text("/* one */")  # 1
    (folder / "empty.py").write_text("")
    (folder / "bad.py").write_bytes(b"x = '\xff'\n")
    (folder / "cookie.py").write_bytes(b"# coding: no-such-encoding\n")
    (folder / "gone.py").symlink_to(folder / "nowhere")
    (folder / "folder.py").mkdir()
    os.mkfifo(folder / "pipe.py")
    (folder / "notes.txt").write_text("not source")
    (folder / ".hidden" / "b.py").write_text("hidden")
    (folder / "__pycache__" / "c.py").write_text("cached")
    return folder


def test_demo_counts_and_names_unreadable_files(tree: Path) -> None:
    done = concx_command("demo", tree, "--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert number(done.stdout, "files") == 4
    assert number(done.stdout, "tokens") == 9
    assert number(done.stdout, "unreadable") == 4
    assert number(done.stdout, "digests") == 4
    for name in ("bad.py", "cookie.py", "gone.py", "pipe.py"):
        assert str(tree / name) in done.stdout
    assert "not utf-8: byte 0xff at 5" in done.stdout
    assert "not a regular file" in done.stdout
    assert re.search(r"^ +alpha +2$", done.stdout, re.MULTILINE)
    cache = re.search(
        r"cache: ([\d,]+) look-ups .* hit ratio ([\d.]+)%, ([\d,]+) calls", done.stdout
    )
    assert cache is not None
    lookups, calls = int(cache[1]), int(cache[3])
    assert 0 < calls <= lookups
    assert float(cache[2]) == pytest.approx(100 * (lookups - calls) / lookups, abs=0.06)
    for words in (
        "every run counted the same",
        "Transport only",
        "call_soon_threadsafe",
        "Pool only",
        "run_in_executor",
        "x as fast",
    ):
        assert words in done.stdout


def test_demo_processes(tree: Path) -> None:
    """Large files go to other processes, and the counts are the same."""
    large = tree / "large.py"
    large.write_text("name = other + 1\n" * 10_000)
    broken = tree / "broken.py"
    broken.write_bytes(b"x = 1\n" * 20_000 + b"\xff")
    outputs = [
        concx_command("demo", tree, "--no-compare", "--processes", str(n))
        if n
        else concx_command("demo", tree, "--no-compare")
        for n in (0, 1, 3)
    ]
    for done in outputs:
        assert done.returncode == 0, done.stderr
        assert number(done.stdout, "files") == 5
        assert number(done.stdout, "tokens") == 50_009
        assert number(done.stdout, "unreadable") == 5
        assert f"{broken}: not utf-8: byte 0xff at 120000" in done.stdout
    assert "  processes:" not in outputs[0].stdout
    for done in outputs[1:]:
        assert "  processes: 2 large files were tokenised by other processes" in done.stdout


def test_demo_worker_that_dies(tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Its file is unreadable, the others are indexed."""
    for name in ("one.py", "two.py"):
        (tree / name).write_text("name = other + 1\n" * 10_000)
    submit = ProcessPoolExecutor.submit

    def deadly(pool: Any, fn: Any, /, *args: Any) -> Any:
        return submit(pool, os._exit, 9) if "one" in args[0] else submit(pool, fn, *args)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", deadly)
    assert main(["demo", str(tree), "--no-compare", "--processes", "1"]) == 0
    output = capsys.readouterr().out
    assert number(output, "tokens") == 50_009
    assert re.search(r"one\.py: worker process \d+ ended with exit code 9", output)


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ('""', "strings and comments"), ("1.5", "numbers"), ("+", "signs"), ("def", "keywords"),
        ("match", "keywords"), ("len", "built-in names"), ("_MAX", "constants"),
        ("Queue", "classes"), ("queue", "other names"), ("_", "keywords"), ("__x", "other names"),
    ],
)  # fmt: skip
def test_demo_kinds(token: str, kind: str) -> None:
    assert source.kind_of(token) == kind


def test_demo_no_compare(tree: Path) -> None:
    done = concx_command("demo", tree, "--no-compare")
    assert done.returncode == 0, done.stderr
    assert number(done.stdout, "tokens") == 9
    assert "Transport only" not in done.stdout
    assert "\r" not in done.stderr


def test_permission_denied() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, secret, closed = Path(name), Path(name, "secret.py"), Path(name, "closed")
        folder.chmod(0o755)
        secret.write_text("b")
        secret.chmod(0)
        closed.mkdir(mode=0)

        def child() -> None:
            if os.geteuid() == 0:
                os.seteuid(65534)  # root may read everything
            lost: list[tuple[str, str]] = []
            found = source.walk(name, frozenset(), lambda *failure: lost.append(failure))
            assert list(found) == [str(secret)]
            assert lost == [(str(closed), "Permission denied")]
            with pytest.raises(source.SourceError, match=r"^Permission denied$"):
                source.read_tokens(str(secret))

        in_child(child)


def test_demo_names_are_made_printable(tmp_path: Path) -> None:
    (tmp_path / "line\nbreak.py").symlink_to("nowhere")
    (tmp_path / "esc\x1b[2J.py").symlink_to("nowhere")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.py")).symlink_to("nowhere")
    done = concx_command("demo", tmp_path)
    assert done.returncode == 0, done.stderr
    assert number(done.stdout, "unreadable") == 3
    assert r"line\nbreak.py: No such file or directory" in done.stdout
    assert r"esc\x1b[2J.py" in done.stdout
    assert r"\udcff.py" in done.stdout


@pytest.mark.parametrize("grain", [1, 3, 1000])
@pytest.mark.parametrize("readers", [1, 5])
def test_demo_counts_do_not_depend_on_grain_or_readers(
    tree: Path, grain: int, readers: int
) -> None:
    done = concx_command(
        "demo", tree, "--no-compare", "--grain", str(grain), "--readers", str(readers)
    )
    assert done.returncode == 0, done.stderr
    assert number(done.stdout, "tokens") == 9
    assert number(done.stdout, "files") == 4


def test_demo_folder_missing(tmp_path: Path) -> None:
    done = concx_command("demo", tmp_path / "none")
    assert done.returncode == 2
    assert done.stdout == ""
    assert (
        done.stderr
        == f"concx demo: cannot read FOLDER '{tmp_path / 'none'}': No such file or directory\n"
    )


def test_demo_folder_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text("x")
    done = concx_command("demo", tmp_path / "file.py")
    assert done.returncode == 2
    assert f"'{tmp_path / 'file.py'}': Not a directory" in done.stderr


def test_demo_folder_without_source(tmp_path: Path) -> None:
    done = concx_command("demo", tmp_path)
    assert done.returncode == 2
    assert f"no source files under '{tmp_path}' (looked for .py " in done.stderr


@pytest.mark.parametrize(
    ("option", "value"), [("--readers", "0"), ("--grain", "-1"), ("--rounds", "x")]
)
def test_demo_bad_numbers(option: str, value: str) -> None:
    done = concx_command("demo", f"{option}={value}")
    assert done.returncode == 2
    assert f"{option}: '{value}' is not a whole number of at least 1" in done.stderr


def interrupted_demo(
    folder: Path,
    delay: float,
    presses: int = 1,
    between: float = 0.0,
    before: str = "",
    sign: str = "started",
) -> tuple[int, str, str]:
    """Send SIGINT `delay` seconds after the demo printed the line `sign`, `presses` times."""
    with subprocess.Popen(
        [
            sys.executable,
            "-X",
            "faulthandler",
            "-c",
            STARTER.format(before=before),
            "demo",
            str(folder),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A suite that runs as a shell's background job has SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == f"{sign}\n":
                break
        time.sleep(delay)
        for press in range(presses):
            time.sleep(between if press else 0)
            process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # faulthandler prints every thread's stack
            out, err = process.communicate()
            pytest.fail(f"still running 40 s after Ctrl-C at {delay:.3f} s:\n{err}")
        return process.returncode, out, err


STARTER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from concx import __main__
{before}
print("started", flush=True)
sys.exit(__main__._run())
"""


HANGS = """
import os, time
from concx.cli import source

def read_tokens(path):
    os.write(1, b"hangs\\n")  # whole, whoever else says so at the same time
    time.sleep(60)

source.read_tokens = read_tokens
"""


@pytest.fixture(scope="module")
def larger_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("larger")
    line = "def function(argument, other): return [argument.method(other) for other in argument]\n"
    for number_ in range(200):
        (folder / f"module{number_}.py").write_text(line * 200)
    return folder


@pytest.mark.parametrize("seed", range(8))
def test_demo_ctrl_c_at_any_point(larger_tree: Path, seed: int) -> None:
    delay = random.Random(seed).uniform(0.05, 4.0)
    status, out, err = interrupted_demo(larger_tree, delay, presses=1 + seed % 3)
    assert "Traceback" not in err
    if "Interrupted" not in out and "concx: interrupted" not in err:
        # The whole run was over before the signal came, on a fast machine.
        assert status in (0, 130)
        assert "Transport only" in out
        return
    assert status == 130
    if "concx: interrupted" in err:
        return  # before the command began: nothing to show
    assert "Index of" in out
    assert number(out, "tokens") >= 0


def test_demo_ctrl_c_stops_soon(larger_tree: Path) -> None:
    start = time.monotonic()
    status, out, _ = interrupted_demo(larger_tree, 1.0, before="import concx.cli")
    assert status == 130
    assert "Interrupted: what stands above is what was done until then." in out
    assert time.monotonic() - start < 10.0  # the start on a busy machine included


def test_demo_second_ctrl_c_does_not_wait_for_a_thread_that_hangs(tree: Path) -> None:
    start = time.monotonic()
    # Two presses, and one for the first that may come as the loop falls asleep: it is seen with the next.
    status, out, err = interrupted_demo(
        tree, 0.0, presses=3, between=1.5, before=HANGS, sign="hangs"
    )
    assert status == 130, err
    assert time.monotonic() - start < 30
    assert "Index of" in out
    assert "Interrupted" in out


def test_demo_reader_of_output_leaves(tree: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-u", "-m", "concx", "demo", str(tree), "--no-compare"],
        stdout=_closed_pipe(),
        stderr=subprocess.PIPE,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def _closed_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def test_info_text() -> None:
    done = concx_command("info")
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^  concx +{re.escape(concx.__version__)}$", done.stdout, re.MULTILINE)
    for word in (
        "compiler",
        "liburcu",
        "gil",
        "usable",
        "sleeping threads",
        "queue guard",
        "native producers",
    ):
        assert re.search(rf"^  {word} +\S", done.stdout, re.MULTILINE), word


def test_info_json() -> None:
    done = concx_command("info", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert set(facts) == {"versions", "build", "interpreter", "cpus", "mechanisms"}
    assert platform.python_version() in facts["versions"]["python"]
    assert facts["cpus"]["usable"] >= 1
    gil_disabled = hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled()
    assert facts["interpreter"]["gil"] == ("disabled" if gil_disabled else "enabled")


def test_bench_outside_of_a_source_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(concx, "__file__", str(tmp_path / "site-packages/concx/__init__.py"))
    monkeypatch.chdir(tmp_path)
    assert main(["bench"]) == 2
    error = capsys.readouterr().err
    assert f"no benchmarks/run.py in '{tmp_path}' or a folder above it" in error


def test_bench_runs_the_runner_of_the_tree(tmp_path: Path) -> None:
    (tmp_path / "python" / "concx").mkdir(parents=True)
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "run.py").write_text("import sys; print(sys.argv[1:]); sys.exit(7)")
    done = concx_command("bench", "spsc", "--json", "out.json", cwd=tmp_path)
    assert done.returncode == 7
    assert done.stdout == "['spsc', '--json', 'out.json']\n"


def test_no_command_is_a_usage_error() -> None:
    done = concx_command()
    assert done.returncode == 2
    assert "COMMAND" in done.stderr


def test_version() -> None:
    assert concx_command("--version").stdout == f"concx {concx.__version__}\n"


@pytest.mark.parametrize(
    ("name", "text", "tokens"),
    [
        ("a.py", "x = '''a\n\"quoted\" \\''' b''' + y", ["x", "=", '""', "+", "y"]),
        ("a.py", 'f(r"\\"", 0x1F, 1.5e3)', ["f", "(", "r", '""', ",", "0x1F", ",", "1.5e3", ")"]),
        ("a.py", "it's unterminated\nnext", ["it", "'", "s", "unterminated", "next"]),
        ("a.c", "a /* b\n c */ + // d\n e", ["a", '""', "+", '""', "e"]),
    ],
)
def test_tokens(tmp_path: Path, name: str, text: str, tokens: list[str]) -> None:
    (tmp_path / name).write_text(text)
    assert source.read_tokens(str(tmp_path / name)) == (tokens, text.encode())


def test_tokens_of_hostile_source_take_linear_time(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('"""\\' * 50_000)
    start = time.monotonic()
    source.read_tokens(str(tmp_path / "a.py"))
    assert time.monotonic() - start < 10


def test_file_too_large(tmp_path: Path) -> None:
    with open(tmp_path / "a.py", "wb") as file:
        file.truncate(source.LARGEST + 1)
    with pytest.raises(
        source.SourceError, match=f"{source.LARGEST + 1} bytes, larger than {source.LARGEST}"
    ):
        source.read_tokens(str(tmp_path / "a.py"))


def test_progress_is_one_line_on_a_terminal(tree: Path) -> None:
    try:
        ours, theirs = pty.openpty()
    except OSError as error:  # a chroot without /dev/pts
        pytest.skip(f"no pseudo-terminal: {error}")
    with subprocess.Popen(
        [sys.executable, "-m", "concx", "demo", str(tree), "--no-compare"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        os.close(theirs)
        out, _ = process.communicate(timeout=100)
    shown = os.read(ours, 65536)
    os.close(ours)
    assert process.returncode == 0
    assert "\x1b" not in out
    assert shown.endswith(b"\r\x1b[K")
    assert b"\n" not in shown


def test_demo_fails_if_a_pipeline_loses_a_message(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def losing(work: pipelines.Work) -> None:
        taken, merge = [], work.merge
        work.merge = taken.append
        pipelines.standard_executor(work)
        for message in taken[1:]:
            merge(message)

    monkeypatch.setattr(demo, "PIPELINES", [*demo.PIPELINES, ("the losing one", losing)])
    assert main(["demo", str(tree), "--rounds", "1"]) == 1
    assert "concx demo: the losing one counted " in capsys.readouterr().err


EVERY_PIPELINE = [
    pipelines.concx_queue,
    pipelines.concx_batches,
    pipelines.standard_executor,
    pipelines.standard_call_soon,
]


@pytest.mark.parametrize("pipeline", EVERY_PIPELINE)
@pytest.mark.parametrize("readers", [1, 3])
def test_pipelines_deliver_everything_once(
    pipeline: Callable[[pipelines.Work], None], readers: int
) -> None:
    got: list[tuple[int, int]] = []
    finished: list[int] = []

    def merge(message: tuple[int, int]) -> pipelines.Job | None:
        got.append(message)
        return functools.partial(abs, -message[0]) if message[1] == 49 else None

    work = pipelines.Work(
        lambda: range(200),
        lambda item: [(item, n) for n in range(50)],
        merge,
        finished.append,
        readers,
    )
    pipeline(work)
    assert sorted(got) == [(item, n) for item in range(200) for n in range(50)]
    assert sorted(finished) == [*range(200)]


@pytest.mark.parametrize("stage", [pipelines.concx_pool, pipelines.standard_pool])
def test_pool_stage_gives_results_in_order(stage: Callable[[pipelines.Work], None]) -> None:
    finished: list[int] = []
    jobs = [functools.partial(abs, -n) for n in range(500)]
    stage(pipelines.Work(lambda: jobs, lambda item: [], lambda message: None, finished.append))
    assert finished == [*range(500)]


@pytest.mark.parametrize("pipeline", EVERY_PIPELINE)
def test_pipelines_raise_what_a_job_raised(pipeline: Callable[[pipelines.Work], None]) -> None:
    work = pipelines.Work(
        lambda: [1], lambda item: [item], lambda item: functools.partial(divmod, item, 0), print
    )
    with pytest.raises(ZeroDivisionError):
        pipeline(work)


@pytest.mark.parametrize("pipeline", EVERY_PIPELINE)
def test_pipelines_stop_when_told(pipeline: Callable[[pipelines.Work], None]) -> None:
    got: list[int] = []

    def merge(item: int) -> None:
        got.append(item)
        work.stopped = True

    work = pipelines.Work(itertools.count, lambda item: [item] * 10, merge, print)
    pipeline(work)
    assert 1 <= len(got) < 10 * (pipelines.PATHS + pipelines.MESSAGES + 2)


@pytest.mark.parametrize("pipeline", EVERY_PIPELINE)
def test_pipelines_raise_what_a_thread_raised(pipeline: Callable[[pipelines.Work], None]) -> None:
    work = pipelines.Work(lambda: range(1000), lambda item: (1 // (item - 500),)[:0], print, print)
    with pytest.raises(ZeroDivisionError):
        pipeline(work)
