"""A container's ways out, by each of its addresses, hop by hop, each with its evidence."""

from __future__ import annotations

from netdash.kernel.link_state import trouble
from netdash.model.host import Container, Host, Route
from netdash.model.index import index_of
from netdash.model.relations import address_ref, ref_of
from netdash.trace.summary import Leaves, Outbound, outbound
from netdash.trace.summary import obstacle as obstacle_of
from netdash.view import formatting, layout, obstacle
from netdash.view.columns_kernel import destination
from netdash.view.layout import MORE, Hop
from netdash.view.text import Line, Span, Tone, clean

OUT = Span(f" {'OUT':<6}", Tone.TITLE)


def ways_out(host: Host, container: Container, width: int) -> list[Line]:
    lines: list[Line] = []
    for way in outbound(host, container):
        lines += outbound_path(host, way, MORE if lines else OUT, width)
    return lines


def outbound_path(host: Host, way: Outbound, label: Span, width: int) -> list[Line]:
    """One address's way to the Internet; a sentence below where it is not the usual one."""
    unknown = formatting.unknown_yet(host)
    hops = [_source(way, unknown), *_gateway(host, way), *_leaving(way, unknown)]
    lines = layout.path(label, hops, width)
    said = [way.why] if way.why and (way.default is not False or way.leaves is Leaves.INTERNAL) else []
    if way.leaves is Leaves.UNKNOWN and host.pending:
        return [*lines, *layout.text(MORE, "reading…", width, Tone.UNKNOWN)]
    if way.default is False and way.leaves not in (Leaves.INTERNAL, Leaves.NOWHERE):
        said.append(f"not its default route: what it sends from here goes by {way.bridge or 'another network'}")
    elif way.default is None:
        said.append(f"whether this network holds its default route: {unknown.text}")
    tone = Tone.UNKNOWN if way.leaves is Leaves.UNKNOWN else _WHY_TONES.get(way.leaves, Tone.WARN)
    for sentence in said:
        lines += layout.text(MORE, f"{clean(sentence, 200)}", width, tone)
    used = way.default is not False or way.leaves is Leaves.NOWHERE
    if way.trace is not None and used and way.leaves not in _UNTOLD:
        lines += obstacle.lines(obstacle_of(way.trace), way.trace, "", MORE, width)
    return lines


_UNTOLD = (Leaves.INTERNAL, Leaves.HOST)
_WHY_TONES = {Leaves.HOST: Tone.DIM, Leaves.DIRECT: Tone.DIM, Leaves.INTERNAL: Tone.DIM}


def _source(way: Outbound, unknown: Span) -> Hop:
    network = Span(clean(way.network), Tone.DIM)
    if way.source is None:
        text = Span("the host's own address" if way.leaves is Leaves.HOST else "no address")
        told = (unknown if way.leaves is Leaves.UNKNOWN else text,)
        return Hop(told, (network,), told)
    source = Span(str(way.source), Tone.KEY, address_ref(way.source))
    return Hop((source,), (network,), (source,))


def _gateway(host: Host, way: Outbound) -> list[Hop]:
    if not way.bridge:
        return []
    bridge = Span(clean(way.bridge), Tone.PLAIN, formatting.link_ref(way.bridge))
    under = (Span(str(way.gateway), Tone.DIM, address_ref(way.gateway)),) if way.gateway else ()
    why = formatting.trouble(trouble(index_of(host).link(way.bridge)))
    return [Hop((bridge, *why), under, (bridge, *why))]


def _leaving(way: Outbound, unknown: Span) -> list[Hop]:
    if way.leaves is Leaves.INTERNAL:
        return [Hop((Span("✗ stays inside", Tone.DIM),))]
    if way.leaves is Leaves.NOWHERE:
        return [Hop((Span("✗ no way out", Tone.BAD if way.source else Tone.DIM),))]
    return [*_translation(way, unknown), *_uplink(way), *_next_hop(way.route)]


def _translation(way: Outbound, unknown: Span) -> list[Hop]:
    if way.nat is not None and way.leaves in (Leaves.MASQUERADE, Leaves.SNAT):
        evidence = formatting.rule_evidence([way.nat])
        name = Span(f"{way.leaves.name} ")
        leaves = Span(str(way.leaves_as), Tone.KEY, address_ref(way.leaves_as)) if way.leaves_as else unknown
        return [Hop((name, Span("as "), leaves), evidence, (name, Span("as "), leaves, Span(" "), *evidence))]
    if way.leaves is Leaves.UNTRANSLATED:
        return [Hop((Span("no translation", Tone.WARN),))]
    return [Hop((unknown,))] if way.leaves is Leaves.UNKNOWN else []


def _uplink(way: Outbound) -> list[Hop]:
    if way.uplink is None:
        return []
    name = Span(clean(way.uplink.name), Tone.PLAIN, formatting.link_ref(way.uplink.name))
    family = way.source.version if way.source else 4
    own = [address for address in way.uplink.addresses if address.version == family]
    under = (Span(str(own[0]), Tone.DIM, address_ref(own[0].ip)),) if own else ()
    why = formatting.trouble(trouble(way.uplink))
    return [Hop((name, *why), under, (name, *why))]


def _next_hop(route: Route | None) -> list[Hop]:
    if route is None:
        return []
    table = "" if route.table == "main" else f", table {clean(route.table)}"
    metric = f", metric {route.metric}" if route.metric else ""
    under = (Span(f"{destination(route)}{metric}{table}", Tone.DIM, ref_of(route)),)
    if route.gateway is None:
        return [Hop((Span("on link", Tone.PLAIN, ref_of(route)),), under)]
    via = (Span("via "), Span(str(route.gateway), Tone.PLAIN, address_ref(route.gateway)))
    return [Hop(via, under, via)]
