"""Connections added up by container, by port or by peer, those that carry most first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netdash.model.flow import Flow
from netdash.model.host import Host, Ref
from netdash.model.records import dataclass
from netdash.view import formatting, json_host
from netdash.view.columns_flows import FLOWS, group_names
from netdash.view.formatting import NOTHING
from netdash.view.table import Column, Row
from netdash.view.text import Span, Tone, clean

_COLUMNS = (
    Column("flows", "FLOWS", right=True),
    Column("troubled", "TROUBLED", right=True),
    Column("packets", "PACKETS", right=True),
    Column("bytes", "BYTES", right=True),
    Column("rate", "RATE", right=True),
    Column("uncounted", "UNCOUNTED", right=True),
)


@dataclass(frozen=True, slots=True)
class Group:
    """`packets`, `bytes`, `rate`: of the connections that are counted; None where none of them is. `uncounted`: how
    many are not. `troubled`: those without an answer, or whose translation is stale."""

    name: str
    flows: int
    troubled: int
    packets: int | None
    bytes: int | None
    rate: float | None
    uncounted: int


def groups(host: Host, flows: Iterable[Flow], by: str) -> list[Group]:
    found: dict[str, list[Flow]] = {}
    for flow in flows:
        for name in group_names(host, flow, by):
            found.setdefault(name, []).append(flow)
    made = [_group(name, members) for name, members in found.items()]
    return sorted(made, key=lambda group: (-(group.rate or 0), -(group.bytes or 0), -group.flows, group.name))


def _group(name: str, flows: list[Flow]) -> Group:
    counted = [flow for flow in flows if flow.entry.counts is not None]
    rates = [flow.entry.rate for flow in counted if flow.entry.rate is not None]
    return Group(
        name=name,
        flows=len(flows),
        troubled=sum(flow.trouble is not None for flow in flows),
        packets=sum(flow.packets or 0 for flow in counted) if counted else None,
        bytes=sum(flow.bytes or 0 for flow in counted) if counted else None,
        rate=sum(rates) if rates else None,
        uncounted=len(flows) - len(counted),
    )


def columns(by: str) -> tuple[Column, ...]:
    return (Column(by, by.upper(), most=50), *_COLUMNS)


def rows(found: Iterable[Group]) -> list[Row]:
    return [_row(group) for group in found]


def _row(group: Group) -> Row:
    cells = (
        Span(clean(group.name, 60), Tone.KEY),
        Span(str(group.flows)),
        Span(str(group.troubled), Tone.BAD) if group.troubled else NOTHING,
        NOTHING if group.packets is None else Span(formatting.short_number(group.packets)),
        NOTHING if group.bytes is None else Span(formatting.short_bytes(group.bytes)),
        Span(formatting.bytes_rate(group.rate), Tone.GOOD) if group.rate else NOTHING,
        Span(str(group.uncounted), Tone.UNKNOWN) if group.uncounted else NOTHING,
    )
    return Row(Ref("group", group.name), cells)


def json(host: Host, found: Iterable[Group], by: str) -> Mapping[str, object]:
    listed = [
        {
            by: group.name,
            "flows": group.flows,
            "troubled": group.troubled,
            "packets": group.packets,
            "bytes": group.bytes,
            "bytes_per_second": group.rate,
            "uncounted": group.uncounted,
        }
        for group in found
    ]
    known = listed if FLOWS.known(host) else None
    return {"schema": json_host.SCHEMA, "by": by, "groups": known, "unknown": json_host.unknown(host, FLOWS.sources)}
