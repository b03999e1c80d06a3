"""The text field at the foot, for filters and commands. Knows no command; asks its owner for completions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding
from textual.message import Message

from netdash.tui.text_field import TextField
from netdash.view.text import Line, Span, Tone, clean

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
