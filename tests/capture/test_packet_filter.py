"""The kernel's filter, run by a small interpreter of classic BPF."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from netdash.capture.model import Clause
from netdash.capture.packet_filter import MAX_PROGRAM, program
from netdash.capture.points import Wanted
from tests.support import frames, trace_hosts
from tests.support.frames import CLIENT, HOST, INSIDE, OUTSIDE, WEB

KEPT = 2048
_NET, _PROTOCOL = 0xFFF00000, 0xFFFFF000


def kept(clauses: tuple[Clause, ...], frame: bytes) -> bool:
    made, at, a, x = program(clauses, KEPT), 0, 0, 0
    packet = frame[14:]
    while True:
        code, true, false, k = made[at]
        at += 1
        offset = k - _NET
        if code == 0x06:
            return k == KEPT
        if code == 0x05:
            at += k
        elif code == 0x20 and k == _PROTOCOL:
            a = int.from_bytes(frame[12:14])
        elif code in (0x20, 0x28, 0x30):
            size = {0x20: 4, 0x28: 2, 0x30: 1}[code]
            if offset + size > len(packet):
                return False
            a = int.from_bytes(packet[offset : offset + size])
        elif code == 0xB1:
            x = 4 * (packet[offset] & 15)
        elif code in (0x48, 0x50):
            size = {0x48: 2, 0x50: 1}[code]
            if x + offset + size > len(packet):
                return False
            a = int.from_bytes(packet[x + offset : x + offset + size])
        else:
            held = {0x15: a == k, 0x35: a >= k, 0x45: bool(a & k)}[code]
            at += true if held else false


@pytest.fixture(scope="module")
def host() -> object:
    return trace_hosts.host(frames.NAT)


@pytest.mark.parametrize(
    ("frame", "inside", "outside"),
    [
        (frames.tcp(WEB, 40100, CLIENT, 80), True, True),
        (frames.tcp(HOST, 40100, CLIENT, 80), False, True),
        (frames.tcp(CLIENT, 40100, HOST, 8080), False, True),
        (frames.tcp(CLIENT, 40100, HOST, 22), False, False),
        (frames.tcp(HOST, 22, CLIENT, 40100), False, False),
        (frames.tcp(HOST, 40100, CLIENT, 22), False, True),
        (frames.udp(HOST, 22, CLIENT, 40100), False, True),
        (frames.tcp("192.0.2.1", 1, CLIENT, 80), False, False),
        (frames.echo(HOST, CLIENT), False, True),
        (frames.echo6("fd00::2", "2001:db8::1"), False, False),
    ],
)
def test_what_is_kept(host: object, frame: bytes, inside: bool, outside: bool) -> None:
    plan = frames.plan_of(host)  # type: ignore[arg-type]
    assert kept(plan.points[INSIDE].clauses, frame) is inside
    assert kept(plan.points[OUTSIDE].clauses, frame) is outside


@pytest.mark.parametrize(
    ("frame", "inside", "outside"),
    [
        (frames.tcp(CLIENT, 40100, WEB, 80), True, True),
        (frames.tcp(WEB, 80, CLIENT, 40100), True, True),
        (frames.tcp(WEB, 81, CLIENT, 40100), False, False),
        (frames.tcp(WEB, 40100, CLIENT, 8080), True, True),
        (frames.tcp(CLIENT, 40100, HOST, 8080), False, True),
        (frames.tcp(HOST, 40100, CLIENT, 8080), False, True),
        (frames.tcp(HOST, 40100, CLIENT, 443), False, False),
        (frames.echo(WEB, CLIENT), False, False),
        (frames.unreachable(CLIENT, WEB, frames.tcp(WEB, 80, CLIENT, 40100)), True, True),
        (frames.ipv4(WEB, CLIENT, bytes(40), 17, _flags_offset=185), True, True),
        (frames.tcp("192.0.2.1", 40100, WEB, 80), False, False),
    ],
)
def test_only_one_peer_and_port(host: object, frame: bytes, inside: bool, outside: bool) -> None:
    plan = frames.plan_of(host, Wanted(ip_address(CLIENT), 8080))  # type: ignore[arg-type]
    assert kept(plan.points[INSIDE].clauses, frame) is inside
    assert kept(plan.points[OUTSIDE].clauses, frame) is outside


def test_ipv6_addresses_are_compared_whole() -> None:
    clause = Clause(frozenset({ip_address("fd00::2")}), peer_ports=frozenset({("udp", 53)}))
    packet = frames.ipv6("fd00::2", "2001:db8::1", b"\x10\x00\x00\x35\x00\x08\x00\x00", 17)
    assert kept((clause,), packet)
    assert not kept((clause,), packet.replace(ip_address("fd00::2").packed, ip_address("fd00::3").packed))
    assert not kept((clause,), frames.echo6("fd00::2", "2001:db8::1"))
    assert kept((clause,), frames.ipv6("2001:db8::1", "fd00::2", b"\x02\x00" + bytes(40), 58))


def test_a_program_that_would_be_too_long_lets_every_ip_packet_through() -> None:
    clause = Clause(frozenset(ip_address(0xFD << 120 | number) for number in range(2_000)))
    assert len(program((clause,), KEPT)) < MAX_PROGRAM
    assert kept((clause,), frames.echo(HOST, CLIENT))
