"""Draws the map of a host: from the Internet on the left to the containers on the right, a row a wire, what stops it on
the wire. What does not fit is folded, and then left to other pages; every container is counted somewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from netdash.join.rates import container_rate, link_rate
from netdash.model.finding import Mark
from netdash.model.host import Container, Host
from netdash.model.index import index_of, sharing
from netdash.model.kernel_state import together
from netdash.model.records import dataclass
from netdash.model.relations import address_ref, ref_of
from netdash.model.source import Source
from netdash.view import formatting, layout, marks, rates, unavailable
from netdash.view.layout import size
from netdash.view.map import Block, Map, Uplink
from netdash.view.map_rows import BROKEN, NAMES, WHOLE, Body, Level, Row
from netdash.view.text import Line, Span, Tone, clean, fit, listed, width

_LEAD = 5  # cells of the trunk and its joint
_TREE = 3
LEVELS = (Level(None, True), Level(None), Level(3), Level(1), Level(1, coarse=True))
_MOST_OTHERS = 3  # lines that name other networks


@dataclass(frozen=True, slots=True)
class Drawing:
    lines: tuple[Line, ...]
    page: int = 0
    pages: int = 1


# --- all of it --------------------------------------------------------------------------------------------------------


def draw(
    drawn: Map,
    wide: int,
    high: int | None,
    page: int = 0,
    level: Level | None = None,
    unfolded: frozenset[str] = frozenset(),
) -> Drawing:
    """Lines of at most `wide` cells. `high` None: all networks, at the level asked for; else as much as fits, and the
    others on other pages. `unfolded`: keys of the FOLD refs whose containers are drawn one by one."""
    head = _uplinks(drawn, wide)
    if not drawn.blocks:
        return Drawing((*head, *_nobody(drawn, wide)))
    rest = _empty(drawn, wide)
    uplinks = {uplink.device for uplink in drawn.uplinks}
    carried = partial(_carried, drawn.host)
    levels = [level for level in LEVELS if high is None or _may_fit(drawn, level, high)] if level is None else [level]
    for other in levels:
        bodies = [Body(block, other, unfolded, uplinks, carried) for block in drawn.blocks]
        paper = _Paper(wide, bodies)
        for apart in (True, False):
            lines = (*head, *paper.lines(apart), *rest)
            if high is None or len(lines) <= high:
                return Drawing(lines)
    return _paged(head, bodies, wide, high or 0, page)


def _carried(host: Host, containers: Iterable[Container]) -> Line:
    """What they receive and send, where somebody reads that. Those that share a network namespace carry one traffic."""
    if host.traffic.rates is None:
        return ()
    owners = {owner.id: owner for owner in (sharing(host, container) for container in containers)}
    return rates.words(
        together(rate for container in owners.values() if (rate := container_rate(host, container)) is not None)
    )


def _may_fit(drawn: Map, level: Level, high: int) -> bool:
    """Whether it is worth trying: the last one always is."""
    return level.few is not None or sum(len(block.members) for block in drawn.blocks or ()) <= high


def _nobody(drawn: Map, wide: int) -> list[Line]:
    if drawn.blocks is None:
        reason = f"containers: {unavailable.reason(drawn.host, Source.DOCKER)}"
        return layout.text(Span(" ? ", Tone.UNKNOWN), reason, wide, Tone.UNKNOWN)
    return [*layout.text(Span(" "), "no containers", wide, Tone.DIM), *_empty(drawn, wide)]


def _paged(head: Sequence[Line], bodies: Sequence[Body], wide: int, high: int, page: int) -> Drawing:
    """As many networks as fit; the others are named with how they fare."""
    room = max(1, high - len(head) - _MOST_OTHERS - 1)
    pages: list[list[Body]] = [[]]
    for body in bodies:
        if pages[-1] and len(_Paper(wide, [*pages[-1], body]).lines()) > room:
            pages.append([])
        pages[-1].append(body)
    page = max(0, min(page, len(pages) - 1))
    lines = [*head, *_Paper(wide, pages[page]).lines()]
    others = [body.block for at, value in enumerate(pages) if at != page for body in value]
    foot = _others(others, wide, f"] [ page {page + 1} of {len(pages)}") if others else []
    lines += [()] * max(0, high - len(lines) - len(foot))
    return Drawing((*lines, *foot), page, len(pages))


def _others(blocks: Sequence[Block], wide: int, tail: str) -> list[Line]:
    """Each with its counts; those for which there is no room as one number."""
    end = (Span(tail, Tone.DIM),)
    for shown in range(len(blocks), -1, -1):
        words = [_brief(block) for block in blocks[:shown]]
        left = blocks[shown:]
        if left:
            words.append((Span(f"and {len(left)} more "), *counted(_sum(left))))
        lines = _flowing(Span(" other networks  ", Tone.TITLE), [*words, end], wide)
        if len(lines) <= _MOST_OTHERS:
            break
    return lines


def _brief(block: Block) -> Line:
    name = clean(block.name, NAMES)
    ref = ref_of(block.network) if block.network is not None else None
    short = fit(name, min(width(name), 24), middle=True)
    return (Span(f"{short} ", Tone.KEY, ref), *counted(block.counts))


def _flowing(label: Span, words: Iterable[Line], wide: int) -> list[Line]:
    """As many in a line as fit; each stays whole."""
    lines: list[Line] = [(label,)]
    for word in words:
        gap = (Span("  "),) if len(lines[-1]) > 1 else ()
        if gap and size(lines[-1]) + 2 + size(word) > wide:
            lines.append((Span(" " * width(label.text)),))
            gap = ()
        lines[-1] = (*lines[-1], *gap, *word)
    return [layout.crop(line, wide) for line in lines]


def _sum(blocks: Iterable[Block]) -> Mapping[Mark | None, int]:
    found: Counter[Mark | None] = Counter()
    for block in blocks:
        found.update(block.counts)
    return found


def counted(counts: Mapping[Mark | None, int]) -> list[Span]:
    """✗1 ✓31, the worst first."""
    order = sorted(counts, key=lambda mark: -1 if mark is None else marks.rank(mark) or 0)
    return [Span(f"{marks.lead(mark).text}{counts[mark]} ", marks.lead(mark).tone) for mark in order]


def _empty(drawn: Map, wide: int) -> list[Line]:
    """Networks without containers, on one line."""
    names = [clean(network.name, NAMES) for network in drawn.empty]
    if not names:
        return []
    label = Span(" no containers on  ", Tone.DIM)
    line = (label, Span(listed(names, max(8, wide - width(label.text) - 1)), Tone.DIM))
    return [layout.crop(line, wide)]


def _uplinks(drawn: Map, wide: int) -> list[Line]:
    """The Internet, the gateway, the device and the address of this host there."""
    lines: list[Line] = []
    for uplink in drawn.uplinks:
        joint = Span(f" {(WHOLE if uplink.route is not None else BROKEN) * 2} ", Tone.HOP)
        link = Span(clean(uplink.device, 40), Tone.KEY, formatting.link_ref(uplink.device))
        own = (Span(" "), Span(str(uplink.own), Tone.PLAIN, address_ref(uplink.own))) if uplink.own else ()
        lead = Span(" Internet" if not lines else f" {'IPv6':8}", Tone.TITLE)
        first = uplink.device not in {uplink.device for uplink in drawn.uplinks[: len(lines)]}
        told = rates.words(link_rate(drawn.host, index_of(drawn.host).link(uplink.device))) if first else ()
        told = (Span("  "), *told) if told else ()
        lines.append(layout.crop((lead, joint, *_next_hop(drawn, uplink), joint, link, *own, *told), wide))
    if not lines:
        source = "routes" if drawn.host.routes is None else "links" if drawn.host.links is None else ""
        why = f"? {unavailable.reason(drawn.host, source)}" if source else "no default route"
        lines.append(layout.crop((Span(" Internet  ", Tone.TITLE), Span(why, Tone.UNKNOWN)), wide))
    return lines


def _next_hop(drawn: Map, uplink: Uplink) -> Line:
    route = uplink.route
    if route is None:
        return (Span("no default route", Tone.DIM),) if drawn.host.routes is not None else (Span("?", Tone.UNKNOWN),)
    if route.gateway is None:
        return (Span("on link", Tone.PLAIN, ref_of(route)),)
    return Span("via "), Span(str(route.gateway), Tone.PLAIN, ref_of(route))


# --- on paper ---------------------------------------------------------------------------------------------------------


class _Paper:
    """Rows drawn at a width: the wires, the column of networks, the column of containers."""

    def __init__(self, wide: int, bodies: Sequence[Body]) -> None:
        self.wide, self.bodies = wide, bodies
        names = [size(label) for body in bodies for label in body.labels]
        parts = None if wide >= layout.WIDE * 3 // 2 else _PARTS + 1
        cells = [size(row.cell[:parts]) for body in bodies for row in body.rows]
        self.net = min(max(names, default=0), max(12, wide // 5))
        self.right = min(max(cells, default=0), max(20, wide * 32 // 100))
        self.left = max(_LEAD + 10, wide - self.net - 1 - _TREE - self.right)

    def lines(self, apart: bool = False) -> list[Line]:
        found: list[tuple[str, Line]] = []
        for at, body in enumerate(self.bodies):
            if at and apart:
                found.append(("", ()))
            told: Line = ()
            for place, row in enumerate(body.rows):
                found += self._row(row, body.labels[place] if place < len(body.labels) else None, told)
                told = row.note or told
        last = max((at for at, (joint, _) in enumerate(found) if joint in _JOINTS), default=-1)
        return [
            layout.crop((Span(_trunk(joint, at, last), Tone.HOP), *rest), self.wide)
            for at, (joint, rest) in enumerate(found)
        ]

    def _row(self, row: Row, label: Line | None, told: Line) -> Iterator[tuple[str, Line]]:
        """How it meets the trunk, and what stands beyond. `told`: the reason that was told last."""
        through = label is None and row.joint in _INWARDS
        room = self.left - _LEAD + (self.net + 1 if through else 0)
        chosen = next((at for at, form in enumerate(row.forms) if size(form) + 5 <= room), max(0, len(row.forms) - 1))
        wire = self._tail(row, row.forms[chosen] if row.forms else (), room, through)
        lead = bool(row.cell) and row.tree in "┬─"
        middle = () if through else self._label(label or (), "─" if lead else " ")
        if row.forms or row.cell or label:
            yield row.joint, (*wire, *middle, *self._cell(row))
        if row.note and row.note != told and chosen >= row.telling:
            yield from self._note(row.note)
        if row.extra:
            yield from self._note(row.extra)

    def _note(self, note: Line) -> Iterator[tuple[str, Line]]:
        glyph, *words = note
        label = Span(f"   {glyph.text} ", glyph.tone)
        spaced = [word.with_text(f"{word.text.strip()} ") for word in words]
        yield from (("", line) for line in layout.paragraph(label, spaced, self.wide - _LEAD))

    def _tail(self, row: Row, form: Line, room: int, through: bool) -> Line:
        """The wire from what stands on it to the network, or past its name to the containers."""
        if not row.forms:
            return (Span(" " * room),)
        form = layout.crop(form, max(1, room - 4))
        if not row.joint:
            return (*form, Span(" " * (room - size(form))))
        inwards = row.joint in _INWARDS
        arrow = "" if through else "▶ " if inwards else " "
        wire, tone = (BROKEN, Tone.DIM) if row.broken and inwards else (WHOLE, Tone.HOP)
        return (*form, Span(f" {wire * (room - size(form) - 1 - len(arrow))}{arrow}", tone))

    def _label(self, label: Line, rule: str) -> Line:
        """The network's name, or what else is told of it, and the line from there to its containers."""
        text = label
        if size(label) > self.net:
            text = (label[0].with_text(fit(label[0].text, self.net, middle=True)),)
        room = self.net + 1 - size(text)
        return (*text, Span(f" {rule * (room - 1)}" if label else " " * room, Tone.HOP))

    def _cell(self, row: Row) -> Line:
        """The container: the last parts leave first, then its name is cut in the middle."""
        if not row.cell:
            return (Span(row.tree, Tone.HOP),)
        cell = row.cell
        while size(cell) > self.right and len(cell) > _PARTS:
            cell = cell[:-1]
        if size(cell) > self.right:
            room = max(1, self.right - size(cell[:-1]))
            cell = (*cell[:-1], cell[-1].with_text(fit(cell[-1].text, room, middle=True)))
        branch = "─" if row.tree in "┬├└─" else " "
        return (Span(f"{row.tree}{branch} ", Tone.HOP), *cell)


_PARTS = 3  # of a cell: the glyph, a blank, the name
_INWARDS = ("in", "local")
_JOINTS = {"in": "══ ", "out": "◀═ ", "broken": "◀┄ "}


def _trunk(joint: str, at: int, last: int) -> str:
    """The line from the Internet down along all wires, and how this one leaves it."""
    if joint not in _JOINTS:
        return f" {'║' if at < last else ' '} {'═ ' if joint == 'local' else '  '}"
    return f" {'╚' if at == last else '╠'}{_JOINTS[joint]}"
