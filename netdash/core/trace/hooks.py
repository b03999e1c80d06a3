"""The base chains of every table and family at each hook, in the order in which the kernel calls them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from netdash.core.model import Chain, Rule, Ruleset, Target, Verb
from netdash.core.rule_index import Indexed

CONNTRACK, NAT, CHAIN = "conntrack", "nat", "chain"
_CONNTRACK_AT = -200  # NF_IP_PRI_CONNTRACK
_FAMILIES = {4: ("ip", "inet"), 6: ("ip6", "inet")}
BRIDGE_NETFILTER = 0  # NF_BR_PRI_BRNF: where br_netfilter calls the ip hooks at bridge prerouting


@dataclass(frozen=True, slots=True)
class Stage:
    """One call at a hook: conntrack, one base chain, or all nat chains: nat's own hook asks them one after the other,
    at its own priority whatever theirs is (nf_nat_core.c, nf_nat_register_fn)."""

    kind: str
    priority: int
    made: float  # when it was registered, as a place among the chains
    chains: tuple[Chain, ...] = ()


class Hooks:
    """An index of one ruleset."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._chains: dict[tuple[bool, str, str, str], Chain] = {}
        self._bases: dict[tuple[str, str], list[Chain]] = {}
        self._indexed: dict[int, Indexed] = {}
        self._stages: dict[tuple[str, int], tuple[Stage, ...]] = {}
        self._made = {id(chain): at for at, chain in enumerate(ruleset.chains)}
        for chain in ruleset.chains:
            self._chains[_legacy(chain), chain.family, chain.table, chain.name] = chain
            if chain.hook and not chain.dormant:
                self._bases.setdefault((chain.family, chain.hook), []).append(chain)
        self._tracked: dict[int, float] = {}  # family -> when a rule made the kernel track connections
        self._translates: dict[int, int] = {}  # family -> the first chain of nat
        last = {(chain.family, chain.table): at for at, chain in enumerate(ruleset.chains)}  # chains come before rules
        for at, chain in enumerate(ruleset.chains):
            for family in _OF.get(chain.family, ()):
                if family not in self._tracked and any(_needs_conntrack(rule, family) for rule in chain.rules):
                    self._tracked[family] = last[chain.family, chain.table] + 0.5
                if chain.hook and chain.kind == "nat":
                    self._translates.setdefault(family, at)

    def chain(self, beside: Chain, name: str) -> Chain | None:
        """The chain of that name in the same table."""
        return self._chains.get((_legacy(beside), beside.family, beside.table, name))

    def indexed(self, chain: Chain) -> Indexed:
        found = self._indexed.get(id(chain))
        if found is None:
            found = self._indexed[id(chain)] = Indexed(chain.rules)
        return found

    def ip(self, hook: str, family: int) -> tuple[Stage, ...]:
        """The calls at a hook of IPv4 or IPv6."""
        known = self._stages.get((hook, family))
        if known is None:
            known = self._stages[hook, family] = tuple(self._ip(hook, family))
        return known

    def _ip(self, hook: str, family: int) -> list[Stage]:
        chains = [chain for name in _FAMILIES[family] for chain in self._bases.get((name, hook), ())]
        stages = [
            Stage(CHAIN, chain.priority or 0, self._made[id(chain)], (chain,))
            for chain in chains
            if chain.kind != "nat"
        ]
        nat = tuple(chain for chain in self._ordered(chains) if chain.kind == "nat")
        if nat or hook in ("prerouting", "output", "input", "postrouting"):
            at = -100 if hook in ("prerouting", "output") else 100
            stages.append(Stage(NAT, at, self._translates.get(family, 0), nat))
        if hook in ("prerouting", "output") and family in self._tracked:
            stages.append(Stage(CONNTRACK, _CONNTRACK_AT, self._tracked[family]))
        return sorted(stages, key=lambda stage: (stage.priority, -stage.made))

    def bridge(self, hook: str) -> tuple[Chain, ...]:
        return tuple(self._ordered(self._bases.get(("bridge", hook), [])))

    def device(self, hook: str, device: str) -> tuple[Chain, ...]:
        """The chains of the netdev family, and of inet at ingress, on one device, or on one that is not told."""
        chains = [chain for family in ("netdev", "inet") for chain in self._bases.get((family, hook), ())]
        return tuple(self._ordered([chain for chain in chains if device in (chain.device or device).split(",")]))

    def _ordered(self, chains: list[Chain]) -> list[Chain]:
        """By priority; of equals the one that was registered last is called first (nf_hook_grow). nft lists tables and
        chains in the order in which they were made."""
        return sorted(chains, key=lambda chain: (chain.priority or 0, -self._made[id(chain)]))


@lru_cache(maxsize=2)  # of the host on screen and of the one that comes
def hooks_of(ruleset: Ruleset) -> Hooks:
    return Hooks(ruleset)


def _legacy(chain: Chain) -> bool:
    """Chains jump to chains of their own kind: legacy tables and nft tables know nothing of each other."""
    return chain.backend == "iptables-legacy"


_OF: Mapping[str, tuple[int, ...]] = {
    "ip": (4,),
    "ip6": (6,),
    "inet": (4, 6),
    "bridge": (4, 6),
    "netdev": (),
    "arp": (),
}
_KEYS = frozenset(("connmark", "connlimit", "connbytes", "helper"))
_EFFECTS = frozenset(("connmark", "zone", "helper", "label", "CT", "CONNSECMARK", "flow"))
_NAT_VERBS = frozenset((Verb.DNAT, Verb.SNAT, Verb.MASQUERADE, Verb.REDIRECT))
_NAMES = re.compile(r"\bct\b|conn|state|--ct|NAT|SYNPROXY|NETMAP|CLUSTER")


def _needs_conntrack(rule: Rule, family: int) -> bool:
    """Whether a rule needs conntrack: the kernel switches it on for a family by the first such rule, not by a chain of
    nat (nf_ct_netns_get)."""
    target = rule.target
    for match in rule.matches:
        if match.key in _KEYS or match.key.startswith("ct"):
            return True
    targets = [target, *(case for _, case in target.cases)]
    named = {one.address.version for one in targets if one.address is not None}
    if named and family not in named:
        return False
    if any(map(_binds, targets)):
        return True
    unread = (*rule.not_understood, target.detail) if rule.not_understood or target.detail else ()
    return any(map(_NAMES.search, unread))


def _binds(target: Target) -> bool:
    return target.verb in _NAT_VERBS or bool(target.net) or any(one.kind in _EFFECTS for one in target.effects)
