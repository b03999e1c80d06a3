"""Completion as somebody types it: in bash, zsh and fish on a terminal, through spaces and quotes."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import RECORDINGS
from tests.live.terminal import Terminal

FULL = RECORDINGS / "docker28.5-nft-full"
SHELLS = {
    "bash": ("bash --norc --noprofile -i", "PS1='> '", 'eval "$(netdash completion bash)"'),
    "zsh": ("zsh -f -i", "PS1='> '; autoload -U compinit; compinit -u -D", 'eval "$(netdash completion zsh)"'),
    "fish": ("fish --no-config -i", "function fish_prompt; echo '> '; end", "netdash completion fish | source"),
}
TYPED = (
    ("netdash conta", "netdash containers "),
    ("netdash ports --jso", "netdash ports --json "),
    ("netdash --from '{host}' show c-hosti", "show c-hostip "),
    ('netdash --from "{host}" map "inter', 'map "intern'),
    ("netdash --from {escaped} trace outs", "trace outside "),
)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    netdash = tmp_path / "bin" / "netdash"
    netdash.parent.mkdir()
    netdash.write_text(f'#!/bin/sh\nexec {sys.executable} -m netdash "$@"\n')
    netdash.chmod(0o755)
    path = f"{netdash.parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(tmp_path), "PYTHONPATH": str(RECORDINGS.parents[1]), "LANG": "C.UTF-8"}


@pytest.mark.parametrize("shell", SHELLS)
def test_words_and_names_are_completed(shell: str, tmp_path: Path, environment: dict[str, str]) -> None:
    if shutil.which(shell) is None:
        (pytest.fail if os.environ.get("NETDASH_LIVE") == "required" else pytest.skip)(f"no {shell} here")
    host = tmp_path / "a host"
    shutil.copytree(FULL, host)
    argv, prompt, setup = SHELLS[shell]
    with Terminal(argv.split(), environment, columns=200, rows=12) as terminal:
        terminal.settle(0.5)
        terminal.write(f"{prompt}; {setup}; echo rea''dy\r".encode())
        assert terminal.wait_for("ready", 60)
        for typed, wanted in TYPED:
            assert terminal.wait_for(lambda: _line(terminal) == "> "), _line(terminal)
            terminal.write(typed.format(host=host, escaped=str(host).replace(" ", "\\ ")).encode() + b"\t")
            assert terminal.wait_for(lambda wanted=wanted: wanted in _line(terminal)), (typed, _line(terminal))
            terminal.write(b"\x15")  # removes the line


def _line(terminal: Terminal) -> str:
    """What stands before the cursor; fish proposes more behind it."""
    return terminal.screen.display[terminal.screen.cursor.y][: terminal.screen.cursor.x]
