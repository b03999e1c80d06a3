"""The lines of a list: the columns that a width has room for, the rows on screen, the cursor's row; and what the three
linked panes list. Loads no Textual: the first frame has the same lines. `grid` is the widget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Generic

from netdash.model.host import Ref
from netdash.model.records import replace
from netdash.tui import header
from netdash.tui.host_view import Ask, HostView, Listing
from netdash.tui.inks import LINKED, MARKER, PICKED, Inks, Palette, Part, Style, blank, part, piece
from netdash.view.groups import KIND
from netdash.view.layout import briefest, shorter
from netdash.view.table import EXTRA, Column, Row, View, noted_from, widths
from netdash.view.text import Line, Span, Tone, fit, width

SAMPLE = 50  # rows looked at for the widths, around the ones on screen
MOST_GAP = 4  # blanks between two columns where there is room
EDGE = 2  # cells left of the first column: the marker and a blank


class ListLines(Generic[Style]):
    """`title` makes it a linked pane with a headline of its own instead of column titles. Who is one has these:"""

    colours: Palette[Style]
    inks: Inks[Style]
    cursor: int
    top: int  # the first row on screen
    page: int  # rows that there is room for
    wide: int  # cells
    has_focus: bool
    faded: bool  # what it shows is no longer current

    def mark(self, linked: frozenset[Ref]) -> None:
        """Marks the rows that belong to the selection."""
        raise NotImplementedError

    def begin(self, titled: bool, joint: bool) -> None:
        self.titled = titled
        self.joint = joint  # a line at the left, towards the pane beside it
        self.title: Line = ()
        self.only: Mapping[str, int] = {}  # the columns it shows and their least cells; none names all
        self.hidden: Set[str] = frozenset()  # columns that the user does not want
        self.listing: Listing | None = None
        self.notice: Sequence[Line] = ()
        self.linked: frozenset[Ref] = frozenset()
        self.picked: frozenset[Ref] = frozenset()
        self.cell = -1  # column under the cursor; -1 for the row itself
        self._rows: dict[tuple[int, bool], Part[Style]] = {}  # while nothing but the place on screen changes
        self._gap = "  "
        self._sizes: list[int] = []
        self._measured: tuple[object, ...] = ()

    @property
    def _edge(self) -> int:
        """Cells left of the first column."""
        led = self.listing is not None and len(self.listing) and self.listing[0].lead is not None and not self.only
        return EDGE + bool(led)

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        return self.listing[self.cursor] if self.listing and self.cursor < len(self.listing) else None

    @property
    def on_struck(self) -> bool:
        """Whether the cursor stands on a row that is gone."""
        return self.listing is not None and self.listing.struck and self.cursor == self.listing.gone_at

    @property
    def sampled(self) -> slice:
        """The rows that say how wide the columns are."""
        start = max(0, self.top - SAMPLE // 2) // SAMPLE * SAMPLE
        return slice(start, start + 2 * SAMPLE)

    def sizes(self) -> list[int]:
        """The cells of each column, from the rows around those on screen."""
        listing = self.listing
        if listing is None:
            return []
        around = self.sampled
        measured = (id(listing), self.wide, around.start)
        if measured != self._measured:
            sample = [listing[at] for at in range(*around.indices(len(listing)))]
            room = self.wide - self._edge - 1 - self.joint
            gap = 1 if self.titled else 2  # linked panes are narrow
            noted = [row for row in sample if row.note and not row.why and not self.only]
            self._sizes = self._shared(listing.ask.view.columns, sample, noted, room, gap)
            shown = sum(1 for size in self._sizes if size)
            left = room - sum(self._sizes) - gap * (shown - 1)
            lacking = 0 if self.only else self._leave_room(listing.ask, sample, room, gap)
            self._gap = " " * (gap if lacking or noted else min(MOST_GAP, gap + left // max(1, shown)))
            self._measured = measured
            self._rows.clear()
        return self._sizes

    def _shared(
        self, columns: Sequence[Column], sample: Sequence[Row], noted: Sequence[Row], room: int, gap: int
    ) -> list[int]:
        """The cells of each column; those that are extra leave as far as more notes have room then."""
        extra = sorted((column for column in columns if column.leaves >= EXTRA), key=lambda column: -column.leaves)
        best, most = list[int](), -1
        for leave in range(len(extra) + 1 if noted else 1):
            hidden = {*self.hidden, *(column.key for column in extra[:leave])}
            sizes = _some_widths(columns, sample, room, gap, self.only, hidden)
            told = sum(_noted(row, columns, sizes, gap, room) is not None for row in noted)
            if told > most:
                best, most = sizes, told
            if told == len(noted):
                break
        return best

    def _leave_room(self, ask: Ask, sample: Sequence[Row], room: int, gap: int) -> int:
        """The cells that the longest reason lacks beside the columns that it never covers: short titles serve, beside
        the sign of the order, and a long name gives way."""
        view, sort = ask.view, ask.sort
        need = max((width(row.why.text) for row in sample if row.why), default=0)
        kept = [size for size in self._sizes[: view.keeps] if size]
        lacking = left = max(0, need - (room - sum(kept) - gap * len(kept)))
        for index, column in sorted(enumerate(view.columns[: view.keeps]), key=lambda each: each[1].middle):
            size = self._sizes[index]
            least = column.least if column.middle else width(column.short) + (index == sort)
            if left and size and least:
                self._sizes[index] = max(min(size, least), size - left)
                left -= size - self._sizes[index]
        return lacking

    def parts(self, y: int, wide: int) -> list[Part[Style]]:
        """Line `y` of the list, `wide` cells."""
        if not self.joint:
            return self._line(y, wide)
        inks = self.inks
        return [Part([piece("│" if y else "┬", inks.rule)], 1, inks.blank), *self._line(y, wide - 1)]

    def _line(self, y: int, wide: int) -> list[Part[Style]]:
        if y == 0:
            return [self._titleline(wide) if self.titled else self._headline(wide)]
        if self.listing is None or not len(self.listing):
            line = self.notice[y - 1] if y - 1 < len(self.notice) else ()
            return [part((Span(" "), *line), wide, self.colours.ground)]
        at = self.top + y - 1
        inks = self.inks
        if at >= len(self.listing):
            return [blank(wide, inks)]
        row = self._row(self.listing, at, wide)
        if not self._thumb(y - 1):
            return [row]
        return [replace(row, cells=wide - 1), Part([piece("▐", inks.rule)], 1, inks.blank)]

    def _titleline(self, wide: int) -> Part[Style]:
        used = sum(width(span.text) for span in self.title)
        return part((*self.title, Span("─" * (wide - used), Tone.DIM)), wide, self.colours.ground)

    def _headline(self, wide: int) -> Part[Style]:
        inks = self.colours.ground
        if self.listing is None:
            return blank(wide, inks)
        pieces = [piece(" " * self._edge, inks.head)]
        ask = self.listing.ask
        for index, (column, size) in enumerate(zip(ask.view.columns, self.sizes(), strict=False)):
            if size:
                mark = ("↓" if ask.down else "↑") if ask.sort == index else ""
                pieces.append(piece(_title(column, size, mark) + self._gap, inks.head))
        return Part(pieces, wide, inks.blank)

    def _row(self, listing: Listing, at: int, wide: int) -> Part[Style]:
        self.sizes()  # a pane is painted before it hears of its new size: rows of the old one do not serve
        if at == self.cursor and (self.has_focus or not self.titled):
            inks = self.colours.cursor if self.has_focus else self.colours.idle
            mark = PICKED if listing[at].ref in self.picked else MARKER
            chosen = self.cell if self.has_focus else -1
            return self._cells(listing, listing[at], wide, inks, mark, chosen, listing.struck and at == listing.gone_at)
        made = self._rows.get((at, self.faded))
        if made is None:
            row = listing[at]
            mark = PICKED if row.ref in self.picked else LINKED if row.ref in self.linked else " "
            made = self._rows[at, self.faded] = self._cells(listing, row, wide, self.inks, mark, -1)
        return made

    def _cells(
        self, listing: Listing, row: Row, wide: int, inks: Inks[Style], mark: str, chosen: int, struck: bool = False
    ) -> Part[Style]:
        pieces = [piece(mark, inks.mark)]
        if row.lead is not None and not self.only:
            pieces.append(piece(row.lead.text[:1], inks.tones[row.lead.tone]))
        pieces.append(piece(" ", inks.mark))
        sizes = self.sizes()  # before the gap, which it may change
        columns, space = listing.ask.view.columns, self._gap
        said = None if self.only else row.why or row.note
        covered = len(sizes)
        room = wide - self._edge - self.joint - 1
        if said is not None:
            found = (
                self._covered(row, wide, listing.ask.view.keeps)
                if row.why
                else _noted(row, columns, sizes, len(space), room)
            )
            said, covered = (None, len(sizes)) if found is None else (said, found)
        left = self._edge + self.joint
        for index, size in enumerate(sizes):
            if index == covered:
                break
            if not size:
                continue
            left += size + len(space)
            cell = row.cells[index]
            text = _aligned(cell.text, size, columns[index])
            if struck:
                pieces += [piece(text, inks.struck[cell.tone]), piece(space, inks.blank)]
            elif index == chosen:
                pieces += [piece(text, inks.cells[cell.tone]), piece(space, inks.blank)]
            else:
                pieces.append(piece(text + space, inks.tones[cell.tone]))
        if said is not None:
            reason = shorter(said.text, wide - left - 1)
            pieces.append(piece(reason, (inks.struck if struck else inks.tones)[said.tone]))
        return Part(pieces, wide, inks.blank)

    def _covered(self, row: Row, wide: int, keeps: int) -> int:
        """The first column that the row's `why` stands in the place of: as far to the right as there is room for all of
        it."""
        if row.ref.kind == KIND:
            return keeps
        need = width(row.why.text) if row.why else 0
        left, found = self._edge + self.joint, keeps
        for index, size in enumerate(self._sizes):
            if size and index >= keeps and (index == keeps or left + need < wide):
                found = index
            left += size + len(self._gap) if size else 0
        return len(self._sizes) if left + need < wide else found

    def _thumb(self, y: int) -> bool:
        """A scroll bar of one cell, only where there is more than the pane holds."""
        total, page = len(self.listing or ()), self.page
        if total <= page:
            return False
        size = max(1, page * page // total)
        start = (page - size) * self.top // max(1, total - page)
        return start <= y < start + size


def _some_widths(
    columns: Sequence[Column], rows: Sequence[Row], room: int, gap: int, only: Mapping[str, int], hidden: Set[str]
) -> list[int]:
    """`widths` for some of the columns, as if the others were not there."""
    if only:
        columns = [
            replace(column, title="", leaves=not only[column.key], least=only[column.key] or column.least)
            if column.key in only
            else column
            for column in columns
        ]
    shown = [
        column.key in only if only else column.screen is not False and column.key not in hidden for column in columns
    ]
    return widths(columns, rows, room, gap, shown)


def _noted(row: Row, columns: Sequence[Column], sizes: Sequence[int], gap: int, room: int) -> int | None:
    """The first column that the row's `note` stands in the place of; None where there is no room for a clause of it."""
    need = width(briefest(row.note.text)) if row.note else 0
    starts = ((at, sum(size + gap for size in sizes[:at] if size)) for at in noted_from(row, columns, sizes))
    return next((at for at, used in starts if used + need <= room), None)


def _title(column: Column, size: int, mark: str) -> str:
    name = column.title if width(column.title) + len(mark) <= size or not column.short else column.short
    return _aligned(name.upper() + mark, size, column)


def _aligned(text: str, size: int, column: Column) -> str:
    have = width(text)
    return " " * (size - have) + text if column.right and have < size else fit(text, size, column.middle)


BRIEF: Mapping[str, Mapping[str, int]] = {
    "containers": {"name": 10, "address": 11, "published": 6},
    "ports": {"port": 5, "proto": 3, "bind": 7, "target": 14},
    "networks": {"name": 8, "bridge": 8, "subnet": 13},
    "rules": {"table": 0, "chain": 8, "rule": 3, "action": 21, "packets": 5},
    "routes": {"dst": 13, "gateway": 11, "dev": 7},
    "proxies": {"pid": 7, "bind": 12, "target": 13},
}
"""The columns that a third of the screen has room for, and the cells that they are cut to; with 0 one that leaves
where the others do not fit."""


def fill(
    grid: ListLines[Style], host_view: HostView, view: View, ref: Ref | None, everything: bool, wide: int
) -> tuple[Listing, int, Sequence[Line]]:
    """What a linked pane of a screen of `wide` cells is to show: its rows, the row under the cursor, and what it says
    without rows."""
    rows = host_view.rows(view)
    linked = host_view.deciding(view, ref) if ref else []
    order: Sequence[int] = range(len(rows)) if everything or ref is None else linked
    known = view.known(host_view.host)
    grid.only = BRIEF[view.name]
    grid.title = _headline_of(
        view, f"{len(linked)} of {len(rows)}" if known and ref else str(len(rows)) if known else "?"
    )
    grid.mark(host_view.related(ref) if ref and everything else frozenset())
    listing = Listing(Ask(view), rows, order)
    keep = grid.row.ref if grid.row and grid.listing and grid.listing.ask.view is view else None
    at = listing.place(keep, host_view.index(view)) if keep else None
    if at is None:
        at = min(linked) if everything and linked else 0
    notice: Sequence[Line] = ()
    if not len(order):
        notice = (
            ((Span(" none", Tone.DIM),),) if known else header.notice(view, host_view.host, "", "", wide // 3 - 2)[1:]
        )
    return listing, at, notice


def _headline_of(view: View, count: str) -> Line:
    return (Span("─ ", Tone.DIM), Span(view.title, Tone.TITLE), Span(f" {count} "))
