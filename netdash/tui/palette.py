"""The dashboard's commands in Textual's palette. Loaded when the palette opens."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from netdash.tui import commands
from netdash.tui.actions import COMMANDS
from netdash.tui.dashboard import Dashboard
from netdash.view.text import clean
from netdash.view.views import PANES


class Commands(Provider):
    """Views, actions and containers by name."""

    def _offers(self) -> Iterator[tuple[str, str, str]]:
        """Title, help, and the command line that does it."""
        for view in PANES:
            yield view.title, f"show the view (key {view.digit})", view.name
        for action in COMMANDS.values():
            if not action.argument:
                yield action.title or action.command.capitalize(), action.help, action.command
        screen = self.app.screen_stack[0]
        host = screen.host_view.host if isinstance(screen, Dashboard) and screen.host_view else None
        for container in (host.containers if host else None) or ():
            yield f"Go to {clean(container.name, 60)}", "container", f"go {container.name}"

    def _run(self, line: str) -> None:
        screen = self.app.screen_stack[0]
        if isinstance(screen, Dashboard):
            commands.execute(screen, line)

    async def discover(self) -> Hits:
        for title, text, line in self._offers():
            yield DiscoveryHit(Content(title), partial(self._run, line), title, text)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for title, text, line in self._offers():
            score = matcher.match(title)
            if score > 0:
                shown = Content(title) if "[" in title else matcher.highlight(title)  # which reads markup
                yield Hit(score, shown, partial(self._run, line), title, text)
