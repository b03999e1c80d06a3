"""The reach matrix over the dashboard: each port, who reaches it, and which rule stops the others. Follows the host as
it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding

from netdash.model.host import Host, Ref
from netdash.trace.model import Matrix
from netdash.trace.reachability import reaching
from netdash.tui.overlay import LinkedText
from netdash.tui.work import Steps, Work
from netdash.view import reachability
from netdash.view.text import Line, Span, Tone

if TYPE_CHECKING:
    from netdash.tui.dashboard import Dashboard
    from netdash.tui.host_view import HostView


def show(dashboard: Dashboard) -> None:
    """Opens the matrix of the host on screen."""
    if dashboard.host_view is not None:
        reach = Reach(dashboard.host_view)
        dashboard.app.push_screen(reach, lambda target: dashboard.follow(target) if target else None)


class Reach(LinkedText):
    BINDINGS: ClassVar = [Binding("escape,q", "close", show=False)]
    KEYS = (("j k", "move"), ("⏎", "go to the rule, the container"), ("Esc", "close"))

    def __init__(self, host_view: HostView) -> None:
        super().__init__("reach")
        self.work: Work[tuple[Line, ...]] = Work()
        self._host = host_view.host
        self._matrix: Matrix | None = None
        self._shown = False
        self._waiting: HostView | None = None  # came while the matrix was made

    def begin(self) -> None:
        self._start()

    def on_resize(self) -> None:
        self._start()

    def update_host(self, host_view: HostView) -> None:
        """A newer host: where more than counters moved everything is asked again, once what is asked now is there. The
        old lines stay until then."""
        if self.work.busy and self._matrix is None:
            self._waiting = host_view
            return
        self._waiting = None
        if decides(host_view.host) != decides(self._host):
            self._host, self._matrix = host_view.host, None
            self._start()

    def _start(self) -> None:
        self._title(("asking…",) if self._matrix is None else ())
        self.work.start(self._lines(self._host), self._show)

    def _lines(self, host: Host) -> Steps[tuple[Line, ...]]:
        matrix = self._matrix
        if matrix is None:
            matrix = self._matrix = yield from reaching(host)
        found = []
        for line in reachability.lines(host, matrix, self.app.size.width):
            found.append(line)
            yield
        return tuple(found)

    def _show(self, lines: tuple[Line, ...]) -> None:
        self._title()
        nothing: Line = (Span(" no port is published here, and nothing is seen to listen", Tone.DIM),)
        self.box.show(lines or (nothing,), same=self._shown)
        self._shown = True
        if self._waiting is not None:
            self.update_host(self._waiting)

    def _title(self, words: tuple[str, ...] = ()) -> None:
        if self._matrix is not None:
            words = (*words, f"{len(self._matrix.aims)} ports, {len(self._matrix.senders)} senders")
        self.head.show((Span(" reach ", Tone.TITLE), Span("  ".join(words))), (Span("Esc close ", Tone.DIM),))

    # --- keys ---------------------------------------------------------------------------------------------------------

    def leave(self, target: Ref | None) -> None:
        self.work.stop()
        super().leave(target)


def decides(host: Host) -> tuple[object, ...]:
    """All of a host that the reach of anybody hangs on."""
    rules = host.ruleset
    shape = rules.shape if rules is not None and rules.shape is not None else rules
    return (
        shape,
        host.containers,
        host.networks,
        host.links,
        host.routes,
        host.policy,
        host.sysctls,
        host.listeners,
        host.proxies and [(proxy.pid, proxy.argv) for proxy in host.proxies],  # their memory moves all the time
        host.ports and [(port.proto, port.host_ip, port.host_port, port.live) for port in host.ports],
    )
