"""The path card of one container: its packets' ways in and out, hop by hop, each with its evidence."""

from __future__ import annotations

from itertools import groupby

from netdash.join.peers import Peer, peer_counts, peers
from netdash.model.host import Container, Host, Ref
from netdash.model.index import index_of
from netdash.model.kept import old_of
from netdash.model.relations import address_ref, ref_of
from netdash.model.shared_namespace import why_lost
from netdash.view import formatting, layout, unavailable
from netdash.view.drift_lines import RULES, drift_lines, of_container
from netdash.view.inbound import IN, ways_in
from netdash.view.layout import MORE
from netdash.view.outbound import ways_out
from netdash.view.text import Line, Span, Tone, clean

PEERS = Span(f" {'PEERS':<6}", Tone.TITLE)
MOST_PEERS = 12  # of one network; the view of containers lists them all
_SOURCES = ("docker", "rules", "routes", "proxies", "listeners", "links", "sysctls")


def card(host: Host, container: Container, width: int, inwards: bool = True) -> tuple[Line, ...]:
    """Lines of at most `width` cells; 40 and more are readable, from 100 the evidence stands below its hop. `inwards`
    False where the one that matters has been told already."""
    lines = [_head(host, container, width)]
    if container.left_behind:
        lines += layout.text(IN, why_lost(container), width, Tone.BAD)
        lines += layout.text(MORE, f"docker restart {container.name}", width, Tone.GOOD)
    elif container.running:
        lines += ways_in(host, container, width) if inwards else []
        lines += drift_lines(of_container(host, container), RULES, MORE, width)
        lines += ways_out(host, container, width)
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
    for name, found in groupby(peers(host, container, MOST_PEERS), key=lambda one: one.network):
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
