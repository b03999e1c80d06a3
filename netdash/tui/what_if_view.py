"""Who would lose or win reach by a command, over the dashboard: of the host as it was when the command was typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding

from netdash.change.difference import Difference, asking
from netdash.model.errors import NetdashError
from netdash.model.host import Host
from netdash.tui.overlay import Overlay
from netdash.tui.surface import Bar, Box
from netdash.tui.work import Steps, Work
from netdash.view.text import Line, Span, Tone, clean
from netdash.view.what_if import lines

if TYPE_CHECKING:
    from netdash.tui.dashboard import Dashboard


def show(dashboard: Dashboard, host: Host, command: str) -> None:
    """A command that is not understood is answered in the message line."""
    if not command:
        dashboard.say(":what-if takes a command: what-if iptables -I DOCKER-USER -i eth0 -j DROP", Tone.WARN)
        return
    steps = asking(host, (command,))
    try:
        next(steps)
    except NetdashError as error:
        dashboard.say(error.message, Tone.WARN)
    else:
        dashboard.app.push_screen(WhatIf(command, steps))


class WhatIf(Overlay[None]):
    BINDINGS: ClassVar = [Binding("escape,q", "close", show=False)]

    def __init__(self, command: str, steps: Steps[Difference]) -> None:
        super().__init__()
        self.head, self.box = Bar(id="reach-head", panel=True), Box(id="reach-box")
        self.work: Work[Difference] = Work()
        self._command, self._steps = command, steps
        self._found: Difference | None = None

    def compose(self) -> ComposeResult:
        yield self.head
        yield self.box

    def on_mount(self) -> None:
        self.set_focus(self.box)
        self._draw()
        self.work.start(self._steps, self._show)

    def on_resize(self) -> None:
        self._draw()

    def _show(self, found: Difference) -> None:
        self._found = found
        self._draw()

    def _draw(self) -> None:
        title = (Span(" what if ", Tone.TITLE), Span(clean(self._command, 200)))
        self.head.show(title, (Span("Esc close ", Tone.DIM),))
        asked: tuple[Line, ...] = ((Span(" asking…", Tone.DIM),),)
        self.box.show(asked if self._found is None else tuple(lines(self._found, self.app.size.width)), same=False)

    @property
    def list(self) -> Box:
        return self.box

    def action_close(self) -> None:
        self.work.stop()
        self.dismiss(None)
