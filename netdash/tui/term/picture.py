"""What the terminal shows and what it should show, cell by cell: only cells that differ are written, and a style only
where it changes. Knows no widget and writes nothing itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rich.cells import cell_len
from rich.color import Color, ColorSystem
from rich.segment import Segment
from rich.style import Style

_NEAR = 6  # equal cells between two that differ which cost no more than a movement of the cursor
_ATTRIBUTES = (
    ("bold", "1", "22"),
    ("dim", "2", "22"),
    ("italic", "3", "23"),
    ("underline", "4", "24"),
    ("blink", "5", "25"),
    ("reverse", "7", "27"),
    ("strike", "9", "29"),
)


class Ink(NamedTuple):
    """A style as the terminal is told it: the codes of SGR that are on, and those of both colours."""

    on: frozenset[int]  # places in _ATTRIBUTES
    fore: str
    back: str


PLAIN = Ink(frozenset(), "39", "49")


class Picture:
    """`paint` says what should stand where, `update` gives what must be written for it. A size of its own: what is
    painted beyond it is left out."""

    def __init__(self, colours: str | None) -> None:
        """`colours`: as `rich.console.Console.color_system`; None for no styles at all."""
        self._system = ColorSystem[_SYSTEMS[colours]] if colours else None
        self._inks: dict[Style | None, Ink] = {None: PLAIN}
        self.wide = self.high = 0
        self._text: list[list[str]] = []
        self._ink: list[list[Ink]] = []
        self._shown_text: list[list[str]] = []
        self._shown_ink: list[list[Ink]] = []
        self._dirty: set[int] = set()

    @property
    def differs(self) -> bool:
        """Whether something was painted that has not been written."""
        return bool(self._dirty)

    def resize(self, wide: int, high: int) -> None:
        """Nothing of another size is known: terminals keep, wrap or clear what they showed."""
        if (wide, high) != (self.wide, self.high):
            self.wide, self.high = wide, high
            self._text = [[" "] * wide for _ in range(high)]
            self._ink = [[PLAIN] * wide for _ in range(high)]
            self.forget()

    def forget(self) -> None:
        """Something else may have written on the terminal: all of it is to be written anew."""
        self._shown_text = [[] for _ in range(self.high)]
        self._shown_ink = [[] for _ in range(self.high)]
        self._dirty = set(range(self.high))

    def paint(self, y: int, x: int, segments: Iterable[Segment], end: int) -> None:
        """Puts the segments on line `y` from cell `x` on, but not on cell `end` and beyond."""
        if not 0 <= y < self.high:
            return
        text, ink = self._text[y], self._ink[y]
        end = min(end, self.wide)
        self._dirty.add(y)
        for segment in segments:
            if x >= end:
                return
            style = self._inks.get(segment.style) or self._learn(segment.style)
            if segment.text.isascii():
                size = min(len(segment.text), end - x)
                text[x : x + size] = segment.text[:size]
                ink[x : x + size] = [style] * size
                x += size
            else:
                x = _place(segment.text, style, text, ink, x, end)

    def update(self) -> str:
        """What makes the terminal show what was painted; "" where it does already."""
        lines = [self._line(y) for y in sorted(self._dirty)]
        self._dirty.clear()
        told = "".join(_styled(lines))
        return f"\x1b[0m{told}\x1b[0m" if told else ""

    def _line(self, y: int) -> list[tuple[int, int, list[str], list[Ink]]]:
        """The runs of a line that have to be written: line, first cell, texts and inks."""
        text, ink = self._text[y], self._ink[y]
        before, dressed = self._shown_text[y], self._shown_ink[y]
        if text == before and ink == dressed:
            return []
        self._shown_text[y], self._shown_ink[y] = text.copy(), ink.copy()
        if not before:
            return [(y, 0, text, ink)]
        runs: list[tuple[int, int]] = []
        for x in range(self.wide):
            if text[x] == before[x] and ink[x] is dressed[x]:
                continue
            start = x - 1 if not text[x] and x else x  # the second half of a wide character
            if runs and start - runs[-1][1] <= _NEAR and _alike(ink, runs[-1][1] - 1, x):
                runs[-1] = runs[-1][0], x + 1
            else:
                runs.append((start, x + 1))
        return [(y, start, text[start:stop], ink[start:stop]) for start, stop in runs]

    def _learn(self, style: Style | None) -> Ink:
        ink = PLAIN
        if style is not None and self._system is not None:
            on = frozenset(at for at, (name, _, _) in enumerate(_ATTRIBUTES) if getattr(style, name))
            ink = Ink(on, self._code(style.color, True), self._code(style.bgcolor, False))
        kept = next((known for known in self._inks.values() if known == ink), ink)  # cells are compared by identity
        self._inks[style] = kept
        return kept

    def _code(self, colour: Color | None, fore: bool) -> str:
        if colour is None or self._system is None:
            return "39" if fore else "49"
        return ";".join(colour.downgrade(self._system).get_ansi_codes(fore))


_SYSTEMS = {"standard": "STANDARD", "256": "EIGHT_BIT", "truecolor": "TRUECOLOR", "windows": "WINDOWS"}


def _place(told: str, style: Ink, text: list[str], ink: list[Ink], x: int, end: int) -> int:
    """Puts characters of any width; returns the cell after them. What combines joins the cell before."""
    for character in told:
        size = cell_len(character)
        if not size:
            if x and text[x - 1]:
                text[x - 1] += character
            continue
        if x + size > end:
            character, size = " ", end - x
        if size <= 0:
            break
        text[x : x + size] = [character, *[""] * (size - 1)]
        ink[x : x + size] = [style] * size
        x += size
    return x


def _alike(ink: list[Ink], start: int, stop: int) -> bool:
    return all(each is ink[start] for each in ink[start:stop])


def _styled(lines: Iterable[list[tuple[int, int, list[str], list[Ink]]]]) -> Iterable[str]:
    """The runs with the movements and the changes of style between them."""
    now = PLAIN
    for runs in lines:
        for y, x, texts, inks in runs:
            yield f"\x1b[{y + 1};{x + 1}H"
            for text, ink in zip(texts, inks, strict=True):
                if ink is not now:
                    yield _change(now, ink)
                    now = ink
                yield text


def _change(old: Ink, new: Ink) -> str:
    """The shortest sequence that is sure: what ends, what begins, and the colours that differ."""
    ended = {_ATTRIBUTES[at][2] for at in old.on - new.on}
    kept = {at for at in old.on & new.on if _ATTRIBUTES[at][2] not in ended}  # 22 ends both, bold and dim
    codes = [*sorted(ended), *(_ATTRIBUTES[at][1] for at in sorted(new.on - kept))]
    if old.fore != new.fore:
        codes.append(new.fore)
    if old.back != new.back:
        codes.append(new.back)
    return f"\x1b[{';'.join(codes)}m" if codes else ""
