"""Where the packets of a container are captured, and which packets are wanted there."""

from __future__ import annotations

from collections.abc import Iterator

from netdash.capture.model import Clause, Plan, Point, Published, Side
from netdash.kernel.routing import uplinks_of
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import IP, Container, Endpoint, Host, Link, Verb
from netdash.model.index import index_of, sharing
from netdash.model.records import dataclass
from netdash.trace.link_layer import DRIVERS

MAX_POINTS = 16
_MAX_EXCLUDED = 48  # ports
_RESERVED = 1024
_EPHEMERAL = 32768  # ip_local_port_range begins there: below it no container's connection gets its source port
_WITH_PORTS = ("tcp", "udp", "sctp")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a container's packets is wanted. `port`: the container's, the host's or the peer's."""

    peer: IP | None = None
    port: int | None = None

    @property
    def peers(self) -> frozenset[IP] | None:
        return None if self.peer is None else frozenset({self.peer})


def plan(host: Host, container: Container, wanted: Wanted) -> Plan:
    """Raises NetdashError where the container's packets are to be seen nowhere by themselves."""
    owner = sharing(host, container)
    _check(container, owner)
    addresses = frozenset(own.ip for end in owner.endpoints for own in end.addresses)
    if not addresses:
        raise NetdashError(f"{container.name} has no address that is known", code=Exit.UNKNOWN)
    published = _published(host, owner, addresses)
    own = frozenset(address.ip for link in host.links or () for address in link.addresses)
    inner = [*_inner(host, owner, wanted, addresses, published), *_peer(host, owner, wanted, addresses, own)]
    clauses = tuple(_outside(host, owner, wanted, addresses, own, published))
    taken = {point.device for point in inner}
    outer = [Point(name, Side.OUTSIDE, "", clauses) for name in _uplinks(host) if name not in taken]
    points = (*inner, *outer)
    if not points:
        raise NetdashError(f"by which device {container.name} is reached is not known", code=Exit.UNKNOWN)
    return Plan(
        owner, container.name, points[:MAX_POINTS], addresses, own, published, tuple(_notes(host, inner, points))
    )


def _check(container: Container, owner: Container) -> None:
    name = container.name
    if not owner.running:
        raise NetdashError(f"{name} is {owner.state}: it has no packets", code=Exit.REFUSED)
    if owner.network_mode == "host":
        what = f"{name} uses the host's own network: its packets are not translated, and there is one side only"
        raise NetdashError(what, "tcpdump -ni any port N", Exit.REFUSED)
    if owner.user_space:
        raise NetdashError(f"{owner.user_space} moves the packets of {name} in user space", code=Exit.REFUSED)
    if owner.network_mode == "none" or not owner.endpoints:
        raise NetdashError(f"{name} is on no network", code=Exit.REFUSED)


def _notes(host: Host, inner: list[Point], points: tuple[Point, ...]) -> Iterator[str]:
    if not inner:
        yield "by which device the container is reached is not known: only the uplinks are captured"
    if host.ports is None:
        yield "the published ports could not be read: an inbound packet is only known by its other side"
    if host.links is None or host.routes is None:
        yield "not all devices are known: there may be more uplinks"
    if len(points) > MAX_POINTS:
        left = ", ".join(point.device for point in points[MAX_POINTS:][:5])
        yield f"only {MAX_POINTS} of {len(points)} devices are captured, without {left}"


# --- the container's side ---------------------------------------------------------------------------------------------


def _inner(
    host: Host, owner: Container, wanted: Wanted, addresses: frozenset[IP], published: tuple[Published, ...]
) -> Iterator[Point]:
    clauses = tuple(_of_container(wanted, addresses, published))
    seen = set()
    for end in owner.endpoints:
        device, side = _device(host, end)
        if device is not None and device not in seen:
            seen.add(device)
            yield Point(device, side, end.network, clauses)


def _device(host: Host, end: Endpoint) -> tuple[str | None, Side]:
    network = index_of(host).network(end)
    if network is not None and network.driver in DRIVERS:
        return network.parent, Side.DIRECT
    return end.veth or index_of(host).bridge(end), Side.CONTAINER


def _of_container(wanted: Wanted, addresses: frozenset[IP], published: tuple[Published, ...]) -> Iterator[Clause]:
    if wanted.port is None:
        yield Clause(addresses, wanted.peers)
        return
    inner = {(other.proto, other.container_port) for other in published if other.host_port == wanted.port}
    ports = {(proto, port) for proto, port in inner if port is not None} | _any(wanted.port)
    yield Clause(addresses, wanted.peers, ports=frozenset(ports))
    yield Clause(addresses, wanted.peers, peer_ports=frozenset(_any(wanted.port)))


def _any(port: int) -> set[tuple[str, int]]:
    return {(proto, port) for proto in _WITH_PORTS}


def _peer(
    host: Host, owner: Container, wanted: Wanted, addresses: frozenset[IP], own: frozenset[IP]
) -> Iterator[Point]:
    """The veth of the container that has the peer's address."""
    for container, end in index_of(host).ends_at(wanted.peer) if wanted.peer is not None else ():
        device, side = _device(host, end)
        if side is Side.CONTAINER and device is not None and end.veth and container is not owner:
            yield Point(device, Side.PEER, end.network, (Clause(wanted.peers, addresses | own),))


# --- the side of other machines ---------------------------------------------------------------------------------------


def _uplinks(host: Host) -> Iterator[str]:
    """Devices that lead to other machines, those with a gateway first."""
    index = index_of(host)
    bridges = {network.bridge for network in host.networks or ()}
    routed = [*uplinks_of(4, host.routes), *uplinks_of(6, host.routes)]
    with_address = [link.name for link in host.links or () if _leads_out(host, link)]
    for name in dict.fromkeys((*routed, *with_address)):
        link = index.link(name)
        if name not in bridges and name not in index.veths and (link is None or link.up):
            yield name


def _leads_out(host: Host, link: Link) -> bool:
    master = index_of(host).link(link.master)
    inside = link.master is not None and (master is None or master.kind != "vrf")
    return not inside and any(not own.ip.is_loopback and not own.ip.is_link_local for own in link.addresses)


def _outside(
    host: Host,
    owner: Container,
    wanted: Wanted,
    addresses: frozenset[IP],
    own: frozenset[IP],
    published: tuple[Published, ...],
) -> Iterator[Clause]:
    yield from _of_container(wanted, addresses, published)  # without NAT its own address is on the wire
    meant = [other for other in published if wanted.port in (None, other.host_port, other.container_port)]
    for host_ip in dict.fromkeys(published.host_ip for published in meant):
        ports = frozenset((published.proto, published.host_port) for published in meant if published.host_ip == host_ip)
        bound = own or None if host_ip.is_unspecified else frozenset({host_ip})
        yield Clause(bound, wanted.peers, ports=ports)
    translated = _translated(host, own)
    if wanted.port is not None:
        ports = frozenset(_any(wanted.port))
        yield Clause(translated, wanted.peers, peer_ports=ports)
        yield Clause(translated, wanted.peers, ports=ports)
    elif not _internal(host, owner):
        yield Clause(translated, wanted.peers, not_ports=_others(host, published))


def _internal(host: Host, owner: Container) -> bool:
    networks = [index_of(host).network(end) for end in owner.endpoints]
    return all(network is not None and network.internal for network in networks)


def _translated(host: Host, own: frozenset[IP]) -> frozenset[IP] | None:
    """The addresses that NAT may give a packet that leaves; None where a rule does not name them."""
    if host.ruleset is None or not own:
        return None
    named = set(own)
    for rule in host.ruleset.rules:
        target = rule.target
        if target.verb is Verb.SNAT and target.address is not None and target.address_to in (None, target.address):
            named.add(target.address)
        elif target.verb is Verb.SNAT or target.cases or target.net is not None:
            return None
    return frozenset(named)


def _others(host: Host, published: tuple[Published, ...]) -> frozenset[tuple[str, int]]:
    """TCP ports at which this host and other containers serve, and from which the container hardly connects: without
    their packets a busy host's uplink is easier to follow."""
    mine = {(other.proto, other.host_port) for other in published}
    served = {
        listener.port for listener in host.listeners or () if listener.proto == "tcp" and listener.port < _RESERVED
    }
    served |= {port.host_port for port in host.ports or () if port.proto == "tcp" and port.host_port < _EPHEMERAL}
    return frozenset(sorted({("tcp", port) for port in served} - mine)[:_MAX_EXCLUDED])


def _published(host: Host, owner: Container, addresses: frozenset[IP]) -> tuple[Published, ...]:
    return tuple(
        Published(port.proto, port.host_ip, port.host_port, port.container_port, port.proxy is not None)
        for port in host.ports or ()
        if port.live and port.proto in _WITH_PORTS and (port.container_id == owner.id or port.target_ip in addresses)
    )
