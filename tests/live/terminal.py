"""A program on a pseudo-terminal, seen from outside: what it paints, when, and what it costs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyte

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGESIZE")
# What a terminal is asked and pyte does not answer: device attributes, cursor position, mode 2026, the background.
QUESTIONS: tuple[tuple[bytes, bytes], ...] = (
    (rb"\x1b\[0?c", b"\x1b[?62;22c"),
    (rb"\x1b\[6n", b"\x1b[1;1R"),
    (rb"\x1b\[\?2026\$p", b"\x1b[?2026;2$y"),
    (rb"\x1b\[\?2048\$p", b"\x1b[?2048;0$y"),
    (rb"\x1b\]11;\?", b"\x1b]11;rgb:0000/0000/0000\x1b\\"),
)
# Private sequences that pyte would print or misread; the modes it knows are kept.
FOREIGN = re.compile(
    rb"\x1b\[[<>=][0-9;:]*[a-zA-Z~]|\x1b\[\?[0-9;]*(?:\$p|[^hl0-9;])|\x1b\[[0-9;]* q|\x1b[P_X^][^\x1b]*\x1b\\"
    rb"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
)
UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*|[P_X^\]][^\x07\x1b]*)?\Z")


@dataclass(frozen=True, slots=True)
class Burst:
    """The answer to a key, in seconds since the key: its first byte and its last before the silence."""

    first: float
    last: float


class Terminal:
    """`with Terminal(argv, env) as terminal`: the program is ended with the block."""

    def __init__(self, argv: list[str], env: dict[str, str], columns: int = 120, rows: int = 40) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._rest = b""
        self.raw = bytearray()
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**env, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        os.set_blocking(master, False)
        self._master = master
        self.last_read = self.started

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(3)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(5)
        os.close(self._master)

    # --- reading ------------------------------------------------------------------------------------------------------

    def read(self, seconds: float) -> bytes:
        """What comes within that time, at once when it comes; empty when nothing does. Painted on the screen."""
        data = self._receive(seconds)
        if data:
            self._paint(data)
        return data

    def _receive(self, seconds: float) -> bytes:
        ready, _, _ = select.select([self._master], [], [], max(0.0, seconds))
        if not ready:
            return b""
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # the program has closed its end
            time.sleep(min(seconds, 0.01))
            return b""
        self.last_read = time.monotonic()
        self.raw += data
        for question, answer in QUESTIONS:
            if re.search(question, data):
                self.write(answer)
        return data

    def _paint(self, data: bytes) -> None:
        data = self._rest + data
        cut = UNFINISHED.search(data)
        data, self._rest = (data[: cut.start()], data[cut.start() :]) if cut else (data, b"")
        self._stream.feed(FOREIGN.sub(b"", data))

    def watch(self, seconds: float) -> int:
        """Read for that long; the number of bytes that came."""
        end, count = time.monotonic() + seconds, 0
        while (left := end - time.monotonic()) > 0:
            count += len(self.read(left))
        return count

    def wait_for(self, seen: str | Callable[[], bool], seconds: float = 60.0) -> float | None:
        """When the screen first shows `seen`, in seconds since the program's start; None when it does not in time."""
        shown = seen if callable(seen) else lambda: seen in self.text
        end = time.monotonic() + seconds
        while not shown():
            if time.monotonic() > end or (not self.read(0.2) and self.process.poll() is not None):
                return None
        return self.last_read - self.started

    def settle(self, silence: float = 0.3, limit: float = 10.0) -> None:
        """Read until nothing comes for `silence` seconds."""
        end = time.monotonic() + limit
        while self.read(silence) and time.monotonic() < end:
            pass

    def end(self, seconds: float = 60.0) -> int | None:
        """Read until the program has ended by itself; its exit code."""
        self.wait_for(lambda: self.process.poll() is not None, seconds)
        self.settle(0.2)
        return self.process.poll()

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)

    # --- writing ------------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._master, data)

    def press(self, key: str, silence: float = 0.03, limit: float = 1.0) -> Burst | None:
        """Send the key and time the answer; None when there is none."""
        sent = time.monotonic()
        self.write(key.encode())
        chunks = [self._receive(limit)]
        if not chunks[0]:
            return None
        first = self.last_read
        while data := self._receive(silence):
            chunks.append(data)
        burst = Burst(first - sent, self.last_read - sent)
        self._paint(b"".join(chunks))
        return burst

    # --- cost ---------------------------------------------------------------------------------------------------------

    def tree(self) -> list[int]:
        """The program's process and its descendants."""
        return family(self.process.pid)

    def cpu(self) -> float:
        """Seconds of processor time of the tree, ended children included."""
        return sum(cpu_seconds(pid) for pid in self.tree())

    def memory(self) -> int:
        """Resident bytes of the tree."""
        return sum(resident(pid) for pid in self.tree())


def family(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = entry.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def cpu_seconds(pid: int) -> float:
    """utime, stime, cutime and cstime of /proc/PID/stat (fields 14 to 17)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / TICKS


def resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0
