"""Adds to what was read of this machine which old containers netdash keeps, and until when: its journals tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from netdash.bundle.recording import KEPT, Recording
from netdash.model.errors import NetdashError
from netdash.model.kept import may_be_kept
from netdash.parse.json_values import mapping
from netdash.publish.journal import Journal


def dumps(journals: Iterable[Journal]) -> str:
    """A line each: the old container's id, and when it is removed (seconds since the epoch; "-": not known)."""
    due = ((journal.change.old_id, journal.due) for journal in journals if journal.change.old_id)
    return "".join(f"{identity} {'-' if until is None else int(until)}\n" for identity, until in due)


def with_kept(recording: Recording) -> Recording:
    """The journals are read only where a container has such a name; where they may not be read it stays unknown."""
    if not may_be_kept(_names(recording)):
        return recording
    from netdash.apply import journal_files

    try:
        text = dumps(journal_files.listed())
    except NetdashError:
        return recording
    return replace(recording, answers={**recording.answers, KEPT: text})


def _names(recording: Recording) -> Iterator[str]:
    for path in ("docker/containers.json", "docker/inspect.json"):
        answer = recording.answers.get(path)
        for raw in answer if isinstance(answer, list) else ():
            one = mapping(raw)
            names = one.get("Names")
            yield str(one.get("Name"))
            yield from map(str, names if isinstance(names, list) else ())
