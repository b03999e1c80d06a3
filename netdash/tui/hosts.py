"""The hosts of a fleet, the containers of all of them, and the change from one to another. Loaded when needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from netdash.core.model import Ref
from netdash.show.hosts import Named, lost, rows, with_host
from netdash.show.spans import Line, Span, Tone, clean, fit, width
from netdash.show.table import Row, widths
from netdash.show.words import age
from netdash.tui.feed import Fleet, HostState
from netdash.tui.listing import Ask
from netdash.tui.places import Place, Places
from netdash.tui.popup import Offer, Popup
from netdash.tui.sheet import BY_NAME

if TYPE_CHECKING:
    from netdash.tui.screen import Dashboard

MOST = 2_000  # containers that are listed
AGAIN = 1.0  # seconds between two looks at the hosts
_GAP = 2
_COLUMNS = ("host", "name", "state", "address", "published")

Lines = Callable[[], tuple[Sequence[Line], Sequence[Offer]]]


def choose(screen: Dashboard) -> None:
    """The list of hosts."""
    fleet = screen.netdash.fleet
    if fleet is None:
        screen.say("this is the only host; netdash --host ssh://… --host local opens several", Tone.DIM)
    else:
        screen.app.push_screen(hosts_popup(fleet), partial(_chosen, screen))


def everywhere(screen: Dashboard) -> None:
    """The containers of all hosts; of the only one, its view."""
    fleet = screen.netdash.fleet
    if fleet is None:
        screen.action_view("containers")
    else:
        screen.app.push_screen(everywhere_popup(fleet, screen.extent.width - 10), partial(_chosen, screen))


def _chosen(screen: Dashboard, text: str | None) -> None:
    """Of what a popup offered: a host, and perhaps one of its containers."""
    if text is not None:
        name, _, container = text.partition("\n")
        look_at(screen, name, Ref("container", container) if container else None)


def look_at(screen: Dashboard, name: str, ref: Ref | None = None) -> None:
    """Another host, in the same view and as it was left, or its containers with the cursor on `ref`."""
    fleet, view = screen.netdash.fleet, screen.places.view
    if fleet is not None and fleet.chosen != name:
        screen.left[fleet.chosen] = screen.places
        screen.places = screen.left.pop(name) if name in screen.left else Places(view)
        screen.places.view = view if ref is None else BY_NAME["containers"]
        if ref is not None:  # nothing is arranged before the host has come: the cursor would leave for another row
            screen.places.put(Place(Ask(screen.places.view), ref))
        screen.netdash.look_at(name)
    elif ref is not None:
        screen.go(BY_NAME["containers"], ref)


# --- what there is to choose from -------------------------------------------------------------------------------------


class Choice(Popup):
    """A popup whose lines are made anew while it is open; the cursor stays on what it offers."""

    def __init__(self, title: str, make: Lines, verb: str) -> None:
        self.make = make
        super().__init__(title, *make(), verb)

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(AGAIN, self.renew)

    def renew(self) -> None:
        sheetlet = self.sheetlet
        lines, offers = self.make()
        if (lines, offers) == (sheetlet.lines, sheetlet.offers):
            return
        here = sheetlet.offers[sheetlet.cursor] if sheetlet.cursor < len(sheetlet.offers) else None
        resized = len(lines) != len(sheetlet.lines)
        sheetlet.lines, sheetlet.offers = lines, offers
        sheetlet.cursor = offers.index(here) if here in offers else min(sheetlet.cursor, max(0, len(offers) - 1))
        sheetlet.refresh(layout=resized)


def hosts_popup(fleet: Fleet) -> Popup:
    """Every host with what is known of it; choosing one shows it."""

    def make() -> tuple[Sequence[Line], Sequence[Offer]]:
        states = fleet.states()
        room = max((width(clean(one.name, 40)) for one in states), default=0)
        return [_host(one, one.name == fleet.chosen, room) for one in states], [(one.name, one.name) for one in states]

    return Choice("Hosts", make, "show")


def everywhere_popup(fleet: Fleet, room: int) -> Popup:
    """The containers of all hosts in `room` cells a line; choosing one shows its host, the cursor on it."""
    built: dict[str, tuple[HostState, list[Row]]] = {}

    def make() -> tuple[Sequence[Line], Sequence[Offer]]:
        found = [(one, row) for one in fleet.states() for row in _rows(one, built)]
        lines = _table([row for _, row in found[:MOST]], room)
        offers = [(one.name, f"{one.name}\n{row.ref.key if row.ref.kind != 'host' else ''}") for one, row in found]
        return lines, offers[:MOST]

    return Choice("Containers of all hosts", make, "go there")


def _rows(one: HostState, built: dict[str, tuple[HostState, list[Row]]]) -> list[Row]:
    """Built again only when the host is another one."""
    known = built.get(one.name)
    if known and known[0].host is one.host:
        return known[1]
    named, view = Named(one.name, one.host), BY_NAME["containers"]
    made, _ = rows(view, [named])
    marked = lost(view, named) if not one.reading else None
    built[one.name] = (one, [*made, marked] if marked else made)
    return built[one.name][1]


def _table(found: Sequence[Row], room: int) -> list[Line]:
    columns = with_host(BY_NAME["containers"]).columns
    shown = [column.key in _COLUMNS for column in columns]
    sizes = widths(columns, [row for row in found if row.ref.kind != "host"], room, _GAP, shown)
    return [_line(row, sizes, room) for row in found]


def _line(row: Row, sizes: Sequence[int], room: int) -> Line:
    if row.ref.kind == "host":
        name, why = row.cells[:2]
        first = sizes[0] or width(name.text)
        return (Span(fit(name.text, first), name.tone), Span("  "), Span(fit(why.text, room - first), why.tone))
    cells = zip(row.cells, sizes, strict=True)
    return tuple(part for cell, size in cells if size for part in (Span(fit(cell.text, size), cell.tone), Span("  ")))


def _host(one: HostState, chosen: bool, room: int) -> Line:
    name = Span(fit(clean(one.name, 40), room), Tone.TITLE if chosen else Tone.KEY)
    return (_mark(one), Span(" "), name, Span("  "), *_known(one), *_trouble(one))


def _mark(one: HostState) -> Span:
    if one.lost:
        return Span("✗", Tone.BAD)
    return Span("…", Tone.DIM) if one.reading else Span("●", Tone.GOOD)


def _known(one: HostState) -> Line:
    host = one.host
    if one.age is None:
        return ()
    engine = f"{clean(host.engine.name)} {clean(host.engine.version, 16)}" if host.engine else "no engine"
    number = None if host.containers is None else len(host.containers)
    count = "? containers" if number is None else f"{number} container{'' if number == 1 else 's'}"
    return (Span(fit(clean(host.name or "?"), 16)), Span(f"  {engine}  {count}  "))


def _trouble(one: HostState) -> Line:
    if one.lost:
        failure = one.host.failures["host"]
        since = f"gone {age(one.age)} · " if one.age is not None else ""
        return (Span(f"{since}{clean(failure.reason, 70)}", Tone.BAD),)
    if one.age is None:
        return (Span("reading…", Tone.DIM),)
    missing = sorted({name.partition(":")[0] for name in one.host.failures})
    return (Span(f"no {', '.join(missing)}", Tone.UNKNOWN),) if missing else (Span(f"{age(one.age)} ago", Tone.DIM),)
