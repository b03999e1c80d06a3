"""`main([PHASE, STEP, ACTION, DOCKERD])`: a change of netdash's; somebody else acts right before one of its steps.

PHASE: recreate, undo, or what is done with a change that was interrupted: finish, rollback. STEP: the word of a step,
as it is done or taken back. ACTION: remove, rename, stop or start the container that the step is about; kill: dockerd,
whose pid is DOCKERD, dies by SIGKILL. All in one process, and a death of netdash is an exception: a start of Python for
every command would be most of the time of 200 cases. After LEFT `recover` and `published` tell what is left."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from killed import kill

from netdash.apply import journal_files, steps
from netdash.cli.main import main as command_line
from netdash.publish.journal import Change, Journal

NAME = "dist-web"
PUBLISH = ("publish", NAME, "8098:80", "--mode", "recreate", "--bind", "127.0.0.1", "--yes")
PHASES = {
    "recreate": PUBLISH,
    "undo": ("undo", "--yes"),
    "finish": ("recover", "--finish"),
    "rollback": ("recover", "--rollback"),
}
NEW = ("connect", "name", "start", "verify", "release")
"""The steps about the new container; the others are about the old one."""
LEFT = "--- what is left"
VERBS = {"remove": ("rm", "-f"), "rename": ("rename",), "stop": ("stop", "-t", "0"), "start": ("start",)}


class Died(BaseException):
    """Netdash is gone: whatever it would do next is not done."""


def act(change: Change, word: str, action: str, dockerd: str) -> None:
    if action == "kill":
        print("somebody else: kill dockerd", file=sys.stderr)
        kill(dockerd)
        return
    target = change.old_id
    if word in NEW:
        journal = journal_files.load(journal_files.path_of(change))
        target = (journal.result("create") if journal else "") or change.temporary
    last = (f"{change.name}-else",) if action == "rename" else ()
    done = subprocess.run(["docker", *VERBS[action], target, *last], capture_output=True, text=True)
    print(f"somebody else: {action} {target[:12]}: {done.stderr.strip() or 'done'}", file=sys.stderr)


def interrupted(phase: str) -> None:
    """A change that was begun and not done at all, or done but for the line that says so."""
    begin, write = journal_files.begin, journal_files.append

    def begun(change: Change) -> Journal:
        begin(change)
        raise Died

    def append(change: Change, entry: Mapping[str, object]) -> Journal:
        if "settled" in entry:
            raise Died
        return write(change, entry)

    if phase == "finish":
        journal_files.begin = begun
    else:
        journal_files.append = append
    try:
        command_line(list(PUBLISH))
    except Died:
        journal_files.begin, journal_files.append = begin, write
    else:
        raise AssertionError("it was not interrupted")


def disturb(word: str, action: str, dockerd: str) -> None:
    """Once, after the line of the step, and before the step."""
    write, waiting = journal_files.append, [True]

    def append(change: Change, entry: Mapping[str, object]) -> Any:
        at = entry.get("begin", entry.get("undo"))
        answer = write(change, entry)
        if waiting and isinstance(at, int) and change.steps[at].partition(":")[0] == word:
            waiting.clear()
            act(change, word, action, dockerd)
        return answer

    journal_files.append = append


def main(argv: Sequence[str]) -> int:
    phase, word, action, dockerd = argv
    steps._STEADY = 0.3
    steps._ANSWER = 3.0
    if phase == "undo":
        assert command_line(list(PUBLISH)) == 0
    elif phase != "recreate":
        interrupted(phase)
    print("--- disturbed", flush=True)
    disturb(word, action, dockerd)
    code = command_line(list(PHASES[phase]))
    for stream in (sys.stdout, sys.stderr):
        print(LEFT, file=stream, flush=True)
    if action != "kill":
        command_line(["recover"])
        command_line(["published"])
    return code
