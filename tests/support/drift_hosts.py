"""Recorded hosts for the tests of drift: what of them is compared, and the same with other rules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from netdash.drift.compare import Comparison, Known
from netdash.model.engine_state import DriftKind
from netdash.model.host import Chain, Rule
from netdash.rules.iptables_rule import parse_line
from tests.conftest import joined


def known(name: str) -> Known:
    given = joined(name)
    assert given.engine
    assert given.networks is not None
    assert given.containers is not None
    assert given.ruleset is not None
    devices = frozenset(link.name for link in given.links or ())
    return Known(
        *(given.engine, given.networks, given.containers, given.ruleset),
        *(given.proxies, given.ports or (), devices),
    )


def with_rules(old: Known, chain: Chain, rules: Iterable[Rule]) -> Known:
    numbered = tuple(replace(rule, position=at) for at, rule in enumerate(rules, 1))
    chains = tuple(replace(one, rules=numbered) if one is chain else one for one in old.ruleset.chains)
    return replace(old, ruleset=replace(old.ruleset, chains=chains), ports=())


def texts(found: Comparison, kind: DriftKind) -> list[str]:
    assert found.drift is not None
    return [one.text for one in found.drift if one.kind is kind]


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
