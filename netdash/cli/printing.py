"""How the command line prints: data to stdout, notes to stderr, and how much room and colour there is. All that
commands write goes through here."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterable

from netdash.model.errors import NetdashError
from netdash.view import glyphs
from netdash.view.text import SafeText, safe


def prepare() -> None:
    """Has both streams write what their encoding does not know as ASCII, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=glyphs.ERRORS)
            glyphs.use_encoding(stream.encoding)


def write(lines: Iterable[SafeText]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def document(json: str) -> None:
    """A JSON text of `as_json.dumps`, which is printable ASCII and newlines."""
    write(map(safe, json.split("\n")))


def note(text: str) -> None:
    _tell(f"netdash: {text}")


def error(one: NetdashError) -> None:
    note(f"{one.message} ({one.hint})" if one.hint else one.message)


def ask(lines: Iterable[str], question: str) -> str:
    """The lines and a question; what was answered, in small letters."""
    for line in lines:
        _tell(line)
    _tell(f"{question} ", end="")
    return sys.stdin.readline().strip().lower()


def progress(text: str) -> None:
    """One line of the terminal that is written over; without text it is left."""
    if sys.stderr.isatty():
        _tell(f"{text} " if text else "", end="\r" if text else "\n")


def _tell(text: str, end: str = "\n") -> None:
    sys.stderr.write(safe(text) + end)
    sys.stderr.flush()


def room() -> int | None:
    """Cells of the terminal; None for a file or a pipe, which get everything in full."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
