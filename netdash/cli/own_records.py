"""What netdash's own records add to what was read of this host: which old containers it keeps, and until when, and
which ports its forwards wait to open."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from netdash.bundle.recording import Recording
from netdash.model.errors import NetdashError
from netdash.model.kept import may_be_kept
from netdash.model.records import replace
from netdash.model.source import KEPT, WAITING
from netdash.parse.json_values import mapping

if TYPE_CHECKING:
    from netdash.publish.journal import Forward, Journal


def dumps(journals: Iterable[Journal]) -> str:
    """A line each: the old container's id, and when it is removed (seconds since the epoch; "-": not known)."""
    due = ((journal.change.old_id, journal.due) for journal in journals if journal.change.old_id)
    return "".join(f"{identity} {'-' if until is None else int(until)}\n" for identity, until in due)


def with_own_records(recording: Recording) -> Recording:
    """What netdash's own records add to a host; where they may not be read it stays unknown. The journals are read only
    where a container has such a name, the forwards where the host's sockets are told."""
    found = dict[str, str]()
    with contextlib.suppress(NetdashError):
        if may_be_kept(_names(recording)):
            from netdash.apply import journal_files

            found[KEPT] = dumps(journal_files.listed())
        if "host/listeners.txt" in recording.answers:
            from netdash.apply import forward

            found[WAITING] = "".join(map(waiting_ports, forward.waiting()))
    return replace(recording, answers={**recording.answers, **found}) if any(found.values()) else recording


def waiting_ports(waiting: Forward) -> str:
    """Its ports, a line each."""
    return "".join(
        f"{port.proto} {port.host_ip} {port.host_port} {port.container_port} {waiting.container_id}\n"
        for port in waiting.ports
    )


def _names(recording: Recording) -> Iterator[str]:
    for path in ("docker/containers.json", "docker/inspect.json"):
        answer = recording.answers.get(path)
        for raw in answer if isinstance(answer, list) else ():
            one = mapping(raw)
            names = one.get("Names")
            yield str(one.get("Name"))
            yield from map(str, names if isinstance(names, list) else ())
