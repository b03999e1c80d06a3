"""The one exception that netdash raises for its users, and the exit codes."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    FINE = 0
    FINDINGS = 1
    USAGE = 2
    UNREADABLE = 3
    REFUSED = 4
    UNKNOWN = 5  # of a trace whose verdict cannot be told
    FAULT = 70  # an error of netdash itself
    OUTPUT = 74  # what was found could not be written
    INTERRUPTED = 130  # 128 + the number of the signal, as for every signal that ends netdash
    BROKEN_PIPE = 141


class NetdashError(Exception):
    """A message of one line, and a hint of what to do about it ("" when there is nothing to do)."""

    def __init__(self, message: str, hint: str = "", code: Exit = Exit.UNREADABLE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
