"""Which rules never see a packet, because a rule that is not the engine's decides before them. Looks at one chain at a
time: of what other tables do, a trace tells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network
from itertools import chain, combinations

from netdash.drift.engine_rules import Entry
from netdash.model.host import Match, Net, Verb

_DENIES = frozenset((Verb.DROP, Verb.REJECT))
_SOURCE = frozenset((Verb.SNAT, Verb.MASQUERADE))
_FINAL = _DENIES | _SOURCE | {Verb.ACCEPT, Verb.RETURN, Verb.DNAT, Verb.REDIRECT}
_MOST = 8  # conditions of an engine's rule; more are not taken apart


class Before:
    """Rules of others in one chain that end it for the packets they match; asked for one that comes after them."""

    def __init__(self, foreign: Iterable[Entry]) -> None:
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
        return min(found, key=lambda one: one.rule.position, default=None)


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
