"""Only what differs is written, and what is written makes the terminal show what was painted."""

from __future__ import annotations

import random

import pyte
import pytest
from rich.segment import Segment
from rich.style import Style

from netdash.tui.term.picture import Picture

STYLES = [
    None,
    Style(color="#102030", bgcolor="#405060"),
    Style(color="#102030", bgcolor="#405060", bold=True),
    Style(color="red", dim=True),
    Style(bgcolor="#405060", underline=True, italic=True),
    Style(reverse=True, bold=True, dim=True),
    Style(strike=True),
]
TEXTS = ["web", " ", "172.17.0.2", "日本", "é", "e\u0301x", "│", "──", "a日b"]


class Seen:
    """A terminal beside the picture that writes to it."""

    def __init__(self, wide: int, high: int, erases: bool = False) -> None:
        self.picture = Picture("truecolor", erases)
        self.picture.resize(wide, high)
        self.screen = pyte.Screen(wide, high)
        self.stream = pyte.Stream(self.screen)

    def update(self) -> str:
        told = self.picture.update()
        self.stream.feed(told)
        return told

    def cells(self) -> list[object]:
        return [[_seen(self.screen.buffer[y][x]) for x in range(self.screen.columns)] for y in range(self.screen.lines)]


def _seen(cell: pyte.screens.Char) -> object:
    """Of a blank only its ground is seen, and what is drawn through it."""
    drawn = cell.reverse or cell.underscore or cell.strikethrough
    return cell if cell.data != " " or drawn else cell.bg


def line(picture: Picture, y: int, *told: tuple[str, Style | None]) -> None:
    picture.paint(y, 0, [Segment(text, style) for text, style in told], picture.wide)


def test_the_same_again_writes_nothing() -> None:
    seen = Seen(20, 3)
    line(seen.picture, 1, ("web", STYLES[1]), ("  db", STYLES[2]))
    assert seen.update()
    line(seen.picture, 1, ("web", Style(color="#102030", bgcolor="#405060")), ("  db", STYLES[2]))
    assert seen.picture.differs
    assert seen.update() == ""
    assert not seen.picture.differs


def test_one_cell_costs_one_cell() -> None:
    seen = Seen(120, 40)
    for y in range(40):
        line(seen.picture, y, ("x" * 120, STYLES[1]))
    seen.update()
    line(seen.picture, 7, ("x" * 50 + "y" + "x" * 69, STYLES[1]))
    told = seen.update()
    assert told.startswith("\x1b[0m\x1b[8;51H\x1b[")
    assert told.endswith("my\x1b[0m")


def test_a_style_is_told_where_it_changes() -> None:
    seen = Seen(20, 2)
    line(seen.picture, 0, ("aa", STYLES[1]), ("bb", STYLES[2]), ("cc", STYLES[1]))
    assert "\x1b[1mbb\x1b[22mcc" in seen.update()


def test_blanks_are_erased_where_the_terminal_fills_them() -> None:
    for erases, told in ((True, "\x1b[60X"), (False, " " * 60)):
        seen = Seen(60, 1, erases)
        line(seen.picture, 0, ("x" * 60, STYLES[1]))
        seen.update()
        line(seen.picture, 0, (" " * 60, STYLES[1]))
        assert told in seen.update()
        line(seen.picture, 0, (" " * 60, None))  # without a colour every terminal can
        assert "\x1b[60X" in seen.update()


def test_what_is_forgotten_is_written_whole() -> None:
    seen = Seen(20, 2)
    line(seen.picture, 0, ("web", STYLES[1]))
    first = seen.update()
    seen.picture.forget()
    assert seen.update() == first


def test_nothing_is_painted_outside() -> None:
    picture = Picture("truecolor")
    picture.resize(4, 2)
    picture.paint(2, 0, [Segment("x")], 4)
    picture.paint(-1, 0, [Segment("x")], 4)
    picture.paint(0, 3, [Segment("日"), Segment("x")], 9)
    assert "日" not in picture.update()


def test_without_colours_there_are_no_styles() -> None:
    picture = Picture(None)
    picture.resize(4, 1)
    line(picture, 0, ("web", STYLES[2]))
    assert set(picture.update().split("\x1b[")) == {"", "0m", "1;1Hweb "} | {"0m"}


@pytest.mark.parametrize("erases", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_differences_add_up_to_the_picture(seed: int, erases: bool) -> None:
    """After any changes the terminal shows what one that is painted anew does."""
    dice = random.Random(seed)
    seen = Seen(60, 6, erases)
    lines: list[list[tuple[str, Style | None]]] = [[] for _ in range(6)]
    for _ in range(60):
        for _ in range(dice.randrange(1, 4)):
            y = dice.randrange(6)
            told = [(dice.choice(TEXTS), dice.choice(STYLES)) for _ in range(dice.randrange(1, 6))]
            lines[y] = [*told, (" " * dice.randrange(20), dice.choice(STYLES)), *told[:2], (" " * 60, STYLES[y % 2])]
            line(seen.picture, y, *lines[y])
        seen.update()
        anew = Seen(60, 6)
        for y, told in enumerate(lines):
            line(anew.picture, y, *told)
        anew.update()
        assert seen.cells() == anew.cells()
