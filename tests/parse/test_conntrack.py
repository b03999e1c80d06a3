"""Tracked connections: the lines that tools print, and what netlink tells. Neither may end in an exception."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from random import Random

import pytest

from netdash.model.host import Ends, TrackedFlow
from netdash.model.kernel_state import Counted
from netdash.parse.conntrack import parse_conntrack, parse_entry

PLAIN = (
    "tcp      6 431999 ESTABLISHED src=192.0.2.10 dst=203.0.113.2 sport=51122 dport=8080 "
    "src=172.17.0.2 dst=192.0.2.10 sport=80 dport=51122 [ASSURED] mark=7 use=1"
)
COUNTED = (
    "udp      17 29 src=172.17.0.2 dst=192.0.2.53 sport=40100 dport=53 packets=2 bytes=120 [UNREPLIED] "
    "src=192.0.2.53 dst=203.0.113.2 sport=53 dport=40100 packets=0 bytes=0 mark=0 delta-time=31 use=1"
)


def _only(line: str) -> TrackedFlow:
    ((found,), _) = parse_conntrack(line + "\n")
    return found


def test_a_line_of_conntrack() -> None:
    flow = _only(PLAIN)
    assert flow.original == Ends(ip_address("192.0.2.10"), 51122, ip_address("203.0.113.2"), 8080)
    assert flow.reply == Ends(ip_address("172.17.0.2"), 80, ip_address("192.0.2.10"), 51122)
    assert (flow.proto, flow.state, flow.seconds, flow.mark) == ("tcp", "ESTABLISHED", 431999, 7)
    assert flow.replied
    assert flow.assured
    assert flow.counts is None
    assert flow.age is None


def test_what_is_counted_and_timed() -> None:
    flow = _only(COUNTED)
    assert flow.counts == (Counted(2, 120), Counted(0, 0))
    assert (flow.packets, flow.bytes, flow.age, flow.replied, flow.state) == (2, 120, 31, False, "")


@pytest.mark.parametrize("prefix", ["ipv4     2 ", "ipv6     10 "])
def test_the_family_may_stand_before_it(prefix: str) -> None:
    """`conntrack -L -o extended`, and /proc/net/nf_conntrack, which names the zone too."""
    assert _only(prefix + PLAIN.replace("use=1", "zone=0 use=1")) == _only(PLAIN)


def test_zones_of_both_directions_and_of_one() -> None:
    assert _only(PLAIN.replace("use=1", "zone=5 use=1")).zones == (5, 5)
    assert _only(PLAIN.replace("dport=8080", "dport=8080 zone-orig=3")).zones == (3, 0)
    assert _only(PLAIN).zones == (0, 0)


def test_the_id_of_an_echo_is_not_that_of_the_entry() -> None:
    line = (
        "icmp     1 27 src=10.66.0.3 dst=198.51.100.1 type=8 code=0 id=8 "
        "src=198.51.100.1 dst=203.0.113.2 type=0 code=0 id=8 mark=0 use=1 id=123456"
    )
    assert _only(line).icmp_id == 8
    assert _only(PLAIN + " id=9").icmp_id is None


def test_a_flow_table_has_no_timeout_and_a_protocol_may_have_no_name() -> None:
    words = PLAIN.replace("431999 ESTABLISHED ", "").replace("[ASSURED]", "[OFFLOAD]")
    assert (_only(words).seconds, _only(words).state) == (None, "")
    line = "unknown  2 590 src=10.76.0.1 dst=224.0.0.22 [UNREPLIED] src=224.0.0.22 dst=10.76.0.1 mark=0 use=1"
    assert _only(line).proto == "igmp"
    assert _only(line.replace("unknown  2 ", "unknown  200 ")).proto == "200"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "tcp",
        "tcp 6",
        PLAIN[: len(PLAIN) // 2],
        PLAIN.replace("src=192.0.2.10", "src=nowhere"),
        PLAIN.replace("6 431999", "six 431999"),
        PLAIN + " src=1.2.3.4 dst=1.2.3.4",
        "conntrack v1.4.7 (conntrack-tools): 3 flow entries have been shown.",
        "udp 17 9 src=10.0.0.1 dst=10.0.0.2 sport=70000 dport=53 src=10.0.0.2 dst=10.0.0.1 sport=53 dport=70000",
    ],
)
def test_what_is_no_such_line_is_left_out_and_counted(line: str) -> None:
    odd = bool(line) and "have been shown" not in line
    assert parse_conntrack(f"{line}\n{PLAIN}\n") == (parse_conntrack(PLAIN)[0], odd)


@pytest.mark.parametrize(
    "text", ["cat: /proc/net/nf_conntrack: Permission denied", f"{PLAIN}\n{PLAIN[: len(PLAIN) // 2]}"]
)
def test_an_error_and_what_is_cut_off_are_no_connections(text: str) -> None:
    with pytest.raises(ValueError, match="its last line is no connection"):
        parse_conntrack(text)


def test_no_connection_is_an_answer() -> None:
    text = "conntrack v1.4.7 (conntrack-tools): 0 flow entries have been shown."
    assert parse_conntrack("") == parse_conntrack(f"{text}\n") == ((), 0)


def test_numbers_that_are_none_are_unknown() -> None:
    flow = _only(PLAIN.replace("sport=51122", "sport=99999999", 1).replace("mark=7", "mark=٧"))
    assert (flow.original.sport, flow.mark) == (None, None)


# --- netlink ----------------------------------------------------------------------------------------------------------


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)


def direction(kind: int, src: str, dst: str, sport: int, dport: int, proto: int = 6) -> bytes:
    one, other = ip_address(src).packed, ip_address(dst).packed
    first = 1 if len(one) == 4 else 3
    ips = attribute(first, one) + attribute(first + 1, other)
    ports = attribute(2, struct.pack("!H", sport)) + attribute(3, struct.pack("!H", dport))
    return attribute(kind, attribute(1, ips) + attribute(2, attribute(1, bytes([proto])) + ports))


def entry(**more: bytes) -> bytes:
    parts = {
        "original": direction(1, "192.0.2.10", "203.0.113.2", 51122, 8080),
        "reply": direction(2, "172.17.0.2", "192.0.2.10", 80, 51122),
        "status": attribute(3, struct.pack("!I", 2 | 4 | 8 | 32)),
        "timeout": attribute(7, struct.pack("!I", 431999)),
        "state": attribute(4, attribute(1, attribute(1, b"\x03"))),
        "mark": attribute(8, struct.pack("!I", 7)),
    }
    return b"".join((parts | more).values())


def test_netlink_and_the_tool_tell_the_same() -> None:
    assert parse_entry(entry(), 0.0) == _only(PLAIN)


def test_counters_times_and_zones_of_netlink() -> None:
    def counted(kind: int, packets: int, size: int) -> bytes:
        return attribute(kind, attribute(1, struct.pack("!Q", packets)) + attribute(2, struct.pack("!Q", size)))

    began = attribute(20, attribute(1, struct.pack("!Q", 90_000_000_000)))
    found = parse_entry(
        entry(there=counted(9, 2, 120), back=counted(10, 1, 60), began=began, zone=attribute(18, b"\0\5")), 100.5
    )
    assert found is not None
    assert (found.packets, found.bytes, found.age, found.zones) == (3, 180, 10, (5, 5))


def test_a_later_attribute_counts() -> None:
    later = entry() + attribute(3, struct.pack("!I", 8)) + attribute(4, attribute(1, attribute(1, b"\x01")))
    found = parse_entry(later, 0.0)
    assert found is not None
    assert (found.replied, found.state) == (False, "SYN_SENT")


def test_bytes_that_are_cut_off_or_changed_end_in_no_exception() -> None:
    dice, whole = Random(15), entry(zone=attribute(18, b"\0\5"))
    for at in range(len(whole)):
        parse_entry(whole[:at], 0.0)
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(dice.randrange(1, 6)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        found = parse_entry(bytes(data), 0.0)
        assert found is None or found.original.src is not None
