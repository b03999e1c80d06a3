"""The view of drift: what the engine should have written, and what is there instead."""

from __future__ import annotations

from netdash.model.drift import Drift, DriftKind
from netdash.model.host import Binding, Host
from netdash.model.index import Index, index_of
from netdash.model.relations import ref_of
from netdash.view import formatting
from netdash.view.formatting import NOTHING
from netdash.view.table import Column, Row, Rows, View
from netdash.view.text import Span, Tone, clean

TONES = {
    DriftKind.MISSING: Tone.BAD,
    DriftKind.SHADOWED: Tone.BAD,
    DriftKind.LEFT: Tone.BAD,
    DriftKind.STALE: Tone.WARN,
}


def place(one: Drift) -> str:
    """table/CHAIN #n; without a number where the rule is not there."""
    if one.rule is not None:
        return one.rule.place
    prefix = "" if one.family == "ip" else f"{one.family} "
    return f"{prefix}{one.table}/{one.chain}"


def port_text(one: Binding) -> str:
    """8080/tcp, with the address where it is bound to one."""
    number = str(one.host_port or one.container_port)
    if one.host_ip is not None and not one.host_ip.is_unspecified:
        number = formatting.socket_text(one.host_ip, one.host_port)
    return clean(f"{number}/{one.proto}")


def _drift(host: Host) -> Rows:
    index = index_of(host)
    return Rows(host.drift or (), lambda one: _row(index, one))


def _row(index: Index, one: Drift) -> Row:
    container = index.containers.get(one.container_id or "")
    network = index.networks.get(one.network_id or "")
    cells = (
        Span(one.kind.value, TONES.get(one.kind, Tone.WARN)),
        Span(clean(place(one)), Tone.PLAIN, ref_of(one.rule) if one.rule else None),
        Span(clean(container.name), Tone.KEY, ref_of(container)) if container else NOTHING,
        Span(port_text(one.binding)) if one.binding else NOTHING,
        Span(clean(network.name), Tone.PLAIN, ref_of(network)) if network else NOTHING,
        Span(clean(one.why, 200)),
        Span(clean(one.text.removeprefix(f"-A {one.chain} "), 200), Tone.DIM),
    )
    number = one.binding.host_port if one.binding else None
    sort = (list(DriftKind).index(one.kind), *(cell.text.casefold() for cell in cells[1:3]), number)
    return Row(ref_of(one), cells, (*sort, *(cell.text.casefold() for cell in cells[4:])))


def _doubt(host: Host) -> str:
    failure = host.failures.get("drift: rules")
    return clean(f"no difference found; {failure.reason}", 300) if failure else ""


DRIFT = View(
    name="drift",
    title="Drift",
    short="Drift",
    digit="8",
    kind="drift",
    columns=(
        Column("kind", "DRIFT", most=9),
        Column("rule", "RULE", most=34, least=14),
        Column("container", "CONTAINER", leaves=2, most=20, least=10, middle=True),
        Column("port", "PORT", leaves=1, most=22, least=8),
        Column("network", "NETWORK", leaves=3, most=16, least=8),
        Column("why", "WHY", most=60, least=20),
        Column("text", "TEXT", leaves=8, most=110, least=20),
    ),
    sources=("docker", "rules", "links", "proxies", "drift"),
    rows=_drift,
    empty="nothing differs from what the engine should have written",
    known=lambda host: host.drift is not None,
    findings=True,
    doubt=_doubt,
)
