"""The frame that is painted before Textual is loaded is the one that Textual paints first, and the terminal comes back
whatever happens meanwhile."""

from __future__ import annotations

import copy
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyte
import pytest

from netdash.tui import first_frame
from netdash.tui.config import Options
from tests.conftest import RECORDINGS, ROOT
from tests.support.read_engines import FakeEngine

SYNC = b"\x1b[?2026;2$y"  # the terminal takes pictures as one: each stands between ?2026h and ?2026l
LIGHT = b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\"
HANDED = b"\x1b[>1u"  # the driver has the terminal
OWN_SCREEN, SHELL = b"\x1b[?1049h", b"\x1b[?1049l"
HELD = """
import importlib.abc, sys, time
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "netdash.tui.app":
            {what}
sys.meta_path.insert(0, Finder())
from netdash.__main__ import run
run()
"""
WAITING_SHELL = """
import os, signal, sys
netdash = os.fork()
if not netdash:
    os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    os.tcsetpgrp(0, os.getpid())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTTOU])
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
_, status = os.waitpid(netdash, os.WUNTRACED)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
os.tcsetpgrp(0, os.getpgrp())
print("stopped:", os.WIFSTOPPED(status), flush=True)
sys.stdin.readline()
os.tcsetpgrp(0, netdash)
os.kill(netdash, signal.SIGCONT)
_, status = os.waitpid(netdash, 0)
print("ended:", os.waitstatus_to_exitcode(status), flush=True)
"""
"""A job of a shell: it is stopped, woken by a line, and ends."""
Cell = tuple[object, ...]


def listed(count: int) -> list[Any]:
    """So many containers as an engine lists them."""
    known = json.loads((RECORDINGS / "docker28.5-nft-full" / "docker" / "containers.json").read_text("utf-8"))
    made = []
    for number in range(count):
        one = copy.deepcopy(known[number % len(known)])
        one["Id"], one["Names"] = f"{number + 1:064x}", [f"/{one['Names'][0][1:]}-{number:03}"]
        made.append(one)
    return made


class Shell:
    """netdash on a pseudo-terminal, as a leader of its session."""

    def __init__(self, engine: FakeEngine, home: Path, argv: list[str], size: tuple[int, int], **env: str) -> None:
        self.master, terminal = pty.openpty()
        self.terminal = terminal
        self.before = termios.tcgetattr(terminal)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        known = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "DOCKER_HOST": engine.address, "HOME": str(home)}
        self.process = subprocess.Popen(
            argv,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            cwd=ROOT,
            env={**os.environ, **known, "NETDASH_DEBUG": "", **env},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.seen = b""

    def send(self, data: bytes) -> None:
        os.write(self.master, data)

    def until(self, mark: bytes, seconds: float = 30) -> bytes:
        """What was written up to `mark` and with it."""
        end = time.monotonic() + seconds
        while mark not in self.seen:
            assert time.monotonic() < end, self.seen[-2000:]
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65536)
        at = self.seen.index(mark) + len(mark)
        found, self.seen = self.seen[:at], self.seen[at:]
        return found


@contextmanager
def shell(
    engine: FakeEngine, home: Path, size: tuple[int, int] = (80, 24), argv: list[str] | None = None, **env: str
) -> Iterator[Shell]:
    made = Shell(engine, home, argv or [sys.executable, "-m", "netdash"], size, **env)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()
        os.close(made.master)
        os.close(made.terminal)


class Screen:
    def __init__(self, wide: int, high: int) -> None:
        self._screen = pyte.Screen(wide, high)
        self._stream = pyte.ByteStream(self._screen)

    def feed(self, data: bytes) -> None:
        self._stream.feed(re.sub(rb"\x1b\[[<>][0-9]*u|\x1b\[\?2026\$p|\x1b\]11;\?\x1b\\", b"", data))

    def cells(self) -> list[list[Cell]]:
        """What is seen: of a blank only its ground."""
        high, wide = self._screen.lines, self._screen.columns
        return [[_seen(self._screen.buffer[y][x]) for x in range(wide)] for y in range(high)]

    @property
    def lines(self) -> list[str]:
        return list(self._screen.display)


def _seen(cell: Any) -> Cell:
    if cell.data == " ":
        return " ", cell.bg, cell.underscore
    return cell.data, cell.bg, cell.fg, cell.bold, cell.italics, cell.underscore, cell.strikethrough


def serve(engine: FakeEngine, count: int) -> None:
    answer, containers = engine.answer, listed(count)
    engine.answer = lambda path: containers if path == "/containers/json" else answer(path)  # type: ignore[method-assign]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 48)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("count", [0, 3, 30, 300])
def test_it_is_the_very_frame_that_textual_paints_first(
    engine: FakeEngine, tmp_path: Path, count: int, size: tuple[int, int]
) -> None:
    _same(engine, tmp_path, count, size)


@pytest.mark.parametrize("light", [False, True])
@pytest.mark.parametrize("colours", ["", "truecolor"])
def test_it_is_the_same_with_few_colours_and_on_a_light_terminal(
    engine: FakeEngine, tmp_path: Path, colours: str, light: bool
) -> None:
    _same(engine, tmp_path, 9, (120, 40), LIGHT if light else b"", COLORTERM=colours)


def _same(engine: FakeEngine, home: Path, count: int, size: tuple[int, int], answers: bytes = b"", **env: str) -> None:
    serve(engine, count)
    with shell(engine, home, size, **env) as run:
        run.send(SYNC + answers)
        screen = Screen(*size)
        screen.feed(run.until(HANDED))
        first, lines = screen.cells(), screen.lines
        assert "netdash" in lines[0], "nothing was painted"
        written = run.until(b"\x1b[?2026l")
        assert b"\x1b[?1049h" not in written, "the screen was cleared"
        screen.feed(written)
        for y, (one, other) in enumerate(zip(first, screen.cells(), strict=True)):
            assert one == other, (y, lines[y], screen.lines[y])


def test_rows_never_vanish_and_keys_typed_meanwhile_are_kept(engine: FakeEngine, tmp_path: Path) -> None:
    serve(engine, 30)
    with shell(engine, tmp_path) as run:
        run.send(SYNC)
        screen = Screen(80, 24)
        screen.feed(run.until(b"\x1b[2;1H"))
        run.send(b"jj")  # while Textual is loaded
        screen.feed(run.until(HANDED))
        names = [line[3:9] for line in screen.lines[3:9]]
        assert all(name.strip() for name in names)
        for _ in range(20):
            screen.feed(run.until(b"\x1b[?2026l"))
            assert [line[3:9] for line in screen.lines[3:9]] == names
            if screen.lines[5].startswith("▌"):
                break
        else:
            pytest.fail("the keys were lost")


@pytest.mark.parametrize(
    ("end", "code"),
    [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131), (b"\x03", 130)],
    ids=["term", "hup", "quit", "ctrl-c"],
)
def test_a_signal_gives_the_terminal_back(
    engine: FakeEngine, tmp_path: Path, end: signal.Signals | bytes, code: int
) -> None:
    argv = [sys.executable, "-c", HELD.format(what="while True: time.sleep(0.05)")]
    with shell(engine, tmp_path, argv=argv) as run:
        run.until(b"\x1b[24;1H")
        if isinstance(end, bytes):
            run.send(end)
        else:
            run.process.send_signal(end)
        run.until(SHELL)
        assert run.process.wait(10) == code
        assert termios.tcgetattr(run.terminal)[:6] == run.before[:6]
        assert b"Traceback" not in run.seen


def test_a_shell_has_the_terminal_while_it_is_stopped(engine: FakeEngine, tmp_path: Path) -> None:
    held = HELD.format(what="while True: time.sleep(0.05)")
    with shell(engine, tmp_path, argv=[sys.executable, "-c", WAITING_SHELL, held]) as run:
        frame = run.until(b"\x1b[24;1H")
        netdash = os.tcgetpgrp(run.master)
        os.kill(netdash, signal.SIGTSTP)
        run.until(SHELL)
        run.until(b"stopped: True")
        assert termios.tcgetattr(run.terminal)[:6] == run.before[:6]
        run.send(b"\n")
        assert frame[frame.index(OWN_SCREEN) :] in run.until(b"\x1b[24;1H")
        os.kill(netdash, signal.SIGTERM)
        run.until(SHELL)
        run.until(b"ended: 143")


def test_it_goes_on_where_no_shell_would_wake_it(engine: FakeEngine, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HELD.format(what="while True: time.sleep(0.05)")]
    with shell(engine, tmp_path, argv=argv) as run:
        run.until(b"\x1b[24;1H")
        run.process.send_signal(signal.SIGTSTP)
        run.until(SHELL)
        run.until(OWN_SCREEN)
        run.until(b"\x1b[24;1H")


def test_a_screen_that_cannot_be_loaded_gives_the_terminal_back(engine: FakeEngine, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HELD.format(what="raise ImportError('no screen')")]
    with shell(engine, tmp_path, argv=argv) as run:
        run.until(SHELL)
        assert b"no screen" in run.until(b"ImportError: no screen")
        assert run.process.wait(10) == 70
        assert termios.tcgetattr(run.terminal)[:6] == run.before[:6]


@pytest.mark.parametrize("how", ["--no-first-frame", "config"])
def test_it_can_be_switched_off(engine: FakeEngine, tmp_path: Path, how: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text("first_frame = false\n")
    argv = [sys.executable, "-m", "netdash", *(["--config", str(config)] if how == "config" else [how])]
    with shell(engine, tmp_path, argv=argv) as run:
        assert b"netdash" not in run.until(HANDED)


def test_an_engine_that_does_not_answer_is_not_waited_for(engine: FakeEngine, tmp_path: Path) -> None:
    engine.mood = "hang"
    with shell(engine, tmp_path) as run:
        assert b"\x1b[1;1H" not in run.until(HANDED)


@pytest.mark.parametrize(
    "unusual",
    [
        {"TERM": "linux"},
        {"TERM": "vt220"},
        {"TERM": "xterm", "COLORTERM": ""},
        {"NO_COLOR": "1"},
        {"FORCE_COLOR": "1"},
    ],
    ids=str,
)
def test_an_unusual_terminal_is_left_to_textual(unusual: dict[str, str]) -> None:
    usual = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    assert first_frame.code_of(usual, Options(), 80, 24) is not None
    assert first_frame.code_of({**usual, **unusual}, Options(), 80, 24) is None
    assert first_frame.code_of(usual, Options(theme="ansi"), 80, 24) is None
    assert first_frame.code_of(usual, Options(), 59, 24) is None
