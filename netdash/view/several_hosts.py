"""One list of several hosts: a column that names the host, one marked row for a host that could not be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from netdash.model.host import Failure, Host, Ref
from netdash.model.records import dataclass, replace
from netdash.view import json_host, unavailable
from netdash.view.table import Column, Row, View
from netdash.view.text import Span, Tone, clean

COLUMN = Column("host", "HOST", most=64, least=8)


@dataclass(frozen=True, slots=True)
class Named:
    """A host by the name that the user gave it."""

    name: str
    host: Host

    @property
    def failure(self) -> Failure | None:
        """Why nothing of it could be read."""
        return self.host.failures.get("host")


def with_host(view: View) -> View:
    """The view with the host before its columns."""
    return replace(view, columns=(COLUMN, *view.columns))


def rows(view: View, hosts: Iterable[Named]) -> tuple[list[Row], list[tuple[Named, object]]]:
    """The rows of every host that could be read, one after the other, and the host and the thing of each."""
    made: list[Row] = []
    things: list[tuple[Named, object]] = []
    for host in hosts:
        found = view.rows(host.host)
        for at, thing in enumerate(found.things):
            row = found[at]
            made.append(Row(row.ref, (Span(clean(host.name)), *row.cells), (host.name, *row.sort)))
            things.append((host, thing))
    return made, things


def lost(view: View, named: Named) -> Row | None:
    """The marked row of a host whose list is not known."""
    if view.known(named.host) or len(view.rows(named.host)):
        return None
    failure = named.failure or next(iter(unavailable.missing(named.host, view.sources)), None)
    why = clean(failure.reason, 200) if failure else "not read"
    cells = (Span(clean(named.name), Tone.BAD), Span(f"✗ {why}", Tone.BAD))
    blank = tuple(Span("") for _ in view.columns[1:])
    return Row(Ref("host", named.name), (*cells, *blank))


def json(view: View, hosts: Sequence[Named], kept: Iterable[tuple[Named, object]]) -> json_host.Json:
    """The list of all hosts: each row begins with "host"; null when no host's is known. "hosts" says of each what is
    not known of it, and why it could not be reached."""
    by_host: dict[str, list[object]] = {host.name: [] for host in hosts}
    for host, thing in kept:
        by_host[host.name].append(thing)
    lists: dict[str, list[object] | None] = {}
    entries = []
    for named in hosts:
        answer = json_host.list_view(named.host, view, by_host[named.name])
        of_host = {key: answer[key] for key in ("namespace", "unknown") if key in answer}
        for key, records in answer.items():
            if key not in ("schema", *of_host):
                _add(lists, key, named.name, records)
        entries.append({"host": named.name, "error": _reason(named.failure), **of_host})
    return {"schema": json_host.SCHEMA, **lists, "hosts": entries}


def _add(lists: dict[str, list[object] | None], key: str, host: str, records: object) -> None:
    known = lists.setdefault(key, None)
    if isinstance(records, list):
        lists[key] = [*(known or []), *({"host": host, **_object(record)} for record in records)]


def _object(record: object) -> Mapping[str, object]:
    return record if isinstance(record, dict) else {}


def _reason(failure: Failure | None) -> str | None:
    return f"{failure.reason}; {failure.remedy}" if failure and failure.remedy else failure.reason if failure else None
