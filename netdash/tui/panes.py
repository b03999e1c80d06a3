"""What is on the screen: the panes, their layout, the one selection that all of them follow. No key is known here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.events import Resize
from textual.geometry import Size
from textual.screen import Screen

from netdash.model.host import Port, Proxy, Ref
from netdash.model.relations import ref_of
from netdash.tui import header
from netdash.tui.grid import Grid
from netdash.tui.history import Place, Places
from netdash.tui.host_view import Sheet
from netdash.tui.lines import Bar, Box
from netdash.tui.linked_panes import Beside
from netdash.tui.listing import Listing, arrange
from netdash.tui.prompt import Prompt
from netdash.tui.slices import Work
from netdash.tui.too_small import is_small
from netdash.view.card import card
from netdash.view.layout import size as width_of
from netdash.view.table import Row, View
from netdash.view.text import Line, Span, Tone
from netdash.view.views import VIEWS

if TYPE_CHECKING:
    from netdash.publish.undo import Pending
    from netdash.tui.app import Netdash
    from netdash.tui.background import Background
    from netdash.tui.change_interface import Made

LINKED_FROM = (120, 30)
SAMPLE = 3  # rows whose cards say how high the card is to be
FEW = 20  # rows; in a longer list one more changes nothing


def name_in(row: Row) -> str:
    """A row's name for people: what its first cell says."""
    return next((cell.text for cell in row.cells if len(cell.text) > 1), row.ref.key)


class Panes(Screen[None]):
    def __init__(self) -> None:
        super().__init__()
        self.places = Places(VIEWS[0])
        self.picked: tuple[Ref, ...] = ()  # two at most, for what is asked between two things
        self.everything = False  # linked panes show all rows and mark the linked ones
        self.top_bar, self.tab_bar, self.foot = (
            Bar(id="header", panel=True),
            Bar(id="tabs"),
            Bar(id="footer", panel=True),
        )
        self.grid, self.card = Grid(id="grid"), Box(id="card")
        self.beside = Beside()
        self.prompt = Prompt(id="prompt")
        self.work: Work[Listing] = Work()
        self.left: dict[str, Places] = {}  # by host: where the user was there
        self._said: Line = ()
        self._carded: Ref | None = None
        self._following = False
        self._listed: View | None = None  # of which view the list's rows are
        self._needed: tuple[object, int] = (None, 0)  # lines for the card, and for what they were found
        self.background: Background[Pending] | None = None  # reads what netdash changed
        self.published: Pending | None = None  # as far as it was read
        self.unfinished = ""  # in words, what is left of a change that was interrupted
        self.awaited: Made | None = None  # by a change: the cursor goes there
        self.asked_for: Sheet | None = None  # the host for which it was read last
        self.extent = Size(0, 0)  # of the terminal; `size` follows only after the layout

    @property
    def netdash(self) -> Netdash:
        return self.app  # type: ignore[return-value]

    @property
    def sheet(self) -> Sheet | None:
        return self.netdash.sheet

    def compose(self) -> ComposeResult:
        yield self.top_bar
        yield self.tab_bar
        yield self.grid
        yield self.card
        yield self.beside
        yield self.foot
        yield self.prompt

    def on_mount(self) -> None:
        self.set_focus(self.grid)
        self.fit_screen(self.size)
        if self.netdash.fleet is not None:
            self.set_interval(1.0, self.write_header)  # the age of what is shown goes on while nothing comes

    # --- from host to screen ------------------------------------------------------------------------------------------

    def update_sheet(self, sheet: Sheet) -> None:  # noqa: ARG002
        if self.is_mounted:
            self.refresh_all()

    def refresh_all(self) -> None:
        """Everything anew from the host and the place; cursor, scroll and focus stay."""
        self.fade(self.netdash.gone is not None)
        self.rearrange()
        self.write_header()

    def fade(self, faded: bool) -> None:
        for pane in (self.grid, self.card, *self.beside.grids):
            pane.fade(faded)

    def write_header(self) -> None:
        wide, app = self.extent.width, self.netdash
        host = self.sheet.host if self.sheet else None
        place, unfinished = self.place_of_host(), self.unfinished if wide >= header.NARROW else ""
        self.top_bar.show(
            *header.header(host, app.paused, app.gone, wide, place, app.options.read_only, unfinished, app.age),
        )
        ask = self.places.here.ask
        listing = self.grid.listing
        shown, total = (len(listing), len(listing.rows)) if listing is not None else (0, 0)
        note = header.filter_note(ask.text, self.name_of(ask.within), shown, total, self.work.busy)
        self.tab_bar.show(header.tabs(self.places.view, wide, wide - width_of(note)), note)
        self.write_footer()

    def place_of_host(self) -> str:
        """Which of several hosts is on screen: 2/3."""
        fleet = self.netdash.fleet
        names = [state.name for state in fleet.states()] if fleet else []
        return f"{names.index(fleet.chosen) + 1}/{len(names)}" if fleet and len(names) > 1 else ""

    def rearrange(self) -> None:
        """Works out which rows the pane shows; a long list takes several steps and the old one stays meanwhile."""
        if self.sheet is None:
            self.grid.show(None, 0, header.notice(self.places.view, None, "", "", self.extent.width))
            return
        self.work.start(arrange(self.sheet, self.places.here.ask), self.arranged)

    def arranged(self, listing: Listing) -> None:
        self.stand()
        self._land()
        sheet, place = self.sheet, self.places.here
        if sheet is None or listing.ask != place.ask:
            return
        at = None
        if place.ref is not None:
            near = listing[place.at].ref == place.ref if place.at < len(listing) else False
            at = place.at if near else listing.place(place.ref, sheet.index(listing.ask.view))
            if at is None:
                listing = self._with_gone(listing, place)
                at = place.at if listing.gone is None else listing.gone_at
        notice: Sequence[Line] = ()
        if not len(listing):
            ask = place.ask
            notice = header.notice(ask.view, sheet.host, ask.text, self.name_of(ask.within), self.extent.width)
        self.grid.cell = place.cell
        self.grid.show(listing, place.at if at is None else at, notice)
        self.fit_heights(listing)
        before, self._listed = self._listed, listing.ask.view
        if before in (None, self._listed):
            self.selected()
        else:
            self.follow_later()  # a whole other screen at once would hold up the next key
        self.write_header()

    def _land(self) -> None:
        """The cursor goes to the container that a change made, as soon as the host shows it."""
        made = self.awaited.container(self.sheet.host) if self.awaited and self.sheet else None
        if made is not None and self.places.view.kind == "container":
            self.places.put(replace(self.places.here, ref=ref_of(made), cell=-1))
            self.awaited = None

    def _with_gone(self, listing: Listing, place: Place) -> Listing:
        """With the row under the cursor, where it has left the list by itself: another would be taken for it."""
        shown, row, sheet = self.grid.listing, self.grid.row, self.sheet
        if shown is None or row is None or sheet is None or shown.ask != listing.ask or row.ref != place.ref:
            return listing
        at = sheet.index(listing.ask.view).get(row.ref)
        if at is None and not shown.struck:
            self.say(f"{name_in(row)} is gone", Tone.WARN)
        index = sheet.index(listing.ask.view)
        above = (listing.place(shown[one].ref, index) for one in range(self.grid.cursor - 1, -1, -1))
        after = next((one + 1 for one in above if one is not None), 0)
        return listing.keeping(row if at is None else listing.rows[at], after, at is None)

    def stand(self) -> None:
        """Notes where the cursor stands, which a key may have moved since the card followed it."""
        grid, here = self.grid, self.places.here
        if grid.listing is not None and grid.row is not None and grid.listing.ask.view is self.places.view:
            self.places.put(replace(here, ref=grid.row.ref, at=grid.cursor, cell=grid.cell))

    def lost(self) -> bool:
        """Whether the thing under the cursor is gone; says so."""
        if self.grid.on_struck and self.grid.row is not None:
            self.say(f"{name_in(self.grid.row)} is gone: no key acts on it", Tone.WARN)
        return self.grid.on_struck

    def leave_gone(self) -> None:
        """The cursor has moved off a row that is gone: the row goes too."""
        grid, listing = self.grid, self.grid.listing
        if listing is not None and listing.gone is not None and grid.cursor != listing.gone_at:
            grid.show(listing.without_gone(), grid.cursor - (grid.cursor > listing.gone_at))

    def selected(self) -> None:
        """The cursor stands on another thing: the card and the linked panes follow."""
        grid = self.grid
        ref = grid.row.ref if grid.row else None
        self.stand()
        self.write_card(ref)
        if self.sheet and self.linked_shown:
            self.beside.show(self.sheet, self.places.view, ref, self.everything)
        self.mark()

    def follow_later(self) -> None:
        """The cursor is painted first, what follows it in the next frame; a burst of keys has only one of those."""
        if not self._following:
            self._following = True
            self.call_after_refresh(self.follow_now)

    def follow_now(self) -> None:
        self._following = False
        self.selected()
        self.write_footer()

    def mark(self) -> None:
        """Marks in the list what belongs to the thing under the cursor of the pane that has the keys."""
        focused = self.focused if isinstance(self.focused, Grid) else self.grid
        row = focused.row
        linked = self.sheet.related(row.ref) if self.sheet and row else frozenset()
        self.grid.mark(linked, frozenset(self.picked))

    def write_card(self, ref: Ref | None) -> None:
        sheet = self.sheet
        if sheet is None or ref is None:
            self.card.show((), same=False)
            return
        same = self._carded == ref
        self._carded = ref
        row = self.grid.row
        if self.grid.on_struck and row is not None:
            self.card.show(((Span(f" {name_in(row)}", Tone.KEY), Span(" is gone: no key acts on it")),), same)
            return
        self.card.show(self.card_lines(sheet, ref), same)

    def card_lines(self, sheet: Sheet, ref: Ref) -> Sequence[Line]:
        container = sheet.container(ref.key) if ref.kind == "container" else None
        wide = self.extent.width
        return card(sheet.host, container, wide) if container else self._detail(sheet, ref, wide)

    def _detail(self, sheet: Sheet, ref: Ref, wide: int) -> Sequence[Line]:
        """What is known of a thing, and the path card of the container that it belongs to, where that is only one."""
        from netdash.view.detail import detail  # the first selection is a container

        owners = sheet.containers(ref)
        one = sheet.container(owners[0]) if len(owners) == 1 else None
        thing = sheet.thing(ref)
        lines = detail(sheet.host, thing, wide) if thing else ()
        if self.netdash.changes is not None and isinstance(thing, (Port, Proxy)):
            from netdash.tui import changing

            lines = (*lines, *changing.told_of(self, thing, wide))
        return (*lines, (), *card(sheet.host, one, wide, inwards=ref.kind != "port")) if one else lines

    def name_of(self, ref: Ref | None) -> str:
        """A name for people."""
        if ref is None or self.sheet is None:
            return ""
        found = self.sheet.find(ref)
        if found is None:
            return ref.key
        view, place = found
        return name_in(self.sheet.rows(view)[place])

    # --- layout -------------------------------------------------------------------------------------------------------

    @property
    def linked_shown(self) -> bool:
        return self.extent.width >= LINKED_FROM[0] and self.extent.height >= LINKED_FROM[1]

    def on_resize(self, event: Resize) -> None:
        self.fit_screen(event.size)

    def fit_screen(self, size: Size) -> None:
        """Lays the panes out for a terminal of `size`."""
        if size == self.extent:
            return
        self.extent = size
        if is_small(*size):
            return  # it is laid out when there is room for it
        self.set_class(self.linked_shown, "-linked")
        self.refresh_all()
        self.call_after_refresh(self.keep_focus)

    def keep_focus(self) -> None:
        """A pane that has gone with the old size leaves its keys to the list."""
        if self.focused is None or not self.focused.is_on_screen:
            self.set_focus(self.grid)
            self.write_footer()

    def fit_heights(self, listing: Listing) -> None:
        """The list and the card share the lines by what each needs, the linked panes take their share; the card needs
        what most rows of the view need, so that the selection never moves a pane."""
        if self.has_class("-asking") and self.grid.styles.height is not None:
            return  # nothing jumps while a filter is typed; the list shrinks to its rows when it is kept
        body = self.extent.height - 3
        rows = max(len(listing), len(self.grid.notice)) + 2
        beside = max(6, round(body * 0.24)) if self.linked_shown else 0
        card = self._card_need(listing)
        grid = min(rows, max(round((body - beside) * 0.4), body - beside - card))
        spare = max(0, body - grid - beside - card) if beside else 0
        beside += min(spare, beside)
        for widget, high in ((self.grid, grid), (self.card, body - grid - beside), (self.beside, beside)):
            if high and (widget.styles.height is None or widget.styles.height.value != high):
                widget.styles.height = high

    def _card_need(self, listing: Listing) -> int:
        """Lines that the cards of some rows need, and the card's own edge. Asked anew only where another answer is to
        be expected."""
        host = self.sheet.host if self.sheet else None
        if self.sheet is None or host is None or not len(listing):
            return 2
        sample = range(0, len(listing), max(1, len(listing) // SAMPLE))
        few = min(len(listing), FEW)
        key = (listing.ask.view.name, listing.ask.text, self.extent, host.pending, frozenset(host.failures), few)
        if self._needed[0] != key:
            needs = sorted(len(self.card_lines(self.sheet, listing[at].ref)) for at in sample)
            self._needed = (key, needs[len(needs) * 3 // 4] + 1)
        return self._needed[1]

    def write_footer(self) -> None:
        self.foot.show(self._said or self.hints(), () if self._said else (Span(self.where(), Tone.DIM),))

    def hints(self) -> Line:
        """What the keys do here."""
        return ()

    def where(self) -> str:
        listing = self.grid.listing
        return f"{self.grid.cursor + 1}/{len(listing)} " if listing else ""

    def say(self, text: str, tone: Tone = Tone.PLAIN) -> None:
        """A word to the user at the foot, until the next key or a few seconds."""
        self._said = (Span(" "), Span(text, tone))
        self.write_footer()
        self.set_timer(4.0, self.hush)

    def hush(self) -> None:
        if self._said:
            self._said = ()
            self.write_footer()
