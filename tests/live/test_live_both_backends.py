"""A host with both backends at once: an engine that writes iptables-nft, and rules of iptables-legacy beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from lab import HOST_IP, Lab
from truth import ports

LINE = re.compile(r"\[\d+:\d+\] (-A .*)")


@pytest.fixture(scope="module", autouse=True)
def web(lab_with_both: Lab) -> None:
    lab_with_both.httpd("both-web", "-p", "8080:80")
    lab_with_both.httpd("both-other", "-p", "8081:80")


@pytest.fixture
def host(lab_with_both: Lab) -> Iterator[Lab]:
    yield lab_with_both
    for table in ("filter", "nat"):
        lab_with_both.on_host("iptables-legacy", "-t", table, "-F")


def lines(host: Lab, tool: str) -> list[str]:
    return [found[1].strip() for line in host.on_host(tool, "-c").splitlines() if (found := LINE.fullmatch(line))]


def test_every_rule_of_either_is_there_with_its_mark(host: Lab) -> None:
    host.on_host("iptables-legacy", "-A", "FORWARD", "-p", "tcp", "--dport", "81", "-j", "DROP")
    host.on_host("iptables-legacy", "-t", "nat", "-A", "POSTROUTING", "-s", "10.1.0.0/16", "-j", "MASQUERADE")
    rules: Any = host.json("rules")["rules"]
    for backend, tool in (("iptables-nft", "iptables-nft-save"), ("iptables-legacy", "iptables-legacy-save")):
        shown = [one["text"] for one in rules if one["backend"] == backend and one["family"] == "ip"]
        assert sorted(shown) == sorted(lines(host, tool))
        assert shown
    table = host.netdash("rules").stdout
    (drop,) = [line for line in table.splitlines() if "--dport 81 " in line]
    assert drop.split()[-1] == "legacy"


def test_a_rule_that_does_not_concern_a_port_leaves_its_way_certain(host: Lab) -> None:
    host.on_host("iptables-legacy", "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "99", "-j", "REDIRECT")
    published = ports(host.json("show", "both-web"))["tcp", 8080]
    assert published["dnat"]["backend"] == "iptables-nft"
    assert host.fetch(f"http://{HOST_IP}:8080/") == "both-web"


def test_two_rules_for_one_port_leave_it_open_which_is_met(host: Lab) -> None:
    """The younger hook is tried first, and nothing tells which that is: here the packet goes to the other container."""
    shown: Any = host.json("show", "both-other")
    other = shown["addresses"][0]["ip"]
    new = ["-p", "tcp", "--dport", "8080", "-j", "DNAT", "--to-destination", f"{other}:80"]
    host.on_host("iptables-legacy", "-t", "nat", "-A", "PREROUTING", *new)
    met = host.fetch(f"http://{HOST_IP}:8080/")
    web: Any = host.json("show", "both-web")
    published = ports(web)["tcp", 8080]
    assert met in ("both-web", "both-other")
    assert (published["dnat"], published["target_ip"]) == (None, None)
    (way,) = [one for one in web["inbound"] if one["host_port"] == 8080 and one["host_ip"] == "0.0.0.0"]
    assert {one["backend"] for one in way["unsure"]} == {"iptables-nft", "iptables-legacy"}
    card = host.netdash("show", "both-web").stdout
    assert "? unknown   cannot tell whether nat of nft comes before that of iptables-legacy" in card
    (line,) = [one for one in host.netdash("ports").stdout.splitlines() if one.startswith("8080  tcp    0.0.0.0")]
    assert line.split()[5] == "?"
