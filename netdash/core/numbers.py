"""Numbers in texts of others. `str.isdigit` takes characters that `int` does not, and `int` has a limit of digits."""

from __future__ import annotations


def decimal(text: str) -> int | None:
    """A number as the kernel and the tools print it, without a sign; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 21 else None
