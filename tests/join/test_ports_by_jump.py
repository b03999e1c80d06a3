"""Ports of the host that rules take: a jump names the port and not the DNAT rule behind it; a range; REDIRECT."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_address

import pytest

from netdash.publish.checks import choose, conflicts, port_refusals
from netdash.view.form_choices import look, sentences
from netdash.view.statements import refusal
from tests.support.trace_hosts import host, table

NODE_PORT = table(
    "nat",
    "-A PREROUTING -j KUBE-SERVICES",
    "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
    "-A KUBE-SERVICES -d 10.43.0.1/32 -p tcp -m tcp --dport 443 -j KUBE-SVC",
    "-A KUBE-NODEPORTS -p tcp -m tcp --dport 30443 -j KUBE-EXT",
    "-A KUBE-EXT -j KUBE-SVC",
    "-A KUBE-SVC -p tcp -m tcp -j DNAT --to-destination 10.42.0.9:9443",
    "-A PREROUTING -p tcp -m multiport --dports 80,81 -j CNI-DN",
    "-A CNI-DN -p tcp -m tcp --dport 81 -j DNAT --to-destination 10.42.0.9:81",
)


@pytest.mark.parametrize(("port", "free"), [(30443, False), (81, False), (443, True), (9443, True), (30444, True)])
def test_a_port_that_a_jump_leads_to_a_translation_is_not_free(port: int, free: bool) -> None:
    found = look(host(NODE_PORT), "tcp", port)
    assert found.free is free
    assert len(found.taken_by) == (0 if free else 1)


def test_publishing_refuses_it() -> None:
    assert conflicts(host(NODE_PORT), "tcp", IPv4Address(0), 30443)


REDIRECT = table(
    "nat",
    "-A PREROUTING -p tcp -m tcp --dport 8443 -j REDIRECT --to-ports 443",
    "-A PREROUTING -p tcp -m tcp --dport 9000:9100 -j DNAT --to-destination 10.42.0.9",
    "-A PREROUTING -d 198.51.100.2/32 -p tcp -m tcp --dport 7000 -j REDIRECT --to-ports 7001",
    "-A PREROUTING -i docker0 -p tcp -m tcp --dport 7002 -j REDIRECT --to-ports 7003",
    "-A PREROUTING -p tcp -m tcp --dport 7004 -m set --match-set some src -j REDIRECT --to-ports 7005",
    "-A OUTPUT -d 127.0.0.1/32 -p tcp -m tcp --dport 7006 -j REDIRECT --to-ports 7007",
)


@pytest.mark.parametrize(
    ("port", "free"),
    [(8443, False), (9050, False), (9101, True), (7000, True), (7002, True), (7004, None), (7006, True), (443, True)],
)
def test_a_port_that_a_rule_redirects_is_not_free(port: int, free: bool | None) -> None:
    answer = look(host(REDIRECT), "tcp", port)
    assert answer.free is free
    assert bool(answer.rules) is (free is False)
    assert look(host(REDIRECT), "udp", port).free is True


def test_it_names_the_rule_and_offers_ports_that_no_rule_takes() -> None:
    here = host(REDIRECT)
    assert sentences(here, look(here, "tcp", 8443))[0] == (
        "8443/tcp is taken by rule nat/PREROUTING #1: "
        "-A PREROUTING -p tcp -m tcp --dport 8443 -j REDIRECT --to-ports 443"
    )
    assert sentences(here, look(here, "tcp", 7004))[0] == "7004/tcp: not known, rule nat/PREROUTING #5 may take it"
    assert look(here, "tcp", 8999).offers == (9101, 9102, 9103, 9104, 9105)
    everything = host(table("nat", "-A PREROUTING -p tcp -j REDIRECT --to-ports 1"))
    assert look(everything, "tcp", 80).offers == ()
    assert choose(everything, "tcp", (80,)) is None


def test_publishing_refuses_what_a_rule_redirects() -> None:
    def refused(address: str, port: int) -> list[str]:
        found = port_refusals(host(REDIRECT), 0, "tcp", (ip_address(address),), port, True)
        return list(map(refusal, found))

    told = "what comes in for tcp port 8443 is taken by rule nat/PREROUTING #1"
    assert [text.partition(":")[0] for text in refused("0.0.0.0", 8443)] == [told]
    assert refused("198.51.100.2", 7000)
    assert not refused("203.0.113.2", 7000)
    assert refused("127.0.0.1", 7006)
    assert not refused("0.0.0.0", 7006)
    assert choose(host(REDIRECT), "tcp", (9000,)) == (9101,)
    assert not refused("127.0.0.1", 8443)


def test_without_the_rules_no_port_is_called_free() -> None:
    unread = replace(host(REDIRECT), ruleset=None)
    assert look(unread, "tcp", 8443).free is None
    assert sentences(unread, look(unread, "tcp", 8443)) == ["8443/tcp: not known, the rules could not be read"]
    assert not look(unread, "tcp", 8443).offers
