"""Copies to the clipboard of the user at the terminal: through tmux, or by a sequence of the terminal (OSC 52). Says
what was done, which is not always that it arrived."""

from __future__ import annotations

import base64
import contextlib
import os
import stat
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from textual.screen import Screen

from netdash.tui.background import Background
from netdash.tui.term.driver import Terminal
from netdash.view.text import SafeText, Tone

Say = Callable[[str, Tone], None]

CHUNK = 76  # bytes of a device control string that every version of screen takes
_PATIENCE = 2.0  # seconds for a call of tmux
_PATH = "/usr/local/bin:/usr/bin:/bin"
_WITHOUT = ("linux", "vt")  # terminals that have no clipboard


@dataclass(frozen=True, slots=True)
class Tmux:
    """A server whose terminal this is. It is spoken to as its own user: it may tell its client what to execute."""

    socket: str
    user: int
    group: int


def put(screen: Screen[Any], text: SafeText, say: Say) -> None:
    """Copies behind the screen, and calls `say` with what was done."""

    def done(copied: object) -> None:
        if isinstance(copied, str):
            say(copied, Tone.GOOD)
            return
        driver = screen.app._driver
        name = os.environ.get("TERM", "")
        if driver is None or name.startswith(_WITHOUT):
            say(f"not copied: this terminal (TERM={name}) has no clipboard", Tone.WARN)
        else:
            driver.write(osc52(text, os.environ))
            say(f"sent to the terminal's clipboard, if it takes that (OSC 52): {text}", Tone.GOOD)

    if isinstance(screen.app._driver, Terminal):
        Background[str | None](screen).start(lambda: _through_tmux(text), done)
    else:
        done(None)


def osc52(text: SafeText, environ: Mapping[str, str]) -> str:
    """The sequence that puts `text` on the clipboard of the terminal in front of the user, through tmux and screen.

    tmux passes a sequence on when it is wrapped in DCS tmux with every ESC doubled; screen when it is cut into
    device control strings of its own.
    """
    sequence = f"\x1b]52;c;{base64.b64encode(text.encode('utf-8', 'replace')).decode('ascii')}\x07"
    if environ.get("TMUX"):
        return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\" + sequence
    if environ.get("STY"):
        return "".join(f"\x1bP{sequence[at : at + CHUNK]}\x1b\\" for at in range(0, len(sequence), CHUNK))
    return sequence


# --- tmux -------------------------------------------------------------------------------------------------------------


def _through_tmux(text: SafeText) -> str | None:
    """What was done, in words; None where no tmux took it."""
    tmux = find(os.environ)
    if tmux is None:
        return None
    passes = _asked(tmux, "show-options", "-sv", "set-clipboard") in ("on", "external")
    if passes and _asked(tmux, "load-buffer", "-w", "-", given=text) is not None:
        return f"copied to tmux, which passes it to its terminal: {text}"
    if _asked(tmux, "load-buffer", "-", given=text) is not None:
        return f"copied to tmux only (prefix ] pastes it): {text}"
    return None


def find(environ: Mapping[str, str]) -> Tmux | None:
    """The tmux that this process runs in: an ancestor of it, as sudo takes $TMUX away; else what that names, of the
    same user."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for process in psutil.Process().parents():
            if process.name() == "tmux: server":
                user, group = process.uids().real, process.gids().real
                sockets = sorted(
                    {
                        str(net_connection.laddr)
                        for net_connection in process.net_connections("unix")
                        if net_connection.laddr
                    }
                )
                return next((Tmux(path, user, group) for path in sockets if is_of(path, user)), None)
    path = environ.get("TMUX", "").rpartition(",")[0].rpartition(",")[0]
    return Tmux(path, os.geteuid(), os.getegid()) if path and is_of(path, os.geteuid()) else None


def is_of(path: str, user: int) -> bool:
    """Whether it is a socket in a folder that only that user can write."""
    try:
        folder, file = os.lstat(os.path.dirname(path)), os.lstat(path)
    except OSError:
        return False
    theirs = folder.st_uid == user == file.st_uid and not folder.st_mode & 0o022
    return theirs and stat.S_ISDIR(folder.st_mode) and stat.S_ISSOCK(file.st_mode)


def _asked(tmux: Tmux, *command: str, given: str = "") -> str | None:
    """What the server answers; None when it refuses or hangs."""
    other = tmux.user != os.geteuid()
    try:
        done = subprocess.run(
            ["tmux", "-S", tmux.socket, *command],
            input=given.encode("utf-8", "replace"),
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
            cwd="/",
            env={"PATH": _PATH, "LC_ALL": "C.UTF-8"},
            start_new_session=True,
            user=tmux.user if other else None,
            group=tmux.group if other else None,
            extra_groups=[] if other else None,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None
