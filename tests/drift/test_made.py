"""Rules that were put in, taken away and changed by hand on recorded hosts, and what is said of each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netdash.drift.compare import compare
from netdash.drift.incremental import SETTLED, Comparing
from netdash.model.engine_state import DriftKind
from netdash.model.host import Failure, Network, Ruleset, Unread
from tests.conftest import joined
from tests.support.drift_hosts import chain_of, known, texts, with_rules, written
from tests.support.show_hosts import hostile


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


@pytest.mark.parametrize(
    ("table", "chain", "line", "text"),
    [
        ("nat", "PREROUTING", "-A PREROUTING -p tcp -m tcp --dport 8080 -j ACCEPT", "--dport 8080"),
        ("nat", "PREROUTING", "-A PREROUTING -s 10.0.0.0/8 -p tcp -m tcp --dport 8080 -j ACCEPT", ""),
        ("filter", "FORWARD", "-A FORWARD -o brnomasq -p tcp -m tcp --dport 80 -j DROP", "-d 10.68.0.2/32"),
        ("filter", "FORWARD", "-A FORWARD -i eth0 -o brnomasq -p tcp -m tcp --dport 80 -j DROP", ""),
    ],
)
def test_a_published_port_is_shadowed_also_from_the_chain_that_leads_to_it(
    table: str, chain: str, line: str, text: str
) -> None:
    for name in ("docker20.10-nft-full", "docker28.5-nft-full"):
        whole = known(name)
        outer = chain_of(whole, table, chain)
        found = compare(with_rules(whole, outer, (written(line, outer.rules[0]), *outer.rules)))
        shadowed = texts(found, DriftKind.SHADOWED)
        assert len(shadowed) == bool(text)
        assert all(text in one for one in shadowed)
        behind = compare(with_rules(whole, outer, (*outer.rules, written(line, outer.rules[0]))))
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
    found = compare(replace(whole, ruleset=replace(whole.ruleset, unread=(Unread("nft", "nft was not read"),))))
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
    given = joined("docker28.5-nft-full")
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
    given = replace(joined("docker28.5-nft-full"), pending=frozenset({"proxies"}))
    assert Comparing().compare(given, ()) == (None, {})
    assert Comparing().compare(replace(given, pending=frozenset(), engine=None), ())[0] is None


def test_an_answer_that_is_no_longer_current_is_not_compared() -> None:
    gone = replace(joined("accept-missing"), failures={"docker": Failure("docker", "the engine does not answer")})
    assert Comparing().compare(gone, ()) == (None, {})


def test_on_a_live_host_a_difference_counts_when_it_has_lasted() -> None:
    """While a container stops its rules go first, and the engine tells of it later."""
    whole = replace(joined("docker20.10-legacy"), live=True, taken=100.0)
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


def test_an_address_may_be_that_of_a_container_which_could_not_be_inspected() -> None:
    whole = joined("docker20.10-nft-full")
    assert whole.containers is not None
    without = replace(whole, containers=tuple(one for one in whole.containers if not one.bindings))
    late = replace(without, failures={"containers": Failure("containers", "no answer within 3 s")})
    comparing = Comparing()
    for given, told in ((without, True), (late, False), (without, True)):
        found, _ = comparing.compare(given, ())
        assert any(one.kind in (DriftKind.STALE, DriftKind.EXTRA) for one in found or ()) is told


def test_hostile_words_are_compared_like_others() -> None:
    given = hostile()
    engine = known("docker28.5-nft-full").engine
    for version in ("20.10.24", "28.5.2", "29.7.2"):
        for firewall in ("iptables", "nftables"):
            asked = replace(given, engine=replace(engine, version=version, firewall=firewall), failures={})
            found, _ = Comparing().compare(asked, given.ports or ())
            assert all(isinstance(one.text, str) for one in found or ())
