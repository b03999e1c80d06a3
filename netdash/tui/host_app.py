"""The application without its screens: takes hosts from a feed, holds the one on screen, and quits cleanly."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Set
from threading import current_thread, main_thread
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.events import Event, InputEvent, Resize, ScreenResume
from textual.geometry import Size
from textual.message import Message
from textual.reactive import var
from textual.screen import Screen
from textual.strip import Strip

from netdash.model.errors import Exit
from netdash.model.finding import health_of
from netdash.model.host import Host
from netdash.model.source import Source
from netdash.model.turn import give_way
from netdash.tui import frame, theme
from netdash.tui.config import Keep, Options
from netdash.tui.examiner import Examine, Examiner, Verdicts, carry
from netdash.tui.frame import is_small
from netdash.tui.host_view import HostView, Looked, ShowsHost
from netdash.tui.interfaces import LOCAL, Feed, Fleet, Holds
from netdash.tui.surface import Surface
from netdash.tui.term.display import TerminalApp
from netdash.tui.term.driver import Terminal
from netdash.tui.term.keyboard import Background
from netdash.tui.work import EVERY, Collector
from netdash.view import unavailable
from netdash.view.table import View
from netdash.view.text import Span, Tone, clean, fit
from netdash.view.views import VIEWS

if TYPE_CHECKING:
    from netdash.tui.first_frame import FirstFrame
    from netdash.tui.interfaces import Changes, OpenCapture

MINUTE = 60.0
PATIENCE = 3.0  # seconds from the start that keys wait for the rows that they act on
AGES = 20.0  # seconds after which what a host says of times is old


class Arrived(Message):
    """A host has come from the feed's thread."""

    def __init__(self, host_view: HostView) -> None:
        super().__init__()
        self.host_view = host_view

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Arrived)


class Examined(Message):
    """What is wrong with a host is known. `host_view`: of the host on screen with that knowledge, None where nothing
    was on screen."""

    def __init__(self, host: Host, host_view: HostView | None) -> None:
        super().__init__()
        self.host, self.host_view = host, host_view


def _same_on_screen(shown: Host, host: Host) -> bool:
    """Whether only time has passed, and not much: a poll of a host at rest."""
    if Source.DOCKER in host.failures or (host.taken or 0.0) - (shown.taken or 0.0) > AGES or _young(shown):
        return False
    if unavailable.silent(host) is not None or (shown.heard is None) != (host.heard is None):
        return False
    ours = (getattr(shown, name) is getattr(host, name) for name in _PARTS)
    named = (shown.name, shown.failures, shown.pending)
    return all(ours) and named == (host.name, host.failures, host.pending)


def _young(host: Host) -> bool:
    """Whether an age on screen is in seconds."""
    since = (
        container.started_at if container.running else container.finished_at for container in host.containers or ()
    )
    return any(at and 0 <= (host.taken or 0.0) - at < MINUTE for at in since)


_PARTS = (
    *"containers networks links routes policy neighbours ruleset proxies listeners ports sysctls engine".split(),
    *("flows", "traffic", "drift", "counters", "conntrack_counts"),
)


class HostApp(TerminalApp):
    """Owns the host on screen; every screen asks it."""

    CSS_PATH = "app.tcss"
    TITLE = "netdash"
    ALLOW_SELECT = False
    AUTO_FOCUS = None
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar = [Binding("ctrl+c,ctrl+q", "quit", "Quit", priority=True, show=False)]

    host_view: var[HostView | None] = var(
        None, always_update=True
    )  # a `reactive` of the app would repaint the whole screen
    paused: var[bool] = var(False)

    def __init__(
        self,
        feed: Feed,
        options: Options,
        changes: Changes | None = None,
        keep: Keep | None = None,
        capture: OpenCapture | None = None,
        examine: Examine | None = None,
        first: FirstFrame | None = None,
    ) -> None:
        super().__init__(ansi_color=None, taken=first.terminal if first else None)
        self._first = first.host_view if first else None  # what the terminal shows already
        self._arrived = False  # whether this screen shows it too
        self.feed = feed
        self.fleet = feed if isinstance(feed, Fleet) else None
        self.options = options
        self.changes = changes  # None: nothing can be changed
        self.capture = capture  # None: nothing can be captured
        self.others: Verdicts | None = None  # on the other hosts, where somebody has asked for them
        self.keep = keep  # writes into the config file; None: there is none
        self.collector = Collector()
        self.held: Host | None = None  # the newest one while paused
        self._warmed: HostView | None = None  # the newest one that the feed's thread filled
        self.looked = Looked(VIEWS[0])  # what the next host is filled for
        self._painted = False
        self._impatient = monotonic() + PATIENCE
        self.examine = examine  # None: a thread of this process does
        self.examiner = Examiner(self._examined, self.fail, examine)
        self.answered: float | None = None  # when the engine last answered, on the host's clock
        self.animation_level = "none"
        self.light = first is not None and first.light  # the terminal's background, as it says
        for other in (theme.DARK, theme.LIGHT, theme.CONTRAST):
            self.register_theme(other)
        self.theme = self._theme()
        self.colours = self._palette()
        self.set_keymap(dict(options.keys))

    def _theme(self) -> str:
        wanted = self.options.theme
        if wanted is None:
            few = self.console.color_system not in ("truecolor", "256") and not self._in_memory
            wanted = "ansi" if self.no_color or few else "netdash-light" if self.light else "netdash"
        return f"ansi-{'light' if self.light else 'dark'}" if wanted == "ansi" else wanted

    def on_background(self, message: Background) -> None:
        """The terminal has said what its background is."""
        self.light = message.light
        self.theme = self._theme()

    @property
    def _in_memory(self) -> bool:
        """Painted for a test or a screenshot, where colours need no terminal."""
        return not sys.__stdout__ or not sys.__stdout__.isatty()

    def _palette(self) -> theme.Palette:
        return theme.palette(self.theme, self.native_ansi_color, self.no_color, self.light)

    def on_load(self) -> None:
        self.feed.start(self._publish)

    def on_mount(self) -> None:
        self.set_timer(PATIENCE, self.release)  # whatever comes
        self.theme_changed_signal.subscribe(self, lambda _: self._repaint())
        self.call_after_refresh(self._settle)

    def _settle(self) -> None:
        self._painted = True
        self.collector.begin()
        self.set_interval(EVERY, self.collector.tick)
        self.feed.shown()
        self.settled()

    @property
    def ready(self) -> bool:
        """Not before the first picture; after that keys wait a little for what the view lists: they would be lost."""
        return self._painted and (monotonic() > self._impatient or self.filled)

    @property
    def filled(self) -> bool:
        """Whether what is on screen has been read."""
        return self.host_view is not None

    @property
    def withheld(self) -> bool:
        return self._first is not None and not self._arrived

    def settled(self) -> None:
        """The first picture is painted: what may take longer begins."""

    def on_resize(self, event: Resize) -> None:
        fit_screens(self, event.size)

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
        if self._warmed and _same_on_screen(self._warmed.host, host):
            return
        self.examiner.look(host)
        if self._first is not None and self._first.host is host:
            self._warmed = self._first
            self.post_message(Arrived(self._first))
        elif self.paused or current_thread() is main_thread():
            self.post_message(Arrived(HostView(host)))
        else:
            self._warmed = HostView(host, self._warmed).warm(self.looked, give_way)
            self.post_message(Arrived(self._warmed))

    def _examined(self, host: Host) -> None:
        """Called by the examiner's thread: the same host, of which more is known."""
        host_view = self._with_health(host)
        self.post_message(Examined(host, host_view and host_view.warm(self.looked, give_way)))

    def on_examined(self, message: Examined) -> None:
        shown, made = self.host_view, message.host_view
        if made is None or shown is None or made.host is not shown.host:
            made = self._with_health(message.host)
        if made is not None:
            self.host_view = made

    def _with_health(self, host: Host) -> HostView | None:
        """Of the host on screen anew, with what is known of `host`; None where that is another one."""
        shown, health = self.host_view, health_of(host)
        if shown is None or health is None or shown.host.name != host.name:
            return None
        if shown.host is not host:
            carry(health, host, shown.host)  # only little has changed since; it is examined next
        return HostView(shown.host, shown)

    def on_arrived(self, message: Arrived) -> None:
        host = message.host_view.host
        if Source.DOCKER not in host.failures and host.containers is not None:
            self.answered = host.taken
        if (
            host.containers is None
            and Source.DOCKER in host.pending
            and self.host_view
            and self.host_view.host.name == host.name
        ):
            return  # it is being read: what is known of it stays
        if self.paused:
            self.held = host
        else:
            self.host_view = message.host_view
        if self.withheld:
            self.call_after_refresh(self.release)

    def release(self) -> None:
        """Writes what this screen shows from now on."""
        self._arrived = True
        self._show()

    def watch_host_view(self, host_view: HostView | None) -> None:
        for screen in self.screen_stack:
            if host_view is not None and isinstance(screen, ShowsHost):
                screen.update_host(host_view)

    def watch_paused(self, paused: bool) -> None:
        if not paused and self.held is not None:
            self.host_view, self.held = HostView(self.held), None

    @property
    def age(self) -> float | None:
        """Seconds since the shown host answered, where it is one of several."""
        states = self.fleet.states() if self.fleet is not None else ()
        return next((state.age for state in states if state.name == self.fleet.chosen), None) if self.fleet else None

    @property
    def gone(self) -> float | None:
        """Seconds that the engine, or the host, has not answered although it once did; None when it does, or never
        has."""
        host = self.host_view.host if self.host_view else None
        if host is not None and self.fleet is not None and "host" in host.failures:
            return next((state.age for state in self.fleet.states() if state.name == self.fleet.chosen), None)
        if host is None or not host.live or Source.DOCKER not in host.failures or host.containers is None:
            return None
        return max(0.0, (host.taken or 0.0) - (self.answered or host.taken or 0.0))

    def hidden(self, view: View) -> Set[str]:
        return frame.hidden(view, self.options.columns.get(view.name))

    def there(self, command: str) -> str:
        """A command of a shell so that it runs on the host that is shown."""
        return self.fleet.there(command) if self.fleet is not None else command

    @property
    def here(self) -> bool:
        """Whether the host on screen is this machine."""
        return self.fleet is None or self.fleet.chosen == LOCAL

    @property
    def unchangeable(self) -> str:
        """Why nothing can be changed from here, for people; "" where it can."""
        if self.options.read_only:
            return "read-only (--read-only, or read_only in the config)"
        if not self.feed.live:
            return "a recording cannot be changed"
        if self.changes is None or not self.here:
            return "only this machine's own engine: run netdash on that host"
        host = self.host_view.host if self.host_view else None
        failure = host.failures.get(Source.DOCKER) if host else None
        if failure is not None:
            return f"no engine: {failure.reason}"
        return "" if host is not None and host.containers is not None else "the engine has not answered yet"

    def look_at(self, name: str) -> None:
        """Another host of the fleet: nothing of the one before counts for it."""
        if self.fleet is not None:
            self._warmed = self.answered = self.held = None
            self.paused = False
            self.fleet.look_at(name)

    def quit(self) -> None:
        if not (isinstance(self.screen, Holds) and self.screen.holds()):
            self.feed.stop()
            self.exit(0)

    async def action_quit(self) -> None:
        self.quit()

    def _handle_exception(self, error: Exception) -> None:
        if self.is_headless:
            super()._handle_exception(error)
            return
        if os.environ.get("NETDASH_DEBUG"):
            super()._handle_exception(error)
        else:
            message = clean(f"netdash: internal error: {type(error).__name__}: {error}", 200)
            self.exit(Exit.FAULT, Exit.FAULT, theme.message(f"{message} (NETDASH_DEBUG=1 shows where)"))
        self._return_code = Exit.FAULT

    def fail(self, error: BaseException) -> None:
        """What another thread raised ends netdash as what its own raises."""
        fault = error if isinstance(error, Exception) else RuntimeError(type(error).__name__)
        with contextlib.suppress(RuntimeError):  # it ends already
            self.call_later(self._handle_exception, fault)

    def leave_terminal(self) -> None:
        if isinstance(self._driver, Terminal):
            self._driver.leave()


# --- a terminal that is too small ------------------------------------------------------------------------------------


def fit_screens(app: App[int], size: Size) -> None:
    """Lays it over the screens of a terminal that has become too small, and takes it away."""
    small = is_small(*size)
    if small and not isinstance(app.screen, TooSmall):
        app.push_screen(TooSmall())
    elif not small and isinstance(app.screen, TooSmall):
        app.pop_screen()


class Notice(Surface):
    def line(self, y: int, wide: int) -> Strip:
        lines = frame.too_small(*self.app.size)
        text = lines[y] if y < len(lines) else ""
        return theme.strip(
            (Span(" "), Span(fit(text, len(text)), Tone.WARN)) if len(text) < wide else (Span(text),), wide, self.inks
        )


class TooSmall(Screen[None]):
    """Covers the others while the terminal is too small: no key acts on what it covers."""

    BINDINGS: ClassVar = [Binding("q", "app.quit", show=False)]

    def compose(self) -> ComposeResult:
        yield Notice()

    def on_resize(self) -> None:
        self.query_one(Notice).refresh()

    def on_screen_resume(self, event: ScreenResume) -> None:  # noqa: ARG002
        fit_screens(self.app, self.app.size)  # what lay over it has gone
