"""Frames of a container's packets as the kernel hands them over, made with dpkt; and a plan to capture them by."""

from __future__ import annotations

import struct
from ipaddress import ip_address

from dpkt.icmp import ICMP
from dpkt.icmp6 import ICMP6
from dpkt.ip import IP
from dpkt.ip6 import IP6
from dpkt.tcp import TCP
from dpkt.udp import UDP

from netdash.capture.model import Plan, Seen
from netdash.capture.points import Wanted, plan
from netdash.collect.dissect import dissect
from netdash.collect.packet_sockets import Raw
from netdash.model.host import Host
from netdash.model.index import find_container
from tests.support import trace_hosts

WEB, HOST, CLIENT, GATEWAY = "172.17.0.2", "203.0.113.2", "192.0.2.10", "172.17.0.1"
NAT = trace_hosts.table(
    "nat",
    "-A PREROUTING -i eth0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
    "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
)
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
INSIDE, OUTSIDE, OTHER = 0, 1, 2  # points of the plan: vweb, eth0, eth1
_ETHERNET = bytes(12)


def plan_of(host: Host, wanted: Wanted | None = None) -> Plan:
    return plan(host, find_container(host, "web"), wanted or Wanted())


def ipv4(src: str, dst: str, body: object, proto: int, number: int = 1, **more: object) -> bytes:
    packet = IP(src=ip_address(src).packed, dst=ip_address(dst).packed, p=proto, id=number, data=body, **more)
    return _ETHERNET + b"\x08\x00" + bytes(packet)


def ipv6(src: str, dst: str, body: object, proto: int) -> bytes:
    packet = IP6(src=ip_address(src).packed, dst=ip_address(dst).packed, nxt=proto, data=body, plen=len(bytes(body)))
    return _ETHERNET + b"\x86\xdd" + bytes(packet)


def tcp(
    src: str, sport: int, dst: str, dport: int, flags: int = 2, seq: int = 1000, data: bytes = b"", **more: int
) -> bytes:
    return ipv4(src, dst, TCP(sport=sport, dport=dport, flags=flags, seq=seq, data=data), 6, **more)


def udp(src: str, sport: int, dst: str, dport: int, data: bytes = b"", **more: int) -> bytes:
    return ipv4(src, dst, UDP(sport=sport, dport=dport, data=data, ulen=8 + len(data)), 17, **more)


def echo(src: str, dst: str, kind: int = 8, number: int = 7, seq: int = 1, **more: int) -> bytes:
    return ipv4(src, dst, ICMP(type=kind, data=ICMP.Echo(id=number, seq=seq, data=b"payload")), 1, **more)


def echo6(src: str, dst: str, kind: int = 128) -> bytes:
    return ipv6(src, dst, ICMP6(type=kind, data=ICMP6.Echo(id=7, seq=1, data=b"x")), 58)


def unreachable(src: str, dst: str, quoted: bytes, code: int = 3, mtu: int = 0) -> bytes:
    return ipv4(src, dst, struct.pack("!BBHHH", 3, code, 0, 0, mtu) + quoted[14:42], 1)


def raw(frame: bytes, point: int = INSIDE, at: float = 0.0, tag: bytes = b"") -> Raw:
    """`at`: seconds after START."""
    ethertype = int.from_bytes(frame[12:14])
    return Raw(point, START + round(at * SECOND), frame, len(frame), ethertype, 14, tag)


def seen(frame: bytes, point: int = INSIDE, at: float = 0.0, payload: bool = False) -> Seen:
    found = dissect(raw(frame, point, at), payload, 96)
    assert found is not None
    return found
