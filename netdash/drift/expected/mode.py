"""In which way an engine writes its rules: as its API tells, or as rules and proxies agree where it does not. And what
the rules are written for: a network in one address family, the addresses on it, the published ports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum

from netdash.kernel.devices import GWBRIDGE
from netdash.model.host import IP, Binding, Chain, Container, Engine, Net, Network, Rule, Ruleset, Verb
from netdash.model.records import dataclass


class Layout(Enum):
    """Generations of rules, each measured on a real engine; SHARED is what all of Docker's iptables have in common."""

    STAGES = "Docker 20.10 to 26"
    FORWARD = "Docker 28.5"
    INTERNAL = "Docker 29 with iptables"
    NATIVE = "Docker 29 with nftables"
    SHARED = "Docker with iptables"
    NETAVARK = "netavark with nftables"


@dataclass(frozen=True, slots=True)
class Mode:
    layout: Layout
    proxy: bool | None  # the userland proxy; None: rules of either way count
    families: tuple[str, ...]  # whose rules are compared: ip, ip6
    legacy: bool  # its chains are in iptables-legacy
    empty: bool  # none of its chains is there

    @property
    def since_28(self) -> bool:
        return self.layout in (Layout.FORWARD, Layout.INTERNAL, Layout.NATIVE)


@dataclass(frozen=True, slots=True)
class Undecided:
    """Why an engine's rules cannot be compared, or a part of them."""

    part: str  # "" for all
    reason: str


_DOCKER = frozenset(
    "DOCKER DOCKER-BRIDGE DOCKER-CT DOCKER-FORWARD DOCKER-INTERNAL DOCKER-ISOLATION-STAGE-1"
    " DOCKER-ISOLATION-STAGE-2".split()
)
NATIVE_TABLE, NETAVARK_TABLE = "docker-bridges", "netavark"


def is_own(layout: Layout, chain: Chain) -> bool:
    """Whether only the engine writes to this chain. DOCKER-USER is the user's, DOCKER-INGRESS is swarm's."""
    if layout is Layout.NATIVE:
        return chain.table == NATIVE_TABLE and chain.family in ("ip", "ip6")
    if layout is Layout.NETAVARK:
        return chain.table == NETAVARK_TABLE and chain.family == "inet"
    return chain.name in _DOCKER and chain.table in ("filter", "nat")


def mode_of(engine: Engine, ruleset: Ruleset, proxied: bool) -> Mode | Undecided:
    """`proxied`: a docker-proxy runs."""
    layout = _layout(engine, ruleset)
    if isinstance(layout, Undecided):
        return layout
    legacy = _legacy(layout, ruleset)
    own = [chain for chain in ruleset.chains if is_own(layout, chain) and (chain.backend == LEGACY) is legacy]
    families = ("ip", *(("ip6",) if any(chain.family in ("ip6", "inet") for chain in own) else ()))
    here = [chain for chain in ruleset.chains if (chain.backend == LEGACY) is legacy]
    proxy = engine.userland_proxy if engine.userland_proxy is not None else _proxy(layout, here, proxied)
    return Mode(layout, proxy, families, legacy, not own)


LEGACY = "iptables-legacy"


def _layout(engine: Engine, ruleset: Ruleset) -> Layout | Undecided:
    tables = {chain.table for chain in ruleset.chains}
    if engine.name != "docker":
        if NETAVARK_TABLE in tables:
            return Layout.NETAVARK
        return Undecided(
            "", "netavark's table is not there: its rules may be flushed, or its iptables driver writes them"
        )
    if engine.rootless:
        return Undecided("", "a rootless engine: what its port driver hands over is not in the API")
    version = re.match(r"(\d{1,9})\.(\d{1,9})", engine.version)
    major, minor = (int(version[1]), int(version[2])) if version else (0, 0)
    if major == 29:
        native = engine.firewall == "nftables" or (engine.firewall is None and NATIVE_TABLE in tables)
        return Layout.NATIVE if native else Layout.INTERNAL
    if (major, minor) >= (28, 5) and major == 28:
        return Layout.FORWARD
    if (major, minor) == (20, 10) or 23 <= major <= 26:
        return Layout.STAGES
    if major in (27, 28) or 17 <= major <= 20 or (major, minor) in ((1, 12), (1, 13)):
        return Layout.SHARED
    return Undecided("", f"what Docker {engine.version[:40]} writes is not known")


def _legacy(layout: Layout, ruleset: Ruleset) -> bool:
    """Docker uses one of the two backends: the one where its chains hold more rules."""
    sizes = {True: -1, False: -1}
    for chain in ruleset.chains:
        if is_own(layout, chain):
            side = chain.backend == LEGACY
            sizes[side] = max(sizes[side], 0) + len(chain.rules)
    return sizes[True] > sizes[False]


def _proxy(layout: Layout, chains: Iterable[Chain], proxied: bool) -> bool | None:
    """The userland proxy shows in its processes and in the rules; None where they do not agree, or are not there."""
    signs = {True} if proxied else set()
    for chain in chains:
        if chain.family != "ip" or layout is Layout.NETAVARK:
            continue
        if chain.hook == "output" and chain.table in ("nat", NATIVE_TABLE):
            signs |= {any(match.key == "dst" for match in rule.matches) for rule in chain.rules if _enters(rule)}
        elif is_own(layout, chain):
            signs |= {_guarded(rule) for rule in chain.rules if rule.target.verb is Verb.DNAT and rule.matches}
    return signs.pop() if len(signs) == 1 else None


def _enters(rule: Rule) -> bool:
    return rule.target.verb is Verb.JUMP and rule.target.chain in ("DOCKER", "nat-prerouting-and-output")


def _guarded(rule: Rule) -> bool:
    """Whether it leaves what comes from the container's own bridge to the proxy."""
    return any(match.key == "iif" and match.negated for match in rule.matches)


# --- what the rules are written for -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NetworkFamily:
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
    side: NetworkFamily
    binding: Binding
    address: IP
    host_ip: IP | None  # None: any
    certain: bool = True  # False: another network of the container may carry it

    @property
    def name(self) -> str:
        number = self.binding.host_port or self.binding.container_port
        return f"{number}/{self.binding.proto}"


def network_families(networks: Iterable[Network], family: str) -> tuple[NetworkFamily, ...]:
    """The bridge networks that have this family. Drivers without a bridge have no rules."""
    return tuple(side for network in networks if (side := _network_family(network, family)))


def _network_family(network: Network, family: str) -> NetworkFamily | None:
    version = 6 if family == "ip6" else 4
    subnets = tuple(net for net in network.subnets if net.version == version)
    bridged = network.driver == "bridge" and network.bridge and network.name != GWBRIDGE
    if not bridged or not subnets or (version == 6 and not network.ipv6):
        return None
    return NetworkFamily(network, family, network.bridge or "", subnets, network.gateway_modes[version == 6])


class Attached:
    """Who is on the sides of one family."""

    def __init__(self, sides: Iterable[NetworkFamily]) -> None:
        self.sides = tuple(sides)
        self._by_id = {side.network.id: side for side in self.sides}
        self._by_name = {side.network.name: side for side in self.sides}

    def addresses(self, container: Container) -> list[tuple[NetworkFamily, IP, int]]:
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
            host_ip = binding.host_ip
            key = (binding.proto, binding.container_port, binding.host_port, host_ip)
            wildcard = host_ip is None or host_ip.is_unspecified
            ours = (host_ip.version if host_ip else 4) == version
            if key in seen or not (ours or (any_family and wildcard)):
                continue
            seen.add(key)
            side, address = _carrier(candidates, container, binding, evidence)
            yield Publication(
                container, side, binding, address, None if wildcard else host_ip, ours and len(candidates) == 1
            )


Evidence = Mapping[tuple[str, int], frozenset[IP]]
"""By protocol and host port: the addresses that rules and proxies send it to."""


def _carrier(
    candidates: list[tuple[NetworkFamily, IP, int]], container: Container, binding: Binding, evidence: Evidence
) -> tuple[NetworkFamily, IP]:
    """The endpoint that carries a port is the one with the default gateway: of several the API tells the priority
    only, so rules and proxies decide where they agree with one of them."""
    addresses = evidence.get((binding.proto, binding.host_port or 0), frozenset())
    named = [candidate for candidate in candidates if candidate[1] in addresses]
    if len(named) == 1:
        return named[0][0], named[0][1]
    gateways = container.default_gateways or frozenset()
    leading = [candidate for candidate in candidates if gateways & set(candidate[0].network.gateways)]
    if len(leading) == 1:
        return leading[0][0], leading[0][1]
    best = min(named or candidates, key=lambda way: (-way[2], not way[0].network.ipv6, way[0].network.name))
    return best[0], best[1]
