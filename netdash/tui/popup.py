"""What lies over the dashboard for a moment: the help, the menu of things to copy, and what else there is to choose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.strip import Strip

from netdash.tui.actions import CHANGING, first_key, groups, keys_of
from netdash.tui.surface import Surface
from netdash.tui.theme import MARKER, strip
from netdash.view.text import Line, Span, Tone, clean, fit, width
from netdash.view.views import VIEWS

ASIDE = 6  # columns that a popup leaves free
KEY = 15  # columns for the names of keys
MEASURED = 200  # lines that say how wide a popup is
UNKNOWN_WIDTH = 80  # before the terminal told its size: a key can come first
Offer = tuple[str, str]
"""A label and the text that is copied."""


def help_lines(works: Iterable[str], remapped: Mapping[str, str], wide: int, why_not: str = "") -> list[Line]:
    """The keys of the table that work now, by group, for a terminal that is so wide; `why_not`: why those that change
    something do not."""
    lines: list[Line] = []
    for group, members in groups(works).items():
        lines += [(), (Span(group, Tone.TITLE),)] if lines else [(Span(group, Tone.TITLE),)]
        for action in members:
            lines += _key(keys_of(action, remapped), action.help, wide)
        if group == "Go":
            digits = f"{VIEWS[0].digit} … {VIEWS[-1].digit}"
            lines += _key(digits, "a view, the cursor on what belongs to the selection", wide)
    if why_not:
        off = "  ".join(first_key(each, remapped) for each in CHANGING)
        lines += [(), (Span("Change", Tone.TITLE),)]
        lines += _key(off, f"off: {clean(why_not)}", wide)
    return lines


def _key(name: str, text: str, wide: int) -> Iterator[Line]:
    room = (wide or UNKNOWN_WIDTH) - ASIDE - KEY - 2
    for at, part in enumerate(wrap(text, max(room, 1))):
        yield Span(fit("" if at else name, KEY), Tone.KEY), Span(part)


class Sheetlet(Surface, can_focus=True):
    """The lines of a popup, one of them under the cursor when there is something to choose."""

    PANEL = True

    def __init__(self, title: str, lines: Sequence[Line], offers: Sequence[Offer], verb: str) -> None:
        super().__init__()
        self.title, self.offers, self.verb = title, offers, verb
        self.lines = lines or [_offer(offer) for offer in offers]
        self.cursor = self.top = 0

    @property
    def page(self) -> int:
        return max(1, self.size.height - 2)

    @property
    def widest(self) -> int:
        return max((sum(width(span.text) for span in line) for line in self.lines[:MEASURED]), default=20)

    def get_content_width(self, container: Size, viewport: Size) -> int:  # noqa: ARG002
        return min(max(self.widest + 3, 40), container.width - ASIDE)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        return min(len(self.lines) + 3, container.height - 4)

    def move(self, by: int) -> None:
        last = len(self.lines) - 1
        if self.offers:
            self.cursor = max(0, min(self.cursor + by, last))
            self.top = min(max(self.top, self.cursor - self.page + 2), self.cursor)
        else:
            self.top = max(0, min(self.top + by, len(self.lines) - self.page))
        self.refresh()

    def line(self, y: int, wide: int) -> Strip:
        inks = self.inks
        if y == 0:
            foot = f"⏎ {self.verb}   Esc close" if self.offers else "Esc close"
            room = wide - width(self.title) - width(foot) - 2
            bar = (Span(" " + self.title, Tone.TITLE), Span(" " * room), Span(foot), Span(" "))
            return strip(bar, wide, self.colours.cursor)
        at = self.top + y - 2
        if y == 1 or at >= len(self.lines):
            return Strip.blank(wide, inks.blank)
        here = bool(self.offers) and at == self.cursor
        mark = Span(MARKER if here else " ", Tone.TITLE)
        return strip((mark, *self.lines[at]), wide, self.colours.cursor if here else inks)

    def on_click(self, event: events.Click) -> None:
        at = self.top + event.y - 2
        if self.offers and event.y > 1 and at < len(self.lines):
            self.cursor = at
            popup: Popup = self.screen  # type: ignore[assignment]
            popup.action_choose()


def _offer(offer: Offer) -> Line:
    label, text = offer
    first = text.strip().splitlines()[0] if text.strip() else ""
    more = " …" if "\n" in text.strip() else ""
    return (Span(fit(label, 16), Tone.DIM), Span(clean(first, 90) + more))


class Popup(ModalScreen[str | None]):
    """Answers with the text chosen, or None."""

    BINDINGS: ClassVar = [
        Binding("escape,q,question_mark,f1,y", "close", show=False),
        Binding("j,down", "move(1)", show=False),
        Binding("k,up", "move(-1)", show=False),
        Binding("pagedown,ctrl+f", "move(10)", show=False),
        Binding("pageup,ctrl+b", "move(-10)", show=False),
        Binding("g,home", "move(-9999)", show=False),
        Binding("G,end", "move(9999)", show=False),
        Binding("enter", "choose", show=False),
    ]

    def __init__(
        self, title: str, lines: Sequence[Line] = (), offers: Sequence[Offer] = (), verb: str = "copy"
    ) -> None:
        super().__init__()
        self.sheetlet = Sheetlet(title, lines, offers, verb)

    def compose(self) -> ComposeResult:
        yield self.sheetlet

    def on_mount(self) -> None:
        self.set_focus(self.sheetlet)

    def on_click(self, event: events.Click) -> None:
        if event.widget is self:
            self.action_close()

    def action_move(self, by: int) -> None:
        self.sheetlet.move(by)

    def action_close(self) -> None:
        self.dismiss(None)

    def action_choose(self) -> None:
        offers = self.sheetlet.offers
        self.dismiss(offers[self.sheetlet.cursor][1] if offers else None)
