"""The words for why a packet of a container's path, or its answer, does not arrive."""

from __future__ import annotations

from collections.abc import Iterable

from netdash.model.host import Rule
from netdash.model.relations import ref_of
from netdash.trace.model import Decision, Trace, Verdict
from netdash.trace.summary import Obstacle
from netdash.view import formatting, layout
from netdash.view.text import Line, Span, Tone, clean

_ON_THE_CARD = (Verdict.NO_LISTENER,)  # what its hops say anyway


def lines(found: Obstacle | None, answer: Trace, who: str, label: Span, room: int) -> list[Line]:
    """One paragraph below a path; nothing where the path says it already."""
    if found is None or found.verdict in _ON_THE_CARD:
        return []
    if found.verdict is Verdict.UNKNOWN and answer.ends and all(map(_shown, (end.verdict for end in answer.ends))):
        return []
    mark, *said = _spans(found)
    return layout.paragraph(label, [mark, *((Span(f"{who}: "),) if who else ()), *said], room)


def _shown(verdict: Verdict) -> bool:
    return verdict.arrives or verdict in _ON_THE_CARD


def hangs_on_rules(answer: Trace) -> bool:
    """Whether it is rules that leave the verdict open, or there is one."""
    last = answer.then or answer
    return (answer.verdict is not Verdict.UNKNOWN and last.verdict is not Verdict.UNKNOWN) or bool(answer.unsure)


def sentence(found: Obstacle) -> str:
    decided = found.decided_by
    if found.verdict is Verdict.UNKNOWN:
        if found.unsure:
            return f"{found.unsure[0].place} may decide otherwise"
        return decided.text if decided else "it cannot be told"
    return f"{_what(found)}: {because(decided)}" if decided else _what(found)


def broken(asked: Iterable[tuple[str, Trace, Obstacle | None]]) -> list[str] | None:
    """What stands against a path, and what else would stop it; None where nothing is known to, and not all is known."""
    found = [(answer, one) for _, answer, one in asked if one is not None]
    sure = [(answer, one) for answer, one in found if one.verdict is not Verdict.UNKNOWN]
    said = [text for answer, one in sure for text in (sentence(one), *map(because, answer.blockers))]
    return list(dict.fromkeys(said)) if sure or not found else None


def because(decided: Decision) -> str:
    step = decided.step
    return decided.text if step is None else step.place if step.rule is None else f"{step.place} {step.text}"


def _what(found: Obstacle) -> str:
    if not found.answer:
        return found.verdict.value
    return "no answer" if found.verdict.arrives else f"the answer is {found.verdict.value}"


def _spans(found: Obstacle) -> list[Span]:
    if found.verdict is not Verdict.UNKNOWN:
        return [Span("✗ ", Tone.BAD), Span(f"{_what(found)}: ", Tone.BAD), *_because(found.decided_by)]
    mark = Span("? ", Tone.UNKNOWN)
    if not found.unsure:
        return [mark, *_because(found.decided_by)]
    return [mark, Span("cannot be told: ", Tone.UNKNOWN), _place(found.unsure[0]), Span(" may decide otherwise")]


def _because(decided: Decision | None) -> list[Span]:
    if decided is None:
        return []
    step = decided.step
    if step is None or step.source is None:
        return [Span(clean(step.place if step else decided.text, 200), Tone.KEY)]
    count = formatting.packets(step.source)
    return [
        _place(step.source),
        Span(f" {count}" if count else "", Tone.DIM),
        Span(f"  {formatting.rule_body(step.source)}", Tone.DIM),
    ]


def _place(rule: Rule) -> Span:
    return Span(clean(rule.place, 80), Tone.KEY, ref_of(rule))
