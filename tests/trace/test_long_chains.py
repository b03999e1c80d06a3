"""Chains of many rules: what is found by an index is what the kernel would find rule by rule."""

from __future__ import annotations

from netdash.trace.model import Verdict
from tests.support.trace_hosts import from_outside, host, table

DNAT = table("nat", "-A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80")
MANY = range(100)


def test_a_mark_that_a_rule_of_the_chain_sets_is_met_by_the_rules_after_it() -> None:
    marks = [f"-A FORWARD -m mark --mark {number + 100} -j ACCEPT" for number in MANY]
    rules = [*marks, "-A FORWARD -j MARK --set-xmark 0x7/0xffffffff", "-A FORWARD -m mark --mark 0x7 -j DROP"]
    found = from_outside(host(table("filter", *rules) + DNAT))
    assert found.verdict is Verdict.DROPPED
    assert found.decided_by is not None
    assert found.decided_by.place == f"filter/FORWARD #{len(rules)}"


def test_a_mark_that_a_chain_of_its_own_sets_counts_after_it() -> None:
    marks = [f"-A FORWARD -m mark --mark {number + 100} -j ACCEPT" for number in MANY]
    rules = [
        "-A OURS -j MARK --set-xmark 0x7/0xffffffff",
        *marks,
        "-A FORWARD -j OURS",
        "-A FORWARD -m mark --mark 0x7/0xf -j DROP",
    ]
    found = from_outside(host(table("filter", *rules) + DNAT))
    assert found.verdict is Verdict.DROPPED


def test_more_rules_that_cannot_be_told_than_walks_end_in_unknown() -> None:
    rules = [f"-A FORWARD -m set --match-set bad{number} src -j DROP" for number in range(1000)]
    found = from_outside(host(table("filter", *rules) + DNAT))
    assert found.verdict is Verdict.UNKNOWN
    assert found.answered is None
    assert found.decided_by is not None
    assert found.decided_by.text.startswith("cannot tell whether filter/FORWARD #1 matches")
    assert len(found.steps) < len(rules)
