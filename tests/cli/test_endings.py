"""However netdash ends: the terminal's modes are as before, and the exit code says why."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.terminal import Terminal

ROOT = Path(__file__).parents[2]
NETDASH = [sys.executable, "-m", "netdash"]
DEMO = [*NETDASH, "demo"]
BUNDLE = "tests/recordings/dnat-missing-proxied"
MODE = re.compile(rb"\x1b\[\?([\d;]+)([hl])")
AT_REST = {b"25": b"h", b"7": b"h"}
"""Private modes that are on when nothing runs; all others are off."""
BREAKS = """
import sys, threading, time
from netdash.model.errors import Exit
from netdash.tui import app
from netdash.tui.config import Options
from tests.support.tui_hosts import crowd
from tests.support.tui_stage import Stage
class Breaking(Stage):
    def shown(self):
        threading.Thread(target=self.breaks).start()
    def breaks(self):
        raise RuntimeError("of the reader")
sys.exit(app.run(Breaking(crowd(3)), Options()))
"""


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def modes(raw: bytes) -> dict[bytes, bytes]:
    """Private modes that are not as at rest."""
    last = {mode: switch for found in MODE.finditer(raw) for mode in found[1].split(b";") for switch in (found[2],)}
    return {mode: switch for mode, switch in last.items() if AT_REST.get(mode, b"l") != switch}


def tty(terminal: Terminal) -> list[object]:
    return termios.tcgetattr(terminal._master)


@pytest.fixture
def shown() -> Iterator[Terminal]:
    with Terminal(DEMO, dict(os.environ), 80, 24) as terminal:
        before = tty(terminal)
        assert terminal.wait_for("youthful_volhard")
        assert tty(terminal) != before
        assert modes(bytes(terminal.raw))
        yield terminal
        terminal.settle(0.1, 3)
        assert not modes(bytes(terminal.raw))
        assert tty(terminal) == before
        assert terminal.raw.count(b"\x1b[>1u") == terminal.raw.count(b"\x1b[<u")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT])
def test_a_signal(shown: Terminal, number: signal.Signals) -> None:
    shown.process.send_signal(number)
    assert shown.process.wait(10) == 128 + number


def test_q(shown: Terminal) -> None:
    shown.write(b"q")
    shown.settle(0.3)
    assert shown.process.wait(10) == 0


def test_a_signal_on_a_terminal_that_takes_nothing(shown: Terminal) -> None:
    shown.write(b"j\x0c" * 200)  # nothing of the answers is read until it has ended
    shown.process.send_signal(signal.SIGTERM)
    assert shown.process.wait(10) == 128 + signal.SIGTERM


def test_an_error_in_a_thread() -> None:
    with Terminal([sys.executable, "-c", BREAKS], {**os.environ, "PYTHONPATH": str(ROOT)}, 80, 24) as terminal:
        assert terminal.wait_for(lambda: terminal.process.poll() is not None) or terminal.process.wait(20)
        terminal.settle(0.1, 2)
        assert terminal.process.wait(20) == 70
        assert b"internal error: RuntimeError: of the reader" in terminal.raw
        assert b"Traceback" not in terminal.raw
        assert not modes(bytes(terminal.raw))


def test_without_a_screen_of_its_own_the_prompt_is_below() -> None:
    """A terminal that knows no second screen goes on where the cursor was left."""
    with Terminal(DEMO, dict(os.environ), 80, 24) as terminal:
        assert terminal.wait_for("youthful_volhard")
        terminal.write(b"q")
        terminal.settle(0.3)
        assert terminal.process.wait(20) == 0
        terminal._paint(b"$ ")  # pyte has no second screen
        assert terminal.screen.display[-1].rstrip() == "$"
        assert any("youthful_volhard" in line for line in terminal.screen.display)


# --- commands ---------------------------------------------------------------------------------------------------------


def run(command: str) -> subprocess.CompletedProcess[str]:
    netdash = f"{sys.executable} -m netdash"
    script = command.replace("netdash", netdash, 1)
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)


@pytest.mark.parametrize("what", [f"--from {BUNDLE} drift", f"--from {BUNDLE} rules --json", "--help"])
def test_a_full_disk_is_not_findings(what: str) -> None:
    done = run(f"netdash {what} > /dev/full")
    assert (done.returncode, done.stderr) == (74, "netdash: cannot write to stdout: No space left on device\n")


def test_a_closed_stdout() -> None:
    done = run(f"netdash --from {BUNDLE} drift >&-")
    assert (done.returncode, done.stderr) == (74, "netdash: stdout is closed\n")
    assert run(f"netdash --from {BUNDLE} drift >&- 2>&-").returncode == 74
    assert run(f"netdash --from {BUNDLE} drift 2>/dev/full").returncode == 1
    assert run("netdash <&-").returncode == 2


def test_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from netdash.cli import main

    def breaks(_: object) -> int:
        raise ZeroDivisionError("of a command")

    monkeypatch.setattr(main, "_run", breaks)
    assert main.main(["drift"]) == 70
    assert capsys.readouterr().err == (
        "netdash: internal error: ZeroDivisionError: of a command (NETDASH_DEBUG=1 shows where)\n"
    )


# --- terminals that cannot show it ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dumb", "unknown", ""])
def test_a_terminal_that_cannot_show_it_is_refused_in_one_line(name: str) -> None:
    argv = ["env", f"TERM={name}", *DEMO]
    with Terminal(argv, dict(os.environ), 100, 30) as terminal:
        terminal.wait_for(lambda: terminal.process.poll() is not None)
        terminal.settle(0.1, 2)
        assert terminal.process.wait(20) == 2
        assert b"these work here: netdash containers" in terminal.raw
        assert b"\x1b" not in terminal.raw
        assert terminal.raw.count(b"\n") == 1


def test_without_a_size_it_is_the_usual_one_and_painted_once() -> None:
    with Terminal(["env", "TERM=vt220", *DEMO], dict(os.environ), 0, 0) as terminal:
        while "✓    ✓".encode() not in terminal.raw:  # what the doctor found comes last
            assert terminal._receive(60)
        while terminal._receive(0.5):
            pass
        size = len(terminal.raw)
        assert b"\x1b[24;" in terminal.raw
        assert b"\x1b[25;" not in terminal.raw
        assert b"youthful_volhard" in terminal.raw
        assert not terminal._receive(0.5)
        assert size < 10_000
        terminal.write(b"q")
        assert terminal.process.wait(20) == 0


# --- a slow line, and keys --------------------------------------------------------------------------------------------


def test_pictures_that_nobody_would_see_are_not_written() -> None:
    with Terminal(DEMO, dict(os.environ), 120, 40) as terminal:
        assert terminal.wait_for("youthful_volhard")
        terminal.settle()
        whole = len(terminal.raw)
        for _ in range(50):
            terminal.write(b"\x0cj\x0ck")  # 100 whole pictures, and nothing is read meanwhile
            time.sleep(0.01)
        rested, before = 0, 0.0
        while rested < 4:  # all keys have been acted on
            time.sleep(0.3)
            before, now = terminal.cpu(), before
            rested = rested + 1 if before - now < 0.02 else 0
        terminal.settle()
        assert len(terminal.raw) - whole < 10 * whole
        assert "youthful_volhard" in terminal.text
        terminal.write(b"q")
        assert terminal.wait_for(lambda: terminal.process.poll() is not None) or terminal.process.wait(20) == 0


def test_what_is_typed_at_once_loses_nothing() -> None:
    with Terminal(DEMO, dict(os.environ), 120, 40) as terminal:
        assert terminal.wait_for("youthful_volhard")
        terminal.write(b":rules\r")
        assert terminal.wait_for("[4 Rules]")
        terminal.write(b"1/vol\rj")
        assert terminal.wait_for("/vol 1 of 2")
        terminal.settle()
        terminal.write(b"\x1b[200~q\r:q\r\x1b[201~/\x1b[200~\r\n\x1b[201~\x1b[200~zzz\rq\r\x1b[201~")
        assert terminal.wait_for("zzz")
        assert terminal.process.poll() is None


@pytest.mark.parametrize("end", [b"\x1a", b""])
def test_it_is_left_for_a_shell_and_come_back_to(end: bytes) -> None:
    script = 'set -m; "$@"; echo stopped; read -r line; fg; echo ended'
    with Terminal(["bash", "-c", script, "bash", *DEMO], dict(os.environ), 80, 24) as terminal:
        assert terminal.wait_for("youthful_volhard")
        terminal.settle()
        if end:
            terminal.write(end)
        else:  # stopped by a signal that nobody hears
            netdash = terminal.tree()[1]
            os.kill(netdash, signal.SIGTSTP)
        assert terminal.wait_for("stopped")
        assert not modes(bytes(terminal.raw))
        terminal.raw.clear()
        terminal.write(b"\n")
        assert terminal.wait_for(lambda: b"youthful_volhard" in terminal.raw)
        assert modes(bytes(terminal.raw))
        terminal.settle()
        terminal.write(b"q")
        assert terminal.wait_for("ended")
        assert not modes(bytes(terminal.raw))
