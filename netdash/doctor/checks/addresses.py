"""Addresses and MACs that two have; and IPv6 beside what its packets show: a lost default route, ports that only
IPv4 reaches."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from netdash.doctor.candidate import Candidate
from netdash.doctor.checks.parts import KEPT, candidate, names_of, of_container, of_record, of_sysctl
from netdash.doctor.fixes import both, by_hand, given_up, sysctl
from netdash.doctor.questions import leads_out
from netdash.model.addresses import socket_text
from netdash.model.finding import Direction, Evidence, Fix, Hit, Severity
from netdash.model.host import IP, Container, Endpoint, Host, Interface, Link, Port
from netdash.model.index import index_of


def check(host: Host) -> Iterator[Candidate]:
    yield from _added_inside(host)
    yield from _on_this_host(host)
    yield from _same_mac(host)


def _added_inside(host: Host) -> Iterator[Candidate]:
    """A container whose devices have an address that the engine gave to another on the same network."""
    given = _given(host)
    for container in host.containers or ():
        links = container.inside.links if container.inside and container.running else None
        own = {end.network_id for end in container.endpoints}
        for link in links or ():
            for address in link.addresses:
                owner, end = given.get(address.ip, (container, None))
                if owner is container or end is None or end.network_id not in own or owner.shares_with:
                    continue
                yield _twice(host, address, owner, end, container, link.name)


def _given(host: Host) -> dict[IP, tuple[Container, Endpoint]]:
    return {
        own.ip: (container, end)
        for container in host.containers or ()
        if container.running
        for end in container.endpoints
        for own in end.addresses
    }


def _twice(host: Host, address: Interface, owner: Container, end: Endpoint, other: Container, device: str) -> Candidate:
    ip, restart = address.ip, ("docker", "restart", other.name)
    gone = given_up(device, address, f"{other.name} gives the address up until it adds it again", other)
    heard = [
        neighbour
        for neighbour in host.neighbours or ()
        if neighbour.ip == ip and neighbour.mac and neighbour.mac != end.mac
    ]
    return candidate(
        "duplicate-ip",
        Severity.HIGH,
        f"{owner.name} and {other.name} both answer for {ip}: which of them gets a packet changes by chance",
        (Hit(owner.id, Direction.IN, network=end.network), Hit(owner.id, Direction.PEERS, network=end.network)),
        [
            of_container(owner, f"the engine gave it {ip}"),
            of_container(other, f"{device} inside has {ip} as well"),
            *(
                of_record("neighbours", f"{ip} is at {neighbour.mac} on {neighbour.dev}", neighbour)
                for neighbour in heard
            ),
        ],
        *both(gone, by_hand(restart, f"or: {other.name} starts with its own address alone")),
    )


def _on_this_host(host: Host) -> Iterator[Candidate]:
    """An address of a container that a device of this host has too: its packets end here."""
    given = _given(host)
    for link in host.links or ():
        for address in link.addresses:
            if address.ip in given:
                owner, end = given[address.ip]
                yield candidate(
                    "duplicate-ip",
                    Severity.HIGH,
                    f"{link.name} of this host has {address.ip}, which is {owner.name}'s address: "
                    f"packets for {owner.name} end on this host",
                    (Hit(owner.id, Direction.IN, network=end.network),),
                    [of_record(f"device {link.name}", str(address), link), of_container(owner, f"has {address.ip}")],
                    *given_up(link.name, address, "this host gives the address up"),
                )


def _same_mac(host: Host) -> Iterator[Candidate]:
    """Of two on one network the switch sends frames to whoever spoke last."""
    found: dict[tuple[str, str], list[Container]] = {}
    for container in host.containers or ():
        for end in container.endpoints if container.running else ():
            if end.mac and end.network_id and (network := index_of(host).network(end)) and network.driver != "ipvlan":
                found.setdefault((end.network_id, end.mac), []).append(container)
    for (identity, mac), same in found.items():
        if len(same) > 1:
            network = index_of(host).networks.get(identity)
            yield candidate(
                "duplicate-mac",
                Severity.HIGH,
                f"{names_of(same)} have the same MAC on {network.name if network else 'one network'}: "
                "each takes the other's packets",
                [Hit(container.id, Direction.PEERS, network=network.name if network else "") for container in same],
                [Evidence("docker inspect", f"{mac} of {names_of(same)}")],
                [Fix(("docker", "rm", "-f", same[-1].name), "then create it anew without --mac-address")],
            )


_ANY = IPv4Address(0)
_ALL = "net.ipv6.conf.all.forwarding"


def check_router_advertisements(host: Host) -> Iterator[Candidate]:
    """A host that forwards takes no route from its router's advertisements any more, unless accept_ra is 2."""
    sysctls = host.sysctls or {}
    if sysctls.get(_ALL) != "1" or host.routes is None or "routes: route6" in host.failures:
        return
    if any(route.family == 6 and route.default and route.kind == "unicast" for route in host.routes):
        return
    hits = [
        Hit(container.id, Direction.OUT, network=end.network)
        for container in host.containers or ()
        for end in (container.endpoints if container.running else ())
        if leads_out(host, end, 6)
    ]
    for link in host.links or ():
        name = f"net.ipv6.conf.{link.name.replace('.', '/')}.accept_ra"
        if sysctls.get(name) == "1" and _of_internet(link):
            own = next(ip for ip in link.addresses if ip.version == 6 and not ip.ip.is_link_local)
            yield candidate(
                "v6-ra-lost",
                Severity.HIGH,
                f"this host has no IPv6 default route: it forwards IPv6, so it ignores its router's advertisements on "
                f"{link.name}",
                hits or (Hit(None, Direction.OUT),),
                [
                    of_sysctl(_ALL, "1"),
                    of_sysctl(name, "1 (2 takes advertisements also while forwarding)"),
                    of_record(f"device {link.name}", f"{own}, and no default route", link),
                ],
                sysctl(name, "2", "the next advertisement brings the default route back")[0],
            )


def _of_internet(link: Link) -> bool:
    """A device that leads out, with an address that a router gave or that others route to."""
    outward = link.kind not in ("bridge", "tun", "wireguard", "dummy") and link.master is None and link.up
    addresses = [address.ip for address in link.addresses if address.version == 6]
    return outward and any(not ip.is_link_local and not ip.is_loopback for ip in addresses)


def check_published(host: Host) -> Iterator[Candidate]:
    """Ports published for every address that IPv6 clients cannot reach: the container has no IPv6, and no proxy leads
    them to its IPv4 address."""
    own = _own_address(host)
    if own is None or host.ruleset is None or host.listeners is None:
        return
    for container in host.containers or ():
        six = any(own.version == 6 for end in container.endpoints for own in end.addresses)
        ports = _four_only(host, container) if container.running and not six else []
        if ports:
            yield _only_four(host, container, ports, own)


def _own_address(host: Host) -> IP | None:
    """An IPv6 address by which clients elsewhere reach this host."""
    bridges = {network.bridge for network in host.networks or ()}
    for link in host.links or ():
        if link.name not in bridges and _of_internet(link):
            return next(ip.ip for ip in link.addresses if ip.version == 6 and not ip.ip.is_link_local)
    return None


def _four_only(host: Host, container: Container) -> list[Port]:
    """Its ports for every address that IPv4 alone reaches, by a rule as the engine writes it without proxies."""
    wanted = {
        (binding.proto, binding.container_port)
        for binding in container.configured
        if binding.host_ip is None or binding.host_ip.version == 6
    }
    heard = {
        (listener.proto, listener.port)
        for listener in host.listeners or ()
        if listener.ip.version == 6 or listener.dual
    }
    taken = {(port.proto, port.host_port) for port in _six(host, container) if port.dnat is not None or port.proxy}
    return [
        port
        for port in index_of(host).ports(container.id)
        if (port.live and port.dnat is not None and port.proxy is None and port.host_ip == _ANY)
        and not any(match.key == "iif" and match.negated for match in port.dnat.matches)
        and (port.proto, port.container_port) in wanted
        and (port.proto, port.host_port) not in heard | taken
    ]


def _six(host: Host, container: Container) -> list[Port]:
    return [port for port in index_of(host).ports(container.id) if port.host_ip.version == 6 or port.dual]


def _only_four(host: Host, container: Container, ports: list[Port], own: IP) -> Candidate:
    """An alarm where the engine says that it publishes the port on [::] too."""
    names = [f"{port.host_port}/{port.proto}" for port in ports]
    published = {(port.proto, port.host_port) for port in _six(host, container)} & {
        (port.proto, port.host_port) for port in ports
    }
    return candidate(
        "v6-proxy-off",
        Severity.MEDIUM if published else Severity.INFO,
        f"{', '.join(names)} by IPv4 only: {container.name} has no IPv6 address, and the engine runs no proxy that "
        f"leads clients of {own} to it",
        [Hit(container.id, Direction.IN, name) for name in names],
        [
            Evidence("listeners", f"nothing listens on {socket_text(own, ports[0].host_port)}"),
            Evidence("rules", f"no ip6tables rule takes {names[0]}"),
            of_record("ports", socket_text(ports[0].host_ip, ports[0].host_port), ports[0]),
        ],
        [
            Fix(
                ("docker", "network", "create", "--ipv6", "NAME"),
                "with IPv6 on its network the engine translates IPv6 too; or userland-proxy: true in daemon.json",
                KEPT,
            )
        ],
        confidence=0.8,
    )
