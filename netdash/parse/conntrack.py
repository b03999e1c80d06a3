"""Tracked connections: as `conntrack -L` and /proc/net/nf_conntrack print them, and as netlink tells them."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from netdash.model.addresses import address, packed
from netdash.model.host import Ends, TrackedFlow
from netdash.model.kernel_state import Counted
from netdash.model.numbers import decimal

# --- text -------------------------------------------------------------------------------------------------------------


def parse_conntrack(text: str) -> tuple[tuple[TrackedFlow, ...], int]:
    """A line a connection, as `conntrack -L`, with any of its options, or /proc/net/nf_conntrack prints it: `[FAMILY
    NUMBER] PROTO NUMBER [SECONDS] [STATE] src= … [UNREPLIED] src= … [ASSURED] mark= …`. And how many lines
    are none and left out. Raises ValueError where the last line is none: it is cut off, or a tool's error."""
    lines = [line for line in text.splitlines() if line.strip() and _SUMMARY not in line]
    found = [_flow(line.split()) for line in lines]
    if found and found[-1] is None:
        raise ValueError("its last line is no connection")
    return tuple(flow for flow in found if flow is not None), found.count(None)


_SUMMARY = " flow entries have been shown"  # the line that conntrack prints after the entries


def _flow(words: list[str]) -> TrackedFlow | None:
    if words[:1] in (["ipv4"], ["ipv6"]):
        words = words[2:]
    first = next((at for at, word in enumerate(words) if word.startswith("src=")), 0)
    head, halves = words[:first], _halves(words[first:])
    if len(head) < 2 or len(head) > 4 or len(halves) != 2 or decimal(head[1], 3) is None:
        return None
    original, reply = map(_ends, halves)
    if original is None or reply is None:
        return None
    seconds = decimal(head[2], 10) if len(head) > 2 else None
    counts = [_counted(half) for half in halves]
    told = halves[1]
    zone = decimal(told.get("zone", ""), 5) or 0
    return TrackedFlow(
        proto=head[0] if head[0] != "unknown" else _PROTOCOLS.get(head[1], head[1]),
        original=original,
        reply=reply,
        replied="[UNREPLIED]" not in words,
        state=head[-1] if decimal(head[-1]) is None else "",
        seconds=seconds,
        assured="[ASSURED]" in words or "[OFFLOAD]" in words or "[HW_OFFLOAD]" in words,
        mark=decimal(told.get("mark", ""), 10),
        zones=(
            decimal(halves[0].get("zone-orig", ""), 5) or zone,
            decimal(told.get("zone-reply", ""), 5) or zone,
        ),
        icmp_id=decimal(halves[0].get("id", ""), 5) if "type" in halves[0] else None,
        counts=(counts[0], counts[1]) if counts[0] is not None and counts[1] is not None else None,
        age=decimal(told.get("delta-time", ""), 10),
    )


def _halves(words: list[str]) -> list[dict[str, str]]:
    """The values of each direction by their names. Of two with one name the first is the direction's own: `id` is of
    ICMP first, and then the entry's."""
    found: list[dict[str, str]] = []
    for word in words:
        name, equals, value = word.partition("=")
        if name == "src":
            found.append({})
        if equals:
            found[-1].setdefault(name, value)
    return found


def _ends(half: dict[str, str]) -> Ends | None:
    src, dst = address(half.get("src")), address(half.get("dst"))
    sport, dport = _port(half, "sport"), _port(half, "dport")
    if src is None or dst is None or max(sport or 0, dport or 0) > _LAST_PORT:
        return None
    return Ends(src, sport, dst, dport)


_LAST_PORT = 65535


def _port(half: dict[str, str], name: str) -> int | None:
    return decimal(half.get(name, ""), 5)


def _counted(half: dict[str, str]) -> Counted | None:
    packets, size = decimal(half.get("packets", "")), decimal(half.get("bytes", ""))
    return None if packets is None or size is None else Counted(packets, size)


_PROTOCOLS = {"2": "igmp", "41": "ipv6", "47": "gre", "50": "esp", "51": "ah", "89": "ospf", "112": "vrrp"}
"""Names of /etc/protocols for those of which conntrack prints none."""


# --- netlink ----------------------------------------------------------------------------------------------------------

_ORIGINAL, _REPLY, _STATUS, _PROTOINFO, _TIMEOUT, _MARK = 1, 2, 3, 4, 7, 8  # enum ctattr_type
_COUNTERS, _ZONE, _TIMESTAMP = (9, 10), 18, 20
_IP, _PROTO, _TUPLE_ZONE = 1, 2, 3  # enum ctattr_tuple
_NUMBER, _PORTS, _ICMP_ID, _ICMPV6_ID = 1, (2, 3), 4, 7  # enum ctattr_l4proto
_SEEN_REPLY, _ASSURED, _OFFLOAD = 1 << 1, 1 << 2, 3 << 14  # enum ip_conntrack_status
_NAMES = {1: "icmp", 6: "tcp", 17: "udp", 33: "dccp", 58: "icmpv6", 132: "sctp", 136: "udplite"}
_TCP_STATES = (
    *("NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT"),
    *("CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2"),
)
_ATTRIBUTE = struct.Struct("=HH")


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, value) of each netlink attribute; ends where one is cut off."""
    start, end = 0, len(data)
    while start + 4 <= end:
        size, kind = _ATTRIBUTE.unpack_from(data, start)
        if size < 4 or start + size > end:
            return
        yield kind & 0x3FFF, data[start + 4 : start + size]
        start += (size + 3) & ~3


def parse_entry(data: bytes, now: float) -> TrackedFlow | None:
    """The attributes of an entry, of which a later one counts before an earlier; None where they tell no connection.
    `now`: seconds since the epoch."""
    found = dict(attributes(data))
    original, reply = _tuple(found.get(_ORIGINAL, b"")), _tuple(found.get(_REPLY, b""))
    status, seconds = found.get(_STATUS, b""), found.get(_TIMEOUT, b"")
    if original is None or reply is None or len(status) != 4:
        return None
    number, ends, icmp_id, zone = original
    bits = int.from_bytes(status, "big")
    whole = _number(found.get(_ZONE, b"")) or 0
    counts = [_carried(found.get(kind, b"")) for kind in _COUNTERS]
    began = _number(dict(attributes(found.get(_TIMESTAMP, b""))).get(1, b""))
    return TrackedFlow(
        proto=_NAMES.get(number) or _PROTOCOLS.get(str(number), str(number)),
        original=ends,
        reply=reply[1],
        replied=bool(bits & _SEEN_REPLY),
        state=_tcp_state(found.get(_PROTOINFO, b"")) if number == 6 else "",
        seconds=_number(seconds) if not bits & _OFFLOAD else None,
        assured=bool(bits & (_ASSURED | _OFFLOAD)),
        mark=_number(found.get(_MARK, b"")) or 0,
        zones=(zone or whole, reply[3] or whole),
        icmp_id=icmp_id,
        counts=(counts[0], counts[1]) if counts[0] is not None and counts[1] is not None else None,
        age=max(0, int(now - began / 1e9)) if began else None,
    )


def _tuple(data: bytes) -> tuple[int, Ends, int | None, int] | None:
    """(number of the protocol, ends, id of ICMP, zone)."""
    parts = dict(attributes(data))
    ips = dict(attributes(parts.get(_IP, b"")))
    src, dst = (packed(ips.get(kind) or ips.get(kind + 2, b"")) for kind in (1, 2))
    proto = dict(attributes(parts.get(_PROTO, b"")))
    number = proto.get(_NUMBER, b"")
    if src is None or dst is None or len(number) != 1:
        return None
    sport, dport = (_number(proto.get(kind, b"")) for kind in _PORTS)
    icmp_id = _number(proto.get(_ICMP_ID) or proto.get(_ICMPV6_ID, b""))
    return number[0], Ends(src, sport, dst, dport), icmp_id, _number(parts.get(_TUPLE_ZONE, b"")) or 0


def _number(value: bytes) -> int | None:
    """In network byte order; None where there is none."""
    return int.from_bytes(value, "big") if 0 < len(value) <= 8 else None


def _tcp_state(data: bytes) -> str:
    tcp = dict(attributes(data)).get(1, b"")
    state = dict(attributes(tcp)).get(1, b"\xff")
    return _TCP_STATES[state[0]] if len(state) == 1 and state[0] < len(_TCP_STATES) else ""


def _carried(data: bytes) -> Counted | None:
    found = dict(attributes(data))
    packets, size = _number(found.get(1, b"")), _number(found.get(2, b""))
    return None if packets is None or size is None else Counted(packets, size)
