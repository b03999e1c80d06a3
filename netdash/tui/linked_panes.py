"""The linked panes: three lists of what belongs to the selection. Which three each view shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal

from netdash.model.host import Ref
from netdash.tui import header
from netdash.tui.grid import Grid
from netdash.tui.host_view import Ask, Listing, Sheet
from netdash.view.table import View
from netdash.view.text import Line, Span, Tone
from netdash.view.views import BY_NAME

LINKED: Mapping[str, tuple[str, str, str]] = {
    "containers": ("rules", "routes", "proxies"),
    "ports": ("containers", "rules", "proxies"),
    "networks": ("containers", "rules", "routes"),
    "rules": ("containers", "ports", "routes"),
    "routes": ("containers", "networks", "rules"),
    "proxies": ("containers", "ports", "rules"),
    "links": ("containers", "networks", "routes"),
    "drift": ("containers", "ports", "rules"),
}

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

    def show(self, sheet: Sheet, main: View, ref: Ref | None, everything: bool) -> None:
        """Lists what belongs to `ref`; with `everything` all there is, and marks what belongs. All, too, where there is
        nothing to belong to."""
        for grid, name in zip(self.grids, LINKED[main.name], strict=True):
            _fill(grid, sheet, BY_NAME[name], ref, everything)


def _fill(grid: Grid, sheet: Sheet, view: View, ref: Ref | None, everything: bool) -> None:
    rows = sheet.rows(view)
    linked = sheet.deciding(view, ref) if ref else []
    order: Sequence[int] = range(len(rows)) if everything or ref is None else linked
    known = view.known(sheet.host)
    grid.only = BRIEF[view.name]
    grid.title = _title(view, f"{len(linked)} of {len(rows)}" if known and ref else str(len(rows)) if known else "?")
    grid.mark(sheet.related(ref) if ref and everything else frozenset())
    listing = Listing(Ask(view), rows, order)
    keep = grid.row.ref if grid.row and grid.listing and grid.listing.ask.view is view else None
    at = listing.place(keep, sheet.index(view)) if keep else None
    if at is None:
        at = min(linked) if everything and linked else 0
    notice: Sequence[Line] = ()
    if not len(order):
        notice = (
            ((Span(" none", Tone.DIM),),) if known else header.notice(view, sheet.host, "", "", grid.size.width)[1:]
        )
    grid.show(listing, at, notice)


def _title(view: View, count: str) -> Line:
    return (Span("─ ", Tone.DIM), Span(view.title, Tone.TITLE), Span(f" {count} "))
