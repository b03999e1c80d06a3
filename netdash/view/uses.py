"""Whether a way of a card is in use: how many connections are open there, and how fast they carry."""

from __future__ import annotations

from collections.abc import Sequence

from netdash.join.flows import connections
from netdash.kernel.conntrack_entries import is_open
from netdash.model.finding import Direction
from netdash.model.flow import Flow
from netdash.model.host import Host
from netdash.model.index import index_of, sharing
from netdash.model.traffic import added
from netdash.trace.default_questions import Usual
from netdash.trace.model import Origin
from netdash.view.formatting import bytes_rate
from netdash.view.text import Line, Span, Tone


def words(host: Host, ways: Sequence[Usual]) -> Line:
    """`3 open, 1.2 MB/s`; nothing where none is open, or that is not known. The rate is there where the kernel counts
    every one of them."""
    found = {flow.key: flow for way in ways for flow in _of_way(host, way)}
    if not found:
        return ()
    rate = added(*(flow.entry.rate for flow in found.values()))
    more = host.flows is None and host.traffic.used is not None and host.traffic.used.more
    told = f", {bytes_rate(rate)}" if rate is not None and rate >= 1 else ""
    return (Span(f"{len(found)}{'+' if more else ''} open{told}  ", Tone.GOOD),)


def _of_way(host: Host, way: Usual) -> list[Flow]:
    index = index_of(host)
    about = way.about
    names = (about.container, way.question.container) if about is not None else ()
    mine = next((index.containers[identity] for identity in names if identity in index.containers), None)
    known = connections(host, mine) if mine is not None else None
    return [flow for flow in known or () if is_open(flow.entry) and _takes(host, way, flow)]


def _takes(host: Host, way: Usual, flow: Flow) -> bool:
    """Whether the connection goes this way."""
    asked, port, to = way.question, way.port, flow.asked
    if to.ip is None or to.ip.version != asked.dst.version:
        return False
    if port is not None:
        bound = port.host_ip.is_unspecified or port.host_ip == to.ip
        same = (flow.entry.proto, to.port) == (port.proto, port.host_port)
        ours = flow.client.container is None and flow.client.here is (asked.origin is Origin.HOST)
        return to.here and bound and same and ours
    sender = index_of(host).containers.get(asked.container or "")
    if sender is None or way.about is None or flow.client.container != sharing(host, sender).id:
        return False
    if way.about.direction is Direction.PEERS:
        return (flow.entry.proto, to.ip, to.port) == (asked.proto, asked.dst, asked.dport)
    return way.about.direction is Direction.OUT and flow.server.container is None and not flow.server.here
