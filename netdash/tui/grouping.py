"""The list by compose project, or connections by what they have in common: what its keys do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdash.model.records import replace
from netdash.view.groups import of_row
from netdash.view.text import Tone

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
        below = (at for at in listing.order if at >= 0 and of_row(listing.rows[at], by) == row.ref)
        panes.places.put(replace(panes.places.here, ref=next(map(listing.rows.ref, below), None)))
        panes.grid.show(None, 0)
