"""The classes of the reach matrix: which senders and which aims are treated alike by rules, routes, and all else
that decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping

from netdash.kernel.conntrack_entries import unzoned
from netdash.kernel.sockets import by_port
from netdash.model.host import (
    IP,
    Chain,
    Endpoint,
    Host,
    Interface,
    Link,
    Listener,
    Neighbour,
    Port,
    Proxy,
    Route,
    TrackedFlow,
    Verb,
)
from netdash.model.records import replace
from netdash.trace.bridge import mac_of
from netdash.trace.connection import EPHEMERAL
from netdash.trace.container_namespace import Namespace, namespaces_of
from netdash.trace.equivalence import DECIDING, Alike, Identity
from netdash.trace.exchange import paused_in
from netdash.trace.model import Aim, Kind, Sender
from netdash.trace.namespace_state import lookups_of, port_range

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
        self._shapes: dict[str, Hashable] = {}

    def of(self, space: Namespace) -> Hashable:
        """Equal for containers in the same condition."""
        found = self._shapes.get(space.container.id)
        if found is None:
            found = self._shapes[space.container.id] = self._of(space)
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
        around = [neighbour for ip in end.addresses for neighbour in self._about.get(ip.ip, ())]
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
    return tuple((_own(address, masks), detail) for address, detail in zip(link.addresses, details, strict=False))


def _own(interface: Interface, masks: Masks) -> Hashable:
    if interface.ip.is_link_local and interface.version == 6:
        return "link-local"
    return masks.get(interface.ip, interface.ip), interface.network


def _route(route: Route, masks: Masks) -> Hashable:
    dst, own = route.dst.network_address, route.dst.prefixlen == route.dst.max_prefixlen
    if own and (dst in masks or (route.table == "local" and dst.is_link_local)):
        return masks.get(dst, "link-local"), replace(route, dst=None, prefsrc=None)  # type: ignore[arg-type]  # only compared
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
    shapes = []
    for chain in chains:
        rules = (rule for rule in chain.rules if "127.0.0.11" not in rule.text)
        shapes.append((replace(chain, rules=()), tuple((rule.text, rule.not_understood) for rule in rules)))
    return tuple(shapes)


# --- sockets and proxies ----------------------------------------------------------------------------------------------


def sockets(space: Namespace, proto: str, port: int) -> Hashable:
    """Those of a container at one port."""
    if space.net.listeners is None:
        return None
    masks = _masks(space)
    same = (listener for listener in space.net.listeners if (listener.proto, listener.port) == (proto, port))
    return tuple((_socket(listener), masks.get(listener.ip, listener.ip)) for listener in same)


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


_NOBODY = Identity(())


class Kinds:
    """Of one host's senders and aims."""

    def __init__(self, host: Host, senders: tuple[Sender, ...], aims: tuple[Aim, ...]) -> None:
        self._containers = {container.id: container for container in host.containers or ()}
        self._spaces = namespaces_of(host)
        frozen = (self._spaces.of(container) for container in paused_in(host))
        self._frozen = {space.container.id for space in frozen if space is not None}  # in which some are paused
        self._published = {(port.proto, port.host_port, port.container_id): port for port in host.ports or ()}
        self._listeners = by_port(host.listeners or ())
        self._conditions = Conditions(host)
        self._identities = {space.container.id: identity(space) for space in self._spaces.all()}
        inner = [space.net for space in self._spaces.all()]
        ports = {port for aim in aims for port in self._ports(aim)}
        self._alike = Alike(host, inner, self._identities.values(), ports, _ephemeral(host))
        self._senders = {sender.container: at for at, sender in enumerate(senders) if sender.container is not None}
        owners: dict[IP, set[int]] = {}
        for text, at in self._senders.items():
            for ip in self._identities[text].ips:
                owners.setdefault(ip, set()).add(at)
        self._flowing: dict[tuple[str, IP | None, int | None], set[int]] = {}
        """The senders of the connections that decide, by where these lead."""
        for flow in _deciding(host):
            original = flow.original
            senders_of = self._flowing.setdefault((flow.proto, original.dst, original.dport), set())
            senders_of |= owners.get(original.src, set()) if original.src is not None else set()

    def of_sender(self, sender: Sender) -> tuple[Hashable, Kind]:
        """(equal for senders of one class, what tells this one apart)."""
        space = self._space(sender.container)
        if space is None or space.container.id in self._frozen:
            return sender, Kind((sender.name,))
        who = self._identities[space.container.id]
        naming = self._alike.sender(who)
        kind = Kind((sender.name, *map(str, who.ips), *who.words), naming.rules)
        return (naming.twins, self._alike.around(who), self._conditions.of(space), _pattern(kind)), kind

    def of_aim(self, aim: Aim) -> tuple[Hashable, Kind]:
        """The same of aims."""
        ports, space = self._ports(aim), self._space(aim.container)
        who = self._identities[space.container.id] if space is not None else _NOBODY
        published = self._port_of(aim)
        target = published.target_ip if published is not None else aim.ip
        naming = self._alike.target(target, who, ports) if target is not None else None
        container = self._containers.get(aim.container or "")
        names = (container.name if container else "", *map(str, who.ips), *who.words, *map(str, ports))
        kind = Kind(names, naming.rules if naming is not None else ())
        touched = {(aim.proto, aim.ip, aim.port), (aim.proto, target, ports[-1])} & self._flowing.keys()
        frozen = space is not None and space.container.id in self._frozen
        if naming is None or touched or frozen or (aim.container is not None and (space is None or container is None)):
            return aim, Kind(names)
        key = (
            *(aim.kind, aim.proto, naming.twins, self._alike.around(who, ports), _pattern(kind)),
            self._on_host(aim, published),
            None if space is None or target is None else self._inside(space, target, aim.proto, ports[-1]),
        )
        return key, kind

    def alone(self, aim: Aim) -> frozenset[int]:
        """The senders that are not like others of their class at this aim: a container that asks itself, and one of
        whose connections conntrack remembers what decides."""
        space = self._space(aim.container)
        own = self._senders.get(space.container.id) if space is not None else None
        found = self._flowing.get((aim.proto, aim.ip, aim.port), set())
        return frozenset(found if own is None else {own, *found})

    def itself(self, sender: Sender, aim: Aim) -> Hashable:
        """Of a container that asks itself: which of its addresses it asks for; of another pair, that pair."""
        space = self._space(aim.container)
        if space is None or sender.container != space.container.id:
            return sender, aim
        published = self._port_of(aim)
        target = published.target_ip if published is not None else aim.ip
        ips = self._identities[space.container.id].ips
        return ips.index(target) if target in ips else (sender, aim)

    def _space(self, container: str | None) -> Namespace | None:
        found = self._containers.get(container or "")
        return self._spaces.of(found) if found is not None else None

    def _port_of(self, aim: Aim) -> Port | None:
        return self._published.get((aim.proto, aim.port, aim.container)) if aim.kind == "published" else None

    def _ports(self, aim: Aim) -> tuple[int, ...]:
        port = self._port_of(aim)
        return (aim.port, port.container_port) if port and port.container_port else (aim.port,)

    def _on_host(self, aim: Aim, published: Port | None) -> Hashable:
        """What differs between ports of this host before anything of a container's."""
        if aim.kind == "container":
            return None
        return aim.ip, holding(published, self._listeners.get((aim.proto, aim.port), ()))

    def _inside(self, space: Namespace, target: IP, proto: str, port: int) -> Hashable:
        ips = self._identities[space.container.id].ips
        at = ips.index(target) if target in ips else target
        return self._conditions.of(space), at, sockets(space, proto, port)


def _pattern(kind: Kind) -> Hashable:
    """Which of the names are equal: a port of the host may be the container's as well."""
    return tuple(kind.names.index(name) for name in kind.names)


def _ephemeral(host: Host) -> tuple[int, int]:
    """The ports from which anybody here sends."""
    spaces = (space.net for space in namespaces_of(host).all())
    ranges = [EPHEMERAL, *filter(None, map(port_range, (host, *spaces)))]
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _deciding(host: Host) -> Iterator[TrackedFlow]:
    """The entries of conntrack that decide something of a new connection: those that wait for an answer; all of them
    where an answer before tells that IPsec or a program lets it pass or where a route leads, or a translation leaves
    only one port."""
    every = host.ipsec or any(link.xdp for link in host.links or ()) or _one_port_is_left(host)
    every = every or any(route.unparsed for route in host.routes or ())
    for flow in unzoned(host):
        if every or not flow.replied:
            yield flow


def _one_port_is_left(host: Host) -> bool:
    chains = host.ruleset.chains if host.ruleset is not None else ()
    rules = (
        rule.target
        for chain in chains
        if chain.table == "nat" or chain.kind == "nat" or chain.backend == "nft"
        for rule in chain.rules
    )
    return any(
        other.ports is not None and other.ports[0] == other.ports[1] and other.verb in (Verb.SNAT, Verb.MASQUERADE)
        for target in rules
        for other in (target, *(case for _, case in target.cases))
    )
