"""`disturbed.py STEP ACTION DOCKERD netdash-arguments`: netdash; somebody else acts right before a step of its change.

STEP: the word of a step, as it is done or taken back. ACTION: remove, rename, stop or start the container that the step
is about, or kill: dockerd, whose pid is DOCKERD, dies by SIGKILL."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from killed import kill

from netdash.apply import logbook, steps
from netdash.cli import main
from netdash.core.publish.journal import Change

NEW = ("connect", "name", "start", "verify", "release")
"""The steps about the new container; the others are about the old one."""
VERBS = {"remove": ("rm", "-f"), "rename": ("rename",), "stop": ("stop", "-t", "0"), "start": ("start",)}


def act(change: Change, word: str, action: str, dockerd: str) -> None:
    if action == "kill":
        kill(dockerd)
        return
    if word in NEW:
        journal = logbook.load(logbook.path_of(change))
        target = (journal.result("create") if journal else "") or change.temporary
    else:
        target = change.old_id
    last = (f"{change.name}-else",) if action == "rename" else ()
    done = subprocess.run(["docker", *VERBS[action], target, *last], capture_output=True, text=True)
    print(f"somebody else: {action} {target[:12]}: {done.stderr.strip() or 'done'}", file=sys.stderr)


if __name__ == "__main__":
    word, action, dockerd, *words = sys.argv[1:]
    steps._STEADY = 0.3
    steps._ANSWER = 3.0
    write, pending = logbook.append, [True]

    def append(change: Change, entry: Mapping[str, object]) -> Any:
        at = entry.get("begin", entry.get("undo"))
        answer = write(change, entry)
        if pending and isinstance(at, int) and change.steps[at].partition(":")[0] == word:
            pending.clear()
            act(change, word, action, dockerd)
        return answer

    logbook.append = append
    sys.exit(main(words))
