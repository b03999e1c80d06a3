"""What an engine's rules are written for: a network in one address family, the addresses on it, the published ports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from netdash.kernel.swarm import GWBRIDGE
from netdash.model.host import IP, Binding, Container, Net, Network


@dataclass(frozen=True, slots=True)
class Side:
    """A bridge network in one address family."""

    network: Network
    family: str  # ip, ip6
    bridge: str
    subnets: tuple[Net, ...]
    mode: str  # nat, nat-unprotected, routed, isolated

    @property
    def closed(self) -> bool:
        """Whether nothing leaves it or comes in."""
        return self.network.internal or self.mode == "isolated"

    @property
    def translated(self) -> bool:
        """Whether ports are published by DNAT, and what leaves may take the host's address."""
        return not self.closed and self.mode in ("nat", "nat-unprotected")


@dataclass(frozen=True, slots=True)
class Publication:
    """A published port at the address that its packets should go to. `host_port` None: opened without translation."""

    container: Container
    side: Side
    binding: Binding
    address: IP
    host_ip: IP | None  # None: any
    certain: bool = True  # False: another network of the container may carry it

    @property
    def name(self) -> str:
        number = self.binding.host_port or self.binding.container_port
        return f"{number}/{self.binding.proto}"


def sides_of(networks: Iterable[Network], family: str) -> tuple[Side, ...]:
    """The bridge networks that have this family. Drivers without a bridge have no rules."""
    return tuple(side for network in networks if (side := _side(network, family)))


def _side(network: Network, family: str) -> Side | None:
    version = 6 if family == "ip6" else 4
    subnets = tuple(net for net in network.subnets if net.version == version)
    bridged = network.driver == "bridge" and network.bridge and network.name != GWBRIDGE
    if not bridged or not subnets or (version == 6 and not network.ipv6):
        return None
    return Side(network, family, network.bridge or "", subnets, network.gateway_modes[version == 6])


class Attached:
    """Who is on the sides of one family."""

    def __init__(self, sides: Iterable[Side]) -> None:
        self.sides = tuple(sides)
        self._by_id = {side.network.id: side for side in self.sides}
        self._by_name = {side.network.name: side for side in self.sides}

    def addresses(self, container: Container) -> list[tuple[Side, IP, int]]:
        """(side, address, the endpoint's gateway priority) of a container that runs."""
        if not container.running:
            return []
        found = []
        for endpoint in container.endpoints:
            side = self._by_id.get(endpoint.network_id) or self._by_name.get(endpoint.network)
            version = 6 if side and side.family == "ip6" else 4
            own = next((address.ip for address in endpoint.addresses if address.version == version), None)
            if side and own is not None:
                found.append((side, own, endpoint.gateway_priority))
        return found

    def publications(self, container: Container, evidence: Evidence, any_family: bool = False) -> Iterator[Publication]:
        """Each live binding of this family once, at one address. `any_family`: 0.0.0.0 may stand for all addresses."""
        candidates = [address for address in self.addresses(container) if not address[0].closed]
        if not candidates:
            return
        version = 6 if candidates[0][0].family == "ip6" else 4
        seen: set[tuple[object, ...]] = set()
        for binding in container.bindings:
            told = binding.host_ip
            key = (binding.proto, binding.container_port, binding.host_port, told)
            wildcard = told is None or told.is_unspecified
            ours = (told.version if told else 4) == version
            if key in seen or not (ours or (any_family and wildcard)):
                continue
            seen.add(key)
            side, address = _carrier(candidates, container, binding, evidence)
            yield Publication(
                container, side, binding, address, None if wildcard else told, ours and len(candidates) == 1
            )


Evidence = Mapping[tuple[str, int], frozenset[IP]]
"""By protocol and host port: the addresses that rules and proxies send it to."""


def _carrier(
    candidates: list[tuple[Side, IP, int]], container: Container, binding: Binding, evidence: Evidence
) -> tuple[Side, IP]:
    """The endpoint that carries a port is the one with the default gateway: of several the API tells the priority
    only, so rules and proxies decide where they agree with one of them."""
    told = evidence.get((binding.proto, binding.host_port or 0), frozenset())
    named = [candidate for candidate in candidates if candidate[1] in told]
    if len(named) == 1:
        return named[0][0], named[0][1]
    gateways = container.default_gateways or frozenset()
    leading = [candidate for candidate in candidates if gateways & set(candidate[0].network.gateways)]
    if len(leading) == 1:
        return leading[0][0], leading[0][1]
    best = min(named or candidates, key=lambda one: (-one[2], not one[0].network.ipv6, one[0].network.name))
    return best[0], best[1]
