"""What kind of terminal this is: whether it can show the dashboard, and its size. Nothing else decides these."""

from __future__ import annotations

import os
from collections.abc import Mapping

from netdash.model.numbers import decimal

USUAL = (80, 24)  # of a terminal that does not say, as a serial console
_MOST = 1000  # columns and lines that are believed
_NONE = {"", "dumb", "unknown", "network", "dialup", "emacs", "lpr", "printer", "glasstty", "tty33", "tty37"}
_KNOWN = ("xterm", "screen", "tmux", "linux", "rxvt", "vt1", "vt2", "vt3", "vt4", "vt5", "kitty", "alacritty", "foot")
_ERASING = ("xterm", "tmux", "rxvt", "kitty", "alacritty", "foot")


def why_not(environ: Mapping[str, str], terminal: int) -> str:
    """Why this terminal cannot show the dashboard; "" where it can."""
    name = environ.get("TERM", "")
    if name in _NONE:
        return f"this terminal cannot place its cursor (TERM={name or 'is not set'})"
    return "" if name.startswith(_KNOWN) or _places_its_cursor(name, terminal) else f"TERM={name} is not known here"


def _places_its_cursor(name: str, terminal: int) -> bool:
    """As the machine's terminfo says; a name that it does not know is a new terminal, and those can."""
    try:
        import _curses
    except ImportError:
        return True
    try:
        _curses.setupterm(name, terminal)
    except _curses.error:
        return True
    return bool(_curses.tigetstr("cup"))


def erases(environ: Mapping[str, str]) -> bool:
    """Whether it is known that what the terminal erases gets the colour that is set; GNU screen's does not."""
    return environ.get("TERM", "").startswith(_ERASING)


def size(terminal: int, environ: Mapping[str, str]) -> tuple[int, int]:
    """Columns and lines, from the kernel; where it knows none, from COLUMNS and LINES, or what is usual."""
    try:
        wide, high = os.get_terminal_size(terminal)
    except OSError:
        wide = high = 0
    wide = wide or decimal(environ.get("COLUMNS", "")) or USUAL[0]
    high = high or decimal(environ.get("LINES", "")) or USUAL[1]
    return min(wide, _MOST), min(high, _MOST)
