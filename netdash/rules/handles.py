"""Which rule of a ruleset a handle of nf_tables means. Handles are the kernel's for one moment, so only what the kernel
tells at that moment is looked up by them."""

from __future__ import annotations

from collections.abc import Mapping

from netdash.model.host import Chain, Rule, Ruleset
from netdash.parse.json_values import integer, mapping, text
from netdash.rules.nft_listing import elements

ChainKey = tuple[str, str, str]
"""(family, table, name)"""


def positions(listing: object) -> Mapping[tuple[ChainKey, int], int]:
    """By (chain, handle) the 1-based position of the rule, of the answer `nft -j -a list ruleset`."""
    found: dict[tuple[ChainKey, int], int] = {}
    count: dict[ChainKey, int] = {}
    for element in elements(listing):
        rule = mapping(mapping(element).get("rule"))
        family, table, chain = (text(rule.get(key)) for key in ("family", "table", "chain"))
        handle = integer(rule.get("handle"))
        if family and table and chain and handle is not None:
            key = (family, table, chain)
            count[key] = found[key, handle] = count.get(key, 0) + 1
    return found


class Handles:
    """The rules and chains of one moment, by the words of the kernel's trace."""

    def __init__(self, listing: object, ruleset: Ruleset) -> None:
        self._positions = positions(listing)
        self._chains: dict[ChainKey, Chain] = {
            (chain.family, chain.table, chain.name): chain
            for chain in ruleset.chains
            if chain.backend != "iptables-legacy"
        }

    def family(self, packet: str, table: str, chain: str, handle: int | None) -> str:
        """The table's own family: the trace tells the packet's, ip or ip6, also of a table of inet."""
        keys = [(family, table, chain) for family in (packet, "inet")]
        known = [key for key in keys if handle is None or (key, handle) in self._positions]
        known = [key for key in known if key in self._chains] or known or keys
        return known[0][0]

    def chain(self, family: str, table: str, name: str) -> Chain | None:
        return self._chains.get((family, table, name))

    def rule(self, family: str, table: str, name: str, handle: int) -> Rule | None:
        """None for a rule that is not there (any more)."""
        position = self._positions.get(((family, table, name), handle))
        chain = self.chain(family, table, name)
        if position is None or chain is None or position > len(chain.rules):
            return None
        return chain.rules[position - 1]
