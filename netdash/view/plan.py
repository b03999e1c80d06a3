"""The lines of a plan: the same for `--dry-run` and for the dialog, where they have tones and are broken at a width.
And what became of a plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netdash.model.records import dataclass
from netdash.publish.journal import Outcome, Proof
from netdash.publish.plan import Plan
from netdash.publish.statement import Statement
from netdash.view import layout
from netdash.view.statements import downtime, outage, refusal, text
from netdash.view.text import Line, Span, Tone, clean

_ANSWERS = {True: ("yes", Tone.GOOD), False: ("no", Tone.PLAIN), None: ("?", Tone.UNKNOWN)}


@dataclass(frozen=True, slots=True)
class PlanLine:
    """`label` and `answer` stand before the text. Foreign text in it is still to be cleaned."""

    text: str
    label: str = ""
    answer: str = ""
    tone: Tone = Tone.DIM  # of the label, or of a text without one
    answer_tone: Tone = Tone.PLAIN
    fixed: bool = False  # its blanks mean something


def plan_lines(plan: Plan) -> tuple[PlanLine, ...]:
    """Title, steps, costs, reach, warnings, refusals; a plan that is refused tells no steps."""
    warnings = (PlanLine(text(warning), "warning: ", tone=Tone.WARN) for warning in plan.warnings)
    body = [*_refusals(plan.refusals), *warnings] if plan.refusals else [*_body(plan), *warnings, *_file(plan)]
    return (PlanLine(text(plan.title), tone=Tone.KEY), *body)


def _refusals(refusals: Iterable[Statement]) -> Iterator[PlanLine]:
    return (PlanLine(refusal(reason), "refused: ", tone=Tone.BAD) for reason in refusals)


def _body(plan: Plan) -> Iterator[PlanLine]:
    yield from (PlanLine(text(step), f"  {number}. ") for number, step in enumerate(plan.steps, 1))
    yield PlanLine(downtime(plan.stop_seconds), "downtime: ")
    yield PlanLine("; ".join(map(text, plan.lost)) or "nothing", "lost: ")
    if plan.client:
        yield PlanLine(text(plan.client), "client address: ")
    for reach in plan.reach:
        answer, tone = _ANSWERS[reach.yes]
        yield PlanLine(text(reach.why), f"reached from {reach.who.value}: ", f"{answer}, ", answer_tone=tone)
    yield from (PlanLine(text(undo), "undo: ") for undo in plan.undo)


def _file(plan: Plan) -> Iterator[PlanLine]:
    if plan.file:
        yield PlanLine("for the compose file:", tone=Tone.KEY, fixed=True)
        yield from (PlanLine(f"  {line}", tone=Tone.KEY, fixed=True) for line in plan.file)


def plain(plan: Plan) -> tuple[str, ...]:
    return tuple(f"{line.label}{line.answer}{line.text}" for line in plan_lines(plan))


def styled(plan: Plan, wide: int) -> tuple[Line, ...]:
    return tuple(line for each in plan_lines(plan) for line in _styled(each, wide))


def _styled(line: PlanLine, wide: int) -> list[Line]:
    words = clean(line.text)
    if line.fixed:
        return [(Span(f" {words}", line.tone),)]
    if line.label.startswith(" "):
        return layout.text(Span(f" {line.label.lstrip()}", line.tone), words, wide)
    if not line.label:
        return hanging([Span(words, line.tone)], wide)
    answer = [Span(line.answer, line.answer_tone)] if line.answer else []
    return hanging([Span(line.label, line.tone), *answer, Span(words)], wide)


def hanging(spans: Iterable[Span], wide: int, lead: str = " ") -> list[Line]:
    """One paragraph whose further lines are set in."""
    found = layout.paragraph(Span(" " * len(lead) + "  "), list(_words(spans)), wide)
    return [(Span(lead), *found[0][1:]), *found[1:]] if found else []


def _words(spans: Iterable[Span]) -> Iterator[Span]:
    for span in spans:
        yield from (Span(f"{word} ", span.tone) for word in span.text.split())


# --- what became of it ------------------------------------------------------------------------------------------------


def measured_downtime(plan: Plan, outcome: Outcome) -> str:
    """The measured beside the planned one; "" where nothing was stopped."""
    if outcome.outage is None:
        return ""
    return f"downtime: {outage(outcome.outage)}; planned: {downtime(plan.stop_seconds)}"


def proofs(found: Iterable[Proof], wide: int) -> tuple[Line, ...]:
    """What real connections answered."""
    lines: list[Line] = []
    for proof in found:
        glyph, tone = {True: ("✓", Tone.GOOD), False: ("✗", Tone.BAD), None: ("?", Tone.UNKNOWN)}[proof.works]
        lines += hanging([Span(f"{glyph} {clean(proof.sentence)}", tone)], wide)
    return tuple(lines)
