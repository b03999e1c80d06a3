"""Numbers in foreign text. `str.isdigit` takes characters that `int` does not, and `int` has a limit of digits."""

from __future__ import annotations

PID_DIGITS = 9  # more than PID_MAX_LIMIT has
UID_DIGITS = 10  # of 32 bits


def decimal(text: str, digits: int = 20) -> int | None:
    """A number as the kernel and the tools print it, without a sign; None for anything else, and for more `digits`."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None


def port_number(text: str) -> int | None:
    """A port as a user types it, from 1 to 65535; None for anything else."""
    number = decimal(text, 5)
    return number if number is not None and 0 < number <= 65535 else None


def port_and_protocol(text: str) -> tuple[int, str] | None:
    """`8080` or `53/udp`, as the engine writes it and a user types it; tcp where no protocol is named."""
    digits, _, protocol = text.strip().partition("/")
    number = port_number(digits)
    return None if number is None else (number, protocol.lower() or "tcp")
