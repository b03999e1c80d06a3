"""The modes of a terminal, what sets and ends them, what kind of terminal it is, and that it is as before however
netdash ends.

Nothing else decides these.

Loads no Textual: the first frame is painted before it is."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

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


OWN_SCREEN = "\x1b[?1049h"
ON = "\x1b[?25l\x1b[?7l\x1b[?2004h"  # no cursor, no wrapping, pastes as such
KITTY_ON = "\x1b[>1u"  # Kitty's keys: Esc is known at once; pushed, and popped at the end
MOUSE_ON = "\x1b[?1000h\x1b[?1006h"
ASKS = "\x1b[?2026$p"  # whether it takes a picture as one
ASKS_GROUND = "\x1b]11;?\x1b\\"  # its background, which the theme follows
# A terminal without a second screen keeps the picture: the shell's prompt comes on a free line below it.
OFF = (
    "\x1b[?2026l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[<u\x1b[?7h\x1b[0m"
    "\x1b[999;1H\r\n\x1b[?1049l\x1b[?25h"
)
GROUND = rb"\x1b\]11;rgba?:([0-9a-fA-F]{1,4}(?:/[0-9a-fA-F]{1,4}){2})(?:/[0-9a-fA-F]{1,4})?(?:\x07|\x1b\\)"
"""The answer to ASKS_GROUND: RED/GREEN/BLUE, 1 to 4 hexadecimal digits each."""


def is_light(ground: str) -> bool:
    """Of what the terminal says of its background."""
    red, green, blue = (int(part, 16) / (16 ** len(part) - 1) for part in ground.split("/"))
    brightness: float = 0.299 * red + 0.587 * green + 0.114 * blue
    return brightness > 0.5


def not_waiting(terminal: int) -> int:
    """The terminal opened once more: not to wait is a property of what was opened, and the first is the shell's too."""
    try:
        return os.open(f"/proc/self/fd/{terminal}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return os.dup(terminal)  # of another user: writing waits, which only a stopped terminal shows


def attributes(terminal: int) -> list[Any] | None:
    try:
        return termios.tcgetattr(terminal)
    except termios.error:
        return None


def waiting(terminal: int) -> int:
    """How many bytes were typed and not read yet."""
    try:
        answer = fcntl.ioctl(terminal, termios.FIONREAD, bytes(4))
    except OSError:
        return 0
    return int.from_bytes(answer, sys.byteorder)


def put(terminal: int, attributes: list[Any]) -> None:
    """A process in the background is stopped here until it is brought to the front."""
    for _ in range(3):
        try:
            termios.tcsetattr(terminal, termios.TCSANOW, attributes)
        except termios.error as error:
            if error.args[0] != errno.EINTR:
                return
        else:
            return


def raw(attributes: list[Any]) -> list[Any]:
    made = [*attributes[:6], list(attributes[6])]
    made[tty.IFLAG] &= ~(termios.IXON | termios.IXOFF | termios.ICRNL | termios.INLCR | termios.IGNCR | termios.ISTRIP)
    made[tty.LFLAG] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
    made[tty.CC][termios.VMIN], made[tty.CC][termios.VTIME] = 1, 0
    return made


_PATIENCE = 0.25  # seconds that a slow terminal has for the first frame, and for its modes at the end


class Taken:
    """The terminal from netdash's start until Textual's driver has it: nothing is echoed, and a key is there when it is
    typed. Ctrl-C still ends netdash, as nobody reads keys yet."""

    def __init__(self, terminal: int, output: int) -> None:
        self._input, self._output = terminal, output
        self.before = attributes(terminal)
        self.early = 0  # bytes typed before that: Enter comes as a line feed
        self.typed = b""  # read already
        self.asked = False  # the background
        self._frame = ""  # what was painted
        self._held = self.before is not None
        if self.before is not None:
            self._take(self.before)
            self.early = waiting(terminal)
            signal.signal(signal.SIGTSTP, lambda *_: self._stop())

    @property
    def painted(self) -> bool:
        return bool(self._frame)

    def _take(self, before: list[Any]) -> None:
        quick = raw(before)
        quick[tty.LFLAG] |= termios.ISIG
        for key in (termios.VSUSP, termios.VQUIT):
            quick[tty.CC][key] = b"\0"
        put(self._input, quick)

    def ask_ground(self) -> None:
        self.asked = True
        self._write(ASKS_GROUND)

    def ground(self) -> str:
        """What the terminal has answered by now, as GROUND has it; "" where it has not. What else was typed is kept."""
        while select.select([self._input], [], [], 0)[0]:
            data = os.read(self._input, 4096)
            if not data:
                break
            self.typed += data
        found = re.search(GROUND, self.typed) if self.typed else None
        return found[1].decode("ascii") if found else ""

    def paint(self, frame: str) -> None:
        self._frame = OWN_SCREEN + ON + frame
        self._write(self._frame)

    def _stop(self) -> None:
        """Somebody sent SIGTSTP: the terminal is the shell's until it wakes netdash. The driver has its own way."""
        held = self._held
        self.leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, lambda *_: self._stop())
        if held and self.before is not None:
            self._held = True
            self._take(self.before)
            self._write(self._frame)

    def give(self) -> None:
        """The driver has it from now on, and gives it back."""
        self._held = False

    def leave(self) -> None:
        """The terminal as it was. Safe at any time, twice, and in the handler of a signal."""
        held, self._held = self._held, False
        if not held or self.before is None:
            return
        if self.painted and not self._write(OFF):
            with contextlib.suppress(termios.error):
                termios.tcflush(self._output, termios.TCOFLUSH)  # a frame that nobody reads makes room for the modes
            self._write("\x1b\\" + OFF)
        if self.asked:
            with contextlib.suppress(termios.error):
                termios.tcflush(self._input, termios.TCIFLUSH)  # an answer that comes late is no command of a shell
        put(self._input, self.before)

    def _write(self, text: str) -> bool:
        """Whether the terminal has taken it in its time; Textual paints everything anew."""
        data, file = text.encode(), not_waiting(self._output)
        try:
            while data and select.select([], [file], [], _PATIENCE)[1]:
                data = data[os.write(file, data) :]
        except OSError:
            return True  # it is gone
        finally:
            os.close(file)
        return not data


ENDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT)


@contextlib.contextmanager
def restoring(
    leave: Callable[[], None], stop: Callable[[], None], fail: Callable[[BaseException], None]
) -> Iterator[None]:
    """While this lasts, a signal that ends netdash calls `leave`, which gives the terminal back, and `stop`; what a
    thread raises goes to `fail`, called in that thread."""

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        try:
            leave()
            stop()
        finally:
            os._exit(128 + number)

    def failed(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            fail(args.exc_value)

    before = {number: signal.signal(number, end) for number in ENDS}
    hook, threading.excepthook = threading.excepthook, failed
    try:
        yield
    finally:
        threading.excepthook = hook
        leave()
        for number, handler in before.items():
            signal.signal(number, handler)


HUNG_UP = 129  # as a shell tells an end by SIGHUP


def watch(stop: Callable[[], None]) -> None:
    """From now on, when the terminal on stdin goes away, calls `stop` and ends the process. Costs a sleeping thread."""
    threading.Thread(target=_wait, args=(sys.stdin.fileno(), stop), name="hangup", daemon=True).start()


def _wait(terminal: int, stop: Callable[[], None]) -> None:
    poll = select.poll()
    poll.register(terminal, 0)  # errors and hangups are always told
    poll.poll()
    try:
        stop()
    finally:
        os._exit(HUNG_UP)  # the main thread may wait for ever for its last line to be written
