"""Does this rule match this packet: yes, no, cannot tell. Looks at one rule and one packet, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from netdash.model.host import IP, Match, Rule
from netdash.model.packet import Ends, Packet


class Answer(Enum):
    YES = "yes"
    NO = "no"
    UNSURE = "unsure"


def applies(rule: Rule, packet: Packet) -> Answer:
    """All conditions hold: YES; one does not: NO; else UNSURE, also when a part of the rule is not understood."""
    answer = holds(rule.matches, packet)
    return Answer.UNSURE if answer is Answer.YES and rule.not_understood else answer


def holds(matches: tuple[Match, ...], packet: Packet) -> Answer:
    """Whether all these conditions do."""
    answer = Answer.YES
    for match in matches:
        held = condition(match, packet)
        if held is Answer.NO:
            return Answer.NO
        answer = held if held is Answer.UNSURE else answer
    return answer


def condition(match: Match, packet: Packet) -> Answer:
    """Whether this one does. ARP meets no condition on what is in an IP packet, nor the contrary of one."""
    if not packet.family and match.key in _OF_IP:
        return Answer.NO
    ask = _ASK.get(match.key)
    return ask(match, packet) if ask else Answer.UNSURE


_Ask = Callable[[Match, Packet], Answer]


def _answer(held: bool, match: Match) -> Answer:
    return Answer.YES if held is not match.negated else Answer.NO


def _word(name: str) -> _Ask:
    def ask(match: Match, packet: Packet) -> Answer:
        value = getattr(packet, name)
        return Answer.UNSURE if value is None else _answer(value in match.values, match)

    return ask


def _device(name: str) -> _Ask:
    def ask(match: Match, packet: Packet) -> Answer:
        device = getattr(packet, name)
        if device is None:
            return Answer.YES if match.values == ("+",) and not match.negated else Answer.UNSURE
        held = device in match.values or any(
            isinstance(value, str) and value.endswith("+") and device.startswith(value[:-1]) for value in match.values
        )
        return _answer(held, match)

    return ask


def _within(address: IP | None, match: Match, family: int) -> Answer:
    values: Any = match.values
    ours = [net for net in values if net.version == family]
    if values and not ours:
        return Answer.NO  # `ip6 saddr != X` says that the packet is IPv6
    if address is None:
        everything = any(net.prefixlen == 0 for net in ours)
        return _answer(True, match) if everything else Answer.UNSURE
    return _answer(any(address in net for net in ours), match)


def _net(name: str) -> _Ask:
    def ask(match: Match, packet: Packet) -> Answer:
        return _within(getattr(packet, name), match, packet.family)

    return ask


def _of_connection(ends: str, name: str) -> _Ask:
    """An address or port of the connection's own tuples; a packet without a connection meets neither the condition
    nor its contrary (nft_ct.c breaks, xt_conntrack.c says no)."""

    def ask(match: Match, packet: Packet) -> Answer:
        if packet.ctdir == "":
            return Answer.NO
        found: Ends | None = getattr(packet, ends)
        value = getattr(found, name) if found else None
        if name in ("src", "dst"):
            return _within(value, match, packet.family)
        return Answer.UNSURE if value is None else _answer(_holds(match.values, value), match)

    return ask


def _holds(ports: tuple[Any, ...], port: int) -> bool:
    return any(low <= port <= high for low, high in ports)


_WITH_PORTS = ("tcp", "udp", "sctp", "dccp", "udplite", None)


def _port(name: str) -> _Ask:
    def ask(match: Match, packet: Packet) -> Answer:
        if packet.proto not in _WITH_PORTS:
            return Answer.UNSURE  # `th dport` reads what stands there; a rule of tcp says so in a condition of its own
        port = getattr(packet, name)
        if port is not None:
            return _answer(_holds(match.values, port), match)
        return _among(match, packet.ephemeral if name == "sport" else packet.ephemeral_dport, packet.held)

    return ask


def _among(match: Match, span: tuple[int, int] | None, held: frozenset[int] = frozenset()) -> Answer:
    """The same of a port that is somewhere in a range, and none of `held`."""
    values: Any = match.values
    if span is None:
        return Answer.UNSURE
    if any(low <= span[0] and span[1] <= high for low, high in values):
        return _answer(True, match)
    common = (port for low, high in values for port in range(max(low, span[0]), min(high, span[1]) + 1))
    return _answer(False, match) if all(port in held for port in common) else Answer.UNSURE


def _either_port(match: Match, packet: Packet) -> Answer:
    if packet.proto not in _WITH_PORTS:
        return Answer.UNSURE
    known = [port for port in (packet.sport, packet.dport) if port is not None]
    if any(_holds(match.values, port) for port in known):
        return _answer(True, match)
    if len(known) < 2:
        return _among(match, packet.ephemeral, packet.held) if packet.dport is not None else Answer.UNSURE
    return _answer(False, match)


def _state(match: Match, packet: Packet) -> Answer:
    if packet.ctstate is None:
        return Answer.UNSURE
    if packet.ctstate in match.values:
        return _answer(True, match)
    translated = {"DNAT", "SNAT"} & set(match.values)
    if translated and packet.ctstatus is None:
        return Answer.UNSURE  # conntrack's own notion of what has been translated
    return _answer(bool(translated & (packet.ctstatus or frozenset())), match)


def _status(match: Match, packet: Packet) -> Answer:
    if packet.ctdir == "":
        return Answer.NO
    if packet.ctstatus is None:
        return Answer.UNSURE
    return _answer(any(value in packet.ctstatus for value in match.values), match)


def _type(side: str) -> _Ask:
    def ask(match: Match, packet: Packet) -> Answer:
        kind = getattr(packet, f"{side}_type") or _kind(getattr(packet, side))
        return Answer.UNSURE if kind is None else _answer(kind in match.values, match)

    return ask


def _type_by(side: str, device: str) -> _Ask:
    """The same by the routes of one device only."""

    def ask(match: Match, packet: Packet) -> Answer:
        address, name = getattr(packet, side), getattr(packet, device)
        kind = packet.routes.kind(address, name) if packet.routes and address and name else None
        return Answer.UNSURE if kind is None else _answer(kind in match.values, match)

    return ask


def _rpfilter(match: Match, packet: Packet) -> Answer:
    words = set(str(match.values[0]).split(",")) - {""} if match.values else set()
    if packet.routes is None or words - {"loose", "validmark", "accept-local"}:
        return Answer.UNSURE
    back = packet.routes.leads_back(packet, "loose" in words, "validmark" in words, "accept-local" in words)
    return Answer.UNSURE if back is None else _answer(back, match)


def _in_set(match: Match, packet: Packet) -> Answer:
    name, _, fields = str(match.values[0] if match.values else "").partition(" ")
    address = {"src": packet.src, "dst": packet.dst}.get(fields)
    held = packet.routes.in_set(name, address) if packet.routes is not None and address is not None else None
    return Answer.UNSURE if held is None else _answer(held, match)


def _length(match: Match, packet: Packet) -> Answer:
    return _among(match, packet.length)


def _kind(address: IP | None) -> str | None:
    """What an address tells of its own type, whatever the routes are."""
    if address is None:
        return None
    if address.is_loopback:
        return "LOCAL"
    return "MULTICAST" if address.is_multicast else None


def _family(match: Match, packet: Packet) -> Answer:
    return _answer(f"ipv{packet.family}" in match.values, match)


def _mark(name: str) -> _Ask:
    def ask(match: Match, packet: Packet) -> Answer:
        if name == "connmark" and packet.ctdir == "":
            return Answer.NO
        mark = getattr(packet, name)
        return Answer.UNSURE if mark is None else _answer(any(_has(mark, str(value)) for value in match.values), match)

    return ask


def _has(mark: int, wanted: str) -> bool:
    """`wanted`: 0xV, 0xV/0xMASK, 0xLOW-0xHIGH."""
    low, dash, high = wanted.partition("-")
    if dash:
        return int(low, 16) <= mark <= int(high, 16)
    value, _, mask = wanted.partition("/")
    return mark & int(mask or "0xffffffff", 16) == int(value, 16)


def _tracked_proto(match: Match, packet: Packet) -> Answer:
    return Answer.NO if packet.ctdir == "" else _word("proto")(match, packet)


def _direction(match: Match, packet: Packet) -> Answer:
    direction = packet.ctdir if packet.ctdir is not None else "ORIGINAL" if packet.ctstate == "NEW" else None
    if direction is None:
        return Answer.UNSURE
    return Answer.NO if direction == "" else _answer(direction in match.values, match)


def _tcp_flags(match: Match, packet: Packet) -> Answer:
    if packet.proto is None or packet.tcp_flags is None:
        return Answer.UNSURE if packet.proto in (None, "tcp") else Answer.NO
    return _answer(any(_flagged(str(value), packet.tcp_flags) for value in match.values), match)


def _flagged(value: str, flags: frozenset[str]) -> bool:
    mask, _, wanted = value.partition("/")
    return flags & set(mask.split(",")) == set(filter(None, wanted.split(",")))


def _icmp(match: Match, packet: Packet) -> Answer:
    if packet.proto not in ("icmp", "ipv6-icmp", None):
        return Answer.NO
    values: Any = match.values
    if packet.icmp is None or not all(isinstance(value, tuple) for value in values):
        return Answer.UNSURE
    kind, code = packet.icmp
    return _answer(any(value in (None, kind) and two in (None, code) for value, two in values), match)


def _owner(match: Match, packet: Packet) -> Answer:
    numbers: Any = [value for value in match.values if isinstance(value, tuple)]
    if packet.iif:  # forwarded: it has no socket here
        return Answer.UNSURE if match.negated else Answer.NO
    if packet.uid is None or len(numbers) < len(match.values):
        return Answer.UNSURE
    return _answer(_holds(tuple(numbers), packet.uid), match)


def _whether(name: str) -> _Ask:
    """`values` is (True,)."""

    def ask(match: Match, packet: Packet) -> Answer:
        value = getattr(packet, name)
        return Answer.UNSURE if value is None else _answer(bool(value), match)

    return ask


def _packet_type(match: Match, packet: Packet) -> Answer:
    """What the sender's frame was for, told by the address; a bridge's own rules may see frames for others."""
    at_port = bool(packet.physdev_in) and packet.iif == packet.physdev_in
    if at_port or packet.dst_type not in ("LOCAL", "UNICAST"):
        return Answer.UNSURE
    return _answer("unicast" in match.values, match)


def _ethertype(match: Match, packet: Packet) -> Answer:
    return _answer(("ipv4" if packet.family == 4 else "ipv6" if packet.family else "arp") in match.values, match)


def _arp(name: str) -> _Ask:
    def ask(match: Match, packet: Packet) -> Answer:
        value = getattr(packet.arp, name) if packet.arp is not None else None
        if packet.arp is None:
            return Answer.NO
        if isinstance(value, str):
            return _answer(value in match.values, match)
        return _within(value, match, 4)

    return ask


def _hops(match: Match, packet: Packet) -> Answer:
    return Answer.UNSURE if packet.hops is None else _answer(_holds(match.values, packet.hops), match)


def _fragment(match: Match, packet: Packet) -> Answer:
    return Answer.UNSURE if packet.whole is None else _answer(not packet.whole, match)


def _helper(match: Match, _: Packet) -> Answer:
    """Only of a connection that a helper expected, which no question is (helper_mt; nft_ct_get_eval ends the rule)."""
    return Answer.YES if str(match.values[0]).startswith("! --") else Answer.NO


def _of_family(conditions: tuple[Match, ...], family: int) -> bool:
    nets: Any = [value for match in conditions if match.key in ("src", "dst") for value in match.values]
    return all(net.version == family for net in nets)


def _any_of(match: Match, packet: Packet) -> Answer:
    values: Any = match.values
    if match.negated and values and not any(_of_family(conditions, packet.family) for conditions in values):
        return Answer.NO  # `ip daddr . tcp dport != …` says that the packet is IPv4
    answers = {holds(conditions, packet) for conditions in values}
    if Answer.YES in answers:
        return _answer(True, match)
    return Answer.UNSURE if Answer.UNSURE in answers else _answer(False, match)


_ASK: dict[str, _Ask] = (
    {
        "iif": _device("iif"),
        "oif": _device("oif"),
        "physdev_in": _device("physdev_in"),
        "physdev_out": _device("physdev_out"),
        "physdev_is_in": _whether("physdev_in"),
        "physdev_is_out": _whether("physdev_out"),
        "physdev_is_bridged": _whether("bridged"),
        "src": _net("src"),
        "dst": _net("dst"),
        "proto": _word("proto"),
        "ctproto": _tracked_proto,
        "sport": _port("sport"),
        "dport": _port("dport"),
        "port": _either_port,
        "ctstate": _state,
        "ctstatus": _status,
        "ctdir": _direction,
        "src_type": _type("src"),
        "dst_type": _type("dst"),
        **{f"{side}_type_{end}": _type_by(side, end) for side in ("src", "dst") for end in ("iif", "oif")},
        "rpfilter": _rpfilter,
        "length": _length,
        "set": _in_set,
        "family": _family,
        "mark": _mark("mark"),
        "connmark": _mark("connmark"),
        "tcp_flags": _tcp_flags,
        "icmp_type": _icmp,
        "uid": _owner,
        "fragment": _fragment,
        "helper": _helper,
        "pkttype": _packet_type,
        "ethertype": _ethertype,
        "mac": _word("mac"),
        "mac_dst": _word("mac_dst"),
        "ttl": _hops,
        "hoplimit": _hops,
        **{f"arp_{name}": _arp(name) for name in ("operation", "src", "dst")},
        "any_of": _any_of,
    }
    | {
        f"ct{word}{name}": _of_connection(ends, name)
        for word, ends in (("orig", "original"), ("repl", "reply"))
        for name in ("src", "dst")
    }
    | {
        f"ct{word}{name}port": _of_connection(ends, f"{name[0]}port")
        for word, ends in (("orig", "original"), ("repl", "reply"))
        for name in ("src", "dst")
    }
)


_OF_IP = frozenset(
    "src dst proto ctproto sport dport port rpfilter set tcp_flags tcp_option icmp_type icmp_code fragment".split()
    + "length ttl hoplimit dscp uid gid".split()
    + [key for key in _ASK if key.startswith(("ctorig", "ctrepl", "src_type", "dst_type"))]
)
"""Conditions on what only an IP packet has."""
