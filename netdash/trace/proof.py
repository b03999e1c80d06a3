"""The predicted walk of a packet beside the one that the kernel told. Compares hooks, rules and policies in their
order, and addresses and ports where the prediction tells them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

from netdash.model.packet import Packet
from netdash.model.records import dataclass
from netdash.trace.kernel_trace import HOOKS, Walk
from netdash.trace.model import Hop, Step, Trace, Verdict

LEGACY = "iptables-legacy"


@dataclass(frozen=True, slots=True)
class Arrival:
    """The packet comes to a hook, or (hook "") has passed the last one."""

    hook: str
    packet: Packet | None


Item = Arrival | Step


@dataclass(frozen=True, slots=True)
class Proof:
    """`equal` None: it cannot be told, for the reason `why`."""

    equal: bool | None
    rows: tuple[tuple[Item | None, Item | None], ...]  # (predicted, the kernel's)
    differs_at: int | None = None  # index in `rows`
    why: str = ""
    invisible: tuple[Step, ...] = ()  # predicted steps that nf_tables' trace does not see

    @property
    def steps(self) -> tuple[Item, ...]:
        """The kernel's."""
        return tuple(seen for _, seen in self.rows if seen is not None)


def unseen(answer: Trace, why: str) -> Proof:
    """No packet was seen: the prediction stands alone."""
    ours = list(_predicted(answer))
    return Proof(None, _rows(ours, []), None, why if ours else f"{why}, as predicted", _invisible(answer))


def proved(answer: Trace, walk: Walk) -> Proof:
    """What the prediction is worth for this packet."""
    unsure = {(rule.family, rule.table, rule.chain, rule.text) for rule in answer.unsure}
    ours, theirs = list(_predicted(answer)), list(_seen(walk))
    known = [
        [item for item in items if not (isinstance(item, Step) and _key(item) in unsure)] for items in (ours, theirs)
    ]
    differs_at = _first_difference(*known)
    invisible = _invisible(answer)
    if not unsure and answer.verdict is not Verdict.UNKNOWN:
        return Proof(differs_at is None, _rows(ours, theirs), differs_at, "", invisible)
    why = "the prediction is unknown" if answer.verdict is Verdict.UNKNOWN else "a rule cannot be evaluated"
    if differs_at is None and answer.verdict is not Verdict.UNKNOWN:
        return Proof(True, _rows(*known), None, "", invisible)
    return Proof(None, _rows(ours, theirs), _first_difference(ours, theirs), why, invisible)


def _invisible(answer: Trace) -> tuple[Step, ...]:
    return tuple(step for hop in _here(answer) for step in hop.steps if step.backend == LEGACY)


def _rows(ours: list[Item], theirs: list[Item]) -> tuple[tuple[Item | None, Item | None], ...]:
    return tuple(zip_longest(ours, theirs))


def _first_difference(ours: list[Item], theirs: list[Item]) -> int | None:
    return next((at for at, (value, other) in enumerate(zip_longest(ours, theirs)) if not same(value, other)), None)


def same(predicted: Item | None, seen: Item | None) -> bool:
    """A rule is its meaning, not its place: others may have been added before it."""
    if isinstance(predicted, Step) and isinstance(seen, Step):
        return _key(predicted) == _key(seen) and (predicted.verdict, predicted.to) == (seen.verdict, seen.to)
    if isinstance(predicted, Arrival) and isinstance(seen, Arrival):
        return predicted.hook == seen.hook and _fits(predicted.packet, seen.packet)
    return False


def _key(step: Step) -> tuple[str, str, str, str]:
    return (step.family, step.table, step.chain, step.text)


def _fits(predicted: Packet | None, seen: Packet | None) -> bool:
    """Whether nothing that the prediction tells of addresses and ports is otherwise."""
    if predicted is None or seen is None:
        return True
    pairs = zip(_ends(predicted), _ends(seen), strict=True)
    return all(value is None or other is None or value == other for value, other in pairs)


def _ends(packet: Packet) -> tuple[object, ...]:
    return packet.src, packet.sport, packet.dst, packet.dport


# --- the two walks as one list each -----------------------------------------------------------------------------------


def _here(answer: Trace) -> Iterator[Hop]:
    """Containers have rules of their own, which this host's trace does not see."""
    return (hop for hop in answer.hops if not hop.inside)


def _predicted(answer: Trace) -> Iterator[Item]:
    hops = list(_here(answer))
    last = None
    for at, hop in enumerate(hops):
        if hop.hook in HOOKS:
            last = at
            yield Arrival(hop.hook, hop.packet)
        yield from (step for step in hop.steps if step.backend != LEGACY and step.sure and not step.inside)
    if last is not None and not _stopped_in_a_hook(answer):
        yield Arrival("", hops[last + 1].packet if last + 1 < len(hops) else None)


def _stopped_in_a_hook(answer: Trace) -> bool:
    """By a rule or by conntrack; where the kernel finds no route, say, the packet has passed the hook before."""
    why = answer.decided_by
    return not answer.verdict.arrives and why is not None and (why.step is not None or why.place == "conntrack")


def _seen(walk: Walk) -> Iterator[Item]:
    for hop in walk.hops:
        if hop.hook:
            yield Arrival(hop.hook, hop.packet)
        yield from hop.steps
    if walk.hops and walk.through:
        yield Arrival("", walk.last)
