"""Adds to what was read of this machine which old containers netdash keeps, and until when: its journals tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from netdash.core.errors import NetdashError
from netdash.core.kept import dumps, may_be_kept
from netdash.core.parse.decode import mapping
from netdash.core.recording import KEPT, Recording


def with_kept(recording: Recording) -> Recording:
    """The journals are read only where a container has such a name; where they may not be read it stays unknown."""
    if not may_be_kept(_names(recording)):
        return recording
    from netdash.apply import logbook

    try:
        text = dumps(logbook.listed())
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
