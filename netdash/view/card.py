"""The card of one container: its packets' paths in and out, hop by hop, each with its evidence, and its peers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from netdash.join.peers import Peer, peer_counts, peers
from netdash.kernel.link_state import trouble
from netdash.model.drift import Drift
from netdash.model.host import Container, Host, Ref, Route
from netdash.model.index import index_of, why_lost
from netdash.model.kept import old_of
from netdash.model.relations import address_ref, ref_of
from netdash.model.source import Source
from netdash.trace.summary import Leaves, Outbound, obstacle, outbound
from netdash.view import formatting, layout, unavailable
from netdash.view.columns_engine import TONES, drift_place
from netdash.view.columns_kernel import destination
from netdash.view.health import hit_lines
from netdash.view.inbound import IN, obstacle_lines, paths_in
from netdash.view.layout import MORE, Hop
from netdash.view.text import Line, Span, Tone, clean

PEERS = Span(f" {'PEERS':<6}", Tone.TITLE)
MOST_PEERS = 12  # of one network; the view of containers lists them all
_SOURCES = (Source.DOCKER, Source.RULES, Source.ROUTES, Source.PROXIES, Source.LISTENERS, Source.LINKS, Source.SYSCTLS)


def card(host: Host, container: Container, width: int, inwards: bool = True) -> tuple[Line, ...]:
    """Lines of at most `width` cells; 40 and more are readable, from 100 the evidence stands below its hop. `inwards`
    False where the one that matters has been told already."""
    lines = [_head(host, container, width), *hit_lines(host, container, width)]
    if container.left_behind:
        lines += layout.text(IN, why_lost(container), width, Tone.BAD)
        lines += layout.text(MORE, f"docker restart {container.name}", width, Tone.GOOD)
    elif container.running:
        lines += paths_in(host, container, width) if inwards else []
        lines += drift_lines(of_container(host, container), RULES, MORE, width)
        lines += paths_out(host, container, width)
        lines += _peers(host, container, width)
    else:
        lines += _at_rest(host, container, width)
    if unavailable.namespace(host):
        lines += layout.text(MORE, unavailable.namespace(host), width, Tone.DIM)
    for failure in unavailable.told(host, _SOURCES):
        lines += layout.text(Span(" ?     ", Tone.UNKNOWN), unavailable.sentence(failure), width, Tone.UNKNOWN)
    return tuple(lines)


def _head(host: Host, container: Container, width: int) -> Line:
    since = formatting.how_long(host, container)
    left = [
        Span(" "),
        Span(clean(container.name), Tone.KEY, ref_of(container)),
        Span("  "),
        formatting.state(container),
    ]
    if since:
        left.append(Span(f" {since}" if container.running else f", {since} ago", Tone.DIM))
    if container.shares_with:
        left.append(Span(f"  in the network of {clean(container.shares_with)}", Tone.DIM))
    parts = [container.short_id, container.image]
    if container.compose:
        parts.insert(0, f"{container.compose}/{container.service}" if container.service else container.compose)
    return layout.spread(tuple(left), (Span("  ".join(map(clean, parts)), Tone.DIM),), width)


def _at_rest(host: Host, container: Container, width: int) -> list[Line]:
    """A container that does not run has no way in or out; what it is set up for."""
    lines = layout.text(IN, "no way in or out: it is not running", width, Tone.DIM)
    kept = formatting.kept(host, container)
    if kept:
        told = f"the old {old_of(container)}, {kept}: then netdash removes it; u, or netdash undo, brings it back"
        lines += layout.text(MORE, clean(told), width, Tone.WARN)
    planned = formatting.published(container, index_of(host).ports(container.id))
    if planned is not formatting.NOTHING:
        lines += layout.text(MORE, f"would publish {planned.text}", width, Tone.DIM)
    return lines


# --- peers ------------------------------------------------------------------------------------------------------------


def _peers(host: Host, container: Container, width: int) -> list[Line]:
    lines: list[Line] = []
    counts = peer_counts(host, container)
    for name, found in groupby(peers(host, container, MOST_PEERS), key=lambda peer: peer.network):
        lines += _peers_on(name, list(found), counts[name], MORE if lines else PEERS, width)
    return lines


def _peers_on(name: str, found: list[Peer], count: int, label: Span, width: int) -> list[Line]:
    said = [Span(f"on {clean(name)}: ", Tone.DIM)]
    for peer in found:
        said += _peer(peer)
    if count > len(found):
        said.append(Span(f"… and {count - len(found)} more ", Tone.DIM))
    if not any(peer.names for peer in found):
        said.append(Span("(by address only: no names on this network)", Tone.DIM))
    return layout.paragraph(label, said, width)


def _peer(peer: Peer) -> list[Span]:
    names = [name for name in peer.names if name != peer.container and not peer.container_id.startswith(name)]
    aka = f" as {clean(', '.join(names))}" if names else ""
    spans = [Span(f"{clean(peer.container)} ", Tone.KEY, Ref("container", peer.container_id))]
    if peer.ip:
        spans.append(Span(f"{peer.ip} ", Tone.PLAIN, address_ref(peer.ip)))
    if aka:
        spans.append(Span(f"{aka.strip()} ", Tone.DIM))
    if peer.blocked:
        spans.append(Span(f"✗ {clean(peer.blocked)} ", Tone.WARN))
    spans[-1] = Span(f"{spans[-1].text} ", spans[-1].tone, spans[-1].ref)
    return spans


# --- out --------------------------------------------------------------------------------------------------------------

OUT = Span(f" {'OUT':<6}", Tone.TITLE)


def paths_out(host: Host, container: Container, width: int) -> list[Line]:
    lines: list[Line] = []
    for path in outbound(host, container):
        lines += outbound_path(host, path, MORE if lines else OUT, width)
    return lines


def outbound_path(host: Host, path: Outbound, label: Span, width: int) -> list[Line]:
    """One address's way to the Internet; a sentence below where it is not the usual one."""
    unknown = formatting.unknown_yet(host)
    hops = [_source(path, unknown), *_gateway(host, path), *_leaving(path, unknown)]
    lines = layout.path(label, hops, width)
    said = [path.why] if path.why and (path.default is not False or path.leaves is Leaves.INTERNAL) else []
    if path.leaves is Leaves.UNKNOWN and host.pending:
        return [*lines, *layout.text(MORE, "reading…", width, Tone.UNKNOWN)]
    if path.default is False and path.leaves not in (Leaves.INTERNAL, Leaves.NOWHERE):
        said.append(f"not its default route: what it sends from here goes by {path.bridge or 'another network'}")
    elif path.default is None:
        said.append(f"whether this network holds its default route: {unknown.text}")
    tone = Tone.UNKNOWN if path.leaves is Leaves.UNKNOWN else _WHY_TONES.get(path.leaves, Tone.WARN)
    for sentence in said:
        lines += layout.text(MORE, f"{clean(sentence, 200)}", width, tone)
    used = path.default is not False or path.leaves is Leaves.NOWHERE
    if path.trace is not None and used and path.leaves not in _UNTOLD:
        lines += obstacle_lines(obstacle(path.trace), path.trace, "", MORE, width)
    return lines


_UNTOLD = (Leaves.INTERNAL, Leaves.HOST)
_WHY_TONES = {Leaves.HOST: Tone.DIM, Leaves.DIRECT: Tone.DIM, Leaves.INTERNAL: Tone.DIM}


def _source(path: Outbound, unknown: Span) -> Hop:
    network = Span(clean(path.network), Tone.DIM)
    if path.source is None:
        text = Span("the host's own address" if path.leaves is Leaves.HOST else "no address")
        told = (unknown if path.leaves is Leaves.UNKNOWN else text,)
        return Hop(told, (network,), told)
    source = Span(str(path.source), Tone.KEY, address_ref(path.source))
    return Hop((source,), (network,), (source,))


def _gateway(host: Host, path: Outbound) -> list[Hop]:
    if not path.bridge:
        return []
    bridge = Span(clean(path.bridge), Tone.PLAIN, formatting.link_ref(path.bridge))
    under = (Span(str(path.gateway), Tone.DIM, address_ref(path.gateway)),) if path.gateway else ()
    why = formatting.trouble(trouble(index_of(host).link(path.bridge)))
    return [Hop((bridge, *why), under, (bridge, *why))]


def _leaving(path: Outbound, unknown: Span) -> list[Hop]:
    if path.leaves is Leaves.INTERNAL:
        return [Hop((Span("✗ stays inside", Tone.DIM),))]
    if path.leaves is Leaves.NOWHERE:
        return [Hop((Span("✗ no way out", Tone.BAD if path.source else Tone.DIM),))]
    return [*_translation(path, unknown), *_uplink(path), *_next_hop(path.route)]


def _translation(path: Outbound, unknown: Span) -> list[Hop]:
    if path.nat is not None and path.leaves in (Leaves.MASQUERADE, Leaves.SNAT):
        evidence = formatting.rule_evidence([path.nat])
        name = Span(f"{path.leaves.name} ")
        leaves = Span(str(path.leaves_as), Tone.KEY, address_ref(path.leaves_as)) if path.leaves_as else unknown
        return [Hop((name, Span("as "), leaves), evidence, (name, Span("as "), leaves, Span(" "), *evidence))]
    if path.leaves is Leaves.UNTRANSLATED:
        return [Hop((Span("no translation", Tone.WARN),))]
    return [Hop((unknown,))] if path.leaves is Leaves.UNKNOWN else []


def _uplink(path: Outbound) -> list[Hop]:
    if path.uplink is None:
        return []
    name = Span(clean(path.uplink.name), Tone.PLAIN, formatting.link_ref(path.uplink.name))
    family = path.source.version if path.source else 4
    own = [address for address in path.uplink.addresses if address.version == family]
    under = (Span(str(own[0]), Tone.DIM, address_ref(own[0].ip)),) if own else ()
    why = formatting.trouble(trouble(path.uplink))
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


# --- drift ------------------------------------------------------------------------------------------------------------

RULES = Span(f" {'RULES':<6}", Tone.TITLE)
MOST_DRIFT = 4  # lines before it says how many more there are


def of_container(host: Host, container: Container) -> list[Drift]:
    """Its own, and those of its networks."""
    index = index_of(host)
    networks = [network for end in container.endpoints if (network := index.network(end))]
    shared = [drift for network in networks for drift in index.drift_of_network(network.id)]
    return [*index.drift_of_container(container.id), *shared]


def drift_lines(found: Sequence[Drift], label: Span, more: Span, width: int) -> list[Line]:
    """One line each, at most `width` cells wide; the first with `label`, the others with `more`."""
    lines: list[Line] = []
    for drift in found[:MOST_DRIFT]:
        where = Span(
            f"! {drift.kind.value} {clean(drift_place(drift))}: ", TONES.get(drift.kind, Tone.WARN), ref_of(drift)
        )
        lines += layout.paragraph(more if lines else label, [where, Span(clean(drift.why, 200))], width)
    if len(found) > MOST_DRIFT:
        lines += layout.text(more, f"… and {len(found) - MOST_DRIFT} more in the view of drift", width, Tone.DIM)
    return lines
