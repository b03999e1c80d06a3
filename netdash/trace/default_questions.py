"""The packets that one asks of first: in to a published port, out of a container, from one container to another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from netdash.kernel.routing import OUTSIDE, entrance
from netdash.model.addresses import socket_text
from netdash.model.finding import Direction, Hit
from netdash.model.host import IP, Container, Endpoint, Host, Port, Scope
from netdash.model.index import sharing
from netdash.model.packet import Flow
from netdash.model.records import dataclass, replace
from netdash.model.source import Source
from netdash.trace.model import Origin, Question

_ENTRANCE = (Source.LINKS, Source.ROUTES)
_ANY: dict[int, IP] = {4: IPv4Address(0), 6: IPv6Address(0)}
_LOOPBACK = {4: ip_address("127.0.0.1"), 6: ip_address("::1")}
_DNS = ip_address("127.0.0.11")  # the engine's resolver, in every container of a user-defined network
_WEB = 443
_NAMES = 53
OUTSIDE_NAME, HOST_NAME = "outside", "this host"


@dataclass(frozen=True, slots=True)
class Usual:
    """A question and how people would say it: "outside → 203.0.113.2:8080". While the host's devices or routes are
    being read, what comes in from outside for every address is asked of the unspecified one. `about`: whose question it
    is; `port`: the published port that is asked for."""

    text: str
    question: Question
    about: Hit | None = None
    port: Port | None = None

    def follows(self, before: Usual) -> bool:
        """Whether it is the same packet of another host, whose address may not have been known before."""
        one, other = self.question, before.question
        if other.dst.is_unspecified:
            one = replace(one, dst=other.dst) if one.dst.version == other.dst.version else one
        return one == other


def of_port(host: Host, port: Port) -> tuple[Usual, ...]:
    """From outside, where the port is bound to more than loopback, and from this host."""
    return tuple(_of_port(host, port))


def _of_port(host: Host, port: Port) -> Iterator[Usual]:
    for family in (4, 6) if port.dual else (port.host_ip.version,):
        yield from _by_family(host, port, family)


def _by_family(host: Host, port: Port, family: int) -> Iterator[Usual]:
    if port.scope is not Scope.LOOPBACK:
        ip: IP | None = port.host_ip
        if port.host_ip.is_unspecified:
            ip = _entered_at(host, family)
            if ip is None and not host.pending.isdisjoint(_ENTRANCE):
                ip = _ANY[family]  # which one it is, is being read
        if ip is not None:
            yield _inwards(OUTSIDE_NAME, Origin.OUTSIDE, ip, port, OUTSIDE[family])
    local = _LOOPBACK[family] if port.host_ip.is_unspecified else port.host_ip
    yield _inwards(HOST_NAME, Origin.HOST, local, port, None)


@lru_cache(maxsize=4)  # both families of the host on screen and of the one that comes
def _entered_at(host: Host, family: int) -> IP | None:
    """The host's own address where packets from outside come in."""
    return entrance(family, host.links, host.routes)[1]


def _inwards(sender: str, origin: Origin, dst: IP, port: Port, src: IP | None) -> Usual:
    asked = Question(origin, dst, port.proto, port.host_port, src=src)
    about = Hit(port.container_id, Direction.IN, f"{port.host_port}/{port.proto}")
    return Usual(f"{sender} → {end_text(dst, port.host_port, port.proto)}", asked, about, port)


def end_text(dst: IP, port: int | None, proto: str) -> str:
    """203.0.113.2:8080, [2001:db8::2]:53/udp, 192.0.2.1 icmp."""
    return socket_text(dst, port) + ("" if proto == "tcp" else f"/{proto}" if port is not None else f" {proto}")


def of_flow(flow: Flow) -> tuple[Usual, ...]:
    """What would become of its first packet, sent again by itself, and by another port of the same client."""
    client, asked, proto = flow.client, flow.asked, flow.entry.proto
    if asked.ip is None or client.ip is None or proto not in ("tcp", "udp", "icmp"):
        return ()
    origin = Origin.CONTAINER if client.container else Origin.HOST if client.here else Origin.OUTSIDE
    new = Question(origin, asked.ip, proto, asked.port, src=client.ip, container=client.container)
    text = f"{client.ip} → {end_text(asked.ip, asked.port, proto)}"
    if client.port is None:
        return (Usual(text, new),)
    return (
        Usual(f"as it is now: {text}", replace(new, sport=client.port)),
        Usual(f"as a new one: {text}", new),
    )


def outwards(host: Host, container: Container) -> tuple[Usual, ...]:
    """To a web server on the Internet, by each address family that the container has."""
    if not container.running:
        return ()
    owner = sharing(host, container)
    families = {address.version for end in owner.endpoints for address in end.addresses}
    if owner.network_mode == "host":
        families = {4}
    return tuple(
        Usual(
            f"{container.name} → Internet{' by IPv6' if family == 6 else ''}",
            out(container, None, family),
            Hit(container.id, Direction.OUT),
        )
        for family in sorted(families)
    )


def names(host: Host, container: Container) -> Usual | None:
    """To the first server of its resolv.conf; None where that is not known, or names none."""
    inside = sharing(host, container).inside
    servers = inside.resolver.servers if inside is not None and inside.resolver is not None else ()
    if not servers or not container.running:
        return None
    asked = Question(Origin.CONTAINER, servers[0], "udp", _NAMES, container=container.id)
    about = Hit(container.id, Direction.NAMES)
    return Usual(f"{container.name} → {end_text(servers[0], _NAMES, 'udp')}", asked, about)


def out(container: Container, source: IP | None, family: int) -> Question:
    """To a web server on the Internet, from one of its addresses, or (None) from the one that its routes choose."""
    return Question(Origin.CONTAINER, OUTSIDE[family], "tcp", _WEB, src=source, container=container.id)


def between(host: Host, sender: Container, receiver: Container) -> tuple[Usual, ...]:
    """To every port on which the receiver listens, or that it publishes or exposes where that is not known; without
    any, a ping. Asked of the address on a network that both are on, else of the first."""
    address = _address(sharing(host, sender), sharing(host, receiver))
    if address is None:
        return ()
    asked = [(proto, port) for proto, port in _ports(host, receiver)] or [("icmp", None)]
    return tuple(
        Usual(
            f"{sender.name} → {receiver.name} {end_text(address, port, proto)}",
            Question(Origin.CONTAINER, address, proto, port, container=sender.id),
            Hit(receiver.id, Direction.PEERS),
        )
        for proto, port in asked
    )


def _address(sender: Container, receiver: Container) -> IP | None:
    shared = {end.network_id for end in sender.endpoints}
    ends = sorted(receiver.endpoints, key=lambda end: end.network_id not in shared)
    return next(iter(_addresses(ends)), None)


def _addresses(ends: Iterable[Endpoint]) -> Iterator[IP]:
    for end in ends:
        for address in end.addresses:
            yield address.ip


def _ports(host: Host, container: Container) -> list[tuple[str, int | None]]:
    heard = sharing(host, container).listeners
    if heard is not None:
        found = {(listener.proto, listener.port) for listener in heard if listener.ip != _DNS}
    else:
        published = {(binding.proto, binding.container_port) for binding in container.bindings}
        found = published | {(proto, port) for port, proto in container.exposed}
    return [*sorted(found)]
