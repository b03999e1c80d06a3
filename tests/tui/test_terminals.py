"""The dashboard on terminals of other kinds: what it writes to them, and where their own cursor rests."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import RECORDINGS
from tests.live.terminal import Terminal

NETDASH = [sys.executable, "-m", "netdash", "--from", str(RECORDINGS / "docker28.5-nft-full")]
COLOUR = re.compile(rb"\x1b\[(?:[0-9;]*;)?(?:[34][0-7]|9[0-7]|[34]8;[25][0-9;]*)(?:;[0-9;]*)?m")


def started(argv: list[str], **environment: str) -> Terminal:
    kept = {key: value for key, value in os.environ.items() if key not in ("COLORTERM", "NO_COLOR", "TMUX", "STY")}
    kept |= {"LC_ALL": "C.UTF-8", "PYTHONPATH": str(RECORDINGS.parents[1])}
    words = [f"{key}={value}" for key, value in environment.items()]
    return Terminal(["env", "-u", "COLORTERM", *words, *argv], kept, 80, 24)


def walked(terminal: Terminal) -> bytes:
    """Goes down a row. What was written from there on."""
    assert terminal.wait_for("c-paused", 60), terminal.text
    terminal.settle(0.5)
    before, at = len(terminal.raw), terminal.screen.cursor.y
    assert "c-created" in terminal.screen.display[at], "the cursor is on the selected row"
    terminal.write(b"j")
    assert terminal.wait_for(lambda: terminal.screen.cursor.y == at + 1)
    assert "c-paused" in terminal.screen.display[at + 1]
    return bytes(terminal.raw[before:])


@pytest.mark.parametrize("name", ["linux", "vt220", "xterm-mono", "screen", "tmux-256color", "xterm-256color"])
def test_the_cursor_of_the_terminal_stands_on_the_selected_row(name: str) -> None:
    with started(NETDASH, TERM=name) as terminal:
        written = walked(terminal)
    assert bool(COLOUR.search(written)) is (name not in ("vt220", "xterm-mono"))
    assert b"\x1b[" in written


def test_latin_1_gets_only_its_own_characters() -> None:
    with started(NETDASH, TERM="xterm", PYTHONIOENCODING="latin-1") as terminal:
        walked(terminal)
        assert "●".encode() not in terminal.raw
        assert " * c-share" in terminal.text


def test_where_ambiguous_characters_are_wide_there_are_none(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('ambiguous = "wide"\n')
    with started([*NETDASH, "--config", str(config)], TERM="xterm-256color") as terminal:
        walked(terminal)
        assert terminal.raw.isascii()


@pytest.mark.parametrize("name", ["tmux", "screen"])
def test_within_another_terminal(name: str, tmp_path: Path) -> None:
    if shutil.which(name) is None:
        (pytest.fail if os.environ.get("NETDASH_LIVE") == "required" else pytest.skip)(f"no {name} here")
    own = {"tmux": ["tmux", "-f", "/dev/null", "-S", str(tmp_path / "s")], "screen": ["screen", "-c", "/dev/null"]}[
        name
    ]
    with started(
        [*own, *(["new-session", *NETDASH] if name == "tmux" else NETDASH)], SCREENDIR=str(tmp_path)
    ) as terminal:
        walked(terminal)
        terminal.write(b"q")
        assert terminal.end(20) == 0


def test_a_terminal_that_is_left_and_taken_again_leaves_no_files_open() -> None:
    with started([sys.executable, "-c", LEFT_THREE_TIMES], TERM="xterm-256color") as terminal:
        assert terminal.wait_for("open=0", 60), terminal.text


LEFT_THREE_TIMES = """
import asyncio, os
from netdash.tui.term.driver import Terminal

class App:
    taken = None
    drained = resumed = typed = post_message = lambda *_: None

def opened():
    return sum("eventfd" in os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd"))

async def main():
    before = opened()
    driver = Terminal(App())
    for _ in range(3):
        driver.start_application_mode()
        driver.suspend_application_mode()
    os.write(1, f"\\nopen={opened() - before}\\n".encode())  # at once: what the terminal answered is echoed between
    await asyncio.sleep(20)

asyncio.run(main())
"""
