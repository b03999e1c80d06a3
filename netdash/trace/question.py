"""The words of `netdash trace FROM TO` -> a Question. Names are resolved as the sender would resolve them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address

from netdash.kernel.routing import OUTSIDE, entrance
from netdash.model.addresses import LOOPBACK, address
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import IP, Container, Endpoint, Host
from netdash.model.index import called, find_container
from netdash.model.numbers import port_number
from netdash.model.source import Source
from netdash.trace.container_namespace import namespaces_of
from netdash.trace.model import Origin, Question

_WITH_PORTS = ("tcp", "udp", "sctp", "dccp", "udplite")
DEFAULT_BRIDGE = "bridge"  # the network on which Docker resolves no names


class Asked:
    """What was asked beside the two ends; checked."""

    def __init__(
        self,
        proto: str = "tcp",
        sport: int | None = None,
        mark: int = 0,
        iif: str | None = None,
        family: int = 4,
        size: int | None = None,
    ) -> None:
        self.proto = proto.lower()
        self.sport = sport
        self.mark = mark
        self.iif = iif
        self.family = family
        self.size = size


def question(host: Host, sender: str, target: str, asked: Asked) -> tuple[Question, tuple[str, ...]]:
    """(the question, sentences on how its words were understood). Raises NetdashError(USAGE) for what is no end of a
    way, and NetdashError(FINDINGS) for a name that the sender cannot resolve."""
    origin, container, src = _sender(host, sender)
    name, port = _split(target)
    if port is None and asked.proto in _WITH_PORTS:
        raise NetdashError(f"{target!r} names no port", f"{target}:80, or --proto icmp", Exit.USAGE)
    if asked.iif is not None and origin is not Origin.OUTSIDE:
        raise NetdashError("--iif is the device that a packet from outside comes in by", "FROM outside", Exit.USAGE)
    if asked.iif == "lo":
        raise NetdashError("nothing from outside comes in by lo", "FROM host", Exit.USAGE)
    if asked.size is not None and asked.proto not in ("udp", "icmp"):
        raise NetdashError("--size is for udp and icmp", "of TCP each end chooses what fits its device", Exit.USAGE)
    notes: list[str] = []
    dst = _address(host, container, origin, name, asked, notes)
    if src is not None and src.version != dst.version:
        raise NetdashError(f"{src} and {dst} are of two families", "", Exit.USAGE)
    port = port if asked.proto in _WITH_PORTS else None
    sender_id = container.id if container else None
    uid = 0 if origin is Origin.HOST else None
    if uid is not None and _asks_for_users(host):
        notes.append("root sends it: other users may be treated otherwise")
    wanted = Question(
        origin, dst, asked.proto, port, asked.sport, src, asked.iif, asked.mark, sender_id, uid, asked.size
    )
    return wanted, tuple(notes)


def _asks_for_users(host: Host) -> bool:
    """Whether the rules of routing or of the packet filter look at who sends."""
    rules = host.ruleset.rules if host.ruleset is not None else ()
    return any(key == "uidrange" for rule in host.policy or () for key, _ in rule.selectors) or any(
        match.key == "uid" for rule in rules for match in rule.matches
    )


def _sender(host: Host, text: str) -> tuple[Origin, Container | None, IP | None]:
    word, at, rest = text.partition("@")
    src = _unmapped(address(rest)) if at else None
    if at and src is None:
        raise NetdashError(f"{rest!r} is no address", "outside@192.0.2.10", Exit.USAGE)
    if word == "outside":
        return Origin.OUTSIDE, None, src
    if word == "host":
        return Origin.HOST, None, src
    return Origin.CONTAINER, _container(host, word), src


def _container(host: Host, word: str) -> Container:
    return find_container(host, word, "FROM is host, outside, outside@IP or a container", ("host", "outside"))


def _split(text: str) -> tuple[str, int | None]:
    """(name or address, port): IP, IP:PORT, [IP6]:PORT, NAME:PORT, :PORT."""
    if address(text.strip("[]")) is not None:
        return text.strip("[]"), None
    name, colon, port = text.rpartition(":")
    if not colon:
        return text, None
    number = port_number(port)
    if number is None:
        raise NetdashError(f"{port!r} is not a port", "1 to 65535", Exit.USAGE)
    return name.strip("[]"), number


def _address(host: Host, sender: Container | None, origin: Origin, name: str, asked: Asked, notes: list[str]) -> IP:
    literal = _unmapped(address(name))
    if literal is not None and literal.is_unspecified:
        return _itself(literal, origin, notes)
    if literal is not None:
        return literal
    if name == "localhost" or (name in ("", "host") and origin is Origin.HOST):
        return LOOPBACK[asked.family]
    if name in ("", "host"):
        return _own(host, asked, notes)
    if name == "outside":
        return OUTSIDE[asked.family]
    found = list(_resolved(host, sender, name)) if sender is not None else list(_by_name(host, name))
    found = [ip for ip in found if ip.version == asked.family] or found
    if not found:
        raise _unresolved(host, sender, name)
    if sender is None:
        notes.append(f"{name} is taken for its address {found[0]}: only containers resolve the names of containers")
    elif len(found) > 1:
        notes.append(f"{name} has {len(found)} addresses: {found[0]} is taken")
    return found[0]


def _unmapped(ip: IP | None) -> IP | None:
    """An IPv4 address in IPv6 notation: a socket that is asked for it sends IPv4 (tcp_v6_connect)."""
    return (isinstance(ip, IPv6Address) and ip.ipv4_mapped) or ip


def _itself(ip: IP, origin: Origin, notes: list[str]) -> IP:
    """To connect to 0.0.0.0 or :: is to connect to loopback (ip_route_output_key_hash_rcu, tcp_v6_connect)."""
    if origin is Origin.OUTSIDE:
        raise NetdashError(f"a packet to {ip} does not leave its sender", "give an address of this host", Exit.USAGE)
    notes.append(f"a connection to {ip} is one to {LOOPBACK[ip.version]} of the sender")
    return LOOPBACK[ip.version]


def _own(host: Host, asked: Asked, notes: list[str]) -> IP:
    """Whatever address the host has where packets from outside come in."""
    ip = entrance(asked.family, host.links, host.routes)[1]
    if asked.iif is not None:
        link = next((link for link in host.links or () if link.name == asked.iif), None)
        ip = next((other.ip for other in (link.addresses if link else ()) if other.version == asked.family), ip)
    if ip is None:
        unread = host.failures.get(Source.LINKS) or host.failures.get(Source.ROUTES)
        if unread is not None:
            raise NetdashError(f"this host's addresses are not known: {unread.reason}", unread.remedy, Exit.UNKNOWN)
        raise NetdashError("which address this host has outside is not known", "give the address", Exit.USAGE)
    notes.append(f"{ip} is this host's address")
    return ip


def _resolved(host: Host, sender: Container, name: str) -> Iterator[IP]:
    """The addresses that the engine's DNS gives this sender: names on the networks it is on, and its links."""
    space = namespaces_of(host).of(sender)
    mine = space.container if space is not None else sender
    linked = {alias: target for end in mine.endpoints for target, alias in end.links}
    networks = {end.network_id for end in mine.endpoints if end.network != DEFAULT_BRIDGE}
    for other in host.containers or ():
        for end in other.endpoints:
            if end.network_id in networks and name in (*end.names, other.name, other.id[:12]) and other.running:
                yield from (address.ip for address in end.addresses)
    target = next((container for container in host.containers or () if container.name == linked.get(name)), None)
    shared = {end.network_id for end in mine.endpoints}
    for end in target.endpoints if target else ():
        if end.network_id in shared:
            yield from (address.ip for address in end.addresses)
    if name in (mine.name, mine.id[:12]):
        yield from (address.ip for end in mine.endpoints for address in end.addresses)


def _by_name(host: Host, name: str) -> Iterator[IP]:
    """Of a container, or of all of a Compose service. A number alone may be meant as a port, and stands for no id."""
    found = called(host.containers or (), name)
    meant = found if len(found) == 1 and (found[0].name == name or not port_number(name)) else []
    for container in host.containers or ():
        if container in meant or container.service == name:
            leading = sorted(container.endpoints, key=_leading)
            yield from (address.ip for end in leading for address in end.addresses)


def _leading(end: Endpoint) -> tuple[int, str]:
    return -end.gateway_priority, end.network


def _unresolved(host: Host, sender: Container | None, name: str) -> NetdashError:
    ips = list(_by_name(host, name))
    if sender is None or not ips:
        return NetdashError(
            f"{name!r} is neither an address nor a container", "TO is IP:PORT, NAME:PORT, :PORT", Exit.USAGE
        )
    alone = all(end.network == DEFAULT_BRIDGE for end in sender.endpoints)
    why = "on the default bridge no names are resolved" if alone else "they share no network"
    return NetdashError(f"{sender.name} cannot resolve {name}: {why}", f"by address: {ips[0]}", Exit.FINDINGS)
