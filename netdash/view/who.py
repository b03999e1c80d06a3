"""Who reaches something and whom it reaches, as rows of a list and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from netdash.model.addresses import socket_text
from netdash.model.host import Endpoint, Host, Ref
from netdash.model.index import index_of
from netdash.model.relations import ref_of
from netdash.trace.model import Aim, Sender
from netdash.trace.who import INTERNET, Row, Subject, Who
from netdash.view import marks, table
from netdash.view.json_host import SCHEMA, Json
from netdash.view.table import Column, Rows, View
from netdash.view.text import Span, Tone, clean
from netdash.view.what_if import THIS_HOST, named

COLUMNS = (
    Column("from", "from", least=10, middle=True),
    Column("network", "network", leaves=2),
    Column("to", "to", most=60, least=18, middle=True),
    Column("verdict", "verdict", most=20),
    Column("why", "why", least=34, middle=True),
)


def listed(host: Host, found: Sequence[Row], subject: Subject) -> View:
    """The rows as a list of its own. Folded rows say how many they stand for."""
    return View(
        name="who",
        title="Who",
        short="Who",
        digit="",
        kind="who",
        columns=COLUMNS,
        sources=(),
        rows=lambda _: Rows(found, lambda row: _row(host, row, subject)),
        empty="nobody",
        known=lambda _: True,
    )


def _row(host: Host, row: Row, subject: Subject) -> table.Row:
    sender, aim = row.senders[0], row.aims[0]
    alone = len(row.senders) == 1
    reach = row.reach
    mark = marks.ANSWERED[reach.reaches]
    owner = sender.container if alone else None
    cells = (
        Span(_sender(row), Tone.KEY, Ref("container", owner) if owner else None),
        Span(_networks(host, row), Tone.DIM),
        Span(_aim(host, row, subject)),
        marks.of_reach(reach),
        Span(
            clean(_why(host, row)),
            Tone.PLAIN if reach.reaches else Tone.KEY,
            ref_of(reach.rule) if reach.rule else None,
        ),
    )
    sort = (
        cells[0].text.casefold(),
        cells[1].text,
        (aim.ip.version, int(aim.ip), aim.port),
        marks.rank(mark),
        None,
    )
    return table.Row(Ref("who", key(row)), cells, sort)


def key(row: Row) -> str:
    """Names a row in a list that is made anew."""
    sender, aim = row.senders[0], row.aims[0]
    many = f"{len(row.senders) > 1} {len(row.aims) > 1}"
    return f"{sender.container or sender.origin.value} {aim.kind} {aim.proto} {aim.ip} {aim.port} {many}"


def _sender(row: Row) -> str:
    if len(row.senders) > 1:
        return f"{len(row.senders)} others"
    return clean(named(row.senders[0]), 60)


def _networks(host: Host, row: Row) -> str:
    container = index_of(host).containers.get(row.senders[0].container or "") if len(row.senders) == 1 else None
    names = [clean(end.network, 30) for end in container.endpoints] if container is not None else []
    return f"{names[0]} +{len(names) - 1}" if len(names) > 1 else "".join(names)


def _aim(host: Host, row: Row, subject: Subject) -> str:
    aim = row.aims[0]
    if len(row.aims) > 1:
        owners = {aim.container for aim in row.aims if aim.container is not None}
        several = f"{len(owners)} containers" if len(owners) > 1 else index_of(host).name(aim.container) or THIS_HOST
        return f"{len(row.aims)} ports of {clean(several, 60)}"
    where = socket_text(aim.ip, aim.port) + ("" if aim.proto == "tcp" else f"/{clean(aim.proto, 10)}")
    if aim.kind == INTERNET:
        return f"Internet {where}"
    owner = index_of(host).name(aim.container) if aim.container else THIS_HOST
    return where if aim.container in subject.containers else f"{clean(owner or '?', 60)} {where}"


def _why(host: Host, row: Row) -> str:
    """What stops it; of what arrives, by what it comes."""
    reach = row.reach
    if reach.why or not reach.reaches:
        return f"by {reach.why}" if reach.reaches and row.aims[0].kind != INTERNET else reach.why
    shared = {_shared(host, sender, aim) for sender in row.senders for aim in row.aims}
    return shared.pop() if len(shared) == 1 else ""


def _shared(host: Host, sender: Sender, aim: Aim) -> str:
    """How a container comes to the address of another: by the network that both are on; "" for anything else."""
    index = index_of(host)
    one, other = index.containers.get(sender.container or ""), index.containers.get(aim.container or "")
    if one is None or other is None or aim.kind != "container":
        return ""
    if one is other:
        return "itself"
    here = {end.network_id for end in one.endpoints}
    return next(
        (
            f"same network, {clean(end.network, 60)}"
            for end in other.endpoints
            if end.network_id in here and _has(end, aim)
        ),
        "",
    )


def _has(end: Endpoint, aim: Aim) -> bool:
    return any(address.ip == aim.ip for address in end.addresses)


def sections(host: Host, found: Who) -> Iterator[tuple[str, View]]:
    """(title, list) of what there is to say."""
    name = clean(found.subject.name, 80)
    if found.subject.aims:
        yield f"who reaches {name}", listed(host, found.reached_by, found.subject)
    if found.subject.senders:
        yield f"whom {name} reaches", listed(host, found.reaches, found.subject)


def sentence(host: Host, row: Row) -> str:
    """One packet in words."""
    aim = row.aims[0]
    to = "the Internet" if aim.kind == INTERNET else index_of(host).name(aim.container) or THIS_HOST
    return f"from {named(row.senders[0])} to {to} {socket_text(aim.ip, aim.port)}/{aim.proto}"


def text(shown: Iterable[table.Row]) -> Iterator[str]:
    """Rows to copy, a line each."""
    for row in shown:
        yield "  ".join(cell.text for cell in row.cells if cell.text)


# --- JSON -------------------------------------------------------------------------------------------------------------


def json(host: Host, found: Who) -> Json:
    """One entry a sender and port. `reaches` null: cannot be told."""
    return {
        "schema": SCHEMA,
        "subject": found.subject.name,
        "reached_by": [_json(host, row) for row in found.reached_by],
        "reaches": [_json(host, row) for row in found.reaches],
    }


def _json(host: Host, row: Row) -> Json:
    sender, aim, reach = row.senders[0], row.aims[0], row.reach
    return {
        "from": {"name": named(sender), "from": sender.origin.value, "container": sender.container},
        "to": {
            "name": index_of(host).name(aim.container),
            "kind": aim.kind,
            "proto": aim.proto,
            "ip": str(aim.ip),
            "port": aim.port,
            "container": aim.container,
        },
        "reaches": reach.reaches,
        "verdict": marks.word(reach.reaches, reach.verdict),
        "why": reach.why or None,
        "rule": reach.rule.place if reach.rule is not None else None,
    }
