"""What belongs to what: from any thing on the screen to its containers, and from containers to everything of theirs.
The indexes of one host are made of those of the host before it, by what came and went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import compress
from operator import is_not
from typing import Any, TypeVar

from netdash.model.engine_state import Drift
from netdash.model.finding import health_of
from netdash.model.host import Container, Host, Link, Neighbour, Network, Port, Proxy, Ref, Route, Rule
from netdash.model.memory import Unchanged, exchanged, patched
from netdash.model.records import dataclass, replace
from netdash.model.relations import NamedRules, RuleKey, address_ref, host_port, ref_of

T = TypeVar("T")
_NONE: list[Any] = []


def related(host: Host, ref: Ref) -> frozenset[Ref]:
    """Everything that belongs to the same containers as `ref`, in every view; `ref` itself included."""
    owners, references = _owners(host), _references_of(host)
    orphans = _orphans_of(host)
    named = references.of_ref.get(ref, ())
    found = {ref} | {owners.networks[key] for key in named if key in owners.networks}
    found |= {orphans.network[key] for key in named if key in orphans.network}
    found |= owners.ownerless.get(ref, set())
    for key in (*owners.network_keys.get(ref, ()), *orphans.keys.get(ref, ())):
        found |= references.by_key.get(key, _NOBODY)
    for identity in _of(host, ref):
        found |= owners.own[identity].things
        for key in owners.own[identity].keys:
            found |= references.by_key.get(key, _NOBODY)
    return frozenset(found)


_NOBODY: frozenset[Ref] = frozenset()


def containers_of(host: Host, ref: Ref) -> tuple[str, ...]:
    """Ids of the containers that `ref` belongs to, in the host's order."""
    found = _of(host, ref)
    return tuple(container.id for container in host.containers or () if container.id in found)


def _of(host: Host, ref: Ref) -> set[str]:
    if ref.kind == "finding":
        health = health_of(host)
        mine = (finding for finding in health.findings if ref_of(finding) == ref) if health is not None else iter(())
        return {hit.container for finding in mine for hit in finding.hits if hit.container is not None}
    if ref.kind == "project":
        return {container.id for container in host.containers or () if (container.compose or "") == ref.key}
    owners, references = _owners(host), _references_of(host)
    found = set(owners.of_ref.get(ref, ()))
    for key in references.of_ref.get(ref, ()):
        found |= owners.of_key.get(key, frozenset())
    return found


def named_by(host: Host, ref: Ref) -> frozenset[RuleKey]:
    """The addresses, subnets, devices and host ports that a thing of the kernel names."""
    return _references_of(host).of_ref.get(ref, frozenset())


_Key = RuleKey
"""What the kernel's things name and containers are known by: an address, a subnet, a device, a host port."""


@dataclass(frozen=True, slots=True)
class _Own:
    """What a container is known by, and what is its own."""

    container: Container
    networks: tuple[Network | None, ...]  # by endpoint
    ports: Sequence[Port]
    drift: Sequence[Drift]
    keys: frozenset[_Key]
    things: frozenset[Ref]

    def is_of(
        self, container: Container, networks: tuple[Network | None, ...], ports: Sequence[Port], drift: Sequence[Drift]
    ) -> bool:
        """Whether it would be the same of these. Counters and positions of rules are no part."""
        return (
            (self.container is container or _of_container(self.container) == _of_container(container))
            and (self.networks is networks or self.networks == networks)
            and (self.drift is drift or self.drift == drift)
            and (self.ports is ports or (len(self.ports) == len(ports) and all(map(_same_port, self.ports, ports))))
        )


def _same_port(old: Port, new: Port) -> bool:
    return old is new or (
        (old.host_port == new.host_port and old.proto == new.proto and old.live is new.live)
        and (old.host_ip is new.host_ip or old.host_ip == new.host_ip)
        and old.device == new.device
        and (old.dnat is new.dnat or _same_rule(old.dnat, new.dnat))
    )


def _same_rule(old: Rule | None, new: Rule | None) -> bool:
    if old is None or new is None:
        return old is new
    there = old.chain == new.chain and old.table == new.table and old.family == new.family
    return there and old.same_meaning(new)


class _Owners:
    """Who is known by which address, subnet and device, and what is a container's own."""

    def __init__(self, host: Host, before: _Owners | None) -> None:
        self.networks: dict[_Key, Ref] = {}
        self.network_keys: dict[Ref, set[_Key]] = {}
        for network in host.networks or ():
            self._found(network)
        self.ownerless: dict[Ref, set[Ref]] = {}
        self.own: dict[str, _Own] = {}
        self._networks = host.networks
        self._fill(host, before._alone if before else {}, before is not None and before._networks is host.networks)
        self._alone: Mapping[str, _Own] = {**self.own}
        self._follow_shared(host)
        moved = _moved(before.own if before else {}, self.own)
        self.of_key: Mapping[_Key, frozenset[str]] = patched(
            before.of_key if before else {}, *_exchanged_by(moved, lambda own: own.keys)
        )
        self.of_ref: Mapping[Ref, frozenset[str]] = patched(
            before.of_ref if before else {}, *_exchanged_by(moved, lambda own: own.things)
        )

    def _fill(self, host: Host, before: Mapping[str, _Own], same_networks: bool) -> None:
        ports, networks = self._ports(host), {network.id: network for network in host.networks or ()}
        differing = _drift_of(host, networks)
        for container in host.containers or ():
            identity = container.id
            known = before.get(identity)
            inputs = (
                container,
                known.networks
                if same_networks and known is not None and known.container is container
                else tuple([networks.get(endpoint.network_id) for endpoint in container.endpoints]),
                ports.get(identity, _NONE),
                differing.get(identity, _NONE),
            )
            self.own[identity] = known if known is not None and known.is_of(*inputs) else _owned(*inputs)

    def _ports(self, host: Host) -> dict[str, list[Port]]:
        """By container; of others is told what belongs together."""
        found: dict[str, list[Port]] = {}
        known = {container.id for container in host.containers or ()}
        for port in host.ports or ():
            if port.container_id in known:
                found.setdefault(port.container_id, []).append(port)
            elif port.dnat is not None:
                for value, other in ((port, port.dnat), (port.dnat, port)):
                    self.ownerless.setdefault(ref_of(value), set()).add(ref_of(other))
        return found

    def _found(self, network: Network) -> None:
        """A network is known by its bridge and subnets, also while nobody is on it."""
        ref = ref_of(network)
        keys: set[_Key] = {*network.subnets, *((network.bridge,) if network.bridge else ())}
        self.network_keys[ref] = keys
        self.networks |= dict.fromkeys(keys, ref)

    def _follow_shared(self, host: Host) -> None:
        """A container in another's namespace has all that the other has."""
        sharing = [container for container in host.containers or () if container.shares_with]
        by_name = {container.name: container.id for container in host.containers or ()} if sharing else {}
        for container in sharing:
            other = by_name.get(container.shares_with or "")
            if other is not None and other != container.id:
                one, theirs = self.own[container.id], self.own[other]
                things = one.things | (theirs.things - {Ref("container", other)})
                self.own[container.id] = replace(one, keys=one.keys | theirs.keys, things=things)


_Moved = Sequence[tuple[str, _Own | None, _Own | None]]
"""The id of a container, what was its own, what is; None where it was or is not there."""


def _moved(old: Mapping[str, _Own], new: Mapping[str, _Own]) -> _Moved:
    names = [*compress(new, map(is_not, new.values(), map(old.get, new))), *(old.keys() - new.keys())]
    return [(name, old.get(name), new.get(name)) for name in names]


def _exchanged_by(
    moved: _Moved, read: Callable[[_Own], frozenset[T]]
) -> tuple[list[tuple[T, str]], list[tuple[T, str]]]:
    """What containers had and have no more, and what they have now, each with the container's id."""
    gone: list[tuple[T, str]] = []
    came: list[tuple[T, str]] = []
    nothing: frozenset[T] = frozenset()
    for identity, was, now in moved:
        before, here = read(was) if was else nothing, read(now) if now else nothing
        gone += ((value, identity) for value in before - here)
        came += ((value, identity) for value in here - before)
    return gone, came


def _drift_of(host: Host, networks: Mapping[str, Network]) -> dict[str, list[Drift]]:
    """A difference is the container's that it names, else of all on its network."""
    found: dict[str, list[Drift]] = {}
    for drift in host.drift or ():
        if drift.container_id is not None:
            found.setdefault(drift.container_id, []).append(drift)
        elif drift.network_id in networks:
            for container in host.containers or ():
                if any(endpoint.network_id == drift.network_id for endpoint in container.endpoints):
                    found.setdefault(container.id, []).append(drift)
    return found


def _owned(
    container: Container, networks: tuple[Network | None, ...], ports: Sequence[Port], drift: Sequence[Drift]
) -> _Own:
    keys: set[_Key] = set()
    things = {ref_of(container), *map(ref_of, drift)}
    for endpoint, network in zip(container.endpoints, networks, strict=True):
        ips = [address.ip for address in endpoint.addresses]
        keys.update(ips)
        things.update(map(address_ref, ips))
        if endpoint.veth:
            keys.add(endpoint.veth)
        if network is not None:
            things.add(ref_of(network))
            if network.bridge and container.running:
                keys.update((network.bridge, *network.subnets))
    for port in ports:
        things.update(ref_of(value) for value in (port, port.dnat) if value is not None)
        if port.live:
            keys.add(host_port(port.proto, port.host_port))
    return _Own(container, networks, ports, drift, frozenset(keys), frozenset(things))


_Pair = tuple[Ref, _Key]


class _References:
    """What the kernel's things name. Knows no container: it outlives their coming and going."""

    def __init__(self, host: Host, before: _References | None) -> None:
        bridges = {link.name for link in host.links or () if link.kind == "bridge"}
        routed = bridges == before._bridges if before else True  # else what a default route names is another thing
        self._bridges: set[str] = bridges
        self._things: tuple[tuple[object, ...], ...]
        self._things = (host.proxies or (), host.links or (), host.neighbours or (), host.routes or ())
        self._rules: NamedRules = NamedRules(host.ruleset, before._rules if before else None)
        self._counts: Counter[_Pair] = before._counts.copy() if before else Counter()
        changes: Counter[_Pair] = Counter()
        for then, now in zip(before._things if before else ((),) * 4, self._things, strict=True):
            gone, came = exchanged(then, now) if routed or now is not self._things[3] else ([*then], [*now])
            changes.subtract(pair for thing in gone for pair in _pairs(thing, before._bridges if before else bridges))
            changes.update(pair for thing in came for pair in _pairs(thing, bridges))
        changes.subtract((ref_of(rule), key) for rule, keys in self._rules.gone for key in keys)
        changes.update((ref_of(rule), key) for rule, keys in self._rules.came for key in keys)
        lost, found = self._count(changes)
        self.of_ref: Mapping[Ref, frozenset[_Key]] = patched(before.of_ref if before else {}, lost, found)
        turned = (((key, ref) for ref, key in pairs) for pairs in (lost, found))
        self.by_key: Mapping[_Key, frozenset[Ref]] = patched(before.by_key if before else {}, *turned)

    def _count(self, changes: Counter[_Pair]) -> tuple[list[_Pair], list[_Pair]]:
        """(the pairs that are no more, those that were not before): two things may have one name."""
        lost, found = [], []
        for pair, change in changes.items():
            was = self._counts[pair]
            if change and not was:
                found.append(pair)
            elif was + change == 0:
                lost.append(pair)
            self._counts[pair] += change
            if not self._counts[pair]:
                del self._counts[pair]
        return lost, found


def _pairs(thing: object, bridges: set[str]) -> Iterator[_Pair]:
    match thing:
        case Proxy():
            yield ref_of(thing), thing.container_ip
        case Link():
            yield ref_of(thing), thing.name
        case Neighbour():
            yield ref_of(thing), thing.ip
        case Route():
            yield from ((ref_of(thing), key) for key in _of_route(thing, bridges))


def _of_route(route: Route, bridges: set[str]) -> set[_Key]:
    """A route by a bridge is its containers'; the default route is everybody's who leaves by it."""
    if route.default and route.table == "main":
        return {*bridges}
    return {route.dev} if route.dev and route.kind == "unicast" else set()


class _Orphans:
    """Addresses that something names and no container has, in the network that they would belong to."""

    def __init__(self, owners: _Owners, references: _References) -> None:
        self.network: dict[_Key, Ref] = {}
        self.keys: dict[Ref, set[_Key]] = {}
        nets = [(net, ref) for net, ref in owners.networks.items() if isinstance(net, (IPv4Network, IPv6Network))]
        for key in set(references.by_key).difference(owners.of_key):
            if isinstance(key, (IPv4Address, IPv6Address)):
                ref = next((ref for net, ref in nets if net.version == key.version and key in net), None)
                if ref is not None:
                    self.network[key] = ref
                    self.keys.setdefault(ref, set()).add(key)


class _Sources:
    """Equal to another when all parts are the very same objects. Counters are no part."""

    def __init__(self, host: Host, *parts: object) -> None:
        self.host = host
        self._parts = parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Sources) and all(a is b for a, b in zip(self._parts, other._parts, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(map(id, self._parts)))


_newest: dict[str, Any] = {}  # of the host that was asked for last; none of them is ever changed


@lru_cache(maxsize=2)  # the host on screen and the one that comes
def _owners_of(sources: _Sources) -> _Owners:
    made = _newest["owners"] = _Owners(sources.host, _newest.get("owners"))
    return made


@lru_cache(maxsize=2)
def _named_of(sources: _Sources) -> _References:
    made = _newest["references"] = _References(sources.host, _newest.get("references"))
    return made


@lru_cache(maxsize=2)
def _unowned_of(sources: _Sources) -> _Orphans:
    return _Orphans(_owners(sources.host), _references_of(sources.host))


def _of_container(container: Container) -> tuple[object, ...]:
    """What of a container bears on what belongs to it."""
    return container.id, container.name, container.running, container.endpoints, container.shares_with


_containers = Unchanged(_of_container)


def _owners(host: Host) -> _Owners:
    return _owners_of(_Sources(host, *_of_engine(host)))


def _references_of(host: Host) -> _References:
    return _named_of(_Sources(host, *_of_kernel(host)))


def _orphans_of(host: Host) -> _Orphans:
    return _unowned_of(_Sources(host, *_of_engine(host), *_of_kernel(host)))


def _of_engine(host: Host) -> tuple[object, ...]:
    containers = None if host.containers is None else _containers.of(host.containers)
    return containers, host.networks, _shape(host), host.proxies, host.listeners, host.drift


def _of_kernel(host: Host) -> tuple[object, ...]:
    return host.links, host.routes, host.neighbours, host.proxies, _shape(host)


def _shape(host: Host) -> object:
    return host.ruleset.shape or host.ruleset if host.ruleset else None
