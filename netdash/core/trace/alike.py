"""Which senders and which targets the rules and routes of a host treat alike, apart from naming them: one trace then
answers for all of a kind. Two are alike when every rule that names one has a twin that names the other, at the same
place among the rules that name nobody."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from netdash.core.addresses import only, subnet
from netdash.core.model import IP, Host, Match, Net, Rule, Target
from netdash.core.trace.packets import EPHEMERAL

Span = tuple[int, int]
Twin = tuple[str, str, str, int, str]
"""family, table, chain, how many rules that name nobody stand before it, its text with the names masked"""


@dataclass(frozen=True, slots=True)
class _Naming:
    """A rule that names addresses or ports of these containers."""

    rule: Rule
    before: int
    ips: frozenset[IP]
    ports: frozenset[int]


class Alike:
    """Knows the rules that name these addresses and ports."""

    def __init__(self, host: Host, ips: Iterable[IP], ports: Iterable[int]) -> None:
        self._by_ip: dict[IP, list[_Naming]] = {ip: [] for ip in ips}
        self._by_port: dict[int, list[_Naming]] = {port: [] for port in ports}
        self._nets: set[Net] = {route.dst for route in host.routes or () if route.table != "local"}
        self._nets |= set(_of_policy(host))
        self._spans: set[Span] = set()
        for chain in host.ruleset.chains if host.ruleset else ():
            before = 0
            for rule in chain.rules:
                before += not self._note(rule, before)

    def _note(self, rule: Rule, before: int) -> bool:
        """Keep a rule with those that it names; False when it names nobody."""
        ips, ports = set(), set()
        for name in _names(rule):
            if isinstance(name, tuple):
                self._spans.add(name)
                ports |= {name[0]} & self._by_port.keys() if name[0] == name[1] else set()
            else:
                self._nets.add(name)
                ips |= {name.network_address} & self._by_ip.keys() if name.num_addresses == 1 else set()
        naming = _Naming(rule, before, frozenset(ips), frozenset(ports))
        for ip in ips:
            self._by_ip[ip].append(naming)
        for port in ports:
            self._by_port[port].append(naming)
        return bool(ips or ports)

    def sender(self, ips: tuple[IP, ...]) -> Hashable:
        """Equal for senders of these addresses that are treated alike, while they do not ask themselves."""
        found = [one for ip in ips for one in self._by_ip.get(ip, ()) if _concerns_sender(one.rule, ip)]
        masks = {str(ip): f"IP{at}" for at, ip in enumerate(ips)}
        return frozenset(Counter(_twin(one, masks) for one in found).items()), self._within(ips)

    def target(self, ips: tuple[IP, ...], ports: tuple[int, ...]) -> Mapping[Twin, Rule]:
        """The rules that speak of a target, by what its twins have in common."""
        found = [one for ip in ips for one in self._by_ip.get(ip, ()) if not _of_other_ports(one.rule, ports)]
        found += [one for port in ports for one in self._by_port.get(port, ()) if not _of_others(one.rule, ips)]
        masks = {str(ip): f"IP{at}" for at, ip in enumerate(ips)}
        masks |= {str(port): f"PORT{at}" for at, port in enumerate(ports)}
        return {_twin(one, masks): one.rule for one in found}

    def around(self, ips: tuple[IP, ...], ports: tuple[int, ...]) -> Hashable:
        """The nets and ranges that hold a target."""
        spans = frozenset((span, port) for span in self._spans for port in ports if span[0] != span[1] and
                          span[0] <= port <= span[1])  # fmt: skip
        return self._within(ips), frozenset(span for span, _ in spans)

    def _within(self, ips: tuple[IP, ...]) -> frozenset[tuple[int, Net]]:
        return frozenset(
            (at, net)
            for at, ip in enumerate(ips)
            for net in self._nets
            if net.version == ip.version and net.num_addresses > 1 and ip in net
        )


def _twin(one: _Naming, masks: Mapping[str, str]) -> Twin:
    rule = one.rule
    return rule.family, rule.table, rule.chain, one.before, _masked(rule.text, masks)


_NAME = re.compile(r"[0-9A-Fa-f.:]*[0-9A-Fa-f](?:/32|/128)?(?![0-9A-Za-z_-])")


def _masked(text: str, masks: Mapping[str, str]) -> str:
    """The text with every address and port of `masks` under another name."""

    def mask(found: re.Match[str]) -> str:
        word = found[0].removesuffix("/32").removesuffix("/128")
        ip, colon, port = word.rpartition(":")
        if colon and ip in masks:
            return f"{masks[ip]}:{masks.get(port, port)}"
        return masks.get(word, word)

    return _NAME.sub(mask, text)


def _concerns_sender(rule: Rule, ip: IP) -> bool:
    """Whether a rule that names a sender may meet its packets or the answers to them: not one that only translates to
    it, asks for what comes to a port of it, or for what it sends to itself."""
    keys = {match.key for match in rule.matches if any(_is(value, ip) for value in match.values)}
    if not keys:
        return bool(rule.target.cases) or any(match.key == "any_of" for match in rule.matches)
    if keys == {"src", "dst"}:
        return any(match.negated for match in rule.matches if match.key in keys)
    if keys == {"dst"}:
        return not any(match.key == "dport" and not match.negated and _below(match) for match in rule.matches)
    return True


def _below(match: Match) -> bool:
    """Whether no ephemeral port meets it."""
    spans = [value for value in match.values if isinstance(value, tuple)]
    return all(high < EPHEMERAL[0] or low > EPHEMERAL[1] for low, high in spans)


def _of_others(rule: Rule, ips: tuple[IP, ...]) -> bool:
    """Whether a rule is only for packets to somebody else's single address."""
    for match in rule.matches:
        if match.key == "dst" and not match.negated and len(match.values) == 1:
            net = match.values[0]
            return getattr(net, "num_addresses", 0) == 1 and not any(_is(net, ip) for ip in ips)
    return False


def _of_other_ports(rule: Rule, ports: tuple[int, ...]) -> bool:
    """Whether a rule is only for packets to ports that are neither these nor a client's."""
    for match in rule.matches:
        if match.key == "dport" and not match.negated and _below(match):
            spans = [value for value in match.values if isinstance(value, tuple)]
            if not any(low <= port <= high for low, high in spans for port in ports):
                return True
    return False


def _is(value: object, ip: IP) -> bool:
    return getattr(value, "network_address", None) == ip and getattr(value, "num_addresses", 0) == 1


def _names(rule: Rule) -> Iterator[Net | Span]:
    """Every address that a rule speaks of, and every port of its conditions."""
    yield from _of_matches(rule.matches)
    yield from _of_target(rule.target)


def _of_matches(matches: Iterable[Match]) -> Iterator[Net | Span]:
    for match in matches:
        for value in match.values:
            if match.key == "any_of" and isinstance(value, tuple):
                yield from _of_matches(value)
            elif isinstance(value, tuple) and match.key.endswith("port"):
                yield value[0], value[1]
            elif isinstance(value, IPv4Network | IPv6Network):
                yield value


def _of_target(target: Target) -> Iterator[Net | Span]:
    if target.address is not None:
        yield only(target.address)
    for conditions, case in target.cases:
        yield from _of_matches(conditions)
        yield from _of_target(case)


def _of_policy(host: Host) -> Iterator[Net]:
    for rule in host.policy or ():
        for key, value in rule.selectors:
            if key in ("src", "dst"):
                net = subnet(value)
                if net is not None:
                    yield net
