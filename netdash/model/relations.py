"""What belongs to what: from any thing on the screen to its containers, and from containers to everything of theirs;
and what a rule names, by which it belongs to somebody.

A rule that names nothing itself has what leads to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from netdash.model.engine_state import Drift
from netdash.model.finding import Finding
from netdash.model.host import (
    IP,
    Chain,
    Container,
    Link,
    Neighbour,
    Net,
    Network,
    PolicyRule,
    Port,
    Proxy,
    Ref,
    Route,
    Rule,
    Ruleset,
    RulesNote,
    Verb,
)
from netdash.model.kernel_state import Drop, DropKind
from netdash.model.memory import differing
from netdash.model.packet import Flow

RuleKey = IP | Net | str
_Name = tuple[bool, str, str, str]
_WIDE = 256  # ports of one rule that are named one by one


def host_port(proto: str, number: int) -> str:
    """The key of a port of this host."""
    return f"{proto}/{number}"


Named = tuple[Rule, set[RuleKey]]
"""A rule and what it names."""


class NamedRules:
    """The rules of a host with what they name, and those that went and came since an older one."""

    def __init__(self, ruleset: Ruleset | None, before: NamedRules | None) -> None:
        self.gone: list[Named] = []
        self.came: list[Named] = []
        self._known: dict[tuple[str, ...], tuple[tuple[Rule, ...], list[set[RuleKey]]]] = {}
        older = dict(before._known) if before else {}
        nameless: list[tuple[Chain, Rule]] = []
        for chain in ruleset.chains if ruleset else ():
            key = (chain.backend, chain.family, chain.table, chain.name)
            names = self._follow(chain.rules, *older.pop(key, ((), [])))
            self._known[key] = chain.rules, names
            nameless += ((chain, rule) for rule, named in zip(chain.rules, names, strict=True) if not named)
        for rules, names in older.values():
            self.gone += zip(rules, names, strict=True)
        chains = _Chains(ruleset) if ruleset and nameless else None
        self._led = [(rule, chains.named_by(chain, rule)) for chain, rule in nameless] if chains else []
        self.gone += before._led if before else ()
        self.came += self._led

    def _follow(
        self, rules: tuple[Rule, ...], older: tuple[Rule, ...], names: list[set[RuleKey]]
    ) -> list[set[RuleKey]]:
        was, now = differing(older, rules, Rule.same_meaning)
        own = [_of_rule(rule) for rule in rules[now]]
        self.gone += zip(older[was], names[was], strict=True)
        self.came += zip(rules[now], own, strict=True)
        return [*names[: was.start], *own, *names[was.stop :]]


class _Chains:
    """The chains of a ruleset, and who leads to them."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._callers: dict[_Name, list[tuple[Chain, Rule, set[RuleKey]]]] = {}
        self._inherited: dict[_Name, set[RuleKey]] = {}
        self._translating = {
            _name(chain, chain.name)
            for chain in ruleset.chains
            if any(rule.target.verb in (Verb.DNAT, Verb.REDIRECT) for rule in chain.rules)
        }
        for chain in ruleset.chains:
            for rule in chain.rules:
                if rule.target.chain or rule.target.elements:
                    for name, keys in _leads(rule):
                        self._callers.setdefault(_name(chain, name), []).append((chain, rule, keys))

    def named_by(self, chain: Chain, rule: Rule) -> set[RuleKey]:
        """Of a rule that names nothing itself."""
        return self._ports(chain, rule) or self._inherits(chain, ()) or _of_rule(rule, but=True)

    def _ports(self, chain: Chain, rule: Rule) -> set[RuleKey]:
        """The host's ports, of a rule on the way to a translation; elsewhere a port is a container's."""
        near = {_name(chain, chain.name), _name(chain, rule.target.chain or "")}
        translates = rule.target.verb in (Verb.DNAT, Verb.REDIRECT)
        return _numbers(rule) if translates or not near.isdisjoint(self._translating) else set()

    def _inherits(self, chain: Chain, way: Sequence[_Name]) -> set[RuleKey]:
        """What the one rule that leads to a chain names; a chain that several lead to is nobody's own."""
        name = _name(chain, chain.name)
        if chain.hook or name in way:
            return set()
        known = self._inherited.get(name)
        if known is None:
            known = self._inherited[name] = self._gathered(name, way)
        return known

    def _gathered(self, name: _Name, way: Sequence[_Name]) -> set[RuleKey]:
        callers = self._callers.get(name, ())
        if len(callers) != 1:
            return set()
        chain, rule, keys = callers[0]
        return keys or _of_rule(rule) or self._inherits(chain, (*way, name))


def _name(beside: Chain, name: str) -> _Name:
    return beside.backend == "iptables-legacy", beside.family, beside.table, name


def _leads(rule: Rule) -> Iterator[tuple[str, set[RuleKey]]]:
    """The chains that it leads to; of a verdict map with the device of each element."""
    if rule.target.chain:
        yield rule.target.chain, set()
    for key, verdict in rule.target.elements:
        yield verdict.removeprefix("goto "), {key} if rule.target.detail in ("iif", "oif") else set()


def _of_rule(rule: Rule, but: bool = False) -> set[RuleKey]:
    """The containers' addresses that it names; of a rule that names none, its subnets and devices. With `but` also the
    addresses that it leaves out."""
    target = rule.target
    ends = (target.address, target.address_to) if target.verb is Verb.DNAT else ()
    addresses: set[RuleKey] = {end for end in ends if end is not None}
    others: set[RuleKey] = set()
    for match in rule.matches:
        if match.key in ("src", "dst") and (but or not match.negated):
            for value in match.values:
                if isinstance(value, (IPv4Network, IPv6Network)) and not value.is_loopback:
                    (addresses if value.num_addresses == 1 else others).add(_single(value))
        elif match.key in ("iif", "oif"):
            others.update(value for value in match.values if isinstance(value, str))
    return addresses or others


def _numbers(rule: Rule) -> set[RuleKey]:
    plain: Mapping[str, tuple[object, ...]] = {match.key: match.values for match in rule.matches if not match.negated}
    pairs = [pair for pair in plain.get("dport", ()) if isinstance(pair, tuple)]
    if rule.target.verb is Verb.REDIRECT and rule.target.ports:
        pairs = [rule.target.ports]
    return {
        host_port(str(proto), number)
        for proto in plain.get("proto", ())
        for low, high in pairs
        if high - low < _WIDE
        for number in range(low, high + 1)
    }


def _single(net: Net) -> RuleKey:
    return net.network_address if net.num_addresses == 1 else net


# --- names of things, the same in every refresh -----------------------------------------------------------------------


def ref_of(thing: object) -> Ref:
    """The reference of a record. Raises KeyError for a type that no view lists."""
    return Ref(*_KEYS[type(thing)](thing))


@lru_cache(maxsize=16384)
def _text(ip: IP | Net | None) -> str:
    """Writing an address takes ten times as long as looking it up, and every refresh names all."""
    return str(ip)


def address_ref(ip: IP) -> Ref:
    return Ref("address", _text(ip))


def chain_ref(rule: Rule) -> Ref:
    return Ref("chain", f"{rule.backend} {rule.family} {rule.table} {rule.chain}")


def _port_key(port: Port) -> str:
    down = "" if port.live else f"/{port.container_id}"
    device = f"%{port.device}" if port.device else ""
    return f"{port.proto}/{_text(port.host_ip)}{device}/{port.host_port}{down}"


def _rule_key(rule: Rule) -> str:
    nth = f" #{rule.occurrence}" if rule.occurrence > 1 else ""
    return f"{rule.backend} {rule.family} {rule.table} {rule.chain} {rule.text}{nth}"


def _route_key(route: Route) -> str:
    return f"{route.table} {route.kind} {_text(route.dst)} {_text(route.gateway)} {route.dev} {route.metric}"


def _drift_key(drift: Drift) -> str:
    """Of a live rule by the rule; of a missing one by what it would say."""
    binding = drift.binding
    port = f" {binding.proto}/{_text(binding.host_ip)}/{binding.host_port}" if binding else ""
    what = (
        _rule_key(drift.rule)
        if drift.rule
        else f"{drift.backend} {drift.family} {drift.table} {drift.chain} {drift.text}"
    )
    return f"{drift.kind.value} {what}{port} {drift.container_id}"


def _drop_key(drop: Drop) -> str:
    place = ref_of(drop.place) if drop.place is not None else None
    return f"{place.kind} {place.key}" if place is not None else f"{drop.kind} {drop.device} {drop.name}"


def is_unread(ref: Ref) -> bool:
    """Whether it stands for counters of lost packets that were not read."""
    return ref.kind == "drop" and ref.key.startswith(f"{DropKind.UNREAD} ")


_KEYS: dict[type, Callable[[Any], tuple[str, str]]] = {
    Container: lambda container: ("container", container.id),
    Network: lambda network: ("network", network.id),
    Port: lambda port: ("port", _port_key(port)),
    Rule: lambda rule: ("rule", _rule_key(rule)),
    RulesNote: lambda note: ("note", note.text),
    Chain: lambda chain: ("chain", f"{chain.backend} {chain.family} {chain.table} {chain.name}"),
    Route: lambda route: ("route", _route_key(route)),
    PolicyRule: lambda policy_rule: ("policy", f"{policy_rule.family} {policy_rule.priority} {policy_rule.text}"),
    Proxy: lambda proxy: ("proxy", str(proxy.pid)),
    Link: lambda link: ("link", link.name),
    Drift: lambda drift: ("drift", _drift_key(drift)),
    Finding: lambda finding: ("finding", f"{finding.code} {finding.sentence}"),
    Neighbour: lambda neighbour: ("neighbour", f"{neighbour.dev} {_text(neighbour.ip)}"),
    Flow: lambda flow: ("flow", flow.key),
    Drop: lambda drop: ("drop", _drop_key(drop)),
}
