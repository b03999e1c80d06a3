"""A captured frame becomes a record, by dpkt, which is loaded with the first frame. Whatever a packet holds: it is
described as far as it can be read, and never an exception."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

from netdash.capture.model import Dns, Icmp, Seen, Tcp
from netdash.collect.packet_sockets import Raw
from netdash.model.addresses import packed
from netdash.model.records import dataclass

NEEDED = 2048
"""Bytes of a frame that are looked at, for the names in DNS answers; what is saved is less."""

_FAMILIES = {0x0800: 4, 0x86DD: 6}  # by EtherType
_VLANS = (0x8100, 0x88A8)
_NAMES = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", 132: "sctp"}
_READABLE = ("icmp", "tcp", "udp", "ipv6-icmp")
_ERRORS = {"icmp": (3, 4, 5, 11, 12), "ipv6-icmp": (1, 2, 3, 4)}
_TOO_BIG = {"icmp": (3, 4), "ipv6-icmp": (2, 0)}  # type and code
_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")
_HASHED = 64  # bytes of payload that tell packets apart
_DNS_PORTS = {53, 5353}
_RECORDS = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 65: "HTTPS"}
_MOST_ANSWERS = 8


@dataclass(frozen=True, slots=True)
class _Transport:
    """What a transport header says. `header`: bytes that are no payload."""

    header: int = 0
    sport: int | None = None
    dport: int | None = None
    tcp: Tcp | None = None
    icmp: Icmp | None = None
    dns: Dns | None = None
    read: bool = False


def dissect(raw: Raw, payload: bool, saved: int) -> Seen | None:
    """None: no IP packet, or one that cannot be read. With `payload` that is kept too; `saved`: bytes of the frame that
    are kept at most."""
    start, ethertype = raw.header, raw.ethertype
    vlan = int.from_bytes(raw.tag[2:]) & 0xFFF if raw.tag else None
    if ethertype in _VLANS and len(raw.data) >= start + 4:
        tag, ethertype = struct.unpack_from("!HH", raw.data, start)
        start, vlan = start + 4, tag & 0xFFF
    family = _FAMILIES.get(ethertype)
    try:
        return None if family is None else _seen(raw, start, family, vlan, payload, saved)
    except Exception:  # of dpkt, which raises what its parsers happen to meet: struct.error, KeyError, UnicodeError …
        return None


def _seen(raw: Raw, start: int, family: int, vlan: int | None, payload: bool, saved: int) -> Seen | None:
    packet, number, offset, fragment = _network(raw.data[start:], family)
    src, dst = packed(bytes(packet.src)), packed(bytes(packet.dst))
    if src is None or dst is None:
        return None
    proto = _NAMES.get(number, str(number))
    network = packet.hl * 4 if family == 4 else 40 + sum(value.length for value in packet.all_extension_headers)
    body = raw.data[start + network : start + _end(packet, family, raw.size - start)]
    whole = max(0, _end(packet, family, raw.size - start) - network)
    found = _transport(proto, packet.data, whole) if offset == 0 else _Transport()
    rest = body[found.header :]
    return Seen(
        raw.point, raw.ns, raw.size + len(raw.tag), family, proto, src, dst, found.sport, found.dport,
        ip_id=packet.id if family == 4 else None,
        length=whole,
        offset=offset,
        fragment=fragment,
        tcp=found.tcp,
        icmp=found.icmp,
        dns=found.dns,
        payload=rest[:saved] if payload else b"",
        digest=None if found.icmp and found.icmp.quoted else zlib.crc32(rest[:_HASHED]),
        vlan=vlan,
        malformed=proto in _READABLE and offset == 0 and not found.read,
frame=_frame(raw, saved if payload else min(saved, start + network + found.header)),
    )  # fmt: skip


def _frame(raw: Raw, saved: int) -> bytes:
    """The frame as it was on the wire, with its tag."""
    kept = raw.data[:saved]
    return kept[:12] + raw.tag + kept[12:] if raw.tag and raw.header else kept


def _network(data: bytes, family: int) -> tuple[Any, int, int, bool]:
    """(the packet, number of its transport protocol, offset of a fragment in bytes, whether it is a fragment)."""
    if family == 4:
        from dpkt.ip import IP

        packet = IP(data)
        return packet, packet.p, packet.offset * 8, bool(packet.mf or packet.offset)
    from dpkt.ip6 import IP6, IP6FragmentHeader

    packet = IP6(data)
    part = next((value for value in packet.all_extension_headers if isinstance(value, IP6FragmentHeader)), None)
    return packet, packet.p, part.frag_off * 8 if part else 0, part is not None


def _end(packet: Any, family: int, have: int) -> int:
    """Where the IP packet ends in its frame, which may be padded; 0 stands for a length that does not fit its field."""
    length = packet.len if family == 4 else packet.plen and packet.plen + 40
    return length or have


def _transport(proto: str, data: Any, whole: int) -> _Transport:
    if isinstance(data, bytes):
        return _Transport(12 if proto == "sctp" else 0, *_ports(data) if proto == "sctp" else (None, None))
    if proto == "tcp":
        flags = frozenset(name for bit, name in enumerate(_FLAGS) if data.flags & 1 << bit)
        tcp = Tcp(flags, data.seq, data.ack, max(0, whole - data.off * 4))
        return _Transport(data.off * 4, data.sport, data.dport, tcp, read=True)
    if proto == "udp":
        dns = _dns(bytes(data.data)) if {data.sport, data.dport} & _DNS_PORTS else None
        return _Transport(8, data.sport, data.dport, dns=dns, read=True)
    return _icmp(proto, data)


def _ports(data: bytes) -> tuple[int | None, int | None]:
    return struct.unpack_from("!HH", data) if len(data) >= 4 else (None, None)


def _icmp(proto: str, data: Any) -> _Transport:
    kind, code = data.type, data.code
    if kind in _ERRORS[proto]:
        mtu = getattr(data.data, "mtu", None) if (kind, code) == _TOO_BIG[proto] else None
        quoted, header = _quoted(getattr(data.data, "data", None))
        return _Transport(8 + header, icmp=Icmp(kind, code, mtu=mtu, quoted=quoted), read=True)
    number, seq = _ports(bytes(data.data))
    return _Transport(8, number, number, icmp=Icmp(kind, code, number, seq), read=True)


def _quoted(packet: Any) -> tuple[tuple[str, Any, int | None, Any, int | None] | None, int]:
    """The packet that an ICMP error is about, and the bytes of its headers."""
    version = getattr(packet, "v", None)
    if version not in (4, 6):
        return None, 0
    proto = _NAMES.get(packet.p, str(packet.p))
    data = bytes(packet.data)
    sport, dport = _ports(data) if proto in ("tcp", "udp", "sctp") else (None, None)
    if proto in _ERRORS:
        sport = dport = _ports(data[4:])[0]
    header = packet.hl * 4 if version == 4 else 40
    return (proto, packed(bytes(packet.src)), sport, packed(bytes(packet.dst)), dport), header + 8


@lru_cache(maxsize=1)
def _dns_parser() -> Any:
    """dpkt's, which gives up at the first record whose type it does not know; this one goes on."""
    from dpkt.dns import DNS

    class Record(DNS.RR):  # type: ignore[misc]
        def unpack_rdata(self, data: bytes, at: int) -> None:
            with suppress(Exception):
                super().unpack_rdata(data, at)

    class Parser(DNS):  # type: ignore[misc]
        RR = Record

    return Parser


def _dns(data: bytes) -> Dns | None:
    try:
        message = _dns_parser()(data)
        question = message.qd[0] if message.qd else None
        name, kind = (question.name, question.type) if question is not None else ("", 0)
        return Dns(message.id, bool(message.qr), message.rcode, name, _record(kind), tuple(_answers(message.an)))
    except Exception:  # as above; and a name need not be UTF-8
        return None


def _record(kind: int) -> str:
    return _RECORDS.get(kind, f"TYPE{kind}")


def _answers(records: Any) -> Iterator[str]:
    for record in records[:_MOST_ANSWERS]:
        if record.type in (1, 28):
            yield str(packed(bytes(record.rdata)) or "?")
        elif record.type in (2, 5, 12):
            name = {2: "nsname", 5: "cname", 12: "ptrname"}[record.type]
            yield f"{_record(record.type)} {getattr(record, name, '?')}"
        else:
            yield _record(record.type)
