"""What belongs to what: from any thing on the screen to its containers, and from containers to everything of theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from netdash.core.model import (
    IP,
    Chain,
    Container,
    Endpoint,
    Host,
    Link,
    Neighbour,
    Network,
    PolicyRule,
    Port,
    Proxy,
    Ref,
    Route,
    Rule,
    Ruleset,
)

# --- names of things, the same in every refresh -----------------------------------------------------------------------


def ref_of(thing: object) -> Ref:
    """The reference of a record. Raises KeyError for a type that no view lists."""
    return Ref(*_KEYS[type(thing)](thing))


def address_ref(ip: IP) -> Ref:
    return Ref("address", str(ip))


def chain_ref(rule: Rule) -> Ref:
    return Ref("chain", f"{rule.backend} {rule.family} {rule.table} {rule.chain}")


def _port_key(port: Port) -> str:
    down = "" if port.live else f"/{port.container_id}"
    return f"{port.proto}/{port.host_ip}/{port.host_port}{down}"


def _rule_key(rule: Rule) -> str:
    nth = f" #{rule.occurrence}" if rule.occurrence > 1 else ""
    return f"{rule.backend} {rule.family} {rule.table} {rule.chain} {rule.text}{nth}"


def _route_key(route: Route) -> str:
    return f"{route.table} {route.kind} {route.dst} {route.gateway} {route.dev} {route.metric}"


_KEYS: dict[type, Callable[[Any], tuple[str, str]]] = {
    Container: lambda one: ("container", one.id),
    Network: lambda one: ("network", one.id),
    Port: lambda one: ("port", _port_key(one)),
    Rule: lambda one: ("rule", _rule_key(one)),
    Chain: lambda one: ("chain", f"{one.backend} {one.family} {one.table} {one.name}"),
    Route: lambda one: ("route", _route_key(one)),
    PolicyRule: lambda one: ("policy", f"{one.family} {one.priority} {one.text}"),
    Proxy: lambda one: ("proxy", str(one.pid)),
    Link: lambda one: ("link", one.name),
    Neighbour: lambda one: ("neighbour", f"{one.dev} {one.ip}"),
}

# --- relations --------------------------------------------------------------------------------------------------------


def related(host: Host, ref: Ref) -> frozenset[Ref]:
    """Everything that belongs to the same containers as `ref`, in every view; `ref` itself included."""
    index = _index(host)
    found = {ref}
    for identity in index.owners.get(ref, ()):
        found |= index.belongings.get(identity, set())
    return frozenset(found)


def containers_of(host: Host, ref: Ref) -> tuple[str, ...]:
    """Ids of the containers that `ref` belongs to, in the host's order."""
    owners = _index(host).owners.get(ref, set())
    return tuple(one.id for one in host.containers or () if one.id in owners)


class _Index:
    """Both directions, built once a host."""

    def __init__(self, host: Host) -> None:
        self.owners: dict[Ref, set[str]] = {}
        self.belongings: dict[str, set[Ref]] = {}
        self._addresses: dict[IP, str] = {}
        self._bridges: dict[str, set[str]] = {}
        self._veths: dict[str, str] = {}
        self._networks = {network.id: network for network in host.networks or ()}
        for container in host.containers or ():
            self._add(ref_of(container), {container.id})
            for endpoint in container.endpoints:
                self._attach(container, endpoint)
        self._follow_shared(host)
        for thing, identities in self._relations(host):
            self._add(ref_of(thing), identities)
        for ip, identity in self._addresses.items():
            self._add(address_ref(ip), {identity})

    def _add(self, ref: Ref, identities: Iterable[str]) -> None:
        for identity in identities:
            self.owners.setdefault(ref, set()).add(identity)
            self.belongings.setdefault(identity, set()).add(ref)

    def _attach(self, container: Container, endpoint: Endpoint) -> None:
        for one in endpoint.addresses:
            self._addresses[one.ip] = container.id
        network = self._networks.get(endpoint.network_id)
        if network is not None:
            self._add(ref_of(network), {container.id})
        if network is not None and network.bridge and container.running:
            self._bridges.setdefault(network.bridge, set()).add(container.id)
        if endpoint.veth:
            self._veths[endpoint.veth] = container.id

    def _follow_shared(self, host: Host) -> None:
        """A container in another's namespace has all that the other has."""
        by_name = {one.name: one.id for one in host.containers or ()}
        for container in host.containers or ():
            other = by_name.get(container.shares_with or "")
            if other:
                for ref in self.belongings.get(other, set()) - {Ref("container", other)}:
                    self._add(ref, {container.id})

    def _relations(self, host: Host) -> Iterator[tuple[object, set[str]]]:
        for port in host.ports or ():
            if port.container_id:
                yield port, {port.container_id}
            if port.container_id and port.dnat:
                yield port.dnat, {port.container_id}
        for proxy in host.proxies or ():
            yield proxy, self._of_ips((proxy.container_ip,))
        for link in host.links or ():
            yield link, self._of_link(link)
        for neighbour in host.neighbours or ():
            yield neighbour, self._of_ips((neighbour.ip,))
        for route in host.routes or ():
            yield route, self._of_route(route)
        yield from self._of_rules(host.ruleset)

    def _of_ips(self, ips: Iterable[IP]) -> set[str]:
        return {self._addresses[ip] for ip in ips if ip in self._addresses}

    def _of_link(self, link: Link) -> set[str]:
        owner = self._veths.get(link.name)
        return {owner} if owner else self._bridges.get(link.name, set())

    def _of_route(self, route: Route) -> set[str]:
        """A route by a bridge is its containers'; the default route is everybody's who leaves by it."""
        if route.default and route.table == "main":
            return {identity for found in self._bridges.values() for identity in found}
        return self._bridges.get(route.dev or "", set()) if route.kind == "unicast" else set()

    def _of_rules(self, ruleset: Ruleset | None) -> Iterator[tuple[Rule, set[str]]]:
        for chain in ruleset.chains if ruleset else ():
            for rule in chain.rules:
                found = self._of_rule(rule)
                if found:
                    yield rule, found

    def _of_rule(self, rule: Rule) -> set[str]:
        """By the addresses that it names; a rule that names none, by its bridges and its subnet's containers."""
        found = self._of_ips((rule.target.address,)) if rule.target.address else set()
        bridges: set[str] = set()
        for match in rule.matches:
            if match.key in ("src", "dst"):
                for value in match.values:
                    found |= self._of_net(value)
            elif match.key in ("iif", "oif"):
                for value in match.values:
                    bridges |= self._bridges.get(str(value), set())
        return found or bridges

    def _of_net(self, value: Any) -> set[str]:
        size = getattr(value, "num_addresses", 0)
        if size == 1:
            return self._of_ips((value.network_address,))
        for network in self._networks.values():
            if size and value in network.subnets and network.bridge:
                return self._bridges.get(network.bridge, set())
        return set()


class _Sources:
    """What an index is made of; equal to another when all parts are the very same objects. Counters are no part."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._parts = (
            host.containers,
            host.networks,
            host.links,
            host.routes,
            host.neighbours,
            host.proxies,
            host.listeners,
            host.ruleset.shape or host.ruleset if host.ruleset else None,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Sources) and all(a is b for a, b in zip(self._parts, other._parts, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(map(id, self._parts)))


@lru_cache(maxsize=2)  # the host on screen and the one that comes
def _index_of(sources: _Sources) -> _Index:
    return _Index(sources.host)


def _index(host: Host) -> _Index:
    return _index_of(_Sources(host))


def prepare(host: Host) -> None:
    """Build the index now, so that the first question does not wait for it."""
    _index(host)
