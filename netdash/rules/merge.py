"""One chain as nft shows it and as iptables-save shows it -> the meaning of its rules. iptables-save drops what it
cannot print and exits with 0, so its line counts only where it agrees with nft part by part."""

from __future__ import annotations

from collections.abc import Callable

from netdash.model.host import Chain, Effect, Match, Verb
from netdash.model.records import dataclass
from netdash.rules.iptables_save import SavedChain
from netdash.rules.nft_listing import Skeleton
from netdash.rules.nft_match import Draft
from netdash.rules.parts import Body

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


def shape_of_native(chain: Skeleton, path: str, saved: bool) -> Shape:
    """`saved`: the listing at `path` shows this chain with as many rules, so it has the newer counters."""
    uncounted = saved and not any(chain.counters)  # nft was asked without counters, not a chain without
    counters = tuple(
        (numbers or NONE) if native else None if uncounted or numbers else NONE
        for native, numbers in zip(chain.native, chain.counters, strict=True)
    )
    frame = Chain(
        chain.family,
        chain.table,
        chain.name,
        IPTABLES if saved else NFT,
        (),
        chain.kind,
        chain.hook,
        chain.priority,
        chain.policy,
        chain.device,
        chain.dormant,
    )
    backends = tuple(NFT if native else IPTABLES for native in chain.native)
    bodies = tuple(chain.bodies)
    return Shape(frame, bodies, backends, occurrences(bodies), counters, path, (chain.table, chain.name))


def shape_of_saved(frame: Chain, path: str, saved: SavedChain, parse: Callable[[list[str]], tuple[Body, ...]]) -> Shape:
    """A chain that only a listing of iptables-save shows."""
    bodies = parse(saved.texts)
    count = len(bodies)
    return Shape(
        frame, bodies, (frame.backend,) * count, occurrences(bodies), (None,) * count, path, (frame.table, frame.name)
    )


def occurrences(bodies: list[Body] | tuple[Body, ...]) -> tuple[int, ...]:
    """For each rule, the how-manieth of its very text it is."""
    if len({body.text for body in bodies}) == len(bodies):
        return (1,) * len(bodies)
    seen: dict[str, int] = {}
    found: list[int] = []
    for body in bodies:
        seen[body.text] = number = seen.get(body.text, 0) + 1
        found.append(number)
    return tuple(found)


# --- does the line say what nft says? ---------------------------------------------------------------------------------

_PLAIN_VERBS = frozenset((Verb.ACCEPT, Verb.DROP, Verb.RETURN, Verb.JUMP, Verb.GOTO, Verb.CONTINUE))
_SAME_MODULE = {"icmpv6": "icmp6", "state": "conntrack", "ttl": "hl"}
_SAME_TARGET = {"NOTRACK": "CT"}


def agree(native: Draft, line: Body) -> bool:
    """Whether the line can stand for the rule: nothing that nft shows is missing or different in it, what it says
    beyond that is covered by an xt part, which nft only names, and it counts what it matches."""
    if native.counter is not None and native.counted_behind < len(native.matches):
        return False
    return _same_target(native, line) and _same_conditions(native, line) and _same_modules(native, line)


def _same_target(native: Draft, line: Body) -> bool:
    if native.target_name:
        return native.target_name == _SAME_TARGET.get(line.target_name, line.target_name)
    target, theirs = native.target, line.target
    if target is None:
        if native.effects or native.mapped:
            return theirs.verb is Verb.CONTINUE and _same_effects(native.effects, theirs.effects)
        return theirs.verb is Verb.CONTINUE and not theirs.detail
    if target.verb is not theirs.verb or target.verb not in _PLAIN_VERBS:
        return False
    return target.chain == theirs.chain and not target.detail and not theirs.detail


def _same_effects(ours: list[Effect], theirs: tuple[Effect, ...]) -> bool:
    """Only of the kinds that iptables-nft writes as nft does."""
    return [_comparable(our) for our in ours] == [_comparable(their) for their in theirs] and all(
        our.kind in _TOLD for our in ours
    )


_TOLD = ("mark", "connmark", "notrack", "trace", "nflog")


def _comparable(effect: Effect) -> tuple[object, ...]:
    return effect.kind, effect.keep, effect.xor, effect.other_keep


def _same_conditions(native: Draft, line: Body) -> bool:
    if len(native.unread) > len(native.modules) + bool(native.target_name):
        return False
    ours, theirs = native.matches, line.matches
    for match in ours:
        if not _among(match, theirs):
            return False
    if native.modules:
        return True
    return len(theirs) == len(ours) and (not line.not_understood or bool(native.target_name))


def _among(match: Match, matches: tuple[Match, ...]) -> bool:
    for other in matches:  # equal conditions are nearly always the same object, and comparing all their fields costs
        if other is match:
            return True
    return match in matches


def _same_modules(native: Draft, line: Body) -> bool:
    if not native.modules:
        return True
    named = line.modules
    if all(name in named for name in native.modules):
        return True
    named = tuple(_SAME_MODULE.get(name, name) for name in named)
    return all(_SAME_MODULE.get(name, name) in named for name in native.modules)
