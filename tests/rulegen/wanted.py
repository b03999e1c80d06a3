"""What a generated rule means, in the words of the model, and how that is compared with what was read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Any

from netdash.model.host import Effect, Match, Rule, Target, Verb


@dataclass(frozen=True, slots=True)
class Part:
    """One condition or target: the tool's words, and what they mean. `unread`: words that netdash must leave open."""

    words: str
    matches: tuple[Match, ...] = ()
    target: Target | None = None
    effects: tuple[Effect, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(slots=True)
class Wanted:
    """One rule. `words` is what stands after the chain's name."""

    words: str
    matches: tuple[Match, ...]
    target: Target
    comment: str | None = None
    unread: tuple[str, ...] = ()


@dataclass(slots=True)
class WantedChain:
    family: str
    table: str
    name: str
    rules: list[Wanted] = field(default_factory=list)
    kind: str | None = None
    hook: str | None = None
    priority: int | None = None
    policy: str | None = None


def differences(want: Wanted, rule: Rule) -> list[str]:
    """Sentences: in which field the rule that was read is not the one that was written."""
    pairs: dict[str, tuple[object, object]] = {
        "conditions": (_conditions(want.matches), _conditions(rule.matches)),
        "comment": (want.comment, rule.comment),
        "not understood": (sorted(want.unread), sorted(rule.not_understood)),
        **_targets("", want.target, rule.target),
    }
    return [f"{name}: wrote {one}, read {two}" for name, (one, two) in pairs.items() if one != two]


def lies(want: Wanted, rule: Rule) -> list[str]:
    """Sentences: what was read is more or other than what was written, or less without saying so."""
    found = differences(want, rule)
    if not found or not rule.not_understood:
        return found
    invented = set(_conditions(rule.matches)) - set(_conditions(want.matches))
    told = rule.target.verb in (want.target.verb, Verb.OTHER)
    return [] if not invented and told else [f"{said} (and more than was written)" for said in found]


def _targets(where: str, want: Target, read: Target) -> dict[str, tuple[object, object]]:
    names = ("verb", "chain", "address", "address_to", "ports", "base_port", "net")
    pairs = {where + name: (getattr(want, name), getattr(read, name)) for name in names}
    if want.verb not in (Verb.CONTINUE, Verb.VMAP):
        pairs[where + "detail"] = (want.detail, read.detail)
    pairs[where + "effects"] = ([_effect(one) for one in want.effects], [_effect(one) for one in read.effects])
    pairs[where + "cases"] = (len(want.cases), len(read.cases))
    mine, theirs = (sorted(one.cases, key=lambda case: str(_conditions(case[0]))) for one in (want, read))
    for number, (one, two) in enumerate(zip(mine, theirs, strict=False), 1):
        pairs[f"case {number}"] = (_conditions(one[0]), _conditions(two[0]))
        pairs |= _targets(f"case {number} ", one[1], two[1])
    return pairs


def _effect(effect: Effect) -> tuple[object, ...]:
    shown = effect.detail if effect.kind in ("log", "nflog") else ""
    return effect.kind, effect.keep, effect.xor, effect.other_keep, effect.after is None, shown


def _conditions(matches: Iterable[Match]) -> list[str]:
    """The conditions without the order of values that mean the same in any."""
    return sorted({str(_plain(match)) for match in matches})


def _plain(match: Match) -> Match:
    values: tuple[Any, ...] = match.values
    if not values:
        return match
    if match.key == "any_of":
        parts = [tuple(str(_plain(one)) for one in value) for value in values]
        return replace(match, values=tuple(sorted(parts)))
    if isinstance(values[0], IPv4Network | IPv6Network):
        nets: Any = [list(collapse_addresses([net for net in values if net.version == version])) for version in (4, 6)]
        return replace(match, values=(*nets[0], *nets[1]))
    if isinstance(values[0], tuple) and match.key != "icmp_type":
        return replace(match, values=tuple(_merged(values)))
    return replace(match, values=tuple(sorted(set(values), key=str)))


def _merged(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for low, high in sorted(pairs):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return found
