"""The classes of the reach matrix: which senders and which aims are treated alike by rules, routes, and all else that
decides."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from netdash.kernel.conntrack_entries import unzoned
from netdash.kernel.sockets import by_port
from netdash.model.host import IP, Host, Port, TrackedFlow, Verb
from netdash.trace import sender_state
from netdash.trace.container_namespace import Namespace, namespaces_of
from netdash.trace.equivalence import Alike, Identity
from netdash.trace.exchange import paused_in
from netdash.trace.namespace_state import port_range
from netdash.trace.packets import EPHEMERAL
from netdash.trace.reach_matrix import Aim, Kind, Sender
from netdash.trace.sender_state import Conditions

_NOBODY = Identity(())


class Kinds:
    """Of one host's senders and aims."""

    def __init__(self, host: Host, senders: tuple[Sender, ...], aims: tuple[Aim, ...]) -> None:
        self._containers = {container.id: container for container in host.containers or ()}
        self._spaces = namespaces_of(host)
        frozen = (self._spaces.of(one) for one in paused_in(host))
        self._frozen = {space.container.id for space in frozen if space is not None}  # in which some are paused
        self._published = {(port.proto, port.host_port, port.container_id): port for port in host.ports or ()}
        self._listeners = by_port(host.listeners or ())
        self._conditions = Conditions(host)
        self._identities = {space.container.id: sender_state.identity(space) for space in self._spaces.all()}
        inner = [space.net for space in self._spaces.all()]
        ports = {port for aim in aims for port in self._ports(aim)}
        self._alike = Alike(host, inner, self._identities.values(), ports, _ephemeral(host))
        self._senders = {one.container: at for at, one in enumerate(senders) if one.container is not None}
        owners: dict[IP, set[int]] = {}
        for one, at in self._senders.items():
            for ip in self._identities[one].ips:
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
        return aim.ip, sender_state.holding(published, self._listeners.get((aim.proto, aim.port), ()))

    def _inside(self, space: Namespace, target: IP, proto: str, port: int) -> Hashable:
        ips = self._identities[space.container.id].ips
        at = ips.index(target) if target in ips else target
        return self._conditions.of(space), at, sender_state.sockets(space, proto, port)


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
        one.ports is not None and one.ports[0] == one.ports[1] and one.verb in (Verb.SNAT, Verb.MASQUERADE)
        for target in rules
        for one in (target, *(case for _, case in target.cases))
    )
