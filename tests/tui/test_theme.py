"""Every text can be read on its own ground, in every theme, on the row under the cursor too."""

from __future__ import annotations

import pytest
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from textual.color import Color
from textual.theme import Theme

from netdash.tui import theme
from netdash.tui.config import THEMES, Options
from netdash.tui.inks import contrast
from netdash.tui.term.keyboard import Background, Keyboard, Splitter
from netdash.tui.theme import Inks, Palette, palette
from tests.support.tui_hosts import crowd
from tests.support.tui_stage import settle, show

COLOURED = (theme.DARK, theme.LIGHT, theme.CONTRAST)
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
XTERM = [(205, 0, 0), (0, 205, 0), (205, 205, 0), (0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229)]
XTERM_BRIGHT = [(127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0), (92, 92, 255), (255, 0, 255), (0, 255, 255)]
VGA = [(170, 0, 0), (0, 170, 0), (170, 85, 0), (0, 0, 170), (170, 0, 170), (0, 170, 170), (170, 170, 170)]
VGA_BRIGHT = [(85, 85, 85), (255, 85, 85), (85, 255, 85), (255, 255, 85), (85, 85, 255), (255, 85, 255), (85, 255, 255)]
TERMINALS = {
    "xterm": ([BLACK, *XTERM], [*XTERM_BRIGHT, WHITE]),
    "vga": ([BLACK, *VGA], [*VGA_BRIGHT, WHITE]),
}


def grounds(made: Palette) -> dict[str, Inks]:
    return {name: getattr(made, name) for name in ("ground", "panel", "cursor", "idle", "faded")}


def texts(inks: Inks) -> dict[str, Style]:
    """All but the lines that are drawn between panes."""
    tones = {f"{kind} {tone.name}": style for kind in ("tones", "cells") for tone, style in getattr(inks, kind).items()}
    return {**tones, "mark": inks.mark, "head": inks.head, "key": inks.key}


@pytest.mark.parametrize("chosen", COLOURED, ids=lambda chosen: chosen.name)
def test_every_text_has_the_contrast_that_reading_needs(chosen: Theme) -> None:
    least = 7 if chosen is theme.CONTRAST else 4.5
    made = palette(chosen.name, ansi=False, colourless=False)
    low = []
    for ground, inks in grounds(made).items():
        for name, style in texts(inks).items():
            assert style.color is not None
            assert style.bgcolor is not None
            found = contrast(style.color.get_truecolor(), style.bgcolor.get_truecolor())
            if found < least:
                low.append(f"{ground} {name}: {found:.2f}")
    assert low == []


@pytest.mark.parametrize("terminal", TERMINALS)
@pytest.mark.parametrize("light", [False, True], ids=["dark", "light"])
@pytest.mark.parametrize("colourless", [False, True], ids=["16 colours", "NO_COLOR"])
def test_so_has_every_text_in_the_terminals_own_colours(terminal: str, light: bool, colourless: bool) -> None:
    """Where dim is two thirds of the colour, as xterm and VTE draw it."""
    fore, back = (BLACK, WHITE) if light else ((229, 229, 229), BLACK)
    colours = TerminalTheme(back, fore, *TERMINALS[terminal])
    low = []
    for ground, inks in grounds(palette("netdash", ansi=True, colourless=colourless, light=light)).items():
        for name, style in texts(inks).items():
            ink = Color(*(style.color.get_truecolor(colours) if style.color else fore))
            behind = Color(*(style.bgcolor.get_truecolor(colours, foreground=False) if style.bgcolor else back))
            ink, behind = (behind, ink) if style.reverse else (ink, behind)
            found = contrast((ink.blend(behind, 1 / 3) if style.dim else ink).rgb, behind.rgb)
            if found < 4.5:
                low.append(f"{ground} {name}: {found:.2f}")
    assert low == []


@pytest.mark.parametrize(
    ("answer", "light"),
    [
        (b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\", True),
        (b"\x1b]11;rgb:fd/f6/e3\x07", True),
        (b"\x1b]11;rgba:1e1e/1e1e/2e2e/ffff\x1b\\", False),
        (b"\x1b]11;rgb:0/0/0\x07", False),
    ],
)
def test_the_terminals_answer_says_whether_its_background_is_light(answer: bytes, light: bool) -> None:
    splitter, keyboard = Splitter(), Keyboard()
    units = [unit for byte in answer for unit in splitter.feed(bytes([byte]), 0.0)]
    (message,) = [message for unit in units for message in keyboard.messages(unit)]
    assert isinstance(message, Background)
    assert message.light is light


@pytest.mark.parametrize(
    "answer", [b"\x1b]11;rgb:ff/ff\x07", b"\x1b]11;?\x07", b"\x1b]11;rgb:g/0/0\x07", b"\x1b]4;1\x07"]
)
def test_other_answers_are_dropped(answer: bytes) -> None:
    assert Splitter().feed(answer, 0.0) == []


@pytest.mark.parametrize(
    ("option", "after"), [(None, "netdash-light"), ("ansi", "ansi-light"), ("netdash-contrast", "netdash-contrast")]
)
def test_the_theme_follows_the_background_unless_the_config_names_one(option: str | None, after: str) -> None:
    async def scene(pilot, app):
        before = app.colours
        app.post_message(Background(True))
        await settle(pilot)
        assert app.theme == after
        assert (app.colours == before) is (option == "netdash-contrast")
        app.post_message(Background(False))
        await settle(pilot)
        assert app.colours == before

    show(crowd(3), scene, options=Options(theme=option))


def test_the_config_names_each_theme() -> None:
    assert set(THEMES) == {*(chosen.name for chosen in COLOURED), "ansi"}
