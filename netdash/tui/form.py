"""Fields to type in and to choose from, a line each, and below them the choices of the field that has the keys. Choices
are always in view, with what each means: a list that opens would hide the plan and take Enter and the arrows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.strip import Strip

from netdash.tui.inks import MARKER
from netdash.tui.surface import Surface
from netdash.tui.text_field import TextField
from netdash.tui.theme import Inks, strip
from netdash.view.form_choices import Offer
from netdash.view.text import Line, Span, Tone, clean, fit, width

LABEL = 16  # cells
VALUE = 18  # cells at least before the note
CHOICES = 2  # lines


class Field(TextField):
    """`blank` is shown where the text is empty. A field that is not `typed` only offers. `tall`: its offers stand one
    below the other. `edited`: by the user, and so not to be filled in any more. Left and right choose as long as the
    whole text is selected, as it is when one comes to the field."""

    def __init__(
        self,
        name: str,
        label: str,
        text: str = "",
        offers: Sequence[Offer] = (),
        blank: str = "",
        typed: bool = True,
        tall: bool = False,
        only: str = "",
    ) -> None:
        super().__init__(f"field-{name}", only)
        self.label, self.offers, self.blank = label, offers, blank
        self.typed, self.tall = typed, tall
        self.note = Span("")
        self.edited = False
        self._chosen = 0  # the offer that was chosen last
        self.put(text)

    @property
    def text(self) -> str:
        return self.value

    @property
    def at(self) -> int:
        """Which of the offers it holds; -1: none of them."""
        if self._chosen < len(self.offers) and self.offers[self._chosen].text == self.text:
            return self._chosen
        return next((at for at, offer in enumerate(self.offers) if offer.text == self.text), -1)

    def fill(self, text: str) -> None:
        """Follows from another field, unless the user has filled it."""
        if not self.edited and text != self.text:
            self.put(text)

    # --- painting -----------------------------------------------------------------------------------------------------

    @property
    def inks(self) -> Inks:
        return self.colours.cursor if self.has_focus else self.colours.ground

    def lead(self) -> Line:
        here = self.has_focus
        label = Span(fit(self.label, LABEL - 1), Tone.TITLE if here else Tone.DIM)
        return Span(MARKER if here else " ", Tone.TITLE), label

    def ghost(self) -> str:
        return "" if self.value else " " * (self.has_focus) + self.blank

    def tail(self, used: int) -> Line:
        return Span(" " * max(1, VALUE - used)), self.note

    # --- keys ---------------------------------------------------------------------------------------------------------

    def replace(self, text: str, start: int, end: int) -> None:
        if self.typed:
            super().replace(text, start, end)
            self.edited = True
        elif text == " ":
            self.choose(1)

    def choose(self, step: int) -> None:
        """The next choice; from a text that is none of them the first."""
        if self.offers:
            before = self.at
            self._chosen = (before + step) % len(self.offers) if before >= 0 else 0
            if self._chosen != before:
                self.put(self.offers[self._chosen].text)
                self.edited = True
                self.post_message(self.Edited(self))
            self.select_all()

    def action_cursor_left(self, select: bool = False) -> None:
        self.choose(-1) if self._chooses and not select else super().action_cursor_left(select)

    def action_cursor_right(self, select: bool = False) -> None:
        self.choose(1) if self._chooses and not select else super().action_cursor_right(select)

    @property
    def _chooses(self) -> bool:
        return bool(self.offers) and (self.whole or not self.typed)

    async def action_submit(self) -> None:
        await self.run_action("screen.enter")

    async def action_leave(self) -> None:
        await self.run_action("screen.back")


class Choices(Surface):
    def line(self, y: int, wide: int) -> Strip:
        field = self.screen.focused
        return strip(_choices(field, y, wide) if isinstance(field, Field) else (), wide, self.inks)


class Form(Vertical):
    BINDINGS: ClassVar = [
        Binding("up,shift+tab", "move(-1)", show=False),
        Binding("down,tab", "move(1)", show=False),
    ]

    def __init__(self, fields: Sequence[Field]) -> None:
        super().__init__(id="form")
        self.fields = fields
        self.here = fields[0]  # the one that has the keys, or had them last
        self._choices = Choices(id="choices")

    def compose(self) -> ComposeResult:
        yield from self.fields
        yield self._choices

    def on_mount(self) -> None:
        self.screen.set_focus(self.here)  # before, there is no field yet

    def repaint(self) -> None:
        for field in self.fields:
            field.refresh()
        self._choices.refresh()

    def on_descendant_focus(self) -> None:
        focused = self.screen.focused
        if isinstance(focused, Field):
            self.here = focused
        self._choices.refresh()

    def action_move(self, step: int) -> None:
        shown = [field for field in self.fields if field.display]
        at = shown.index(self.here) if self.here in shown else 0
        self.screen.set_focus(shown[(at + step) % len(shown)])


def _choices(field: Field, at: int, wide: int) -> Line:
    if not field.offers:
        return ()
    if field.tall:
        return _offer(field, at) if at < len(field.offers) else ()
    lines: list[list[Span]] = [[Span(" ← →  ", Tone.DIM)]]
    for value in range(len(field.offers)):
        spans = _offer(field, value)
        if sum(width(span.text) for span in (*lines[-1], *spans)) >= wide:
            lines.append([Span("      ")])
        lines[-1] += spans
    return tuple(lines[at]) if at < len(lines) else ()


def _offer(field: Field, at: int) -> Line:
    chosen = at == field.at
    opened, closed = ("[", "]") if chosen else (" ", " ")
    return (Span(f"{opened}{clean(field.offers[at].told)}{closed} ", Tone.TITLE if chosen else Tone.DIM),)
