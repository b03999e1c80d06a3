"""What the engine should have written against what is there: nothing on healthy hosts, each lost, doubled, foreign or
left-over rule by its kind; on recorded hosts, and with every single rule of theirs changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from ipaddress import ip_address
from pathlib import Path

import pytest

from netdash.drift.compare import compare
from netdash.model.engine_state import DriftKind
from netdash.model.host import Chain, Host, Rule, Verb
from tests.support.drift_hosts import known, texts, with_rules

RECORDINGS = Path(__file__).parents[1] / "recordings"
NAMES = sorted(path.name for path in RECORDINGS.iterdir() if (path / "ip").is_dir())

ALL_GONE = {("missing", chain) for chain in "PREROUTING OUTPUT POSTROUTING DOCKER FORWARD".split()} | {
    ("missing", "DOCKER-ISOLATION-STAGE-1"),
    ("missing", "DOCKER-ISOLATION-STAGE-2"),
}
FOUND = {
    "accept-missing": {("missing", "DOCKER")},
    "dnat-missing-proxied": {("missing", "DOCKER")},
    "dnat-shadow-foreign": {("shadowed", "DOCKER")},
    "forward-drop-ahead": {("shadowed", "FORWARD"), ("shadowed", "DOCKER")},
    "iptables-flush": ALL_GONE,
    "nft-incompatible-table": {("stale", "DOCKER"), ("extra", "DOCKER")},
    "v29-nft-flush-ruleset": {
        ("missing", chain)
        for chain in (
            *("filter-FORWARD", "nat-PREROUTING", "nat-OUTPUT", "nat-POSTROUTING", "raw-PREROUTING"),
            *("nat-prerouting-and-output", "filter-forward-in__docker0", "filter-forward-out__docker0"),
            "nat-postrouting-out__docker0",
        )
    },
}
"""Recorded hosts where something differs: (kind, chain). On every other host nothing does."""

UNCOMPARED = {"docker28.5-rootless-CHILDNS", "docker28.5-rootless-HOSTNS", "dockerd-down-live-restore"}
HEALTHY = (
    *("docker20.10-nft-full", "docker20.10-legacy", "docker28.5-nft-full", "docker28.5-ufw"),
    *("docker29.7-nftables-full", "docker29.7-iptables", "podman5.8-nftables", "hairpin-no-proxy-mode"),
    "v29-routed-no-return",
)


@pytest.mark.parametrize("name", [*NAMES, "su1"])
def test_recorded_hosts(name: str, host: Callable[[str], Host]) -> None:
    given = host(name)
    if name in UNCOMPARED:
        assert given.drift is None
        return
    assert given.drift is not None
    assert {(one.kind.value, one.chain) for one in given.drift} == FOUND.get(name, set())


@pytest.mark.parametrize(
    ("name", "text", "container", "port"),
    [
        (
            "dnat-missing-proxied",
            "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
            "web",
            8080,
        ),
        (
            "accept-missing",
            "-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT",
            "web",
            8080,
        ),
        (
            "v29-nft-flush-ruleset",
            'iifname != "docker0" tcp dport 8081 dnat to 172.17.0.3:80 comment "DNAT"',
            "web2",
            8081,
        ),
    ],
)
def test_a_lost_rule_is_told_with_its_text_container_and_port(
    name: str, text: str, container: str, port: int, host: Callable[[str], Host]
) -> None:
    given = host(name)
    found = next(one for one in given.drift or () if one.text == text)
    names = {one.id: one.name for one in given.containers or ()}
    assert (found.kind, found.rule) == (DriftKind.MISSING, None)
    assert names[found.container_id or ""] == container
    assert found.binding is not None
    assert found.binding.host_port == port


def test_a_rule_that_decides_first_is_named(host: Callable[[str], Host]) -> None:
    (found,) = host("dnat-shadow-foreign").drift or ()
    assert found.why == "nat/PREROUTING #1 decides first: dnat to 10.43.0.10:80"
    assert found.rule is not None
    assert found.binding is not None


def test_what_was_not_compared_is_said(host: Callable[[str], Host]) -> None:
    said = {name: [key for key in host(name).failures if key.startswith("drift")] for name in NAMES}
    assert said["podman5.8-nftables"] == ["drift: isolation"]
    assert said["v29-unpublished-port"] == ["drift: direct routing"]  # dockerd --allow-direct-routing
    assert said["iptables-flush"] == ["drift: engine"]
    assert said["nft-incompatible-table"] == ["drift: rules"]
    assert said["docker28.5-nft-full"] == []


# --- every rule of the healthy hosts, changed -------------------------------------------------------------------------


def plain(rule: Rule) -> str:
    """As the engine writes it: nft adds the counter by itself, old netavark puts IPv6's multicast wrong."""
    words = f" {rule.text}".replace(" counter", "").strip()
    return words.replace("ip6 daddr != ::/8", "ip6 daddr != ff00::/8")


@cache
def changeable(name: str) -> list[tuple[Chain, Rule]]:
    """Every rule of the host that is the engine's and has to be there."""
    chains = (chain for chain in known(name).ruleset.chains if chain.name != "DOCKER-USER")
    return [(chain, rule) for chain in chains for rule in chain.rules if _is_missed(name, rule)]


def _is_missed(name: str, rule: Rule) -> bool:
    if rule.target.elements or "ufw" in rule.text or "ufw" in rule.chain:
        return False
    if "ISOLATION-STAGE" in rule.chain and rule.text.endswith("-j RETURN") and not rule.matches:
        return False  # the chain's end does the same
    if name == "docker20.10-nft-full" and rule.family == "ip6" and "ISOLATION" in rule.chain:
        return "brsix" in rule.text or "docker0" in rule.text  # later engines isolate only where there is IPv6
    if rule.table == "netavark":
        return not _is_let_be(rule)
    return True


def _is_let_be(rule: Rule) -> bool:
    """Of netavark: isolation, names, and ports of IPv6, as the API says 0.0.0.0 for those of both families."""
    six = "ip6" in rule.text or "fd00" in str(rule.target.chain)
    own = rule.chain.startswith(("NETAVARK-ISOLATION", "NETAVARK-HOSTPORT-SETMARK"))
    return own or rule.chain == "INPUT" or "SETMARK" in rule.text or (six and "dport" in rule.text)


@pytest.mark.parametrize("name", HEALTHY)
def test_each_rule_that_is_lost_is_missed_by_its_own_words(name: str) -> None:
    whole = known(name)
    for chain, rule in changeable(name):
        found = compare(with_rules(whole, chain, (one for one in chain.rules if one is not rule)))
        if rule.table == "raw" and sum("-j DROP" in one.text for one in chain.rules) == 1:
            assert [one.part for one in found.undecided] == ["direct routing"]
        elif "-9002" in rule.text or "mark" in rule.text:
            assert texts(found, DriftKind.MISSING)  # one rule for three ports, one number in another base
        else:
            assert set(texts(found, DriftKind.MISSING)) == {plain(rule)}  # told for each port that it is for
    assert len(changeable(name)) > 10


@pytest.mark.parametrize("name", HEALTHY)
def test_each_rule_that_is_there_twice_is_told(name: str) -> None:
    whole = known(name)
    for chain, rule in changeable(name):
        found = compare(with_rules(whole, chain, (*chain.rules, rule)))
        assert texts(found, DriftKind.DUPLICATE) == [rule.text]


@pytest.mark.parametrize("name", HEALTHY)
def test_each_translation_to_nobody_is_stale(name: str) -> None:
    whole, nobody = known(name), {4: ip_address("172.17.99.99"), 6: ip_address("fd00:20::99")}
    for chain, rule in changeable(name):
        if rule.target.verb is Verb.DNAT and rule.target.address:
            moved = replace(rule, target=replace(rule.target, address=nobody[rule.target.address.version]))
            found = compare(with_rules(whole, chain, (moved if one is rule else one for one in chain.rules)))
            assert texts(found, DriftKind.STALE) == [rule.text]
            assert texts(found, DriftKind.MISSING) == [plain(rule)]


@pytest.mark.parametrize("name", HEALTHY)
def test_a_network_that_is_gone_leaves_stale_rules(name: str) -> None:
    """Its device is gone too, and nobody was on it."""
    whole = known(name)
    used = {end.network_id for one in whole.containers if one.running for end in one.endpoints}
    gone = next((one for one in whole.networks if one.bridge and one.id not in used and one.driver == "bridge"), None)
    if gone is None or gone.bridge is None or whole.engine.name != "docker":
        return
    rest = tuple(one for one in whole.networks if one is not gone)
    found = compare(replace(whole, networks=rest, devices=(whole.devices or frozenset()) - {gone.bridge}))
    assert found.drift
    assert {one.kind for one in found.drift} == {DriftKind.STALE}
    assert all(gone.bridge in one.text or gone.bridge in one.chain for one in found.drift)
