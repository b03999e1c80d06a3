"""One packet at two points is one pair; what is seen on one side only is explained by the trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address

import pytest

from netdash.capture.absence import Absence
from netdash.capture.model import Fate, Pair, Seen
from netdash.capture.pairs import Pairing
from netdash.capture.points import Wanted
from netdash.model.host import Host
from netdash.model.records import replace
from tests.support import frames, trace_hosts
from tests.support.frames import CLIENT, GATEWAY, HOST, INSIDE, OUTSIDE, SECOND, START, WEB, echo, seen, tcp, udp

SYN, SYN_ACK, ACK, RST = 2, 18, 16, 4


@pytest.fixture(scope="module")
def host() -> Host:
    return trace_hosts.host(frames.NAT)


def pairs(host: Host, packets: Iterable[Seen], at: float = 10.0, wanted: Wanted | None = None) -> list[Pair]:
    plan = frames.plan_of(host, wanted)
    pairing = Pairing(plan, host.flows or (), Absence(lambda: host, plan))
    for packet in packets:
        pairing.add(packet)
    return list(pairing.due(START + round(at * SECOND)))


def with_rules(*lines: str) -> Host:
    return trace_hosts.host(frames.NAT + trace_hosts.table("filter", *lines))


def test_a_ping_and_its_answer(host: Host) -> None:
    out, back = pairs(
        host,
        [
            seen(echo(WEB, CLIENT, number=7), INSIDE, 0.0),
            seen(echo(HOST, CLIENT, number=9), OUTSIDE, 0.1),
            seen(echo(CLIENT, HOST, 0, number=9), OUTSIDE, 0.2),
            seen(echo(CLIENT, WEB, 0, number=7), INSIDE, 0.3),
        ],
    )
    assert [(str(one.src), one.point) for one in out.seen] == [(WEB, INSIDE), (HOST, OUTSIDE)]
    assert [(str(one.dst), one.point) for one in back.seen] == [(HOST, OUTSIDE), (WEB, INSIDE)]
    assert (out.outwards, back.outwards) == (True, False)
    assert {out.outcome.fate, back.outcome.fate} == {Fate.PAIRED}


def test_dnat(host: Host) -> None:
    (pair,) = pairs(host, [seen(tcp(CLIENT, 5, HOST, 8080), OUTSIDE), seen(tcp(CLIENT, 5, WEB, 80), INSIDE, 0.01)])
    assert (pair.outcome.fate, pair.outwards) == (Fate.PAIRED, False)


@pytest.mark.parametrize(
    "other",
    [
        tcp(HOST, 40100, CLIENT, 80, seq=1001),
        tcp(HOST, 40100, CLIENT, 80, number=2),
        tcp(HOST, 40100, CLIENT, 80, flags=ACK),
        tcp(HOST, 40100, "192.0.2.11", 80),
        udp(HOST, 40100, CLIENT, 80),
    ],
)
def test_another_packet_is_no_pair(host: Host, other: bytes) -> None:
    (pair,) = pairs(host, [seen(tcp(WEB, 40100, CLIENT, 80), INSIDE), seen(other, OUTSIDE)])
    assert pair.outcome.fate is Fate.UNKNOWN
    assert "let it through" in pair.outcome.text


def test_equal_datagrams_are_told_apart_by_time(host: Host) -> None:
    packets = []
    for at in (0.0, 0.3):
        packets += [seen(udp(WEB, 5, CLIENT, 9, b"x"), INSIDE, at), seen(udp(HOST, 5, CLIENT, 9, b"x"), OUTSIDE, at)]
    assert [pair.outcome.fate for pair in pairs(host, packets)] == [Fate.PAIRED, Fate.PAIRED]


def test_nothing_of_others_is_reported(host: Host) -> None:
    assert pairs(host, [seen(tcp(HOST, 40100, CLIENT, 80), OUTSIDE), seen(echo(CLIENT, HOST), OUTSIDE)]) == []


def test_a_rule_that_drops_is_named() -> None:
    host = with_rules("-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -p tcp -m tcp --dport 80 -j DROP")
    first, again = pairs(
        host,
        [seen(tcp(WEB, 40100, CLIENT, 80), INSIDE), seen(tcp(WEB, 40100, CLIENT, 80, number=2), INSIDE, 1.0)],
    )
    assert first.outcome.fate is Fate.LOST
    assert first.outcome.decision is not None
    assert first.outcome.decision.place == "filter/DOCKER-USER #1"
    assert (first.note, again.note) == ("", "retransmission")


def test_an_inbound_packet_that_is_dropped() -> None:
    host = with_rules("-A FORWARD -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j DROP")
    (pair,) = pairs(host, [seen(tcp(CLIENT, 5, HOST, 8080), OUTSIDE)])
    assert pair.outcome.fate is Fate.LOST
    assert pair.outcome.decision is not None
    assert pair.outcome.decision.place == "filter/FORWARD #1"


def test_an_answer_that_is_dropped() -> None:
    host = with_rules("-A FORWARD -s 192.0.2.10/32 -p udp -m udp --sport 53 -j DROP")
    out, back = pairs(
        host,
        [
            seen(udp(WEB, 5, CLIENT, 53, b"q"), INSIDE),
            seen(udp(HOST, 5, CLIENT, 53, b"q"), OUTSIDE, 0.01),
            seen(udp(CLIENT, 53, HOST, 5, b"a"), OUTSIDE, 0.02),
        ],
    )
    assert (out.outcome.fate, back.outcome.fate, back.outwards) == (Fate.PAIRED, Fate.LOST, False)
    assert back.outcome.decision is not None
    assert back.outcome.decision.place == "filter/FORWARD #1"


def test_a_later_packet_is_not_blamed_on_a_rule_for_new_connections() -> None:
    host = with_rules("-A FORWARD -i docker0 -p tcp -j DROP")
    flow = [
        seen(tcp(WEB, 40100, CLIENT, 80), INSIDE),
        seen(tcp(HOST, 40100, CLIENT, 80), OUTSIDE, 0.01),
        seen(tcp(WEB, 40100, CLIENT, 80, flags=ACK, seq=1001, number=2), INSIDE, 0.02),
    ]
    later = pairs(host, flow)[1]
    assert later.outcome.fate is Fate.UNKNOWN
    assert "stops a new connection; what stops this one is not known" in later.outcome.text


def test_what_stays_on_this_host_is_not_lost(host: Host) -> None:
    (pair,) = pairs(host, [seen(tcp(GATEWAY, 5, WEB, 80), INSIDE)])
    assert (pair.outcome.fate, pair.outcome.text) == (Fate.LOCAL, "this host itself")
    (pair,) = pairs(host, [seen(tcp(WEB, 5, trace_hosts.DB, 80), INSIDE)])
    assert (pair.outcome.fate, pair.outcome.text) == (Fate.LOCAL, "container db")
    (pair,) = pairs(host, [seen(udp(WEB, 5, "224.0.0.251", 5353), INSIDE)])
    assert pair.outcome.fate is Fate.LOCAL


def test_later_packets_within_this_host_are_not_missed(host: Host) -> None:
    found = pairs(
        host,
        [
            seen(tcp(WEB, 5, trace_hosts.DB, 80), INSIDE),
            seen(tcp(trace_hosts.DB, 80, WEB, 5, flags=SYN_ACK), INSIDE, 0.1),
            seen(tcp(WEB, 5, trace_hosts.DB, 80, flags=ACK, seq=1001), INSIDE, 0.2),
        ],
    )
    assert [(pair.outcome.fate, pair.outcome.text) for pair in found] == [(Fate.LOCAL, "container db")] * 3


PROXY = (
    "42 1 /usr/bin/docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8080 "
    "-container-ip 172.17.0.2 -container-port 80\n"
)


def test_docker_proxy_makes_another_connection() -> None:
    listening = 'tcp LISTEN 0 9 0.0.0.0:8080 0.0.0.0:* users:(("docker-proxy",pid=42,fd=4))\n'
    host = trace_hosts.host("", more={"host/docker-proxy.txt": PROXY, "host/listeners.txt": listening})
    outside, inside = pairs(
        host, [seen(tcp(CLIENT, 5, HOST, 8080), OUTSIDE), seen(tcp(GATEWAY, 6, WEB, 80), INSIDE, 0.01)]
    )
    assert (outside.outcome.fate, inside.outcome.fate) == (Fate.PROXY, Fate.PROXY)
    assert "another connection" in outside.outcome.text


def test_unknown_rules_blame_nobody() -> None:
    host = replace(trace_hosts.host(frames.NAT), ruleset=None)
    (pair,) = pairs(host, [seen(tcp(WEB, 40100, CLIENT, 80), INSIDE)])
    assert pair.outcome.fate is Fate.UNKNOWN


def test_one_that_comes_late_is_told_again(host: Host) -> None:
    plan = frames.plan_of(host)
    pairing = Pairing(plan, (), Absence(lambda: host, plan))
    pairing.add(seen(udp(WEB, 5, CLIENT, 9, b"x"), INSIDE))
    (missed,) = pairing.due(START + 2 * SECOND)
    pairing.add(seen(udp(HOST, 5, CLIENT, 9, b"x"), OUTSIDE, 3.0))
    (found,) = pairing.due(START + 3 * SECOND)
    assert (missed.outcome.fate, missed.late) == (Fate.UNKNOWN, False)
    assert (found.outcome.fate, found.late, found.before) == (Fate.PAIRED, True, Fate.UNKNOWN)
    assert [one.point for one in (*missed.news, *found.news)] == [INSIDE, OUTSIDE], "each is saved once"


def test_nothing_is_judged_before_its_time(host: Host) -> None:
    plan = frames.plan_of(host)
    pairing = Pairing(plan, (), Absence(lambda: host, plan))
    pairing.add(seen(udp(WEB, 5, CLIENT, 9, b"x"), INSIDE))
    assert list(pairing.due(START + SECOND // 2)) == []
    (cut,) = pairing.due(START + SECOND // 2, last=True)
    assert (cut.outcome.fate, cut.outcome.decision) == (Fate.UNKNOWN, None)


def test_segments_of_another_size_are_not_lost(host: Host) -> None:
    data: Callable[..., bytes] = lambda src, seq, size, number: tcp(  # noqa: E731
        src, 40100, CLIENT, 80, flags=ACK, seq=seq, data=bytes(size), number=number
    )
    packets = [
        seen(tcp(WEB, 40100, CLIENT, 80), INSIDE),
        seen(tcp(HOST, 40100, CLIENT, 80), OUTSIDE),
        seen(data(WEB, 0xFFFFFFF0, 200, 5), INSIDE, 0.1),
        seen(data(HOST, 0xFFFFFFF0, 100, 5), OUTSIDE, 0.1),
        seen(data(HOST, 84, 100, 6), OUTSIDE, 0.1),
    ]
    assert [pair.outcome.fate for pair in pairs(host, packets)] == [Fate.PAIRED, *3 * [Fate.SEGMENTS]]


def test_an_icmp_error_from_outside_belongs_to_its_flow(host: Host) -> None:
    quoted = udp(HOST, 5, CLIENT, 9, b"x")
    found = pairs(
        host,
        [
            seen(udp(WEB, 5, CLIENT, 9, b"x"), INSIDE),
            seen(quoted, OUTSIDE),
            seen(frames.unreachable("203.0.113.1", HOST, quoted), OUTSIDE, 0.1),
        ],
    )
    assert [pair.outcome.fate for pair in found] == [Fate.PAIRED, Fate.UNKNOWN]


def test_too_many_are_given_up_and_not_blamed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netdash.capture.pairs.MAX_OPEN", 2)
    packets = [seen(udp(WEB, number, CLIENT, 9, b"x", number=number), INSIDE, 0.9) for number in range(1, 6)]
    found = pairs(host, packets, at=1.0)
    assert len(found) == 3
    assert {pair.outcome.decision for pair in found} == {None}


def test_neighbour_discovery_is_left_out(host: Host) -> None:
    assert pairs(host, [seen(frames.echo6("fd00::2", "ff02::1", 135), INSIDE)]) == []


def test_translations_that_conntrack_knows() -> None:
    entry = (
        "tcp 6 300 ESTABLISHED src=172.17.0.2 dst=192.0.2.10 sport=40100 dport=80 "
        "src=192.0.2.10 dst=203.0.113.2 sport=80 dport=1055 [ASSURED] mark=0 use=1\n"
    )
    host = trace_hosts.host(frames.NAT, more={"host/conntrack.txt": entry})
    assert host.flows
    (pair,) = pairs(host, [seen(tcp(CLIENT, 80, HOST, 1055, flags=ACK, seq=5), OUTSIDE)])
    assert (pair.outwards, pair.outcome.fate) == (False, Fate.UNKNOWN)
    assert ip_address(HOST) == pair.seen[0].dst
