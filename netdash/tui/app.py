"""The application: takes hosts from a feed, holds the one on screen, and quits cleanly. Layout is the screen's."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, ClassVar

os.environ.setdefault(
    "TEXTUAL_FPS", "240"
)  # Textual waits for the next frame before it paints: 60 would add 16 ms a key

from textual.binding import Binding
from textual.events import Event, InputEvent, Resize
from textual.message import Message
from textual.reactive import var

from netdash.model.errors import Exit
from netdash.model.host import Host
from netdash.tui import hangup, theme, too_small
from netdash.tui.change_interface import Holds
from netdash.tui.config import Options
from netdash.tui.feed_interface import Feed, Fleet
from netdash.tui.garbage import EVERY, Collector
from netdash.tui.host_view import Sheet, ShowsHost
from netdash.tui.screen import Dashboard
from netdash.tui.term import endings
from netdash.tui.term.display import TerminalApp
from netdash.tui.term.driver import Terminal
from netdash.view import unavailable
from netdash.view.text import clean

if TYPE_CHECKING:
    from textual.command import Provider

    from netdash.tui.change_interface import Changes

MINUTE = 60.0
AGES = 20.0  # seconds after which what a host says of times is old
SWITCH = 0.001  # seconds that another thread may hold the interpreter while a key waits


class Arrived(Message):
    """A host has come from the feed's thread."""

    def __init__(self, sheet: Sheet) -> None:
        super().__init__()
        self.sheet = sheet

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Arrived)


def _says_the_same(shown: Host, host: Host) -> bool:
    """Whether only time has passed, and not much: a poll of a host at rest."""
    if "docker" in host.failures or (host.taken or 0.0) - (shown.taken or 0.0) > AGES or _young(shown):
        return False
    if unavailable.silent(host) is not None or (shown.heard is None) != (host.heard is None):
        return False
    ours = (getattr(shown, name) is getattr(host, name) for name in _PARTS)
    told = (shown.name, shown.failures, shown.pending)
    return all(ours) and told == (host.name, host.failures, host.pending)


def _young(host: Host) -> bool:
    """Whether an age on screen is told in seconds."""
    since = (
        container.started_at if container.running else container.finished_at for container in host.containers or ()
    )
    return any(at and 0 <= (host.taken or 0.0) - at < MINUTE for at in since)


_PARTS = "containers networks links routes policy neighbours ruleset proxies listeners ports sysctls engine".split()


def _provider() -> type[Provider]:
    from netdash.tui.palette import Commands

    return Commands


class Netdash(TerminalApp):
    """One screen, one host, one owner of both."""

    CSS_PATH = "app.tcss"
    TITLE = "netdash"
    ALLOW_SELECT = False
    AUTO_FOCUS = None
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_provider}
    BINDINGS: ClassVar = [Binding("ctrl+c,ctrl+q", "quit", "Quit", priority=True, show=False)]

    sheet: var[Sheet | None] = var(None, always_update=True)  # a `reactive` of the app would repaint the whole screen
    paused: var[bool] = var(False)

    def __init__(self, feed: Feed, options: Options, changes: Changes | None = None) -> None:
        super().__init__(ansi_color=None)
        self.feed = feed
        self.fleet = feed if isinstance(feed, Fleet) else None
        self.options = options
        self.changes = changes  # None: nothing can be changed
        self.collector = Collector()
        self.held: Host | None = None  # the newest one while paused
        self._warmed: Sheet | None = None  # the newest one that the feed's thread filled
        self.answered: float | None = None  # when the engine last answered, on the host's clock
        self.animation_level = "none"
        self.register_theme(theme.DARK)
        self.register_theme(theme.LIGHT)
        self.theme = self._theme()
        self.colours = self._palette()
        self.set_keymap(dict(options.keys))

    def _theme(self) -> str:
        wanted = self.options.theme
        if wanted is None:
            few = self.console.color_system not in ("truecolor", "256") and not self._in_memory
            wanted = "ansi" if self.no_color or few else "netdash"
        return "ansi-dark" if wanted == "ansi" else wanted

    @property
    def _in_memory(self) -> bool:
        """Painted for a test or a screenshot, where colours need no terminal."""
        return not sys.__stdout__ or not sys.__stdout__.isatty()

    def _palette(self) -> theme.Palette:
        return theme.palette(self.get_css_variables(), self.native_ansi_color, self.no_color)

    @property
    def dashboard(self) -> Dashboard:
        return self.screen_stack[0]  # type: ignore[return-value]

    def get_default_screen(self) -> Dashboard:
        return Dashboard()

    def on_load(self) -> None:
        self.feed.start(self._publish)

    def on_mount(self) -> None:
        self.theme_changed_signal.subscribe(self, lambda _: self._repaint())
        self.call_after_refresh(self._settle)

    def _settle(self) -> None:
        self.collector.begin()
        self.set_interval(EVERY, self.collector.tick)
        self.feed.shown()
        if self.changes is not None:
            from netdash.tui import changing

            changing.at_start(self.dashboard)

    def on_resize(self, event: Resize) -> None:
        too_small.fit_screens(self, event.size)

    async def on_event(self, event: Event) -> None:
        if isinstance(event, InputEvent):
            self.collector.touched()
        await super().on_event(event)

    def _repaint(self) -> None:
        self.colours = self._palette()
        for screen in self.screen_stack:
            for widget in screen.walk_children():
                widget.refresh()

    def _publish(self, host: Host) -> None:
        """Called by the feed, from any thread."""
        if self._warmed and _says_the_same(self._warmed.host, host):
            return
        if self.paused or current_thread() is main_thread():
            self.post_message(Arrived(Sheet(host)))
        else:
            self._warmed = Sheet(host, self._warmed).warm()
            self.post_message(Arrived(self._warmed))

    def on_arrived(self, message: Arrived) -> None:
        host = message.sheet.host
        if "docker" not in host.failures and host.containers is not None:
            self.answered = host.taken
        if host.containers is None and "docker" in host.pending and self.sheet and self.sheet.host.name == host.name:
            return  # it is being read: what is known of it stays
        if self.paused:
            self.held = host
        else:
            self.sheet = message.sheet

    def watch_sheet(self, sheet: Sheet | None) -> None:
        for screen in self.screen_stack:
            if sheet is not None and isinstance(screen, ShowsHost):
                screen.update_sheet(sheet)

    def watch_paused(self, paused: bool) -> None:
        if not paused and self.held is not None:
            self.sheet, self.held = Sheet(self.held), None

    @property
    def age(self) -> float | None:
        """Seconds since the shown host answered, where it is one of several."""
        states = self.fleet.states() if self.fleet is not None else ()
        return next((state.age for state in states if state.name == self.fleet.chosen), None) if self.fleet else None

    @property
    def gone(self) -> float | None:
        """Seconds that the engine, or the host, has not answered although it once did; None when it does, or never
        has."""
        host = self.sheet.host if self.sheet else None
        if host is not None and self.fleet is not None and "host" in host.failures:
            return next((state.age for state in self.fleet.states() if state.name == self.fleet.chosen), None)
        if host is None or not host.live or "docker" not in host.failures or host.containers is None:
            return None
        return max(0.0, (host.taken or 0.0) - (self.answered or host.taken or 0.0))

    def there(self, command: str) -> str:
        """A command of a shell so that it runs on the host that is shown."""
        return self.fleet.there(command) if self.fleet is not None else command

    def look_at(self, name: str) -> None:
        """Another host of the fleet: nothing of the one before counts for it."""
        if self.fleet is not None:
            self._warmed = self.answered = self.held = None
            self.paused = False
            self.fleet.look_at(name)

    async def action_quit(self) -> None:
        if isinstance(self.screen, Holds) and self.screen.holds():
            return
        self.feed.stop()
        self.exit(0)

    def _handle_exception(self, error: Exception) -> None:
        if self.is_headless:
            super()._handle_exception(error)
            return
        if os.environ.get("NETDASH_DEBUG"):
            super()._handle_exception(error)
        else:
            told = clean(f"netdash: internal error: {type(error).__name__}: {error}", 200)
            self.exit(Exit.FAULT, Exit.FAULT, theme.message(f"{told} (NETDASH_DEBUG=1 shows where)"))
        self._return_code = Exit.FAULT

    def fail(self, error: BaseException) -> None:
        """What another thread raised ends netdash as what its own raises."""
        told = error if isinstance(error, Exception) else RuntimeError(type(error).__name__)
        with contextlib.suppress(RuntimeError):  # it ends already
            self.call_later(self._handle_exception, told)

    def leave_terminal(self) -> None:
        if isinstance(self._driver, Terminal):
            self._driver.leave()


def run(feed: Feed, options: Options, changes: Changes | None = None) -> int:
    """Shows the dashboard until the user quits; returns the exit code. Needs a terminal on stdin and stdout. `changes`:
    what may change this host; None for a recording, and for others' hosts."""
    sys.setswitchinterval(SWITCH)
    hangup.watch(feed.stop)
    app = Netdash(feed, options, changes)
    with endings.restoring(app.leave_terminal, feed.stop, app.fail):
        try:
            code = app.run(mouse=options.mouse)
        finally:
            feed.stop()
    return app.return_code or code or Exit.FINE
