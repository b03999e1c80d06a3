"""The live rules that an engine may have written, by meaning. Knows nothing of what should be there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from netdash.drift.expected.mode import LEGACY, Evidence, Layout, Mode, is_own
from netdash.drift.expected.rule import Expected, Meaning, Place, PlaceKey, in_order, jump, meaning
from netdash.model.host import IP, Chain, Match, Proxy, Rule, Ruleset, Target, Verb
from netdash.model.records import dataclass
from netdash.rules.parts import name_match, port_match

_SHARED = frozenset(
    (("filter", "FORWARD"), ("nat", "PREROUTING"), ("nat", "OUTPUT"), ("nat", "POSTROUTING"), ("raw", "PREROUTING"))
)
"""iptables' own chains, where Docker writes beside others."""
_WIDE = 4096  # ports of one rule that are told apart


@dataclass(frozen=True, slots=True)
class Entry:
    """One meaning of a live rule: a verdict map has one for each element, a range of ports one for each port."""

    rule: Rule
    place: Place
    matches: tuple[Match, ...]
    target: Target
    own: bool  # in a chain that only the engine writes to

    @property
    def readable(self) -> bool:
        return not self.rule.not_understood and self.target.verb is not Verb.OTHER


class LiveChain:
    """The rules in one place, in their order."""

    def __init__(self, rules: tuple[Rule, ...], own: bool, ranges: bool, before: LiveChain | None) -> None:
        self.rules = rules
        self.entries: list[Entry] = []
        self.opaque: list[Entry] = []  # not understood whole
        self.by_meaning: dict[Meaning, list[Entry]] = {}
        self.translating: dict[frozenset[Match], list[Entry]] = {}
        old: list[list[Entry]] = before.made if before else []
        self.made: list[list[Entry]] = [
            old[at] if at < len(old) and before and before.rules[at] is rule else list(_entries(rule, own, ranges))
            for at, rule in enumerate(rules)
        ]
        for entry in itertools.chain.from_iterable(self.made):
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        self.entries.append(entry)
        if not entry.readable:
            self.opaque.append(entry)
            return
        self.by_meaning.setdefault(meaning(entry.matches, entry.target), []).append(entry)
        if entry.target.verb is Verb.SNAT:
            self.translating.setdefault(frozenset(entry.matches), []).append(entry)


class Live:
    """The live rules that an engine may have written, by their places in the order of the chains."""

    def __init__(self, mode: Mode, ruleset: Ruleset, before: Live | None = None) -> None:
        """`before`: of the same mode and an older ruleset; chains with the same rules are taken from there."""
        here = [chain for chain in ruleset.chains if (chain.backend == LEGACY) is mode.legacy]
        places: dict[PlaceKey, tuple[bool, tuple[Rule, ...]]] = {}
        for chain in here:
            own = is_own(mode.layout, chain)
            if own or _shared(mode, chain):
                key = (chain.family, chain.table, chain.name)
                places[key] = (own, (*places.get(key, (own, ()))[1], *chain.rules))
        self.chains: dict[PlaceKey, LiveChain] = {}
        for key, (own, rules) in places.items():
            old = before.chains.get(key) if before else None
            kept = old is not None and _same_but_for_counters(old.rules, rules)
            self.chains[key] = old if old and kept else LiveChain(rules, own, mode.layout is Layout.NETAVARK, old)

    @property
    def entries(self) -> Iterator[Entry]:
        return itertools.chain.from_iterable(live.entries for live in self.chains.values())

    def of(self, expected: Expected, meanings: tuple[Meaning, ...]) -> list[Entry]:
        """The rules that are this one, the first of them the one that counts. `meanings`: those of `expected`."""
        here = self.chains.get(expected.place.key)
        if here is None:
            return []
        for each in meanings:
            found = here.by_meaning.get(each)
            if found:
                return found
        if expected.target.verb is Verb.MASQUERADE and expected.place.family == "ip6":
            return here.translating.get(frozenset(expected.matches), [])
        return []

    def may_be(self, expected: Expected) -> bool:
        """Whether a rule that is not understood whole may be this one."""
        here = self.chains.get(expected.place.key)
        return here is not None and any(
            entry.target.verb in (Verb.OTHER, expected.target.verb)
            and frozenset(expected.matches).issuperset(entry.matches)
            for entry in here.opaque
        )


def _same_but_for_counters(before: tuple[Rule, ...], now: tuple[Rule, ...]) -> bool:
    return len(before) == len(now) and all(
        old is new
        or (
            (old.matches is new.matches and old.target is new.target)
            and (old.text, old.position, old.backend) == (new.text, new.position, new.backend)
            and old.not_understood == new.not_understood
        )
        for old, new in zip(before, now, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Carried:
    """What userland proxies carry: what of them bears on the rules."""

    targets: frozenset[tuple[str, int, IP]]  # protocol, host port, container's address
    dockers: bool  # a docker-proxy is among them


def carried(proxies: tuple[Proxy, ...] | None) -> Carried | None:
    """None where they were not read."""
    if proxies is None:
        return None
    targets = frozenset((proxy.proto, proxy.host_port, proxy.container_ip) for proxy in proxies if proxy.holds_port)
    return Carried(targets, any(proxy.command == "docker-proxy" for proxy in proxies))


def evidence(layout: Layout, ruleset: Ruleset, proxies: Carried | None) -> Evidence:
    """Where rules and proxies send the host's ports. A proxy has the last word: a rule may be left over."""
    ruled: dict[tuple[str, int], set[IP]] = {}
    for chain in ruleset.chains:
        for rule in chain.rules if is_own(layout, chain) else ():
            if rule.target.verb is Verb.DNAT and rule.target.address is not None:
                for proto, port in _numbers(rule):
                    ruled.setdefault((proto, port), set()).add(rule.target.address)
    held: dict[tuple[str, int], set[IP]] = {}
    for proto, port, address in proxies.targets if proxies else ():
        held.setdefault((proto, port), set()).add(address)
    return {key: frozenset(_agreed(ruled.get(key, set()), held.get(key, set()))) for key in {*ruled, *held}}


def _agreed(ruled: set[IP], held: set[IP]) -> set[IP]:
    both = ruled & held
    versions = {ip.version for ip in both}
    return both | {ip for ip in (ruled or held) if ip.version not in versions}


def _numbers(rule: Rule) -> Iterator[tuple[str, int]]:
    plain = {match.key: match.values for match in rule.matches if not match.negated}
    for proto in plain.get("proto", ()):
        for pair in plain.get("dport", ()):
            if isinstance(pair, tuple) and pair[0] == pair[1]:
                yield str(proto), pair[0]


def _shared(mode: Mode, chain: Chain) -> bool:
    if mode.layout in (Layout.NATIVE, Layout.NETAVARK) or chain.family not in ("ip", "ip6"):
        return False
    return (chain.table, chain.name) in _SHARED


def _entries(rule: Rule, own: bool, ranges: bool) -> Iterator[Entry]:
    place = Place(rule.family, rule.table, rule.chain)
    matches = tuple(in_order(match) for match in rule.matches if not _follows(match, rule))
    target = rule.target
    if target.verb is Verb.VMAP and target.elements:
        for key, verdict in target.elements:
            yield Entry(rule, place, (*matches, name_match(target.detail, key)), jump(verdict), own)
        return
    wide = next((match for match in matches if match.key == "dport"), None) if ranges else None
    if wide is None or wide.negated:
        yield Entry(rule, place, matches, target, own)
        return
    rest = tuple(match for match in matches if match is not wide)
    for port in _ports(wide):
        single = port_match("dport", str(port))
        yield Entry(rule, place, (*rest, single) if single else matches, target, own)


def _follows(match: Match, rule: Rule) -> bool:
    """Whether a condition says no more than the address that the packet gets: IPv4 for an IPv4 address."""
    version = getattr(rule.target.address, "version", None)
    return match.key == "family" and match.values == (f"ipv{version}",) and not match.negated


def _ports(match: Match) -> list[int]:
    pairs = [pair for pair in match.values if isinstance(pair, tuple)]
    return [port for low, high in pairs for port in range(low, high + 1)][:_WIDE]
