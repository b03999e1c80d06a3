"""Modal screens: the help, the menu of things to copy, lists to choose from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from textwrap import wrap
from typing import ClassVar, TypeVar

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.geometry import Size
from textual.strip import Strip

from netdash.tui.actions import CHANGING, first_key, groups, keys_of
from netdash.tui.inks import MARKER
from netdash.tui.overlay import Overlay, Search
from netdash.tui.surface import ListWidget
from netdash.tui.theme import strip
from netdash.view.text import Line, Span, Tone, clean, fit, width
from netdash.view.views import PANES

Answer = TypeVar("Answer")

TWO_COLUMNS = 120  # columns from which the help has two
ASIDE = 6  # columns that a popup leaves free
KEY = 15  # columns for the names of keys
MEASURED = 200  # lines that say how wide a popup is
UNKNOWN_WIDTH = 80  # before the terminal told its size: a key can come first
Offer = tuple[str, str]
"""A label and the text that is copied."""


def help_lines(
    works: Iterable[str], remapped: Mapping[str, str], wide: int, why_not: str = "", words: str = ""
) -> list[Line]:
    """The keys of the table that work now, by group, for a terminal that is so wide; `why_not`: why those that change
    something do not; `words`: only those that these are said of."""
    lines: list[Line] = []

    def add(group: str, entries: Iterable[tuple[str, str]]) -> None:
        found = [entry for entry in entries if all(word in " ".join(entry).casefold() for word in words.split())]
        if found:
            lines.extend([*([()] if lines else []), (Span(group, Tone.TITLE),)])
            lines.extend(line for entry in found for line in _key(*entry, wide))

    for group, members in groups(works).items():
        entries = [(keys_of(action, remapped), action.help) for action in members]
        if group == "Go":
            digits = f"{PANES[0].digit} … {PANES[-2].digit} {PANES[-1].digit}"
            entries.append((digits, "a view, the cursor on what belongs to the selection"))
        add(group, entries)
    if why_not:
        off = "  ".join(first_key(text, remapped) for text in CHANGING)
        add("Change", [(off, f"off: {clean(why_not)}")])
    return lines


def side_by_side(lines: Sequence[Line], wide: int) -> list[Line]:
    """In two columns, parted between two groups; the left one takes `wide` cells."""
    blanks = [at for at, line in enumerate(lines) if not line]
    part = min(blanks, key=lambda at: abs(at - len(lines) / 2), default=len(lines))
    left, right = lines[:part], lines[part + 1 :]
    pairs = zip_longest(left, right, fillvalue=())
    return [(*line, Span(" " * (wide - sum(width(span.text) for span in line))), *beside) for line, beside in pairs]


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
        self.foot = "Esc close"  # where there is nothing to choose
        self.lines = lines or [_offer(offer) for offer in offers]

    @property
    def count(self) -> int:
        return len(self.lines)

    @property
    def _foot(self) -> str:
        return f"⏎ {self.verb}   Esc close" if self.offers else self.foot

    @property
    def widest(self) -> int:
        return max((sum(width(span.text) for span in line) for line in self.lines[:MEASURED]), default=20)

    def get_content_width(self, container: Size, viewport: Size) -> int:  # noqa: ARG002
        head = width(self.title) + width(self._foot) + 5
        return min(max(self.widest + 3, head, 40), container.width - ASIDE)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        return min(self.count + self.HEAD + self.FOOT, container.height - 4)

    def step(self, by: int) -> None:
        super().step(by) if self.offers else self.scroll(by)

    def edge(self, side: int) -> None:
        self.step(side * self.count)

    def line(self, y: int, wide: int) -> Strip:
        inks = self.inks
        if y == 0:
            room = wide - width(self.title) - width(self._foot) - 2
            bar = (Span(" " + self.title, Tone.TITLE), Span(" " * room), Span(self._foot), Span(" "))
            return strip(bar, wide, self.colours.cursor)
        below = self.count - self.top - self.page
        if y == self.size.height - 1 and below > 0:
            return strip((Span(f"   … {below} more: {'j' if self.offers else 'PgDn'}", Tone.DIM),), wide, inks)
        at = self.row_at(y)
        if at is None or at >= self.top + self.page:
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


class Help(Popup):
    """The keys that work; `make` gives the lines for the words that are searched for."""

    BINDINGS: ClassVar = [Binding("slash", "search", show=False)]

    def __init__(self, title: str, make: Callable[[str], Sequence[Line]]) -> None:
        super().__init__(title, make(""))
        self.make = make
        self.field = Search("search")
        self.field.display = False
        self.menu.foot = "/ search   Esc close"

    def compose(self) -> ComposeResult:
        yield self.menu
        yield self.field

    def action_search(self) -> None:
        self.field.display = True
        self.set_focus(self.field)

    def action_searched(self) -> None:
        self.field.display = bool(self.field.value)
        self.set_focus(self.menu)
        self.on_text_field_edited()

    def on_text_field_edited(self) -> None:
        words = self.field.value.casefold()
        self.menu.lines = self.make(words) or [(Span(f"no key is said to do that: {clean(words, 40)}"),)]
        self.menu.place(0)
        self.menu.refresh(layout=True)


def show_help(app: App[int], works: Sequence[str], keys: Mapping[str, str], wide: int, why_not: str) -> None:
    """The keys that work, in one column or two."""
    column = (wide - ASIDE) // 2

    def lines(words: str) -> Sequence[Line]:
        if wide < TWO_COLUMNS:
            return help_lines(works, keys, wide, why_not, words)
        return side_by_side(help_lines(works, keys, column + ASIDE, why_not, words), column)

    app.push_screen(Help("Keys that work here", lines))
