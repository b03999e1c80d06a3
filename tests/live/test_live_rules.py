"""Rules that are made at random are read as what they were written to mean: `make fuzz-rules` tries other seeds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rulegen.check import Result, everything
from tests.rulegen.namespace import Namespace

SEED, RULES = 20, 150


@pytest.fixture(scope="module")
def results(rule_tools: None) -> Iterator[dict[str, Result]]:
    with Namespace() as space:
        yield dict(everything(space, SEED, RULES))


TOOLS = [f"{backend} {family}" for backend in ("iptables-nft", "iptables-legacy") for family in ("ip", "ip6")]


@pytest.mark.parametrize("tool", [*TOOLS, "nft"])
def test_what_was_written_is_what_is_read(results: dict[str, Result], tool: str) -> None:
    if tool not in results:
        pytest.skip(f"{tool} is not installed")
    result = results[tool]
    assert result.wrong == []
    assert result.rules > RULES * 0.8, result.refused
    assert result.features > 50, result.refused


def test_what_iptables_save_hides_or_leaves_out_is_never_read_as_another_rule(results: dict[str, Result]) -> None:
    mixed = [result for name, result in results.items() if name.startswith("mixed")]
    assert [said for result in mixed for said in result.wrong] == []
    assert sum(result.features for result in mixed) > 4


EVERY_FAMILY = """
table ip off {
 flags dormant
 chain c {
  type filter hook input priority 5; policy drop;
  ip saddr 10.0.0.1 drop
 }
}
table inet i {
 chain c {
  type filter hook ingress device "lo" priority -7;
  counter
 }
}
table netdev n {
 chain in {
  type filter hook ingress device "lo" priority 5; policy drop;
  ip saddr 10.0.0.1 accept
 }
 chain out {
  type filter hook egress device "lo" priority 6;
 }
}
table arp a {
 chain c {
  type filter hook input priority 0;
  arp operation request arp saddr ip 10.0.0.1 drop
 }
}
table bridge b {
 chain c {
  type filter hook forward priority -200;
  ether type vlan vlan id 5 drop
  meta protocol arp accept
 }
}
table ip6 empty {
}
"""


def test_every_family_is_read_with_its_hooks(rule_tools: None) -> None:
    with Namespace() as space:
        complaint = space.refused("nft", "-f", "-", text=EVERY_FAMILY)
        if complaint:
            pytest.skip(complaint.splitlines()[0])
        ruleset = space.read()
    assert [(one.family, one.name) for one in ruleset.tables] == [
        ("ip", "off"),
        ("inet", "i"),
        ("netdev", "n"),
        ("arp", "a"),
        ("bridge", "b"),
        ("ip6", "empty"),
    ]
    assert ruleset.tables[0].flags in (("dormant",), ("?",))
    assert [one.flags for one in ruleset.tables[1:]] == [()] * 5
    assert "dormant" in ruleset.notes[0]
    found = {
        (one.family, one.name): (one.hook, one.priority, one.policy, one.dormant is not False, len(one.rules))
        for one in ruleset.chains
    }
    assert found == {
        ("ip", "c"): ("input", 5, "drop", True, 1),
        ("inet", "c"): ("ingress", -7, "accept", False, 1),
        ("netdev", "in"): ("ingress", 5, "drop", False, 1),
        ("netdev", "out"): ("egress", 6, "accept", False, 0),
        ("arp", "c"): ("input", 0, "accept", False, 1),
        ("bridge", "c"): ("forward", -200, "accept", False, 2),
    }
    assert {chain.device for chain in ruleset.chains} <= {None, "lo"}  # nft 1.0.6 does not say it as JSON
    assert [rule.not_understood for rule in ruleset.rules] == [()] * 6
