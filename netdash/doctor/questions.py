"""The questions of every container: those of its card, and the packets that ought to be answered on a host that works:
of every published port, every way out, every pair of containers that share a network. Asks nothing by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from netdash.join.networks import Peer, peer_counts, peers
from netdash.kernel.routing import entrance, uplink
from netdash.model.finding import Direction, Hit
from netdash.model.host import IP, Container, Endpoint, Host, Network, Port, Route, Scope
from netdash.model.index import index_of, namespace_owner, sharing
from netdash.model.records import dataclass, replace
from netdash.trace import default_questions
from netdash.trace.default_questions import Usual
from netdash.trace.model import Origin, Question

_ALL_PAIRS = 6  # containers of a network: of more, each asks the next one
_TUNNEL = r"(tun|tap|wg|tailscale|ppp|zt|utun|nebula)\w*\d"
_PEER_PORTS = 3  # of one container that the next one asks for


@dataclass(frozen=True, slots=True)
class Asked:
    """`receiver`: id of the container that ought to get the packet; None where it leaves this host. `ought`: an answer
    is owed; `usual`: the card of the container has it, however it fares."""

    question: Question
    hit: Hit
    receiver: str | None = None
    port: Port | None = None
    ought: bool = True
    usual: bool = False


def questions(host: Host) -> Iterator[Asked]:
    """Those of one host, in its own order."""
    for container in host.containers or ():
        if container.running:
            yield from of_container(host, container)
            yield from _beside(host, container)
    for network in host.networks or ():
        yield from _peers(host, network)


def of_container(host: Host, container: Container) -> Iterator[Asked]:
    """What comes in to it by published ports, and what it sends out."""
    yield from _inwards(host, container)
    yield from _outwards(host, container)


# --- of the card ------------------------------------------------------------------------------------------------------


def usuals(host: Host, container: Container) -> list[Usual]:
    """The questions of its card in their order, each port's by itself."""
    ports = [port for port in index_of(host).ports(sharing(host, container).id) if port.live]
    return [
        *(usual for port in ports for usual in default_questions.of_port(host, port)),
        *default_questions.outwards(host, container),
        *_beside_ports(host, container),
    ]


def _beside_ports(host: Host, container: Container) -> Iterator[Usual]:
    names = default_questions.names(host, container)
    if names is not None:
        yield names
    for peer, _ in first_peers(host, container):
        usual = peer_usual(host, container, peer)
        if usual is not None:
            yield usual


def _beside(host: Host, container: Container) -> Iterator[Asked]:
    """Names, and what a container of each network asks of it: nothing of that is owed."""
    for usual in _beside_ports(host, container):
        if usual.about is not None:
            receiver = container.id if usual.about.direction is Direction.PEERS else None
            yield Asked(usual.question, usual.about, receiver, ought=False, usual=True)


def further(host: Host, container: Container) -> Iterator[Asked]:
    """What is owed to it beside the questions of its card."""
    networks = [index_of(host).network(end) for end in container.endpoints]
    for asked in (
        *of_container(host, container),
        *(asked for network in networks if network is not None for asked in _peers(host, network)),
    ):
        if not asked.usual and asked.hit.container == container.id:
            yield asked


def text(host: Host, asked: Question) -> str:
    """198.51.100.1 by eth0 → 203.0.113.2:8080, api → 203.0.113.2:8080."""
    by = f" by {asked.iif}" if asked.iif else ""
    sender = f"{asked.src or default_questions.OUTSIDE_NAME}{by}"
    if asked.origin is not Origin.OUTSIDE:
        sender = index_of(host).name(asked.container) or default_questions.HOST_NAME
    return f"{sender} → {default_questions.end_text(asked.dst, asked.dport, asked.proto)}"


def first_peers(host: Host, container: Container) -> list[tuple[Peer, int]]:
    """One of each network, and how many there are."""
    if not container.running or container.left_behind:
        return []
    counts = peer_counts(host, container)
    found: Sequence[Peer] = peers(host, container, 1)
    if any(_paused(host, peer) for peer in found):  # it asks nothing
        found = sorted(peers(host, container), key=lambda peer: _paused(host, peer))
    first = {peer.network: peer for peer in reversed(found)}
    return [(first[name], count) for name, count in counts.items() if name in first]


def _paused(host: Host, peer: Peer) -> bool:
    return index_of(host).containers[peer.container_id].state == "paused"


def peer_usual(host: Host, container: Container, peer: Peer) -> Usual | None:
    """For the container's first port at its address on the network that both are on."""
    owner = sharing(host, container)
    usual = next(iter(default_questions.between(host, index_of(host).containers[peer.container_id], container)), None)
    ips = [own.ip for end in owner.endpoints if end.network == peer.network for own in end.addresses]
    if usual is None or not ips:
        return None
    asked = replace(usual.question, dst=ips[0])
    text = default_questions.end_text(ips[0], asked.dport, asked.proto)
    return replace(usual, text=f"{peer.container} → {text}", question=asked)


# --- in ---------------------------------------------------------------------------------------------------------------


def _inwards(host: Host, container: Container) -> Iterator[Asked]:
    for port in index_of(host).ports(container.id):
        if port.live:
            ought = not (port.dnat is None and port.proxy is None and _only_internal(host, container))
            hit = Hit(container.id, Direction.IN, f"{port.host_port}/{port.proto}", _network_of(container, port))
            for usual in default_questions.of_port(host, port):
                yield Asked(usual.question, hit, container.id, port, ought, usual=True)
            if not ought:
                continue
            for asked in _by_other_routes(host, port):
                yield Asked(asked, hit, container.id, port)
            for asked in _from_neighbours(host, container, port):
                yield Asked(asked, hit, container.id, port)


def _only_internal(host: Host, container: Container) -> bool:
    """To a container without another network the engine leads no published port."""
    networks = [index_of(host).network(end) for end in container.endpoints]
    return bool(networks) and all(network is not None and network.internal for network in networks)


def _network_of(container: Container, port: Port) -> str:
    ends = (end for end in container.endpoints for own in end.addresses if own.ip == port.target_ip)
    return next((end.network for end in ends), "")


def _by_other_routes(host: Host, port: Port) -> Iterator[Question]:
    """A client to whom a route of its own leads, and whose packet comes in by the default route's device: the answer
    takes another way than the question."""
    device, own = uplink(4, host.links, host.routes)
    if port.scope is Scope.LOOPBACK or port.host_ip.version != 4 or device is None or own is None:
        return
    inner = [net for network in host.networks or () for net in network.subnets if net.version == 4]
    for route in host.routes or ():
        if _is_detour(host, route, device) and not any(net.overlaps(route.dst) for net in inner):
            client = route.dst.network_address + 1
            dst = own if port.host_ip.is_unspecified else port.host_ip
            yield Question(Origin.OUTSIDE, dst, port.proto, port.host_port, src=client, iif=device)


def _is_detour(host: Host, route: Route, device: str) -> bool:
    """A route to others' networks by another wire than the default route. Clients of a tunnel do not come by the
    wire."""
    link = index_of(host).link(route.dev)
    return (
        (route.family, route.table, route.kind) == (4, "main", "unicast")
        and route.gateway is not None
        and 0 < route.dst.prefixlen < 32
        and link is not None
        and link.kind in (None, "veth", "vlan", "bond")
        and not re.match(_TUNNEL, link.name)
        and route.dev != device
    )


def _from_neighbours(host: Host, container: Container, port: Port) -> Iterator[Question]:
    """Another container on the same network asks for the port at this host's address, as it is told to everybody."""
    network = next((end for end in container.endpoints if any(own.ip == port.target_ip for own in end.addresses)), None)
    if network is None or port.scope is Scope.LOOPBACK or port.host_ip.version != 4:
        return
    _, own = entrance(4, host.links, host.routes)
    dst = own if port.host_ip.is_unspecified else port.host_ip
    other = next((other for other in _members(host, network.network_id) if other.id != container.id), None)
    if other is not None and dst is not None:
        yield Question(Origin.CONTAINER, dst, port.proto, port.host_port, container=other.id)


# --- out --------------------------------------------------------------------------------------------------------------


def _outwards(host: Host, container: Container) -> Iterator[Asked]:
    """By every address family; owed is what one of its networks leads out with."""
    owner = sharing(host, container)
    if owner.user_space or container.left_behind:
        return
    for usual in default_questions.outwards(host, container):
        family = usual.question.dst.version
        ends = [end for end in owner.endpoints if leads_out(host, end, family)]
        ought = namespace_owner(container) is None and (bool(ends) or owner.network_mode == "host")
        hit = Hit(container.id, Direction.OUT, network=ends[0].network if ends else "")
        yield Asked(usual.question, hit, ought=ought, usual=True)
        if ought:
            for refused in _refusing(host, family):
                yield Asked(replace(usual.question, dst=refused), hit)


def leads_out(host: Host, end: Endpoint, family: int) -> bool:
    network = index_of(host).network(end)
    mode = "" if network is None else network.gateway_modes[family == 6]
    closed = network is not None and (network.internal or network.driver in ("null", "none") or mode == "isolated")
    translated = network is None or (network.masquerade and mode != "routed")
    reachable = any(gateway.version == family for gateway in end.gateways)
    return not closed and translated and reachable and any(own.version == family for own in end.addresses)


def _refusing(host: Host, family: int) -> Iterator[IP]:
    """An address behind each of the main table's routes that refuse a part of the world."""
    for route in host.routes or ():
        refuses = route.kind in ("blackhole", "unreachable", "prohibit") and route.table == "main"
        if refuses and route.family == family and 0 < route.dst.prefixlen < (32 if family == 4 else 128):
            yield route.dst.network_address + 1


# --- peers ------------------------------------------------------------------------------------------------------------


def _peers(host: Host, network: Network) -> Iterator[Asked]:
    """Each container of a network and the next one, both ways; in a small one all of them."""
    if not network.icc or network.driver not in ("bridge", "overlay", "macvlan", "ipvlan"):
        return
    members = _members(host, network.id)
    if len(members) <= _ALL_PAIRS:
        pairs = [(container, other) for container in members for other in members if container is not other]
    else:
        around = [*members[1:], members[0]]
        pairs = [
            pair
            for container, other in zip(members, around, strict=True)
            for pair in ((container, other), (other, container))
        ]
    for sender, receiver in pairs:
        yield from _between(host, network, sender, receiver)


def _members(host: Host, network_id: str) -> list[Container]:
    return _by_network(host).get(network_id, [])


@lru_cache(maxsize=2)  # of the host that is examined and of the one on which a fix is tried
def _by_network(host: Host) -> dict[str, list[Container]]:
    """The containers that have an address on each network."""
    found: dict[str, list[Container]] = {}
    for container in host.containers or ():
        if container.running and namespace_owner(container) is None:
            for network_id in dict.fromkeys(end.network_id for end in container.endpoints if end.addresses):
                found.setdefault(network_id, []).append(container)
    return found


def _between(host: Host, network: Network, sender: Container, receiver: Container) -> Iterator[Asked]:
    end = next(end for end in receiver.endpoints if end.network_id == network.id)
    hit = Hit(receiver.id, Direction.PEERS, network=network.name)
    usuals = default_questions.between(host, sender, receiver)
    for usual in usuals[:_PEER_PORTS]:
        asked = replace(usual.question, dst=end.addresses[0].ip)
        port = f"{asked.dport}/{asked.proto}" if asked.dport else ""
        if not _only_on_loopback(receiver, asked):
            yield Asked(asked, replace(hit, port=port), receiver.id)


def _only_on_loopback(receiver: Container, asked: Question) -> bool:
    """What a container serves to itself alone is nobody else's."""
    heard = [
        listener
        for listener in receiver.listeners or ()
        if (listener.proto, listener.port) == (asked.proto, asked.dport)
    ]
    return bool(heard) and all(listener.ip.is_loopback for listener in heard)
