"""A container's own network namespace: its addresses, routes and listeners, as they were read or, marked as assumed, as
the engine sets them up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network

from netdash.core.model import IP, Container, Endpoint, Host, Link, Listener, Network, Route
from netdash.core.numbers import decimal
from netdash.core.routing import Flow, find
from netdash.core.sockets import device_inside

LOOPBACK_NETS = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass(frozen=True, slots=True, eq=False)
class Namespace:
    """One container that has a network namespace of its own."""

    container: Container
    links: tuple[Link, ...] | None  # None: not read
    routes: tuple[Route, ...]
    assumed: tuple[str, ...]  # sentences
    networks: dict[str, Network]  # by endpoint's network id
    recorded: bool = False  # a recording looks inside each container: what is missing was lost, and is not assumed

    @property
    def name(self) -> str:
        return self.container.name

    @property
    def addresses(self) -> tuple[IP, ...]:
        if self.links is not None:
            return tuple(one.ip for link in self.links for one in link.addresses)
        return tuple(one.ip for end in self.container.endpoints for one in end.addresses)

    def has(self, ip: IP) -> bool:
        return ip in self.addresses or any(ip in net for net in LOOPBACK_NETS if net.version == ip.version)

    def route(self, dst: IP) -> Route | None:
        return find(Flow(dst), self.routes, None).route

    def link(self, device: str | None) -> Link | None:
        return next((one for one in self.links or () if one.name == device), None)

    def endpoint(self, device: str | None) -> Endpoint | None:
        """The attachment behind a device of this namespace."""
        ends = self.container.endpoints
        link = self.link(device)
        if link is not None:
            ips = {one.ip for one in link.addresses}
            for end in ends:
                if (end.mac and end.mac.lower() == link.mac) or any(one.ip in ips for one in end.addresses):
                    return end
        named = [end for end in ends if device == _assumed_device(end)]
        named += [end for end in ends if device in self._on_link(end)]
        return named[0] if named else ends[0] if len(ends) == 1 else None

    def _on_link(self, end: Endpoint) -> set[str | None]:
        """The devices whose own subnet holds an address of this endpoint, by the routes."""
        ips = [one.ip for one in end.addresses]
        return {
            route.dev
            for route in self.routes
            if route.gateway is None and route.dst.prefixlen and any(ip in route.dst for ip in ips)
        }

    def device(self, endpoint: Endpoint) -> str:
        for link in self.links or ():
            if self.endpoint(link.name) is endpoint and link.name != "lo":
                return link.name
        named = [name for name in self._on_link(endpoint) if name and name != _assumed_device(endpoint)]
        return named[0] if len(named) == 1 else _assumed_device(endpoint)

    def source(self, route: Route) -> IP | None:
        """The address that a packet by this route leaves with."""
        if route.prefsrc is not None:
            return route.prefsrc
        link = self.link(route.dev)
        end = self.endpoint(route.dev)
        own = link.addresses if link else end.addresses if end else ()
        mine = [one for one in own if one.version == route.family and not one.ip.is_link_local]
        near = [one for one in mine if route.gateway is not None and route.gateway in one.network]
        return (near or mine)[0].ip if mine else None

    def network(self, endpoint: Endpoint) -> Network | None:
        return self.networks.get(endpoint.network_id) or self.networks.get(endpoint.network)

    def rp_filter(self, device: str) -> int | None:
        """The effective value; None where it was not read: it is what the host's was when the namespace was made."""
        found = dict(self.container.inside.sysctls) if self.container.inside else {}
        values = [found.get(f"net.ipv4.conf.{name}.rp_filter", "") for name in ("all", device)]
        known = [number for value in values if (number := decimal(value)) is not None]
        return max(known) if known else None


class Namespaces:
    """Those of one host, by container and by address."""

    def __init__(self, host: Host) -> None:
        networks = {one.id: one for one in host.networks or ()} | {one.name: one for one in host.networks or ()}
        containers = host.containers or ()
        self._named = {one.name: one for one in containers}
        self._own = {
            one.id: _namespace(one, networks, host) for one in containers if one.running and not one.shares_with
        }
        self._at: dict[IP, list[tuple[Namespace, Endpoint]]] = {}
        self._by_veth: dict[str, tuple[Namespace, Endpoint]] = {}
        for space in self._own.values():
            for end in space.container.endpoints:
                for one in end.addresses:
                    self._at.setdefault(one.ip, []).append((space, end))
                if end.veth:
                    self._by_veth[end.veth] = (space, end)

    def of(self, container: Container) -> Namespace | None:
        """The namespace that it uses; None when it does not run, or uses the host's."""
        seen = {container.id}
        while container.shares_with:
            owner = self._named.get(container.shares_with)
            if owner is None or owner.id in seen:
                return None
            seen.add(owner.id)
            container = owner
        return None if container.network_mode == "host" else self._own.get(container.id)

    def at(self, ip: IP) -> list[tuple[Namespace, Endpoint]]:
        """Who has this address, by the engine's word."""
        return self._at.get(ip, [])

    def behind(self, veth: str) -> tuple[Namespace, Endpoint] | None:
        return self._by_veth.get(veth)


@lru_cache(maxsize=2)  # of the host on screen and of the one that comes
def namespaces_of(host: Host) -> Namespaces:
    return Namespaces(host)


def _namespace(container: Container, networks: dict[str, Network], host: Host) -> Namespace:
    inside = container.inside
    read = inside.routes if inside else None
    assumed = []
    if read is None:
        assumed.append(f"the routes inside {container.name} were not read: taken as the engine sets them up")
    version = host.engine.version if host.engine else ""
    made = tuple(_set_up(container, networks, version))
    routes = made if read is None else (*read, *(one for one in made if one.family == 6))
    links = inside.links if inside else None
    return Namespace(container, links, routes, tuple(assumed), networks, not host.live)


def _set_up(container: Container, networks: dict[str, Network], version: str) -> Iterator[Route]:
    """On-link routes of every endpoint, and the default routes by the one that leads out."""
    for end in container.endpoints:
        for one in end.addresses:
            yield Route(
                one.version, "main", "unicast", one.network, None, _assumed_device(end), one.ip, 0, None, "link"
            )
    leading = sorted(container.endpoints, key=lambda end: (-end.gateway_priority, end.network))
    for family, everything in ((4, ip_network("0.0.0.0/0")), (6, ip_network("::/0"))):
        for end in leading:
            network = networks.get(end.network_id) or networks.get(end.network)
            if network is not None and network.internal and _major(version) >= _NO_DEFAULT_SINCE:
                continue
            gateway = next((one for one in end.gateways if one.version == family), None)
            if gateway is not None:
                yield Route(family, "main", "unicast", everything, gateway, _assumed_device(end), None, 0, None, None)
                break


_NO_DEFAULT_SINCE = 28  # Docker gives containers of internal networks no default route


def _major(version: str) -> int:
    return decimal(version.partition(".")[0]) or 0


def _assumed_device(endpoint: Endpoint) -> str:
    """Stands for the device of an endpoint whose name inside was not read."""
    return f"the device in {endpoint.network}"


def bound_to(heard: Listener) -> str:
    return f"the socket answers only on {heard.device}; by which device the packet comes in is not known"


def arrival(space: Namespace, device: str, dst: IP) -> str | None:
    """The device that a socket inside sees a packet come in by; None where its name was not read."""
    if device == "lo":
        return "lo" if dst.is_loopback else device_inside(space.container, dst)
    return None if any(device == _assumed_device(end) for end in space.container.endpoints) else device
