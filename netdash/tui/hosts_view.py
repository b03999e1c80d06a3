"""The hosts of a fleet, the containers of all of them, and the change from one to another. Loaded when needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, overload

from netdash.model.host import Ref
from netdash.tui.examiner import Verdicts
from netdash.tui.header import no_engine
from netdash.tui.interfaces import Fleet, HostState
from netdash.tui.popup import Offer, Popup
from netdash.view.formatting import age
from netdash.view.several_hosts import Named, lost, with_host
from netdash.view.table import Row, Rows, widths
from netdash.view.text import Line, Span, Tone, clean, fit, width
from netdash.view.views import BY_NAME

if TYPE_CHECKING:
    from netdash.tui.dashboard import Dashboard

SAMPLE = 100  # lines that say how wide the columns are
AGAIN = 1.0  # seconds between two looks at the hosts
_GAP = 2
_REASON = 40  # cells of a reason that is not shortened
_COLUMNS = ("host", "name", "state", "address", "published")

Lines = Callable[[], tuple[Sequence[Line], Sequence[Offer]]]


def choose(dashboard: Dashboard) -> None:
    """The list of hosts."""
    fleet = dashboard.netdash.fleet
    if fleet is None:
        dashboard.say("this is the only host; netdash --host ssh://… --host local opens several", Tone.DIM)
    else:
        app = dashboard.netdash
        app.others = app.others or Verdicts(app.fail, app.examine)
        app.push_screen(hosts_popup(fleet, app.others), partial(_chosen, dashboard))


def everywhere(dashboard: Dashboard) -> None:
    """The containers of all hosts; of the only one, its view."""
    fleet = dashboard.netdash.fleet
    if fleet is None:
        dashboard.action_view("containers")
    else:
        popup = everywhere_popup(fleet, dashboard.panes.extent.width - 10)
        dashboard.app.push_screen(popup, partial(_chosen, dashboard))


def _chosen(dashboard: Dashboard, text: str | None) -> None:
    """Of what a popup offered: a host, and perhaps one of its containers."""
    if text is not None:
        name, _, container = text.partition("\n")
        look_at(dashboard, name, Ref("container", container) if container else None)


def look_at(dashboard: Dashboard, name: str, ref: Ref | None = None) -> None:
    """Another host, in the same view and as it was left, or its containers with the cursor on `ref`."""
    fleet, panes = dashboard.netdash.fleet, dashboard.panes
    if fleet is not None and fleet.chosen != name:
        panes.leave_host(fleet.chosen, name, ref)
        dashboard.netdash.look_at(name)
    elif ref is not None:
        panes.go(BY_NAME["containers"], ref)
        dashboard.write_header()


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
        menu = self.menu
        lines, offers = self.make()
        if lines is menu.lines:
            return
        here = menu.offers[menu.cursor] if menu.cursor < len(menu.offers) else None
        before = len(menu.lines), menu.widest
        menu.lines, menu.offers = lines, offers
        menu.place(offers.index(here) if here in offers else menu.cursor)
        menu.refresh(layout=before != (len(lines), menu.widest))


def hosts_popup(fleet: Fleet, verdicts: Verdicts) -> Popup:
    """Every host with what is known of it; choosing one shows it."""

    def make() -> tuple[Sequence[Line], Sequence[Offer]]:
        states = fleet.states()
        verdicts.look(states)
        names = short_names([clean(state.name) for state in states])
        room = max(map(width, names), default=0)
        lines = [
            _host(state, name, state.name == fleet.chosen, room, verdicts.of(state))
            for state, name in zip(states, names, strict=True)
        ]
        return lines, [(state.name, state.name) for state in states]

    return Choice("Hosts", make, "show")


def everywhere_popup(fleet: Fleet, room: int) -> Popup:
    """The containers of all hosts in `room` cells a line; choosing one shows its host, the cursor on it."""
    last: list[_Everywhere] = []

    def make() -> tuple[Sequence[Line], Sequence[Offer]]:
        states = fleet.states()
        if not last or not last[0].shows(states):
            last[:] = [_Everywhere(states, room)]
        return last[0], last[0].offers

    return Choice("Containers of all hosts", make, "go there")


class _Everywhere(Sequence[Line]):
    """Lines that are built when they are looked at: ten hosts have thousands, a screen forty."""

    def __init__(self, states: Sequence[HostState], room: int) -> None:
        self._hosts = [state.host for state in states]
        self._room = room
        self._view = BY_NAME["containers"]
        self._places: list[tuple[HostState, Rows, int]] = []  # a place of -1: the marked row of a lost host
        for state in states:
            rows = self._view.rows(state.host)
            unknown = not self._view.known(state.host) and not state.reading
            self._places += [(state, rows, at) for at in (range(-1, 0) if unknown else range(len(rows)))]
        self.offers = [(state.name, self._offer(state, rows, at)) for state, rows, at in self._places]
        self._columns = with_host(self._view).columns
        shown = [column.key in _COLUMNS for column in self._columns]
        step = max(1, len(self._places) // SAMPLE)
        sample = [self._row(*place) for place in self._places[::step] if place[2] >= 0]
        bare = [Span("")] * (len(self._columns) - 1)
        sample += [Row(Ref("host", state.name), (Span(clean(state.name)), *bare)) for state in states if state.lost]
        self._sizes = widths(self._columns, sample, room, _GAP, shown)

    def shows(self, states: Sequence[HostState]) -> bool:
        """Whether these are the same hosts as they were."""
        return len(states) == len(self._hosts) and all(
            state.host is host for state, host in zip(states, self._hosts, strict=True)
        )

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, at: int) -> Line: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Line]: ...
    def __getitem__(self, at: int | slice) -> Line | Sequence[Line]:
        if isinstance(at, slice):
            return [self[place] for place in range(*at.indices(len(self)))]
        state, rows, place = self._places[at]
        if place < 0:
            return self._marked(state)
        cells = zip(self._row(state, rows, place).cells, self._sizes, strict=True)
        return tuple(part for cell, size in cells if size for part in (_cell(cell, size, state.lost), Span(" " * _GAP)))

    def _offer(self, state: HostState, rows: Rows, at: int) -> str:
        return f"{state.name}\n{rows.ref(at).key if at >= 0 else ''}"

    def _row(self, state: HostState, rows: Rows, at: int) -> Row:
        row = rows[at]
        return Row(row.ref, (Span(clean(state.name), Tone.BAD if state.lost else Tone.PLAIN), *row.cells))

    def _marked(self, state: HostState) -> Line:
        row = lost(self._view, Named(state.name, state.host))
        name, why = row.cells[:2] if row else (Span(clean(state.name)), Span("?"))
        first = self._sizes[0] or width(name.text)
        return (
            Span(fit(name.text, first), name.tone),
            Span(" " * _GAP),
            Span(fit(why.text, self._room - first), why.tone),
        )


def _cell(cell: Span, size: int, faded: bool) -> Span:
    """What was last known of a host that has gone is grey; its name stays red."""
    return Span(fit(cell.text, size), Tone.DIM if faded and cell.tone is not Tone.BAD else cell.tone)


def short_names(names: Sequence[str]) -> list[str]:
    """Names without their middle where they are long, as short as they can be told apart."""
    for most in (40, 60, 80):
        half = most // 2
        short = [name if len(name) <= most else f"{name[:half]}…{name[1 - half :]}" for name in names]
        if len(set(short)) == len(set(names)):
            return short
    return list(names)


def _host(state: HostState, shown: str, chosen: bool, room: int, verdicts: Line) -> Line:
    name = Span(fit(shown, room), Tone.TITLE if chosen else Tone.KEY)
    return (_mark(state), Span(" "), name, Span("  "), *_known(state), *verdicts, *_trouble(state))


def _mark(state: HostState) -> Span:
    if state.lost:
        return Span("✗", Tone.BAD)
    return Span("…", Tone.DIM) if state.reading else Span("●", Tone.GOOD)


def _known(state: HostState) -> Line:
    host = state.host
    if state.age is None:
        return ()
    engine = f"{clean(host.engine.name)} {clean(host.engine.version, 16)}" if host.engine else no_engine(host).text
    number = None if host.containers is None else len(host.containers)
    count = "? containers" if number is None else f"{number} container{'' if number == 1 else 's'}"
    return (Span(fit(clean(host.name or "?"), 16)), Span(f"  {engine}  {count}  "))


def _short(reason: str) -> str:
    """The end of a long reason: ssh names the host and the port first, which stand beside it."""
    return reason if width(reason) <= _REASON else reason.rpartition(": ")[2]


def _trouble(state: HostState) -> Line:
    if state.lost:
        failure = state.host.failures["host"]
        since = f"gone {age(state.age)} · " if state.age is not None else ""
        return (Span(f"{since}{_short(clean(failure.reason, 200))}", Tone.BAD),)
    if state.age is None:
        return (Span("reading…", Tone.DIM),)
    missing = sorted({name.partition(":")[0] for name in state.host.failures})
    return (Span(f"no {', '.join(missing)}", Tone.UNKNOWN),) if missing else (Span(f"{age(state.age)} ago", Tone.DIM),)
