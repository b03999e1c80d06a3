"""Which route a traced packet takes: by marks and translations, and ways back."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from netdash.trace.model import Origin, Question, Verdict
from netdash.trace.tracer import trace
from tests.support.trace_hosts import (
    HOST,
    MASQUERADED,
    PUBLISHED,
    WEB,
    from_host,
    from_outside,
    from_web,
    host,
    table,
)

BY_MARK: list[dict[str, object]] = [{"priority": 10, "src": "all", "fwmark": "0x1", "table": "77"}]
OTHER_WAY: list[dict[str, object]] = [{"dst": "default", "dev": "eth1", "table": "77"}]


def test_a_mark_of_prerouting_turns_the_route() -> None:
    rules = table("mangle", "-A PREROUTING -i docker0 -j MARK --set-xmark 0x1/0xffffffff")
    answer = from_web(host(rules + MASQUERADED, rules=BY_MARK, routes=OTHER_WAY))
    assert str(answer.translation.src) == "198.51.100.2"
    assert answer.hops[-1].place == "eth1"


def test_a_mark_of_output_routes_again_and_the_source_stays() -> None:
    rules = table("mangle", "-A OUTPUT -j MARK --set-xmark 0x1/0xffffffff")
    answer = from_host(host(rules, rules=BY_MARK, routes=OTHER_WAY))
    assert answer.hops[-1].place == "eth1"
    assert str(answer.translation.src) == HOST


def test_a_connection_s_mark_comes_back_with_the_answer() -> None:
    rules = table(
        "mangle",
        "-A PREROUTING -i eth1 -j CONNMARK --set-xmark 0x1/0xffffffff",
        "-A PREROUTING -i docker0 -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff",
    )
    answer = from_outside(host(rules + PUBLISHED, rules=BY_MARK, routes=OTHER_WAY), dst="198.51.100.2", iif="eth1")
    assert answer.reply is not None
    assert answer.reply.hops[-1].place == "eth1"


def test_translation_at_output_routes_again() -> None:
    rules = table("nat", f"-A OUTPUT -d {HOST}/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination {WEB}:80")
    answer = from_host(host(rules), dst=HOST, dport=8080)
    assert answer.verdict is Verdict.DELIVERED
    assert answer.hops[-1].place == "web"


@pytest.mark.parametrize("kind", ["blackhole", "unreachable", "prohibit"])
def test_routes_that_refuse(kind: str) -> None:
    answer = from_web(host(MASQUERADED, routes=[{"type": kind, "dst": "192.0.2.0/24"}]))
    assert answer.verdict is Verdict.NO_ROUTE
    assert answer.decided_by is not None
    assert kind in answer.decided_by.text


def test_throw_goes_on_with_the_next_table() -> None:
    rule = {"priority": 9, "src": "all", "table": "77"}
    throw = {"type": "throw", "dst": "192.0.2.0/24", "table": "77"}
    assert from_web(host(MASQUERADED, rules=[rule], routes=[throw, *OTHER_WAY])).hops[-1].place == "eth0"


STRICT = {"net.ipv4.conf.eth1.rp_filter": "1"}


@pytest.mark.parametrize(
    ("sysctls", "verdict"),
    [({}, Verdict.DELIVERED), (STRICT, Verdict.DROPPED), ({"net.ipv4.conf.eth1.rp_filter": "2"}, Verdict.DELIVERED)],
)
def test_the_way_back_must_lead_where_the_packet_came_from(sysctls: dict[str, str], verdict: Verdict) -> None:
    answer = from_outside(host(PUBLISHED, sysctls=sysctls), iif="eth1")
    assert answer.verdict is verdict


@pytest.mark.parametrize(
    ("more", "verdict"),
    [
        ({"dst": "127.0.0.1"}, Verdict.MARTIAN),
        ({"src": HOST}, Verdict.MARTIAN),
        ({"src": "224.0.0.1"}, Verdict.MARTIAN),
        ({"src": "0.1.2.3"}, Verdict.MARTIAN),
        ({"dst": "203.0.113.77"}, Verdict.FORWARDED),
    ],
)
def test_martians(more: dict[str, str], verdict: Verdict) -> None:
    asked: dict[str, object] = {name: ip_address(ip) if name == "src" else ip for name, ip in more.items()}
    assert from_outside(host(), dport=22, **asked).verdict is verdict  # type: ignore[arg-type]


def test_route_localnet_lets_loopback_in() -> None:
    answer = from_outside(host(sysctls={"net.ipv4.conf.eth0.route_localnet": "1"}), dst="127.0.0.1", dport=22)
    assert answer.verdict is Verdict.DELIVERED


def test_forwarding_is_asked_of_the_device_that_a_packet_comes_in_by() -> None:
    off = {"net.ipv4.conf.docker0.forwarding": "0"}
    answer = from_outside(host(PUBLISHED, sysctls=off))
    assert answer.verdict is Verdict.DELIVERED
    assert answer.reply is not None
    assert answer.reply.verdict is Verdict.DROPPED
    assert from_web(host(sysctls=off)).verdict is Verdict.DROPPED


def test_a_sender_outside_who_is_not_named_is_somebody_on_the_internet() -> None:
    answer = from_outside(host(PUBLISHED), src=None)
    assert answer.verdict is Verdict.DELIVERED
    assert answer.assumed == ("1.1.1.1 stands for a sender outside",)


def test_rp_filter_inside_that_was_not_read_is_a_doubt_only_where_the_way_back_is_another() -> None:
    no_way_back: list[dict[str, object]] = [{"dst": "172.17.0.0/16", "dev": "eth0"}]
    strict = "net.ipv4.conf.all.rp_filter = 1\n"
    assert from_outside(host(PUBLISHED, inner_sysctls=strict)).verdict is Verdict.DELIVERED
    assert from_outside(host(PUBLISHED, inner=no_way_back, inner_sysctls=strict)).verdict is Verdict.DROPPED
    assert from_outside(host(PUBLISHED, inner=no_way_back)).verdict is Verdict.UNKNOWN


def test_a_way_back_by_a_route_without_a_device_is_not_known() -> None:
    no_device: list[dict[str, object]] = [{"dst": "172.17.0.0/16", "dev": "eth0"}, {"dst": "default"}]
    strict = "net.ipv4.conf.all.rp_filter = 1\n"
    answer = from_outside(host(PUBLISHED, inner=no_device, inner_sysctls=strict))
    assert answer.verdict is Verdict.UNKNOWN
    assert answer.decided_by is not None
    assert "by which device the way back" in answer.decided_by.text


def test_rules_of_output_see_the_device_of_the_first_route() -> None:
    rules = table("nat", f"-A OUTPUT -d {HOST}/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination {WEB}:80")
    first = from_host(host(rules + table("filter", "-A OUTPUT -o lo -j DROP")), dst=HOST, dport=8080)
    assert first.verdict is Verdict.DROPPED
    then = from_host(host(rules + table("filter", "-A OUTPUT -o docker0 -j DROP")), dst=HOST, dport=8080)
    assert then.verdict is Verdict.DELIVERED


@pytest.mark.parametrize(("sport", "device"), [(40007, "eth1"), (40021, "eth0")])
def test_a_policy_rule_for_a_range_of_ports_applies_to_them(sport: int, device: str) -> None:
    rule = {"priority": 900, "src": "all", "sport_start": 40000, "sport_end": 40020, "table": "7"}
    route = {"dst": "default", "gateway": "198.51.100.1", "dev": "eth1", "table": "7"}
    found = from_host(host(rules=[rule], routes=[route]), sport=sport)
    assert found.hops[-1].place == device


@pytest.mark.parametrize(
    ("sender", "more", "answered"),
    [
        ("203.0.113.50", (), False),
        ("192.0.2.10", (), None),
        ("203.0.113.50", ("-A POSTROUTING -o eth0 -j MASQUERADE",), True),
    ],
)
def test_who_is_asked_back_on_the_same_wire_answers_past_this_host(
    sender: str, more: tuple[str, ...], answered: bool | None
) -> None:
    rule = "-A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination 203.0.113.60:80"
    said = from_outside(host(table("nat", rule, *more)), src=ip_address(sender))
    assert said.answered is answered, said.exchange.why


@pytest.mark.parametrize(("program", "answered"), [("dnsmasq", True), ("python3", None)])
def test_a_socket_that_names_its_source_needs_no_route_without_one(program: str, answered: bool | None) -> None:
    rules: list[dict[str, object]] = [
        {"priority": 900, "not": None, "src": "203.0.113.0", "srclen": 24, "action": "prohibit"},
    ]
    more = {"host/listeners.txt": f'udp UNCONN 0 0 0.0.0.0:53 0.0.0.0:* users:(("{program}",pid=9,fd=3))\n'}
    wanted = Question(Origin.OUTSIDE, ip_address(HOST), "udp", 53, src=ip_address("203.0.113.50"), iif="eth0")
    said = trace(host(rules=rules, more=more), wanted)
    assert said.answered is answered, said.exchange.why
