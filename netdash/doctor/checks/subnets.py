"""Subnets of the engine's networks: what they take from others, and what is left of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network

from netdash.change.model import NetworkRemoval, RouteChange
from netdash.doctor.candidate import Candidate
from netdash.doctor.checks.parts import KEPT, candidate, hits_of, members, names_of, of_record
from netdash.doctor.fixes import Fixed, both, by_hand, disconnect, remove_network
from netdash.kernel.conntrack_entries import unzoned
from netdash.model.addresses import subnet as net_of
from netdash.model.finding import Direction, Evidence, Fix, Hit, Lasts, Severity
from netdash.model.host import IP, Container, Host, Neighbour, Net, Network, Route
from netdash.model.index import index_of
from netdash.model.numbers import decimal
from netdash.trace.default_questions import out

_DEFAULT = "bridge"
_LOCAL = ("bridge", "macvlan", "ipvlan")
_PRIVATE = tuple(
    net
    for base in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16")
    if (net := net_of(base))
)
_BUILT_IN = tuple(
    (net, size)
    for base, size in (*((f"172.{second}.0.0/16", 16) for second in range(17, 32)), ("192.168.0.0/16", 20))
    if (net := net_of(base))
)
"""Docker's default address pools (libnetwork/ipamutils)."""
_ON_LINK_ONLY = 28  # the first engine whose choice of a subnet looks at routes without a gateway alone
_MANY = 4096  # subnets of one pool that are looked at


# --- overlaps ---------------------------------------------------------------------------------------------------------


def check_overlaps(host: Host) -> Iterator[Candidate]:
    for network in host.networks or ():
        if network.driver == "bridge" and network.bridge and host.routes is not None:
            for subnet in network.subnets:
                yield from _overlap(host, network, subnet)


def _overlap(host: Host, network: Network, subnet: Net) -> Iterator[Candidate]:
    routes = list(_others_routes(host, network, subnet))
    if routes:
        yield _taken_by_route(host, network, subnet, routes)
    lost = list(_lost(host, network, subnet))
    if lost:
        yield _takes_others(host, network, subnet, lost)


def _taken_by_route(host: Host, network: Network, subnet: Net, routes: list[Route]) -> Candidate:
    """The narrower route wins: what is for these addresses leaves by it, a container's too."""
    gone = [
        container
        for container in members(host, network)
        if any(ip in route.dst for ip in _ips(container) for route in routes)
    ]
    ways = ", ".join(dict.fromkeys(f"{route.dst} dev {route.dev}" for route in routes))
    hit = f"{names_of(gone)} cannot be reached" if gone else "containers that get an address there cannot be reached"
    return candidate(
        "subnet-overlap-lan",
        Severity.CRITICAL if gone else Severity.MEDIUM,
        f"the subnet {subnet} of network {network.name} overlaps with a route of another network ({ways}): {hit}, "
        "because the route wins",
        [*hits_of(gone, Direction.IN, network.name), *hits_of(gone, Direction.OUT, network.name)],
        [
            of_record(f"network {network.name}", f"subnet {subnet} on {network.bridge}", network),
            *(
                of_record(f"route table {route.table}", f"{route.dst} dev {route.dev or '-'}", route)
                for route in routes
            ),
        ],
        [
            *(
                Fix(
                    ("ip", "route", "del", str(route.dst), "dev", route.dev or ""),
                    "its packets go to the bridge again; who set the route (a VPN?) may set it again",
                    (Lasts.ENGINE, Lasts.FIREWALL),
                )
                for route in routes
            ),
            *_renumber(host, network)[0],
        ],
        tuple(
            RouteChange(False, route.family, route.dst, route.gateway, route.dev, table=route.table) for route in routes
        ),
        tuple(out(container, None, subnet.version) for container in gone),
    )


def _ips(container: Container) -> list[IP]:
    return [own.ip for end in container.endpoints for own in end.addresses]


def _takes_others(host: Host, network: Network, subnet: Net, lost: list[tuple[IP, str, str]]) -> Candidate:
    elsewhere = ", ".join(dict.fromkeys(str(ip) for ip, _, _ in lost))
    nameless = _asking_only(host, {ip for ip, _, _ in lost})
    return candidate(
        "subnet-overlap-lan",
        Severity.CRITICAL,
        f"network {network.name} hides {subnet} beyond this host: {elsewhere} is looked for on {network.bridge}",
        (
            Hit(None, Direction.OUT, network=network.name),
            *hits_of(members(host, network), Direction.OUT, network.name),
            *hits_of(nameless, Direction.NAMES, network.name),
        ),
        [
            of_record(f"network {network.name}", f"subnet {subnet} on {network.bridge}", network),
            *(Evidence(source, text) for _, source, text in lost),
        ],
        *_renumber(host, network),
    )


def _renumber(host: Host, network: Network) -> Fixed:
    if network.name == _DEFAULT:
        restart = ("systemctl", "restart", "docker")
        return by_hand(restart, 'first set "bip" in /etc/docker/daemon.json to a range that nobody uses', KEPT)
    leave = (
        disconnect(
            network, container, f"{container.name} leaves {network.name}; connect it to the new network afterwards"
        )
        for container in members(host, network)
    )
    anew = f"{network.name} is removed; create it anew with --subnet of a range nobody uses"
    return both(*leave, remove_network(network, anew))


def _others_routes(host: Host, network: Network, subnet: Net) -> Iterator[Route]:
    """Routes of others to a part of the subnet, or to all of it: by a device that is none of the engine's."""
    bridges = {network.bridge for network in host.networks or ()}
    for route in host.routes or ():
        if route.table != "main" or route.kind != "unicast" or route.default or route.dev in bridges:
            continue
        same = route.dst.version == subnet.version and not route.dst.network_address.is_link_local
        if same and _within(route.dst, subnet) and not _macvlan_of(host, network, route):
            yield route


def _within(part: Net, whole: Net) -> bool:
    return part.version == whole.version and part.subnet_of(whole)  # type: ignore[arg-type]  # of one family


def _macvlan_of(host: Host, network: Network, route: Route) -> bool:
    """A device that hangs on the bridge itself: a way of this host into the same network."""
    link = index_of(host).link(route.dev)
    return link is not None and (link.lower == network.bridge or link.master == network.bridge)


def _lost(host: Host, network: Network, subnet: Net) -> Iterator[tuple[IP, str, str]]:
    """Addresses in the subnet that answered elsewhere or that are asked for names, and that nobody on the bridge has:
    (address, where it was read, what it says)."""
    own = {ip.ip for link in host.links or () for ip in link.addresses} | index_of(host).owners.keys()
    for ip in sorted(_resolvers(host) - own, key=int):
        if ip.version == subnet.version and ip in subnet:
            yield ip, "resolv.conf of containers", f"nameserver {ip}"
    seekers = [
        neighbour for neighbour in host.neighbours or () if neighbour.dev == network.bridge and _unanswered(neighbour)
    ]
    sought = {neighbour.ip: neighbour for neighbour in seekers if neighbour.ip in subnet and neighbour.ip not in own}
    for flow in unzoned(host) if sought else ():
        # Its answer was sent to an address of this host's: it left translated, so not by this bridge.
        neighbour = sought.get(flow.original.dst) if flow.original.dst else None
        if neighbour is not None and flow.replied and flow.reply.dst != flow.original.src:
            del sought[neighbour.ip]
            text = f"{neighbour.ip} {neighbour.state} on {neighbour.dev}; it answered {flow.original.src} before"
            yield neighbour.ip, "neighbours and conntrack", text


def _unanswered(neighbour: Neighbour) -> bool:
    return neighbour.state in ("FAILED", "INCOMPLETE") and neighbour.mac is None


def _resolvers(host: Host) -> set[IP]:
    return {ip for container in host.containers or () for ip in _servers(container)}


def _servers(container: Container) -> set[IP]:
    """Which it asks for names, itself or by the engine's resolver."""
    resolver = container.inside.resolver if container.inside is not None else None
    asked = (*resolver.servers, *(resolver.upstreams or ())) if resolver is not None else ()
    return {ip for ip in asked if not ip.is_loopback}


def _asking_only(host: Host, servers: set[IP]) -> list[Container]:
    """The running containers that ask nobody else for names."""
    return [
        container
        for container in host.containers or ()
        if container.running and (mine := _servers(container)) and mine <= servers
    ]


def check_public(host: Host) -> Iterator[Candidate]:
    """Subnets whose addresses belong to somebody on the Internet."""
    for network in host.networks or ():
        for subnet in network.subnets:
            mine = any(subnet.overlaps(net) for net in _PRIVATE if subnet.version == 4)
            nat = network.driver == "bridge" and network.gateway_modes[0] != "routed" and network.masquerade
            if subnet.version == 4 and not mine and nat and not network.internal:
                yield candidate(
                    "subnet-public",
                    Severity.INFO,
                    f"network {network.name} has {subnet}, which is no private range: "
                    "whoever has these addresses on the Internet cannot be reached from here",
                    hits_of(members(host, network), Direction.OUT, network.name),
                    [of_record(f"network {network.name}", f"subnet {subnet}", network)],
                )


# --- address pools ----------------------------------------------------------------------------------------------------


def check_pools(host: Host) -> Iterator[Candidate]:
    """Whether `docker network create` still finds a subnet, as libnetwork looks for one."""
    engine = host.engine
    if engine is None or engine.name != "docker" or engine.pools is None or not host.networks or host.routes is None:
        return
    pools = engine.pools or _BUILT_IN
    taken = [net for network in host.networks for net in network.subnets if net.version == 4]
    blocking = list(_blocking(host, decimal(engine.version.partition(".")[0], 3) or 0))
    free_of_networks = list(_free(pools, taken))
    if any(True for net in free_of_networks if not any(net.overlaps(route.dst) for route in blocking)):
        return
    shown = ", ".join(f"{base} in /{size}" for base, size in pools[:3]) + (" …" if len(pools) > 3 else "")
    evidence = Evidence("docker info", f"default address pools {shown}")
    if free_of_networks:
        yield _blocked(blocking, free_of_networks, evidence)
    else:
        yield _used_up(host, taken, evidence)


def _free(pools: Iterable[tuple[Net, int]], taken: Sequence[Net]) -> Iterator[IPv4Network]:
    for base, size in pools:
        if isinstance(base, IPv4Network) and base.prefixlen <= size <= 32:
            for at, other in enumerate(base.subnets(new_prefix=size)):
                if at == _MANY:
                    break
                if not any(other.overlaps(net) for net in taken):
                    yield other


def _blocking(host: Host, version: int) -> Iterator[Route]:
    """Routes of this host that the engine leaves their range to."""
    bridges = {network.bridge for network in host.networks or ()}
    for route in host.routes or ():
        here = route.family == 4 and route.table == "main" and not route.default and route.dev not in bridges
        if here and route.kind == "unicast" and (route.gateway is None or version < _ON_LINK_ONLY):
            yield route


def _blocked(blocking: list[Route], free: list[IPv4Network], evidence: Evidence) -> Candidate:
    wide = [route for route in blocking if any(net.overlaps(route.dst) for net in free)]
    devices = ", ".join(sorted({route.dev or "-" for route in wide}))
    return candidate(
        "pool-blocked-by-vpn",
        Severity.HIGH,
        f"no new network can be created: routes by {devices} cover every address pool that Docker may choose from",
        (),
        [evidence, *(of_record("route table main", f"{route.dst} dev {route.dev}", route) for route in wide[:4])],
        [
            Fix(
                ("docker", "network", "create", "--subnet", "172.30.250.0/24", "NAME"),
                "an explicit subnet is not compared with the routes; or disconnect the VPN meanwhile",
                KEPT,
            )
        ],
    )


def _used_up(host: Host, taken: Sequence[Net], evidence: Evidence) -> Candidate:
    empty = [
        network
        for network in host.networks or ()
        if network.bridge and network.name != _DEFAULT and not members(host, network)
    ]
    idle = f"; unused: {', '.join(sorted(network.name for network in empty)[:4])}" if empty else ""
    return candidate(
        "pool-exhausted",
        Severity.HIGH,
        "no new network can be created: all of Docker's default address pools are used",
        (),
        [evidence, Evidence("networks", f"{len(taken)} subnets are in use{idle}")],
        *_prune(host),
    )


def _prune(host: Host) -> Fixed:
    used = {end.network_id for container in host.containers or () for end in container.endpoints}
    gone = [
        network
        for network in host.networks or ()
        if network.name not in ("bridge", "host", "none") and network.id not in used
    ]
    text = (
        "removes networks that no container, running or stopped, is on; "
        "or add default-address-pools to /etc/docker/daemon.json and restart the engine"
    )
    fix = Fix(("docker", "network", "prune"), text, KEPT)
    return (fix,), tuple(NetworkRemoval(network.id) for network in gone) if host.containers is not None else ()


# --- addresses of one network -----------------------------------------------------------------------------------------


def check_addresses_left(host: Host) -> Iterator[Candidate]:
    for network in host.networks or ():
        if network.driver not in _LOCAL or network.scope != "local" or host.containers is None:
            continue
        for subnet in network.subnets:
            if subnet.version == 4 and subnet.prefixlen < 31:
                yield from _left(host, network, subnet)


def _left(host: Host, network: Network, subnet: Net) -> Iterator[Candidate]:
    chosen = next((net for net in network.ranges if _within(net, subnet)), subnet)
    attached = members(host, network)
    used = {
        own.ip for container in attached for end in container.endpoints for own in end.addresses if own.ip in chosen
    }
    if not used:
        return
    kept = {
        subnet.network_address,
        subnet.broadcast_address,
        *network.reserved,
        *(index_of(host).gateways(network) or ()),
    }
    room = chosen.num_addresses - len({ip for ip in kept if ip in chosen} - used)
    if len(used) < room:
        return
    yield candidate(
        "subnet-ips-exhausted",
        Severity.MEDIUM,
        f"network {network.name} has no free address: {chosen} has room for {room}, all taken by {names_of(attached)}",
        hits_of(attached, Direction.PEERS, network.name),
        [of_record(f"network {network.name}", f"{chosen}, {len(used)} of {room} addresses in use", network)],
        [
            Fix(
                ("docker", "network", "create", "--subnet", "172.30.250.0/24", f"{network.name}-wide"),
                "a second network with more room; containers that do not fit are connected to it instead",
                KEPT,
            )
        ],
    )
