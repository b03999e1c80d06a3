"""The rows of a list in groups, by compose project or by what connections have in common: a headline each, that says
how many there are and how they fare; and connections added up, those that carry most first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from netdash.join.flows import flows
from netdash.model.finding import WORST_FIRST, Mark, Standing, worst
from netdash.model.host import Host, Ref
from netdash.model.packet import GROUPINGS, Flow
from netdash.model.records import dataclass
from netdash.model.relations import ref_of
from netdash.view import formatting, json_host, layout, marks
from netdash.view.columns_flows import FLOWS, groups_of, sentence
from netdash.view.formatting import NOTHING, bytes_rate
from netdash.view.layout import shorter, size
from netdash.view.table import Belongs, Column, Row, Rows, View
from netdash.view.text import Line, Span, Tone, clean, fit, width

KIND = "project"  # Ref.kind of a headline; its key is the project's name, "" for what is of none
_MARKS = {("risk" if mark is Mark.RISK else mark.value): mark for mark in Mark}


def of_row(row: Row, by: int) -> tuple[Ref, ...]:
    """The headlines that a row stands under. `by`: which of the view's groupings, from 1."""
    return (
        tuple(Ref(KIND, belongs.key) for belongs in row.groups[by - 1]) if by <= len(row.groups) else (Ref(KIND, ""),)
    )


def members(rows: Rows, order: Sequence[int], by: int, by_name: bool) -> dict[Ref, list[int]]:
    """Places by headline. `by_name`: headlines in the order of names, what is of no project last; else by the first of
    their rows."""
    found: dict[Ref, list[int]] = {}
    for place in order:
        for ref in of_row(rows[place], by):
            found.setdefault(ref, []).append(place)
    if not by_name:
        return found
    names = {ref: _name(rows[places[0]], ref, by) for ref, places in found.items()}
    return dict(sorted(found.items(), key=lambda each: (not each[0].key, names[each[0]].casefold())))


def _name(row: Row, ref: Ref, by: int) -> str:
    return next(belongs.name for belongs in row.groups[by - 1] if belongs.key == ref.key)


def headline(view: View, ref: Ref, rows: Sequence[Row], folded: Set[Ref], by: int) -> Row:
    counted = Counter(mark for mark in map(_mark, rows) if mark is not None)
    found = worst(*counted)
    title = clean(_name(rows[0], ref, by), 60) or "no project"
    name = Span(f"{'▸' if ref in folded else '▾'} {title}", Tone.TITLE)
    counts = " ".join(f"{marks.GLYPHS[mark]}{counted[mark]}" for mark in WORST_FIRST if counted[mark])
    parts = (_number(view, len(rows)), counts, view.sums(rows))
    how = Span("  ".join(filter(None, parts)), marks.TONES[found] if counted else Tone.DIM)
    blank = (Span(""),) * (len(view.columns) - 1)
    calm = Span(" ") if view.kind == "flow" else marks.WAITS
    return Row(ref, (name, *blank), lead=marks.glyph(found) if counted else calm, why=how)


def _mark(row: Row) -> Mark | None:
    """None while it is not known how the row fares."""
    return _MARKS[row.tags[0]] if row.tags else None


def _number(view: View, number: int) -> str:
    return f"{number} {view.name if number != 1 else view.name.removesuffix('s')}"


def card(host: Host, ref: Ref, wide: int, by: str) -> Sequence[Line]:
    """Who belongs to the group: of a project the containers, the worst first; of connections those that carry most."""
    if by in GROUPINGS:
        return list(_flows(host, ref, wide, by))
    mine = [container for container in host.containers or () if (container.compose or "") == ref.key]
    standings = {container.id: marks.standing_of(host, container) for container in mine}
    head = (Span(f" {clean(ref.key)}", Tone.KEY), Span("  compose project", Tone.DIM))
    lines: list[Line] = [head if ref.key else (Span(" of no compose project", Tone.KEY),)]
    for container in sorted(mine, key=lambda each: (_rank(standings[each.id]), each.name)):
        standing = standings[container.id]
        finding = marks.finding_of(host, standing)
        left = (*_glyphs(standing), Span(f"{clean(container.name)}  ", Tone.KEY, Ref("container", container.id)))
        reason = shorter(clean(finding.sentence, 300), max(1, wide - size(left) - 1)) if finding else container.state
        lines.append((*left, Span(clean(reason), marks.TONES[finding.mark] if finding else Tone.DIM)))
    return lines


def noted(host: Host, view: View, wide: int) -> Iterator[Line]:
    """What is to be known of the whole list, above the card of one of its rows."""
    for note in view.notes(host):
        yield from layout.text(Span(" !     ", Tone.WARN), clean(note, 300), wide, Tone.WARN)


_MOST = 10  # connections that are named


def _flows(host: Host, ref: Ref, wide: int, by: str) -> Iterator[Line]:
    named = [(flow, belongs) for flow in flows(host) for belongs in groups_of(host, flow, by) if belongs.key == ref.key]
    mine, name = [flow for flow, _ in named], named[0][1].name if named else ""
    yield (Span(f" {clean(name, 60)}", Tone.KEY), Span(f"  connections by {by}", Tone.DIM))
    for flow in sorted(mine, key=lambda each: (-(each.entry.rate or 0), -(each.bytes or 0)))[:_MOST]:
        rate = bytes_rate(flow.entry.rate)
        left = (Span(" "), *((Span(f"{rate}  ", Tone.GOOD),) if rate else ()))
        path = clean(sentence(host, flow), 300)
        room = min(width(path), max(1, wide - size(left) - 1))
        yield (*left, Span(fit(path, room, middle=True), Tone.PLAIN, ref_of(flow)))
    if len(mine) > _MOST:
        yield (Span(f" and {len(mine) - _MOST} more", Tone.DIM),)


def _rank(standing: Standing | None) -> int:
    return len(WORST_FIRST) if standing is None else WORST_FIRST.index(worst(standing.inwards, standing.outwards))


def _glyphs(standing: Standing | None) -> Line:
    pair = (marks.WAITS,) * 2 if standing is None else tuple(map(marks.glyph, (standing.inwards, standing.outwards)))
    return (Span(" "), pair[0], Span(" "), pair[1], Span("  "))


_COLUMNS = (
    Column("flows", "FLOWS", right=True),
    Column("troubled", "TROUBLED", right=True),
    Column("packets", "PACKETS", right=True),
    Column("bytes", "BYTES", right=True),
    Column("rate", "RATE", right=True),
    Column("uncounted", "UNCOUNTED", right=True),
)


@dataclass(frozen=True, slots=True)
class Group:
    """`packets`, `bytes`, `rate`: of the connections that are counted; None where none of them is. `uncounted`: how
    many are not. `troubled`: those without an answer, or whose translation is stale."""

    belongs: Belongs
    flows: int
    troubled: int
    packets: int | None
    bytes: int | None
    rate: float | None
    uncounted: int


def groups(host: Host, flows: Iterable[Flow], by: str) -> list[Group]:
    found: dict[Belongs, list[Flow]] = {}
    for flow in flows:
        for belongs in groups_of(host, flow, by):
            found.setdefault(belongs, []).append(flow)
    made = [_group(belongs, members) for belongs, members in found.items()]
    return sorted(made, key=lambda group: (-(group.rate or 0), -(group.bytes or 0), -group.flows, group.belongs.name))


def _group(belongs: Belongs, flows: list[Flow]) -> Group:
    counted = [flow for flow in flows if flow.entry.counts is not None]
    rates = [flow.entry.rate for flow in counted if flow.entry.rate is not None]
    return Group(
        belongs=belongs,
        flows=len(flows),
        troubled=sum(flow.trouble is not None for flow in flows),
        packets=sum(flow.packets or 0 for flow in counted) if counted else None,
        bytes=sum(flow.bytes or 0 for flow in counted) if counted else None,
        rate=sum(rates) if rates else None,
        uncounted=len(flows) - len(counted),
    )


def columns(by: str) -> tuple[Column, ...]:
    return (Column(by, by.upper(), most=50), *_COLUMNS)


def rows(found: Iterable[Group]) -> list[Row]:
    return [_row(group) for group in found]


def _row(group: Group) -> Row:
    cells = (
        Span(clean(group.belongs.name, 60), Tone.KEY),
        Span(str(group.flows)),
        Span(str(group.troubled), Tone.BAD) if group.troubled else NOTHING,
        NOTHING if group.packets is None else Span(formatting.short_number(group.packets)),
        NOTHING if group.bytes is None else Span(formatting.short_bytes(group.bytes)),
        Span(formatting.bytes_rate(group.rate), Tone.GOOD) if group.rate else NOTHING,
        Span(str(group.uncounted), Tone.UNKNOWN) if group.uncounted else NOTHING,
    )
    return Row(Ref("group", group.belongs.key), cells)


def json(host: Host, found: Iterable[Group], by: str) -> Mapping[str, object]:
    listed = [
        {
            by: group.belongs.name,
            "key": group.belongs.key,
            "flows": group.flows,
            "troubled": group.troubled,
            "packets": group.packets,
            "bytes": group.bytes,
            "bytes_per_second": group.rate,
            "uncounted": group.uncounted,
        }
        for group in found
    ]
    known = listed if FLOWS.known(host) else None
    return {"schema": json_host.SCHEMA, "by": by, "groups": known, "unknown": json_host.unknown(host, FLOWS.sources)}
