"""In which way an engine writes its rules: as its API tells, or as rules and proxies agree where it does not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from netdash.model.host import Chain, Engine, Rule, Ruleset, Verb


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
