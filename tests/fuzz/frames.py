"""Packets as bytes: builds the first packet of a flow, reads what arrived."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

IP = IPv4Address | IPv6Address
NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58}
NAMES = {number: name for name, number in NUMBERS.items()}
PAYLOAD = b"netdash"


@dataclass(frozen=True, slots=True)
class Tuple:
    """What stands in the headers. Of an echo request `sport` is the id, and `dport` 0."""

    proto: str
    src: IP
    dst: IP
    sport: int
    dport: int

    def __str__(self) -> str:
        return f"{self.proto} {self.src}:{self.sport} > {self.dst}:{self.dport}"


def build(packet: Tuple) -> bytes:
    """The IP packet: a SYN, a datagram, or an echo request."""
    number = NUMBERS[packet.proto]
    pseudo = packet.src.packed + packet.dst.packed
    body = _body(packet)
    at = {6: 16, 17: 6}.get(number, 2)
    if number == 1:
        pseudo = b""
    elif packet.src.version == 4:
        pseudo += struct.pack("!BBH", 0, number, len(body))
    else:
        pseudo += struct.pack("!IHBB", len(body), 0, 0, number)
    body = body[:at] + struct.pack("!H", _checksum(pseudo + body)) + body[at + 2 :]
    if packet.src.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(body), number, 64) + packet.src.packed + packet.dst.packed + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), packet.sport, 0x4000, 64, number, 0)
    head += packet.src.packed + packet.dst.packed
    return head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + body


def _body(packet: Tuple) -> bytes:
    if packet.proto == "tcp":
        return struct.pack("!HHIIBBHHH", packet.sport, packet.dport, packet.sport, 0, 5 << 4, 2, 64240, 0, 0)
    if packet.proto == "udp":
        return struct.pack("!HHHH", packet.sport, packet.dport, 8 + len(PAYLOAD), 0) + PAYLOAD
    return struct.pack("!BBHHH", 8 if packet.proto == "icmp" else 128, 0, 0, packet.sport, 1) + PAYLOAD


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(to: bytes, by: bytes, packet: Tuple) -> bytes:
    """With its Ethernet header: `to` and `by` are the MAC addresses."""
    return to + by + struct.pack("!H", 0x800 if packet.src.version == 4 else 0x86DD) + build(packet)


def read(data: bytes, transport: bytes | None = None) -> Tuple | None:
    """The first packet of a flow out of its bytes; `transport` where that header is apart. None: another packet."""
    opened = _open(data)
    if opened is None:
        return None
    number, src, dst, inside = opened
    inside = inside if transport is None else transport
    if number in (6, 17) and len(inside) >= 8:
        sport, dport = struct.unpack_from("!HH", inside)
        if number == 6 and len(inside) >= 14 and inside[13] & 0x17 != 2:
            return None  # not a SYN
        return Tuple(NAMES[number], src, dst, sport, dport)
    if number in (1, 58) and len(inside) >= 8 and inside[0] in (8, 128):
        return Tuple(NAMES[number], src, dst, struct.unpack_from("!H", inside, 4)[0], 0)
    return None


def answer(data: bytes) -> Tuple | None:
    """A packet that accepts a probe: SYN and ACK, or an echo reply."""
    opened = _open(data)
    if opened is None:
        return None
    number, src, dst, inside = opened
    if number == 6 and len(inside) >= 14 and inside[13] & 0x17 == 0x12:
        return Tuple("tcp", src, dst, *struct.unpack_from("!HH", inside))
    if number in (1, 58) and len(inside) >= 8 and inside[0] in (0, 129):
        return Tuple(NAMES[number], src, dst, struct.unpack_from("!H", inside, 4)[0], 0)
    return None


def refusal(data: bytes) -> str | None:
    """What an answer refuses with: "icmp TYPE/CODE" or "tcp reset"; None when it is no refusal."""
    opened = _open(data)
    if opened is None:
        return None
    number, _, _, inside = opened
    if number == 6 and len(inside) >= 14 and inside[13] & 4:
        return "tcp reset"
    if number == 1 and len(inside) >= 2 and inside[0] in (3, 11):
        return f"icmp {inside[0]}/{inside[1]}"
    if number == 58 and len(inside) >= 2 and inside[0] in (1, 3):
        return f"icmpv6 {inside[0]}/{inside[1]}"
    return None


def _open(data: bytes) -> tuple[int, IP, IP, bytes] | None:
    if len(data) >= 20 and data[0] >> 4 == 4:
        size = (data[0] & 15) * 4
        return data[9], ip_address(data[12:16]), ip_address(data[16:20]), data[size:]
    if len(data) >= 40 and data[0] >> 4 == 6:
        return data[6], ip_address(data[8:24]), ip_address(data[24:40]), data[40:]
    return None
