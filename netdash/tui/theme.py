"""Tones become terminal styles here, and nowhere else: those of Rich, which Textual paints with. Knows no host and no
widget."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from operator import attrgetter

from rich.cells import cell_len
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip
from textual.theme import Theme

from netdash.tui import inks
from netdash.tui.inks import Ink, Part, part
from netdash.view.text import Line, Tone, safe

Inks = inks.Inks[Style]
Palette = inks.Palette[Style]


def _theme(name: str, secondary: str, surface: str) -> Theme:
    colours = inks.THEMES[name]
    return Theme(
        name=name,
        primary=colours["primary"],
        secondary=secondary,
        accent=colours["primary"],
        success=colours["success"],
        warning=colours["warning"],
        error=colours["error"],
        foreground=colours["foreground"],
        background=colours["background"],
        surface=surface,
        panel=colours["panel"],
        dark=name != "netdash-light",
    )


DARK = _theme("netdash", "#8aa4c0", "#161d26")
LIGHT = _theme("netdash-light", "#48627c", "#eef1f4")
CONTRAST = _theme("netdash-contrast", "#ffffff", "#000000")


def palette(name: str, ansi: bool, colourless: bool, light: bool = False) -> Palette:
    """The inks of a theme; `ansi` for the terminal's own 16 colours, on a `light` ground or a dark one; `colourless`
    for none: only weight, dimness, underline and reverse are left."""
    if ansi or colourless:
        return _ansi(colourless, light)
    made = inks.palette(name)
    return inks.Palette(*map(_styles, attrgetter("ground", "panel", "cursor", "idle", "faded")(made)))


def _styles(of: inks.Inks[Ink]) -> Inks:
    tones, cells, struck = (
        {tone: _style(ink) for tone, ink in cell.items()} for cell in (of.tones, of.cells, of.struck)
    )
    return inks.Inks(tones, cells, struck, *map(_style, (of.blank, of.mark, of.head, of.rule, of.key)))


@cache
def _style(ink: Ink) -> Style:
    fore, back = (Color.from_rgb(*colour) if colour else None for colour in (ink.fore, ink.back))
    on = {name: True for name in ("bold", "italic", "underline", "strike") if getattr(ink, name)}
    return Style(color=fore, bgcolor=back, **on)  # type: ignore[arg-type]


def _ansi(colourless: bool, light: bool) -> Palette:
    words = {
        Tone.PLAIN: "none",
        Tone.DIM: "dim",
        Tone.TITLE: "bold cyan",
        Tone.KEY: "bold",
        Tone.GOOD: "green",
        Tone.WARN: "bright_yellow",
        Tone.BAD: "bold bright_red",
        Tone.UNKNOWN: "italic bright_yellow",
        Tone.HOP: "cyan",
    }
    if light:  # of the 16, only these two can be read on white everywhere
        words |= {Tone.TITLE: "bold blue", Tone.HOP: "blue", Tone.BAD: "bold red"}
        words |= {Tone.GOOD: "none", Tone.WARN: "bold", Tone.UNKNOWN: "italic"}
    accent = "bold blue" if light else "bold cyan"
    marks = tuple(Style.parse(text) for text in (accent, "bold dim", "dim", accent))
    tones = {tone: Style.parse(text) for tone, text in words.items()}
    if colourless:
        marks = tuple(style.without_color for style in marks)
        tones = {tone: style.without_color for tone, style in tones.items()}

    cell, struck = Style.parse("underline bold not reverse"), Style(strike=True)

    def on(over: str) -> Inks:
        return inks.inks(Style(), Style.parse(over), tones, cell, struck, marks)

    return inks.Palette(
        on("none"),
        on("none"),
        on("default on default reverse not dim"),
        on("bold"),
        on("default dim not bold"),
    )


def strip(line: Line, cells: int, inks: Inks, chosen: int = -1) -> Strip:
    """`line` on exactly `cells` cells, cut with … when longer. The span number `chosen` is what Enter would follow."""
    return joined([part(line, cells, inks, chosen)])


def joined(parts: Iterable[Part[Style]]) -> Strip:
    """The parts of a line as one strip."""
    strips = [seal([segment(*piece) for piece in other.pieces], other.cells, other.blank) for other in parts]
    return strips[0] if len(strips) == 1 else Strip.join(strips)


def segment(text: str, style: Style) -> Segment:
    """Text made safe, in a style. Nothing else of netdash makes a piece of the screen."""
    return Segment(safe(text), style)


def message(text: str) -> Text:
    """What is left on the terminal when the dashboard has gone; not markup."""
    return Text(safe(text))


def seal(segments: list[Segment], cells: int, blank: Style) -> Strip:
    """The segments as a strip of exactly `cells`, by the terminal's own idea of width."""
    used = sum(len(text) if text.isascii() else cell_len(text) for text, _, _ in segments)
    if used < cells:
        segments.append(segment(" " * (cells - used), blank))
        return Strip(segments, cells)
    made = Strip(segments, used)
    return made if used == cells else made.crop(0, cells)
