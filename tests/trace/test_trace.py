"""What a trace says of small hosts: each kernel fact that decides a packet's way, and how what cannot be told shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netdash.trace.hooks import CONNTRACK, Hooks
from netdash.trace.model import Verdict
from tests.support.trace_hosts import (
    DB,
    HOST,
    MASQUERADED,
    PUBLISHED,
    WEB,
    from_host,
    from_outside,
    from_web,
    host,
    places,
    table,
)


def test_a_published_port_is_translated_and_its_answer_comes_back_as_it_went() -> None:
    answer = from_outside(host(PUBLISHED))
    assert answer.verdict is Verdict.DELIVERED
    assert (str(answer.translation.dst), answer.translation.dport) == (WEB, 80)
    assert answer.reply is not None
    assert answer.reply.verdict is Verdict.FORWARDED
    assert [step.place for step in answer.reply.steps] == []  # nat is asked for the first packet only
    assert str(answer.reply.hops[-1].packet.src) == HOST


def test_masquerade_takes_the_device_s_address_and_the_answer_finds_the_container() -> None:
    answer = from_web(host(MASQUERADED))
    assert answer.verdict is Verdict.FORWARDED
    assert str(answer.translation.src) == HOST
    assert answer.reply is not None
    assert answer.reply.verdict is Verdict.DELIVERED
    assert str(answer.reply.hops[-1].packet.dst) == WEB
    assert not answer.assumed


def test_without_masquerade_the_answer_needs_a_route_of_others() -> None:
    answer = from_web(host(table("filter")))
    assert answer.verdict is Verdict.FORWARDED
    assert answer.answered is False
    assert answer.exchange.why is not None
    assert answer.exchange.why.text.startswith("172.17.0.2 leaves untranslated by eth0")


def test_accept_in_one_table_is_not_final_and_what_stands_behind_is_told() -> None:
    rules = (
        table("mangle", "-A FORWARD -j ACCEPT")
        + table(
            "filter", "-A FORWARD -i eth0 -j DROP", "-A FORWARD -p tcp -j REJECT --reject-with tcp-reset", policy="DROP"
        )
        + PUBLISHED
    )
    answer = from_outside(host(rules))
    assert answer.verdict is Verdict.DROPPED
    assert answer.decided_by is not None
    assert answer.decided_by.place == "filter/FORWARD #1"
    assert [one.place for one in answer.blockers] == ["filter/FORWARD #2", "filter/FORWARD policy"]


def test_reject_says_with_what() -> None:
    answer = from_outside(host(table("filter", "-A INPUT -j REJECT --reject-with icmp-host-prohibited")), dport=22)
    assert answer.verdict is Verdict.REJECTED
    assert answer.decided_by is not None
    assert "icmp-host-prohibited" in answer.decided_by.text


# --- what cannot be told ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "drops"),
    [
        ("-m limit --limit 3/min", True),
        ("-m connlimit --connlimit-above 3 --connlimit-mask 32", False),
        ("-m hashlimit --hashlimit-above 3/min --hashlimit-name a", False),
        ("-m hashlimit --hashlimit-upto 3/min --hashlimit-name a", True),
    ],
)
def test_a_limit_decides_for_the_first_packet_and_is_named(condition: str, drops: bool) -> None:
    answer = from_outside(host(table("filter", f"-A INPUT {condition} -j DROP")), dport=22)
    assert (answer.verdict is Verdict.DROPPED) is drops
    assert ("unless limited by filter/INPUT #1" in answer.assumed) is drops


def test_what_a_rule_put_on_a_list_the_next_one_finds_there() -> None:
    lines = ("-A INPUT -m recent --set --name a --rsource", "-A INPUT -m recent --rcheck --name a --rsource -j DROP")
    assert from_outside(host(table("filter", *lines)), dport=22).verdict is Verdict.DROPPED
    assert from_outside(host(table("filter", lines[1])), dport=22).verdict is Verdict.DELIVERED


def test_chance_that_decides_leaves_two_ends() -> None:
    chance = "-m statistic --mode random --probability 0.5"
    answer = from_outside(host(table("filter", f"-A INPUT {chance} -j DROP")), dport=22)
    assert answer.verdict is Verdict.UNKNOWN
    assert [rule.place for rule in answer.unsure] == ["filter/INPUT #1"]
    assert {end.verdict for end in answer.ends} == {Verdict.DELIVERED, Verdict.DROPPED}
    assert answer.ends[1].supposed == (("filter/INPUT #1 matches", True),)


@pytest.mark.parametrize(
    "line",
    [
        "-A INPUT -m statistic --mode random --probability 0.5 -j LOG",  # nothing hangs on it
        "-A INPUT -m statistic --mode random --probability 0.5 -j ACCEPT",  # as the policy would
        "-A INPUT -m statistic --mode random --probability 0.5 -j RETURN",
    ],
)
def test_a_rate_limit_without_a_bearing_leaves_the_verdict_sure(line: str) -> None:
    answer = from_outside(host(table("filter", line)), dport=22)
    assert answer.verdict is Verdict.DELIVERED
    assert [rule.place for rule in answer.unsure] == ["filter/INPUT #1"]
    assert not answer.ends


def test_a_translation_that_may_be_leaves_two_ends() -> None:
    rules = table(
        "nat", f"-A PREROUTING -m statistic --mode random --probability 0.5 -j DNAT --to-destination {WEB}:80"
    )
    answer = from_outside(host(rules + PUBLISHED.replace(WEB, DB)))
    assert answer.verdict is Verdict.UNKNOWN


def test_the_address_of_a_range_is_the_one_that_the_kernel_s_hash_takes() -> None:
    rules = table("nat", "-A POSTROUTING -s 172.17.0.0/16 -o eth0 -j SNAT --to-source 203.0.113.2-203.0.113.3")
    assert str(from_web(host(rules)).translation.src) == "203.0.113.3"  # as a kernel 6.18 did with these addresses


def test_a_queue_is_somebody_s_decision() -> None:
    answer = from_outside(host(table("filter", "-A INPUT -j NFQUEUE --queue-num 1")), dport=22)
    assert answer.verdict is Verdict.UNKNOWN
    assert {end.verdict for end in answer.ends} == {Verdict.DELIVERED, Verdict.DROPPED}


def test_many_doubts_are_given_up_and_said_so() -> None:
    chance = "-m statistic --mode random --probability 0.5"
    lines = [f"-A FORWARD {chance} -j MARK --set-xmark {n:#x}/{n:#x}" for n in range(1, 40)]
    answer = from_outside(host(table("mangle", *lines) + PUBLISHED))
    assert answer.verdict is Verdict.UNKNOWN
    assert len(answer.unsure) == 39


@pytest.mark.parametrize("missing", ["ip/route4.json", "rules/nft.json", "host/listeners.txt"])
def test_what_was_not_read_is_not_taken_for_nothing(missing: str) -> None:
    answer = from_outside(host(without=(missing,)), dport=22)
    assert answer.verdict is Verdict.UNKNOWN


def test_forwarding_that_was_not_read_leaves_two_ends() -> None:
    answer = from_outside(host(PUBLISHED, without=("host/sysctl.txt",)))
    assert answer.verdict is Verdict.UNKNOWN
    assert any("forwarding" in what for end in answer.ends for what, _ in end.supposed)


def test_of_several_next_hops_none_is_chosen_and_the_answer_comes_by_each() -> None:
    ways = {"dst": "192.0.2.0/24", "nexthops": [{"gateway": "203.0.113.1", "dev": "eth0"}, {"dev": "eth1"}]}
    answer = from_web(host(MASQUERADED, routes=[ways]))
    assert answer.verdict is Verdict.FORWARDED
    assert answer.answered
    assert {str(end.translation.src) for end in answer.ends} == {HOST, "198.51.100.2"}


# --- chains -----------------------------------------------------------------------------------------------------------


def test_return_goto_and_policy_as_the_kernel_walks_them() -> None:
    rules = table(
        "filter",
        "-A INPUT -j first",
        "-A INPUT -p tcp -g second",
        "-A INPUT -j DROP",
        "-A first -p udp -j DROP",
        "-A first -j RETURN",
        "-A first -j DROP",
        "-A second -p udp -j DROP",
    )
    answer = from_outside(host(rules), dport=22)
    assert [place for place in places(answer) if place.startswith("filter")] == [
        "filter/INPUT #1",
        "filter/first #2",
        "filter/INPUT #2",
        "filter/INPUT policy",
    ]
    assert answer.verdict is Verdict.DELIVERED


def test_the_first_rule_of_nat_binds_for_good() -> None:
    rules = table(
        "nat",
        f"-A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination {WEB}:80",
        f"-A PREROUTING -p tcp -j DNAT --to-destination {DB}:80",
    )
    assert places(from_outside(host(rules)))[0] == "nat/PREROUTING #1"
    assert str(from_outside(host(rules), dport=9).translation.dst) == DB


def test_what_is_not_tracked_is_not_translated() -> None:
    rules = table("raw", "-A PREROUTING -p tcp -m tcp --dport 8080 -j CT --notrack") + PUBLISHED
    answer = from_outside(host(rules))
    assert answer.verdict is Verdict.NO_LISTENER
    assert not any(place.startswith("nat") for place in places(answer))


def test_conntrack_is_off_where_no_rule_needs_it() -> None:
    assert places(from_outside(host(table("nat")), dport=22)) == []


# --- bridges and containers -------------------------------------------------------------------------------------------


def test_from_port_to_port_the_rules_of_ip_are_met_only_with_br_netfilter() -> None:
    rules = table("filter", "-A FORWARD -i docker0 -o docker0 -j DROP")
    assert from_web(host(rules), dst=DB).verdict is Verdict.DROPPED
    off = {"net.bridge.bridge-nf-call-iptables": "0"}
    assert from_web(host(rules, sysctls=off), dst=DB).verdict is Verdict.DELIVERED


def test_nobody_on_the_bridge_has_the_address() -> None:
    answer = from_web(host(), dst="172.17.0.99")
    assert answer.verdict is Verdict.NO_ROUTE
    assert answer.decided_by is not None
    assert "172.17.0.99" in answer.decided_by.text


def test_nothing_listens() -> None:
    assert from_web(host(), dst=DB, dport=81).verdict is Verdict.NO_LISTENER
    assert from_outside(host(), dport=81).verdict is Verdict.NO_LISTENER


def test_a_container_s_own_address_is_its_own() -> None:
    answer = from_web(host(table("filter", policy="DROP")), dst=WEB)
    assert answer.verdict is Verdict.DELIVERED
    assert not answer.steps


def test_its_own_published_port_does_not_come_back_by_the_same_port() -> None:
    answer = from_web(host(PUBLISHED), dst=HOST, dport=8080)
    assert answer.verdict is Verdict.DROPPED
    assert answer.decided_by is not None
    assert "hairpin" in answer.decided_by.text


def test_routes_inside_that_were_not_read_are_marked_as_assumed() -> None:
    lacking = host(MASQUERADED, without=("containers/web/route.json",))
    assert from_web(lacking).verdict is Verdict.UNKNOWN  # a recording looks inside: it was lost
    answer = from_web(replace(lacking, live=True))
    assert answer.verdict is Verdict.FORWARDED
    assert any("inside web" in sentence for sentence in answer.assumed)


def test_a_source_port_that_is_not_given_is_a_client_s() -> None:
    rules = table("filter", "-A INPUT -p tcp -m tcp --sport 0:1023 -j DROP")
    assert from_outside(host(rules), dport=22, sport=None).verdict is Verdict.DELIVERED
    wide = table("filter", "-A INPUT -p tcp -m tcp --sport 1024:65535 -j DROP")
    assert from_outside(host(wide), dport=22, sport=None).verdict is Verdict.DROPPED
    some = table("filter", "-A INPUT -p tcp -m tcp --sport 40000 -j DROP")
    assert from_outside(host(some), dport=22, sport=None).verdict is Verdict.UNKNOWN


# --- nft --------------------------------------------------------------------------------------------------------------


def _nft(*parts: dict[str, object]) -> list[dict[str, object]]:
    return [{"metainfo": {"version": "1.1.3"}}, *parts]


def _base(
    tbl: str, name: str, hook: str, priority: int, policy: str = "accept", kind: str = "filter"
) -> dict[str, object]:
    named = {"family": "inet", "table": tbl, "name": name, "handle": 1}
    return {"chain": {**named, "type": kind, "hook": hook, "prio": priority, "policy": policy}}


def _rule(tbl: str, chain: str, *expr: object) -> dict[str, object]:
    return {"rule": {"family": "inet", "table": tbl, "chain": chain, "handle": 2, "expr": list(expr)}}


def test_tables_are_asked_by_priority_and_one_drop_is_enough() -> None:
    rules = _nft(
        {"table": {"family": "inet", "name": "a"}},
        _base("a", "late", "input", 10, "drop"),
        {"table": {"family": "inet", "name": "b"}},
        _base("b", "early", "input", -10),
        _rule("b", "early", {"accept": None}),
    )
    answer = from_outside(host(nft=rules), dport=22)
    assert places(answer) == ["inet b/early #1", "inet a/late policy"]
    assert answer.verdict is Verdict.DROPPED


def test_chains_of_nat_are_asked_at_nat_s_own_priority() -> None:
    to_web = {"dnat": {"family": "ip", "addr": WEB, "port": 80}}
    rules = _nft(
        {"table": {"family": "inet", "name": "a"}},
        _base("a", "nat", "prerouting", 50, kind="nat"),
        _rule("a", "nat", to_web),
        _base("a", "filter", "prerouting", 0),
        _rule("a", "filter", {"counter": {"packets": 0, "bytes": 0}}),
    )
    answer = from_outside(host(nft=rules))
    assert places(answer)[:2] == ["inet a/nat #1", "inet a/filter #1"]
    assert str(answer.steps[1].packet.dst) == WEB


def _nft_dnat(ip: str) -> list[dict[str, object]]:
    chain = {"family": "ip", "table": "own", "name": "pre", "type": "nat", "hook": "prerouting", "prio": -100}
    match = {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 8080}
    told = [{"match": match}, {"dnat": {"addr": ip, "port": 80}}]
    rule = {"family": "ip", "table": "own", "chain": "pre", "handle": 3, "expr": told}
    table_ = {"family": "ip", "name": "own", "handle": 1}
    return [{"table": table_}, {"chain": {**chain, "handle": 2, "policy": "accept"}}, {"rule": rule}]


def test_which_of_two_backends_translates_first_is_not_told() -> None:
    answer = from_outside(host(PUBLISHED, _nft_dnat(DB)))
    assert answer.verdict is Verdict.UNKNOWN
    assert {str(end.translation.dst) for end in answer.ends} == {WEB, DB}
    assert answer.steps[0].backend == "iptables-legacy"  # as it is where its modules were loaded last
    assert answer.decided_by is not None
    assert "iptables-legacy" in answer.decided_by.text


def test_where_both_translate_alike_the_order_makes_no_difference() -> None:
    assert from_outside(host(PUBLISHED, _nft_dnat(WEB))).verdict is Verdict.DELIVERED


@pytest.mark.parametrize("state", [True, False])
def test_a_rule_that_asks_conntrack_has_both_families_tracked_whatever_it_translates(state: bool) -> None:
    """nf_ct_netns_get is called by each expression on its own."""
    snat: dict[str, object] = {"snat": {"family": "ip", "addr": "10.2.0.1"}}
    match = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["new"]}}
    rule = {"family": "inet", "table": "t", "chain": "c", "handle": 3, "expr": [*([match] if state else []), snat]}
    told = [{"table": {"family": "inet", "name": "t", "handle": 1}},
            {"chain": {"family": "inet", "table": "t", "name": "c", "handle": 2}}, {"rule": rule}]  # fmt: skip
    ruleset = host(nft=told).ruleset
    assert ruleset
    tracked = {
        family: any(one.kind == CONNTRACK for one in Hooks(ruleset).ip("prerouting", family)) for family in (4, 6)
    }
    assert tracked == {4: True, 6: state}


def test_on_loopback_a_packet_keeps_its_connection_ahead_of_conntrack_s_own_place() -> None:
    confirmed = {"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "confirmed"}}
    chain = {"family": "ip", "table": "t", "name": "c", "type": "filter", "hook": "prerouting", "prio": -300}
    rule = {"family": "ip", "table": "t", "chain": "c", "handle": 3, "expr": [confirmed, {"drop": None}]}
    told = [{"table": {"family": "ip", "name": "t", "handle": 1}},
            {"chain": {**chain, "handle": 2, "policy": "accept"}}, {"rule": rule}]  # fmt: skip
    on = host(nft=told)
    assert from_host(on, HOST, 22).verdict is Verdict.DROPPED
    assert from_outside(on, dport=22).verdict is Verdict.DELIVERED
