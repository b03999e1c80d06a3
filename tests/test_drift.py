"""What the engine should have written against what is there: nothing on healthy hosts, each lost, doubled, foreign or
left-over rule by its kind; on recorded hosts, and with every single rule of theirs changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from ipaddress import ip_address
from pathlib import Path

import pytest

from netdash.core.drift import Comparison, Known, compare
from netdash.core.drift_live import carried
from netdash.core.drift_memory import SETTLED, Comparing
from netdash.core.drift_model import DriftKind
from netdash.core.iptables_rule import parse_line
from netdash.core.model import Chain, Failure, Host, Network, Rule, Ruleset, Verb
from tests.conftest import _join

RECORDINGS = Path(__file__).parent / "recordings"
NAMES = sorted(path.name for path in RECORDINGS.iterdir() if (path / "ip").is_dir())

ALL_GONE = {("missing", chain) for chain in "PREROUTING OUTPUT POSTROUTING DOCKER FORWARD".split()} | {
    ("missing", "DOCKER-ISOLATION-STAGE-1"),
    ("missing", "DOCKER-ISOLATION-STAGE-2"),
}
FOUND = {
    "accept-missing": {("missing", "DOCKER")},
    "dnat-missing-proxied": {("missing", "DOCKER")},
    "dnat-shadow-foreign": {("shadowed", "DOCKER")},
    "forward-drop-ahead": {("shadowed", "FORWARD")},
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


def known(name: str) -> Known:
    given = _join(name)
    assert given.engine
    assert given.networks is not None
    assert given.containers is not None
    assert given.ruleset is not None
    devices = frozenset(link.name for link in given.links or ())
    return Known(
        *(given.engine, given.networks, given.containers, given.ruleset),
        *(carried(given.proxies), given.ports or (), devices),
    )


def with_rules(old: Known, chain: Chain, rules: Iterable[Rule]) -> Known:
    numbered = tuple(replace(rule, position=at) for at, rule in enumerate(rules, 1))
    chains = tuple(replace(one, rules=numbered) if one is chain else one for one in old.ruleset.chains)
    return replace(old, ruleset=replace(old.ruleset, chains=chains), ports=())


def texts(found: Comparison, kind: DriftKind) -> list[str]:
    assert found.drift is not None
    return [one.text for one in found.drift if one.kind is kind]


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


# --- made-up changes --------------------------------------------------------------------------------------------------


def chain_of(given: Known, table: str, name: str) -> Chain:
    return next(one for one in given.ruleset.chains if (one.family, one.table, one.name) == ("ip", table, name))


def written(line: str, like: Rule) -> Rule:
    body = parse_line(line)
    return replace(
        like,
        text=line,
        chain=line.split()[1],
        matches=body.matches,
        target=body.target,
        not_understood=body.not_understood,
    )


@pytest.mark.parametrize(
    ("line", "shadowed"),
    [
        (
            "-A FORWARD -i docker0 -j DROP",
            ["-A FORWARD -i docker0 ! -o docker0 -j ACCEPT", "-A FORWARD -i docker0 -o docker0 -j ACCEPT"],
        ),
        ("-A FORWARD -i docker0 -j ACCEPT", []),  # lets through what Docker lets through
        ("-A FORWARD -i docker0 -s 10.0.0.0/8 -j DROP", []),  # not every packet
        ("-A FORWARD -i docker0 -m limit --limit 1/sec -j DROP", []),  # not every packet
        ("-A FORWARD -i docker0 -j LOG", []),  # goes on
        ("-A FORWARD -o docker0 -m nobody-knows --this -j DROP", []),  # cannot be told
    ],
)
def test_what_is_shadowed_by_a_rule_ahead(line: str, shadowed: list[str]) -> None:
    whole = known("docker20.10-nft-full")
    forward = chain_of(whole, "filter", "FORWARD")
    found = compare(with_rules(whole, forward, (written(line, forward.rules[0]), *forward.rules)))
    assert sorted(texts(found, DriftKind.SHADOWED)) == shadowed
    behind = compare(with_rules(whole, forward, (*forward.rules, written(line, forward.rules[0]))))
    assert behind.drift == ()


def test_a_wider_subnet_ahead_of_masquerade_shadows_it() -> None:
    whole = known("docker20.10-nft-full")
    chain = chain_of(whole, "nat", "POSTROUTING")
    for line, expected in (
        ("-A POSTROUTING -s 172.16.0.0/12 -j ACCEPT", 4),  # docker0's and three ways to one's own port
        ("-A POSTROUTING -s 172.16.0.0/12 -d 10.0.0.0/8 -j ACCEPT", 0),
        ("-A POSTROUTING -s 172.16.0.0/12 -j MASQUERADE", 0),
    ):
        found = compare(with_rules(whole, chain, (written(line, chain.rules[0]), *chain.rules)))
        assert len(texts(found, DriftKind.SHADOWED)) == expected, line


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("-A DOCKER -p tcp -m tcp --dport 22 -j ACCEPT", "extra"),
        ("-A DOCKER -d 172.17.9.9/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT", "stale"),
        ("-A DOCKER ! -i br-0123456789ab -o br-0123456789ab -j DROP", "stale"),
        ("-A DOCKER -s 172.17.0.2/32 -d 172.17.0.3/32 -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT", None),
        ("-A DOCKER ! -i docker0 -o docker0 -m mark --mark 0x5 -j ACCEPT", "extra"),
        ("-A DOCKER -m nobody-knows --this -j ACCEPT", None),
    ],
)
def test_what_stands_in_dockers_own_chain(line: str, kind: str | None) -> None:
    whole = known("docker28.5-nft-full")
    chain = chain_of(whole, "filter", "DOCKER")
    found = compare(with_rules(whole, chain, (*chain.rules, written(line, chain.rules[0]))))
    assert [(one.kind.value, one.text) for one in found.drift or ()] == ([(kind, line)] if kind else [])


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("-A POSTROUTING -s 10.99.0.0/24 ! -o br-0123456789ab -j MASQUERADE", "stale"),
        ("-A POSTROUTING -s 10.99.0.0/24 ! -o virbr0 -j MASQUERADE", None),  # somebody else's
        ("-A POSTROUTING -s 10.68.0.0/24 ! -o brnomasq -j MASQUERADE", "extra"),  # masquerade is off there
        ("-A POSTROUTING -s 10.99.0.0/24 ! -o brsix -j MASQUERADE", "stale"),
        ("-A POSTROUTING -s 172.17.9.9/32 -d 172.17.9.9/32 -p tcp -m tcp --dport 80 -j MASQUERADE", "stale"),
        ("-A POSTROUTING -o eth0 -j MASQUERADE", None),
    ],
)
def test_only_rules_of_dockers_shape_are_taken_for_its_own_elsewhere(line: str, kind: str | None) -> None:
    whole = known("docker20.10-nft-full")
    chain = chain_of(whole, "nat", "POSTROUTING")
    found = compare(with_rules(whole, chain, (*chain.rules, written(line, chain.rules[0]))))
    assert [(one.kind.value, one.text) for one in found.drift or ()] == ([(kind, line)] if kind else [])


def test_rules_of_a_container_that_is_restarting_are_not_called_stale() -> None:
    whole = known("docker28.5-nft-full")
    chain = chain_of(whole, "raw", "PREROUTING")
    for address, kinds in (("192.0.2.77", []), ("172.17.0.77", ["stale"])):
        device = "bridge1" if address.startswith("192") else "docker0"
        line = f"-A PREROUTING -d {address}/32 ! -i {device} -j DROP"
        found = compare(with_rules(whole, chain, (*chain.rules, written(line, chain.rules[0]))))
        assert [one.kind.value for one in found.drift or ()] == kinds


def test_a_bridge_that_a_verdict_map_lost_is_missed() -> None:
    whole = known("docker29.7-nftables-full")
    chain = chain_of(whole, "docker-bridges", "filter-FORWARD")
    first = chain.rules[0]
    cut = tuple(one for one in first.target.elements if one[0] != "docker0")
    rule = replace(first, target=replace(first.target, elements=cut))
    found = compare(with_rules(whole, chain, (rule, *chain.rules[1:])))
    assert texts(found, DriftKind.MISSING) == ['oifname "docker0" jump filter-forward-in__docker0']


def test_a_ruleset_that_is_not_complete_proves_no_absence() -> None:
    whole = known("accept-missing")
    found = compare(replace(whole, ruleset=replace(whole.ruleset, complete=False)))
    assert found.drift == ()
    assert [one.part for one in found.undecided] == ["rules"]


@pytest.mark.parametrize(
    ("version", "whole"),
    [
        ("20.10.24+dfsg1", True),
        ("24.0.7", True),
        ("26.1.5", True),
        ("27.3.1", False),
        ("28.1.0", False),
        ("1.12.6", False),
    ],
)
def test_of_an_engine_that_was_not_measured_only_what_all_share_is_compared(version: str, whole: bool) -> None:
    given = known("accept-missing")
    found = compare(replace(given, engine=replace(given.engine, version=version)))
    assert texts(found, DriftKind.MISSING)[0].startswith("-A DOCKER -d 172.17.0.2/32")
    assert [one.part for one in found.undecided] == ([] if whole else ["filter"])


@pytest.mark.parametrize("version", ["30.0.0", "1.6.0", "", "next"])
def test_an_unknown_engine_is_not_compared(version: str) -> None:
    given = known("accept-missing")
    found = compare(replace(given, engine=replace(given.engine, version=version)))
    assert found.drift is None
    assert found.undecided[0].part == ""


def test_swarms_own_bridge_is_let_be() -> None:
    whole = known("docker28.5-nft-full")
    gwbridge: Network = replace(whole.networks[0], id="9" * 64, name="docker_gwbridge", bridge="docker_gwbridge")
    chain = chain_of(whole, "filter", "DOCKER")
    line = "-A DOCKER -d 172.18.0.2/32 ! -i docker_gwbridge -o docker_gwbridge -p tcp -m tcp --dport 80 -j ACCEPT"
    found = compare(
        replace(
            with_rules(whole, chain, (*chain.rules, written(line, chain.rules[0]))),
            networks=(*whole.networks, gwbridge),
        )
    )
    assert found.drift == ()
    assert [one.part for one in found.undecided] == ["swarm"]


def test_nothing_is_compared_again_while_only_counters_move() -> None:
    given = _join("docker28.5-nft-full")
    assert given.ruleset is not None
    comparing = Comparing()
    ports = given.ports or ()
    first, _ = comparing.compare(given, ports)
    counted = Ruleset(given.ruleset.chains, shape=given.ruleset.shape)
    again, _ = comparing.compare(replace(given, ruleset=counted, proxies=tuple(given.proxies or ())), ports)
    assert again is first
    changed, _ = comparing.compare(replace(given, containers=tuple(given.containers or ())[:-1]), ports)
    assert changed is not first


def test_what_is_still_being_read_is_not_compared() -> None:
    given = replace(_join("docker28.5-nft-full"), pending=frozenset({"proxies"}))
    assert Comparing().compare(given, ()) == (None, {})
    assert Comparing().compare(replace(given, pending=frozenset(), engine=None), ())[0] is None


def test_an_answer_that_is_no_longer_current_is_not_compared() -> None:
    gone = replace(_join("accept-missing"), failures={"docker": Failure("docker", "the engine does not answer")})
    assert Comparing().compare(gone, ()) == (None, {})


def test_on_a_live_host_a_difference_counts_when_it_has_lasted() -> None:
    """While a container stops its rules go first, and the engine tells of it later."""
    whole = replace(_join("docker20.10-legacy"), live=True, taken=100.0)
    assert whole.ruleset is not None
    chain = next(one for one in whole.ruleset.chains if one.name == "DOCKER" and one.table == "nat")
    chains = tuple(replace(one, rules=one.rules[:-1]) if one is chain else one for one in whole.ruleset.chains)
    lost = replace(whole, ruleset=Ruleset(chains))

    comparing = Comparing()
    assert comparing.compare(whole, ())[0] == ()
    assert comparing.compare(replace(lost, taken=101.0), ())[0] == ()
    assert comparing.compare(replace(whole, taken=102.0), ())[0] == ()
    assert comparing.compare(replace(lost, taken=103.0), ())[0] == ()
    found, _ = comparing.compare(replace(lost, taken=103.0 + SETTLED), ())
    assert [one.kind for one in found or ()] == [DriftKind.MISSING]
    assert comparing.compare(replace(lost, taken=200.0), ())[0] is found
    assert len(Comparing().compare(lost, ())[0] or ()) == 1  # what the first look finds was there before
