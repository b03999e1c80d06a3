"""Hostile bytes in every source: a small part of the fuzz, and the dashboard on a real pty."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
from pathlib import Path

import pytest

from tests import byte_fuzz
from tests.conftest import ROOT, bundle
from tests.support import hostile_text


def test_no_mutation_reaches_a_terminal_or_the_clipboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in byte_fuzz.surroundings(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    tally = byte_fuzz.campaign(7, 200, tmp_path)
    assert tally["escapes seen"] > 100  # the payloads do arrive at what is printed


@pytest.mark.parametrize("payload", hostile_text.PAYLOADS, ids=ascii)
def test_the_fuzz_sees_what_is_not_safe(payload: str) -> None:
    """A line break is allowed between lines; within one `Looker.line` and `Looker.copied` see it."""
    if not payload.replace("\n", "").isprintable():
        with pytest.raises(hostile_text.FoundError):
            hostile_text.check("here", f"a{payload}b")


# --- on a real terminal -----------------------------------------------------------------------------------------------

EVIL = "a\x1b]52;c;QUFB\x07\x9b2J\x1b[35;7m\u202e\r\nb"
KEYS = [*"12345678", "1", "j", "y", "\r", "t", "\t", "\x1b", "?", "\x1b", "4", "y", "\r", "q"]
NARROW = {"LC_ALL": "C", "PYTHONUTF8": "0"}
COPIED = re.compile(rb"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07")
OWN = re.compile(
    r"\x1b\]22;default\x07|\x1b\]11;\?\x1b\\|"
    r"\x1b\[(?:[0-9;]*[mHJKXC]|[?>=<][0-9;]*\$?[hlpucqt]|[0-9;]*[ut])|\x1b[78=>]|[\r\n]"
)


def evil(folder: Path) -> Path:
    """A recorded host that has the text in its names, labels, images, arguments, comments, rules and devices."""
    for file in sorted(bundle("docker28.5-nft-full").rglob("*")):
        target = folder / file.relative_to(bundle("docker28.5-nft-full"))
        if file.is_dir():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_text("utf-8")
        if file.suffix == ".json":
            text = json.dumps(_spoiled(json.loads(text)))
        elif file.name == "docker-proxy.txt":
            text = "".join(f"{line} -note {EVIL[:30]}\n".replace("\r", "") for line in text.splitlines())
        target.write_text(text, "utf-8")
    return folder


def _spoiled(value: object, key: str = "") -> object:
    if isinstance(value, dict):
        return {each: _spoiled(inner, each) for each, inner in value.items()}
    if isinstance(value, list):
        return [_spoiled(inner, key) for inner in value]
    return f"{value[:20]}{EVIL}" if isinstance(value, str) and key in _NAMES else value


_NAMES = {
    "Name",
    "Names",
    "Image",
    "Status",
    "name",
    "comment",
    "Version",
    "ServerVersion",
    "OperatingSystem",
    "protocol",
}


def watched(bundle: Path, environment: dict[str, str]) -> bytes:
    """What the dashboard writes to a terminal of 80x24 while the keys are pressed one by one, and it has ended."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "PYTHON", "TMUX", "STY"))}
    environment = {**kept, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment}
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(ROOT)
        os.execve(sys.executable, [sys.executable, "-m", "netdash", "--from", str(bundle)], environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    try:
        seen = b""
        for _ in range(100):
            seen += _until_quiet(terminal)
            if b"CONTAINER" in seen or b"NAME" in seen:
                break
        for key in KEYS:
            os.write(terminal, key.encode())
            seen += _until_quiet(terminal, 30 if key in "y\r" else 0.4)  # what is copied is asked for
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        return seen
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(terminal)


def _until_quiet(terminal: int, patience: float = 0.4) -> bytes:
    """What comes within a while, until nothing more comes for a moment."""
    seen = b""
    while len(seen) < 1 << 22 and select.select([terminal], [], [], 0.1 if seen else patience)[0]:
        try:
            seen += os.read(terminal, 65536)
        except OSError:  # it has ended
            break
    return seen


@pytest.mark.parametrize("environment", [{}, NARROW], ids=["UTF-8", "ASCII"])
def test_a_real_terminal_gets_text_and_the_dashboards_own_sequences(
    environment: dict[str, str], tmp_path: Path
) -> None:
    seen = watched(evil(tmp_path / "evil"), environment)
    copies = [base64.b64decode(each).decode() for each in COPIED.findall(seen)]
    assert len(copies) == 2
    assert all(each.isprintable() for each in copies)
    text = COPIED.sub(b"", seen).decode("ascii" if environment else "utf-8")
    assert "\\x1b]52;c;" in text  # what was hostile is to be read
    hostile_text.check("the terminal", text, OWN)
    assert "\x1b[35;7m" not in text
