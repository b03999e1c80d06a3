"""What belongs to what: from any thing on the screen to its containers, and from containers to everything of theirs."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from netdash.model.drift import Drift
from netdash.model.finding import Finding, health_of
from netdash.model.flow import Flow
from netdash.model.host import (
    IP,
    Chain,
    Container,
    Endpoint,
    Host,
    Link,
    Neighbour,
    Net,
    Network,
    PolicyRule,
    Port,
    Proxy,
    Ref,
    Route,
    Rule,
    RulesNote,
)
from netdash.model.memory import Unchanged
from netdash.model.rule_references import RuleKey, of_rules
from netdash.model.rule_references import host_port as _host_port

# --- names of things, the same in every refresh -----------------------------------------------------------------------


def ref_of(thing: object) -> Ref:
    """The reference of a record. Raises KeyError for a type that no view lists."""
    return Ref(*_KEYS[type(thing)](thing))


@lru_cache(maxsize=16384)
def _text(ip: IP | Net | None) -> str:
    """Writing an address takes ten times as long as looking it up, and every refresh names all."""
    return str(ip)


def address_ref(ip: IP) -> Ref:
    return Ref("address", _text(ip))


def chain_ref(rule: Rule) -> Ref:
    return Ref("chain", f"{rule.backend} {rule.family} {rule.table} {rule.chain}")


def _port_key(port: Port) -> str:
    down = "" if port.live else f"/{port.container_id}"
    device = f"%{port.device}" if port.device else ""
    return f"{port.proto}/{_text(port.host_ip)}{device}/{port.host_port}{down}"


def _rule_key(rule: Rule) -> str:
    nth = f" #{rule.occurrence}" if rule.occurrence > 1 else ""
    return f"{rule.backend} {rule.family} {rule.table} {rule.chain} {rule.text}{nth}"


def _route_key(route: Route) -> str:
    return f"{route.table} {route.kind} {_text(route.dst)} {_text(route.gateway)} {route.dev} {route.metric}"


def _drift_key(drift: Drift) -> str:
    """Of a live rule by the rule; of a missing one by what it would say."""
    binding = drift.binding
    port = f" {binding.proto}/{_text(binding.host_ip)}/{binding.host_port}" if binding else ""
    what = (
        _rule_key(drift.rule)
        if drift.rule
        else f"{drift.backend} {drift.family} {drift.table} {drift.chain} {drift.text}"
    )
    return f"{drift.kind.value} {what}{port} {drift.container_id}"


_KEYS: dict[type, Callable[[Any], tuple[str, str]]] = {
    Container: lambda one: ("container", one.id),
    Network: lambda one: ("network", one.id),
    Port: lambda one: ("port", _port_key(one)),
    Rule: lambda one: ("rule", _rule_key(one)),
    RulesNote: lambda one: ("note", one.text),
    Chain: lambda one: ("chain", f"{one.backend} {one.family} {one.table} {one.name}"),
    Route: lambda one: ("route", _route_key(one)),
    PolicyRule: lambda one: ("policy", f"{one.family} {one.priority} {one.text}"),
    Proxy: lambda one: ("proxy", str(one.pid)),
    Link: lambda one: ("link", one.name),
    Drift: lambda one: ("drift", _drift_key(one)),
    Finding: lambda one: ("finding", f"{one.code} {one.sentence}"),
    Neighbour: lambda one: ("neighbour", f"{one.dev} {_text(one.ip)}"),
    Flow: lambda one: ("flow", one.key),
}

# --- relations --------------------------------------------------------------------------------------------------------


def related(host: Host, ref: Ref) -> frozenset[Ref]:
    """Everything that belongs to the same containers as `ref`, in every view; `ref` itself included."""
    owners, references = _owners(host), _references_of(host)
    orphans = _orphans_of(host)
    named = references.of_ref.get(ref, ())
    found = {ref} | {owners.networks[key] for key in named if key in owners.networks}
    found |= {orphans.network[key] for key in named if key in orphans.network}
    found |= owners.ownerless.get(ref, set())
    for key in (*owners.network_keys.get(ref, ()), *orphans.keys.get(ref, ())):
        found |= references.by_key.get(key, set())
    for identity in _of(host, ref):
        found |= owners.belongings[identity]
        for key in owners.known_by[identity]:
            found |= references.by_key.get(key, set())
    return frozenset(found)


def containers_of(host: Host, ref: Ref) -> tuple[str, ...]:
    """Ids of the containers that `ref` belongs to, in the host's order."""
    found = _of(host, ref)
    return tuple(container.id for container in host.containers or () if container.id in found)


def _of(host: Host, ref: Ref) -> set[str]:
    if ref.kind == "finding":
        health = health_of(host)
        mine = (finding for finding in health.findings if ref_of(finding) == ref) if health is not None else iter(())
        return {hit.container for one in mine for hit in one.hits if hit.container is not None}
    if ref.kind == "project":
        return {one.id for one in host.containers or () if (one.compose or "") == ref.key}
    owners, references = _owners(host), _references_of(host)
    found = set(owners.of_ref.get(ref, ()))
    for key in references.of_ref.get(ref, ()):
        found |= owners.of_key.get(key, set())
    return found


_Key = RuleKey
"""What the kernel's things name and containers are known by: an address, a subnet, a device, a host port."""


class _Owners:
    """Who is known by which address, subnet and device, and what is a container's own."""

    def __init__(self, host: Host) -> None:
        self.of_key: dict[_Key, set[str]] = {}
        self.of_ref: dict[Ref, set[str]] = {}
        self.known_by: dict[str, set[_Key]] = {}
        self.belongings: dict[str, set[Ref]] = {}
        self.networks: dict[_Key, Ref] = {}
        self.network_keys: dict[Ref, set[_Key]] = {}
        for network in host.networks or ():
            self._found(network)
        networks = {network.id: network for network in host.networks or ()}
        for container in host.containers or ():
            self.known_by[container.id] = set()
            self.belongings[container.id] = set()
            self._own(container.id, ref_of(container))
            for endpoint in container.endpoints:
                self._attach(container, endpoint, networks.get(endpoint.network_id))
        self.ownerless: dict[Ref, set[Ref]] = {}
        for port in host.ports or ():
            self._publish(port)
        for drift in host.drift or ():
            self._differs(drift)
        self._follow_shared(host)

    def _publish(self, port: Port) -> None:
        identity, rule = port.container_id, port.dnat
        if identity not in self.belongings:
            for one, other in ((port, rule), (rule, port)) if rule else ():
                self.ownerless.setdefault(ref_of(one), set()).add(ref_of(other))
            return
        self._own(identity, ref_of(port))
        if rule:
            self._own(identity, ref_of(rule))
        if port.live:
            self._name(identity, _host_port(port.proto, port.host_port))

    def _differs(self, drift: Drift) -> None:
        """A difference is the container's that it names, else of all on its network."""
        on_network = {Ref("network", drift.network_id or "")}
        for identity, things in self.belongings.items() if drift.container_id is None else ():
            if not on_network.isdisjoint(things):
                self._own(identity, ref_of(drift))
        if drift.container_id in self.belongings:
            self._own(drift.container_id, ref_of(drift))

    def _own(self, identity: str, ref: Ref) -> None:
        self.of_ref.setdefault(ref, set()).add(identity)
        self.belongings[identity].add(ref)

    def _name(self, identity: str, key: _Key) -> None:
        self.of_key.setdefault(key, set()).add(identity)
        self.known_by[identity].add(key)

    def _found(self, network: Network) -> None:
        """A network is known by its bridge and subnets, also while nobody is on it."""
        ref = ref_of(network)
        keys: set[_Key] = {*network.subnets, *((network.bridge,) if network.bridge else ())}
        self.network_keys[ref] = keys
        self.networks |= dict.fromkeys(keys, ref)

    def _attach(self, container: Container, endpoint: Endpoint, network: Network | None) -> None:
        for address in endpoint.addresses:
            self._name(container.id, address.ip)
            self._own(container.id, address_ref(address.ip))
        if endpoint.veth:
            self._name(container.id, endpoint.veth)
        if network is None:
            return
        self._own(container.id, ref_of(network))
        if network.bridge and container.running:
            self._name(container.id, network.bridge)
            for subnet in network.subnets:
                self._name(container.id, subnet)

    def _follow_shared(self, host: Host) -> None:
        """A container in another's namespace has all that the other has."""
        by_name = {container.name: container.id for container in host.containers or ()}
        for container in host.containers or ():
            other = by_name.get(container.shares_with or "")
            if other is None or other == container.id:
                continue
            for ref in self.belongings[other] - {Ref("container", other)}:
                self._own(container.id, ref)
            for key in self.known_by[other]:
                self._name(container.id, key)


class _References:
    """What the kernel's things name. Knows no container: it outlives their coming and going."""

    def __init__(self, host: Host) -> None:
        self.by_key: dict[_Key, set[Ref]] = {}
        self.of_ref: dict[Ref, set[_Key]] = {}
        for proxy in host.proxies or ():
            self._mention(proxy, {proxy.container_ip})
        for link in host.links or ():
            self._mention(link, {link.name})
        for neighbour in host.neighbours or ():
            self._mention(neighbour, {neighbour.ip})
        bridges = {link.name for link in host.links or () if link.kind == "bridge"}
        for route in host.routes or ():
            self._mention(route, _of_route(route, bridges))
        if host.ruleset:
            for rule, keys in of_rules(host.ruleset):
                self._mention(rule, keys)

    def _mention(self, thing: object, keys: set[_Key]) -> None:
        if keys:
            ref = ref_of(thing)
            self.of_ref[ref] = keys
            for key in keys:
                self.by_key.setdefault(key, set()).add(ref)


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
        for key in references.by_key.keys() - owners.of_key.keys():
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


@lru_cache(maxsize=2)  # the host on screen and the one that comes
def _owners_of(sources: _Sources) -> _Owners:
    return _Owners(sources.host)


@lru_cache(maxsize=2)
def _named_of(sources: _Sources) -> _References:
    return _References(sources.host)


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
