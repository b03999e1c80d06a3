"""Textual's driver of the terminal: modes, input, size, ctrl-z, and writing without waiting. Textual's own fails at a
byte that is not UTF-8, and waits for a slow terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sys
import termios
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from textual.app import App
from textual.driver import Driver
from textual.events import InputEvent, Paste, Resize
from textual.geometry import Size
from textual.message import Message

from netdash.tui.term import modes
from netdash.tui.term.keyboard import ALONE, Keyboard, Splitter
from netdash.tui.term.modes import Taken
from netdash.tui.work import Turn


class Writer:
    """Belongs to the thread of the event loop. `drained` is called when all that was written is on its way."""

    def __init__(self, terminal: int, loop: asyncio.AbstractEventLoop, drained: Callable[[], None]) -> None:
        self._loop = loop
        self._drained = drained
        self._left = b""
        self._waits = False
        self._file = modes.not_waiting(terminal)

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


_PATIENCE = 1.0  # seconds that a slow or stopped terminal has for its modes at the end
_READ = 4096


class Owner(Protocol):
    """The application: these are called in its own thread."""

    taken: Taken | None  # by whom the terminal was set up before; None: by nobody

    turn: Turn  # of the keys, for which other threads wait

    def typed(self, message: Message) -> None:
        """Something came from the keyboard or the mouse."""

    def drained(self) -> None:
        """The terminal has taken all that was written."""

    def resumed(self) -> None:
        """A shell had the terminal meanwhile: what it shows is not known."""


class Terminal(Driver):
    """Needs a terminal on stdin and stdout."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        self._input, self._output = sys.__stdin__.fileno(), sys.__stdout__.fileno()  # type: ignore[union-attr]
        super().__init__(app, debug=debug, mouse=mouse, size=size or modes.size(self._output, os.environ))
        self._encoding = sys.__stdout__.encoding, sys.__stdout__.errors or "replace"  # type: ignore[union-attr]
        self._before: list[Any] | None = None
        self._writer: Writer | None = None
        self._reader: threading.Thread | None = None
        self._stop_reading = -1  # an eventfd while the reader runs
        self._early = 0  # bytes typed before the terminal was set up, when Enter still came as a line feed
        self._owner: Owner = app  # type: ignore[assignment]
        taken = self._owner.taken
        self._asked, self._painted = (taken.asked, taken.painted) if taken else (False, False)

    @property
    def can_suspend(self) -> bool:
        return True

    @property
    def busy(self) -> bool:
        """Whether the terminal has not yet taken what was written."""
        return self._writer is None or self._writer.busy

    def write(self, data: str) -> None:
        if self._writer is not None:
            self._writer.write(data.encode(*self._encoding))

    # --- on and off ---------------------------------------------------------------------------------------------------

    def start_application_mode(self) -> None:
        taken = self._owner.taken
        self._before = taken.before if taken else modes.attributes(self._input)
        self._enter()
        self._early = taken.early if taken else modes.waiting(self._input)
        if taken is not None:
            taken.give()
        signal.signal(signal.SIGWINCH, lambda *_: self._resized())
        signal.signal(signal.SIGTSTP, lambda *_: self._suspend())
        signal.signal(signal.SIGCONT, lambda *_: self._continued())
        self._resized()
        self._stop_reading = os.eventfd(0, os.EFD_CLOEXEC)
        self._reader = threading.Thread(target=self._read, name="keyboard", daemon=True)
        self._reader.start()

    def _enter(self) -> None:
        self._writer = Writer(self._output, self._loop, self._owner.drained)
        self._modes()
        console = os.environ.get("TERM", "").startswith(("linux", "vt"))
        quiet = console or "Apple" in os.environ.get("TERM_PROGRAM", "")
        asked, self._asked = self._asked, False
        self.write(modes.KITTY_ON + ("" if console or asked else modes.ASKS_GROUND) + ("" if quiet else modes.ASKS))

    def _modes(self) -> None:
        if self._before is not None:
            modes.put(self._input, modes.raw(self._before))
        own, self._painted = "" if self._painted else modes.OWN_SCREEN, False  # twice would clear what is painted
        self.write(own + modes.ON + (modes.MOUSE_ON if self._mouse else ""))

    def leave(self) -> None:
        """The terminal as it was. Safe at any time, twice, and in the handler of a signal."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.finish(modes.OFF.encode("ascii"), _PATIENCE)
            writer.close()
            if self._before is not None:
                with contextlib.suppress(termios.error):
                    termios.tcflush(self._input, termios.TCIFLUSH)  # answers that come late are no commands of a shell
                modes.put(self._input, self._before)

    def disable_input(self) -> None:
        if self._reader is not None:
            os.eventfd_write(self._stop_reading, 1)
            if self._reader is not threading.current_thread():
                self._reader.join(2 * ALONE)
            if not self._reader.is_alive():  # else it still looks at the number, which must not become another file
                os.close(self._stop_reading)
                self._reader = None
        for number in (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT):
            signal.signal(number, signal.SIG_DFL)

    def stop_application_mode(self) -> None:
        self.disable_input()
        self.leave()

    # --- left for a shell, and come back to ---------------------------------------------------------------------------

    def _suspend(self) -> None:
        """Ctrl-Z. Without a shell that would wake it, the kernel does not stop it."""
        self.leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, lambda *_: self._suspend())
        if self._writer is None:
            self._continued()

    def _continued(self) -> None:
        """A shell had the terminal meanwhile: its modes, its size and what it shows are set anew."""
        if self._writer is None:
            self._enter()
        else:
            self._modes()  # stopped by a signal that nobody hears
        self._resized()
        self._loop.call_soon_threadsafe(self._owner.resumed)

    # --- size ---------------------------------------------------------------------------------------------------------

    def _resized(self) -> None:
        wide, high = modes.size(self._output, os.environ)
        self._loop.call_soon_threadsafe(self._app.post_message, Resize(Size(wide, high), Size(wide, high)))

    # --- input --------------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        splitter, keyboard = Splitter(), Keyboard()
        poll = select.poll()
        for value in (self._input, self._stop_reading):
            poll.register(value, select.POLLIN)
        taken = self._owner.taken
        data = taken.typed if taken else b""
        while True:
            ready = () if data else [file for file, _ in poll.poll(ALONE / 4 * 1000 if splitter.waits else None)]
            if self._stop_reading in ready:
                return
            if self._input in ready:
                with contextlib.suppress(InterruptedError, BlockingIOError):
                    data = os.read(self._input, _READ)
                    if not data:
                        return  # the terminal is gone
            if self._early:
                data = data[: self._early].replace(b"\n", b"\r") + data[self._early :]
                self._early = max(0, self._early - len(data))
            now = time.monotonic()
            for unit in splitter.feed(data, now) if data else splitter.tick(now):
                for message in keyboard.messages(unit):
                    self.process_message(message)
            data = b""

    def send_message(self, message: Message) -> None:
        if isinstance(message, (InputEvent, Paste)):
            self._owner.turn.begin()  # before the application's thread, which has to wait for others, hears of it
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._owner.typed, message)
