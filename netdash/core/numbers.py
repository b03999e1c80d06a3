"""Numbers in foreign text. `str.isdigit` takes characters that `int` does not, and `int` has a limit of digits."""

from __future__ import annotations

PID_DIGITS = 9  # more than PID_MAX_LIMIT has
UID_DIGITS = 10  # of 32 bits


def decimal(text: str, digits: int = 20) -> int | None:
    """A number as the kernel and the tools print it, without a sign; None for anything else, and for more `digits`."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None
