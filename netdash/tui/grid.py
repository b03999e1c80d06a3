"""The list widget, which paints only the lines on screen and keeps its cursor by what the row is; and the three linked
panes of each view, which list what belongs to the selection."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.strip import Strip

from netdash.model.host import Ref
from netdash.tui.host_view import HostView, Listing
from netdash.tui.list_lines import ListLines, fill
from netdash.tui.surface import ListWidget
from netdash.tui.theme import joined
from netdash.view.table import View
from netdash.view.text import Line
from netdash.view.views import BY_NAME, LINKED_VIEWS


class Grid(ListLines[Style], ListWidget):
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
        self.begin(titled, joint)

    # --- what it shows ------------------------------------------------------------------------------------------------

    @property
    def wide(self) -> int:  # type: ignore[override]
        return self.size.width

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

    def line(self, y: int, wide: int) -> Strip:
        return joined(self.parts(y, wide))

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
            grid.show(*fill(grid, host_view, BY_NAME[name], ref, everything, self.app.size.width))
