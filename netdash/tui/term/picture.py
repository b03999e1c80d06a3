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
_DRAWN = {3, 5, 6}  # of those, what is seen of a blank
_ERASE = 8  # blanks from which it is shorter to erase


class Ink(NamedTuple):
    """A style in the terminal's own terms: the codes of SGR that are on, and those of both colours."""

    on: frozenset[int]  # places in _ATTRIBUTES
    fore: str
    back: str
    ground: Ink | None  # what a blank of it looks like: where nothing is drawn, only the ground is seen


PLAIN = Ink(frozenset(), "39", "49", None)


class Picture:
    """`paint` says what should stand where, `update` gives what must be written for it. A size of its own: what is
    painted beyond it is left out."""

    def __init__(self, colours: str | None, erases: bool = False) -> None:
        """`colours`: as `rich.console.Console.color_system`; None for no styles at all. `erases`: whether what the
        terminal erases gets the ground that is set (terminfo's bce)."""
        self._erases = erases
        self._system = ColorSystem[_SYSTEMS[colours]] if colours else None
        self._inks: dict[Style | None, Ink] = {None: PLAIN}
        self._known: dict[Ink, Ink] = {PLAIN: PLAIN}
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
                ink[x : x + size] = _inks(segment.text, style, size)
                x += size
            else:
                x = _place(segment.text, style, text, ink, x, end)

    def update(self) -> str:
        """What makes the terminal show what was painted; "" where it does already."""
        lines = [self._line(y) for y in sorted(self._dirty)]
        self._dirty.clear()
        data = "".join(_styled(lines, self._erases))
        return f"\x1b[0m{data}\x1b[0m" if data else ""

    def _line(self, y: int) -> list[tuple[int, int, list[str], list[Ink]]]:
        """The runs of a line that have to be written: (line, first cell, texts, inks)."""
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
            if runs and start - runs[-1][1] <= _NEAR and _alike(text, ink, runs[-1][1] - 1, x):
                runs[-1] = runs[-1][0], x + 1
            else:
                runs.append((start, x + 1))
        return [(y, start, text[start:stop], ink[start:stop]) for start, stop in runs]

    def _learn(self, style: Style | None) -> Ink:
        ink = PLAIN
        if style is not None and self._system is not None:
            on = frozenset(at for at, (name, _, _) in enumerate(_ATTRIBUTES) if getattr(style, name))
            fore, back = self._code(style.color, True), self._code(style.bgcolor, False)
            ground = None if on & _DRAWN else self._same(Ink(frozenset(), "39", back, None))
            ink = Ink(on, fore, back, ground)
        self._inks[style] = kept = self._same(ink)
        return kept

    def _same(self, ink: Ink) -> Ink:
        """Cells are compared by identity."""
        return self._known.setdefault(ink, ink)

    def _code(self, colour: Color | None, fore: bool) -> str:
        if colour is None or self._system is None:
            return "39" if fore else "49"
        return ";".join(colour.downgrade(self._system).get_ansi_codes(fore))


_SYSTEMS = {"standard": "STANDARD", "256": "EIGHT_BIT", "truecolor": "TRUECOLOR", "windows": "WINDOWS"}


def _place(characters: str, style: Ink, text: list[str], ink: list[Ink], x: int, end: int) -> int:
    """Puts characters of any width; returns the cell after them. What combines joins the cell before."""
    for character in characters:
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


def _alike(text: list[str], ink: list[Ink], start: int, stop: int) -> bool:
    """Whether the cells between two runs can be written again without another style."""
    last = ink[start]
    blank = last.ground or last
    return all(ink[x] is last or (text[x] == " " and ink[x] is blank) for x in range(start, stop))


def _inks(text: str, ink: Ink, size: int) -> list[Ink]:
    """The inks of ASCII text, its blanks in that of the ground."""
    if ink.ground is None or ink.ground is ink or " " not in text:
        return [ink] * size
    ground = ink.ground
    return [ground if character == " " else ink for character in text[:size]]


def _styled(lines: Iterable[list[tuple[int, int, list[str], list[Ink]]]], erases: bool) -> Iterable[str]:
    """The runs with the movements and the changes of style between them."""
    now = PLAIN
    for runs in lines:
        here: int | None = None  # the cell after the last run of the line, where its width is beyond doubt
        for y, x, texts, inks in runs:
            yield f"\x1b[{x - here}C" if here is not None else f"\x1b[{y + 1};{x + 1}H"
            here = x + len(texts) if "".join(texts).isascii() else None
            at = 0
            while at < len(texts):
                ink, text = inks[at], texts[at]
                blank = text == " " and ink.back == now.back and not (ink.on | now.on) & _DRAWN
                if ink is not now and not blank:
                    yield _change(now, ink)
                    now = ink
                size = _blanks(texts, inks, at) if text == " " and (erases or ink.back == "49") else 1
                if size < _ERASE or ink.on & _DRAWN:
                    yield text
                    at += 1
                else:
                    at += size
                    yield f"\x1b[{size}X\x1b[{size}C" if at < len(texts) else f"\x1b[{size}X"
                    here = here if at < len(texts) else None


def _blanks(texts: list[str], inks: list[Ink], at: int) -> int:
    """How many blanks of one ink begin there."""
    stop = at
    while stop < len(texts) and texts[stop] == " " and inks[stop] is inks[at]:
        stop += 1
    return stop - at


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
