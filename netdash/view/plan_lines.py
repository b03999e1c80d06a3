"""The lines of a plan, as `core.publish.text` has them, with tones and broken at a width. Pure; cleans foreign text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from netdash.publish.outcome import Proof
from netdash.publish.plan import Plan
from netdash.publish.plan_text import lines
from netdash.view import layout
from netdash.view.text import Line, Span, Tone, clean

_STEP = re.compile(r"  (\d+\. )(.*)")
_WORD = re.compile(r"([a-z][a-z ]*: )(.*)")
_TONES = {"refused: ": Tone.BAD, "warning: ": Tone.WARN}
_ANSWERS = {"yes": Tone.GOOD, "no": Tone.PLAIN, "?": Tone.UNKNOWN}


def told(plan: Plan, wide: int) -> tuple[Line, ...]:
    title, *rest = map(clean, lines(plan))
    found = hanging([Span(title, Tone.KEY)], wide)
    for text in rest:
        found += _line(text, wide)
    return tuple(found)


def hanging(spans: Iterable[Span], wide: int, lead: str = " ") -> list[Line]:
    """One paragraph whose further lines are set in."""
    found = layout.paragraph(Span(" " * len(lead) + "  "), list(_words(spans)), wide)
    return [(Span(lead), *found[0][1:]), *found[1:]] if found else []


def _words(spans: Iterable[Span]) -> Iterator[Span]:
    for span in spans:
        yield from (Span(f"{word} ", span.tone) for word in span.text.split())


def _line(text: str, wide: int) -> list[Line]:
    step = _STEP.fullmatch(text)
    if step:
        return layout.text(Span(f" {step[1]}", Tone.DIM), step[2], wide)
    word = _WORD.fullmatch(text)
    if word is None:
        return [(Span(f" {text}", Tone.KEY),)]  # of the compose file: its blanks mean something
    rest = [Span(word[2])]
    answer, comma, why = word[2].partition(", ")
    if word[1].startswith("reached") and comma:
        rest = [Span(answer + comma, _ANSWERS.get(answer, Tone.PLAIN)), Span(why)]
    return hanging([Span(word[1], _TONES.get(word[1], Tone.DIM)), *rest], wide)


def proofs(found: Iterable[Proof], wide: int) -> tuple[Line, ...]:
    """What real connections said."""
    said: list[Line] = []
    for proof in found:
        glyph, tone = {True: ("✓", Tone.GOOD), False: ("✗", Tone.BAD), None: ("?", Tone.UNKNOWN)}[proof.works]
        said += hanging([Span(f"{glyph} {clean(proof.sentence)}", tone)], wide)
    return tuple(said)
