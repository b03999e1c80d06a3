"""Journals on disk: every line is there, whatever dies, before the next thing is done."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from netdash.apply import state_directory
from netdash.apply.state_directory import Records
from netdash.model.errors import Exit, NetdashError
from netdash.model.records import dataclass
from netdash.publish.journal import Change, Journal, load_journal

_RECORDS = Records(state_directory.journals, ".jsonl", load_journal, lambda journal: journal.change.created)
load, listed, unreadable = _RECORDS.load, _RECORDS.listed, _RECORDS.unreadable


def path_of(change: Change) -> Path:
    return _RECORDS.path(change.id)


def begin(change: Change) -> Journal:
    """Write down what will be done, before any of it is. Raises NetdashError(REFUSED)."""
    state_directory.ensure(state_directory.journals())
    state_directory.write(path_of(change), change.line() + "\n")
    return Journal(change)


def append(change: Change, entry: Mapping[str, object]) -> Journal:
    """Add a line, and answer the journal as it is now."""
    path = path_of(change)
    state_directory.append(path, json.dumps(entry))
    found = load(path)
    if found is None:
        raise NetdashError(f"{path} is no journal any more", code=Exit.REFUSED)
    return found


def end(change: Change) -> None:
    """The change is over: nothing of it is left to be done, or to be taken back. Raises NetdashError(REFUSED)."""
    state_directory.remove(path_of(change))


NONE = {"down": None}
"""In a line of the journal: one of the containers runs, and since when is not known."""


@dataclass(slots=True)
class Stopwatch:
    """Its words go into the lines of the journal: where a process dies meanwhile, the next one reads them there."""

    since: float | None = None  # on the monotonic clock; None: nothing was stopped by this process

    def stopped(self) -> dict[str, object]:
        self.since = time.monotonic()
        return {"stopped": time.time()}

    def started(self, journal: Journal) -> dict[str, object]:
        """`down` null: it was not measured, the clock was set back meanwhile."""
        if journal.stopped is None:
            return {}
        if self.since is not None:
            return {"down": time.monotonic() - self.since, "exact": True}
        seconds = time.time() - journal.stopped
        return {"down": seconds if seconds >= 0 else None, "exact": False}
