"""Finds the few rules of a long chain that a packet can match at all, in their order. Leaves the rest out only when one
of their conditions surely fails."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from heapq import merge
from typing import Any

from netdash.core.model import Match, Rule
from netdash.core.packet import Packet

_SHORT = 8  # rules; a shorter chain is tried as it is
_Place = tuple[int, Rule]


class Indexed:
    """The rules of one chain by the one condition that rules out most packets."""

    __slots__ = ("_kinds", "_others", "_rules")

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules
        self._others: list[_Place] = []
        self._kinds: dict[str, dict[Hashable, list[_Place]]] = {}
        for at, rule in enumerate(rules) if len(rules) > _SHORT else ():
            kind, keys = _telling(rule)
            if kind is None:
                self._others.append((at, rule))
            for key in keys:
                self._kinds.setdefault(kind or "", {}).setdefault(key, []).append((at, rule))

    def candidates(self, packet: Packet) -> Iterable[Rule]:
        """The rules that this packet may match, in order."""
        if not self._kinds:
            return self._rules
        lists = [self._others] if self._others else []
        for kind, rules in self._kinds.items():
            key = _key(kind, packet)
            if key is None:
                return self._rules
            found = rules.get(key)
            if found:
                lists.append(found)
        if len(lists) == 1:
            return [rule for _, rule in lists[0]]
        return [rule for _, rule in merge(*lists, key=_position)]


def _position(place: _Place) -> int:
    return place[0]


def _key(kind: str, packet: Packet) -> Hashable:
    if kind == "dport":
        return None if packet.proto is None or packet.dport is None else (packet.proto, packet.dport)
    value: Any = getattr(packet, kind)
    return value if value is None or kind in ("iif", "oif") else (value.version, int(value))


def _telling(rule: Rule) -> tuple[str | None, list[Hashable]]:
    """(kind, keys) of the condition to find the rule by; (None, []) when it has none of a fixed value."""
    plain = {match.key: match for match in rule.matches if not match.negated}
    proto, dport = plain.get("proto"), plain.get("dport")
    if proto and dport and all(low == high for low, high in _pairs(dport)):
        return "dport", [(name, low) for name in proto.values for low, _ in _pairs(dport)]
    for kind in ("dst", "src"):
        found = plain.get(kind)
        if found:
            nets: Any = found.values
            if nets and all(net.num_addresses == 1 for net in nets):
                return kind, list(dict.fromkeys((net.version, int(net.network_address)) for net in nets))
    for kind in ("iif", "oif"):
        found = plain.get(kind)
        if found and not any(str(name).endswith("+") for name in found.values):
            return kind, list(found.values)
    return None, []


def _pairs(match: Match) -> tuple[Any, ...]:
    return match.values
