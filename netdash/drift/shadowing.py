"""Which rules never see a packet, because a rule that is not the engine's decides before them. Looks at one chain at a
time: of what other tables do, a trace tells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network
from itertools import chain, combinations

from netdash.drift.engine_rules import Entry, Live
from netdash.drift.expected.mode import NATIVE_TABLE
from netdash.drift.expected.rule import TO_LOCAL, Expected, PlaceKey
from netdash.model.host import Match, Net, Port, Rule, Verb

_DENIES = frozenset((Verb.DROP, Verb.REJECT))
_SOURCE = frozenset((Verb.SNAT, Verb.MASQUERADE))
_FINAL = _DENIES | _SOURCE | {Verb.ACCEPT, Verb.RETURN, Verb.DNAT, Verb.REDIRECT}
_MOST = 8  # conditions of an engine's rule; more are not taken apart


_ENTRANCES = {
    ("nat", "DOCKER"): ("nat", "PREROUTING"),
    ("filter", "DOCKER"): ("filter", "FORWARD"),
    (NATIVE_TABLE, "nat-prerouting-and-output"): (NATIVE_TABLE, "nat-PREROUTING"),
}
"""Where packets for published ports come from, by table and chain. What stands in DOCKER-USER is the user's will."""
_LEADS = frozenset(("DOCKER", "DOCKER-FORWARD", "nat-prerouting-and-output"))


class Shadows:
    """Which rules of others decide before the engine's; kept from one comparison to the next."""

    def __init__(self) -> None:
        self._before: dict[PlaceKey, Before] = {}
        self._jumps: dict[tuple[str, str, str], list[Entry]] = {}
        self.version = 0  # another number where another rule may decide

    def update(self, live: Live, foreign: Iterable[Entry]) -> None:
        """`foreign`: the live rules that are none of the engine's."""
        by_place: dict[PlaceKey, list[Entry]] = {}
        for entry in foreign:
            by_place.setdefault(entry.place.key, []).append(entry)
        leading = {
            (family, *outer): [
                entry
                for entry in (live.chains[family, *outer].entries if (family, *outer) in live.chains else ())
                if entry.target.chain in _LEADS
            ]
            for family in ("ip", "ip6")
            for outer in _ENTRANCES.values()
        }
        old = {place: before.foreign for place, before in self._before.items()}
        if by_place != old or leading != self._jumps:
            self.version += 1
            self._before = {
                place: self._before[place] if old.get(place) == entries else Before(entries)
                for place, entries in by_place.items()
            }
            self._jumps = leading

    def ahead(self, expected: Expected, entry: Entry) -> Entry | None:
        """Another's rule that takes all packets before this one: in its own chain, or in the one that leads there."""
        place, verb = entry.place.key, entry.target.verb
        before = self._before.get(place)
        found = before.covering(entry.matches, verb, entry.rule.position) if before else None
        outer = _ENTRANCES.get(place[1:])
        if found or outer is None or expected.owner.binding is None:
            return found
        at_outer = self._before.get((place[0], *outer))
        if at_outer is None:
            return None
        asked = (*entry.matches, *((TO_LOCAL,) if outer[1] != "FORWARD" else ()))
        jumps = [jump for jump in self._jumps[place[0], *outer] if set(jump.matches) <= set(asked)]
        if not jumps:
            return None  # no packet comes here: the jump is missing
        return at_outer.covering(asked, verb, min(jump.rule.position for jump in jumps))


def taker(expected: Expected, entries: list[Entry], ports: Iterable[Port]) -> Rule | None:
    """The rule that translates a published port in place of the engine's. `ports`: of the container."""
    binding, address = expected.owner.binding, expected.target.address
    if expected.target.verb is not Verb.DNAT or binding is None or address is None:
        return None
    if address.version != (binding.host_ip.version if binding.host_ip else 4):
        return None
    number, proto, host_ip = binding.host_port, binding.proto, binding.host_ip
    found = [
        port
        for port in ports
        if port.host_port == number
        and (port.live and port.proto == proto)
        and (port.host_ip is host_ip or port.host_ip == host_ip)
    ]
    if not found or found[-1].dnat is None or found[-1].unsure:
        return None
    dnat = found[-1].dnat
    return None if any(dnat is entry.rule or _place_of(dnat) == _place_of(entry.rule) for entry in entries) else dnat


def _place_of(rule: Rule) -> tuple[object, ...]:
    return rule.backend, rule.family, rule.table, rule.chain, rule.position


class Before:
    """Rules of others in one chain that end it for the packets they match; asked for one that comes after them."""

    def __init__(self, foreign: list[Entry]) -> None:
        self.foreign = foreign
        self._by_asked: dict[frozenset[Match], list[tuple[dict[str, Net], Entry]]] = {}
        for entry in foreign:
            if entry.readable and entry.target.verb in _FINAL:
                asked, nets = _split(entry.matches)
                self._by_asked.setdefault(asked, []).append((nets, entry))

    def covering(self, matches: tuple[Match, ...], verb: Verb, position: int) -> Entry | None:
        """The first before `position` that takes every packet which a rule of these conditions would match, and does
        something else with it than `verb`."""
        if not self._by_asked or len(matches) > _MOST:
            return None
        held = {match.key: match for match in matches if not match.negated}
        found = [
            other
            for asked in _subsets(matches)
            for nets, other in self._by_asked.get(asked, ())
            if other.rule.position < position
            and _differs(verb, other.target.verb)
            and all(_within(held.get(key), net) for key, net in nets.items())
        ]
        return min(found, key=lambda entry: entry.rule.position, default=None)


def _split(matches: Iterable[Match]) -> tuple[frozenset[Match], dict[str, Net]]:
    """The conditions to be met word for word, and the subnets that hold others."""
    exact, nets = [], {}
    for match in matches:
        one = match.values[0] if len(match.values) == 1 and not match.negated else None
        if match.key in ("src", "dst") and isinstance(one, (IPv4Network, IPv6Network)) and one.num_addresses > 1:
            nets[match.key] = one
        else:
            exact.append(match)
    return frozenset(exact), nets


def _subsets(matches: tuple[Match, ...]) -> Iterator[frozenset[Match]]:
    picked = chain.from_iterable(combinations(matches, count) for count in range(len(matches) + 1))
    return map(frozenset, picked)


def _within(match: Match | None, net: Net) -> bool:
    if match is None:
        return False
    return all(
        isinstance(value, (IPv4Network, IPv6Network)) and value.version == net.version and value.subnet_of(net)  # type: ignore[arg-type]
        for value in match.values
    )


def _differs(wanted: Verb, done: Verb) -> bool:
    """Whether it makes a difference that another rule decides: what both let through, or both keep out, is the same."""
    if wanted in _DENIES:
        return done not in _DENIES
    if wanted in _SOURCE:
        return done not in _SOURCE
    return wanted is not done
