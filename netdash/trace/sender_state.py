"""What beside rules decides how a container's packets go: its devices, routes, switches, neighbours and sockets, told
without its own names, so that it is equal for containers in the same condition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import astuple

from netdash.model.host import IP, Chain, Endpoint, Host, Interface, Link, Listener, Neighbour, Port, Proxy, Route
from netdash.model.records import replace
from netdash.trace.bridge import mac_of
from netdash.trace.container_namespace import Namespace, namespaces_of
from netdash.trace.equivalence import DECIDING, Identity
from netdash.trace.namespace_state import lookups_of

Masks = Mapping[object, str]


class Conditions:
    """Of the containers of one host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._links = lookups_of(host).links
        spaces = list(namespaces_of(host).all())
        self._ips = Counter(ip for space in spaces for ip in space.addresses)
        self._macs = Counter(mac_of(space, end) for space in spaces for end in space.container.endpoints)
        self._about: dict[IP, list[Neighbour]] = {}
        for neighbour in host.neighbours or ():
            self._about.setdefault(neighbour.ip, []).append(neighbour)
        self._fdb: dict[str, list[tuple[str, bool]]] = {}
        for entry in (host.bridging.fdb if host.bridging else None) or ():
            self._fdb.setdefault(entry.mac, []).append((entry.port, entry.fixed))
        self._told: dict[str, Hashable] = {}

    def of(self, space: Namespace) -> Hashable:
        """Equal for containers in the same condition."""
        found = self._told.get(space.container.id)
        if found is None:
            found = self._told[space.container.id] = self._of(space)
        return found

    def _of(self, space: Namespace) -> Hashable:
        container = space.container
        if self._shared(space):
            return container.id  # who of two answers hangs on more than their condition
        masks = _masks(space)
        ends = sorted(container.endpoints, key=lambda end: end.network_id)
        links = None if space.links is None else tuple(_device(link, masks) for link in space.links)
        inside = container.inside
        return (
            container.state,
            container.user_space,
            container.left_behind,
            bool(space.assumed),
            tuple(self._end(space, end, masks) for end in ends),
            links,
            frozenset(_route(route, masks) for route in space.net.routes or ()),
            None if inside is None else inside.sysctls,
            None if inside is None else inside.policy,
            _neighbours((inside.neighbours if inside else None) or (), masks),
            None if inside is None or inside.ruleset is None else _rules(inside.ruleset.chains),
        )

    def _shared(self, space: Namespace) -> bool:
        ips = (ip for ip in space.addresses if not ip.is_loopback)
        macs = {mac_of(space, end) for end in space.container.endpoints} - {None}
        return any(self._ips[ip] > 1 for ip in ips) or any(self._macs[mac] > 1 for mac in macs)

    def _end(self, space: Namespace, end: Endpoint, masks: Masks) -> Hashable:
        host, link, mac = self._host, self._links.get(end.veth or ""), mac_of(space, end)
        vlans = host.bridging.vlans if host.bridging is not None else None
        around = [one for ip in end.addresses for one in self._about.get(ip.ip, ())]
        return (
            end.network_id,
            end.gateways,
            end.gateway_priority,
            None if link is None else _device(link, masks, named=False),
            frozenset(self._forwarding(link, mac, masks)),
            None if vlans is None or end.veth is None else vlans.get(end.veth),
            None if host.qdiscs is None or end.veth is None else host.qdiscs.get(end.veth),
            _neighbours(around, masks),
        )

    def _forwarding(self, link: Link | None, mac: str | None, masks: Masks) -> Iterator[Hashable]:
        """The entries of forwarding tables for a MAC; one that was learned at its own port only where that floods no
        frames, or takes none from MACs that it does not know."""
        usual = link is None or link.port is None or (link.port.flood and link.port.learning and not link.port.locked)
        for port, fixed in self._fdb.get(mac or "", ()):
            if fixed or not usual or port not in masks:
                yield masks.get(port, port), fixed


def identity(space: Namespace) -> Identity:
    """What rules may call it; of containers in the same condition in the same order."""
    ends = sorted(space.container.endpoints, key=lambda end: end.network_id)
    ips = [address.ip for end in ends for address in end.addresses]
    ips += [ip for ip in space.addresses if ip not in ips and not ip.is_loopback]
    words = [word for end in ends for word in (end.veth, mac_of(space, end)) if word]
    return Identity(tuple(ips), tuple(words))


def _masks(space: Namespace) -> dict[object, str]:
    who = identity(space)
    return {name: f"#{at}" for at, name in enumerate((*who.ips, *who.words))}


def _device(link: Link, masks: Masks, named: bool = True) -> Hashable:
    own = replace(link, index=0, name=link.name if named else "", mac=masks.get(link.mac, ""), peer_index=None)
    return replace(own, peer_netns=None, addresses=(), details=()), _addresses(link, masks)


def _addresses(link: Link, masks: Masks) -> Hashable:
    """With their details; of addresses that a device makes of its MAC, that there is one."""
    details = link.details or (None,) * len(link.addresses)
    return tuple((_own(one, masks), detail) for one, detail in zip(link.addresses, details, strict=False))


def _own(one: Interface, masks: Masks) -> Hashable:
    if one.ip.is_link_local and one.version == 6:
        return "link-local"
    return masks.get(one.ip, one.ip), one.network


def _route(route: Route, masks: Masks) -> Hashable:
    dst, own = route.dst.network_address, route.dst.prefixlen == route.dst.max_prefixlen
    if own and (dst in masks or (route.table == "local" and dst.is_link_local)):
        return masks.get(dst, "link-local"), *astuple(replace(route, dst=None, prefsrc=None))  # type: ignore[arg-type]  # only compared
    return replace(route, prefsrc=None), masks.get(route.prefsrc, route.prefsrc)


def _neighbours(known: Iterable[Neighbour], masks: Masks) -> Hashable:
    """Those that decide something: who does not answer, who was set by hand, and who is kept at another's MAC."""
    return frozenset(
        (
            masks.get(neighbour.ip, neighbour.ip),
            neighbour.dev,
            neighbour.state if neighbour.state in DECIDING else "",
            masks.get(neighbour.mac, neighbour.mac),
        )
        for neighbour in known
        if neighbour.state in DECIDING or (neighbour.ip in masks and neighbour.mac not in masks)
    )


def _rules(chains: Iterable[Chain]) -> Hashable:
    """The rules of its own. Those of the engine's resolver differ in the ports where that listens."""
    told = []
    for chain in chains:
        rules = (rule for rule in chain.rules if "127.0.0.11" not in rule.text)
        told.append((replace(chain, rules=()), tuple((rule.text, rule.not_understood) for rule in rules)))
    return tuple(told)


# --- sockets and proxies ----------------------------------------------------------------------------------------------


def sockets(space: Namespace, proto: str, port: int) -> Hashable:
    """Those of a container at one port."""
    if space.net.listeners is None:
        return None
    masks = _masks(space)
    same = (listener for listener in space.net.listeners if (listener.proto, listener.port) == (proto, port))
    return tuple((_socket(one), masks.get(one.ip, one.ip)) for one in same)


def _socket(socket: Listener) -> Hashable:
    return replace(socket, ip=None, port=0, pid=None)  # type: ignore[arg-type]  # only compared


def holding(published: Port | None, listeners: Iterable[Listener]) -> Hashable:
    """What holds a port of this host."""
    held = tuple((_socket(listener), listener.ip) for listener in listeners)
    if published is None:
        return held
    holder, proxy = published.holder, published.proxy
    return (
        held,
        None if proxy is None else _proxy(proxy),
        None if holder is None else (holder.kind, holder.command, holder.forged),
        published.dual,
        published.scope,
        published.device,
        published.live,
    )


def _proxy(proxy: Proxy) -> Hashable:
    return proxy.command, proxy.proto, proxy.host_ip, proxy.user, proxy.holds_port, proxy.stopped
