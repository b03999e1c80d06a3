"""One question walked to every end that cannot be told apart, and past what stops it. Knows no routes and no rules."""

from __future__ import annotations

from collections.abc import Callable

from netdash.model.host import Rule
from netdash.model.records import dataclass, replace
from netdash.trace.model import UNREAD, Decision, End, Hop, Tuple4, Verdict
from netdash.trace.run import MOST_WALKS, Choices, Ended, Run

_BLOCKERS = 8


@dataclass(slots=True)
class Walked:
    """What came of one walk."""

    run: Run
    hops: tuple[Hop, ...]
    verdict: Verdict
    decision: Decision | None

    @property
    def tuple(self) -> Tuple4:
        packet = self.run.packet
        return Tuple4(packet.src, packet.sport, packet.dst, packet.dport)

    def same(self, other: Walked) -> bool:
        """Whether both end alike."""
        return (self.verdict, self.tuple) == (other.verdict, other.tuple) and _end_of(self.run) == _end_of(other.run)


def _end_of(run: Run) -> object:
    at = run.end_at
    return getattr(at, "container", at)


Walk = Callable[[Choices, frozenset[str]], Walked]


def walk(run: Run, start: Callable[[], Ended]) -> Walked:
    try:
        ended = start()
    except Ended as stopped:  # it must not outlive this block: its traceback holds this frame, and so the whole host
        return Walked(run, run.told(), stopped.verdict, stopped.decision)
    return Walked(run, run.told(), ended.verdict, ended.decision)


@dataclass(slots=True)
class Explored:
    """What came of all walks of one packet."""

    first: Walked  # the one that supposes nothing
    ends: tuple[End, ...]  # two of them when they differ
    unsure: tuple[Rule, ...]  # that cannot be told
    others: tuple[Walked, ...] = ()  # that leave otherwise than `first`, where all leave for the same end


def explore(walk: Walk) -> Explored:
    """Walks every answer to what cannot be told, until the verdicts differ."""
    first = walk(Choices(), frozenset())
    unsure = list(first.run.unsure)
    others: list[Walked] = []
    waiting = [first]
    walked = 1
    while waiting:
        last = waiting.pop()
        taken = last.run.choices.taken
        for at in range(len(last.run.choices.given), len(taken)):
            if walked >= MOST_WALKS:
                return Explored(first, (_end(first), replace(_end(last), verdict=Verdict.UNKNOWN)), tuple(unsure))
            given = (*(answer for _, answer in taken[:at]), True)
            other = walk(Choices(given), frozenset())
            walked += 1
            unsure += [rule for rule in other.run.unsure if not any(rule is one for one in unsure)]
            if not other.same(first):
                if not _alike(first, other):
                    return Explored(first, (_end(first), _end(other)), tuple(unsure))
                if not any(other.same(one) for one in others):
                    others.append(other)
            waiting.append(other)
    ends = (_end(first), _end(others[0])) if others else ()
    return Explored(first, ends, tuple(unsure), tuple(others))


def _alike(one: Walked, other: Walked) -> bool:
    """Whether the asker gets the same from both: it leaves for the same end, be it by another device or source."""
    if one.verdict is not Verdict.FORWARDED or other.verdict is not Verdict.FORWARDED:
        return False
    return (one.tuple.dst, one.tuple.dport) == (other.tuple.dst, other.tuple.dport)


def undecided(explored: Explored) -> Decision:
    """What the verdict hangs on: the first thing that was supposed differently in the two ends."""
    ends, unsure, first = explored.ends, explored.unsure, explored.first
    if first.verdict is Verdict.UNKNOWN and first.decision is not None:
        return first.decision
    decided = ends[-1].decided_by
    if decided is not None and decided.place == UNREAD:
        return decided
    supposed = [what for what, happens in ends[-1].supposed if happens]
    place = unsure[0].place if unsure else "trace"
    return Decision(place, f"cannot tell whether {supposed[0]}" if supposed else "too much cannot be told")


def _end(walked: Walked) -> End:
    return End(tuple(walked.run.choices.taken), walked.verdict, walked.decision, walked.tuple)


def blockers(walk: Walk, first: Walked) -> tuple[Decision, ...]:
    """What would stop the packet next, once the decision before is mended, and so on."""
    found: list[Decision] = []
    forgiven: set[str] = set()
    decision = first.decision
    while decision is not None and len(found) < _BLOCKERS and decision.place not in forgiven:
        forgiven.add(decision.place)
        again = walk(Choices(), frozenset(forgiven))
        decision = again.decision
        if decision is None or again.verdict is Verdict.UNKNOWN or decision.place in forgiven:
            break
        found.append(decision)
    return tuple(found)
