"""The ways of a container's packets, hop by hop, each with its evidence: Host -> records. Pure; reads nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

from netdash.core import hurdles
from netdash.core.model import (
    IP,
    Container,
    Endpoint,
    Host,
    Interface,
    Link,
    Network,
    Port,
    Route,
    Rule,
    Ruleset,
)
from netdash.core.routing import OUTSIDE, device_of, look_up, stops
from netdash.core.source_address import source_address

if TYPE_CHECKING:
    from netdash.core.trace.nat import Found, SourceNat


class Leaves(Enum):
    """How packets of a network leave the host."""

    MASQUERADE = "masquerade"
    SNAT = "snat"
    UNTRANSLATED = "untranslated"  # routed, or masquerading switched off: the private source address goes out
    INTERNAL = "internal"  # an internal network: nothing leaves
    DIRECT = "direct"  # macvlan, ipvlan: straight to the parent device, past the host's rules
    HOST = "host"  # shares the host's namespace
    NOWHERE = "nowhere"  # no network, or no route
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Inbound:
    """One published port's way in: DNAT for packets from elsewhere, the proxy for the rest."""

    port: Port
    network: str | None
    bridge: str | None
    bridge_ip: IP | None
    veth: str | None
    proxy_when: str  # when the proxy's way is used: "from this host", "instead of DNAT" … ; "" without a proxy
    broken: tuple[str, ...] = ()  # sentences: what the kernel's state says against the rule's way
    at_bridge: str = ""  # why nothing passes the device: "down", "no carrier"; "" where it works, or is not known
    at_veth: str = ""


@dataclass(frozen=True, slots=True)
class Outbound:
    """One network's way out for one of the container's addresses, asked for a first packet to a web server."""

    network: str
    source: IP | None
    bridge: str | None
    gateway: IP | None  # the container's gateway, the bridge's own address
    veth: str | None
    leaves: Leaves
    nat: Rule | None
    route: Route | None
    uplink: Link | None
    leaves_as: IP | None
    why: str  # one plain sentence where the way is not the usual one; "" otherwise
    unsure: tuple[Rule, ...] = ()  # rules before `nat` whose match cannot be told
    default: bool | None = True  # whether this network holds the container's default route
    at_bridge: str = ""  # as in Inbound
    at_uplink: str = ""


@dataclass(frozen=True, slots=True)
class Callable:
    """A container that another can reach on a network they share."""

    container_id: str
    container: str
    network: str
    ip: IP | None
    names: tuple[str, ...]  # by which it can be called; empty on the default bridge: by address only
    blocked: str  # why it cannot be reached although it is a neighbour (icc off); "" otherwise


def sharing(host: Host, container: Container) -> Container:
    """The container whose namespace this one uses: itself, or X of `container:X`."""
    if not container.shares_with or container.left_behind:
        return container
    return next((one for one in host.containers or () if one.name == container.shares_with), container)


def ports_of(host: Host, container: Container) -> tuple[Port, ...]:
    return tuple(_ports_by_container(host).get(container.id, ()))


@lru_cache(maxsize=2)
def _ports_by_container(host: Host) -> dict[str, list[Port]]:
    found: dict[str, list[Port]] = {}
    for port in host.ports or ():
        if port.container_id:
            found.setdefault(port.container_id, []).append(port)
    return found


def _network(host: Host, endpoint: Endpoint) -> Network | None:
    by_id = next((one for one in host.networks or () if one.id == endpoint.network_id), None)
    return by_id or next((one for one in host.networks or () if one.name == endpoint.network), None)


def bridge_of(host: Host, endpoint: Endpoint) -> str | None:
    network = _network(host, endpoint)
    return network.bridge if network else None


def _link(host: Host, name: str | None) -> Link | None:
    return _links_by_name(host).get(name) if name else None


@lru_cache(maxsize=2)
def _links_by_name(host: Host) -> dict[str, Link]:
    return {link.name: link for link in host.links or ()}


# --- inbound ----------------------------------------------------------------------------------------------------------


def inbound(host: Host, container: Container) -> tuple[Inbound, ...]:
    """One entry a published port of a running container, in the ledger's order."""
    owner = sharing(host, container)
    if not owner.running:
        return ()
    ends: dict[IP | None, Inbound] = {}  # thousands of ports may go to one address
    return tuple(_inbound(host, owner, port, ends) for port in ports_of(host, owner) if port.live)


def _inbound(host: Host, container: Container, port: Port, ends: dict[IP | None, Inbound]) -> Inbound:
    alike = ends.get(port.target_ip)
    if alike is None:
        alike = ends[port.target_ip] = _inner_end(host, container, port)
    return Inbound(
        port=port,
        network=alike.network,
        bridge=alike.bridge,
        bridge_ip=alike.bridge_ip,
        veth=alike.veth,
        proxy_when=hurdles.proxy_when(port),
        broken=hurdles.on_the_way_in(host, container, port, alike.bridge),
        at_bridge=alike.at_bridge,
        at_veth=alike.at_veth,
    )


def _inner_end(host: Host, container: Container, port: Port) -> Inbound:
    """The way's part that depends on the target address alone."""
    found = ((end, one) for end in container.endpoints for one in end.addresses)
    endpoint = next((end for end, one in found if one.ip == port.target_ip), None)
    bridge = bridge_of(host, endpoint) if endpoint else None
    link = _link(host, bridge)
    version = port.target_ip.version if port.target_ip else 4
    return Inbound(
        port=port,
        network=endpoint.network if endpoint else None,
        bridge=bridge,
        bridge_ip=source_address(link, port.target_ip, version),
        veth=endpoint.veth if endpoint else None,
        proxy_when="",
        at_bridge=hurdles.device(link),
        at_veth=hurdles.veth(_link(host, endpoint.veth if endpoint else None), bridge),
    )


# --- outbound ---------------------------------------------------------------------------------------------------------


def outbound(host: Host, container: Container) -> tuple[Outbound, ...]:
    """One entry a network and address of a running container; one without a network for host and none."""
    owner = sharing(host, container)
    if not owner.running:
        return ()
    if owner.network_mode == "host":
        return (_from_host(host),)
    if by := owner.user_space:
        return (_plain(by, None, Leaves.UNKNOWN, f"by {by}, in user space: not readable"),)
    if any(end.addresses for end in owner.endpoints):
        return tuple(_leave(host, owner, end, one) for end in owner.endpoints for one in end.addresses)
    why = "no network" if owner.network_mode == "none" or not owner.endpoints else "no address yet"
    return (_plain(owner.endpoints[0].network if owner.endpoints else "none", None, Leaves.NOWHERE, why),)


def _plain(network: str, source: IP | None, leaves: Leaves, why: str) -> Outbound:
    return Outbound(network, source, None, None, None, leaves, None, None, None, None, why)


def _from_host(host: Host) -> Outbound:
    if host.routes is None:
        return _plain("host", None, Leaves.UNKNOWN, "routes could not be read")
    found = look_up(OUTSIDE[4], None, None, host.routes, host.policy)
    link = _link(host, found.route.dev) if found.route else None
    source = (found.route and found.route.prefsrc) or source_address(link, None, 4)
    why = "uses the host's own network" if found.route else "uses the host's own network, which has no default route"
    return Outbound("host", source, None, None, None, Leaves.HOST, None, found.route, link, source, why)


def _leave(host: Host, container: Container, endpoint: Endpoint, own: Interface) -> Outbound:
    network = _network(host, endpoint)
    way = Outbound(
        network=endpoint.network,
        source=own.ip,
        bridge=network.bridge if network else None,
        gateway=next((ip for ip in endpoint.gateways if ip.version == own.version), None),
        veth=endpoint.veth,
        leaves=Leaves.UNKNOWN,
        nat=None,
        route=None,
        uplink=None,
        leaves_as=None,
        why="",
        default=_holds_default(host, container, endpoint, own.version),
        at_bridge=hurdles.device(_link(host, network.bridge if network else None)),
    )
    if network is None:
        return replace(way, why="the engine's networks could not be read")
    return _unrouted(host, network, way) or _routed(host, network, endpoint, own.ip, way)


def _unrouted(host: Host, network: Network, way: Outbound) -> Outbound | None:
    """The way of a network whose packets this host does not route; None for the others."""
    if network.internal:
        return replace(way, leaves=Leaves.INTERNAL, why="internal network: no way out")
    if network.driver in ("macvlan", "ipvlan"):
        why = f"{network.driver}: past this host's rules"
        return replace(way, leaves=Leaves.DIRECT, uplink=_link(host, network.parent), leaves_as=way.source, why=why)
    if network.driver != "bridge":
        return replace(way, why=f"the {network.driver} driver's way out is not seen from this host")
    return None


def _routed(host: Host, network: Network, endpoint: Endpoint, source: IP, way: Outbound) -> Outbound:
    if host.routes is None or host.links is None:
        return replace(way, why="routes and links could not be read")
    if _link(host, way.bridge) is None:
        return replace(way, why=f"its bridge {way.bridge} is not in this network namespace")
    blocked = hurdles.at_the_bridge(_link(host, endpoint.veth), _link(host, way.bridge))
    if blocked:
        return replace(way, leaves=Leaves.NOWHERE, why=blocked)
    if way.gateway and all(one.ip != way.gateway for link in host.links for one in link.addresses):
        return replace(way, why=f"no device of this host has its gateway {way.gateway}")
    found = look_up(OUTSIDE[source.version], source, way.bridge, host.routes, host.policy)
    way = replace(way, route=found.route)
    if found.unsure:
        return replace(way, why=f"policy rule {found.unsure[0].priority} may decide otherwise")
    if found.route is None:
        return replace(way, leaves=Leaves.NOWHERE, why=f"this host has no IPv{source.version} route to the outside")
    if stops(found.route):
        return replace(way, leaves=Leaves.NOWHERE, why=f"a {found.route.kind} route refuses it")
    uplink = _link(host, device_of(found.route))
    way = replace(way, uplink=uplink, at_uplink=hurdles.device(uplink))
    if not hurdles.forwards(host, source.version, way.bridge):
        return replace(way, leaves=Leaves.NOWHERE, why=f"this host does not forward what comes in by {way.bridge}")
    way = _translated(host.ruleset, network, source, found.route, way)
    back = hurdles.misrouted(host, source, way.bridge, device_of(found.route))
    return replace(way, why="; ".join(filter(None, (way.why, back and f"answers get lost: {back}"))))


def _translated(ruleset: Ruleset | None, network: Network, source: IP, route: Route, way: Outbound) -> Outbound:
    if ruleset is None:
        return replace(way, why="rules could not be read")
    from netdash.core.trace.nat import Packet  # not before there are rules: the screen shows containers first

    packet = Packet(
        family=source.version,
        proto="tcp",
        src=source,
        dst=OUTSIDE[source.version],
        dport=443,
        iif=way.bridge,
        oif=device_of(route),
    )
    answer = _source_nat(ruleset).find(packet)
    leaves, leaves_as = _translation(answer, source, route, way.uplink)
    return replace(
        way,
        leaves=leaves,
        nat=answer.rule,
        leaves_as=leaves_as,
        unsure=answer.unsure,
        why=_why(leaves, answer, network, ruleset),
    )


@lru_cache(maxsize=2)  # the host on screen and the one that comes
def _source_nat(ruleset: Ruleset) -> SourceNat:
    from netdash.core.trace.nat import SourceNat

    return SourceNat(ruleset)


def _translation(answer: Found, source: IP, route: Route, link: Link | None) -> tuple[Leaves, IP | None]:
    if answer.unsure:
        return Leaves.UNKNOWN, None
    if answer.rule is None:
        return Leaves.UNTRANSLATED, source
    if answer.rule.target.verb.value == "snat":
        return Leaves.SNAT, answer.rule.target.address
    return Leaves.MASQUERADE, source_address(link, route.gateway, source.version)


def _why(leaves: Leaves, answer: Found, network: Network, ruleset: Ruleset) -> str:
    if leaves is Leaves.UNKNOWN:
        return f"{answer.unsure[0].place} may decide otherwise"
    if leaves is not Leaves.UNTRANSLATED:
        return ""
    return hurdles.untranslated(network, ruleset)


def _holds_default(host: Host, container: Container, endpoint: Endpoint, family: int) -> bool | None:
    """What was seen inside. Where that was not read, what the engine sets up: the only network, or of several the one
    that ports are published on; None: cannot be told."""
    seen = container.default_gateways
    if family == 4 and seen is not None and any(ip.version == 4 for ip in endpoint.gateways):
        return not seen.isdisjoint(endpoint.gateways)
    internal = {name for network in host.networks or () if network.internal for name in (network.id, network.name)}
    usable = [
        one for one in container.endpoints if one.addresses and internal.isdisjoint((one.network_id, one.network))
    ]
    if len(usable) < 2:
        return endpoint in usable
    top = max(one.gateway_priority for one in usable)
    first = [one for one in usable if one.gateway_priority == top]
    if len(first) == 1:
        return endpoint is first[0]
    targets = {port.target_ip for port in ports_of(host, container) if port.target_ip}
    if targets:
        return any(one.ip in targets for one in endpoint.addresses)
    return None


# --- neighbours -------------------------------------------------------------------------------------------------------


def callable_names(host: Host, container: Container, most: int | None = None) -> tuple[Callable, ...]:
    """Running containers on the same networks, with the names that resolve there. The default bridge has no DNS:
    only --link gives names, and only to the container that was given the link. `most` of each network at most, the
    linked ones before the others."""
    return tuple(
        _callable(host, endpoint, *other)
        for endpoint, others in _neighbours(host, container)
        for other in others[: len(others) if most is None else most]
    )


def neighbour_counts(host: Host, container: Container) -> dict[str, int]:
    """How many `callable_names` finds, by the network's name."""
    return {endpoint.network: len(others) for endpoint, others in _neighbours(host, container)}


def _neighbours(host: Host, container: Container) -> Iterator[tuple[Endpoint, list[tuple[Container, Endpoint]]]]:
    owner = sharing(host, container)
    for endpoint in owner.endpoints if owner.running else ():
        others = [one for one in _members(host).get(endpoint.network_id, ()) if one[0] is not owner]
        linked = {target for target, _ in endpoint.links}
        if linked:
            others.sort(key=lambda one: linked.isdisjoint((one[0].name, *one[1].names)))
        yield endpoint, others


@lru_cache(maxsize=2)
def _members(host: Host) -> dict[str, list[tuple[Container, Endpoint]]]:
    """Running containers with an address, by network id."""
    found: dict[str, list[tuple[Container, Endpoint]]] = {}
    for container in host.containers or ():
        for endpoint in container.endpoints if container.running and not container.shares_with else ():
            if endpoint.addresses:
                found.setdefault(endpoint.network_id, []).append((container, endpoint))
    return found


def _callable(host: Host, endpoint: Endpoint, other: Container, theirs: Endpoint) -> Callable:
    network = _network(host, endpoint)
    linked = tuple(alias for target, alias in endpoint.links if target in (other.name, *theirs.names))
    resolves = endpoint.network != ("podman" if host.engine and host.engine.name == "podman" else "bridge")
    names = tuple(dict.fromkeys([*linked, *(theirs.names if resolves else ())]))
    blocked = "" if network is None or network.icc or linked else "inter-container traffic is off on this network"
    return Callable(
        container_id=other.id,
        container=other.name,
        network=endpoint.network,
        ip=theirs.addresses[0].ip,
        names=names,
        blocked=blocked,
    )
