"""The engine's rules in a container's network namespace: port 53 of 127.0.0.11 leads to the ports of its resolver."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from netdash.change.model import ChainChange, ChainEdit, ChainPlace, RuleChange, RuleEdit
from netdash.change.rules import changed_rules
from netdash.model.host import Listener, Rule, Ruleset, Verb
from netdash.rules.iptables_rule import parse_line
from netdash.rules.merge import IPTABLES

RESOLVER = ip_address("127.0.0.11")
_OUTPUT, _POSTROUTING = "DOCKER_OUTPUT", "DOCKER_POSTROUTING"


def with_resolver_rules(ruleset: Ruleset, listeners: Iterable[Listener]) -> Ruleset:
    """As they are when the container has started; those that are there stay."""
    sockets = [one for one in listeners if one.ip == RESOLVER]
    if not sockets or any(_leads(rule) for rule in ruleset.rules):
        return ruleset
    backend = next((chain.backend for chain in ruleset.chains if chain.table == "nat"), IPTABLES)
    for name in (_OUTPUT, _POSTROUTING):
        edit = ChainEdit.FLUSH if _has(ruleset, name) else ChainEdit.NEW
        ruleset = changed_rules(ruleset, ChainChange(ChainPlace("ip", "nat", name, backend), edit))
    for chain, words in _lines(sockets):
        place = ChainPlace("ip", "nat", chain, backend)
        ruleset = changed_rules(ruleset, RuleChange(place, RuleEdit.APPEND, _rule(place, words)))
    return ruleset


def _leads(rule: Rule) -> bool:
    return rule.target.verb is Verb.DNAT and rule.target.address == RESOLVER


def _has(ruleset: Ruleset, name: str) -> bool:
    return any((chain.table, chain.name) == ("nat", name) for chain in ruleset.chains)


def _lines(sockets: list[Listener]) -> Iterator[tuple[str, str]]:
    yield "OUTPUT", f"-d {RESOLVER}/32 -j {_OUTPUT}"
    yield "POSTROUTING", f"-d {RESOLVER}/32 -j {_POSTROUTING}"
    for one in sockets:
        match = f"-p {one.proto} -m {one.proto}"
        yield _OUTPUT, f"-d {RESOLVER}/32 {match} --dport 53 -j DNAT --to-destination {RESOLVER}:{one.port}"
        yield _POSTROUTING, f"-s {RESOLVER}/32 {match} --sport {one.port} -j SNAT --to-source :53"


def _rule(place: ChainPlace, words: str) -> Rule:
    line = f"-A {place.chain} {words}"
    body = parse_line(line)
    where = (place.family, place.table, place.chain, 1)
    return Rule(*where, line, body.matches, body.target, 0, 0, place.backend, not_understood=body.not_understood)
