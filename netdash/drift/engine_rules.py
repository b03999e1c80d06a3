"""The live rules that an engine may have written, by meaning. Knows nothing of what should be there."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator

from netdash.drift.expected.mode import LEGACY, Evidence, Layout, Mode, is_own
from netdash.drift.expected.rule import Expected, Place, PlaceKey, in_order, jump, meaning
from netdash.model.host import IP, Chain, Match, Proxy, Rule, Ruleset, Target, Verb
from netdash.model.memory import differing, exchanged
from netdash.model.records import dataclass
from netdash.rules.parts import name_match, port_match

_SHARED = frozenset(
    (("filter", "FORWARD"), ("nat", "PREROUTING"), ("nat", "OUTPUT"), ("nat", "POSTROUTING"), ("raw", "PREROUTING"))
)
"""iptables' own chains, where Docker writes beside others."""
_WIDE = 4096  # ports of one rule that are told apart


@dataclass(eq=False, slots=True)
class Entry:
    """One meaning of a live rule: a verdict map has one for each element, a range of ports one for each port. `rule`
    and `asked` change while it stays in its chain."""

    rule: Rule
    place: Place
    matches: tuple[Match, ...]
    target: Target
    own: bool  # in a chain that only the engine writes to
    asked: int = 0  # how many rules that should be there it is

    @property
    def readable(self) -> bool:
        return not self.rule.not_understood and self.target.verb is not Verb.OTHER

    def lookups(self) -> tuple[Hashable, ...]:
        """What it is looked up by."""
        if not self.readable:
            return ()
        own = meaning(self.matches, self.target)
        return (own, own[0]) if self.target.verb is Verb.SNAT else (own,)


Asked = tuple[PlaceKey, Hashable]
"""What a rule is looked up by: its place, and its meaning, or of a SNAT its conditions."""


def asked_of(expected: Expected) -> tuple[Asked, ...]:
    """What finds the rules that are this one, the best first. Of IPv6 the engine may write SNAT for MASQUERADE."""
    place = expected.place
    found: list[Hashable] = [*expected.meanings()]
    if expected.target.verb is Verb.MASQUERADE and place.family == "ip6":
        found.append(frozenset(expected.matches))
    return tuple((place.key, value) for value in found)


class LiveChain:
    """The rules in one place, in their order."""

    def __init__(self, own: bool, ranges: bool) -> None:
        self.own = own
        self.opaque: list[Entry] = []  # not understood whole
        self.found: dict[Hashable, list[Entry]] = {}
        self._ranges = ranges
        self._rules: tuple[Rule, ...] = ()
        self._made: list[list[Entry]] = []  # by rule

    @property
    def entries(self) -> Iterator[Entry]:
        return itertools.chain.from_iterable(self._made)

    def follow(self, rules: tuple[Rule, ...]) -> set[Hashable]:
        """These are the rules now. Gives the keys by which other ones are found than before."""
        was, now = differing(self._rules, rules, Rule.same_meaning)
        gone = [*itertools.chain.from_iterable(self._made[was])]
        self._made[was] = [list(_entries(rule, self.own, self._ranges)) for rule in rules[now]]
        came = [*itertools.chain.from_iterable(self._made[now])]
        for entries, rule in zip(self._made, rules, strict=True):
            for entry in entries:
                entry.rule = rule
        self._rules = rules
        if not all(entry.readable for entry in (*gone, *came)):
            self.opaque = [entry for entry in self.entries if not entry.readable]
        return self._index(gone, came)

    def _index(self, gone: list[Entry], came: list[Entry]) -> set[Hashable]:
        """Lists that were given out stay as they are."""
        lost = {*map(id, gone)}
        touched = {key for entry in (*gone, *came) for key in entry.lookups()}
        for key in touched:
            self.found[key] = [entry for entry in self.found.get(key, ()) if id(entry) not in lost]
        for entry in came:
            for key in entry.lookups():
                self.found[key].append(entry)
        for key in touched:
            self.found[key].sort(key=lambda entry: entry.rule.position)
            if not self.found[key]:
                del self.found[key]
        return touched


class Live:
    """The live rules that an engine may have written, by their places in the order of the chains."""

    def __init__(self, mode: Mode, ruleset: Ruleset) -> None:
        self.mode = mode
        self.chains: dict[PlaceKey, LiveChain] = {}
        self.follow(ruleset)

    def follow(self, ruleset: Ruleset) -> set[Asked]:
        """These are the rules now. Gives by what other ones are found than before."""
        mode, before = self.mode, self.chains
        places: dict[PlaceKey, tuple[bool, tuple[Rule, ...]]] = {}
        for chain in ruleset.chains:
            own = is_own(mode.layout, chain)
            if (chain.backend == LEGACY) is mode.legacy and (own or _shared(mode, chain)):
                key = (chain.family, chain.table, chain.name)
                places[key] = (own, (*places.get(key, (own, ()))[1], *chain.rules))
        touched = {(key, value) for key, chain in before.items() if key not in places for value in chain.follow(())}
        self.chains = {}
        for key, (own, rules) in places.items():
            self.chains[key] = before.get(key) or LiveChain(own, mode.layout is Layout.NETAVARK)
            touched |= {(key, rule) for rule in self.chains[key].follow(rules)}
        return touched

    @property
    def entries(self) -> Iterator[Entry]:
        return itertools.chain.from_iterable(chain.entries for chain in self.chains.values())

    def of(self, asked: tuple[Asked, ...]) -> list[Entry]:
        """The rules that are one which should be there (`asked_of`), the first of them the one that counts."""
        for place, key in asked:
            here = self.chains.get(place)
            if here is not None and key in here.found:
                return here.found[key]
        return []

    def may_be(self, expected: Expected) -> bool:
        """Whether a rule that is not understood whole may be this one."""
        here = self.chains.get(expected.place.key)
        return here is not None and any(
            entry.target.verb in (Verb.OTHER, expected.target.verb)
            and frozenset(expected.matches).issuperset(entry.matches)
            for entry in here.opaque
        )


def has_docker_proxy(proxies: tuple[Proxy, ...] | None) -> bool:
    return any(proxy.command == "docker-proxy" for proxy in proxies or ())


def evidence(layout: Layout, ruleset: Ruleset, proxies: tuple[Proxy, ...] | None) -> Evidence:
    """Where rules and proxies send the host's ports."""
    targets = Targets(layout)
    targets.follow(ruleset, proxies)
    return targets.agreed


_HostPort = tuple[str, int]


class Targets:
    """Where rules and proxies send the host's ports. A proxy has the last word: a rule may be left over."""

    def __init__(self, layout: Layout) -> None:
        self.agreed: dict[_HostPort, frozenset[IP]] = {}
        self._layout = layout
        self._chains: dict[tuple[str, ...], tuple[Rule, ...]] = {}
        self._proxies: list[Proxy] = []
        self._ruled: dict[_HostPort, Counter[IP]] = {}
        self._held: dict[_HostPort, Counter[IP]] = {}

    def follow(self, ruleset: Ruleset, proxies: tuple[Proxy, ...] | None) -> set[_HostPort]:
        """These are the rules and proxies now. Gives the ports that are sent elsewhere than before."""
        touched: set[_HostPort] = set()
        before, self._chains = self._chains, {}
        for chain in ruleset.chains:
            if is_own(self._layout, chain):
                self._chains[chain.backend, chain.family, chain.table, chain.name] = chain.rules
        for key in {**before, **self._chains}:
            old, new = before.get(key, ()), self._chains.get(key, ())
            was, now = differing(old, new, Rule.same_meaning)
            for count, rules in ((-1, old[was]), (1, new[now])):
                touched |= _counted(self._ruled, (sent for rule in rules for sent in _sent(rule)), count)
        old_proxies, self._proxies = self._proxies, [proxy for proxy in proxies or () if proxy.holds_port]
        gone, came = exchanged(old_proxies, self._proxies)
        for count, held in ((-1, gone), (1, came)):
            sent = (((proxy.proto, proxy.host_port), proxy.container_ip) for proxy in held)
            touched |= _counted(self._held, sent, count)
        return {port for port in touched if self._agree(port)}

    def _agree(self, port: _HostPort) -> bool:
        """Whether it is sent elsewhere than before."""
        found = frozenset(_agreed({*self._ruled.get(port, ())}, {*self._held.get(port, ())}))
        if found == self.agreed.get(port, frozenset()):
            return False
        self.agreed[port] = found
        if not found:
            del self.agreed[port]
        return True


def _counted(counts: dict[_HostPort, Counter[IP]], sent: Iterable[tuple[_HostPort, IP]], count: int) -> set[_HostPort]:
    touched = set()
    for port, address in sent:
        touched.add(port)
        here = counts.setdefault(port, Counter())
        here[address] += count
        if not here[address]:
            del here[address]
        if not here:
            del counts[port]
    return touched


def _sent(rule: Rule) -> Iterator[tuple[_HostPort, IP]]:
    if rule.target.verb is Verb.DNAT and rule.target.address is not None:
        yield from ((port, rule.target.address) for port in _numbers(rule))


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
