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
from netdash.view.columns_flows import FLOWS, groups_of, notes, rule_of, sentence, why
from netdash.view.groups import groups
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
    assert [(flow.proxy is not None, flow.behind, flow.behind_among) for flow in found] == [(True, None, 2)] * 2
    assert {name for flow in found for name in _named(host, flow)} == {"c-lo"}
    assert "2 connections through a proxy: which of its own carries which is not known" in notes(host)


def _held(recording: Recording, fronts: int, backs: int, *sockets: str, state: str = "ESTABLISHED") -> list[Flow]:
    """Clients 1, 2, … at c-lo's proxy and connections 101, 102, … to c-lo from the host. `sockets`: `NUMBER NUMBERS`,
    what the proxy's one carried: bytes received and sent, and ms since then."""
    lines = []
    for port in range(1, fronts + 1):
        there, back = _tuple("127.0.0.1", port, "127.0.0.1", 8082), _tuple("127.0.0.1", 8082, "127.0.0.1", port)
        lines.append(_line("tcp", there, back, state))
    for port in range(101, backs + 101):
        there, back = _tuple("192.0.2.1", port, "192.0.2.3", 80), _tuple("192.0.2.3", 80, "192.0.2.1", port)
        lines.append(_line("tcp", there, back, state))
    text = "".join(_socket(*map(int, line.split())) for line in sockets)
    return list(flows(_host(replace(recording, answers={**recording.answers, "host/proxy-sockets.txt": text}), *lines)))


def _socket(port: int, received: int, sent: int, received_ago: int, sent_ago: int) -> str:
    ends = f"127.0.0.1:8082 127.0.0.1:{port}" if port < 100 else f"192.0.2.1:{port} 192.0.2.3:80"
    carried = f"bytes_sent:{sent} bytes_received:{received} lastsnd:{sent_ago} lastrcv:{received_ago}"
    return f'tcp ESTAB 0 0 {ends} users:(("docker-proxy",pid=22849,fd={port})) cubic rto:204 {carried}\n'


def _joined(found: list[Flow]) -> dict[int | None, int | None]:
    return {flow.client.port: flow.behind and flow.behind.original.sport for flow in found}


def test_what_carried_the_same_bytes_belongs_together(recording: Load) -> None:
    sockets = ("1 10 500 900 800", "2 20 500 900 800", "102 500 10 800 900", "101 500 20 800 900")
    assert _joined(_held(recording(FULL), 2, 2, *sockets)) == {1: 102, 2: 101}


def test_of_the_same_bytes_those_that_came_later_belong_together(recording: Load) -> None:
    """A proxy opens its own connection once the client's is there, and sends what it received."""
    idle = ("1 0 0 9000 9000", "2 0 0 5000 5000", "101 0 0 4996 4996", "102 0 0 8996 8996")
    assert _joined(_held(recording(FULL), 2, 2, *idle)) == {1: 102, 2: 101}
    close = ("1 0 0 5010 5010", "2 0 0 5000 5000", "101 0 0 4996 4996", "102 0 0 5004 5004")
    found = _held(recording(FULL), 2, 2, *close)
    assert _joined(found) == {1: None, 2: None}
    assert [flow.behind_among for flow in found] == [2, 2]


def test_one_that_is_certain_does_not_wait_for_others(recording: Load) -> None:
    """The first two could be exchanged; what comes later could not."""
    first = ("1 0 0 9010 9010", "2 0 0 9000 9000", "101 0 0 8996 8996", "102 0 0 9004 9004")
    found = _held(recording(FULL), 3, 3, *first, "3 0 0 5000 5000", "103 0 0 4990 4990")
    assert _joined(found) == {1: None, 2: None, 3: 103}


def test_while_bytes_are_on_their_way_the_rest_is_compared(recording: Load) -> None:
    busy = ("1 10 500 900 4", "101 480 10 4 900", "2 20 700 900 0", "102 640 20 0 900")
    assert _joined(_held(recording(FULL), 2, 2, *busy)) == {1: 101, 2: 102}


def test_what_somebody_else_opened_on_this_host_is_no_proxys(recording: Load) -> None:
    found = _held(recording(FULL), 1, 2, "1 10 500 900 800", "102 500 10 800 900")
    assert _joined(found) == {1: 102, 101: None}
    assert _joined(_held(recording(FULL), 1, 1, "1 10 500 900 800")) == {1: None, 101: None}


def test_what_ended_belongs_to_nothing_that_is_open(recording: Load) -> None:
    there, back = _tuple("127.0.0.1", 1, "127.0.0.1", 8082), _tuple("127.0.0.1", 8082, "127.0.0.1", 1)
    own, answer = _tuple("192.0.2.1", 101, "192.0.2.3", 80), _tuple("192.0.2.3", 80, "192.0.2.1", 101)
    lines = (_line("tcp", there, back, "TIME_WAIT"), _line("tcp", own, answer, "ESTABLISHED"))
    assert _joined(list(flows(_host(recording(FULL), *lines)))) == {1: None, 101: None}


def test_what_a_proxy_took_and_nobody_behind_it_answers_stands_out(recording: Load) -> None:
    there, back = _tuple("127.0.0.1", 1, "127.0.0.1", 8082), _tuple("127.0.0.1", 8082, "127.0.0.1", 1)
    own, answer = _tuple("192.0.2.1", 101, "192.0.2.3", 80), _tuple("192.0.2.3", 80, "192.0.2.1", 101)
    lines = (_line("tcp", there, back, "ESTABLISHED"), _line("tcp", own, answer, "SYN_SENT|UNREPLIED", 60))
    host = _host(recording(FULL), *lines)
    (flow,) = flows(host)
    assert flow.trouble is Trouble.UNANSWERED
    assert why(host, flow) == "the proxy took it; c-lo 192.0.2.3:80 has not answered for 60 s"


@pytest.mark.parametrize("number", [2, 40, 99])
def test_many_that_cannot_be_told_apart_are_one_row_each(recording: Load, number: int) -> None:
    sockets = [f"{first + at} 0 0 9000 9000" for first in (1, 101) for at in range(number)]
    found = _held(recording(FULL), number, number, *sockets)
    assert [flow.behind_among for flow in found] == [number] * number


def test_a_container_that_is_called_host_is_not_this_host(recording: Load) -> None:
    there, back = _tuple("192.0.2.1", 1, "192.0.2.3", 80), _tuple("192.0.2.3", 80, "192.0.2.1", 1)
    out, answer = _tuple("203.0.113.2", 2, "203.0.113.1", 80), _tuple("203.0.113.1", 80, "203.0.113.2", 2)
    host = _host(recording(FULL), _line("tcp", there, back, "ESTABLISHED"), _line("tcp", out, answer, "ESTABLISHED"))
    named = (replace(one, name="host") if one.name == "c-lo" else one for one in host.containers or ())
    host = replace(host, containers=tuple(named))
    to_container, to_outside = flows(host)
    assert sentence(host, to_container) == "host 192.0.2.1:1 → host (container) 192.0.2.3:80"
    peers = [groups_of(host, flow, "peer")[0] for flow in (to_container, to_outside)]
    assert [group.name for group in peers] == ["host", "203.0.113.1"]
    assert groups_of(host, to_container, "port")[0].name == "host (container) 80/tcp"
    assert peers[0].key != groups_of(host, to_container, "container")[0].key


def test_one_between_two_containers_counts_for_both(recording: Load) -> None:
    ends = _tuple("172.17.0.2", 1, "10.66.0.3", 80), _tuple("10.66.0.3", 80, "172.17.0.2", 1)
    host = _host(recording(FULL), _line("tcp", *ends, "ESTABLISHED"))
    (flow,) = flows(host)
    assert [group.name for group in groups_of(host, flow, "container")] == ["web", "c1"]
    assert [group.belongs.name for group in groups(host, [flow], "container")] == ["c1", "web"]


def _datagrams(base: Recording, *counted: tuple[int, int], sockets: str | None = None) -> list[Flow]:
    """`counted`: port and packets of each connection; those below 100 are clients of a proxy to c-lo."""
    proxies = f"{base.answers['host/docker-proxy.txt']}77 1 /usr/bin/docker-proxy -proto udp -host-ip 127.0.0.1"
    proxies += " -host-port 5353 -container-ip 192.0.2.3 -container-port 53\n"
    lines = []
    for port, packets in counted:
        there = ("127.0.0.1", port, "127.0.0.1", 5353) if port < 100 else ("192.0.2.1", port, "192.0.2.3", 53)
        counts = f"packets={packets} bytes={packets * 60}"
        lines.append(_line("udp", f"{_tuple(*there)} {counts}", f"{_tuple(*there[2:], *there[:2])} {counts}"))
    answers = {**base.answers, "host/docker-proxy.txt": proxies, "host/proxy-sockets.txt": sockets}
    return list(flows(_host(replace(base, answers=answers), *lines)))


def test_datagrams_belong_together_by_their_number(recording: Load) -> None:
    assert _joined(_datagrams(recording(FULL), (1, 3), (102, 3), (2, 8), (101, 8))) == {1: 102, 2: 101}


@pytest.mark.parametrize("pid", [77, 666])
def test_a_process_that_has_the_name_of_a_proxy_only_proves_nothing(recording: Load, pid: int) -> None:
    """The socket of the proxy itself proves that its connection is the client's, whatever was counted."""
    socket = f'udp ESTAB 0 0 192.0.2.1:101 192.0.2.3:53 users:(("docker-proxy",pid={pid},fd=9)) \n'
    found = _datagrams(recording(FULL), (1, 3), (101, 8), (102, 3), sockets=socket)
    assert _joined(found)[1] == (101 if pid == 77 else 102)


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

    host = _host(recording(FULL), _line("udp", there, before, "|UNREPLIED", 29))
    meant, other = find_container(host, port.container_id or ""), find_container(host, "c-lo")
    assert [of_container(host, one)(flows(host)[0]) for one in (meant, other)] == [True, False]
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
