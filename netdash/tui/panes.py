"""The panes: a list, the card of the thing under its cursor, and the linked lists. Owns how they share the screen, the
one selection that all of them follow, and the places in the views. Knows no key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.geometry import Size
from textual.widget import Widget

from netdash.model.finding import health_of
from netdash.model.host import Port, Proxy, Ref
from netdash.model.records import dataclass, replace
from netdash.model.relations import is_unread, ref_of
from netdash.tui import frame, header, interfaces
from netdash.tui.actions import first_key
from netdash.tui.grid import Grid, LinkedPanes
from netdash.tui.host_app import HostApp
from netdash.tui.host_view import Ask, HostView, Listing, Looked, arrange, named
from netdash.tui.surface import CardBox
from netdash.tui.work import Work
from netdash.view import groups
from netdash.view.card import card
from netdash.view.table import Row, View
from netdash.view.text import Line, Span, Tone
from netdash.view.views import BY_NAME, VIEWS

if TYPE_CHECKING:
    from netdash.tui.interfaces import Made
    from netdash.tui.own_changes import OwnChanges


LONGEST = 100  # steps back that are kept


@dataclass(frozen=True, slots=True)
class Place:
    """A view as the user left it."""

    ask: Ask
    ref: Ref | None = None  # the row under the cursor; None where the cursor has not been yet
    at: int = 0  # its number, for when the row is gone
    cell: int = -1


class Places:
    """The place in every view, and the history of follows."""

    def __init__(self, first: View) -> None:
        self.view = first
        self._places: dict[str, Place] = {}
        self._history: list[Place] = []

    @property
    def here(self) -> Place:
        return self.of(self.view)

    def of(self, view: View) -> Place:
        return self._places.get(view.name) or Place(Ask(view))

    def put(self, place: Place) -> None:
        self._places[place.ask.view.name] = place

    def change(self, **values: object) -> None:
        """Changes what is asked of the view on screen."""
        self.put(replace(self.here, ask=replace(self.here.ask, **values)))  # type: ignore[arg-type]

    def remember(self) -> None:
        """Makes the present place one to come back to."""
        self._history.append(self.here)
        del self._history[:-LONGEST]

    def back(self) -> bool:
        """Returns to the place before; False when there is none."""
        if not self._history:
            return False
        place = self._history.pop()
        self.put(place)
        self.view = place.ask.view
        return True


HEADLINE = "this is the headline of a group: choose a row below it"
FEW = 20  # rows; in a longer list one more changes nothing


def name_in(row: Row) -> str:
    """A row's name for people: what its first cell says."""
    return next((cell.text for cell in row.cells if len(cell.text) > 1), row.ref.key)


class Panes(Vertical):
    """`arranged` is called when the list has other rows, `followed` when card and linked panes have followed the cursor
    later, `say` with a sentence for the user."""

    def __init__(
        self, arranged: Callable[[], None], followed: Callable[[], None], say: Callable[[str, Tone], None]
    ) -> None:
        super().__init__(id="panes")
        self._arranged, self._followed, self._say = arranged, followed, say
        self.grid, self.card, self.linked = Grid(id="grid"), CardBox(self.write_card), LinkedPanes()
        self.places = Places(VIEWS[0])
        self._left: dict[str, Places] = {}  # by host: where the user was there
        self.picked: tuple[Ref, ...] = ()  # two at most, for what is asked between two things
        self.everything = False  # linked panes show all rows and mark the linked ones
        self.extent = Size(0, 0)  # of the terminal; `size` follows only after the layout
        self.still = False  # no pane changes its height
        self.typed = False  # the filter was typed: the cursor goes to the row that it names
        self.extra = 0  # lines above the panes beside the header and the tabs
        self.own_changes: OwnChanges | None = None
        self.awaited: Made | None = None  # by a change: the cursor goes there
        self.work: Work[Listing] = Work()
        self._card_of: Ref | None = None
        self._following = False
        self._listed: View | None = None  # of which view the list's rows are
        self._needed: tuple[object, int] = (None, 0)  # lines for the card, and for what they were found

    @property
    def host_view(self) -> HostView | None:
        return self.host_app.host_view

    @property
    def host_app(self) -> HostApp:
        return self.app  # type: ignore[return-value]

    def compose(self) -> ComposeResult:
        yield self.grid
        yield self.card
        yield self.linked

    @property
    def ring(self) -> list[Widget]:
        """The panes that can have the keys, in order."""
        linked = [grid for grid in self.linked.grids if grid.listing] if self.linked_shown else []
        return [self.grid, self.card, *linked]

    @property
    def filled(self) -> bool:
        """Whether the list shows what was read, and not what is still being read or arranged."""
        host = self.host_view.host if self.host_view else None
        return host is not None and not self.work.busy and host.pending.isdisjoint(self.places.view.sources)

    def fade(self, faded: bool) -> None:
        for pane in (self.grid, self.card, *self.linked.grids):
            pane.fade(faded)

    # --- the list -----------------------------------------------------------------------------------------------------

    def rearrange(self) -> None:
        """Works out which rows the list shows; a long list takes several steps and the old one stays meanwhile."""
        if self.host_view is None:
            self.grid.show(None, 0, header.notice(self.places.view, None, "", "", self.extent.width))
            return
        interfaces.tell(self.host_app.feed, self.app.screen_stack)
        self.work.start(arrange(self.host_view, self.places.here.ask), self._arrange)

    def go(self, view: View, ref: Ref | None = None, text: str | None = None) -> None:
        """Shows a view, the cursor on `ref`; a filter that would hide it is taken away."""
        place = self.places.of(view)
        ask = place.ask
        if ref is not None or text is not None:
            row = self.host_view.row(view, ref) if self.host_view and ref and ask.folded else None
            shown = ask.folded - {*groups.of_row(row, ask.grouped)} if row is not None else ask.folded
            ask = replace(ask, text=text or "", within=None, folded=shown)
        self.places.put(Place(ask, ref or place.ref, place.at, -1 if ref else place.cell))
        self.places.view = view
        self.anew()

    def leave_host(self, left: str, name: str, ref: Ref | None) -> None:
        """Another host is to come: its places as they were left, or its containers with the cursor on `ref`."""
        self.stand()
        self.grid.show(None, 0)  # no key acts on a row of the host before
        view = self.places.view
        self._left[left] = self.places
        self.places = self._left.pop(name) if name in self._left else Places(view)
        self.places.view = view if ref is None else BY_NAME["containers"]
        if ref is not None:  # nothing is arranged before the host has come: the cursor would leave for another row
            self.places.put(Place(Ask(self.places.view), ref))

    def anew(self) -> None:
        """Another place: no key acts on a row of the one before."""
        self.grid.show(None, 0)
        self.rearrange()

    def counterpart(self, view: View) -> Ref | None:
        """The row of another view that stands for the selection: None where its cursor is on one that belongs."""
        host_view, here = self.host_view, self.grid.row
        return host_view.counterpart(view, here.ref, self.places.of(view).ref) if host_view and here else None

    def _arrange(self, listing: Listing) -> None:
        self.stand()
        self._land()
        host_view, place = self.host_view, self.places.here
        if host_view is None or listing.ask != place.ask:
            return
        at = None
        if place.ref is not None:
            near = listing[place.at].ref == place.ref if place.at < len(listing) else False
            index = host_view.index(listing.ask.view)
            at = place.at if near else listing.place(place.ref, index)
            if at is None and listing.folded and place.ref in index:  # under a headline that is folded
                headline = groups.of_row(listing.rows[index[place.ref]], listing.ask.grouped)[0]
                at = listing.place(headline, index)
            if self.typed:
                found = named(listing, place.ref)
                at = at if found is None else found
            if at is None:
                listing = self._with_gone(listing, place)
                at = place.at if listing.gone is None else listing.gone_at
        self.typed = False
        notice: Sequence[Line] = ()
        if not len(listing):
            ask, run = place.ask, first_key("run", self.host_app.options.keys)
            run = "" if self.host_app.unchangeable else run
            within = self.name_of(ask.within)
            notice = header.notice(ask.view, host_view.host, ask.text, within, self.extent.width, run)
        self.grid.cell = place.cell
        self.grid.hidden = self.host_app.hidden(listing.ask.view)
        self.grid.show(listing, place.at if at is None else at, notice)
        self.fit_heights(listing)
        before, self._listed = self._listed, listing.ask.view
        if before is None:
            self.selected()
        else:
            self.follow_later()  # the whole screen at once would hold up the next key
        self._arranged()

    def _land(self) -> None:
        """The cursor goes to the container that a change made, as soon as the host shows it."""
        made = self.awaited.container(self.host_view.host) if self.awaited and self.host_view else None
        if made is not None and self.places.view.kind == "container":
            self.places.put(replace(self.places.here, ref=ref_of(made), cell=-1))
            self.awaited = None

    def _with_gone(self, listing: Listing, place: Place) -> Listing:
        """With the row under the cursor, where it has left the list by itself: another would be taken for it."""
        shown, row, host_view = self.grid.listing, self.grid.row, self.host_view
        if shown is None or row is None or host_view is None or shown.ask != listing.ask or row.ref != place.ref:
            return listing
        if is_unread(row.ref):  # what it said of is read now
            return listing
        index = host_view.index(listing.ask.view)
        at = index.get(row.ref)
        if at is None and not shown.struck:
            self._say(f"{name_in(row)} is gone", Tone.WARN)
        above = (listing.place(shown[before].ref, index) for before in range(self.grid.cursor - 1, -1, -1))
        after = next((found + 1 for found in above if found is not None), 0)
        return listing.keeping(row if at is None else listing.rows[at], after, at is None)

    def stand(self) -> None:
        """Notes where the cursor stands, which a key may have moved since the card followed it."""
        grid, here = self.grid, self.places.here
        if grid.listing is not None and grid.row is not None and grid.listing.ask.view is self.places.view:
            self.places.put(replace(here, ref=grid.row.ref, at=grid.cursor, cell=grid.cell))

    @property
    def why_lost(self) -> str:
        """That the thing under the cursor is gone; "" where it is there."""
        row = self.grid.row if self.grid.on_struck else None
        return f"{name_in(row)} is gone: no key acts on it" if row is not None else ""

    def lost(self) -> bool:
        """Whether the thing under the cursor is gone; says so."""
        if self.why_lost:
            self._say(self.why_lost, Tone.WARN)
        return bool(self.why_lost)

    @property
    def on_headline(self) -> bool:
        """Whether the cursor stands on the headline of a group."""
        row = self.grid.row
        return row is not None and row.ref.kind == groups.KIND

    def moved(self) -> None:
        """The cursor of the list stands on another row; where it has left one that is gone, that row goes too."""
        self.awaited = None
        grid, listing = self.grid, self.grid.listing
        if listing is not None and listing.gone is not None and grid.cursor != listing.gone_at:
            grid.show(listing.without_gone(), grid.cursor - (grid.cursor > listing.gone_at))
        self.follow_later()

    # --- what follows the cursor --------------------------------------------------------------------------------------

    def selected(self) -> None:
        """The cursor stands on another thing: the card and the linked panes follow."""
        ref = self.grid.row.ref if self.grid.row else None
        self.stand()
        order = self.grid.listing.order[self.grid.sampled] if self.grid.listing else ()
        self.host_app.looked = Looked(self.places.view, ref, order)
        self.write_card()
        interfaces.tell(self.host_app.feed, self.app.screen_stack)
        if self.host_view and self.linked_shown:
            self.linked.show(self.host_view, self.places.view, ref, self.everything)
        self.mark()

    def follow_later(self) -> None:
        """The cursor is painted first, what follows it in the next frame; a burst of keys has only one of those."""
        if not self._following:
            self._following = True
            self.call_after_refresh(self._follow_now)

    def _follow_now(self) -> None:
        self._following = False
        self.selected()
        self._followed()

    def mark(self) -> None:
        """Marks in the list what belongs to the thing under the cursor of the pane that has the keys."""
        focused = self.screen.focused
        row = (focused if isinstance(focused, Grid) else self.grid).row
        linked = self.host_view.related(row.ref) if self.host_view and row else frozenset()
        self.grid.mark(linked, frozenset(self.picked))

    def write_card(self) -> None:
        host_view, row = self.host_view, self.grid.row
        if host_view is None or row is None:
            self.card.show((), same=False)
            return
        same = self._card_of == row.ref
        if not same:
            self._card_of, self.card.question = row.ref, None
        if self.grid.on_struck:
            gone: Line = (Span(f" {name_in(row)}", Tone.KEY), Span(" is gone: no key acts on it"))
            self.card.show((gone,), same)
        else:
            self.card.show(self._card_lines(host_view, row.ref), same)

    def _card_lines(self, host_view: HostView, ref: Ref) -> Sequence[Line]:
        return (*groups.noted(host_view.host, self.places.view, self.extent.width), *self._row_lines(host_view, ref))

    def _row_lines(self, host_view: HostView, ref: Ref) -> Sequence[Line]:
        container = host_view.container(ref.key) if ref.kind == "container" else None
        if ref.kind == groups.KIND:
            return groups.card(host_view.host, ref, self.extent.width, self.places.here.ask.grouping)
        if container is None:
            return self._detail(host_view, ref, self.extent.width)
        return card(host_view.host, container, self.extent.width, self.card.question, on_screen=True)

    def _detail(self, host_view: HostView, ref: Ref, wide: int) -> Sequence[Line]:
        """What is known of a thing, and the card of the container that it belongs to, where that is only one."""
        from netdash.view.detail import detail, port_of  # the first selection is a container

        owners = host_view.containers(ref)
        owner = host_view.container(owners[0]) if len(owners) == 1 else None
        thing = host_view.thing(ref)
        lines = detail(host_view.host, thing, wide, self.card.question, on_screen=True) if thing else ()
        if self.own_changes is not None and isinstance(thing, (Port, Proxy)):
            lines = (*lines, *self.own_changes.lines(host_view, thing, wide))
        if owner is None or port_of(host_view.host, thing) is not None:
            return lines
        return (*lines, (), *card(host_view.host, owner, wide, self.card.question, on_screen=True))

    def name_of(self, ref: Ref | None) -> str:
        """A name for people."""
        if ref is None or self.host_view is None:
            return ""
        found = self.host_view.find(ref)
        return name_in(self.host_view.rows(found[0])[found[1]]) if found else ref.key

    # --- layout -------------------------------------------------------------------------------------------------------

    @property
    def linked_shown(self) -> bool:
        return frame.linked_fit(*self.extent)

    def fit_heights(self, listing: Listing) -> None:
        """The list and the card share the lines by what each needs, the linked panes take their share; the card needs
        what most rows of the view need, so that the selection never moves a pane."""
        if self.still and self.grid.styles.height is not None:
            return  # nothing jumps while a filter is typed; the list shrinks to its rows when it is kept
        rows = max(len(listing), len(self.grid.notice))
        body = self.extent.height - frame.BARS - self.extra
        shared = frame.heights(body, rows, self._card_need(listing), self.linked_shown)
        for widget, high in ((self.grid, shared.grid), (self.card, shared.card), (self.linked, shared.linked)):
            if high and (widget.styles.height is None or widget.styles.height.value != high):
                widget.styles.height = high

    def _card_need(self, listing: Listing) -> int:
        """Lines that the cards of some rows need, and the card's own edge. Asked anew only where another answer is to
        be expected."""
        host_view = self.host_view
        if host_view is None or not len(listing):
            return frame.EMPTY_CARD
        few = min(len(listing), FEW)
        host = host_view.host
        known = (host.pending, frozenset(host.failures), health_of(host) is not None)
        key = (listing.ask.view.name, listing.ask.text, self.extent, known, few)
        if self._needed[0] != key:
            cards = (self._card_lines(host_view, listing[at].ref) for at in frame.sample(len(listing)))
            self._needed = (key, frame.card_need(cards))
        return self._needed[1]
