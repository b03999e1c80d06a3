"""How the command line prints: data to stdout, notes to stderr, and how much room and colour there is. All that
commands write goes through here. A standard stream may be closed, full, or read by nobody: that is reported in one
line, and by the exit code."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator

from netdash.model.errors import Exit, NetdashError
from netdash.view.text import GLYPH_ERRORS, SafeText, safe, use_encoding


def prepare(encoding: str | None = None) -> None:
    """Has both streams write what their encoding does not know as ASCII, instead of failing. `encoding`: instead of
    their own."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=encoding or stream.encoding, errors=GLYPH_ERRORS)
            use_encoding(stream.encoding)


def write(lines: Iterable[SafeText]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def flush() -> None:
    """Whoever reads a pipe sees each line when it is there."""
    sys.stdout.flush()


def document(json: str) -> None:
    """A JSON text of `as_json.dumps`, which is printable ASCII and newlines."""
    write(map(safe, json.split("\n")))


def note(text: str) -> None:
    """What is good to know beside the data."""
    _tell(f"note: {text}")


def problem(text: str) -> None:
    """Why a command did not do what was asked."""
    _tell(f"netdash: {text}")


def print_error(error: NetdashError) -> None:
    problem(f"{error.message} ({error.hint})" if error.hint else error.message)


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
    return columns() if sys.stdout.isatty() else None


def columns() -> int:
    """As `shutil.get_terminal_size` tells, which takes longer to load than all else here."""
    try:
        return int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size(1).columns or _USUAL
    except (ValueError, OSError):
        return _USUAL


def colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and not monochrome()


def monochrome() -> bool:
    """Whether the terminal is one that has no colours."""
    name = os.environ.get("TERM", "")
    return name == "dumb" or name.startswith(("vt1", "vt2")) or name.endswith(("-mono", "-m"))


_USUAL = 80
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


@contextlib.contextmanager
def asked_to_end() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C or SIGTERM is only noted, so that nothing is lost of what is being read; Ctrl-C once more raises
    KeyboardInterrupt."""
    came: list[int] = []

    def noted(number: int, _: object) -> None:
        came.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        before = {number: signal.signal(number, noted) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # in another thread signals are its owner's
        yield lambda: False
        return
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(code: int) -> None:
    """Ends a command at once: to take down all that was loaded takes as long as to print a list. Comes back where a
    thread still works, or not all can be written: then Python ends it."""
    import atexit
    import threading

    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        return
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (OSError, ValueError):
        return
    os._exit(code)


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
        print_error(error)
    return error.code


def _discard() -> None:
    """What is left in the buffer goes nowhere: it would fail once more at the end of the process."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
