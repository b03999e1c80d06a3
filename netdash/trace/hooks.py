"""The base chains of every table and family at each hook, in the order in which the kernel calls them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache

from netdash.model.host import Chain, Rule, Ruleset, Target, Unread, Verb
from netdash.model.records import dataclass
from netdash.rules.rule_index import Indexed
from netdash.rules.ruleset import PRIORITIES

CONNTRACK, NAT, CHAIN, UNREAD = "conntrack", "nat", "chain", "unread"
_CONNTRACK_AT = -200  # NF_IP_PRI_CONNTRACK
_FAMILIES = {4: ("ip", "inet"), 6: ("ip6", "inet")}
BRIDGE_NETFILTER = 0  # NF_BR_PRI_BRNF: where br_netfilter calls the ip hooks at bridge prerouting


@dataclass(frozen=True, slots=True)
class Stage:
    """One call at a hook: conntrack, one base chain, or all nat chains: nat's own hook asks them one after the other,
    at its own priority whatever theirs is (nf_nat_core.c, nf_nat_register_fn). Or the first moment at which rules may
    be asked that were not read."""

    kind: str
    priority: int
    made: float  # when it was registered, as a place among the chains
    chains: tuple[Chain, ...] = ()
    unread: Unread | None = None


class Hooks:
    """An index of one ruleset."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._chains: dict[tuple[bool, str, str, str], Chain] = {}
        self._bases: dict[tuple[str, str], list[Chain]] = {}
        self._indexed: dict[int, Indexed] = {}
        self._stages: dict[tuple[str, int], tuple[Stage, ...]] = {}
        self._orders: dict[tuple[str, int], tuple[tuple[Chain, ...], ...]] = {}
        self._made = {id(chain): at for at, chain in enumerate(ruleset.chains)}
        for chain in ruleset.chains:
            self._chains[_legacy(chain), chain.family, chain.table, chain.name] = chain
            if chain.hook and not chain.dormant:
                self._bases.setdefault((chain.family, chain.hook), []).append(chain)
        self._tracked: dict[int, float] = {}  # family -> when a rule made the kernel track connections
        self._translates: dict[int, int] = {}  # family -> the first chain of nat
        for at, chain in enumerate(ruleset.chains):
            if chain.hook and chain.kind == "nat":
                for family in _OF.get(chain.family, ()):
                    self._translates.setdefault(family, at)
        self._track(ruleset)

    def _track(self, ruleset: Ruleset) -> None:
        """Finds the first rule of each family that makes the kernel track connections."""
        last = {(chain.family, chain.table): at for at, chain in enumerate(ruleset.chains)}  # chains come before rules
        for chain in ruleset.chains:
            families = [family for family in _OF.get(chain.family, ()) if family not in self._tracked]
            for rule in chain.rules if families else ():
                needed = _needs_conntrack(rule)
                if needed:
                    self._tracked |= {
                        family: last[chain.family, chain.table] + 0.5 for family in families if family in needed
                    }
                    families = [family for family in families if family not in needed]
                    if not families:
                        break

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

    def bases(self, hook: str, family: int) -> list[Chain]:
        """The base chains of IPv4 or IPv6 at a hook, in no order."""
        return [chain for name in _FAMILIES[family] for chain in self._bases.get((name, hook), ())]

    def nat(self, hook: str, family: int) -> tuple[tuple[Chain, ...], ...]:
        """The base chains of nat in each order that the kernel may ask them in, the likeliest first: between
        iptables-legacy and nft nothing tells which was registered last."""
        known = self._orders.get((hook, family))
        if known is None:
            known = self._orders[hook, family] = self._nat_orders(hook, family)
        return known

    def _nat_orders(self, hook: str, family: int) -> tuple[tuple[Chain, ...], ...]:
        chains = self._ordered([chain for chain in self.bases(hook, family) if chain.kind == "nat"])
        old = {chain.priority for chain in chains if _legacy(chain)}
        if not any(chain.priority in old for chain in chains if not _legacy(chain)):
            return (tuple(chains),)
        return tuple(
            tuple(sorted(chains, key=lambda chain: (chain.priority or 0, _legacy(chain) is late)))
            for late in (False, True)
        )

    def entered(self, chain: Chain, rules: Iterable[Rule]) -> Iterator[Chain]:
        """The chains that these rules of a chain send packets to."""
        for rule in rules:
            for name in _next(rule):
                found = self.chain(chain, name)
                if found is not None:
                    yield found

    @cached_property
    def changing(self) -> bool:
        """Whether a rule changes what later rules ask of a packet, or whether nat is asked at all."""
        return any(
            (rule.target.effects or rule.target.cases) and _changes(rule)
            for chain in self._ruleset.chains
            for rule in chain.rules
        )

    def _ip(self, hook: str, family: int) -> list[Stage]:
        chains = self.bases(hook, family)
        stages = [
            Stage(CHAIN, chain.priority or 0, self._made[id(chain)], (chain,))
            for chain in chains
            if chain.kind != "nat"
        ]
        nat = self.nat(hook, family)[0]
        if nat or hook in ("prerouting", "output", "input", "postrouting"):
            at = -100 if hook in ("prerouting", "output") else 100
            stages.append(Stage(NAT, at, self._translates.get(family, 0), nat))
        if hook in ("prerouting", "output") and family in self._tracked:
            stages.append(Stage(CONNTRACK, _CONNTRACK_AT, self._tracked[family]))
        stages += [
            Stage(UNREAD, earliest, math.inf, unread=part)
            for part in self._ruleset.unread
            if family in part.families and (earliest := _earliest(part, hook)) is not None
        ]
        return sorted(stages, key=lambda stage: (stage.priority, -stage.made))

    @property
    def unread_nft(self) -> Unread | None:
        """What of nft was not read: it may have chains at bridges and devices too."""
        return next((part for part in self._ruleset.unread if part.source == "nft"), None)

    def bridge(self, hook: str) -> tuple[Chain, ...]:
        return tuple(self._ordered(self._bases.get(("bridge", hook), [])))

    def arp(self, hook: str) -> tuple[Chain, ...]:
        return tuple(self._ordered(self._bases.get(("arp", hook), [])))

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


def _changes(rule: Rule) -> bool:
    targets = (rule.target, *(case for _, case in rule.target.cases))
    return any(effect.kind in _CHANGES for target in targets for effect in target.effects)


_CHANGES = ("mark", "connmark", "notrack", "zone", "rewrite", "set")


def _next(rule: Rule) -> tuple[str, ...]:
    if rule.target.verb in (Verb.JUMP, Verb.GOTO):
        return (rule.target.chain or "",)
    return tuple(verdict.removeprefix("goto ") for _, verdict in rule.target.elements)


def _earliest(part: Unread, hook: str) -> int | None:
    """The lowest priority at which a chain of it may be at a hook; None where there is none."""
    if part.source == "nft":
        return _FIRST
    at = -100 if hook in ("prerouting", "output") else 100
    tables = _AT_HOOK[hook] if part.tables is None else _AT_HOOK[hook] & part.tables
    return min((PRIORITIES.get(table, at) for table in tables), default=None)


_FIRST = -(1 << 31)  # NF_IP_PRI_FIRST
_AT_HOOK = {
    "prerouting": frozenset(("raw", "mangle", "nat")),
    "input": frozenset(("mangle", "filter", "security", "nat")),
    "forward": frozenset(("mangle", "filter", "security")),
    "output": frozenset(("raw", "mangle", "nat", "filter", "security")),
    "postrouting": frozenset(("mangle", "nat")),
}
"""The tables of iptables that have a chain at a hook (iptables(8))."""


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
_BOTH = (4, 6)
_KEYS = frozenset(("connmark", "connlimit", "connbytes", "helper"))
_EFFECTS = frozenset(("connmark", "zone", "helper", "label", "CT", "CONNSECMARK", "flow"))
_NAT_VERBS = frozenset((Verb.DNAT, Verb.SNAT, Verb.MASQUERADE, Verb.REDIRECT))
_NAMES = re.compile(r"\bct\b|conn|state|--ct|NAT|SYNPROXY|NETMAP|CLUSTER")


def _needs_conntrack(rule: Rule) -> tuple[int, ...]:
    """The families of which a rule needs conntrack: the kernel switches it on for a family by the first such rule, not
    by a chain of nat (nf_ct_netns_get). Asked of every rule of a host: nothing is made for one that has nothing of the
    kind."""
    target = rule.target
    for match in rule.matches:
        if match.key[:2] == "ct" or match.key in _KEYS:
            return _BOTH
    needs = _binds(target) or (target.cases and any(_binds(case) for _, case in target.cases))
    if not needs and (rule.not_understood or target.detail):
        needs = any(map(_NAMES.search, (*rule.not_understood, target.detail)))
    if not needs:
        return ()
    named = {
        other.address.version for other in (target, *(case for _, case in target.cases)) if other.address is not None
    }
    return tuple(named) or _BOTH


def _binds(target: Target) -> bool:
    if target.verb in _NAT_VERBS or target.net:
        return True
    return bool(target.effects) and any(effect.kind in _EFFECTS for effect in target.effects)
