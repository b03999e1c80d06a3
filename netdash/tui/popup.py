"""Modal screens: the help, the menu of things to copy, lists to choose from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap
from typing import ClassVar, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.strip import Strip

from netdash.tui.actions import CHANGING, first_key, groups, keys_of
from netdash.tui.surface import ListWidget
from netdash.tui.theme import MARKER, strip
from netdash.view.text import Line, Span, Tone, clean, fit, width
from netdash.view.views import VIEWS

Answer = TypeVar("Answer")

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


class Menu(ListWidget):
    """The lines of a popup, one of them under the cursor when there is something to choose."""

    PANEL = True
    HEAD = 2
    FOOT = 1

    def __init__(self, title: str, lines: Sequence[Line], offers: Sequence[Offer], verb: str) -> None:
        super().__init__()
        self.title, self.offers, self.verb = title, offers, verb
        self.lines = lines or [_offer(offer) for offer in offers]

    @property
    def count(self) -> int:
        return len(self.lines)

    @property
    def widest(self) -> int:
        return max((sum(width(span.text) for span in line) for line in self.lines[:MEASURED]), default=20)

    def get_content_width(self, container: Size, viewport: Size) -> int:  # noqa: ARG002
        return min(max(self.widest + 3, 40), container.width - ASIDE)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        return min(self.count + self.HEAD + self.FOOT, container.height - 4)

    def step(self, by: int) -> None:
        super().step(by) if self.offers else self.scroll(by)

    def edge(self, side: int) -> None:
        self.step(side * self.count)

    def line(self, y: int, wide: int) -> Strip:
        inks = self.inks
        if y == 0:
            foot = f"⏎ {self.verb}   Esc close" if self.offers else "Esc close"
            room = wide - width(self.title) - width(foot) - 2
            bar = (Span(" " + self.title, Tone.TITLE), Span(" " * room), Span(foot), Span(" "))
            return strip(bar, wide, self.colours.cursor)
        at = self.row_at(y)
        if at is None:
            return Strip.blank(wide, inks.blank)
        here = bool(self.offers) and at == self.cursor
        mark = Span(MARKER if here else " ", Tone.TITLE)
        return strip((mark, *self.lines[at]), wide, self.colours.cursor if here else inks)

    def on_click(self, event: events.Click) -> None:
        at = self.row_at(event.y)
        if self.offers and at is not None:
            self.place(at)
            popup: Popup = self.screen  # type: ignore[assignment]
            popup.action_choose()


def _offer(offer: Offer) -> Line:
    label, text = offer
    first = text.strip().splitlines()[0] if text.strip() else ""
    more = " …" if "\n" in text.strip() else ""
    return (Span(fit(label, 16), Tone.DIM), Span(clean(first, 90) + more))


class Overlay(ModalScreen[Answer]):
    """A screen over the dashboard; the keys move in the list that it names."""

    BINDINGS: ClassVar = [
        Binding("j,down", "step(1)", show=False),
        Binding("k,up", "step(-1)", show=False),
        Binding("pagedown,ctrl+f,ctrl+d", "turn(1)", show=False),
        Binding("pageup,ctrl+b,ctrl+u", "turn(-1)", show=False),
        Binding("g,home", "edge(-1)", show=False),
        Binding("G,end", "edge(1)", show=False),
    ]

    @property
    def list(self) -> ListWidget:
        raise NotImplementedError

    def action_step(self, by: int) -> None:
        self.list.step(by)

    def action_turn(self, pages: int) -> None:
        self.list.turn(pages)

    def action_edge(self, side: int) -> None:
        self.list.edge(side)


class Popup(Overlay[str | None]):
    """Answers with the text chosen, or None."""

    BINDINGS: ClassVar = [
        Binding("escape,q,question_mark,f1,y", "close", show=False),
        Binding("enter", "choose", show=False),
    ]

    def __init__(
        self, title: str, lines: Sequence[Line] = (), offers: Sequence[Offer] = (), verb: str = "copy"
    ) -> None:
        super().__init__()
        self.menu = Menu(title, lines, offers, verb)

    @property
    def list(self) -> Menu:
        return self.menu

    def compose(self) -> ComposeResult:
        yield self.menu

    def on_mount(self) -> None:
        self.set_focus(self.menu)

    def on_click(self, event: events.Click) -> None:
        if event.widget is self:
            self.action_close()

    def action_close(self) -> None:
        self.dismiss(None)

    def action_choose(self) -> None:
        offers = self.menu.offers
        self.dismiss(offers[self.menu.cursor][1] if offers else None)
