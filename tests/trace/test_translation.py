"""Which rule translates a packet: the kernel's own answers, and what cannot be told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

import pytest

from netdash.bundle.recording import Recording
from netdash.model.host import Match, Rule, Verb
from netdash.model.packet import Packet
from netdash.rules.iptables_rule import parse_line
from netdash.rules.match import Answer, applies
from netdash.rules.ruleset import read_ruleset
from netdash.trace.nat_rules import DestinationNat, translated

RECORDINGS = Path(__file__).parents[1] / "recordings"
TRACED = ["docker20.10-nft-full", "docker29.7-nftables-full"]
Loader = Callable[[str], Recording]


# --- the kernel is the judge ------------------------------------------------------------------------------------------


def _interfaces(name: str) -> list[tuple[str, Any]]:
    links = json.loads((RECORDINGS / name / "ip/addr.json").read_text())
    return [
        (link["ifname"], ip_interface(f"{one['local']}/{one['prefixlen']}"))
        for link in links
        for one in link.get("addr_info", ())
    ]


def _device(name: str, address: Any) -> str:
    found = (dev for dev, one in _interfaces(name) if dev != "lo" and address in one.network)
    return next(found, "eth0")


def _cases(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((RECORDINGS / name / "trace-cases.json").read_text())
    return [case for case in cases if case["kernel"]["conntrack"]]


CASES = [pytest.param(name, case, id=f"{name}-{case['case']}") for name in TRACED for case in _cases(name)]


def _translations(case: dict[str, Any], hook: str) -> list[tuple[str, str, int]]:
    """(table, chain, position) of the kernel's translating steps: an accepting rule of a nat chain."""
    found = []
    for step in case["kernel"]["steps"]:
        place = f"{step['table']} {step['chain']}".lower()
        nat = place.startswith("nat ") or " nat-" in place
        if nat and step["verdict"] == "accept" and step["rule"] != "policy":
            leaving = "postrouting" in place
            if leaving == (hook == "postrouting"):
                found.append((step["table"], step["chain"], step["rule"]))
    return found


def _place(rule: Rule | None) -> list[tuple[str, str, int]]:
    return [(rule.table, rule.chain, rule.position)] if rule else []


@pytest.mark.parametrize(("name", "case"), CASES)
def test_translations_are_those_of_the_kernel(name: str, case: dict[str, Any], recording: Loader) -> None:
    ruleset = read_ruleset(recording(name))
    assert ruleset is not None
    src, dst = ip_address(case["src"]), ip_address(case["dst"])
    local = {one.ip for _, one in _interfaces(name)}
    by_host = case["origin"] == "host"
    packet = Packet(
        family=src.version,
        proto=case["proto"],
        src=src,
        dst=dst,
        sport=case["kernel"]["conntrack"]["orig"]["sport"],
        dport=case["dport"],
        iif="" if by_host else _device(name, src),
        oif=("lo" if dst in local else _device(name, dst)) if by_host else None,
        src_type="LOCAL" if src in local else "UNICAST",
        dst_type="LOCAL" if dst in local or dst.is_loopback else "UNICAST",
    )
    found = DestinationNat(ruleset).find(packet, output=by_host)
    assert found.unsure == ()
    assert _place(found.rule) == _translations(case, "prerouting")
    if found.rule:
        reply = case["kernel"]["conntrack"]["reply"]
        assert found.target == (ip_address(reply["src"]), reply["sport"])


@pytest.mark.parametrize("name", ["docker20.10-nft-full", "docker29.7-nftables-full", "podman5.8-nftables"])
def test_every_dnat_rule_is_reachable(name: str, recording: Loader) -> None:
    ruleset = read_ruleset(recording(name))
    assert ruleset is not None
    found = DestinationNat(ruleset).targets()
    assert {id(rule) for rule, _ in found} == {id(rule) for rule in ruleset.rules if rule.target.verb is Verb.DNAT}


# --- one rule ---------------------------------------------------------------------------------------------------------


def _rule(line: str, position: int = 1) -> Rule:
    body = parse_line(f"-A X {line}")
    return Rule(
        family="ip",
        table="nat",
        chain="X",
        position=position,
        text=body.text,
        matches=body.matches,
        target=body.target,
        packets=None,
        bytes=None,
        backend="iptables-nft",
        not_understood=body.not_understood,
    )


WEB = Packet(
    4,
    "tcp",
    ip_address("203.0.113.1"),
    ip_address("203.0.113.2"),
    40001,
    8080,
    "eth0",
    "",
    dst_type="LOCAL",
    mark=0x4000,
)
BARE = Packet(4)
ANSWERS = {
    "": ("yes", "yes"),
    "-i eth0": ("yes", "unsure"),
    "-i eth+": ("yes", "unsure"),
    "-i +": ("yes", "yes"),
    "! -i docker0": ("yes", "unsure"),
    "-i docker0": ("no", "unsure"),
    "-s 203.0.113.0/24": ("yes", "unsure"),
    "! -s 203.0.113.1/32": ("no", "unsure"),
    "-s 0.0.0.0/0": ("yes", "yes"),
    "-d fd00::/8": ("no", "no"),
    "! -d fd00::/8": ("no", "no"),
    "-p tcp": ("yes", "unsure"),
    "! -p udp": ("yes", "unsure"),
    "-p tcp -m tcp --dport 8000:8080": ("yes", "unsure"),
    "-p tcp -m tcp ! --dport 8080": ("no", "unsure"),
    "-p tcp -m multiport --ports 40001": ("yes", "unsure"),
    "-p tcp -m multiport --ports 1": ("no", "unsure"),
    "-m conntrack --ctstate NEW,RELATED": ("yes", "yes"),
    "-m conntrack --ctstate ESTABLISHED": ("no", "no"),
    "-m conntrack ! --ctstate DNAT": ("unsure", "unsure"),
    "-m conntrack --ctdir REPLY": ("no", "no"),
    "-m addrtype --dst-type LOCAL": ("yes", "unsure"),
    "-m addrtype ! --src-type LOCAL": ("unsure", "unsure"),
    "-m mark --mark 0x4000/0x4000": ("yes", "unsure"),
    "-m mark ! --mark 0x4000/0xffff": ("no", "unsure"),
    "-m set --match-set x src": ("unsure", "unsure"),
    "-m recent --update --name a": ("unsure", "unsure"),
    "-m recent --update --name a -p udp": ("no", "unsure"),
    "-m limit --limit 3/min": ("unsure", "unsure"),
}


@pytest.mark.parametrize(("words", "answers"), ANSWERS.items())
def test_yes_no_and_cannot_tell(words: str, answers: tuple[str, str]) -> None:
    rule = _rule(f"{words} -j ACCEPT")
    assert (applies(rule, WEB).value, applies(rule, BARE).value) == answers


def test_an_address_tells_when_it_is_of_this_host_itself() -> None:
    rule = _rule("-m addrtype --dst-type LOCAL -j ACCEPT")
    assert applies(rule, replace(BARE, dst=ip_address("127.0.0.1"))) is Answer.YES
    assert applies(rule, replace(BARE, dst=ip_address("224.0.0.1"))) is Answer.NO


def test_nothing_is_in_an_empty_set() -> None:
    rule = replace(_rule("-j DROP"), matches=(Match("src", ()),))
    assert applies(rule, WEB) is Answer.NO
    assert applies(replace(rule, matches=(Match("src", (), True),)), WEB) is Answer.YES


TRANSLATED = [
    ("10.0.0.1:80", 8080, "10.0.0.1", 80),
    ("10.0.0.1", 8080, "10.0.0.1", None),
    (":80", 8080, None, 80),
    ("10.0.0.1:9000-9002/8000", 8001, "10.0.0.1", 9001),
    ("10.0.0.1:9000-9002/8000", 7000, "10.0.0.1", 9000),
    ("10.0.0.1:9000-9002", 9001, "10.0.0.1", 9001),
    ("10.0.0.1:9000-9002", 1, "10.0.0.1", 9000),
    ("10.0.0.1:9000-9002 --random", 9001, "10.0.0.1", None),
    ("10.0.0.1:9000-9002", None, "10.0.0.1", None),
    ("10.0.0.1-10.0.0.9:80", 8080, None, 80),
]


@pytest.mark.parametrize(("to", "port", "address", "changed"), TRANSLATED)
def test_where_a_dnat_rule_sends_a_packet(to: str, port: int | None, address: str | None, changed: int | None) -> None:
    rule = _rule(f"-p tcp -j DNAT --to-destination {to}")
    assert translated(rule, port) == (ip_address(address) if address else None, changed)
