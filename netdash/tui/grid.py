"""The list widget, which paints only the lines on screen and keeps its cursor by what the row is; and the three linked
panes of each view, which list what belongs to the selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.strip import Strip

from netdash.model.host import Ref
from netdash.model.records import replace
from netdash.tui import header
from netdash.tui.host_view import Ask, HostView, Listing
from netdash.tui.surface import ListWidget
from netdash.tui.theme import LINKED, MARKER, PICKED, Inks, seal, segment, strip
from netdash.view.groups import KIND
from netdash.view.layout import shorter
from netdash.view.table import Column, Row, View, noted_from, widths
from netdash.view.text import Line, Span, Tone, fit, width
from netdash.view.views import BY_NAME, LINKED_VIEWS

SAMPLE = 50  # rows looked at for the widths, around the ones on screen
MOST_GAP = 4  # blanks between two columns where there is room
STRUCK = Style(strike=True)
NOTE = 24  # cells from which a note is shown
EDGE = 2  # cells left of the first column: the marker and a blank


class Grid(ListWidget):
    """A pane of rows. `title` makes it a linked pane with a headline of its own instead of column titles."""

    class Moved(Message):
        """The cursor stands on another row."""

        def __init__(self, grid: Grid) -> None:
            super().__init__()
            self.grid = grid

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Grid.Moved) and message.grid is self.grid

    class Followed(Message):
        """The user wants to go where `ref` leads."""

        def __init__(self, grid: Grid, ref: Ref) -> None:
            super().__init__()
            self.grid = grid
            self.ref = ref

    def __init__(self, *, id: str, titled: bool = False, joint: bool = False) -> None:  # noqa: A002
        super().__init__(id=id)
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
        self._rows: dict[
            tuple[int, bool], Strip
        ] = {}  # as painted, for as long as nothing but the place on screen changes
        self._gap = "  "
        self._sizes: list[int] = []
        self._measured: tuple[object, ...] = ()

    @property
    def _edge(self) -> int:
        """Cells left of the first column."""
        led = self.listing is not None and len(self.listing) and self.listing[0].lead is not None and not self.only
        return EDGE + bool(led)

    # --- what it shows ------------------------------------------------------------------------------------------------

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        return self.listing[self.cursor] if self.listing and self.cursor < len(self.listing) else None

    @property
    def on_struck(self) -> bool:
        """Whether the cursor stands on a row that is gone."""
        return self.listing is not None and self.listing.struck and self.cursor == self.listing.gone_at

    @property
    def target(self) -> Ref | None:
        """What Enter would follow: the cell's ref, or else the row's own."""
        row = self.row
        if row is None:
            return None
        return (row.cells[self.cell].ref or row.ref) if 0 <= self.cell < len(row.cells) else row.ref

    @property
    def count(self) -> int:
        return len(self.listing or ())

    def moved(self) -> None:
        self.post_message(self.Moved(self))

    def mark(self, linked: frozenset[Ref], picked: frozenset[Ref] | None = None) -> None:
        """Marks the rows that belong to the selection, and those that the user picked."""
        picked = self.picked if picked is None else picked
        if (linked, picked) != (self.linked, self.picked):
            self.linked, self.picked = linked, picked
            self._rows.clear()
            self.refresh()

    def show(self, listing: Listing | None, cursor: int, notice: Sequence[Line] = ()) -> None:
        """Shows other rows, the cursor on row number `cursor`. Where the same is asked the row under the cursor keeps
        its line, whatever came or went above it."""
        before, self.listing, self.notice = self.listing, listing, notice
        if self.top and before is not None and listing is not None and before.ask == listing.ask:
            self.top = max(0, self.top + cursor - self.cursor)
        self._measured = ()
        self._rows.clear()
        self.place(cursor)
        self.renew()

    def hop(self, step: int) -> None:
        """Moves among the cells of the row that lead somewhere; over the edge it is the row itself again."""
        row = self.row
        if row is None:
            return
        stops = [-1] + [
            index
            for index, cell in enumerate(row.cells)
            if cell.ref and index < len(self._sizes) and self._sizes[index]
        ]
        at = stops.index(self.cell) if self.cell in stops else 0
        self.cell = stops[max(0, min(at + step, len(stops) - 1))]
        self.refresh(self.band(self.cursor))

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
        part = self.sampled
        measured = (id(listing), self.size.width, part.start)
        if measured != self._measured:
            sample = [listing[at] for at in range(*part.indices(len(listing)))]
            room = self.size.width - self._edge - 1 - self.joint
            gap = 1 if self.titled else 2  # linked panes are narrow
            self._sizes = _some_widths(listing.ask.view.columns, sample, room, gap, self.only, self.hidden)
            shown = sum(1 for size in self._sizes if size)
            left = room - sum(self._sizes) - gap * (shown - 1)
            lacking = 0 if self.only else self._leave_room(listing.ask.view, sample, room, gap)
            self._gap = " " * (gap if lacking else min(MOST_GAP, gap + left // max(1, shown)))
            self._measured = measured
            self._rows.clear()
        return self._sizes

    def _leave_room(self, view: View, sample: Sequence[Row], room: int, gap: int) -> int:
        """The cells that the longest reason lacks beside the columns that it never covers: short titles serve, and
        a long name gives way."""
        need = max((width(row.why.text) for row in sample if row.why), default=0)
        kept = [size for size in self._sizes[: view.keeps] if size]
        lacking = left = max(0, need - (room - sum(kept) - gap * len(kept)))
        for index, column in sorted(enumerate(view.columns[: view.keeps]), key=lambda each: each[1].middle):
            size = self._sizes[index]
            least = column.least if column.middle else width(column.short)
            if left and size and least:
                self._sizes[index] = max(min(size, least), size - left)
                left -= size - self._sizes[index]
        return lacking

    # --- painting -----------------------------------------------------------------------------------------------------

    def line(self, y: int, wide: int) -> Strip:
        if not self.joint:
            return self._line(y, wide)
        return Strip([segment("│" if y else "┬", self.inks.rule), *self._line(y, wide - 1)], wide)

    def _line(self, y: int, wide: int) -> Strip:
        if y == 0:
            return self._titleline(wide) if self.titled else self._headline(wide)
        if self.listing is None or not len(self.listing):
            line = self.notice[y - 1] if y - 1 < len(self.notice) else ()
            return strip((Span(" "), *line), wide, self.colours.ground)
        at = self.top + y - 1
        if at >= len(self.listing):
            return Strip.blank(wide, self.inks.blank)
        row = self._row(self.listing, at, wide)
        if not self._thumb(y - 1):
            return row
        return Strip([*row.crop(0, wide - 1), segment("▐", self.inks.rule)], wide)

    def _titleline(self, wide: int) -> Strip:
        used = sum(width(span.text) for span in self.title)
        return strip((*self.title, Span("─" * (wide - used), Tone.DIM)), wide, self.colours.ground)

    def _headline(self, wide: int) -> Strip:
        inks = self.colours.ground
        if self.listing is None:
            return Strip.blank(wide, inks.blank)
        segments = [segment(" " * self._edge, inks.head)]
        ask = self.listing.ask
        for index, (column, size) in enumerate(zip(ask.view.columns, self.sizes(), strict=False)):
            if size:
                mark = ("↓" if ask.down else "↑") if ask.sort == index else ""
                segments.append(segment(_title(column, size, mark) + self._gap, inks.head))
        return seal(segments, wide, inks.blank)

    def _row(self, listing: Listing, at: int, wide: int) -> Strip:
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
        self, listing: Listing, row: Row, wide: int, inks: Inks, mark: str, chosen: int, struck: bool = False
    ) -> Strip:
        segments = [segment(mark, inks.mark)]
        if row.lead is not None and not self.only:
            segments.append(segment(row.lead.text[:1], inks.tones[row.lead.tone]))
        segments.append(segment(" ", inks.mark))
        sizes = self.sizes()  # before the gap, which it may change
        columns, space = listing.ask.view.columns, self._gap
        said = None if self.only else row.why or row.note
        covered = len(sizes)
        if said is not None:
            covered = self._covered(row, wide, listing.ask.view.keeps) if row.why else noted_from(row, columns, sizes)
            used = sum(size + len(space) for size in sizes[:covered] if size)
            if row.why is None and wide - self._edge - self.joint - used <= NOTE:
                said, covered = None, len(sizes)
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
                segments += [segment(text, inks.tones[cell.tone] + STRUCK), segment(space, inks.blank)]
            elif index == chosen:
                segments += [segment(text, inks.cells[cell.tone]), segment(space, inks.blank)]
            else:
                segments.append(segment(text + space, inks.tones[cell.tone]))
        if said is not None:
            reason = shorter(said.text, wide - left - 1)
            segments.append(segment(reason, inks.tones[said.tone] + (STRUCK if struck else Style())))
        return seal(segments, wide, inks.blank)

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
        total, page = self.count, self.page
        if total <= page:
            return False
        size = max(1, page * page // total)
        start = (page - size) * self.top // max(1, total - page)
        return start <= y < start + size

    # --- mouse --------------------------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        self.place(self.cursor)
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        at = self.row_at(event.y)
        if at is None:
            return
        cell = self._cell_at(event.x)
        again = at == self.cursor and event.chain > 1
        self.move(at)
        row = self.row
        self.cell = cell if row and cell >= 0 and row.cells[cell].ref else -1
        self.refresh()
        if again and self.target:
            self.post_message(self.Followed(self, self.target))

    def _cell_at(self, x: int) -> int:
        left = self._edge + self.joint
        for index, size in enumerate(self.sizes()):
            if size and left <= x < left + size:
                return index
            left += size + len(self._gap) if size else 0
        return -1


def _some_widths(
    columns: Sequence[Column], rows: Sequence[Row], room: int, gap: int, only: Mapping[str, int], hidden: Set[str]
) -> list[int]:
    """`widths` for some of the columns, as if the others were not there."""
    kept = [
        index
        for index, column in enumerate(columns)
        if (column.key in only if only else column.screen is not False and column.key not in hidden)
    ]
    some = [Row(row.ref, tuple(row.cells[index] for index in kept)) for row in rows]
    shown = [
        replace(column, title="", leaves=not only[column.key], least=only[column.key] or column.least)
        if only
        else column
        for column in (columns[index] for index in kept)
    ]
    sizes = dict(zip(kept, widths(shown, some, room, gap), strict=True))
    return [sizes.get(index, 0) for index in range(len(columns))]


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


class LinkedPanes(Horizontal):
    def __init__(self) -> None:
        super().__init__(id="linked")
        self.grids = tuple(Grid(id=f"linked{at}", titled=True, joint=at > 0) for at in range(3))

    def compose(self) -> ComposeResult:
        yield from self.grids

    def show(self, host_view: HostView, main: View, ref: Ref | None, everything: bool) -> None:
        """Lists what belongs to `ref`; with `everything` all there is, and marks what belongs. All, too, where there is
        nothing to belong to."""
        for grid, name in zip(self.grids, LINKED_VIEWS[main.name], strict=True):
            _fill(grid, host_view, BY_NAME[name], ref, everything)


def _fill(grid: Grid, host_view: HostView, view: View, ref: Ref | None, everything: bool) -> None:
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
        wide = grid.app.size.width // 3 - 2  # its own width is not known before it is laid out
        notice = ((Span(" none", Tone.DIM),),) if known else header.notice(view, host_view.host, "", "", wide)[1:]
    grid.show(listing, at, notice)


def _headline_of(view: View, count: str) -> Line:
    return (Span("─ ", Tone.DIM), Span(view.title, Tone.TITLE), Span(f" {count} "))
