"""The base chains of every table and family at each hook, in the order in which the kernel calls them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from netdash.core.model import Chain, Rule, Ruleset, Verb
from netdash.core.rule_index import Indexed

CONNTRACK, NAT, CHAIN = "conntrack", "nat", "chain"
_CONNTRACK_AT = -200  # NF_IP_PRI_CONNTRACK
_VERSIONS = {"ip": 4, "ip6": 6}
_CALLED_FOR = {"inet": ("ip", "ip6", "inet")}
BRIDGE_NETFILTER = 0  # NF_BR_PRI_BRNF: where br_netfilter calls the ip hooks at bridge prerouting


@dataclass(frozen=True, slots=True)
class Stage:
    """One call at a hook: conntrack, one base chain, or all nat chains: nat's own hook asks them one after the other,
    at its own priority whatever theirs is (nf_nat_core.c, nf_nat_register_fn)."""

    kind: str
    priority: int
    chains: tuple[Chain, ...] = ()


class Hooks:
    """An index of one ruleset."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._chains: dict[tuple[bool, str, str, str], Chain] = {}
        self._bases: dict[tuple[str, str], list[Chain]] = {}  # in the order of the listing
        self._indexed: dict[int, Indexed] = {}
        self._stages: dict[tuple[str, int], tuple[Stage, ...]] = {}
        for chain in ruleset.chains:
            self._chains[_legacy(chain), chain.family, chain.table, chain.name] = chain
            if chain.hook and not chain.dormant:
                for family in _CALLED_FOR.get(chain.family, (chain.family,)):
                    self._bases.setdefault((family, chain.hook), []).append(chain)
        asking = {chain.family for chain in ruleset.chains if any(map(_asks_conntrack, chain.rules))}
        self._tracked = {4, 6} if asking & {"inet", "bridge"} or not ruleset.complete else set()
        self._tracked |= {_VERSIONS[family] for family in asking & _VERSIONS.keys()}

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
        chains = self._bases.get(("ip" if family == 4 else "ip6", hook), [])
        stages = [Stage(CHAIN, chain.priority or 0, (chain,)) for chain in _ordered(chains) if chain.kind != "nat"]
        nat = tuple(chain for chain in _ordered(chains) if chain.kind == "nat")
        if nat or hook in ("prerouting", "output", "input", "postrouting"):
            stages.append(Stage(NAT, -100 if hook in ("prerouting", "output") else 100, nat))
        if hook in ("prerouting", "output") and family in self._tracked:
            stages.append(Stage(CONNTRACK, _CONNTRACK_AT))
        return sorted(stages, key=lambda stage: stage.priority)

    def bridge(self, hook: str) -> tuple[Chain, ...]:
        return tuple(_ordered(self._bases.get(("bridge", hook), [])))

    def device(self, hook: str) -> tuple[Chain, ...]:
        """The chains of the netdev family, and of inet at ingress, on any device."""
        return tuple(
            _ordered([chain for family in ("netdev", "inet") for chain in self._bases.get((family, hook), ())])
        )


@lru_cache(maxsize=2)  # of the host on screen and of the one that comes
def hooks_of(ruleset: Ruleset) -> Hooks:
    return Hooks(ruleset)


def _ordered(chains: list[Chain]) -> list[Chain]:
    """By priority; of equals the one that was registered last is called first (nf_hook_grow), and nft lists chains in
    the order in which they were made."""
    made = enumerate(chains)
    return [chain for _, chain in sorted(made, key=lambda place: (place[1].priority or 0, -place[0]))]


def _legacy(chain: Chain) -> bool:
    """Chains jump to chains of their own kind: legacy tables and nft tables know nothing of each other."""
    return chain.backend == "iptables-legacy"


_ASKING = re.compile(
    r"\bct |-m (?:conn\w+|state|helper|cluster)\b|-j (?:CT|CONN\w+|DNAT|SNAT|MASQUERADE|REDIRECT|NETMAP)\b"
)
_NAT = (Verb.DNAT, Verb.SNAT, Verb.MASQUERADE, Verb.REDIRECT)


def _asks_conntrack(rule: Rule) -> bool:
    """Whether this rule alone makes the kernel track connections of its family (nf_ct_netns_get in nft_ct.c,
    nft_nat.c, xt_conntrack.c, xt_nat.c, xt_CT.c …): a nat chain does not, nor does notrack."""
    return rule.target.verb in _NAT or rule.target.net is not None or _ASKING.search(rule.text) is not None
