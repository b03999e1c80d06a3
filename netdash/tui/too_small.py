"""The screen that covers the others while the terminal is too small. No key acts on what it covers."""

from __future__ import annotations

from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.events import ScreenResume
from textual.geometry import Size
from textual.screen import Screen
from textual.strip import Strip

from netdash.tui.surface import Surface
from netdash.tui.theme import strip
from netdash.view.text import Span, Tone, fit

LEAST = (60, 15)  # columns and lines below which nothing can be read


def is_small(wide: int, high: int) -> bool:
    return wide < LEAST[0] or high < LEAST[1]


def fit_screens(app: App[int], size: Size) -> None:
    """Lays it over the screens of a terminal that has become too small, and takes it away."""
    small = is_small(*size)
    if small and not isinstance(app.screen, TooSmall):
        app.push_screen(TooSmall())
    elif not small and isinstance(app.screen, TooSmall):
        app.pop_screen()


def message(wide: int, high: int) -> list[str]:
    """Why nothing is shown, in lines that fit; where not all fit, only the size that is needed."""
    need = f"{LEAST[0]}x{LEAST[1]}"
    for words in (f"{wide}x{high} is too small: netdash needs {need}", f"needs {need}", need):
        lines = [""]
        for word in words.split():
            longer = f"{lines[-1]} {word}".lstrip()
            lines = [*lines[:-1], longer] if len(longer) < wide else [*filter(None, lines), word]
        if len(lines) <= high and all(len(line) < wide for line in lines):
            return lines
    return [need]


class Notice(Surface):
    def line(self, y: int, wide: int) -> Strip:
        lines = message(*self.app.size)
        text = lines[y] if y < len(lines) else ""
        return strip(
            (Span(" "), Span(fit(text, len(text)), Tone.WARN)) if len(text) < wide else (Span(text),), wide, self.inks
        )


class TooSmall(Screen[None]):
    BINDINGS: ClassVar = [Binding("q", "app.quit", show=False)]

    def compose(self) -> ComposeResult:
        yield Notice()

    def on_resize(self) -> None:
        self.query_one(Notice).refresh()

    def on_screen_resume(self, event: ScreenResume) -> None:  # noqa: ARG002
        fit_screens(self.app, self.app.size)  # what lay over it has gone
