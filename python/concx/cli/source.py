"""What the demo reads: finds source files in a folder and cuts them into tokens."""

from __future__ import annotations

import builtins
import io
import keyword
import os
import re
import stat
import sysconfig
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = [
    "LARGEST",
    "SUFFIXES",
    "SourceError",
    "default_folder",
    "kind_of",
    "read_tokens",
    "reason_of",
    "walk",
]

LARGEST = 8 << 20
"""Bytes; larger files are data that happens to be called source, and are reported as unreadable."""

_STRING = r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"|' r"'[^'\\\n]*+(?:\\.[^'\\\n]*+)*+'"
_LONG = (
    r'"""[^"\\]*+(?:(?:\\.|"(?!""))[^"\\]*+)*+"""|' r"'''[^'\\]*+(?:(?:\\.|'(?!''))[^'\\]*+)*+'''"
)
_HASH = re.compile(rf"#[^\n]*+|{_LONG}|{_STRING}", re.DOTALL)
_SLASH = re.compile(rf"//[^\n]*+|/\*.*?\*/|{_STRING}", re.DOTALL)
_TOKEN = re.compile(r'""|[^\W\d]\w*+|\d[\w.]*+|[^\w\s]')

SUFFIXES = {
    **dict.fromkeys((".py", ".pyi", ".pyx", ".pxd", ".sh", ".rb"), _HASH),
    **dict.fromkeys(
        (".c", ".h", ".cc", ".cpp", ".hpp", ".js", ".ts", ".java", ".go", ".rs"), _SLASH
    ),
}
"""File name endings that count as source, and the pattern of comments and string literals of each."""

ALWAYS_LEFT_OUT = frozenset({"__pycache__"})
LEFT_OUT_OF_STDLIB = ALWAYS_LEFT_OUT | {"site-packages", "dist-packages", "test", "tests"}


class SourceError(Exception):
    """A file or folder that cannot be read; the message is the reason without the name."""


def default_folder() -> Path:
    """The standard library of the running interpreter."""
    return Path(sysconfig.get_paths()["stdlib"])


def reason_of(error: OSError) -> str:
    return error.strerror or type(error).__name__


def walk(
    folder: str, left_out: frozenset[str], unreadable: Callable[[str, str], None]
) -> Iterator[str]:
    """Yield the paths of source files below `folder` in a stable order; hidden folders and those named in `left_out` are
    not entered. ``unreadable(path, reason)`` is called for a folder that cannot be listed."""

    def report(error: OSError) -> None:
        unreadable(os.fspath(error.filename), reason_of(error))

    for base, folders, files in os.walk(folder, onerror=report):
        folders[:] = sorted(
            name for name in folders if name not in left_out and not name.startswith(".")
        )
        for name in sorted(files):
            if os.path.splitext(name)[1] in SUFFIXES:
                yield os.path.join(base, name)


def _read(path: str) -> bytes:
    try:
        # Never wait for the writer of a named pipe that is called something.py.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(handle, "rb") as file:
            facts = os.fstat(handle)
            if not stat.S_ISREG(facts.st_mode):
                raise SourceError("not a regular file")
            if facts.st_size > LARGEST:
                raise SourceError(f"{facts.st_size} bytes, larger than {LARGEST}")
            return file.read()
    except OSError as error:
        raise SourceError(reason_of(error)) from None


def _decode(path: str, data: bytes) -> str:
    try:
        return data.decode(_encoding(data) if path.endswith((".py", ".pyi")) else "utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"not {error.encoding}: byte 0x{data[error.start]:02x} at {error.start}"
        ) from None
    except LookupError as error:
        raise SourceError(str(error)) from None


def _encoding(data: bytes) -> str:
    """What the first two lines declare (PEP 263), UTF-8 without a declaration."""
    try:
        return tokenize.detect_encoding(io.BytesIO(data).readline)[0]
    except SyntaxError as error:
        # Where these lines are not UTF-8 either, the byte is the better reason.
        data.decode("utf-8")
        raise SourceError(str(error)) from None


def read_tokens(path: str) -> tuple[list[str], bytes]:
    """The tokens of a file (words, numbers, signs; a comment or a string literal is one token ``""``) and its content.

    Raises
    ------
    SourceError
        If the file cannot be read or decoded.
    """
    data = _read(path)
    text = _decode(path, data)
    return _TOKEN.findall(SUFFIXES[os.path.splitext(path)[1]].sub(' "" ', text)), data


def kind_of(token: str) -> str:
    """What a token looks like, by Python's words and customs; in the plural."""
    if token == '""':
        return "strings and comments"
    if token[0].isdigit():
        return "numbers"
    if not token.isidentifier():
        return "signs"
    if keyword.iskeyword(token) or keyword.issoftkeyword(token):
        return "keywords"
    if hasattr(builtins, token):
        return "built-in names"
    bare = token.strip("_")
    if bare.isupper():
        return "constants"
    return "classes" if bare[:1].isupper() else "other names"
