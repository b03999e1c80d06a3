"""Fields to type in and to choose from, a line each, and below them the choices of the field under the cursor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from textual import events
from textual.message import Message
from textual.strip import Strip

from netdash.tui.surface import Surface
from netdash.tui.theme import MARKER, strip
from netdash.view.form_choices import Offer
from netdash.view.text import Line, Span, Tone, clean, fit, width

LABEL = 16  # cells
LONGEST = 200  # characters of one field
CHOICES = 2  # lines


@dataclass(slots=True)
class Field:
    """`text` as it will be read; `blank` is shown where that is empty. A field that is not `typed` only offers. `tall`:
    its offers stand one below the other. `only`: characters that it takes, "" for all. `edited`: by the user, and so
    not to be filled in any more."""

    name: str
    label: str
    text: str = ""
    offers: Sequence[Offer] = ()
    blank: str = ""
    typed: bool = True
    tall: bool = False
    only: str = ""
    note: Span = field(default_factory=lambda: Span(""))
    edited: bool = False
    chosen: int = 0  # the offer that was chosen last

    @property
    def at(self) -> int:
        """Which of the offers it holds; -1: none of them."""
        if self.chosen < len(self.offers) and self.offers[self.chosen].text == self.text:
            return self.chosen
        return next((at for at, offer in enumerate(self.offers) if offer.text == self.text), -1)

    def fill(self, text: str) -> None:
        """Unless the user has filled it."""
        if not self.edited:
            self.text = text


class Form(Surface, can_focus=True):
    """The caret is at the end of a field; left and right are for its choices."""

    class Changed(Message):
        """The user typed or chose."""

        def __init__(self, field: Field) -> None:
            super().__init__()
            self.field = field

    def __init__(self, fields: Sequence[Field]) -> None:
        super().__init__(id="form")
        self.fields = list(fields)
        self.cursor = 0

    @property
    def here(self) -> Field:
        return self.fields[self.cursor]

    def show(self, fields: Sequence[Field]) -> None:
        """Other fields, some of them the same; the cursor stays on its own."""
        name = self.here.name
        self.fields = list(fields)
        self.cursor = next((at for at, field in enumerate(self.fields) if field.name == name), 0)
        self.styles.height = self.lines
        self.refresh()

    @property
    def lines(self) -> int:
        return len(self.fields) + CHOICES

    # --- painting -----------------------------------------------------------------------------------------------------

    def line(self, y: int, wide: int) -> Strip:
        if y >= len(self.fields):
            return strip(self._choices(y - len(self.fields), wide), wide, self.inks)
        field = self.fields[y]
        here = y == self.cursor and self.has_focus
        shown = Span(clean(field.text), Tone.KEY) if field.text else Span(clean(field.blank), Tone.DIM)
        caret = Span("▏" if here and field.typed else " ", Tone.TITLE)
        value = (shown, caret) if field.text or not here else (caret, shown)
        room = max(1, 18 - sum(width(span.text) for span in value))
        mark = Span(MARKER if here else " ", Tone.TITLE)
        label = Span(fit(field.label, LABEL - 1), Tone.TITLE if here else Tone.DIM)
        inks = self.colours.cursor if here else self.inks
        return strip((mark, label, *value, Span(" " * room), field.note), wide, inks)

    def _choices(self, at: int, wide: int) -> Line:
        field = self.here
        if not field.offers or not self.has_focus:
            return ()
        if field.tall:
            return _offer(field, at) if at < len(field.offers) else ()
        lines: list[list[Span]] = [[Span(" ← →  ", Tone.DIM)]]
        for each in range(len(field.offers)):
            spans = _offer(field, each)
            if sum(width(span.text) for span in (*lines[-1], *spans)) >= wide:
                lines.append([Span("      ")])
            lines[-1] += spans
        return tuple(lines[at]) if at < len(lines) else ()

    # --- keys ---------------------------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        edit = _EDITS.get(event.key)
        printable = event.is_printable and event.character
        if edit is None and not printable:
            return
        event.stop()
        event.prevent_default()
        if edit is not None:
            edit(self)
        elif self.here.typed:
            self._type(event.character or "")
        elif event.character == " ":
            self._choose(1)
        self.refresh()

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        if self.here.typed:
            self._type("".join(each for each in event.text[:LONGEST] if each.isprintable()))
            self.refresh()

    def _type(self, text: str) -> None:
        only = self.here.only
        kept = "".join(each for each in text if not only or each in only)
        self._set((self.here.text + kept).lstrip()[:LONGEST])

    def _set(self, text: str) -> None:
        field = self.here
        if text != field.text:
            field.text, field.edited = text, True
            self.post_message(self.Changed(field))

    def _choose(self, step: int) -> None:
        """The next choice; from a text that is none of them the first."""
        field = self.here
        if field.offers:
            before = field.at
            field.chosen = (before + step) % len(field.offers) if before >= 0 else 0
            if field.chosen != before:
                field.text, field.edited = field.offers[field.chosen].text, True
                self.post_message(self.Changed(field))

    def _move(self, step: int) -> None:
        self.cursor = (self.cursor + step) % len(self.fields)

    def _rub(self) -> None:
        if self.here.typed:
            self._set(self.here.text[:-1])

    def _clear(self) -> None:
        if self.here.typed:
            self._set("")

    def on_click(self, event: events.Click) -> None:
        if event.y < len(self.fields):
            self.cursor = event.y
            self.focus()
            self.refresh()


def _offer(field: Field, at: int) -> Line:
    chosen = at == field.at
    opened, closed = ("[", "]") if chosen else (" ", " ")
    return (Span(f"{opened}{clean(field.offers[at].told)}{closed} ", Tone.TITLE if chosen else Tone.DIM),)


_EDITS: dict[str, Callable[[Form], None]] = {
    "up": lambda form: form._move(-1),
    "shift+tab": lambda form: form._move(-1),
    "down": lambda form: form._move(1),
    "tab": lambda form: form._move(1),
    "left": lambda form: form._choose(-1),
    "right": lambda form: form._choose(1),
    "backspace": Form._rub,
    "ctrl+u": Form._clear,
    "ctrl+w": Form._clear,
}
