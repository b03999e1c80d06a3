"""Tones become terminal styles here, and nowhere else. Owns the palettes; knows no host and no widget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.strip import Strip
from textual.theme import Theme

from netdash.show.spans import Line, Span, Tone, fit, width

MARKER = "▌"
LINKED = "▎"

DARK = Theme(
    name="netdash",
    primary="#6cb6e8",
    secondary="#8aa4c0",
    accent="#6cb6e8",
    success="#7fc98b",
    warning="#e0b860",
    error="#ec7a78",
    foreground="#ccd5df",
    background="#10151b",
    surface="#161d26",
    panel="#1c2530",
    dark=True,
)
LIGHT = Theme(
    name="netdash-light",
    primary="#0b63a5",
    secondary="#48627c",
    accent="#0b63a5",
    success="#1b7a34",
    warning="#8f5f00",
    error="#b3261e",
    foreground="#1d2733",
    background="#fafbfc",
    surface="#eef1f4",
    panel="#e3e8ee",
    dark=False,
)


@dataclass(frozen=True, slots=True)
class Palette:
    """Styles for one theme. Every tone differs from its neighbours by more than colour: a weight, dimness or glyph."""

    tones: Mapping[Tone, Style]
    ground: Style  # under everything
    panel: Style  # under bars and popups
    cursor: Style  # the row under the cursor in the pane that has the keys
    idle: Style  # the same in a pane that has not
    cell: Style  # what Enter would follow
    linked: Style  # the mark beside rows that belong to the selection
    head: Style
    rule: Style
    key: Style  # a key in the footer
    faded: Style  # put over everything that is no longer current


def palette(variables: Mapping[str, str], ansi: bool, colourless: bool) -> Palette:
    """The styles of a theme, from its CSS variables (`App.theme_variables`); `ansi` for the terminal's own colours,
    `colourless` for none: only weight, dimness, underline and reverse are left."""
    made = _ansi() if ansi or colourless else _coloured(variables)
    return _without_colour(made) if colourless else made


def _without_colour(made: Palette) -> Palette:
    values: dict[str, Any] = {field.name: getattr(made, field.name) for field in fields(made)}
    for name, style in values.items():
        values[name] = style.without_color if isinstance(style, Style) else style
    values["tones"] = {tone: style.without_color for tone, style in made.tones.items()}
    return Palette(**values)


def _coloured(variables: Mapping[str, str]) -> Palette:
    def colour(name: str) -> Color:
        return Color.parse(variables[name])

    back, fore = colour("background"), colour("foreground")

    def style(ink: Color, bold: bool = False, italic: bool = False) -> Style:
        return Style(color=ink.rich_color, bold=bold or None, italic=italic or None)

    dim, accent = back.blend(fore, 0.52), colour("primary")
    faint = back.blend(fore, 0.28)
    tones = {
        Tone.PLAIN: style(fore),
        Tone.DIM: style(dim),
        Tone.TITLE: style(accent, bold=True),
        Tone.KEY: style(back.blend(fore, 1.0), bold=True),
        Tone.GOOD: style(colour("success")),
        Tone.WARN: style(colour("warning")),
        Tone.BAD: style(colour("error"), bold=True),
        Tone.UNKNOWN: style(colour("warning"), italic=True),
        Tone.HOP: style(back.blend(accent, 0.72)),
    }
    return Palette(
        tones=tones,
        ground=Style(color=fore.rich_color, bgcolor=back.rich_color),
        panel=Style(color=fore.rich_color, bgcolor=colour("panel").rich_color),
        cursor=Style(bgcolor=back.blend(accent, 0.24).rich_color),
        idle=Style(bgcolor=back.blend(fore, 0.08).rich_color),
        cell=Style(underline=True, bold=True, bgcolor=back.blend(accent, 0.42).rich_color),
        linked=style(accent),
        head=style(dim, bold=True),
        rule=style(faint),
        key=style(accent, bold=True),
        faded=style(faint),
    )


def _ansi() -> Palette:
    named = {
        Tone.PLAIN: "default",
        Tone.DIM: "dim",
        Tone.TITLE: "bold cyan",
        Tone.KEY: "bold",
        Tone.GOOD: "green",
        Tone.WARN: "yellow",
        Tone.BAD: "bold red",
        Tone.UNKNOWN: "italic yellow",
        Tone.HOP: "cyan",
    }
    return Palette(
        tones={tone: Style.parse(words) for tone, words in named.items()},
        ground=Style(),
        panel=Style(),
        cursor=Style(reverse=True),
        idle=Style(bold=True),
        cell=Style(underline=True, reverse=False, bold=True),
        linked=Style.parse("cyan"),
        head=Style.parse("bold dim"),
        rule=Style.parse("dim"),
        key=Style.parse("bold cyan"),
        faded=Style.parse("dim"),
    )


def strip(line: Line, cells: int, colours: Palette, over: Style | None = None, chosen: int = -1) -> Strip:
    """`line` on exactly `cells` cells, cut with … when longer. `over` lies on top of every span's style; the span
    number `chosen` is shown as what Enter would follow."""
    segments: list[Segment] = []
    used = 0
    for index, span in enumerate(line):
        room = cells - used
        if room <= 0:
            break
        size = width(span.text)
        text = span.text if size < room or (size == room and index == len(line) - 1) else _cut(line, index, room)
        ink = colours.tones[span.tone]
        if over is not None:
            ink = ink + over
        if index == chosen:
            ink = ink + colours.cell
        segments.append(Segment(text, ink))
        used += width(text)
    return seal(segments, cells, over)


def _cut(line: Line, index: int, room: int) -> str:
    """The text of the last span that finds room: with … unless nothing but blanks is lost."""
    text = line[index].text
    rest = any(span.text.strip() for span in line[index + 1 :])
    if width(text) == room and not rest:
        return text
    return fit(text + (" " if rest else ""), room)


def seal(segments: list[Segment], cells: int, over: Style | None = None) -> Strip:
    """The segments as a strip of exactly `cells`, by the terminal's own idea of width."""
    used = sum(len(text) if text.isascii() else cell_len(text) for text, _, _ in segments)
    if used < cells:
        segments.append(Segment(" " * (cells - used), over))
        return Strip(segments, cells)
    made = Strip(segments, used)
    return made if used == cells else made.crop(0, cells)


def gap(cells: int) -> Span:
    return Span(" " * cells)
