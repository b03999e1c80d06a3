"""The rows of a list by compose project: a headline each, that says how many there are and how they fare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set

from netdash.model.finding import WORST_FIRST, Mark, Standing, worst
from netdash.model.host import Host, Ref
from netdash.view import marks
from netdash.view.layout import shorter, size
from netdash.view.table import Row, Rows, View
from netdash.view.text import Line, Span, Tone, clean

KIND = "project"  # Ref.kind of a headline; its key is the project's name, "" for what is of none
_MARKS = {("risk" if mark is Mark.RISK else mark.value): mark for mark in Mark}


def of_thing(view: View, thing: object) -> Ref:
    """The headline that a row stands under."""
    return Ref(KIND, (view.project(thing) if view.project else None) or "")


def members(view: View, rows: Rows, order: Sequence[int], by_name: bool) -> dict[Ref, list[int]]:
    """Places by headline. `by_name`: headlines in the order of names, what is of no project last; else by the first of
    their rows."""
    found: dict[Ref, list[int]] = {}
    for place in order:
        found.setdefault(of_thing(view, rows.things[place]), []).append(place)
    if not by_name:
        return found
    return dict(sorted(found.items(), key=lambda each: (not each[0].key, each[0].key.casefold())))


def headline(view: View, ref: Ref, rows: Sequence[Row], folded: Set[Ref]) -> Row:
    counted = Counter(mark for mark in map(_mark, rows) if mark is not None)
    found = worst(*counted)
    name = Span(f"{'▸' if ref in folded else '▾'} {clean(ref.key) or 'no project'}", Tone.TITLE)
    told = " ".join(f"{marks.GLYPHS[mark]}{counted[mark]}" for mark in WORST_FIRST if counted[mark])
    how = Span(f"{_number(view, len(rows))}  {told}".rstrip(), marks.TONES[found] if counted else Tone.DIM)
    blank = (Span(""),) * (len(view.columns) - 1)
    return Row(ref, (name, *blank), lead=marks.glyph(found) if counted else marks.WAITS, why=how)


def _mark(row: Row) -> Mark | None:
    """None while it is not known how the row fares."""
    return _MARKS[row.tags[0]] if row.tags else None


def _number(view: View, number: int) -> str:
    return f"{number} {view.name if number != 1 else view.name.removesuffix('s')}"


def card(host: Host, ref: Ref, wide: int) -> Sequence[Line]:
    """Who belongs to the project, the worst first."""
    mine = [one for one in host.containers or () if (one.compose or "") == ref.key]
    standings = {one.id: marks.standing_of(host, one) for one in mine}
    head = (Span(f" {clean(ref.key)}", Tone.KEY), Span("  compose project", Tone.DIM))
    lines: list[Line] = [head if ref.key else (Span(" of no compose project", Tone.KEY),)]
    for one in sorted(mine, key=lambda each: (_rank(standings[each.id]), each.name)):
        standing = standings[one.id]
        finding = marks.finding_of(host, standing)
        left = (*_glyphs(standing), Span(f"{clean(one.name)}  ", Tone.KEY, Ref("container", one.id)))
        reason = shorter(clean(finding.sentence, 300), max(1, wide - size(left) - 1)) if finding else one.state
        lines.append((*left, Span(clean(reason), marks.TONES[finding.mark] if finding else Tone.DIM)))
    return lines


def _rank(standing: Standing | None) -> int:
    return len(WORST_FIRST) if standing is None else WORST_FIRST.index(worst(standing.inwards, standing.outwards))


def _glyphs(standing: Standing | None) -> Line:
    pair = (marks.WAITS,) * 2 if standing is None else tuple(map(marks.glyph, (standing.inwards, standing.outwards)))
    return (Span(" "), pair[0], Span(" "), pair[1], Span("  "))
