"""Finds the few rules of a long chain that a packet can match at all, in their order. Leaves the rest out only when one
of their conditions surely fails."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable, Iterator, Mapping
from heapq import merge
from typing import Any

from netdash.model.host import Rule
from netdash.model.packet import Packet
from netdash.rules.match import Answer

_SHORT = 8  # rules; a shorter chain is tried as it is
_MANY = 64  # nets of one condition; a rule with more is not found by them
_Place = tuple[int, Rule]


class Indexed:
    """The rules of one chain by the one condition that rules out most packets."""

    __slots__ = ("_all", "_kinds", "_lengths", "_masks", "_others", "_ports", "_ranged", "_rules", "_wide")

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules
        self._others: list[_Place] = []
        self._ranged = False  # whether a rule may stand under several keys of one packet
        self._kinds: dict[str, dict[Hashable, list[_Place]]] = {}
        self._all: dict[str, list[_Place]] = {}  # of each kind, whatever their keys
        self._wide: dict[tuple[str, Hashable], _Spans] = {}  # by a port's name and protocol
        for at, rule in enumerate(rules) if len(rules) > _SHORT else ():
            self._add((at, rule), *_best_keys(rule))
        self._ports = sorted({key[1] for key in self._kinds.get("dport", ()) if isinstance(key, tuple)})
        self._lengths = {kind: self._seconds(kind) for kind in _ADDRESSES}  # of the prefixes by which rules are found
        self._masks = {kind: self._seconds(kind) for kind in _MARKS}
        for spans in self._wide.values():
            spans.sort()

    def _add(self, place: _Place, kind: str | None, keys: list[Any]) -> None:
        if kind is None:
            self._others.append(place)
            return
        if kind in _WIDE:
            self._ranged = self._ranged or len(keys) > 1
            for proto, low, high in keys:
                self._wide.setdefault((kind, proto), _Spans()).add(low, high, place)
            return
        found = self._kinds.setdefault(kind, {})
        self._all.setdefault(kind, []).append(place)
        self._ranged = self._ranged or (kind in (*_RANGES, *_MARKS, "dport") and len(keys) > 1)
        for key in keys:
            if key in found:
                found[key].append(place)
            else:
                found[key] = [place]

    def _seconds(self, kind: str) -> set[Any]:
        return {key[1] for key in self._kinds.get(kind, ()) if isinstance(key, tuple)}

    def candidates(self, packet: Packet, start: int = 0) -> Iterator[_Place]:
        """The rules that this packet may match, in order, with their places in the chain, from one place on."""
        if not self._kinds and not self._wide:
            return iter(list(enumerate(self._rules))[start:])
        lists = [self._others] if self._others else []
        for kind, rules in self._kinds.items():
            keys = self._keys(kind, packet)
            lists += [self._all[kind]] if keys is None else [found for key in keys if (found := rules.get(key))]
        for (kind, proto), spans in self._wide.items():
            if packet.proto in (None, proto):
                lists.append(spans.around(*(_span(_WIDE[kind], packet) or _ANY_PORT)))
        if start:
            lists = [found[bisect_left(found, start, key=_position) :] for found in lists]
        if len(lists) == 1:
            return iter(lists[0])
        merged = merge(*lists, key=_position)
        return _once(merged) if self._ranged else merged

    def _keys(self, kind: str, packet: Packet) -> list[Hashable] | None:
        """What rules are found by for this packet; None: that is not known."""
        if kind in _RANGES:
            return _buckets(kind, packet)
        if kind == "dport" and packet.dport is None and packet.proto is not None and packet.ephemeral_dport is not None:
            low, high = packet.ephemeral_dport
            among = self._ports[bisect_left(self._ports, low) : bisect_right(self._ports, high)]
            return [(packet.proto, port) for port in among]
        if kind in _MARKS:
            mark: int | None = getattr(packet, kind)
            return None if mark is None else [(mark & mask, mask) for mask in self._masks[kind]]
        if kind not in _ADDRESSES:
            key = _key(kind, packet)
            return None if key is None else [key]
        address = packet.src if kind == "src" else packet.dst
        if address is None:
            return None
        number, bits, version = int(address), address.max_prefixlen, address.version
        lengths = (length for length in self._lengths[kind] if length <= bits)
        return [(version, length, number >> (bits - length) << (bits - length)) for length in lengths]


class _Spans:
    """Rules by wide ranges of numbers."""

    __slots__ = ("_by_high", "_by_low")

    def __init__(self) -> None:
        self._by_low: list[tuple[int, int, _Place]] = []
        self._by_high: list[tuple[int, int, _Place]] = []

    def add(self, low: int, high: int, place: _Place) -> None:
        self._by_low.append((low, high, place))

    def sort(self) -> None:
        self._by_high = sorted(self._by_low, key=_high)
        self._by_low.sort(key=_low)

    def around(self, first: int, last: int) -> list[_Place]:
        """Those whose range has a number of this one, in order."""
        begun = bisect_right(self._by_low, last, key=_low)
        over = bisect_left(self._by_high, first, key=_high)
        if begun < len(self._by_high) - over:
            found = [place for _, high, place in self._by_low[:begun] if high >= first]
        else:
            found = [place for low, _, place in self._by_high[over:] if low <= last]
        return sorted(found, key=_position)


def _low(span: tuple[int, int, _Place]) -> int:
    return span[0]


def _high(span: tuple[int, int, _Place]) -> int:
    return span[1]


def _once(places: Iterable[_Place]) -> Iterator[_Place]:
    last = -1
    for place in places:
        if place[0] != last:
            last = place[0]
            yield place


_ADDRESSES = ("dst", "src")
_MARKS = ("mark", "connmark")
_RANGES = {"dports": ("dport", "ephemeral_dport"), "sports": ("sport", "ephemeral")}
_WIDE = {f"wide {kind}": kind for kind in _RANGES}
_ANY_PORT = (0, 65535)
_BUCKET = 8  # bits: ranges of ports are found by the 256 ports that a port is among
_MANY_BUCKETS = 32  # a wider range is found by its ends


def _span(kind: str, packet: Packet) -> tuple[int, int] | None:
    """Where the packet's port lies; None: that is not known."""
    name, between = _RANGES[kind]
    port: int | None = getattr(packet, name)
    span: tuple[int, int] | None = getattr(packet, between)
    return span if port is None else (port, port)


def _buckets(kind: str, packet: Packet) -> list[Hashable] | None:
    span = _span(kind, packet)
    if packet.proto is None or span is None:
        return None
    return [(packet.proto, bucket) for bucket in range(span[0] >> _BUCKET, (span[1] >> _BUCKET) + 1)]


def _ranged(plain: Mapping[str, tuple[Any, ...]]) -> _Found | None:
    """By a protocol and ranges of its destination's or source's ports."""
    for kind, (name, _) in _RANGES.items():
        protos, ports = plain.get("proto"), plain.get(name)
        if not protos or not ports or all(low == 0 and high == _ANY_PORT[1] for low, high in ports):
            continue
        found = {bucket for low, high in ports for bucket in range(low >> _BUCKET, (high >> _BUCKET) + 1)}
        if len(found) <= _MANY_BUCKETS:
            return kind, [(proto, bucket) for proto in protos for bucket in sorted(found)]
        if len(ports) <= _MANY:
            return f"wide {kind}", [(proto, low, high) for proto in protos for low, high in ports]
    return None


_Found = tuple[str | None, list[Hashable]]


def _position(place: _Place) -> int:
    return place[0]


def _key(kind: str, packet: Packet) -> Hashable:
    if kind == "dport":
        return None if packet.proto is None or packet.dport is None else (packet.proto, packet.dport)
    value: Hashable = getattr(packet, kind)
    return value


def _best_keys(rule: Rule) -> tuple[str | None, list[Hashable]]:
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
    for kind in _MARKS:
        marks = [_masked(str(value)) for value in plain.get(kind, ())]
        if marks and None not in marks:
            return kind, list(marks)
    for kind in ("mac", "iif", "oif"):
        names = plain.get(kind)
        if names and not any(str(name).endswith("+") for name in names):
            return kind, list(names)
    return None, []


def _masked(wanted: str) -> tuple[int, int] | None:
    """(value, mask) of a mark; None of a range."""
    value, _, mask = wanted.partition("/")
    return None if "-" in wanted else (int(value, 16), int(mask or "0xffffffff", 16))


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


# --- which elements of a verdict map a packet meets -------------------------------------------------------------------


def mapped(elements: tuple[tuple[str, str], ...], key: str, packet: Packet) -> list[tuple[str, Answer]]:
    """The elements of a verdict map that this packet can meet, as (verdict, YES or UNSURE). `key` is one of Match's."""
    value = getattr(packet, key) if key in _MAPPED else None
    if value is None:
        return [(verdict, Answer.UNSURE) for _, verdict in elements]
    shown = str(value)
    found: list[tuple[str, Answer]] = []
    for name, verdict in elements:
        if name == shown or (len(name) > 1 and name.endswith("*") and shown.startswith(name[:-1])):
            return [*found, (verdict, Answer.YES)]
        if key in _SPANS and set(name) & set("/-"):
            found.append((verdict, Answer.UNSURE))
    otherwise = Answer.UNSURE if found else Answer.YES
    return found + [(verdict, otherwise) for name, verdict in elements if name == "*"]


_SPANS = ("src", "dst", "sport", "dport")  # whose elements may be prefixes and ranges
_MAPPED = ("iif", "oif", "proto", *_SPANS)
