"""The list as somebody wants it: its rows by compose project, or connections by what they have in common, and which
of a view's columns are shown.

What is chosen is kept in the config file."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding

from netdash.model.errors import NetdashError
from netdash.model.records import replace
from netdash.tui.popup import Popup
from netdash.view.groups import of_row
from netdash.view.table import View
from netdash.view.text import Line, Span, Tone, clean, fit

if TYPE_CHECKING:
    from netdash.tui.dashboard import Dashboard
    from netdash.tui.panes import Panes


def group(dashboard: Dashboard) -> None:
    """By the next of what the view can be grouped by, or no longer: the cursor stays on its row; from a headline it
    goes to the first below."""
    panes = dashboard.panes
    ask = panes.places.here.ask
    names = ask.view.groupings
    if not names:
        dashboard.say("containers, networks and connections can be grouped, nothing else", Tone.DIM)
        return
    if panes.on_headline:
        _leave(panes)
    by = (ask.grouped + 1) % (len(names) + 1)
    dashboard.narrow(grouped=by)
    if len(names) > 1:
        dashboard.say(f"by {names[by - 1]}" if by else "not grouped", Tone.DIM)


def fold(panes: Panes) -> None:
    """Folds the group under the cursor, or unfolds it."""
    row = panes.grid.row
    if row is not None and not panes.lost():
        panes.stand()
        panes.places.change(folded=panes.places.here.ask.folded ^ {row.ref})
        panes.rearrange()


def _leave(panes: Panes) -> None:
    """The headlines are to go: the cursor's place becomes the first row below its own."""
    panes.stand()
    listing, row = panes.grid.listing, panes.grid.row
    if listing is not None and row is not None:
        by = listing.ask.grouped
        below = (at for at in listing.order if at >= 0 and row.ref in of_row(listing.rows[at], by))
        panes.places.put(replace(panes.places.here, ref=next(map(listing.rows.ref, below), None)))
        panes.grid.show(None, 0)


_NAME = 14  # cells of a column's title


def choose(dashboard: Dashboard) -> None:
    dashboard.app.push_screen(Columns(dashboard))


class Columns(Popup):
    """What is switched shows in the list at once; Enter keeps it, Esc gives it up."""

    BINDINGS: ClassVar = [Binding("space", "switch", show=False), Binding("vertical_line", "close", show=False)]

    def __init__(self, dashboard: Dashboard) -> None:
        self.dashboard = dashboard
        self.before = dashboard.netdash.options
        self.view = dashboard.panes.places.view
        self.hidden = dashboard.netdash.hidden(self.view)
        shown = [column for column in self.view.columns if column.screen is not False]
        super().__init__(
            f"Columns of {self.view.title}",
            self._lines(),
            [(column.key, column.key) for column in shown],
            "keep   Space on, off",
        )

    def _lines(self) -> Sequence[Line]:
        sizes = self.dashboard.panes.grid.sizes()
        fits = {column.key for column, size in zip(self.view.columns, sizes, strict=False) if size}
        return _lines(self.view, self.hidden, fits)

    def action_switch(self) -> None:
        key = self.menu.offers[self.menu.cursor][0]
        if key in {column.key for column in self.view.columns[: self.view.keeps]}:
            return
        self.hidden = self.hidden ^ {key}
        app = self.dashboard.netdash
        app.options = replace(app.options, columns={**app.options.columns, self.view.name: self._shown()})
        self.dashboard.refresh_all()
        self.menu.lines = self._lines()
        self.menu.refresh()

    def _shown(self) -> tuple[str, ...]:
        return tuple(key for key, _ in self.menu.offers if key not in self.hidden)

    def action_close(self) -> None:
        self.dashboard.netdash.options = self.before
        self.dashboard.refresh_all()
        super().action_close()

    def action_choose(self) -> None:
        self.dismiss(None)
        app = self.dashboard.netdash
        if app.options.columns == self.before.columns:
            return
        try:
            if app.keep is not None:
                app.keep(self.view.name, self._shown())
        except NetdashError as error:
            self.dashboard.say(f"shown until netdash ends; not kept: {clean(error.message, 200)}", Tone.WARN)


def _lines(view: View, hidden: Set[str], fits: Set[str]) -> list[Line]:
    lines: list[Line] = []
    for at, column in enumerate(view.columns):
        if column.screen is False:
            continue
        on = column.key not in hidden
        word = "stays" if at < view.keeps else "no room here" if on and column.key not in fits else ""
        mark = Span(" ● " if on else " ○ ", Tone.GOOD if on else Tone.DIM)
        lines.append((mark, Span(fit(column.title.strip(), _NAME), Tone.KEY if on else Tone.DIM), Span(word, Tone.DIM)))
    return lines
