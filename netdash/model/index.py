"""What a host's things are to each other, looked up by id, name or address. Built once a host; knows no layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import cached_property, lru_cache

from netdash.model.engine_state import Drift
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import (
    IP,
    Chain,
    Container,
    Endpoint,
    Host,
    Link,
    Network,
    PolicyRule,
    Port,
    Proxy,
    Ref,
    Route,
    Rule,
    Ruleset,
)
from netdash.model.relations import ref_of
from netdash.model.source import Source


class Index:
    """Look-ups that several rows of one host share."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._ruleset = host.ruleset
        self.kept_until = host.kept_until
        self.containers_known = host.containers is not None
        self.containers = {container.id: container for container in host.containers or ()}
        self.networks = {network.id: network for network in host.networks or ()}
        self._networks_by_name = {network.name: network for network in host.networks or ()}
        self.links = {link.name: link for link in host.links or ()}
        self.owners = owners_of(host.containers or ())
        self.veths: dict[str, Container] = {}
        self._ends: dict[str, list[Endpoint]] = {}
        self._on: dict[str, set[str]] = {}
        self._ports: dict[str, list[Port]] = {}
        for container in host.containers or ():
            self._attach(container)
        self._drift = host.drift or ()
        for port in host.ports or ():
            if port.container_id:
                self._ports.setdefault(port.container_id, []).append(port)

    def _attach(self, container: Container) -> None:
        for endpoint in container.endpoints:
            network = self.network(endpoint)
            if network:
                self._ends.setdefault(network.id, []).append(endpoint)
                self._on.setdefault(network.id, set()).add(container.id)
            if endpoint.veth:
                self.veths[endpoint.veth] = container

    def network(self, endpoint: Endpoint) -> Network | None:
        return self.networks.get(endpoint.network_id) or self._networks_by_name.get(endpoint.network)

    def members(self, network: Network) -> int | None:
        """How many containers are on it; None where the containers are not known."""
        return len(self._ends.get(network.id, ())) if self.containers_known else None

    def on_network(self, network: Network) -> Set[str]:
        """Ids of the containers that are on it."""
        return self._on.get(network.id, frozenset())

    def bridge(self, endpoint: Endpoint) -> str | None:
        network = self.network(endpoint)
        return network.bridge if network else None

    def ends_at(self, ip: IP) -> Sequence[tuple[Container, Endpoint]]:
        """The endpoints that have an address, by the engine's word."""
        return self._ends_by_address.get((ip.version, int(ip)), ())

    @cached_property
    def _ends_by_address(self) -> dict[tuple[int, int], list[tuple[Container, Endpoint]]]:
        found: dict[tuple[int, int], list[tuple[Container, Endpoint]]] = {}
        for container in self.containers.values():
            for end in container.endpoints:
                for own in end.addresses:
                    found.setdefault((own.version, int(own.ip)), []).append((container, end))
        return found

    def networks_around(self, ip: IP) -> Iterator[Network]:
        """The networks of whose subnets an address is."""
        number, bits = int(ip), ip.max_prefixlen
        for version, length in self._subnet_lengths:
            if version == ip.version:
                yield from self._by_subnet.get((version, length, number >> (bits - length)), ())

    @cached_property
    def _by_subnet(self) -> dict[tuple[int, int, int], list[Network]]:
        found: dict[tuple[int, int, int], list[Network]] = {}
        for network in self.networks.values():
            for net in network.subnets:
                length = net.prefixlen
                key = net.version, length, int(net.network_address) >> (net.max_prefixlen - length)
                found.setdefault(key, []).append(network)
        return found

    @cached_property
    def _subnet_lengths(self) -> tuple[tuple[int, int], ...]:
        return tuple(dict.fromkeys(key[:2] for key in self._by_subnet))

    def gateways(self, network: Network) -> tuple[IP, ...] | None:
        """Those that the network names, and for an address family without one those that its containers have: an
        engine that chose them itself does not tell them in /networks. None: nobody says whether there is one."""
        ends = self._ends.get(network.id, ())
        named = {ip.version for ip in network.gateways}
        found = dict.fromkeys(ip for end in ends for ip in end.gateways if ip.version not in named)
        seen = any(end.addresses for end in ends)
        if not named and not found and network.subnets and not seen:
            return None
        return (*network.gateways, *sorted(found, key=lambda ip: (ip.version, int(ip))))

    def ports(self, container_id: str) -> list[Port]:
        return self._ports.get(container_id, [])

    def served_by(self, proxy: Proxy) -> Sequence[Port]:
        """The ports whose packets this docker-proxy carries."""
        return self._ports_by_proxy.get(proxy.pid, ())

    @cached_property
    def _ports_by_proxy(self) -> dict[int, list[Port]]:
        found: dict[int, list[Port]] = {}
        for port in (port for ports in self._ports.values() for port in ports):
            if port.proxy is not None:
                found.setdefault(port.proxy.pid, []).append(port)
        return found

    def drift_of_port(self, port: Port) -> list[Drift]:
        """What differs of the rules for a published port."""
        key = (port.container_id, port.proto, port.host_port)
        return [drift for drift in self._drift_by_port.get(key, ()) if _bound(drift, port)]

    def drift_of_network(self, network_id: str) -> list[Drift]:
        """What differs of the rules for a network as a whole."""
        return self._drift_by_network.get(network_id, [])

    def drift_of_container(self, container_id: str) -> list[Drift]:
        return self._drift_by_container.get(container_id, [])

    @cached_property
    def bridges_with_unknown_ports(self) -> frozenset[str]:
        """Bridges that a running container is on, nobody knows by which port."""
        ends = (
            end
            for container in self.containers.values()
            if container.running
            for end in container.endpoints
            if not end.veth
        )
        return frozenset(name for end in ends if end.addresses and (name := self.bridge(end)))

    @cached_property
    def _drift_by_port(self) -> dict[tuple[str | None, str, int | None], list[Drift]]:
        found: dict[tuple[str | None, str, int | None], list[Drift]] = {}
        for drift in self._drift:
            if drift.binding is not None:
                key = (drift.container_id, drift.binding.proto, drift.binding.host_port)
                found.setdefault(key, []).append(drift)
        return found

    @cached_property
    def _drift_by_network(self) -> dict[str, list[Drift]]:
        found: dict[str, list[Drift]] = {}
        for drift in self._drift:
            if drift.network_id and drift.container_id is None:
                found.setdefault(drift.network_id, []).append(drift)
        return found

    @cached_property
    def _drift_by_container(self) -> dict[str, list[Drift]]:
        found: dict[str, list[Drift]] = {}
        for drift in self._drift:
            if drift.container_id:
                found.setdefault(drift.container_id, []).append(drift)
        return found

    @cached_property
    def chains(self) -> dict[Ref, Chain]:
        return {ref_of(chain): chain for chain in self._ruleset.chains} if self._ruleset else {}

    @property
    def callers(self) -> Mapping[tuple[str, str, str, str], Sequence[Rule]]:
        """The rules that lead to a chain, by backend, family, table and name of the chain. Counters may be old."""
        return _callers(_Shape(self._ruleset)) if self._ruleset else {}

    def name(self, container_id: str | None) -> str | None:
        container = self.containers.get(container_id or "")
        return container.name if container else None

    def link(self, name: str | None) -> Link | None:
        return self.links.get(name or "")


def _bound(drift: Drift, port: Port) -> bool:
    """Whether it is of the same address: none and 0.0.0.0 are one."""
    ip = drift.binding.host_ip if drift.binding else None
    return ip == port.host_ip or (ip is None and port.host_ip.is_unspecified and port.host_ip.version == 4)


@lru_cache(maxsize=2)  # the host on screen and the one that comes
def index_of(host: Host) -> Index:
    """The index of `host`; the last one is kept, as rows, cards and JSON of one host are asked for together."""
    return Index(host)


class _Shape:
    """A ruleset that is equal to the next one as long as only counters differ."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.ruleset = ruleset
        self._identity = ruleset.shape or ruleset

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Shape) and self._identity is other._identity

    def __hash__(self) -> int:
        return id(self._identity)


@lru_cache(maxsize=2)
def _callers(shape: _Shape) -> Mapping[tuple[str, str, str, str], Sequence[Rule]]:
    found: dict[tuple[str, str, str, str], list[Rule]] = {}
    for rule in (rule for chain in shape.ruleset.chains for rule in chain.rules):
        target = rule.target
        if not target.chain and not target.elements:
            continue
        named = [target.chain, *(verdict.rpartition(" ")[2] for _, verdict in target.elements)]
        for name in filter(None, dict.fromkeys(named)):
            found.setdefault((rule.backend, rule.family, rule.table, name), []).append(rule)
    return found


def owners_of(containers: Iterable[Container]) -> dict[IP, Container]:
    """Whose an address is."""
    return {own.ip: container for container in containers for end in container.endpoints for own in end.addresses}


def begins_id(identity: str, word: str) -> bool:
    """Whether a user's word stands for this id: any start of it, as with Docker."""
    return bool(word) and identity.startswith(word.lower())


def called(containers: Iterable[Container], word: str) -> list[Container]:
    """The container of this name, else those whose ids begin so."""
    known = list(containers)
    named = [container for container in known if container.name == word.removeprefix("/")]
    return named or [container for container in known if begins_id(container.id, word)]


def find_container(host: Host, word: str, hint: str = "see: netdash containers", also: Sequence[str] = ()) -> Container:
    """The one container that a user's word stands for. Raises NetdashError with the nearest names, among them `also`,
    or the hint."""
    if host.containers is None:
        failure = host.failures.get(Source.DOCKER)
        raise NetdashError("containers could not be read" + (f": {failure.reason}" if failure else ""))
    found = called(host.containers, word)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(container.name for container in found[:4])
        raise NetdashError(f"{word!r} begins the ids of {len(found)} containers: {names}", code=Exit.USAGE)
    raise NetdashError(
        f"no container {word!r}",
        _nearest([*also, *(container.name for container in host.containers)], word) or hint,
        Exit.USAGE,
    )


def _nearest(names: Sequence[str], word: str) -> str:
    if not names:
        return "this host has none"
    import difflib  # only where something was mistyped

    lower = {name.casefold(): name for name in names}
    near = [lower[name] for name in difflib.get_close_matches(word.casefold()[:256], lower, 3, 0.4)]
    near += [name for key, name in lower.items() if word and word.casefold() in key and name not in near]
    return f"did you mean {', '.join(near[:3])}?" if near else ""


def by_table(routes: tuple[Route, ...] | None, policy: tuple[PolicyRule, ...] | None) -> list[Route | PolicyRule]:
    """Routes of the main table first, the kernel's own local ones last, and the policy rules that choose at the end."""
    rank = {"main": 0, "local": 2}
    ordered = sorted(routes or (), key=lambda route: (rank.get(route.table, 1), route.table, route.family))
    return [*ordered, *(policy or ())]


# --- containers that share another's network namespace, and those that were left behind in it -------------------------


def namespace_owner(container: Container) -> str | None:
    """Name of the container whose network namespace it has now; None for one with its own alone."""
    return None if container.left_behind else container.shares_with


def sharing(host: Host, container: Container) -> Container:
    """The container whose namespace this one uses: itself, or X of `container:X`."""
    owner = namespace_owner(container)
    return (
        container
        if not owner
        else next((container for container in host.containers or () if container.name == owner), container)
    )


def why_lost(container: Container) -> str:
    """Why one that was left behind has no way in or out."""
    owner = container.shares_with
    return f"{container.name} was left behind: its network namespace, with lo alone, is not that of {owner} any more"
