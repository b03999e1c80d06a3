"""Findings before their fixes have been tried: what a cause and a check hand to `examine`, and those that tell of
one cause made one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set

from netdash.change.model import Change
from netdash.model.finding import Finding
from netdash.model.host import Host
from netdash.model.records import dataclass, replace
from netdash.trace.model import Question


@dataclass(frozen=True, slots=True)
class Candidate:
    """`finding`: without proof. `changes`: what the commands of its fix change, () where that cannot be told as data.
    `asks`: the questions that fail today and that the fix must answer, () where no packet shows the fault: there
    `again`, the check that found it, must find nothing on the changed host; None there is not told."""

    finding: Finding
    changes: tuple[Change, ...] = ()
    asks: tuple[Question, ...] = ()
    again: Callable[[Host], Iterator[Candidate] | None] | None = None


def merged(candidates: Iterable[Candidate]) -> list[Candidate]:
    """In their order; the first of a cause lends its words, the others what they hit and know beside."""
    found: list[Candidate] = []
    for candidate in candidates:
        at = next((at for at, known in enumerate(found) if same(known.finding, candidate.finding)), None)
        if at is None:
            found.append(candidate)
        else:
            found[at] = _both(found[at], candidate)
    return found


def supported(candidates: Iterable[Candidate], code: str) -> list[Candidate]:
    """Those of this code become evidence of what else is known to hit the same ports."""
    found = list(candidates)
    for candidate in [candidate for candidate in found if candidate.finding.code == code]:
        hits = set(candidate.finding.hits)
        others = (at for at, other in enumerate(found) if other is not candidate and hits & set(other.finding.hits))
        at = next(others, None)
        if at is not None:
            cause = found[at].finding
            more = replace(cause, evidence=(*cause.evidence, *candidate.finding.evidence))
            found[at] = replace(found[at], finding=more)
            found.remove(candidate)
    return found


def same(one: Finding, other: Finding) -> bool:
    """One code, and somebody or something in common. A finding without hits is of the whole host. Two rules of one
    chain are two causes, whoever both of them hit."""
    if one.code != other.code or _of_two_rules(one, other):
        return False
    containers = {hit.container for hit in one.hits} & {hit.container for hit in other.hits}
    return not one.hits or not other.hits or bool(containers)


def _of_two_rules(one: Finding, other: Finding) -> bool:
    first, second = _rules(one), _rules(other)
    return first.isdisjoint(second) and not {_chain(key) for key in first}.isdisjoint(map(_chain, second))


def _rules(finding: Finding) -> Set[str]:
    return {seen.ref.key for seen in finding.evidence if seen.ref is not None and seen.ref.kind == "rule"}


def _chain(key: str) -> str:
    return " ".join(key.split(" ", 4)[:4])


def _both(one: Candidate, other: Candidate) -> Candidate:
    first, second = one.finding, other.finding
    mending = one if one.changes or not other.changes else other
    known = {(evidence.source, evidence.text) for evidence in first.evidence}
    more = tuple(evidence for evidence in second.evidence if (evidence.source, evidence.text) not in known)
    finding = replace(
        first,
        severity=min(first.severity, second.severity),
        hits=tuple(dict.fromkeys((*first.hits, *second.hits))),
        evidence=(*first.evidence, *more),
        fix=mending.finding.fix or first.fix or second.fix,
        confidence=max(first.confidence, second.confidence),
        not_checked=tuple(dict.fromkeys((*first.not_checked, *second.not_checked))),
    )
    return Candidate(finding, mending.changes, one.asks or other.asks, mending.again)
