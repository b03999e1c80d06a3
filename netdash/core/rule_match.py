"""Does this rule match this packet: yes, no, cannot tell. Looks at one rule and one packet, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from netdash.core.model import IP, Match, Rule


class Answer(Enum):
    YES = "yes"
    NO = "no"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a flow at one hook. None is "not known"; a device of "" is "has none" (a packet that the
    host itself sends came in by none)."""

    family: int  # 4 or 6
    proto: str | None = None  # tcp, udp, icmp, ipv6-icmp …
    src: IP | None = None
    dst: IP | None = None
    sport: int | None = None
    dport: int | None = None
    iif: str | None = None
    oif: str | None = None
    ctstate: str | None = "NEW"
    src_type: str | None = None  # LOCAL, UNICAST, BROADCAST, MULTICAST …
    dst_type: str | None = None
    mark: int | None = None


_NOT = {Answer.YES: Answer.NO, Answer.NO: Answer.YES, Answer.UNSURE: Answer.UNSURE}


def applies(rule: Rule, packet: Packet) -> Answer:
    """All conditions hold: YES; one does not: NO; else UNSURE, also when a part of the rule is not understood."""
    answer = Answer.UNSURE if rule.not_understood else Answer.YES
    for match in rule.matches:
        ask = _ASK.get(match.key)
        held = ask(match, packet) if ask else Answer.UNSURE
        if held is Answer.NO:
            return Answer.NO
        if held is Answer.UNSURE:
            answer = Answer.UNSURE
    return answer


_Ask = Callable[[Match, Packet], Answer]


def _word(name: str) -> _Ask:
    def ask(match: Match, packet: Packet) -> Answer:
        value = getattr(packet, name)
        if value is None:
            return Answer.UNSURE
        return Answer.YES if (value in match.values) is not match.negated else Answer.NO

    return ask


def _device(name: str) -> _Ask:
    def ask(match: Match, packet: Packet) -> Answer:
        device = getattr(packet, name)
        if device is None:
            return Answer.YES if match.values == ("+",) and not match.negated else Answer.UNSURE
        held = device in match.values or any(
            isinstance(one, str) and one.endswith("+") and device.startswith(one[:-1]) for one in match.values
        )
        return Answer.YES if held is not match.negated else Answer.NO

    return ask


def _net(name: str) -> _Ask:
    def ask(match: Match, packet: Packet) -> Answer:
        values: Any = match.values
        ours = [net for net in values if net.version == packet.family]
        if values and not ours:
            return Answer.NO  # `ip6 saddr != X` says that the packet is IPv6
        address = getattr(packet, name)
        if address is None:
            everything = any(net.prefixlen == 0 for net in ours)
            return (Answer.NO if match.negated else Answer.YES) if everything else Answer.UNSURE
        return Answer.YES if any(address in net for net in ours) is not match.negated else Answer.NO

    return ask


def _holds(ports: tuple[Any, ...], port: int) -> bool:
    return any(low <= port <= high for low, high in ports)


_WITH_PORTS = ("tcp", "udp", "sctp", "dccp", "udplite", None)


def _port(name: str) -> _Ask:
    def ask(match: Match, packet: Packet) -> Answer:
        if packet.proto not in _WITH_PORTS:
            return Answer.NO
        port = getattr(packet, name)
        if port is None:
            return Answer.UNSURE
        return Answer.YES if _holds(match.values, port) is not match.negated else Answer.NO

    return ask


def _either_port(match: Match, packet: Packet) -> Answer:
    known = [port for port in (packet.sport, packet.dport) if port is not None]
    if any(_holds(match.values, port) for port in known):
        return Answer.NO if match.negated else Answer.YES
    if len(known) < 2:
        return Answer.UNSURE
    return Answer.YES if match.negated else Answer.NO


def _state(match: Match, packet: Packet) -> Answer:
    if packet.ctstate is None:
        return Answer.UNSURE
    if packet.ctstate in match.values:
        return Answer.NO if match.negated else Answer.YES
    if {"DNAT", "SNAT"} & set(match.values):
        return Answer.UNSURE  # conntrack's own notion of what has been translated
    return Answer.YES if match.negated else Answer.NO


def _type(side: str) -> _Ask:
    def ask(match: Match, packet: Packet) -> Answer:
        kind = getattr(packet, f"{side}_type") or _kind(getattr(packet, side))
        if kind is None:
            return Answer.UNSURE
        return Answer.YES if (kind in match.values) is not match.negated else Answer.NO

    return ask


def _kind(address: IP | None) -> str | None:
    """What an address tells of its own type, whatever the routes are."""
    if address is None:
        return None
    if address.is_loopback:
        return "LOCAL"
    return "MULTICAST" if address.is_multicast else None


def _family(match: Match, packet: Packet) -> Answer:
    return Answer.YES if (f"ipv{packet.family}" in match.values) is not match.negated else Answer.NO


def _mark(match: Match, packet: Packet) -> Answer:
    if packet.mark is None:
        return Answer.UNSURE
    held = any(_has_mark(str(value), packet.mark) for value in match.values)
    return Answer.YES if held is not match.negated else Answer.NO


def _has_mark(value: str, mark: int) -> bool:
    low, dash, high = value.partition("-")
    if dash:
        return int(low, 16) <= mark <= int(high, 16)
    bits, _, mask = value.partition("/")
    return mark & int(mask or "0xffffffff", 16) == int(bits, 16)


def _direction(match: Match, packet: Packet) -> Answer:
    if packet.ctstate != "NEW":
        return Answer.UNSURE
    return Answer.YES if ("ORIGINAL" in match.values) is not match.negated else Answer.NO


_ASK: dict[str, _Ask] = {
    "iif": _device("iif"),
    "oif": _device("oif"),
    "src": _net("src"),
    "dst": _net("dst"),
    "proto": _word("proto"),
    "sport": _port("sport"),
    "dport": _port("dport"),
    "port": _either_port,
    "ctstate": _state,
    "ctdir": _direction,
    "src_type": _type("src"),
    "dst_type": _type("dst"),
    "family": _family,
    "mark": _mark,
}


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
