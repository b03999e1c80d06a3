"""Finds the few rules of a long chain that a packet can match at all, in their order. Leaves the rest out only when one
of their conditions surely fails."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable, Mapping
from heapq import merge
from typing import Any

from netdash.model.host import Rule
from netdash.model.packet import Packet

_SHORT = 8  # rules; a shorter chain is tried as it is
_MANY = 64  # nets of one condition; a rule with more is not found by them
_Place = tuple[int, Rule]


class Indexed:
    """The rules of one chain by the one condition that rules out most packets."""

    __slots__ = ("_kinds", "_lengths", "_others", "_ports", "_ranged", "_rules")

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules
        self._others: list[_Place] = []
        self._ranged = False  # whether a rule may stand under several keys of one packet
        self._kinds: dict[str, dict[Hashable, list[_Place]]] = {}
        self._lengths: dict[str, set[int]] = {}  # of the prefixes by which rules are found
        for at, rule in enumerate(rules) if len(rules) > _SHORT else ():
            kind, keys = _telling(rule)
            if kind is None:
                self._others.append((at, rule))
                continue
            found = self._kinds.get(kind)
            if found is None:
                found = self._kinds[kind] = {}
            self._ranged = self._ranged or (kind in (*_RANGES, "dport") and len(keys) > 1)
            for key in keys:
                if key in found:
                    found[key].append((at, rule))
                else:
                    found[key] = [(at, rule)]
        self._ports = sorted({key[1] for key in self._kinds.get("dport", ()) if isinstance(key, tuple)})
        for kind in _ADDRESSES:
            self._lengths[kind] = {key[1] for key in self._kinds.get(kind, ()) if isinstance(key, tuple)}

    def candidates(self, packet: Packet) -> Iterable[Rule]:
        """The rules that this packet may match, in order."""
        if not self._kinds:
            return self._rules
        lists = [self._others] if self._others else []
        for kind, rules in self._kinds.items():
            keys = self._keys(kind, packet)
            lists += [found for key in keys if (found := rules.get(key))] if keys is not None else rules.values()
        if self._ranged:
            lists = [self._once(lists)]
        if len(lists) == 1:
            return [rule for _, rule in lists[0]]
        return [rule for _, rule in merge(*lists, key=_position)]

    def _once(self, lists: list[list[_Place]]) -> list[_Place]:
        return sorted({place[0]: place for found in lists for place in found}.values(), key=_position)

    def _keys(self, kind: str, packet: Packet) -> list[Hashable] | None:
        """What rules are found by for this packet; None: that is not known."""
        if kind in _RANGES:
            return _buckets(kind, packet)
        if kind == "dport" and packet.dport is None and packet.proto is not None and packet.ephemeral_dport is not None:
            low, high = packet.ephemeral_dport
            among = self._ports[bisect_left(self._ports, low) : bisect_right(self._ports, high)]
            return [(packet.proto, port) for port in among]
        if kind not in _ADDRESSES:
            key = _key(kind, packet)
            return None if key is None else [key]
        address = packet.src if kind == "src" else packet.dst
        if address is None:
            return None
        number, bits, version = int(address), address.max_prefixlen, address.version
        lengths = (length for length in self._lengths[kind] if length <= bits)
        return [(version, length, number >> (bits - length) << (bits - length)) for length in lengths]


_ADDRESSES = ("dst", "src")
_RANGES = {"dports": ("dport", "ephemeral_dport"), "sports": ("sport", "ephemeral")}
_BUCKET = 8  # bits: ranges of ports are found by the 256 ports that a port is among
_WIDE = 32  # buckets; a wider range is not found by them


def _buckets(kind: str, packet: Packet) -> list[Hashable] | None:
    name, between = _RANGES[kind]
    port = getattr(packet, name)
    span = (port, port) if port is not None else getattr(packet, between)
    if packet.proto is None or span is None:
        return None
    return [(packet.proto, bucket) for bucket in range(span[0] >> _BUCKET, (span[1] >> _BUCKET) + 1)]


def _ranged(plain: Mapping[str, tuple[Any, ...]]) -> _Found | None:
    """By a protocol and ranges of its destination's or source's ports."""
    for kind, (name, _) in _RANGES.items():
        protos, ports = plain.get("proto"), plain.get(name)
        if not protos or not ports:
            continue
        found = {bucket for low, high in ports for bucket in range(low >> _BUCKET, (high >> _BUCKET) + 1)}
        if len(found) <= _WIDE:
            return kind, [(proto, bucket) for proto in protos for bucket in sorted(found)]
    return None


_Found = tuple[str | None, list[Hashable]]


def _position(place: _Place) -> int:
    return place[0]


def _key(kind: str, packet: Packet) -> Hashable:
    if kind == "dport":
        return None if packet.proto is None or packet.dport is None else (packet.proto, packet.dport)
    value: Hashable = getattr(packet, kind)
    return value


def _telling(rule: Rule) -> tuple[str | None, list[Hashable]]:
    """(kind, keys) of the condition to find the rule by, which is the one that fewest packets meet; (None, []) when it
    has none of a fixed value."""
    effects = rule.target.effects
    if effects and any(effect.after is not None for effect in effects):
        return None, []  # it changes the packet even where a later condition fails
    plain: dict[str, tuple[Any, ...]] = {match.key: match.values for match in rule.matches if not match.negated}
    narrow, wide = _by_address(plain)
    if narrow is not None:
        return narrow
    protos, ports = plain.get("proto"), plain.get("dport")
    if protos and ports and all(low == high for low, high in ports):
        return "dport", [(name, low) for name in protos for low, _ in ports]
    ranged = _ranged(plain)
    if ranged is not None:
        return ranged
    if wide is not None:
        return wide
    for kind in ("mac", "iif", "oif"):
        names = plain.get(kind)
        if names and not any(str(name).endswith("+") for name in names):
            return kind, list(names)
    return None, []


def _by_address(plain: Mapping[str, tuple[Any, ...]]) -> tuple[_Found | None, _Found | None]:
    """(by addresses or nets of few addresses, by wider nets)."""
    wide: _Found | None = None
    narrow: _Found | None = None
    for kind in _ADDRESSES:
        nets = plain.get(kind)
        if not nets or len(nets) > _MANY:
            continue
        shortest = min([net.prefixlen for net in nets])
        if len(nets) == 1 and shortest == nets[0].max_prefixlen:
            return (kind, _prefixes(nets)), None
        if shortest >= _NARROW[nets[0].version]:
            narrow = narrow or (kind, _prefixes(nets))
        elif shortest:
            wide = wide or (kind, _prefixes(nets))
    return narrow, wide


_NARROW = {4: 24, 6: 64}  # prefix lengths that leave out more packets than a port does


def _prefixes(nets: tuple[Any, ...]) -> list[Hashable]:
    keys: list[Hashable] = [(net.version, net.prefixlen, int(net.network_address)) for net in nets]
    return keys if len(keys) == 1 else list(dict.fromkeys(keys))
