"""A container's packets on both sides of NAT, over the dashboard. Their sockets are a thread's, which ends with it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding

from netdash.capture.model import Pair, Plan
from netdash.capture.points import Wanted, plan
from netdash.model.errors import NetdashError
from netdash.model.host import Container, Host, Port, Ref
from netdash.model.packet import Flow
from netdash.tui.interfaces import Capturing, OpenCapture
from netdash.tui.overlay import LinkedText
from netdash.view import capture as words
from netdash.view import layout, unavailable
from netdash.view.text import Line, Span, Tone, clean, safe

if TYPE_CHECKING:
    from netdash.tui.dashboard import Dashboard
    from netdash.tui.host_view import HostView

KEPT = 300  # packets that the view keeps: all of their lines are looked through at each change
WAIT = 0.1  # seconds between two changes of the screen, and two looks at whether it was closed


def show(dashboard: Dashboard) -> None:
    """Opens the capture of the container under the cursor, of its port or of its connection; says why where it
    cannot."""
    host_view, row = dashboard.host_view, dashboard.panes.grid.row
    if host_view is None or row is None:
        return
    if host_view.host.pending:
        dashboard.say(f"{unavailable.waiting(host_view.host)}: nothing can be captured yet", Tone.DIM)
        return
    try:
        made = _plan(host_view, row.ref)
    except NetdashError as error:
        dashboard.say(clean(error.message), Tone.WARN)
        return
    if made is None:
        dashboard.say("belongs to no one container: c works on a container, a port or a connection", Tone.DIM)
    else:
        _begin(dashboard, host_view, made)


def _plan(host_view: HostView, ref: Ref) -> Plan | None:
    thing, owners = host_view.thing(ref), host_view.containers(ref)
    if isinstance(thing, Flow):
        return _of_flow(host_view, thing)
    container = thing if isinstance(thing, Container) else host_view.container(owners[0]) if len(owners) == 1 else None
    if container is None:
        return None
    port = thing.host_port if isinstance(thing, Port) else None
    return plan(host_view.host, container, Wanted(port=port))


def _of_flow(host_view: HostView, flow: Flow) -> Plan | None:
    """Of the container that answers, else of the one that asked. A proxy's container does not see the client."""
    asked, other = (flow.client, flow.asked), (flow.server, flow.client)
    end, peer = other if flow.server.container is not None else asked
    container = host_view.container(end.container or "")
    if container is None:
        return None
    return plan(host_view.host, container, Wanted(None if flow.proxy is not None else peer.ip, flow.asked.port))


def _begin(dashboard: Dashboard, host_view: HostView, made: Plan) -> None:
    app = dashboard.netdash
    if not app.feed.live:
        dashboard.say("nothing can be captured on a recording: it has no packets", Tone.WARN)
    elif app.capture is None or not app.here:
        from netdash.tui import copy
        from netdash.tui.popup import Popup

        commands = [("tcpdump", app.there(command)) for command in words.commands(made)]
        popup = Popup("capturing is for this machine; these do the same there", offers=commands)
        put = partial(copy.put, dashboard)
        dashboard.app.push_screen(popup, lambda text: put(safe(text), dashboard.say) if text is not None else None)
    else:
        view = CaptureView(host_view, made, app.capture)
        dashboard.app.push_screen(view, lambda target: dashboard.follow(target) if target else None)


class CaptureView(LinkedText):
    BINDINGS: ClassVar = [
        Binding("escape,q,c", "close", show=False),
        Binding("y", "copy", show=False),
    ]
    KEYS = (("j k", "move"), ("⏎", "go to the rule, the container"), ("y", "copy"), ("Esc", "close, and end"))

    def __init__(self, host_view: HostView, made: Plan, open_capture: OpenCapture) -> None:
        super().__init__("capture")
        self._plan, self._open = made, open_capture
        self._host: Host = host_view.host
        self._shown: deque[tuple[Pair, list[Line]]] = deque(maxlen=KEPT)
        self._why = ""  # it ended by an error
        self._of_line: dict[int, Pair] = {}
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def begin(self) -> None:
        self._title("waiting for packets")
        self._draw()
        self._thread.start()

    def on_unmount(self) -> None:
        self._left.set()

    def on_resize(self) -> None:
        self._shown = deque(((pair, self._lines(pair)) for pair, _ in self._shown), KEPT)
        self._draw()

    def update_host(self, host_view: HostView) -> None:
        """Packets that are missed from now on are looked up in the newer host."""
        self._host = host_view.host

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with self._open(self._plan, lambda: self._host) as capture:
                gone = 0
                while not self._left.is_set() and not capture.ended:
                    pairs, until = deque[Pair](maxlen=KEPT), monotonic() + WAIT
                    while (left := until - monotonic()) > 0 and not capture.ended:
                        pairs.extend(capture.step(left))
                    news = pairs or capture.ended or len(capture.gone) != gone
                    gone = len(capture.gone)
                    if news and not self._left.is_set():
                        self.call_later(self._came, pairs, _counted(capture))
        except NetdashError as error:
            self._end(f"{error.message} ({error.hint})" if error.hint else error.message)
        except Exception as error:  # it must not be lost with the thread
            self._end(f"internal error: {type(error).__name__}: {error}")

    def _end(self, why: str) -> None:
        if not self._left.is_set():
            self.call_later(self._ended, why)

    # --- the screen ---------------------------------------------------------------------------------------------------

    def _came(self, pairs: Sequence[Pair], counted: str) -> None:
        self._shown.extend((pair, self._lines(pair)) for pair in pairs)
        self._title(counted)
        self._draw()

    def _ended(self, why: str) -> None:
        self._why = why
        self._title("ended")
        self._draw()

    @property
    def _room(self) -> int:
        return max(20, self.app.size.width - 1)

    def _lines(self, pair: Pair) -> list[Line]:
        return words.lines(self._plan, pair, self._room)

    def _draw(self) -> None:
        """Follows the newest lines, unless an older one is looked at."""
        at_end = self.box.top + self.box.page >= len(self.box.lines)
        lines: list[Line] = [*words.head(self._plan, self._room), ()]
        self._of_line.clear()
        for pair, made in self._shown:
            self._of_line |= dict.fromkeys(range(len(lines), len(lines) + len(made)), pair)
            lines += made
        if self._why:
            lines += layout.text(Span(""), clean(self._why, 300), self._room, Tone.WARN)
        self.box.show(lines, same=True)
        if at_end:
            self.box.scroll(len(lines))

    def _title(self, text: str) -> None:
        name = clean(self._plan.name, 60)
        self.head.show((Span(f" packets of {name} ", Tone.TITLE),), (Span(f"{clean(text)} ", Tone.DIM),))

    # --- keys ---------------------------------------------------------------------------------------------------------

    def action_copy(self) -> None:
        """The packet of the link under the cursor, in one line."""
        from netdash.tui import copy

        pair = self._of_line.get(self.box.links[self.box.link][0]) if self.box.links else None
        if pair is not None:
            line = words.lines(self._plan, pair, None)[0]
            copy.put(self, safe("".join(span.text for span in line)), self.say)

    def leave(self, target: Ref | None) -> None:
        self._left.set()
        super().leave(target)


def _counted(capture: Capturing) -> str:
    numbers = (capture.packets, capture.counts, capture.dropped, capture.unread)
    return words.summary(*numbers, capture.gone, capture.ended)
