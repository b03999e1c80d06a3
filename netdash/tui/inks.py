"""Tones become colours here: the inks of each ground, for a theme of seven colours, and lines cut into pieces of one
ink. Loads no Textual and no Rich: the first frame is painted before they are. `theme` makes their styles of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Generic, TypeVar

from netdash.model.records import dataclass
from netdash.view.text import Line, SafeText, Tone, fit, safe, width

MARKER = "▌"
LINKED = "▎"
PICKED = "◆"
READABLE = 4.5  # contrast of text and ground: what WCAG 2.1 calls AA; 7 is AAA

RGB = tuple[int, int, int]

THEMES: Mapping[str, Mapping[str, str]] = {
    "netdash": {
        "primary": "#6cb6e8",
        "success": "#7fc98b",
        "warning": "#e0b860",
        "error": "#ec7a78",
        "foreground": "#ccd5df",
        "background": "#10151b",
        "panel": "#1c2530",
    },
    "netdash-light": {
        "primary": "#0b63a5",
        "success": "#1b7a34",
        "warning": "#8f5f00",
        "error": "#b3261e",
        "foreground": "#1d2733",
        "background": "#fafbfc",
        "panel": "#e3e8ee",
    },
    "netdash-contrast": {
        "primary": "#7fdfff",
        "success": "#7fff7f",
        "warning": "#ffff66",
        "error": "#ff9c9c",
        "foreground": "#ffffff",
        "background": "#000000",
        "panel": "#262626",
    },
}
LEAST_CONTRAST = {"netdash-contrast": 7.0}


@dataclass(frozen=True, slots=True)
class Ink:
    """A colour of None is what was there before."""

    fore: RGB | None = None
    back: RGB | None = None
    bold: bool = False
    italic: bool = False
    underline: bool = False
    strike: bool = False

    def __add__(self, over: Ink) -> Ink:
        return Ink(
            over.fore or self.fore,
            over.back or self.back,
            self.bold or over.bold,
            self.italic or over.italic,
            self.underline or over.underline,
            self.strike or over.strike,
        )


Style = TypeVar("Style")  # Ink, or Rich's


@dataclass(frozen=True, slots=True)
class Inks(Generic[Style]):
    """Every style on one ground, complete: a painted cell needs no second one."""

    tones: Mapping[Tone, Style]
    cells: Mapping[Tone, Style]  # the same for what Enter would follow
    struck: Mapping[Tone, Style]  # the same for what is gone
    blank: Style
    mark: Style  # the cursor's and the linked rows' mark
    head: Style
    rule: Style
    key: Style


@dataclass(frozen=True, slots=True)
class Palette(Generic[Style]):
    """Inks by ground. Every tone differs from its neighbours by more than colour: a weight, dimness or glyph."""

    ground: Inks[Style]  # panes
    panel: Inks[Style]  # bars and popups
    cursor: Inks[Style]  # the row under the cursor in the pane that has the keys
    idle: Inks[Style]  # the same in a pane that has not
    faded: Inks[Style]  # what is no longer current


def rgb(text: str) -> RGB:
    """Of #rrggbb."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def blend(first: RGB, second: RGB, share: float) -> RGB:
    """The first with a share of the second."""
    red, green, blue = (int(value + (other - value) * share) for value, other in zip(first, second, strict=True))
    return red, green, blue


def contrast(first: RGB, second: RGB) -> float:
    """From 1, the same, to 21, black on white (WCAG 2.1, relative luminance)."""
    darker, lighter = sorted(map(_luminance, (first, second)))
    return (lighter + 0.05) / (darker + 0.05)


@lru_cache(maxsize=256)
def _luminance(colour: RGB) -> float:
    shares = (part / 255 for part in colour)
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _readable(ink: Ink, least: float) -> Ink:
    if ink.fore is None or ink.back is None:
        return ink
    fore = _apart(ink.fore, ink.back, least)
    return ink if fore == ink.fore else ink + Ink(fore)


@lru_cache(maxsize=256)
def _apart(text: RGB, ground: RGB, least: float) -> RGB:
    """The colour of a text, lighter or darker as far as its ground needs."""
    if contrast(text, ground) >= least:
        return text
    end = max(((0, 0, 0), (255, 255, 255)), key=lambda far: contrast(far, ground))
    mixed = (blend(text, end, step / 20) for step in range(21))
    return next((value for value in mixed if contrast(value, ground) >= least), end)


def palette(name: str) -> Palette[Ink]:
    """The inks of one of THEMES, each of enough contrast."""
    colours = {part: rgb(text) for part, text in THEMES[name].items()}
    least = LEAST_CONTRAST.get(name, READABLE)
    back, fore, accent = colours["background"], colours["foreground"], colours["primary"]
    dim, faint = blend(back, fore, 0.55), blend(back, fore, 0.3)
    tones = {
        Tone.PLAIN: Ink(fore),
        Tone.DIM: Ink(dim),
        Tone.TITLE: Ink(accent, bold=True),
        Tone.KEY: Ink(fore, bold=True),
        Tone.GOOD: Ink(colours["success"]),
        Tone.WARN: Ink(colours["warning"]),
        Tone.BAD: Ink(colours["error"], bold=True),
        Tone.UNKNOWN: Ink(colours["warning"], italic=True),
        Tone.HOP: Ink(blend(back, accent, 0.75)),
    }
    cell = Ink(underline=True, bold=True, back=blend(back, accent, 0.42))
    marks = (Ink(accent, bold=True), Ink(dim, bold=True), Ink(faint), Ink(accent, bold=True))

    def on(ground: RGB, over: Ink = Ink()) -> Inks[Ink]:  # noqa: B008
        made = inks(Ink(fore, ground), over, tones, cell, Ink(strike=True), marks)
        readable = {
            name: {tone: _readable(ink, least) for tone, ink in getattr(made, name).items()}
            for name in ("tones", "cells", "struck")
        }
        mark, head, key = (_readable(ink, least) for ink in (made.mark, made.head, made.key))
        return Inks(**readable, blank=made.blank, mark=mark, head=head, rule=made.rule, key=key)

    return Palette(
        ground=on(back),
        panel=on(colours["panel"]),
        cursor=on(blend(back, accent, 0.24)),
        idle=on(blend(back, fore, 0.08)),
        faded=on(back, Ink(blend(back, fore, 0.4))),
    )


def inks(
    base: Style, over: Style, tones: Mapping[Tone, Style], cell: Style, struck: Style, marks: Sequence[Style]
) -> Inks[Style]:
    """Styles on a ground: `base` below all of them, `over` above."""

    def add(*styles: Style) -> Style:
        made = styles[0]
        for style in styles[1:]:
            made = made + style  # type: ignore[operator]  # of both kinds: what is said later counts
        return made

    made = {tone: add(base, style, over) for tone, style in tones.items()}
    mark, head, rule, key = (add(base, style, over) for style in marks)
    cells, gone = ({tone: add(style, other) for tone, style in made.items()} for other in (cell, struck))
    return Inks(made, cells, gone, add(base, over), mark, head, rule, key)


# --- lines ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part(Generic[Style]):
    """A stretch of a line: pieces of one style each, cut or filled up with blanks to `cells`."""

    pieces: Sequence[tuple[SafeText, Style]]
    cells: int
    blank: Style


def piece(text: str, style: Style) -> tuple[SafeText, Style]:
    """Text made safe, in a style. Nothing else of netdash makes a piece of the screen."""
    return safe(text), style


def part(line: Line, cells: int, inks: Inks[Style], chosen: int = -1) -> Part[Style]:
    """`line` on `cells` cells, cut with … when longer. The span number `chosen` is what Enter would follow."""
    pieces: list[tuple[SafeText, Style]] = []
    used = 0
    for index, span in enumerate(line):
        room = cells - used
        if room <= 0:
            break
        size = width(span.text)
        text = span.text if size < room or (size == room and index == len(line) - 1) else _cut(line, index, room)
        pieces.append(piece(text, (inks.cells if index == chosen else inks.tones)[span.tone]))
        used += width(text)
    return Part(pieces, cells, inks.blank)


def blank(cells: int, inks: Inks[Style]) -> Part[Style]:
    return Part((), cells, inks.blank)


def _cut(line: Line, index: int, room: int) -> str:
    """The text of the last span that finds room: with … unless nothing but blanks is lost."""
    text = line[index].text
    rest = any(span.text.strip() for span in line[index + 1 :])
    if width(text) == room and not rest:
        return text
    return fit(text + (" " if rest else ""), room)


def bar(left: Line, right: Line, wide: int, inks: Inks[Style]) -> list[Part[Style]]:
    """One line, its left and its right part; the left one gives way."""
    taken = sum(width(span.text) for span in right)
    room = max(0, wide - taken)
    parts = [part(left, room, inks)]
    return [*parts, part(right, wide - room, inks)] if taken else parts


def sealed(parts: Iterable[Part[Style]]) -> list[tuple[SafeText, Style]]:
    """The pieces of a line, each part on exactly its cells, by netdash's own idea of width."""
    found: list[tuple[SafeText, Style]] = []
    for single in parts:
        cells = single.cells
        for text, style in single.pieces:
            while (size := width(text)) > cells:
                text = safe(text[:-1])
            found.append((text, style))
            cells -= size
        if cells:
            found.append(piece(" " * cells, single.blank))
    return found
