"""The map of the host over the dashboard: what is wired to what, and what is broken. Follows the host as it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding

from netdash.model.finding import health_of
from netdash.model.host import Ref
from netdash.model.kernel_state import Watched
from netdash.model.records import replace
from netdash.tui.host_view import HostView
from netdash.tui.interfaces import tell
from netdash.tui.overlay import Filtered
from netdash.tui.reach_view import decides
from netdash.tui.surface import Box
from netdash.tui.work import Steps, Work
from netdash.view import unavailable
from netdash.view.map import FILTERED, Kind, Map, mapping, matching
from netdash.view.map_lines import Drawing, counted, draw
from netdash.view.map_rows import FOLD
from netdash.view.table import Filter
from netdash.view.text import Line, Span, Tone, clean, safe_lines

if TYPE_CHECKING:
    from netdash.tui.dashboard import Dashboard
    from netdash.tui.host_app import HostApp


def show(dashboard: Dashboard) -> None:
    """Opens the map, the cursor on the selected container where that is on it."""
    host_view, row = dashboard.host_view, dashboard.panes.grid.row
    if host_view is None:
        return
    owners = host_view.containers(row.ref) if row is not None else ()
    seen = MapView(host_view, Ref("container", owners[0]) if owners else None)
    dashboard.app.push_screen(seen, lambda target: dashboard.follow(target) if target else None)


def _bearing(host_view: HostView) -> tuple[object, ...]:
    """What the map hangs on. The findings come later than their host."""
    host = host_view.host
    return decides(host), id(health_of(host)), host.pending


def _number(many: int, what: str) -> str:
    return f"{many} {what}" if many == 1 else f"{many} {what}s"


class MapView(Filtered):
    BINDINGS: ClassVar = [
        Binding("q,m", "close", show=False),
        Binding("right_square_bracket", "page(1)", show=False),
        Binding("left_square_bracket", "page(-1)", show=False),
    ]
    KEYS = (
        ("⏎", "open, or unfold"),
        ("h l j k", "move"),
        ("] [", "page"),
        ("/", "filter"),
        ("y", "copy"),
        ("Esc", "close"),
    )

    def __init__(self, host_view: HostView, start: Ref | None) -> None:
        self.box = Box(id="map")
        super().__init__("map", self.box)
        self.work: Work[Drawing] = Work()
        self._host_view, self._start_at = host_view, start
        self._bearing = _bearing(host_view)
        self._map: Map | None = None
        self._waiting: HostView | None = None  # came while the map was made
        self._drawing = Drawing(())
        self._page = 0
        self._matches = True  # whether the filter leaves anybody
        self._unfolded: frozenset[str] = frozenset()

    @property
    def watched(self) -> Watched:
        return Watched(counters=True)

    def begin(self) -> None:
        self._draw()
        self._tell()

    def on_unmount(self) -> None:
        self._tell()

    def _tell(self) -> None:
        app: HostApp = self.app  # type: ignore[assignment]
        tell(app.feed, app.screen_stack)

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def update_host(self, host_view: HostView) -> None:
        """A newer host: drawn anew where more than counters moved, or more is known, once the map that is being made is
        drawn. The old map stays until then."""
        if self.work.busy and self._map is None:
            self._waiting = host_view
            return
        bearing = _bearing(host_view)
        if bearing == self._bearing:
            if self._map is not None and host_view.host.traffic is not self._map.host.traffic:
                self._map = replace(self._map, host=host_view.host)
                self._draw()
            return
        self._bearing = bearing
        self._host_view, self._map = host_view, None
        self._draw()

    def _draw(self) -> None:
        if self.is_mounted:
            self._title("drawing…" if self._map is None else "")
            self.work.start(self._drawn(), self._show)

    def _drawn(self) -> Steps[Drawing]:
        if self._map is None:
            self._map = yield from mapping(self._host_view.host)
        wide, high = self.box.size.width, self.box.size.height - self.box.HEAD
        drawn = matching(self._map, Filter.parse(self.field.value, FILTERED)) if self.field.value else self._map
        self._matches = bool(drawn.blocks)
        return draw(drawn, max(wide, 1), max(high, 1), self._page, unfolded=self._unfolded)

    def _show(self, drawing: Drawing) -> None:
        first = not self._drawing.lines
        self._drawing, self._page = drawing, drawing.page
        nothing: Line = (Span(" nothing matches the filter: Esc clears it", Tone.DIM),)
        none = bool(self.field.value) and self._map is not None and bool(self._map.blocks) and not self._matches
        self.box.show((nothing,) if none else drawing.lines, same=not first)
        if first:
            self._place()
        self._title()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.update_host(waiting)

    def _place(self) -> None:
        """The cursor to the container that was selected, else to the first one, which is in trouble if any is."""
        refs = [self.box.lines[at][index].ref for at, index in self.box.links]
        wanted = refs.index(self._start_at) if self._start_at in refs else None
        if wanted is None:
            wanted = next((at for at, ref in enumerate(refs) if ref is not None and ref.kind in ("container", FOLD)), 0)
        self.box.hop(wanted - self.box.link)

    def _title(self, words: str = "") -> None:
        host = self._host_view.host
        name = f" of {clean(host.name, 40)}" if host.name else ""
        right = words or (f"page {self._page + 1} of {self._drawing.pages}" if self._drawing.pages > 1 else "")
        counts = counted(self._map.counts) if self._map is not None else []
        if self._map is not None and self._map.blocks is not None:
            networks = sum(block.kind is Kind.NETWORK for block in self._map.blocks)
            name += f"  {_number(sum(self._map.counts.values()), 'container')}  {_number(networks, 'network')}"
        waits = unavailable.waiting(host)
        left = (Span(f" map{name}  ", Tone.TITLE), *counts, Span(f" {waits}" if waits else "", Tone.DIM))
        self.head.show(left, (Span(f"{right} ", Tone.DIM),))

    # --- keys ---------------------------------------------------------------------------------------------------------

    def action_page(self, by: int) -> None:
        page = max(0, min(self._page + by, self._drawing.pages - 1))
        if page != self._page:
            self._page, self._drawing, self._start_at = page, Drawing(()), None
            self._draw()

    def action_follow(self) -> None:
        if self.box.target is not None:
            self._follow(self.box.target)

    def on_box_followed(self, message: Box.Followed) -> None:
        message.stop()
        self._follow(message.ref)

    def _follow(self, ref: Ref) -> None:
        """Several containers are drawn one by one; all else is gone to."""
        if ref.kind == FOLD:
            self._unfolded |= {ref.key}
            self._draw()
        else:
            self.leave(ref)

    def refilter(self) -> None:
        self._page = 0
        self._draw()

    def action_copy(self) -> None:
        from netdash.tui import copy

        lines = ("".join(span.text for span in line).rstrip() for line in self._drawing.lines)
        copy.put(self, safe_lines(lines), self.say)

    def action_back(self) -> None:
        """The filter first, then what was unfolded."""
        if self._unfolded and not self.field.value:
            self._unfolded = frozenset()
            self._draw()
        else:
            super().action_back()

    def leave(self, target: Ref | None) -> None:
        self.work.stop()
        super().leave(target)
