"""How the command line prints: data to stdout, notes to stderr, and how much room and colour there is."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable

from netdash.show.spans import clean


def write(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def note(text: str) -> None:
    sys.stderr.write(f"netdash: {clean(text)}\n")


def room() -> int | None:
    """Cells of the terminal; None for a file or a pipe, which get everything in full."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
