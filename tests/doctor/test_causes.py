"""Rules that somebody added to a host that works: whose they are, whether they are meant, and what mends it."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from ipaddress import ip_address, ip_network

import pytest

from netdash.bundle.recording import Recording
from netdash.bundle.storage import load
from netdash.change.apply import apply
from netdash.change.model import (
    ChainChange,
    ChainEdit,
    ChainPlace,
    Change,
    PolicyRuleChange,
    RouteChange,
    RuleChange,
    RuleEdit,
    SysctlChange,
)
from netdash.doctor.examine import examine
from netdash.doctor.fixes import xt_rule
from netdash.join.host import Builder
from netdash.model.finding import Finding, Severity
from netdash.model.host import Host, PolicyRule
from tests.conftest import bundle


@cache
def _healthy() -> Host:
    """`web` publishes 8080 and is reached; DOCKER-USER is empty."""
    host = Builder().build(load(bundle("docker-user-host-port")))
    return apply(host, [ChainChange(_place("DOCKER-USER"), ChainEdit.FLUSH)])


def _place(chain: str, table: str = "filter") -> ChainPlace:
    return ChainPlace("ip", table, chain, "iptables-nft")


def _append(chain: str, *rules: str, table: str = "filter") -> list[Change]:
    place = _place(chain, table)
    return [RuleChange(place, RuleEdit.APPEND, xt_rule(place, text, place.backend)) for text in rules]


def _first(*changes: Change) -> Finding:
    return examine(apply(_healthy(), changes)).findings[0]


def test_a_rule_that_closes_one_published_port_is_meant() -> None:
    """As the doctor itself advises where a firewall denies the port."""
    rule = "-i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP"
    found = examine(apply(_healthy(), _append("DOCKER-USER", rule))).findings
    assert [one.severity for one in found if one.code == "docker-user-drop"] == [Severity.INFO]
    assert all(one.severity is Severity.INFO for one in found)


def test_the_host_is_healthy_before() -> None:
    assert [one for one in examine(_healthy()).findings if one.severity < Severity.INFO] == []


@pytest.mark.parametrize(
    "rules",
    [
        ("-i eth0 ! -s 192.0.2.0/24 -m conntrack --ctstate NEW -j DROP",),
        ("-s 192.0.2.0/24 -j RETURN", "-i eth0 -m conntrack --ctstate NEW -j DROP"),
        ("-s 192.0.2.7 -p tcp -j ACCEPT", "-i eth0 -m conntrack --ctstate NEW -j REJECT"),
        ("-i eth0 -m set ! --match-set friends src -j DROP",),
    ],
)
def test_a_rule_that_lets_some_clients_in_is_meant(rules: tuple[str, ...]) -> None:
    found = examine(apply(_healthy(), _append("DOCKER-USER", *rules))).findings
    assert [one for one in found if one.severity < Severity.INFO] == []


@pytest.mark.parametrize(
    "rules",
    [
        ("-i eth0 -m conntrack --ctstate NEW -j DROP",),
        ("-i eth0 -p tcp --dport 80 -j DROP",),
        ("-s 192.0.2.0/24 -p tcp --dport 443 -j ACCEPT", "-i eth0 -m conntrack --ctstate NEW -j DROP"),
        ("-j DROP",),
    ],
)
def test_a_rule_that_lets_nobody_in_is_found(rules: tuple[str, ...]) -> None:
    first = _first(*_append("DOCKER-USER", *rules))
    assert (first.code, first.proved) == ("docker-user-drop", True)
    assert first.evidence[0].source == f"iptables filter/DOCKER-USER #{len(rules)}"


def test_a_limit_that_drops_answers_too_is_rewritten_and_stays_a_limit() -> None:
    first = _first(*_append("DOCKER-USER", "-i eth0 ! -s 192.0.2.0/24 -j DROP"))
    assert (first.code, first.proved, first.also_opens) == ("docker-user-drop", True, ())
    assert "answers" in first.sentence
    command = "iptables -R DOCKER-USER 1 -i eth0 ! -s 192.0.2.0/24 -m conntrack --ctstate NEW -j DROP"
    assert " ".join(first.fix[0].command) == command


@pytest.mark.parametrize(
    ("chain", "whose"),
    [
        ("f2b-docker", "fail2ban"),
        ("CROWDSEC_CHAIN", "CrowdSec"),
        ("ts-forward", "Tailscale"),
        ("KUBE-FORWARD", "Kubernetes"),
        ("ufw-before-forward", "ufw"),
        ("PVEFW-FORWARD", "Proxmox"),
        ("mine", "nobody known"),
    ],
)
def test_a_cause_without_a_name_says_whose_rule_it_is(chain: str, whose: str) -> None:
    jump = RuleChange(_place("FORWARD"), RuleEdit.INSERT, xt_rule(_place("FORWARD"), f"-j {chain}", "iptables-nft"), 1)
    made = ChainChange(_place(chain), ChainEdit.NEW)
    first = _first(made, jump, *_append(chain, "-p tcp -j DROP"))
    assert first.code == "dropped"
    assert f"belongs to {whose}" in first.sentence
    assert f"filter/{chain}" in first.sentence
    assert first.proved is True


def test_an_answer_to_an_address_that_was_not_translated_is_no_fault_of_the_rule_that_drops_it() -> None:
    """Docker 28 and later drop in raw what comes to a container's own address; deleting that rule mends nothing."""
    place = _place("POSTROUTING", "nat")
    rule = xt_rule(place, "-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE", place.backend)
    host = apply(Builder().build(load(bundle("docker28.5-ufw"))), [RuleChange(place, RuleEdit.DELETE, rule)])
    first, *others = examine(host).findings
    assert (first.code, first.proved) == ("masq-missing", True)
    assert all(one.severity is Severity.INFO for one in others)
    assert [fix.command[:5] for fix in first.fix] == [("iptables", "-t", "nat", "-A", "POSTROUTING")]  # nothing stops
    assert not any(fix.command[1:4] == ("-t", "raw", "-D") for finding in others for fix in finding.fix)


def test_a_drop_before_the_address_is_translated_is_found() -> None:
    first = _first(*_append("PREROUTING", "-i eth0 -p tcp --dport 8080 -j DROP", table="mangle"))
    assert (first.code, first.proved) == ("dropped", True)
    assert first.fix[0].command[:4] == ("iptables", "-t", "mangle", "-D")


def test_a_narrower_route_takes_a_networks_addresses() -> None:
    net, gateway = ip_network("172.17.0.0/24"), ip_address("203.0.113.1")
    first = _first(RouteChange(True, 4, net, gateway, "eth0"))
    assert (first.code, first.proved) == ("subnet-overlap-lan", True)
    assert first.fix[0].command == ("ip", "route", "del", "172.17.0.0/24", "dev", "eth0")


def test_a_policy_rule_of_the_hosts_own_stays_and_the_containers_are_excepted() -> None:
    """As Synology and others write: what this host sends goes by a table that knows no container."""
    table = [RouteChange(True, 4, None, ip_address("203.0.113.1"), "eth0", table="50")]
    rule = PolicyRule(4, 3, "from 172.17.0.1 lookup 50", "50", (("src", "172.17.0.1"),))
    first = _first(*table, PolicyRuleChange(True, rule))
    assert first.code == "policy-rule-hijack"
    assert first.fix[0].command == ("ip", "rule", "add", "pref", "2", "to", "172.17.0.0/16", "lookup", "main")


def test_an_engine_without_proxies_has_none_to_miss() -> None:
    codes = {one.code for one in examine(Builder().build(load(bundle("hairpin-no-proxy-mode")))).findings}
    assert "v6-proxy-off" in codes
    assert "proxy-dead" not in codes


def _damaged(name: str, seed: int) -> Recording:
    """Answers that are missing, and lists and texts that lost a part."""
    chance, recording = random.Random(seed), load(bundle(name))
    answers = {path: answer for path, answer in recording.answers.items() if chance.random() < 0.9}
    for path, answer in answers.items():
        if isinstance(answer, str) and chance.random() < 0.2:
            answers[path] = "".join(line for line in answer.splitlines(True) if chance.random() < 0.8)
        elif isinstance(answer, list) and chance.random() < 0.2:
            answers[path] = [one for one in answer if chance.random() < 0.7]
    return replace(recording, answers=answers)


@pytest.mark.parametrize("name", ["docker20.10-legacy", "iptables-flush", "multi-network-wrong-gateway", "su1"])
def test_a_host_of_which_parts_are_missing_is_examined(name: str) -> None:
    for seed in range(3):
        found = examine(Builder().build(_damaged(name, seed)))
        assert all(one.sentence and one.evidence for one in found.findings)


def test_two_causes_are_two_findings_and_each_is_told() -> None:
    """The one that is met first hides the other from the packet that comes in, not from the one that leaves."""
    found = examine(
        apply(
            _healthy(),
            [
                *_append("DOCKER-USER", "-i eth0 -m conntrack --ctstate NEW -j DROP"),
                SysctlChange("net.ipv4.ip_forward", "0"),
            ],
        )
    ).findings
    assert "ip-forward-off" in {one.code for one in found}
    assert found[0].severity is Severity.CRITICAL
