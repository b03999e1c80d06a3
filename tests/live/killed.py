"""`main([N, WHOM, netdash-arguments…])`: netdash, where after the N-th line of a journal a process dies by SIGKILL.

WHOM: `netdash` is this process, a number is dockerd's. N 0: nobody dies. A container counts as steady sooner here."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from netdash.apply import journal_files, steps
from netdash.cli.main import main as command_line


def dies_after(number: int, whom: str, write: Callable[..., Any], lines: list[object]) -> Callable[..., Any]:
    def written(*arguments: object) -> object:
        answer = write(*arguments)
        lines.append(arguments)
        if len(lines) == number:
            kill(whom)
        return answer

    return written


def kill(whom: str) -> None:
    pid = os.getpid() if whom == "netdash" else int(whom)
    os.kill(pid, signal.SIGKILL)
    while not gone(pid):
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True


def main(argv: Sequence[str]) -> int:
    number, whom, *words = argv
    steps._STEADY = 0.3
    lines: list[object] = []
    for name in ("begin", "append"):
        setattr(journal_files, name, dies_after(int(number), whom, getattr(journal_files, name), lines))
    return command_line(words)
