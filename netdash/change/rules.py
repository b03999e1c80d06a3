"""Rules, policies and chains that are changed: a Ruleset as iptables(8) and nft(8) would leave it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable

from netdash.change.model import CannotModel, ChainChange, ChainEdit, ChainPlace, PolicyChange, RuleChange, RuleEdit
from netdash.model.host import Chain, Rule, Ruleset, Target, Verb
from netdash.model.records import replace
from netdash.rules.iptables_save import TABLES
from netdash.rules.merge import LEGACY, NFT
from netdash.rules.ruleset import builtin_chain


def changed_rules(ruleset: Ruleset, change: RuleChange | PolicyChange | ChainChange) -> Ruleset:
    """Raises CannotModel where the tool would refuse."""
    if isinstance(change, ChainChange):
        if change.edit is ChainEdit.NEW:
            return _new(ruleset, change.chain, change.base)
        return (_flushed if change.edit is ChainEdit.FLUSH else _removed)(ruleset, change.chain)
    chain = _found(ruleset, change.chain) or _builtin(change.chain)
    if isinstance(change, PolicyChange):
        if chain.hook is None:
            raise CannotModel(f"{_named(change.chain)} is no base chain: it has no policy")
        return _with(ruleset, replace(chain, policy=change.policy))
    return _with(ruleset, replace(chain, rules=numbered(_edited(ruleset, chain, change))))


# --- rules ------------------------------------------------------------------------------------------------------------


def _edited(ruleset: Ruleset, chain: Chain, change: RuleChange) -> Iterable[Rule]:
    rules = list(chain.rules)
    if change.edit is RuleEdit.DELETE:
        del rules[_aimed(chain, change)]
        return rules
    if change.rule is None:
        raise CannotModel(f"no rule is given for {_named(change.chain)}")
    _leads_somewhere(ruleset, change)
    made = _placed(change.rule, chain)
    if change.edit is RuleEdit.REPLACE:
        rules[_aimed(chain, replace(change, rule=None))] = made
    elif change.edit is RuleEdit.APPEND and change.position is None:
        rules.append(made)
    else:
        at = change.position or 1
        if not 1 <= at <= len(rules) + 1:
            raise CannotModel(f"{_named(change.chain)} has {len(rules)} rules: there is no place {at}")
        rules.insert(at - 1, made)
    return rules


def _leads_somewhere(ruleset: Ruleset, change: RuleChange) -> None:
    for name in leads_to(change.rule.target) if change.rule else ():
        if _found(ruleset, replace(change.chain, chain=name)) is None:
            raise CannotModel(f"there is no chain or target {name}")


def _aimed(chain: Chain, change: RuleChange) -> int:
    """Where the rule stands that is meant, from 0."""
    if change.position is not None:
        if not 1 <= change.position <= len(chain.rules):
            raise CannotModel(f"{_named(change.chain)} has no rule {change.position}")
        return change.position - 1
    if change.rule is not None:
        wanted = meaning(change.rule)
        for at, rule in enumerate(chain.rules):
            if meaning(rule) == wanted:
                return at
    unread = next((rule for rule in chain.rules if rule.not_understood), None)
    if unread is not None:
        raise CannotModel(f"{unread.place} is not understood: whether it is the one that is meant cannot be told")
    raise CannotModel(f"{_named(change.chain)} has no such rule")


def meaning(rule: Rule) -> Hashable:
    """What a rule says, whatever the order and the spelling of its conditions."""
    target = rule.target
    if target.verb is Verb.CONTINUE and target.effects:
        target = replace(target, detail="")
    matches = Counter((match.key, _merged(match.values), match.negated) for match in rule.matches)
    return frozenset(matches.items()), target, rule.comment, rule.not_understood


def _merged(values: tuple[object, ...]) -> Hashable:
    """Ranges of numbers as few as possible: the tools join those that touch each other."""
    spans = sorted(value for value in values if isinstance(value, tuple) and _is_span(value))
    if not spans or len(spans) < len(values):
        return frozenset(values)
    found = [spans[0]]
    for low, high in spans[1:]:
        if low > found[-1][1] + 1:
            found.append((low, high))
        else:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
    return tuple(found)


def _is_span(value: tuple[object, ...]) -> bool:
    return len(value) == 2 and all(isinstance(end, int) for end in value)


def _placed(rule: Rule, chain: Chain) -> Rule:
    return replace(
        rule,
        family=chain.family,
        table=chain.table,
        chain=chain.name,
        packets=0 if rule.packets is None and rule.backend != NFT else rule.packets,
        bytes=0 if rule.bytes is None and rule.backend != NFT else rule.bytes,
        rate=None,
    )


def numbered(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """With their places in the chain; a rule that stays where it was is the same object."""
    seen: Counter[str] = Counter()
    made = []
    for at, rule in enumerate(rules, 1):
        seen[rule.text] += 1
        same = (rule.position, rule.occurrence) == (at, seen[rule.text])
        made.append(rule if same else replace(rule, position=at, occurrence=seen[rule.text]))
    return tuple(made)


# --- chains -----------------------------------------------------------------------------------------------------------


def _new(ruleset: Ruleset, place: ChainPlace, base: Chain | None) -> Ruleset:
    if _found(ruleset, place) is not None:
        raise CannotModel(f"{_named(place)} is there already")
    return _with(ruleset, base or Chain(place.family, place.table, place.chain, place.backend, ()))


def _flushed(ruleset: Ruleset, place: ChainPlace) -> Ruleset:
    if place.chain and _found(ruleset, place) is None and place.backend == NFT:
        raise CannotModel(f"{_named(place)} does not exist")
    return _replaced(
        ruleset, (replace(chain, rules=()) if _within(chain, place) else chain for chain in ruleset.chains)
    )


def _removed(ruleset: Ruleset, place: ChainPlace) -> Ruleset:
    """A chain by itself must be named by no rule, and for iptables be empty; with its table all goes."""
    gone = [chain for chain in ruleset.chains if _within(chain, place)]
    if place.chain:
        _removable(ruleset, place, gone)
    elif place.table and not gone and all(not _of(place, table.family, table.name) for table in ruleset.tables):
        raise CannotModel(f"there is no table {place.family} {place.table}")
    left = _replaced(ruleset, (chain for chain in ruleset.chains if not _within(chain, place)))
    if place.chain or place.backend == LEGACY:
        return left
    return replace(
        left,
        sets=tuple(named_set for named_set in ruleset.sets if not _of(place, named_set.family, named_set.table)),
        objects=tuple(item for item in ruleset.objects if not _of(place, item.family, item.table)),
        tables=tuple(table for table in ruleset.tables if not _of(place, table.family, table.name)),
    )


def _removable(ruleset: Ruleset, place: ChainPlace, gone: list[Chain]) -> None:
    if not gone:
        raise CannotModel(f"{_named(place)} does not exist")
    if gone[0].rules and place.backend != NFT:
        raise CannotModel(f"{_named(place)} is not empty")
    table = replace(place, chain="")
    for chain in ruleset.chains:
        for rule in chain.rules if _within(chain, table) else ():
            if place.chain in leads_to(rule.target):
                raise CannotModel(f"{rule.place} leads to {_named(place)}")


def leads_to(target: Target) -> frozenset[str]:
    """The chains that a rule jumps or goes to."""
    verdicts = [text.removeprefix("goto ") for _, text in target.elements]
    named = {target.chain, *verdicts, *(case.chain for _, case in target.cases)}
    return frozenset(name for name in named if name)


# --- places -----------------------------------------------------------------------------------------------------------


def _found(ruleset: Ruleset, place: ChainPlace) -> Chain | None:
    return next((chain for chain in ruleset.chains if chain.name == place.chain and _within(chain, place)), None)


def _builtin(place: ChainPlace) -> Chain:
    """iptables makes its own chains when they are first used."""
    made = builtin_chain(place.family, place.table, place.chain, place.backend, "accept")
    if made.hook is None or place.backend == NFT or place.family not in ("ip", "ip6") or place.table not in TABLES:
        raise CannotModel(f"{_named(place)} does not exist")
    return made


def _within(chain: Chain, place: ChainPlace) -> bool:
    """Whether the change of `place` is one of this chain."""
    same_backend = (chain.backend == LEGACY) is (place.backend == LEGACY)
    return same_backend and _of(place, chain.family, chain.table) and place.chain in ("", chain.name)


def _of(place: ChainPlace, family: str, table: str) -> bool:
    return place.family in ("", family) and place.table in ("", table)


def _with(ruleset: Ruleset, chain: Chain) -> Ruleset:
    """With this chain in the place of the one that it is, or behind the others."""
    place = ChainPlace(chain.family, chain.table, chain.name, chain.backend)
    if _found(ruleset, place) is None:
        return _replaced(ruleset, (*ruleset.chains, chain))
    return _replaced(ruleset, (chain if _within(other, place) else other for other in ruleset.chains))


def _replaced(ruleset: Ruleset, chains: Iterable[Chain]) -> Ruleset:
    """Not the shape of the ruleset before: other rules are there."""
    return replace(ruleset, chains=tuple(chains), shape=None)


def _named(place: ChainPlace) -> str:
    prefix = "" if place.family in ("ip", "") else f"{place.family} "
    return f"chain {prefix}{place.table}/{place.chain}"
