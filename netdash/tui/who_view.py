"""Who reaches the selected thing and whom it reaches, as a list over the dashboard that is filtered and sorted as every
list is. Follows the host as it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding

from netdash.model.host import Container, Network, Port, Ref
from netdash.model.records import replace
from netdash.trace.default_questions import Usual
from netdash.trace.who import Row, Subject, Who, asking, of_container, of_network, of_port
from netdash.tui.grid import Grid
from netdash.tui.host_view import Ask, HostView, Listing, ordered
from netdash.tui.overlay import Filtered
from netdash.tui.reach_view import decides
from netdash.tui.trace_view import Walk
from netdash.tui.work import Steps, Work
from netdash.view import unavailable
from netdash.view import who as rows
from netdash.view.text import Span, Tone, clean, safe_lines

if TYPE_CHECKING:
    from netdash.tui.dashboard import Dashboard


def show(dashboard: Dashboard) -> None:
    """Opens the list for the thing under the cursor; says why where there is none."""
    host_view, row = dashboard.host_view, dashboard.panes.grid.row
    if host_view is None or row is None:
        return
    subject = subject_of(host_view, row.ref)
    if host_view.host.pending:
        dashboard.say(f"{unavailable.waiting(host_view.host)}: nobody can be asked yet", Tone.DIM)
    elif subject is None or not (subject.aims or subject.senders):
        dashboard.say(_why_not(host_view, row.ref), Tone.DIM)
    else:
        seen = WhoView(host_view, row.ref, subject)
        dashboard.app.push_screen(seen, lambda target: dashboard.follow(target) if target else None)


def subject_of(host_view: HostView, ref: Ref) -> Subject | None:
    """A port, a network or a container as they are; of anything else its one container."""
    host, thing = host_view.host, host_view.thing(ref)
    if isinstance(thing, Port):
        return of_port(host, thing)
    if isinstance(thing, Network):
        return of_network(host, thing)
    owners = host_view.containers(ref)
    container = thing if isinstance(thing, Container) else host_view.container(owners[0]) if len(owners) == 1 else None
    return of_container(host, container) if container is not None else None


def _why_not(host_view: HostView, ref: Ref) -> str:
    if host_view.host.containers is None:
        return "which containers there are is not known: nobody can be asked"
    thing = host_view.thing(ref)
    if isinstance(thing, Container) and not thing.running:
        return f"{clean(thing.name, 60)} is not running: nobody reaches it"
    if isinstance(thing, (Container, Network, Port)):
        return "no port is known there: nobody can be asked"
    return "belongs to no one container: w works on a container, a port or a network"


class WhoView(Filtered):
    BINDINGS: ClassVar = [
        Binding("q,w", "close", show=False),
        Binding("s", "sort", show=False),
        Binding("S", "reverse", show=False),
    ]
    KEYS = (
        ("⏎", "trace, or unfold"),
        ("l", "cell"),
        ("/", "filter"),
        ("s S", "sort"),
        ("y", "copy"),
        ("Esc", "close"),
    )

    def __init__(self, host_view: HostView, ref: Ref, subject: Subject) -> None:
        self.grid = Grid(id="who-grid")
        super().__init__("who", self.grid)
        self.work: Work[Listing] = Work()
        self._host_view, self._ref, self._subject = host_view, ref, subject
        self._found: Who | None = None
        self._rows: tuple[Row, ...] = ()
        self._unfolded: frozenset[str] = frozenset()
        self._ask = Ask(rows.listed(host_view.host, (), subject))

    def begin(self) -> None:
        self._start()

    def update_host(self, host_view: HostView) -> None:
        """A newer host: where more than counters moved everything is asked again. The old rows stay until then, and of
        a thing that is gone for good."""
        subject = subject_of(host_view, self._ref)
        if subject is None or host_view.host.pending or decides(host_view.host) == decides(self._host_view.host):
            return
        self._host_view, self._subject, self._found = host_view, subject, None
        self._start()

    def _start(self) -> None:
        self._title("asking…" if self._found is None else "")
        self.work.start(self._listing(), self._show)

    def _listing(self) -> Steps[Listing]:
        """The rows that are wanted now; who reaches it before whom it reaches."""
        host = self._host_view.host
        if self._found is None:
            self._found = yield from asking(host, self._subject)
        found = self._found
        folded = found.folded(host)
        yield
        shown: list[Row] = []
        for row in (*folded.reached_by, *folded.reaches):
            shown += found.unfold(row) if rows.key(row) in self._unfolded else (row,)
        self._rows = tuple(shown)
        view = rows.listed(host, self._rows, self._subject)
        made = view.rows(host)
        return (yield from ordered(made, range(len(made)), replace(self._ask, view=view)))

    def _show(self, listing: Listing) -> None:
        here = self.grid.row
        place = listing.place(here.ref) if here is not None else None
        notice = "nothing matches the filter: Esc clears it" if self._ask.text else "nobody"
        self.grid.show(listing, self.grid.cursor if place is None else place, [(Span(notice, Tone.DIM),)])
        self._title()

    def _title(self, words: str = "") -> None:
        listing = self.grid.listing
        if not words and listing is not None:
            words = f"{len(listing)} of {len(listing.rows)}" if self._ask.text else f"{len(listing)} rows"
        name = clean(self._subject.name, 60)
        self.head.show(
            (Span(f" who reaches {name}, and whom it reaches ", Tone.TITLE),), (Span(f"{words} ", Tone.DIM),)
        )

    # --- keys ---------------------------------------------------------------------------------------------------------

    def action_follow(self) -> None:
        """A cell that leads somewhere; else the trace of the row, or the rows that it stands for."""
        listing = self.grid.listing
        if listing is None or self.grid.row is None:
            return
        if self.grid.cell >= 0 and self.grid.target is not None:
            self.leave(self.grid.target)
            return
        row = self._rows[listing.order[self.grid.cursor]]
        if len(row.senders) * len(row.aims) > 1:
            self._unfolded |= {rows.key(row)}
            self._start()
        else:
            self._trace(row)

    def _trace(self, row: Row) -> None:
        asked = (Usual(rows.sentence(self._host_view.host, row), row.question),)
        self.app.push_screen(
            Walk(self._host_view, lambda _: asked), lambda target: self.leave(target) if target else None
        )

    def on_grid_followed(self, message: Grid.Followed) -> None:
        message.stop()
        self.action_follow()

    def refilter(self) -> None:
        self._order(text=self.field.value)

    def action_sort(self) -> None:
        """The next column, and after the last the list's own order."""
        after = range(-1 if self._ask.sort is None else self._ask.sort, len(rows.COLUMNS))[1:]
        self._order(sort=next(iter(after), None), down=False)

    def action_reverse(self) -> None:
        if self._ask.sort is not None:
            self._order(down=not self._ask.down)

    def _order(self, **values: object) -> None:
        self._ask = replace(self._ask, **values)  # type: ignore[arg-type]
        self._start()

    def action_copy(self) -> None:
        from netdash.tui import copy

        if self.grid.listing is not None:
            copy.put(self, safe_lines(rows.text(self.grid.listing)), self.say)

    def leave(self, target: Ref | None) -> None:
        self.work.stop()
        super().leave(target)
