"""The list by compose project: what its keys do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdash.model.records import replace
from netdash.view.groups import of_thing
from netdash.view.text import Tone

if TYPE_CHECKING:
    from netdash.tui.dashboard import Dashboard
    from netdash.tui.panes import Panes


def group(dashboard: Dashboard) -> None:
    """By compose project, or no longer: the cursor stays on its row; from a headline it goes to the first below."""
    panes = dashboard.panes
    ask = panes.places.here.ask
    if ask.view.project is None:
        dashboard.say("containers and networks are grouped by compose project, nothing else is", Tone.DIM)
        return
    if panes.on_headline:
        _leave(panes)
    dashboard.narrow(grouped=not ask.grouped)


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
    listing, row, view = panes.grid.listing, panes.grid.row, panes.places.view
    if listing is not None and row is not None:
        below = (at for at, thing in enumerate(listing.rows.things) if of_thing(view, thing) == row.ref)
        panes.places.put(replace(panes.places.here, ref=next(map(listing.rows.ref, below), None)))
        panes.grid.show(None, 0)
