"""Tones become terminal styles here, and nowhere else. Owns the palettes; knows no host and no widget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.color import Color
from textual.strip import Strip
from textual.theme import Theme

from netdash.model.records import dataclass, replace
from netdash.view.text import Line, Tone, fit, safe, width

MARKER = "▌"
LINKED = "▎"
PICKED = "◆"

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
CONTRAST = Theme(
    name="netdash-contrast",
    primary="#7fdfff",
    secondary="#ffffff",
    accent="#7fdfff",
    success="#7fff7f",
    warning="#ffff66",
    error="#ff9c9c",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#262626",
    dark=True,
    variables={"least-contrast": "7"},
)
READABLE = 4.5  # contrast of text and ground: what WCAG 2.1 calls AA; 7 is AAA


@dataclass(frozen=True, slots=True)
class Inks:
    """Every style on one ground, complete: a painted cell needs no second one."""

    tones: Mapping[Tone, Style]
    cells: Mapping[Tone, Style]  # the same for what Enter would follow
    blank: Style
    mark: Style  # the cursor's and the linked rows' mark
    head: Style
    rule: Style
    key: Style


@dataclass(frozen=True, slots=True)
class Palette:
    """Inks by ground. Every tone differs from its neighbours by more than colour: a weight, dimness or glyph."""

    ground: Inks  # panes
    panel: Inks  # bars and popups
    cursor: Inks  # the row under the cursor in the pane that has the keys
    idle: Inks  # the same in a pane that has not
    faded: Inks  # what is no longer current


def palette(variables: Mapping[str, str], ansi: bool, colourless: bool, light: bool = False) -> Palette:
    """The inks of a theme, from its CSS variables (`App.theme_variables`); `ansi` for the terminal's own 16 colours,
    on a `light` ground or a dark one; `colourless` for none: only weight, dimness, underline and reverse are left."""
    return _ansi(colourless, light) if ansi or colourless else _coloured(variables)


def _coloured(variables: Mapping[str, str]) -> Palette:
    def colour(name: str) -> Color:
        return Color.parse(variables[name])

    def style(ink: Color, bold: bool = False, italic: bool = False) -> Style:
        return Style(color=ink.rich_color, bold=bold or None, italic=italic or None)

    def ground(behind: Color) -> Style:
        return Style(color=fore.rich_color, bgcolor=behind.rich_color)

    back, fore, accent = colour("background"), colour("foreground"), colour("primary")
    dim, faint = back.blend(fore, 0.55), back.blend(fore, 0.3)
    tones = {
        Tone.PLAIN: style(fore),
        Tone.DIM: style(dim),
        Tone.TITLE: style(accent, bold=True),
        Tone.KEY: style(fore, bold=True),
        Tone.GOOD: style(colour("success")),
        Tone.WARN: style(colour("warning")),
        Tone.BAD: style(colour("error"), bold=True),
        Tone.UNKNOWN: style(colour("warning"), italic=True),
        Tone.HOP: style(back.blend(accent, 0.75)),
    }
    cell = Style(underline=True, bold=True, bgcolor=back.blend(accent, 0.42).rich_color)
    marks = (style(accent, bold=True), style(dim, bold=True), style(faint), style(accent, bold=True))

    least = float(variables.get("least-contrast", READABLE))

    def inks(base: Style, over: Style | None = None) -> Inks:
        made = _inks(base, over or Style(), tones, cell, marks)
        return replace(
            made,
            tones={tone: _readable(style, least) for tone, style in made.tones.items()},
            cells={tone: _readable(style, least) for tone, style in made.cells.items()},
            mark=_readable(made.mark, least),
            head=_readable(made.head, least),
            key=_readable(made.key, least),
        )

    return Palette(
        ground=inks(ground(back)),
        panel=inks(ground(colour("panel"))),
        cursor=inks(ground(back.blend(accent, 0.24))),
        idle=inks(ground(back.blend(fore, 0.08))),
        faded=inks(ground(back), style(back.blend(fore, 0.4))),
    )


def contrast(first: Color, second: Color) -> float:
    """From 1, the same, to 21, black on white (WCAG 2.1, relative luminance)."""
    darker, lighter = sorted(map(_luminance, (first, second)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Color) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _readable(style: Style, least: float) -> Style:
    """The style, its text made lighter or darker as far as its ground needs."""
    if style.color is None or style.bgcolor is None:
        return style
    ink, ground = Color.from_rich_color(style.color), Color.from_rich_color(style.bgcolor)
    end = max((Color(0, 0, 0), Color(255, 255, 255)), key=lambda far: contrast(far, ground))
    mixed = (ink.blend(end, step / 20) for step in range(21))
    return style + Style(color=next((ink for ink in mixed if contrast(ink, ground) >= least), end).rich_color)


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
    marks = tuple(Style.parse(each) for each in (accent, "bold dim", "dim", accent))
    tones = {tone: Style.parse(each) for tone, each in words.items()}
    if colourless:
        marks = tuple(style.without_color for style in marks)
        tones = {tone: style.without_color for tone, style in tones.items()}

    def inks(over: str) -> Inks:
        return _inks(Style(), Style.parse(over), tones, Style.parse("underline bold not reverse"), marks)

    return Palette(
        inks("none"),
        inks("none"),
        inks("default on default reverse not dim"),
        inks("bold"),
        inks("default dim not bold"),
    )


def _inks(base: Style, over: Style, tones: Mapping[Tone, Style], cell: Style, marks: Sequence[Style]) -> Inks:
    made = {tone: base + style + over for tone, style in tones.items()}
    mark, head, rule, key = (base + style + over for style in marks)
    cells = {tone: style + cell for tone, style in made.items()}
    return Inks(made, cells, base + over, mark, head, rule, key)


def strip(line: Line, cells: int, inks: Inks, chosen: int = -1) -> Strip:
    """`line` on exactly `cells` cells, cut with … when longer. The span number `chosen` is what Enter would follow."""
    segments: list[Segment] = []
    used = 0
    for index, span in enumerate(line):
        room = cells - used
        if room <= 0:
            break
        size = width(span.text)
        text = span.text if size < room or (size == room and index == len(line) - 1) else _cut(line, index, room)
        segments.append(segment(text, (inks.cells if index == chosen else inks.tones)[span.tone]))
        used += width(text)
    return seal(segments, cells, inks.blank)


def _cut(line: Line, index: int, room: int) -> str:
    """The text of the last span that finds room: with … unless nothing but blanks is lost."""
    text = line[index].text
    rest = any(span.text.strip() for span in line[index + 1 :])
    if width(text) == room and not rest:
        return text
    return fit(text + (" " if rest else ""), room)


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
