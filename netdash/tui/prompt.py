"""The text field at the foot, for filters and commands. Knows no command; asks its owner for completions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip

from netdash.tui.surface import Surface
from netdash.tui.theme import seal, segment
from netdash.view.text import Tone, clean

LONGEST = 200  # characters of one line

Complete = Callable[[str], Sequence[str]]


def _nothing(typed: str) -> Sequence[str]:  # noqa: ARG001
    return ()


class Prompt(Surface, can_focus=True):
    """`sign` is what stands before the text: "/" or ":"."""

    PANEL = True

    class Typed(Message):
        """The text changed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Entered(Message):
        """Enter, or Esc: `text` is None when it was given up."""

        def __init__(self, text: str | None) -> None:
            super().__init__()
            self.text = text

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self.sign = "/"
        self.text = ""
        self.hint = ""
        self.at = 0
        self._complete: Complete = _nothing

    def open(self, sign: str, text: str, hint: str, complete: Complete = _nothing) -> None:
        self.sign, self.text, self.hint, self.at, self._complete = sign, text, hint, len(text), complete
        self.focus()
        self.refresh()

    def line(self, y: int, wide: int) -> Strip:  # noqa: ARG002
        inks = self.inks
        before, under, after = self.text[: self.at], self.text[self.at : self.at + 1], self.text[self.at + 1 :]
        offers = self._complete(self.text) if self.text else ()
        ghost = offers[0][len(self.text) :] if offers and not after and not under else ""
        dim = inks.tones[Tone.DIM]
        segments = [
            segment(f" {self.sign}", inks.key),
            segment(clean(before), inks.tones[Tone.KEY]),
            segment(clean(under or ghost[:1] or " "), inks.blank + Style(reverse=True)),
            segment(clean(after), inks.tones[Tone.KEY]),
            segment(clean(ghost[1:]), dim),
        ]
        rest = "   ".join(clean(offer, 40) for offer in offers[1:8]) if offers else "" if self.text else self.hint
        return seal([*segments, segment("   " + rest, dim)], wide, inks.blank)

    def on_key(self, event: events.Key) -> None:
        edit = _EDITS.get(event.key)
        if edit is None and not (event.is_printable and event.character):
            if event.key not in ("ctrl+c", "ctrl+q"):
                event.stop()
            return
        event.stop()
        event.prevent_default()
        old = self.text
        if edit is not None:
            edit(self)
        elif len(self.text) < LONGEST:
            self._insert(event.character or "")
        if self.text != old:
            self.post_message(self.Typed(self.text))
        self.refresh()

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        first = event.text.strip().splitlines()[:1]  # the rest is never a command
        self._insert("".join(each for line in first for each in line if each.isprintable())[: LONGEST - len(self.text)])
        self.post_message(self.Typed(self.text))
        self.refresh()

    def _insert(self, text: str) -> None:
        self.text = self.text[: self.at] + text + self.text[self.at :]
        self.at += len(text)

    def _rub(self) -> None:
        if not self.text:
            self.post_message(self.Entered(None))
        self.text = self.text[: max(0, self.at - 1)] + self.text[self.at :]
        self.at = max(0, self.at - 1)

    def _delete(self) -> None:
        self.text = self.text[: self.at] + self.text[self.at + 1 :]

    def _clear(self) -> None:
        self.text, self.at = self.text[self.at :], 0

    def _rub_word(self) -> None:
        start = len(self.text[: self.at].rstrip().rpartition(" ")[0])
        self.text, self.at = self.text[:start] + self.text[self.at :], start

    def _go(self, to: int) -> None:
        self.at = max(0, min(to, len(self.text)))

    def _accept(self) -> None:
        offers = self._complete(self.text) if self.text else ()
        if offers:
            self.text = offers[0]
            self.at = len(self.text)

    def _enter(self) -> None:
        self.post_message(self.Entered(self.text))

    def _give_up(self) -> None:
        self.post_message(self.Entered(None))


_EDITS: dict[str, Callable[[Prompt], None]] = {
    "backspace": Prompt._rub,
    "delete": Prompt._delete,
    "ctrl+u": Prompt._clear,
    "ctrl+w": Prompt._rub_word,
    "left": lambda prompt: prompt._go(prompt.at - 1),
    "right": lambda prompt: prompt._accept() if prompt.at == len(prompt.text) else prompt._go(prompt.at + 1),
    "home": lambda prompt: prompt._go(0),
    "ctrl+a": lambda prompt: prompt._go(0),
    "end": lambda prompt: prompt._go(LONGEST),
    "ctrl+e": lambda prompt: prompt._go(LONGEST),
    "tab": Prompt._accept,
    "enter": Prompt._enter,
    "escape": Prompt._give_up,
}
