"""A container's own network namespace: its addresses, routes and listeners, as they were read or, marked as assumed, as
the engine sets them up."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import ip_network

from netdash.kernel.sockets import device_inside
from netdash.model.addresses import only
from netdash.model.host import IP, Container, Endpoint, Host, Link, Listener, Network, Route
from netdash.model.index import namespace_owner, why_lost
from netdash.model.numbers import decimal
from netdash.model.records import dataclass, field, replace
from netdash.trace.hooks import Hooks
from netdash.trace.namespace_state import Inner, lookups_of
from netdash.trace.run import Run

LOOPBACK_NETS = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass(frozen=True, slots=True, eq=False)
class Namespace:
    """One container that has a network namespace of its own."""

    container: Container
    links: tuple[Link, ...] | None  # None: not read
    assumed: tuple[str, ...]  # sentences
    networks: dict[str, Network]  # by endpoint's network id
    host: Host  # on which it is
    recorded: bool = False  # a recording looks inside each container: what is missing was lost, and is not assumed
    _ends: dict[str | None, Endpoint | None] = field(default_factory=dict)  # by device, once it was asked
    _devices: dict[int, str] = field(default_factory=dict)  # by an endpoint's identity
    _net: list[Inner] = field(default_factory=list)  # once it was asked for
    _routes: list[tuple[Route, ...]] = field(default_factory=list)  # once they were asked for

    @property
    def name(self) -> str:
        return self.container.name

    @property
    def routes(self) -> tuple[Route, ...]:
        """As they were read, or as the engine sets them up. Most containers are on nobody's way."""
        if not self._routes:
            self._routes.append(_routes_of(self))
        return self._routes[0]

    @property
    def net(self) -> Inner:
        """Its devices, routes, rules and switches, as a host has them. Made when a walk comes here: most never do."""
        if not self._net:
            self._net.append(_as_host(self, self.host))
        return self._net[0]

    @property
    def hooks(self) -> Hooks | None:
        return lookups_of(self.net).hooks

    def read(self, run: Run) -> None:
        """Says what of it was not read, where a way hangs on that."""
        if self.container.left_behind:
            run.assume(why_lost(self.container))
        for sentence in self.assumed:
            if self.recorded:
                what = f"the routes inside {self.name}"
                run.unread(f"{what} are others", f"{what} were not read")
            else:
                run.assume(sentence)
        if self.links is None and self.recorded:
            what = f"the devices inside {self.name}"
            run.unread(f"{what} are down or have other addresses", f"{what} were not read")

    @property
    def addresses(self) -> tuple[IP, ...]:
        if self.links is not None:
            return tuple(address.ip for link in self.links for address in link.addresses)
        return tuple(address.ip for end in self.container.endpoints for address in end.addresses)

    def link(self, device: str | None) -> Link | None:
        return next((link for link in self.links or () if link.name == device), None)

    def endpoint(self, device: str | None) -> Endpoint | None:
        """The attachment behind a device of this namespace."""
        if device not in self._ends:
            self._ends[device] = self._attached(device)
        return self._ends[device]

    def _attached(self, device: str | None) -> Endpoint | None:
        ends = self.container.endpoints
        link = self.link(device)
        if link is not None:
            ips = {address.ip for address in link.addresses}
            for end in ends:
                if (end.mac and end.mac.lower() == link.mac) or any(address.ip in ips for address in end.addresses):
                    return end
            if link.addresses and (link.mac is not None or len(ends) != 1):
                return None  # a device that the engine did not make
        named = [end for end in ends if device == _assumed_device(end)]
        named += [end for end in ends if device in self._on_link(end)]
        return named[0] if named else ends[0] if len(ends) == 1 else None

    def _on_link(self, end: Endpoint) -> set[str | None]:
        """The devices whose own subnet holds an address of this endpoint, by the routes."""
        ips = [address.ip for address in end.addresses]
        return {
            route.dev
            for route in self.routes
            if route.gateway is None and route.dst.prefixlen and any(ip in route.dst for ip in ips)
        }

    def device(self, endpoint: Endpoint) -> str:
        """The device of this namespace at an attachment of its container."""
        known = self._devices.get(id(endpoint))
        if known is None:
            known = self._devices[id(endpoint)] = self._device(endpoint)
        return known

    def _device(self, endpoint: Endpoint) -> str:
        for link in self.links or ():
            if self.endpoint(link.name) is endpoint and link.name != "lo":
                return link.name
        named = [name for name in self._on_link(endpoint) if name and name != _assumed_device(endpoint)]
        return named[0] if len(named) == 1 else _assumed_device(endpoint)

    def network(self, endpoint: Endpoint) -> Network | None:
        return self.networks.get(endpoint.network_id) or self.networks.get(endpoint.network)


class Namespaces:
    """Those of one host, by container and by address."""

    def __init__(self, host: Host) -> None:
        networks = {network.id: network for network in host.networks or ()} | {
            network.name: network for network in host.networks or ()
        }
        containers = host.containers or ()
        self._named = {container.name: container for container in containers}
        self._by_id = {container.id: container for container in containers}
        self._own = {
            container.id: _namespace(container, networks, host)
            for container in containers
            if container.running and (not container.shares_with or container.left_behind)
        }
        self._at: dict[IP, list[tuple[Namespace, Endpoint]]] = {}
        self._by_veth: dict[str, tuple[Namespace, Endpoint]] = {}
        for space in self._own.values():
            for ip, end in _answers(space):
                self._at.setdefault(ip, []).append((space, end))
            for end in space.container.endpoints:
                if end.veth:
                    self._by_veth[end.veth] = (space, end)

    def container(self, identity: str | None) -> Container | None:
        return self._by_id.get(identity or "")

    def of(self, container: Container) -> Namespace | None:
        """The namespace that it uses; None when it does not run, or uses the host's."""
        seen = {container.id}
        while container.shares_with and not container.left_behind:
            owner = self._named.get(container.shares_with)
            if owner is None or owner.id in seen:
                return None
            seen.add(owner.id)
            container = owner
        return None if container.network_mode == "host" else self._own.get(container.id)

    def at(self, ip: IP) -> list[tuple[Namespace, Endpoint]]:
        """Who has this address: by what was read inside, else by the engine's word."""
        return self._at.get(ip, [])

    def all(self) -> Iterable[Namespace]:
        return self._own.values()

    def behind(self, veth: str) -> tuple[Namespace, Endpoint] | None:
        return self._by_veth.get(veth)


@lru_cache(maxsize=2)  # of the host on screen and of the one that comes
def namespaces_of(host: Host) -> Namespaces:
    return Namespaces(host)


def _answers(space: Namespace) -> Iterator[tuple[IP, Endpoint]]:
    """The addresses that the container answers for on each of its networks: of IPv4 any that it has (arp_process), of
    IPv6 those of that very device (ndisc_recv_ns)."""
    if space.links is None:
        for end in space.container.endpoints:
            yield from ((address.ip, end) for address in end.addresses)
        return
    for link in space.links:
        attached = space.endpoint(link.name) if link.name != "lo" else None
        if attached is None:
            continue
        for other in space.links:
            for value in other.addresses:
                if (value.version == 4 and not value.ip.is_loopback) or other is link:
                    yield value.ip, attached


def _namespace(container: Container, networks: dict[str, Network], host: Host) -> Namespace:
    inside = container.inside
    assumed = []
    if inside is None or inside.routes is None:
        assumed.append(f"the routes inside {container.name} were not read: taken as the engine sets them up")
    return Namespace(container, inside.links if inside else None, tuple(assumed), networks, host, not host.live)


def _routes_of(space: Namespace) -> tuple[Route, ...]:
    inside = space.container.inside
    read = inside.routes if inside else None
    made = tuple(_set_up(space.container, space.networks, space.host.engine.version if space.host.engine else ""))
    return made if read is None else (*read, *_missing(read, made, space.links))


def _missing(read: tuple[Route, ...], made: tuple[Route, ...], links: tuple[Link, ...] | None) -> Iterator[Route]:
    """The IPv6 routes of the engine's making, where only those of IPv4 were read, for devices that still have their
    addresses."""
    if any(route.family == 6 for route in read):
        return
    own = None if links is None else [address for link in links for address in link.addresses]
    for route in made:
        if route.family != 6:
            continue
        through = route.gateway or route.prefsrc
        if own is None or any(through in address.network for address in own if address.version == 6):
            yield route


def _as_host(space: Namespace, host: Host) -> Inner:
    """The namespace as a walk meets it. Of switches that were not read the host's own `all` and `default` hold: IPv4's
    are handed down when a namespace is made (devinet_init_net)."""
    inside = space.container.inside
    sharing = _sharing(host).get(space.name, ())
    listeners = space.container.listeners
    if listeners is not None:
        more = (listener for container in sharing for listener in container.listeners or ())
        listeners = tuple(dict.fromkeys((*listeners, *more)))
    links = space.links if space.links is not None else tuple(_links(space))
    names = {_assumed_device(end): space.device(end) for end in space.container.endpoints}
    routes = tuple(replace(route, dev=names[route.dev]) if route.dev in names else route for route in space.routes)
    if not any(route.table == "local" for route in routes):
        routes = (*routes, *local_routes(links))
    return Inner(
        name=space.name,
        taken=host.taken,
        live=False,
        engine=None,
        containers=(),
        networks=(),
        links=links,
        routes=routes,
        policy=inside.policy if inside else None,
        neighbours=inside.neighbours if inside else None,
        ruleset=inside.ruleset if inside else None,
        proxies=(),
        listeners=listeners,
        ports=None,
        sysctls=ChainMap(dict(inside.sysctls) if inside else {}, _handed_down(host)),
        privileged=None,
    )


@lru_cache(maxsize=2)
def _sharing(host: Host) -> dict[str, list[Container]]:
    """The containers that use another's namespace, by its owner's name."""
    found: dict[str, list[Container]] = {}
    for container in host.containers or ():
        owner = namespace_owner(container)
        if owner:
            found.setdefault(owner, []).append(container)
    return found


@lru_cache(maxsize=2)
def _handed_down(host: Host) -> dict[str, str]:
    found = {}
    for name, value in (host.sysctls or {}).items():
        if name.startswith(("net.ipv4.conf.all.", "net.ipv4.conf.default.")) and not name.endswith(".rp_filter"):
            found[name] = value
    return found


def _links(space: Namespace) -> Iterator[Link]:
    """The devices that the engine sets up, where they were not read."""
    yield Link(1, "lo", None, True, "UNKNOWN", None, None, None, None, None, ())
    for index, end in enumerate(space.container.endpoints):
        name = space.device(end)
        yield Link(index + 2, name, "veth", True, "UP", None, end.mac, None, None, None, end.addresses)


def local_routes(links: tuple[Link, ...]) -> Iterator[Route]:
    """The local table, which /proc does not show, and the links of link-local addresses: the kernel makes them of the
    addresses (fib_add_ifaddr, addrconf_add_linklocal)."""
    for family, net in ((4, LOOPBACK_NETS[0]), (6, LOOPBACK_NETS[1])):
        yield Route(family, "local", "local", net, None, "lo", None, 0, "kernel", "host")
    for link in links:
        for address in link.addresses:
            if link.name == "lo" and address.ip.is_loopback:
                continue
            yield Route(
                address.version, "local", "local", only(address.ip), None, link.name, address.ip, 0, "kernel", "host"
            )
            if address.version == 6 and address.ip.is_link_local:
                yield Route(6, "main", "unicast", address.network, None, link.name, address.ip, 256, "kernel", "link")
            if address.version == 4 and address.network.prefixlen < 31:
                wide = only(address.network.broadcast_address)
                yield Route(4, "local", "broadcast", wide, None, link.name, address.ip, 0, "kernel", "link")


def set_up_routes(host: Host, container: Container, devices: Sequence[str]) -> Iterator[Route]:
    """The routes that the engine gives to a new namespace, whose devices have these names, an endpoint each."""
    networks = {network.id: network for network in host.networks or ()} | {
        network.name: network for network in host.networks or ()
    }
    names = {_assumed_device(end): name for end, name in zip(container.endpoints, devices, strict=True)}
    for route in _set_up(container, networks, host.engine.version if host.engine else ""):
        yield replace(route, dev=names.get(route.dev or "", route.dev))


def _set_up(container: Container, networks: dict[str, Network], version: str) -> Iterator[Route]:
    """On-link routes of every endpoint, and the default routes by the one that leads out."""
    for end in container.endpoints:
        for address in end.addresses:
            yield Route(
                address.version,
                "main",
                "unicast",
                address.network,
                None,
                _assumed_device(end),
                address.ip,
                0,
                None,
                "link",
            )
    leading = sorted(container.endpoints, key=lambda end: (-end.gateway_priority, end.network))
    for family, everything in ((4, ip_network("0.0.0.0/0")), (6, ip_network("::/0"))):
        for end in leading:
            network = networks.get(end.network_id) or networks.get(end.network)
            if network is not None and network.internal and _major(version) >= _NO_DEFAULT_SINCE:
                continue
            gateway = next((gateway for gateway in end.gateways if gateway.version == family), None)
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
