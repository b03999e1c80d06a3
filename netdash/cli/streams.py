"""The standard streams, which may be closed, full, or read by nobody: reported in one line, and by the exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Iterator

from netdash.cli import printing
from netdash.model.errors import Exit, NetdashError

_OUTPUT = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}


def open_all() -> None:
    """Opens /dev/null in place of closed ones: the next file that is opened would take their number, and be written
    to."""
    closed = sys.stdout is None
    for number in (0, 1, 2):
        with contextlib.suppress(OSError):
            os.fstat(number)
            continue
        os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if closed:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        raise NetdashError("stdout is closed", code=Exit.OUTPUT)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt only here: while modules are loaded or torn down it ends netdash at once."""
    try:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
    except ValueError:  # in another thread signals are its owner's
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def report(error: Exception) -> int:
    """Prints the line about an error that ended a command; returns the exit code."""
    if isinstance(error, BrokenPipeError):
        _discard()  # the reader has seen enough
        return Exit.BROKEN_PIPE
    if isinstance(error, OSError) and error.errno in _OUTPUT and error.filename is None:
        _discard()
        error = NetdashError(f"cannot write to stdout: {error.strerror}", code=Exit.OUTPUT)
    elif not isinstance(error, NetdashError):
        if os.environ.get("NETDASH_DEBUG"):
            raise error
        kind = f"internal error: {type(error).__name__}: {error}"
        error = NetdashError(kind, "NETDASH_DEBUG=1 shows where", Exit.FAULT)
    with contextlib.suppress(OSError):
        printing.error(error)
    return error.code


def _discard() -> None:
    """What is left in the buffer goes nowhere: it would fail once more at the end of the process."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
