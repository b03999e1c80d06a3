"""What a change of the rules means for `DestinationNat`: for which ports it may find another rule, and which rules are
the same ones at another place. Most changes are the rules of one container."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netdash.model.host import Chain, Port, Rule, Ruleset
from netdash.model.memory import differing
from netdash.model.records import dataclass, replace
from netdash.trace.hooks import Hooks, hooks_of
from netdash.trace.nat_rules import Asked

_HOOKS = ("prerouting", "output")
_MOST_PORTS = 32  # ports of one condition


@dataclass(frozen=True, slots=True)
class Changes:
    """`ports`: those that a rule asks for which came, went or changed. `now`: by the id of a rule of before the same
    rule as it is now, where it is another object."""

    ports: frozenset[Asked]
    now: Mapping[int, Rule]

    def renewed(self, ports: tuple[Port, ...]) -> tuple[Port, ...]:
        """With the rules as they are now."""
        rules = [self.now.get(id(port.dnat)) for port in ports]
        if not any(rules):
            return ports
        return tuple(
            replace(port, dnat=rule) if rule is not None else port for port, rule in zip(ports, rules, strict=True)
        )


def changes(before: Ruleset, after: Ruleset) -> Changes | None:
    """None: any port may be led elsewhere."""
    hooks = (hooks_of(before), hooks_of(after))
    if len(before.chains) != len(after.chains) or before.sets != after.sets or _stages(hooks[0]) != _stages(hooks[1]):
        return None
    if any(one.changing for one in hooks):
        return None  # rules outside of nat decide too
    bases = {_table(chain) for one in hooks for hook in _HOOKS for chain in _nat_chains(one, hook)}
    ports: set[Asked] = set()
    now: dict[int, Rule] = {}
    for old, new in zip(before.chains, after.chains, strict=True):
        if old is new:
            continue
        if replace(old, rules=()) != replace(new, rules=()):
            return None
        if _table(old) in bases and old.hook in (None, *_HOOKS):
            asked = _compared(old.rules, new.rules, now)
            if asked is None:
                return None
            ports |= asked
    return Changes(frozenset(ports), now)


def _stages(hooks: Hooks) -> list[str]:
    return [stage.kind for hook in _HOOKS for family in (4, 6) for stage in hooks.ip(hook, family)]


def _nat_chains(hooks: Hooks, hook: str) -> Iterator[Chain]:
    return (chain for family in (4, 6) for chain in hooks.bases(hook, family) if chain.kind == "nat")


def _table(chain: Chain) -> tuple[bool, str, str]:
    return chain.backend == "iptables-legacy", chain.family, chain.table


def _compared(old: tuple[Rule, ...], new: tuple[Rule, ...], now: dict[int, Rule]) -> set[Asked] | None:
    """The ports of the rules between the first and the last that differ."""
    was, will = differing(old, new, Rule.says_the_same)
    pairs = (*zip(old[: was.start], new), *zip(old[was.stop :], new[will.stop :], strict=True))  # noqa: B905
    now |= {id(before): rule for before, rule in pairs if before is not rule}
    ports: set[Asked] = set()
    for rule in (*old[was], *new[will]):
        asked = _asks(rule)
        if asked is None:
            return None
        ports |= asked
    return ports


def _asks(rule: Rule) -> set[Asked] | None:
    """The ports whose packets alone it can meet; None: of any port, or that is not certain."""
    plain = {match.key: match.values for match in rule.matches if not match.negated}
    protos, ports = plain.get("proto", ()), plain.get("dport", ())
    ranges = [span for span in ports if isinstance(span, tuple)]
    changing = any(effect.after is not None for effect in rule.target.effects)
    if rule.not_understood or "@" in rule.text or changing or not protos or not ranges or len(ranges) != len(ports):
        return None
    if sum(high - low + 1 for low, high in ranges) > _MOST_PORTS:
        return None
    return {(str(proto), port) for proto in protos for low, high in ranges for port in range(low, high + 1)}


def recounted(ports: tuple[Port, ...], ruleset: Ruleset | None) -> tuple[Port, ...]:
    """The same ports with their rules as they are in `ruleset`, which has the rules that the ports were found by, with
    other counters; the same objects where nothing moved."""
    rules = {_place(chain.backend, chain): chain.rules for chain in (ruleset.chains if ruleset else ())}
    moved = False
    fresh = []
    for port in ports:
        old = port.dnat
        now = rules[_place(old.backend, old)][old.position - 1] if old else None
        moved = moved or now is not old
        fresh.append(port if now is old else replace(port, dnat=now))
    return tuple(fresh) if moved else ports


def _place(backend: str, where: Chain | Rule) -> tuple[bool, str, str, str]:
    chain = where.name if isinstance(where, Chain) else where.chain
    return backend == "iptables-legacy", where.family, where.table, chain
