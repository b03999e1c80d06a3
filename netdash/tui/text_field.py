"""Textual's one-line input, painted as everything here is: what cannot be printed never gets in; and the field at
the foot, for filters and commands.

Knows no command; asks its owner for completions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip
from textual.widgets import Input

from netdash.tui.surface import Surface
from netdash.tui.theme import seal, segment, strip
from netdash.view.text import Line, Span, Tone, clean, width

LONGEST = 200  # characters


class TextField(Surface, Input, can_focus=True):
    """`lead` and `tail` say what stands before and after the text, on the same line."""

    BINDINGS: ClassVar = [Binding("escape", "leave", show=False)]

    class Edited(Message):
        """The user changed the text."""

        def __init__(self, field: TextField) -> None:
            super().__init__()
            self.field = field

    def __init__(self, id: str | None = None, only: str = "") -> None:  # noqa: A002
        """`only`: the characters that can be typed, "" for all."""
        super().__init__(id=id)
        self.cursor_blink = False
        self.only = only

    def lead(self) -> Line:
        raise NotImplementedError

    def tail(self, used: int) -> Line:
        """`used`: cells of the text and of the cursor behind it."""
        raise NotImplementedError

    def ghost(self) -> str:
        """How the text may go on."""
        return ""

    @property
    def whole(self) -> bool:
        """Whether all of the text is selected, or there is none."""
        return tuple(sorted(self.selection)) == (0, len(self.value))

    def put(self, text: str) -> None:
        """Another text, not by the user."""
        self.value = text
        self.cursor_position = len(self.value)

    # --- what gets in -------------------------------------------------------------------------------------------------

    def validate_value(self, text: str) -> str:
        """Every way in passes here."""
        return "".join(character for character in text if character.isprintable())[:LONGEST]

    def replace(self, text: str, start: int, end: int) -> None:
        """Everything that the user changes passes here."""
        before = self.value
        if not (len(text) == 1 and self.only and text not in self.only):
            super().replace(self.validate_value(text), start, end)
        if self.value != before:
            self.post_message(self.Edited(self))

    def _on_paste(self, event: events.Paste) -> None:
        """One value: of several lines the first, whole; what reads it says what is wrong with it."""
        event.stop()
        event.prevent_default()
        for first in event.text.strip().splitlines()[:1]:
            self.replace(first, *self.selection)

    # --- painting -----------------------------------------------------------------------------------------------------

    def line(self, y: int, wide: int) -> Strip:  # noqa: ARG002
        inks = self.inks
        lead = [segment(span.text, inks.tones[span.tone]) for span in self.lead()]
        text = list(self._text(wide - self._edge - 1))
        used = sum(width(value.text) for value in text)
        room = max(0, wide - self._edge - used)
        return Strip.join([seal([*lead, *text], wide - room, inks.blank), strip(self.tail(used), room, inks)])

    @property
    def _edge(self) -> int:
        return sum(width(span.text) for span in self.lead())

    def _text(self, room: int) -> Iterator[Segment]:
        """The part of the text that is around the cursor, the selection and the cursor."""
        inks, at = self.inks, self.cursor_position
        start, end = sorted(self.selection)
        first = next((left for left in range(at) if width(self.value[left:at]) < room), at)
        shown = self.value + (self.ghost() or " ")
        for left, right in pairwise(
            sorted({first, *(max(first, cut) for cut in (start, end, at, at + 1, len(shown)))})
        ):
            style = inks.tones[Tone.KEY] if left < len(self.value) else inks.tones[Tone.DIM]
            if self.has_focus and left == at:
                style = inks.blank + Style(reverse=True)
            elif self.has_focus and start <= left < end:
                style = inks.cells[Tone.KEY]
            yield segment(shown[left:right], style)

    def _cell_offset_to_index(self, offset: int) -> int:
        sizes = [width(self.value[:at]) for at in range(len(self.value) + 1)]
        return max(at for at, size in enumerate(sizes) if size <= max(0, offset - self._edge))


Complete = Callable[[str], Sequence[str]]


def _nothing(typed: str) -> Sequence[str]:  # noqa: ARG001
    return ()


class Prompt(TextField):
    """`sign` is what stands before the text: "/" or ":"."""

    PANEL = True
    BINDINGS: ClassVar = [Binding("tab", "accept", show=False), Binding("shift+tab,up,down", "stay", show=False)]

    class Entered(Message):
        """Enter, or Esc: `text` is None when it was given up."""

        def __init__(self, text: str | None) -> None:
            super().__init__()
            self.text = text

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id)
        self.select_on_focus = False
        self.sign = "/"
        self.hint = ""
        self._complete: Complete = _nothing

    def open(self, sign: str, text: str, hint: str, complete: Complete = _nothing) -> None:
        self.sign, self.hint, self._complete = sign, hint, complete
        self.put(text)
        self.screen.set_focus(self)

    @property
    def _offers(self) -> Sequence[str]:
        return self._complete(self.value) if self.value else ()

    def lead(self) -> Line:
        return (Span(f" {self.sign}", Tone.TITLE),)

    def ghost(self) -> str:
        return self._offers[0][len(self.value) :] if self._offers and self.cursor_at_end else ""

    def tail(self, used: int) -> Line:  # noqa: ARG002
        rest = "   ".join(clean(offer, 40) for offer in self._offers[1:8])
        return (Span("   " + (rest if self.value else self.hint), Tone.DIM),)

    def action_accept(self) -> None:
        if self._offers:
            self.put(self._offers[0])

    def action_cursor_right(self, select: bool = False) -> None:
        if self.cursor_at_end and not select:
            self.action_accept()
        else:
            super().action_cursor_right(select)

    def action_delete_left(self) -> None:
        """In an empty field as Esc."""
        if self.value:
            super().action_delete_left()
        else:
            self.action_leave()

    def action_stay(self) -> None:
        """The keys stay here."""

    async def action_submit(self) -> None:
        self.post_message(self.Entered(self.value))

    def action_leave(self) -> None:
        self.post_message(self.Entered(None))
