"""Tracked connections joined to containers, ports and proxies, by the recorded hosts and by connections made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from netdash.bundle.recording import Recording
from netdash.join.flows import flows, of_container
from netdash.join.host import Builder
from netdash.model.host import Host
from netdash.model.index import find_container, index_of
from netdash.model.kernel_state import Tracking
from netdash.model.packet import Flow, Trouble
from netdash.model.source import Source
from netdash.view.columns_flows import FLOWS, notes, rule_of, sentence
from netdash.view.unavailable import missing
from tests.parse.test_conntrack import attribute, direction, entry

FULL = "docker28.5-nft-full"
Load = Callable[[str], Recording]
TAIL = "mark=0 use=1"


def _host(recording: Recording, *lines: str) -> Host:
    text = "".join(f"{line}\n" for line in lines)
    return Builder().build(replace(recording, answers={**recording.answers, "host/conntrack.txt": text}))


def _tuple(src: str, sport: int, dst: str, dport: int) -> str:
    return f"src={src} dst={dst} sport={sport} dport={dport}"


def _line(proto: str, there: str, back: str, words: str = "", left: int = 100) -> str:
    """`words`: its state before the tuples, and behind a bar what stands behind them."""
    state, _, behind = words.partition("|")
    middle = "[UNREPLIED] " if "UNREPLIED" in behind else ""
    number = {"tcp": 6, "udp": 17}[proto]
    return f"{proto} {number} {left} {state} {there} {middle}{back} {TAIL}"


def _named(host: Host, flow: Flow) -> list[str]:
    return [index_of(host).name(identity) or "?" for identity in flow.containers]


def test_every_connection_of_a_recorded_host_is_told_end_to_end(recording: Load) -> None:
    host = Builder().build(recording(FULL))
    told = [sentence(host, flow) for flow in flows(host)]
    assert "c1 10.66.0.3 → MASQUERADE as 203.0.113.2 → 198.51.100.1" in told
    assert "client 203.0.113.1:48048 → 203.0.113.2:8080 → DNAT → web 172.17.0.2:80" in told
    assert "client [2001:db8:1::1]:50482 → [2001:db8:1::2]:8084 → DNAT → c-six [fd00:66::2]:80" in told
    assert "host 127.0.0.1:34574 → 127.0.0.1:8082 → docker-proxy 22849 → c-lo 192.0.2.3:80" in told
    assert not [text for text in told if "192.0.2.1:33242" in text], "the proxy's own half has no row of its own"
    rules = {sentence(host, flow): rule_of(host, flow) for flow in flows(host)}
    dnat = rules["client 203.0.113.1:48048 → 203.0.113.2:8080 → DNAT → web 172.17.0.2:80"]
    assert dnat is not None
    assert "--dport 8080" in dnat.text


def test_proxies_of_both_families_lead_to_one_container(recording: Load) -> None:
    there, back = _tuple("127.0.0.1", 34574, "127.0.0.1", 8082), _tuple("127.0.0.1", 8082, "127.0.0.1", 34574)
    own, answer = _tuple("192.0.2.1", 33242, "192.0.2.3", 80), _tuple("192.0.2.3", 80, "192.0.2.1", 33242)
    base = recording(FULL)
    lines = str(base.answers["host/docker-proxy.txt"])
    one = next(line for line in lines.splitlines() if "127.0.0.1 -host-port 8082" in line)
    other = one.replace("127.0.0.1 -host-port", "::1 -host-port").replace("22849", "22850")
    both = replace(base, answers={**base.answers, "host/docker-proxy.txt": f"{lines}{other}\n"})
    (flow,) = flows(_host(both, _line("tcp", there, back, "ESTABLISHED"), _line("tcp", own, answer, "ESTABLISHED")))
    assert flow.proxy is not None
    assert (flow.proxy.pid, flow.behind is not None) == (22849, True)


def test_of_several_at_one_proxy_nobody_guesses_which_belong_together(recording: Load) -> None:
    there = [_tuple("127.0.0.1", port, "127.0.0.1", 8082) for port in (34574, 34575)]
    back = [_tuple("127.0.0.1", 8082, "127.0.0.1", port) for port in (34574, 34575)]
    own = [_tuple("192.0.2.1", port, "192.0.2.3", 80) for port in (33242, 33243)]
    answers = [_tuple("192.0.2.3", 80, "192.0.2.1", port) for port in (33242, 33243)]
    pairs = [*zip(there, back, strict=True), *zip(own, answers, strict=True)]
    host = _host(recording(FULL), *(_line("tcp", *pair, words="ESTABLISHED") for pair in pairs))
    found = flows(host)
    assert len(found) == 4
    assert [flow.behind for flow in found] == [None] * 4
    assert sum(flow.proxy is not None for flow in found) == 2
    assert {name for flow in found for name in _named(host, flow)} == {"c-lo"}


def test_a_container_on_the_network_of_the_host_has_its_ports(recording: Load) -> None:
    base = Builder().build(recording(FULL))
    shared = find_container(base, "c-host")
    port = next(port for port in base.ports or () if port.container_id == shared.id)
    there = _tuple("203.0.113.1", 5000, "203.0.113.2", port.host_port)
    back = _tuple("203.0.113.2", port.host_port, "203.0.113.1", 5000)
    host = _host(recording(FULL), _line(port.proto, there, back, "ESTABLISHED" if port.proto == "tcp" else ""))
    (flow,) = flows(host)
    assert _named(host, flow) == ["c-host"]
    assert not flow.translated


def test_one_that_shares_a_namespace_has_the_connections_of_the_other(recording: Load) -> None:
    host = Builder().build(recording(FULL))
    sharer = find_container(host, "c-share")
    owner = find_container(host, sharer.shares_with or "")
    mine = [flow for flow in flows(host) if of_container(host, sharer)(flow)]
    assert mine == [flow for flow in flows(host) if of_container(host, owner)(flow)]


def test_what_nobody_answers_and_what_is_stale_stand_first(recording: Load) -> None:
    fine = _line(
        "tcp", _tuple("172.17.0.2", 1, "192.0.2.9", 80), _tuple("192.0.2.9", 80, "203.0.113.2", 1), "ESTABLISHED"
    )
    asked = _tuple("172.17.0.2", 4000, "192.0.2.9", 81)
    mute = _line("tcp", asked, _tuple("192.0.2.9", 81, "203.0.113.2", 4000), "SYN_SENT|UNREPLIED", left=60)
    fresh = _line(
        "tcp", asked.replace("4000", "4001"), _tuple("192.0.2.9", 81, "203.0.113.2", 4001), "SYN_SENT|UNREPLIED", 120
    )
    many = _line(
        "udp",
        _tuple("172.17.0.2", 5, "224.0.0.251", 5353),
        _tuple("224.0.0.251", 5353, "172.17.0.2", 5),
        "|UNREPLIED",
        3,
    )
    host = _host(recording(FULL), fine, many, fresh, mute)
    found = flows(host)
    assert [flow.trouble for flow in found] == [Trouble.UNANSWERED, None, None, None]
    assert notes(host)[0] == "of all connections: 1 no answer; is:broken finds them"
    assert found[0].client.port == 4000


def test_a_datagram_that_goes_where_it_went_before_the_rules_is_stale(recording: Load) -> None:
    base = Builder().build(recording(FULL))
    port = next(port for port in base.ports or () if port.proto == "udp" and port.dnat is not None and port.live)
    there = _tuple("203.0.113.1", 7000, "203.0.113.2", port.host_port)
    right = _tuple(str(port.target_ip), port.container_port or 0, "203.0.113.1", 7000)
    old = right.replace(str(port.target_ip), "172.17.0.99")
    before = _tuple("203.0.113.2", port.host_port, "203.0.113.1", 7000)

    def trouble(back: str, words: str) -> Trouble | None:
        (flow,) = flows(_host(recording(FULL), _line("udp", there, back, words, 29)))
        return flow.trouble

    assert trouble(right, "") is None
    assert trouble(old, "") is Trouble.STALE
    assert trouble(before, "|UNREPLIED") is Trouble.STALE
    assert trouble(before, "") is None, "a proxy answers"


@pytest.mark.parametrize("lost", ["docker/containers.json", "host/docker-proxy.txt", "ip/addr.json", "rules/nft.json"])
def test_without_a_source_connections_are_told_all_the_same(recording: Load, lost: str) -> None:
    answers = {path: answer for path, answer in recording(FULL).answers.items() if path != lost}
    host = Builder().build(replace(recording(FULL), answers=answers))
    assert len(flows(host)) >= 18
    assert all(sentence(host, flow) for flow in flows(host))


def test_connections_that_were_not_read_are_unknown(recording: Load) -> None:
    answers = {path: answer for path, answer in recording(FULL).answers.items() if path != "host/conntrack.txt"}
    host = Builder().build(replace(recording(FULL), answers=answers))
    assert host.flows is None
    assert not FLOWS.known(host)
    assert [failure.reason for failure in missing(host, FLOWS.sources)] == ["not in this recording"]


# --- as netlink tells them --------------------------------------------------------------------------------------------


def _counted(size: int) -> bytes:
    carried = attribute(1, (3).to_bytes(8, "big")) + attribute(2, size.to_bytes(8, "big"))
    return attribute(9, carried) + attribute(10, carried)


def _live(builder: Builder, base: Recording, told: Tracking) -> Host:
    answers = {path: answer for path, answer in base.answers.items() if path != "host/conntrack.txt"}
    return builder.build(replace(base, live=True, answers={**answers, Tracking.PATH: told}))


def test_two_readings_tell_a_rate_and_the_same_connection_stays_the_same(recording: Load) -> None:
    builder = Builder(compare=False)
    quiet = entry(original=direction(1, "192.0.2.77", "203.0.113.2", 1, 8080)), None
    first = Tracking(entries=((entry(counts=_counted(1000)), 100.0), quiet), at=101.0, dumped=101.0)
    before = _live(builder, recording(FULL), first)
    again = Tracking(entries=((entry(counts=_counted(6000)), 100.0), quiet), at=106.0, dumped=106.0, left_out=4)
    host = _live(builder, recording(FULL), again)
    assert before.flows is not None
    assert host.flows is not None
    assert [flow.rate for flow in before.flows] == [None, None]
    assert host.flows[0].rate == pytest.approx(2 * 5000 / 5)
    assert host.flows[0].age == 6
    assert host.flows[1] is before.flows[1]
    assert flows(host)[1] is flows(before)[1]
    assert [text for text in notes(host) if "4 connections beyond 2" in text]


def test_the_trace_does_not_take_what_is_in_a_zone(recording: Load) -> None:
    from netdash.kernel.conntrack_entries import flows_of

    ends = (ip_address("192.0.2.10"), ip_address("203.0.113.2"), 8080)
    zoned = Tracking(entries=((entry(zone=attribute(18, b"\0\5")), None),), at=1.0, dumped=1.0)
    assert not flows_of(_live(Builder(), recording(FULL), zoned), "tcp", *ends)
    plain = Tracking(entries=((entry(), None),), at=1.0, dumped=1.0)
    assert flows_of(_live(Builder(), recording(FULL), plain), "tcp", *ends)


@pytest.mark.parametrize("place", ["entered", "elsewhere"])
def test_connections_of_another_namespace_than_the_engines_are_not_taken_for_its_own(
    recording: Load, place: str
) -> None:
    base = recording("docker28.5-nft-full")
    base = replace(base, live=True, answers={**base.answers, "host/engine.txt": f"812 dockerd {place} 1000\n"})
    host = _live(Builder(), base, Tracking(entries=((entry(), None),), at=1.0, dumped=1.0))
    assert host.flows is None
    assert host.tracking is None
    assert "network namespace" in host.failures[Source.FLOWS].reason
