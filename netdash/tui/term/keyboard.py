"""Units of a terminal's input as Textual's messages. What Textual does not know, or cannot read, is dropped."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual._xterm_parser import XTermParser
from textual.message import Message

from netdash.tui.term.sequences import Kind, Unit


class Keyboard:
    def __init__(self) -> None:
        self._parser = XTermParser()

    def messages(self, unit: Unit) -> Sequence[Message]:
        if unit.kind is Kind.PASTE:
            return [events.Paste(unit.text.replace("\x00", ""))]
        if unit.text == "\x1b":
            return [events.Key("escape", "\x1b")]
        try:
            found = list(self._parser.feed(unit.text))
        except (ValueError, OverflowError):  # a code that is no character
            found = []
        if not found or self._parser._awaiting.timeout is not None:
            self._parser = XTermParser()  # it does not know the sequence, and would take the next key for its end
        return found
