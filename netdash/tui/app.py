"""The dashboard as a program: the application with its screen and commands, run until the user quits."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

# Textual waits for the next frame before it paints: 60 would add 16 ms a key
os.environ.setdefault("TEXTUAL_FPS", "240")

from netdash.model.errors import Exit
from netdash.tui import commands
from netdash.tui.config import Keep, Options
from netdash.tui.dashboard import Dashboard
from netdash.tui.examiner import Examine
from netdash.tui.host_app import HostApp
from netdash.tui.interfaces import Changes, Feed, OpenCapture
from netdash.tui.term import modes

if TYPE_CHECKING:
    from textual.command import Provider

    from netdash.tui.first_frame import FirstFrame

SWITCH = 0.001  # seconds that another thread may hold the interpreter while a key waits


def _provider() -> type[Provider]:
    from netdash.tui.palette import Commands

    return Commands


class Netdash(HostApp):
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_provider}

    def get_default_screen(self) -> Dashboard:
        return Dashboard(commands)

    def settled(self) -> None:
        if self.changes is not None:
            from netdash.tui import changing

            changing.know(self.dashboard, self.changes)

    @property
    def filled(self) -> bool:
        return self.dashboard.panes.filled

    @property
    def dashboard(self) -> Dashboard:
        return self.screen_stack[0]  # type: ignore[return-value]


def run(
    feed: Feed,
    options: Options,
    changes: Changes | None = None,
    keep: Keep | None = None,
    capture: OpenCapture | None = None,
    examine: Examine | None = None,
    first: FirstFrame | None = None,
) -> int:
    """Shows the dashboard until the user quits; returns the exit code. Needs a terminal on stdin and stdout. `changes`:
    what may change this host; None for a recording, and for others' hosts. `keep`: writes the chosen columns into the
    config file. `capture`: opens a capture on this machine. `examine`: what is wrong with a host, waited for in a
    thread. `first`: what stands on the terminal already."""
    sys.setswitchinterval(SWITCH)
    modes.watch(feed.stop)
    app = Netdash(feed, options, changes, keep, capture, examine, first)
    with modes.restoring(app.leave_terminal, feed.stop, app.fail):
        try:
            code = app.run(mouse=options.mouse)
        finally:
            feed.stop()
    return app.return_code or code or Exit.FINE
