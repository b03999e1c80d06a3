"""One meaning per rule: each rule that translates leads to its container, its network and its port, and back; on every
recorded host, and on rules that were written for this."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import pytest

from netdash.bundle.recording import Recording
from netdash.model.belonging import containers_of, related
from netdash.model.host import IP, Chain, Container, Host, Net, Network, Port, Ref, Rule, Ruleset, Verb
from netdash.model.relations import ref_of
from netdash.rules.ruleset import read_ruleset
from tests.conftest import joined
from tests.support.show_hosts import container, host, port

RECORDINGS = Path(__file__).parents[1] / "recordings"
NAMES = sorted(path.name for path in RECORDINGS.iterdir() if (path / "ip").is_dir())


def owners(given: Host) -> dict[IP, set[str]]:
    """Containers by address; one in another's namespace has the other's."""
    found: dict[IP, set[str]] = {}
    by_name = {one.name: one for one in given.containers or ()}
    for one in given.containers or ():
        base = by_name.get(one.shares_with or "", one)
        for own in (each.ip for end in base.endpoints for each in end.addresses):
            found.setdefault(own, set()).add(one.id)
    return found


def nets_of(rule: Rule) -> Iterator[Net]:
    for match in rule.matches:
        yield from (one for one in match.values if isinstance(one, (IPv4Network, IPv6Network)))


@pytest.mark.parametrize("name", [*NAMES, "su1"])
def test_every_dnat_rule_leads_to_the_container_of_its_address_and_back(name: str) -> None:
    given = joined(name)
    of = owners(given)
    for rule in given.ruleset.rules if given.ruleset else ():
        if rule.target.verb is Verb.DNAT and rule.target.address in of:
            assert set(containers_of(given, ref_of(rule))) == of[rule.target.address]
            for identity in of[rule.target.address]:
                assert ref_of(rule) in related(given, Ref("container", identity))


@pytest.mark.parametrize("name", [*NAMES, "su1"])
def test_every_published_port_leads_to_its_rule_and_back(name: str) -> None:
    given = joined(name)
    for one in given.ports or ():
        if one.dnat is not None:
            assert ref_of(one.dnat) in related(given, ref_of(one))
            assert ref_of(one) in related(given, ref_of(one.dnat))


@pytest.mark.parametrize("name", [*NAMES, "su1"])
def test_every_rule_for_what_leaves_a_network_leads_to_the_network_and_back(name: str) -> None:
    """Also of a network that nobody is on; by bridge, by subnet, or by the rule that leads to its chain."""
    given = joined(name)
    by_net = {net: one for one in given.networks or () for net in one.subnets}
    by_bridge = {one.bridge: one for one in given.networks or () if one.bridge}
    callers = {rule.target.chain: rule for rule in (given.ruleset.rules if given.ruleset else ()) if rule.target.chain}
    seen = 0
    for rule in given.ruleset.rules if given.ruleset else ():
        if rule.target.verb not in (Verb.MASQUERADE, Verb.SNAT):
            continue
        source = callers[rule.chain] if rule.chain.startswith("nv_") else rule
        devices = {str(one) for match in source.matches if match.key in ("iif", "oif") for one in match.values}
        networks = {by_net[net].id for net in nets_of(source) if net in by_net}
        networks |= {by_bridge[device].id for device in devices & by_bridge.keys()}
        for identity in networks:
            seen += 1
            assert Ref("network", identity) in related(given, ref_of(rule)), rule.text
            assert ref_of(rule) in related(given, Ref("network", identity)), rule.text
    assert seen or not any(one.masquerade and not one.internal for one in by_bridge.values()) or name in GONE


GONE = {"iptables-flush", "v29-nft-flush-ruleset", "docker28.5-rootless-HOSTNS", "docker28.5-rootless-CHILDNS"}
"""Hosts without any rule, or without the networks."""


@pytest.mark.parametrize("name", ["docker29.7-nftables-full", "podman5.8-nftables"])
def test_rules_that_say_nothing_themselves_have_what_leads_to_their_chain(
    name: str, host: Callable[[str], Host]
) -> None:
    given = host(name)
    assert given.ruleset is not None
    silent = [
        rule
        for rule in given.ruleset.rules
        if rule.chain.startswith(("filter-forward-", "nv_")) and not any(nets_of(rule)) and not rule.target.address
    ]
    assert len(silent) > 10 or name.startswith("podman")
    networks = {ref_of(one) for one in given.networks or ()}
    for rule in silent:
        assert networks & related(given, ref_of(rule)), (rule.chain, rule.text)


# --- rules that no recording has --------------------------------------------------------------------------------------


def made(name: str = "rules/iptables-save.txt", lines: str = "", **changes: object) -> Host:
    """A host whose rules are those of `lines`, as the tool prints them."""
    ruleset = read_ruleset(Recording(answers={name: lines}))
    return host(ruleset=ruleset, **changes)


def saved(*rules: str, table: str = "nat", chains: str = "DOCKER") -> str:
    heads = [f":{chain} ACCEPT [0:0]" for chain in ("PREROUTING", "OUTPUT", "POSTROUTING")]
    heads += [f":{chain} - [0:0]" for chain in chains.split()]
    return "\n".join([f"*{table}", *heads, *(f"[1:60] {rule}" for rule in rules), "COMMIT", ""])


def rule_of(given: Host, text: str) -> Rule:
    assert given.ruleset is not None
    return next(one for one in given.ruleset.rules if text in one.text)


@pytest.mark.parametrize(
    "rule",
    [
        "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 9000:9003 -j DNAT --to-destination 172.17.0.3:9000-9003",
        "-A DOCKER -p tcp -m tcp --dport 9000:9002 -j DNAT --to-destination 172.17.0.3:19000-19002/9000",
        "-A DOCKER -d 203.0.113.2/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.3",
        "-A DOCKER -p tcp -m multiport --dports 80,443 -j DNAT --to-destination 172.17.0.3",
        "-A DOCKER -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.3:80 --random --persistent",
        "-A NETAVARK-DN-01 -p tcp -m tcp --dport 9000:9002 -j DNAT --to-destination 172.17.0.3:9000-9002/9000",
        "-A DOCKER-INGRESS -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.3:8080",
    ],
)
def test_translations_of_every_shape_lead_to_the_container(rule: str) -> None:
    given = made(lines=saved(rule, chains="DOCKER DOCKER-INGRESS NETAVARK-DN-01"))
    found = rule_of(given, rule)
    assert containers_of(given, ref_of(found)) == (container().id,)
    assert ref_of(found) in related(given, ref_of(container()))


def test_what_leads_to_a_translation_by_its_port_is_the_ports() -> None:
    """netavark's iptables driver: the jump names the host's port, and a chain of the container has the address."""
    given = made(
        lines=saved(
            "-A NETAVARK-HOSTPORT-DNAT -p tcp -m tcp --dport 8080 -j NETAVARK-DN-0123456789ABC",
            "-A NETAVARK-DN-0123456789ABC -s 127.0.0.1/32 -p tcp -m tcp --dport 8080 -j NETAVARK-HOSTPORT-SETMARK",
            "-A NETAVARK-DN-0123456789ABC -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.3:80",
            chains="NETAVARK-HOSTPORT-DNAT NETAVARK-HOSTPORT-SETMARK NETAVARK-DN-0123456789ABC",
        )
    )
    for text in ("-j NETAVARK-DN", "-j NETAVARK-HOSTPORT-SETMARK", "-j DNAT"):
        assert containers_of(given, ref_of(rule_of(given, text))) == (container().id,), text


def test_a_redirect_leads_to_who_has_the_port_that_it_goes_to() -> None:
    given = made(lines=saved("-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080"))
    found = rule_of(given, "REDIRECT")
    assert containers_of(given, ref_of(found)) == (container().id,)
    elsewhere = made(lines=saved("-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8099"))
    assert containers_of(elsewhere, ref_of(rule_of(elsewhere, "REDIRECT"))) == ()


def test_a_port_in_the_filter_is_not_the_hosts_port() -> None:
    given = made(lines=saved("-A POSTROUTING -p tcp -m tcp --dport 8080 -j ACCEPT"))
    assert containers_of(given, ref_of(rule_of(given, "--dport"))) == ()


FIREWALLD = """{"nftables": [
  {"table": {"family": "inet", "name": "firewalld"}},
  {"chain": {"family": "inet", "table": "firewalld", "name": "nat_PREROUTING", "type": "nat", "hook": "prerouting",
             "prio": -90, "policy": "accept"}},
  {"chain": {"family": "inet", "table": "firewalld", "name": "nat_PRE_public_allow"}},
  {"rule": {"family": "inet", "table": "firewalld", "chain": "nat_PREROUTING",
            "expr": [{"jump": {"target": "nat_PRE_public_allow"}}]}},
  {"rule": {"family": "inet", "table": "firewalld", "chain": "nat_PRE_public_allow", "expr": [
    {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 8443}},
    {"dnat": {"family": "ip", "addr": "172.17.0.3", "port": 443}}]}},
  {"rule": {"family": "inet", "table": "firewalld", "chain": "nat_PRE_public_allow", "expr": [
    {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}},
    {"redirect": {"port": 8080}}]}}
]}"""


def test_firewallds_forward_ports() -> None:
    given = made("rules/nft.json", FIREWALLD)
    for text in ("dnat", "redirect"):
        assert containers_of(given, ref_of(rule_of(given, text))) == (container().id,)


def test_a_rule_for_an_address_that_nobody_has_is_still_its_networks() -> None:
    """Swarm's ingress, and what a container left behind."""
    given = made(lines=saved("-A DOCKER-INGRESS -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.9:80"))
    rule, (network,) = rule_of(given, "DNAT"), given.networks or ()
    assert containers_of(given, ref_of(rule)) == ()
    assert ref_of(network) in related(given, ref_of(rule))
    assert ref_of(rule) in related(given, ref_of(network))


def test_a_network_without_containers_has_its_rules() -> None:
    empty: Network = replace(
        (host().networks or ())[0], id="7" * 64, name="empty", bridge="br-empty", subnets=(ip_network("10.7.0.0/24"),)
    )
    lines = saved("-A POSTROUTING -s 10.7.0.0/24 ! -o br-empty -j SNAT --to-source 203.0.113.2")
    given = made(lines=lines, networks=(*(host().networks or ()), empty))
    assert related(given, ref_of(empty)) >= {ref_of(rule_of(given, "SNAT"))}
    assert ref_of(empty) in related(given, ref_of(rule_of(given, "SNAT")))


def test_chains_that_lead_to_each_other_end() -> None:
    rules = [f"-A C{at} -j C{(at + 1) % 3}" for at in range(3)]
    given = made(lines=saved(*rules, chains="C0 C1 C2"))
    assert containers_of(given, ref_of(rule_of(given, "-A C0"))) == ()


def test_a_drift_belongs_to_its_container_or_to_all_on_its_network(host: Callable[[str], Host]) -> None:
    given = host("dnat-missing-proxied")
    (web,) = (one for one in given.containers or () if one.name == "web")
    found = {ref_of(one) for one in given.drift or ()}
    assert len(found) == 2
    assert found <= related(given, ref_of(web))
    assert all(containers_of(given, ref) == (web.id,) for ref in found)


def test_a_stopped_containers_port_names_nobody() -> None:
    entry: Port = port(live=False)
    stopped: Container = container(state="exited")
    lines = saved("-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080")
    given = made(lines=lines, ports=(entry,), containers=(stopped,))
    assert containers_of(given, ref_of(rule_of(given, "REDIRECT"))) == ()


def test_rules_without_a_ruleset_shape_are_told_by_identity() -> None:
    given = host(ruleset=Ruleset((Chain("ip", "nat", "DOCKER", "iptables-nft", ()),)))
    assert related(given, ref_of(container()))
