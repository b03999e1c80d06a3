"""Captured packets as lines, as JSON, and the tcpdump commands that do the same."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from netdash.capture.model import Fate, Outcome, Pair, Plan
from netdash.capture.points import Wanted
from netdash.model.records import replace
from netdash.trace.model import Decision
from netdash.view.capture import commands, lines, pair_json, summary
from netdash.view.layout import size
from netdash.view.text import Line
from tests.support import frames, trace_hosts
from tests.support.frames import CLIENT, HOST, INSIDE, OUTSIDE, WEB, echo, seen, tcp, udp


@pytest.fixture(scope="module")
def plan() -> Plan:
    return frames.plan_of(trace_hosts.host(frames.NAT))


def text(line: Line) -> str:
    return "".join(span.text for span in line)


PING = Pair(
    (seen(echo(WEB, CLIENT), INSIDE, 0.000102), seen(echo(HOST, CLIENT, number=9), OUTSIDE, 0.000118)),
    True,
    Outcome(Fate.PAIRED),
)
LOST = Outcome(Fate.LOST, "dropped", Decision("filter/DOCKER-USER #1", "-j DROP"))


def test_both_sides_in_one_line(plan: Plan) -> None:
    (line,) = lines(plan, PING, None)
    assert text(line)[9:] == (
        "172.17.0.2 → 192.0.2.10 ICMP echo request id 7 seq 1 │ vweb at .000102 │ "
        "eth0 as 203.0.113.2 id 9 at .000118 (+16 µs)"
    )


@pytest.mark.parametrize("room", [40, 80, 100])
def test_narrow_terminals_get_more_lines(plan: Plan, room: int) -> None:
    for pair in (PING, Pair(PING.seen[:1], True, LOST)):
        made = lines(plan, pair, room)
        assert len(made) > 1
        assert all(size(line) <= room for line in made)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (tcp(WEB, 5, CLIENT, 80), "TCP SYN"),
        (tcp(WEB, 5, CLIENT, 80, flags=0x19, data=b"abc"), "TCP FIN PSH ACK 3 bytes"),
        (tcp(WEB, 5, CLIENT, 80, flags=0x14), "TCP reset"),
        (udp(WEB, 5, CLIENT, 80, b"abc"), "UDP 3 bytes"),
        (
            frames.unreachable("203.0.113.1", HOST, udp(HOST, 5, CLIENT, 53), 4, 1400),
            "ICMP fragmentation needed, MTU 1400 of udp 203.0.113.2:5 → 192.0.2.10:53",
        ),
        (
            frames.unreachable("203.0.113.1", HOST, udp(HOST, 5, CLIENT, 53), 13),
            "ICMP unreachable: prohibited by a rule of udp 203.0.113.2:5 → 192.0.2.10:53",
        ),
        (frames.echo6("fd00::2", "2001:db8::1"), "ICMPv6 echo request id 7 seq 1"),
    ],
)
def test_what_a_packet_is(plan: Plan, frame: bytes, words: str) -> None:
    assert pair_json(plan, Pair((seen(frame),), True, LOST))["what"] == words


def test_the_rule_is_named(plan: Plan) -> None:
    pair = Pair((seen(tcp(WEB, 5, CLIENT, 80)),), True, LOST)
    (line,) = lines(plan, pair, None)
    assert "✗ lost between vweb and the uplinks: filter/DOCKER-USER #1 dropped (-j DROP)" in text(line)
    assert (pair_json(plan, pair)["by"], pair_json(plan, pair)["fate"]) == ("filter/DOCKER-USER #1", "lost")


def test_unknown_is_said(plan: Plan) -> None:
    (line,) = lines(plan, Pair((seen(tcp(WEB, 5, CLIENT, 80)),), True, Outcome(Fate.UNKNOWN, "no idea")), None)
    assert "? not seen at the uplinks, unknown why: no idea" in text(line)


def test_payload_is_shown_where_it_was_kept(plan: Plan) -> None:
    kept = seen(udp(WEB, 5, CLIENT, 80, b"a\x1b[31mb"), payload=True)
    assert text(lines(plan, Pair((kept,), True, LOST), None)[-1]).endswith("611b5b33316d62  a.[31mb")


def test_the_same_with_tcpdump() -> None:
    made = frames.plan_of(trace_hosts.host(frames.NAT), Wanted(ip_address(CLIENT), 8080))
    first, second, _ = commands(made, 100, 96)
    errors = "icmp[0] = 3 or icmp[0] = 11 or icmp[0] = 12 or (icmp6 and ip6[40] < 128)"
    assert first == (
        "tcpdump -ni vweb -s 96 -c 100 '(host 172.17.0.2 and host 192.0.2.10 and (sctp port 8080 or tcp port 80 or "
        "tcp port 8080 or udp port 8080)) or (host 172.17.0.2 and host 192.0.2.10 and (sctp port 8080 or "
        f"tcp port 8080 or udp port 8080)) or (({errors}) and (host 172.17.0.2))'"
    )
    assert second.startswith("tcpdump -ni eth0 -s 96 -c 100 '(host 172.17.0.2 and")
    many = replace(made, own=frozenset(ip_address(f"10.0.0.{last}") for last in range(200)))
    clauses = tuple(replace(one, ours=one.ours and many.own) for one in made.points[1].clauses)
    (long,) = commands(replace(many, points=(replace(made.points[1], clauses=clauses),)))
    assert long.startswith("tcpdump -ni eth0"), "however many addresses the host has"


def test_what_was_dropped_is_told() -> None:
    counts = {Fate.LOST: 1, Fate.PAIRED: 2}
    assert summary(3, counts, 7, 0) == (
        "3 packets, 2 seen on both sides, 1 lost, 7 dropped by the kernel: netdash was too slow for them"
    )
