"""IPv6 beside what its packets show: a lost default route, ports that only IPv4 reaches."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from netdash.doctor.candidate import Candidate
from netdash.doctor.checks.parts import KEPT, candidate, of_record, of_sysctl
from netdash.doctor.fixes import sysctl
from netdash.doctor.questions import leads_out
from netdash.model.addresses import socket_text
from netdash.model.finding import Direction, Evidence, Fix, Hit, Severity
from netdash.model.host import IP, Container, Host, Link, Port
from netdash.model.index import index_of

_ANY = IPv4Address(0)
_ALL = "net.ipv6.conf.all.forwarding"


def check_router_advertisements(host: Host) -> Iterator[Candidate]:
    """A host that forwards takes no route from its router's advertisements any more, unless accept_ra is 2."""
    told = host.sysctls or {}
    if told.get(_ALL) != "1" or host.routes is None or "routes: route6" in host.failures:
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
        if told.get(name) == "1" and _of_internet(link):
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
    addresses = [one.ip for one in link.addresses if one.version == 6]
    return outward and any(not one.is_link_local and not one.is_loopback for one in addresses)


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
        (one.proto, one.container_port)
        for one in container.configured
        if one.host_ip is None or one.host_ip.version == 6
    }
    heard = {(one.proto, one.port) for one in host.listeners or () if one.ip.version == 6 or one.dual}
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
    told = {(port.proto, port.host_port) for port in _six(host, container)} & {
        (one.proto, one.host_port) for one in ports
    }
    return candidate(
        "v6-proxy-off",
        Severity.MEDIUM if told else Severity.INFO,
        f"{', '.join(names)} of {container.name} can be reached by IPv4 only: it has no IPv6 address, and the engine "
        f"runs no proxy that leads clients of {own} to it",
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
