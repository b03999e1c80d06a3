"""One chain as nft shows it and as iptables-save shows it -> the meaning of its rules. iptables-save drops what it
cannot print and exits with 0, so its line counts only where it agrees with nft part by part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from netdash.core.model import Chain, Verb
from netdash.core.parse_iptables import SavedChain
from netdash.core.parse_nft import Skeleton
from netdash.core.rule_parts import Body

Counters = tuple[int | None, int | None]
"""(packets, bytes)"""
NONE: Counters = (None, None)
IPTABLES, LEGACY, NFT = "iptables-nft", "iptables-legacy", "nft"


@dataclass(frozen=True, slots=True)
class Shape:
    """A chain with the meaning of its rules, without the numbers of the moment."""

    frame: Chain  # its `rules` are empty
    bodies: tuple[Body, ...]
    backends: tuple[str, ...]
    occurrences: tuple[int, ...]
    counters: tuple[Counters | None, ...]  # from nft; None: look in the listing at `path`
    path: str  # the answer with the newer counters
    listed: tuple[str, str]  # (table, chain) in that listing


def shape_of_native(chain: Skeleton, path: str, saved: SavedChain | None, parse: Callable[[str], Body]) -> Shape:
    """`saved` is the chain in iptables-save's listing, with as many rules; None: nft alone shall say."""
    bodies: list[Body] = []
    backends: list[str] = []
    counters: list[Counters | None] = []
    uncounted = not any(rule.counted for rule in chain.rules)
    for at, rule in enumerate(chain.rules):
        line = parse(saved.texts[at]) if saved else None
        if line is not None and agree(rule.body, line):
            bodies.append(line)
            backends.append(IPTABLES)
            counters.append(None if rule.counted or uncounted else NONE)
        else:
            bodies.append(rule.written())
            backends.append(NFT)
            counters.append((rule.packets, rule.size))
    backend = IPTABLES if saved else NFT
    return Shape(
        Chain(
            chain.family,
            chain.table,
            chain.name,
            backend,
            (),
            chain.kind,
            chain.hook,
            chain.priority,
            chain.policy,
            chain.device,
        ),
        tuple(bodies),
        tuple(backends),
        occurrences(bodies),
        tuple(counters),
        path,
        (chain.table, chain.name),
    )


def shape_of_saved(frame: Chain, path: str, saved: SavedChain, parse: Callable[[str], Body]) -> Shape:
    """A chain that only a listing of iptables-save shows."""
    bodies = tuple(map(parse, saved.texts))
    count = len(bodies)
    return Shape(
        frame, bodies, (frame.backend,) * count, occurrences(bodies), (None,) * count, path, (frame.table, frame.name)
    )


def occurrences(bodies: list[Body] | tuple[Body, ...]) -> tuple[int, ...]:
    """For each rule, the how-manieth of its very text it is."""
    seen: dict[str, int] = {}
    found: list[int] = []
    for body in bodies:
        seen[body.text] = number = seen.get(body.text, 0) + 1
        found.append(number)
    return tuple(found)


# --- does the line say what nft says? ---------------------------------------------------------------------------------

_PLAIN_VERBS = frozenset((Verb.ACCEPT, Verb.DROP, Verb.RETURN, Verb.JUMP, Verb.GOTO, Verb.CONTINUE))
_SAME_MODULE = {"icmpv6": "icmp6", "state": "conntrack", "NOTRACK": "CT", "ttl": "hl"}


def agree(native: Body, line: Body) -> bool:
    """Whether the line can stand for the rule: nothing that nft shows is missing or different in it, and what it says
    beyond that is covered by an xt part, which nft only names."""
    return _same_target(native, line) and _same_conditions(native, line) and _same_modules(native, line)


def _same_target(native: Body, line: Body) -> bool:
    target = native.target
    if native.target_name:
        return native.target_name == line.target_name
    if target.verb is not line.target.verb or target.verb not in _PLAIN_VERBS:
        return False
    return target.chain == line.target.chain and not target.detail and not line.target.detail


def _same_conditions(native: Body, line: Body) -> bool:
    if len(native.not_understood) > len(native.modules) + bool(native.target_name):
        return False
    ours, theirs = native.matches, line.matches
    for match in ours:
        if not any(match is one or (match.key == one.key and match == one) for one in theirs):
            return False
    beyond = len(theirs) > len(ours) or bool(line.not_understood)
    return not beyond or bool(native.modules) or bool(native.target_name and len(theirs) == len(ours))


def _same_modules(native: Body, line: Body) -> bool:
    if not native.modules:
        return True
    named = {_SAME_MODULE.get(name, name) for name in line.modules}
    return all(_SAME_MODULE.get(name, name) in named for name in native.modules)
