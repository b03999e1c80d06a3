"""The dashboard's screen: header, tabs, panes, foot and prompt, what they share, and where following a link leads. What
the keys do is in `commands`, which is handed to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from textual.app import ComposeResult
from textual.binding import Binding
from textual.events import Resize
from textual.geometry import Size
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget

from netdash.model.finding import Mark, health_of
from netdash.model.host import Host, Ref
from netdash.model.kernel_state import Watched
from netdash.model.relations import ref_of
from netdash.model.source import Source
from netdash.tui import frame, header, interfaces
from netdash.tui.actions import BY_ID, KEYS, Needs
from netdash.tui.frame import LINKED_FROM, is_small
from netdash.tui.grid import Grid
from netdash.tui.host_app import HostApp
from netdash.tui.host_view import HostView
from netdash.tui.panes import HEADLINE, Panes
from netdash.tui.surface import Bar, Box
from netdash.tui.text_field import Prompt
from netdash.view import marks, unavailable
from netdash.view.layout import size as width_of
from netdash.view.text import Line, Span, Tone, clean
from netdash.view.views import BY_NAME, PANES

MARKED = 18  # cells of the name of what is marked
PATIENCE = 4.0  # seconds that a message stands at the foot
VERDICT_SOURCES = (Source.RULES, Source.ROUTES, Source.LINKS, Source.SYSCTLS, Source.INSIDE)
"""Without these little can be told."""


class Commands(Protocol):
    """What keys and command lines do."""

    def perform(self, dashboard: Dashboard, identity: str) -> None:
        """Carries out one of ACTIONS."""

    def execute(self, dashboard: Dashboard, line: str) -> None:
        """Carries out what was typed after ":"."""

    def complete(self, dashboard: Dashboard, typed: str) -> Sequence[str]:
        """Completions of what is typed so far, whole lines, the likeliest first."""


class Dashboard(Screen[None]):
    BINDINGS: ClassVar = [
        *(
            Binding(action.keys, f"perform('{action.id}')", action.help, id=action.id, show=False, priority=True)
            for action in KEYS
        ),
        *(
            Binding(view.digit, f"view('{view.name}')", show=False, id=f"view_{view.digit}", priority=True)
            for view in PANES
        ),
    ]

    def __init__(self, commands: Commands) -> None:
        super().__init__()
        self.commands = commands
        self.top_bar, self.tab_bar = Bar(id="header", panel=True), Bar(id="tabs")
        self.banner = Bar(id="banner")
        self.panes = Panes(self.write_header, self.write_footer, self.say)
        self.foot, self.prompt = Bar(id="footer", panel=True), Prompt(id="prompt")
        self._message: Line = ()
        self._alarms: tuple[str | None, frozenset[Ref]] | None = None  # the host, and what was wrong with it
        self._patience: Timer | None = None

    @property
    def netdash(self) -> HostApp:
        return self.app  # type: ignore[return-value]

    @property
    def host_view(self) -> HostView | None:
        return self.netdash.host_view

    @property
    def watched(self) -> Watched:
        view, host_view, row = self.panes.places.view, self.host_view, self.panes.grid.row
        listed = interfaces.of_list(view, self.netdash.hidden(view))
        owners = host_view.containers(row.ref) if host_view is not None and row is not None else ()
        container = host_view.container(owners[0]) if host_view is not None and len(owners) == 1 else None
        if host_view is None or container is None:
            return listed
        return listed | interfaces.of_card(host_view.host, container)

    def compose(self) -> ComposeResult:
        yield self.top_bar
        yield self.banner
        yield self.tab_bar
        yield self.panes
        yield self.foot
        yield self.prompt

    def on_mount(self) -> None:
        self.set_focus(self.panes.grid)
        self.fit_screen(self.size)
        if self.host_view is not None:
            self._announce(self.host_view)  # it came before there was a screen
        if self.netdash.fleet is not None:
            self.set_interval(1.0, self.write_header)  # the age of what is shown goes on while nothing comes

    # --- from host to screen ------------------------------------------------------------------------------------------

    def update_host(self, host_view: HostView) -> None:
        if self.is_mounted:
            self.refresh_all()
            self._announce(host_view)

    def _announce(self, host_view: HostView) -> None:
        """Says once what has begun to be wrong, or that it is mended, while one looks."""
        health = health_of(host_view.host)
        if health is None:
            return
        alarms = {ref_of(finding): finding for finding in health.findings if finding.mark is not Mark.NOTHING}
        before, self._alarms = self._alarms, (host_view.host.name, frozenset(alarms))
        if before is None or before[0] != host_view.host.name or not host_view.host.live:
            return
        new = [finding for ref, finding in alarms.items() if ref not in before[1]]
        if new:
            self.say(f"{marks.GLYPHS[new[0].mark]} {clean(new[0].sentence, 200)}", marks.TONES[new[0].mark])
        elif before[1] and not alarms:
            self.say("✓ nothing is wrong any more", Tone.GOOD)

    def refresh_all(self) -> None:
        """Everything anew from the host and the place; cursor, scroll and focus stay."""
        self.panes.fade(self.netdash.gone is not None)
        self.panes.rearrange()
        self.write_header()

    def on_resize(self, event: Resize) -> None:
        self.fit_screen(event.size)

    def fit_screen(self, size: Size) -> None:
        """Lays the panes out for a terminal of `size`."""
        panes = self.panes
        if size == panes.extent:
            return
        panes.extent = size
        if is_small(*size):
            return  # it is laid out when there is room for it
        panes.set_class(panes.linked_shown, "-linked")
        self.refresh_all()
        self.call_after_refresh(self._keep_focus)

    def _keep_focus(self) -> None:
        """A pane that has gone with the old size leaves its keys to the list."""
        if self.focused is None or not self.focused.is_on_screen:
            self.set_focus(self.panes.grid)
            self.write_footer()

    def write_header(self) -> None:
        panes, app = self.panes, self.netdash
        wide, own = panes.extent.width, panes.own_changes
        self.top_bar.show(
            *header.header(
                self.host_view.host if self.host_view else None,
                app.paused,
                app.gone,
                wide,
                self._number_of_host(),
                app.options.read_only,
                own.unfinished if own and wide >= header.NARROW else "",
                app.age,
            ),
        )
        ask, listing = panes.places.here.ask, panes.grid.listing
        note = header.filter_note(ask, panes.name_of(ask.within), listing, panes.work.busy)
        host = self.host_view.host if self.host_view else None
        self.tab_bar.show(header.tabs(host, panes.places.view, wide, wide - width_of(note)), note)
        health = health_of(host) if host is not None else None
        line = marks.banner(health, wide, self._unread(host)) if host and health else ()
        if host is not None and app.gone is not None and "host" not in host.failures:
            line = header.gone(host.failures[Source.DOCKER], app.gone, wide)
        self.banner.show(line)
        self.set_class(bool(line), "-alarmed")
        if panes.extra != bool(line):
            panes.extra = int(bool(line))
            if listing is not None:
                panes.fit_heights(listing)
        self.write_footer()

    def _unread(self, host: Host) -> list[str]:
        """Why verdicts are unknown, a sentence each."""
        if "host" in host.failures:
            return []
        return [unavailable.sentence(failure) for failure in unavailable.missing(host, VERDICT_SOURCES)]

    def _number_of_host(self) -> str:
        """Which of several hosts is on screen: 2/3."""
        fleet = self.netdash.fleet
        names = [state.name for state in fleet.states()] if fleet else []
        return f"{names.index(fleet.chosen) + 1}/{len(names)}" if fleet and len(names) > 1 else ""

    # --- the foot -----------------------------------------------------------------------------------------------------

    def write_footer(self) -> None:
        if self._message:
            self.foot.show(self._message)
            return
        grid = self.panes.grid
        keys = self.netdash.options.keys
        self.foot.show(*frame.foot(self._state(), grid.cursor, len(grid.listing or ()), keys))

    def _state(self) -> frame.State:
        panes, ask = self.panes, self.panes.places.here.ask
        on_list = self.focused is panes.grid
        return frame.State(
            self.works,
            panes.extent.width,
            self.netdash.paused,
            bool(ask.text or ask.within),
            bool(panes.everything or ask.within),
            panes.on_headline and on_list,
            not on_list,
            [header.fit_name(panes.name_of(ref), MARKED) for ref in panes.picked],
        )

    def say(self, text: str, tone: Tone = Tone.PLAIN) -> None:
        """A word to the user at the foot, until the next key or a few seconds."""
        self._message = (Span(" "), Span(text, tone))
        self.write_footer()
        if self._patience is not None:
            self._patience.stop()  # it is that of the message before
        self._patience = self.set_timer(PATIENCE, self.hush)

    def hush(self) -> None:
        if self._message:
            self._message = ()
            self.write_footer()

    # --- keys ---------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Keys are the dashboard's before they are a pane's, which saves the way up; a text field has them all."""
        return not self.asking

    def action_perform(self, identity: str) -> None:
        self.hush()
        self.commands.perform(self, identity)

    def action_view(self, name: str) -> None:
        """Another view, its cursor on what belongs to the selection."""
        self.hush()
        view = BY_NAME[name]
        if view is not self.panes.places.view:
            self.panes.go(view, self.panes.counterpart(view))
            self.write_header()
        self.focus_on(self.panes.grid)

    def works(self, identity: str) -> bool:
        """Whether the action does something here and now."""
        return not self.why_not(identity)

    def why_not(self, identity: str) -> str:
        """Why the action does nothing here and now, for people; "" where it does something."""
        needs, panes, app = BY_ID[identity].needs, self.panes, self.netdash
        if needs is Needs.CHANGES:
            return app.unchangeable
        if needs is Needs.LINKED:
            return self._why_nothing_is_linked()
        if needs in (Needs.ROW, Needs.THING) and panes.why_lost:
            return panes.why_lost
        if needs is Needs.THING and panes.on_headline:
            return HEADLINE
        there, missing = {
            Needs.NOTHING: (True, ""),
            Needs.HOST: (self.host_view is not None, "nothing has been read yet"),
            Needs.LIVE: (app.feed.live, "a recording stays as it is"),
            Needs.ROW: (panes.grid.row is not None, "there is no row under the cursor"),
            Needs.THING: (panes.grid.row is not None, "there is no row under the cursor"),
            Needs.ORDER: (panes.places.here.ask.sort is not None, "nothing is sorted: sort by a column first"),
            Needs.FLEET: (app.fleet is not None, "this is the only host"),
        }[needs]
        return "" if there else missing

    def _why_nothing_is_linked(self) -> str:
        panes = self.panes
        if panes.grid.row is None and panes.places.here.ask.within is None:
            return "there is no row under the cursor"
        if panes.linked_shown or (panes.places.view.kind != "container" and self.focused is panes.grid):
            return ""
        return f"the linked panes need a terminal of {LINKED_FROM[0]}x{LINKED_FROM[1]}"

    def focus_on(self, pane: Widget) -> None:
        self.set_focus(pane)
        self.panes.mark()
        self.write_footer()

    def on_grid_moved(self, message: Grid.Moved) -> None:
        self.hush()
        if message.grid is self.panes.grid:
            self.panes.moved()
        else:
            self.panes.mark()

    # --- going --------------------------------------------------------------------------------------------------------

    def on_grid_followed(self, message: Grid.Followed) -> None:
        self.follow(message.ref)

    def on_box_followed(self, message: Box.Followed) -> None:
        if message.ref.kind == "view":
            self.action_view(message.ref.key)
        elif message.ref.kind == "question":
            self.commands.perform(self, "follow")
        else:
            self.follow(message.ref)

    def follow(self, ref: Ref) -> None:
        """Goes to what `ref` names, and remembers where it came from."""
        host_view, panes = self.host_view, self.panes
        if host_view is None:
            return
        if ref.kind == "chain":
            _, _, table, chain = (*ref.key.split(" ", 3), "", "", "")[:4]
            panes.places.remember()
            panes.go(BY_NAME["rules"], None, f"chain:{chain} table:{table}")
        else:
            found = host_view.find(ref)
            if found is None:
                self.say(f"{clean(ref.key, 60)}: not a thing of this host", Tone.WARN)
                return
            view, place = found
            here, there = panes.grid.row, host_view.rows(view).ref(place)
            if here is not None and here.ref == there:
                self.say(f"{header.fit_name(panes.name_of(ref), 60)} is what is selected", Tone.DIM)
                return
            panes.places.remember()
            panes.go(view, there)
        self.write_header()
        self.focus_on(panes.grid)

    def narrow(self, **values: object) -> None:
        """Another filter or order of the same view."""
        self.panes.places.change(**values)
        self.panes.rearrange()
        self.write_header()

    # --- the prompt ---------------------------------------------------------------------------------------------------

    @property
    def asking(self) -> bool:
        """Whether a text field is open."""
        return self.panes.still

    def ask(self, sign: str, text: str, hint: str) -> None:
        self._set_asking(True)
        if sign == ":":
            self.prompt.open(sign, text, hint, lambda typed: self.commands.complete(self, typed))
        else:
            self.prompt.open(sign, text, hint)

    def _set_asking(self, asking: bool) -> None:
        self.panes.still = asking
        self.set_class(asking, "-asking")

    def on_text_field_edited(self) -> None:
        if self.prompt.sign == "/":
            self.panes.typed = True
            self.narrow(text=self.prompt.value)

    def on_prompt_entered(self, message: Prompt.Entered) -> None:
        self._set_asking(False)
        self.focus_on(self.panes.grid)
        if self.prompt.sign != "/":
            self.commands.execute(self, message.text or "")
        elif message.text is None:
            self.narrow(text="")
        else:
            self.panes.rearrange()
