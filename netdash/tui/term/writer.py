"""Writes to the terminal without ever waiting for it: what it does not take at once goes when it can."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import termios
import time
from collections.abc import Callable


class Writer:
    """Belongs to the thread of the event loop. `drained` is called when all that was written is on its way."""

    def __init__(self, terminal: int, loop: asyncio.AbstractEventLoop, drained: Callable[[], None]) -> None:
        self._loop = loop
        self._drained = drained
        self._left = b""
        self._waits = False
        self._file = _not_waiting(terminal)

    @property
    def busy(self) -> bool:
        """Whether the terminal has not yet taken all."""
        return bool(self._left)

    def write(self, data: bytes) -> None:
        self._left += data
        self._go_on()

    def finish(self, last: bytes, seconds: float) -> None:
        """Gives up what the terminal has not taken, writes `last`, waiting no longer than `seconds`. Safe in a signal's
        handler."""
        self._wait(False)
        self._left = (b"\x1b\\" if self._left else b"") + last  # ends a sequence that was cut
        until = time.monotonic() + seconds
        while self._put() and self._left and (left := until - time.monotonic()) > 0:
            select.select([], [self._file], [], left)
        if self._left:
            with contextlib.suppress(termios.error):
                termios.tcflush(self._file, termios.TCOFLUSH)  # a picture that nobody reads makes room for the modes
            self._left = b"\x1b\\" + last
            self._put()

    def close(self) -> None:
        self._wait(False)
        with contextlib.suppress(OSError):
            os.close(self._file)

    def _go_on(self) -> None:
        alive = self._put()
        if not alive:
            self._left = b""  # the terminal is gone; whoever watches it ends netdash
        self._wait(bool(self._left))

    def _writable(self) -> None:
        self._go_on()
        if not self._left:
            self._drained()

    def _put(self) -> bool:
        """Writes what the terminal takes now; False when it is gone."""
        try:
            while self._left:
                self._left = self._left[os.write(self._file, self._left) :]
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        return True

    def _wait(self, wait: bool) -> None:
        if wait and not self._waits:
            self._loop.add_writer(self._file, self._writable)
        elif self._waits and not wait:
            self._loop.remove_writer(self._file)
        self._waits = wait


def _not_waiting(terminal: int) -> int:
    """The terminal opened once more: not to wait is a property of what was opened, and the first is the shell's too."""
    try:
        return os.open(f"/proc/self/fd/{terminal}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return os.dup(terminal)  # of another user: writing waits, which only a stopped terminal shows
