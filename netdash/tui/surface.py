"""Widgets that paint by the line, past Textual's style cache: no border, no padding, only lines that changed; among
them the card under the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, Self, cast

from textual import events
from textual.geometry import Offset, Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from netdash.model.host import Ref
from netdash.tui.frame import MORE, text_line
from netdash.tui.inks import bar
from netdash.tui.theme import Inks, Palette, joined
from netdash.view.card import MARKER
from netdash.view.text import Line, width


class Coloured(Protocol):
    """The application, as far as a widget that paints asks it."""

    colours: Palette


class Surface(Widget):
    """A subclass says what stands on line `y`; lines are kept until `refresh` names them, or none."""

    ALLOW_SELECT = False
    PANEL = False  # on the ground of bars and popups

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._painted: dict[int, Strip] = {}
        self._wide = 0
        self.faded = False  # what it shows is no longer current

    @property
    def colours(self) -> Palette:
        return cast("Coloured", self.app).colours

    @property
    def inks(self) -> Inks:
        """What it paints with by default."""
        if self.faded:
            return self.colours.faded
        return self.colours.panel if self.PANEL else self.colours.ground

    def fade(self, faded: bool) -> None:
        """Greys everything: it is what was last known."""
        if faded != self.faded:
            self.faded = faded
            self.refresh()

    def line(self, y: int, wide: int) -> Strip:
        """Line `y` of the widget, `wide` cells."""
        raise NotImplementedError

    def render_lines(self, crop: Region) -> list[Strip]:
        wide = self.size.width
        if wide != self._wide:
            self._painted.clear()
            self._wide = wide
        lines = [self._paint(y, wide) for y in crop.line_range]
        return lines if crop.column_span == (0, wide) else [line.crop(*crop.column_span) for line in lines]

    def _paint(self, y: int, wide: int) -> Strip:
        line = self._painted.get(y)
        if line is None:
            line = self._painted[y] = self.line(y, wide)
        return line

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        for region in regions:
            for y in region.line_range:
                self._painted.pop(y, None)
        if not regions:
            self._painted.clear()
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def renew(self) -> None:
        """Paints only the lines that say something else than what is on screen: a poll mostly changes none."""
        wide, high = self.size
        if wide != self._wide or not self._painted:
            self.refresh()
            return
        before, self._painted = self._painted, {}
        for y in range(high):
            line = self._painted[y] = self.line(y, wide)
            if before.get(y) != line:
                super().refresh(Region(0, y, wide, 1))

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()


class ListWidget(Surface, can_focus=True):
    """Rows below `HEAD` lines, of which a part is on screen, and a cursor among them."""

    HEAD = 1
    FOOT = 0  # lines below the last row
    WHEEL = 3  # rows

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.cursor = 0
        self.top = 0  # the first row on screen

    @property
    def count(self) -> int:
        raise NotImplementedError

    def moved(self) -> None:
        """The cursor stands on another row."""

    @property
    def page(self) -> int:
        return max(1, self.size.height - self.HEAD - self.FOOT)

    def move(self, to: int) -> None:
        """Puts the cursor on row number `to` or the nearest there is, and scrolls as little as that needs."""
        old = self.cursor
        self.place(to)
        if old != self.cursor:
            self.moved()

    def place(self, to: int) -> None:
        """`move`, without a word to anybody."""
        last = max(0, self.count - 1)
        old, self.cursor = self.cursor, max(0, min(to, last))
        top = min(max(self.top, self.cursor - self.page + 1, 0), self.cursor, max(0, last - self.page + 1))
        if top != self.top:
            self.top = top
            self.refresh()
        elif old != self.cursor:
            self.refresh(self.band(old), self.band(self.cursor))

    def band(self, at: int) -> Region:
        return Region(0, at - self.top + self.HEAD, self.size.width, 1)

    @property
    def cursor_screen_offset(self) -> Offset:
        """The cell of the screen where the terminal's own cursor rests, by Textual's name of it."""
        return self.region.offset + self.band(self.cursor).offset

    def row_at(self, y: int) -> int | None:
        """The row on line `y`."""
        at = self.top + y - self.HEAD
        return at if y >= self.HEAD and at < self.count else None

    def step(self, by: int) -> None:
        self.move(self.cursor + by)

    def turn(self, pages: int) -> None:
        self.step(pages * self.page)

    def edge(self, side: int) -> None:
        """To the first row, or to the last."""
        self.move(0 if side < 0 else self.count - 1)

    def scroll(self, by: int) -> None:
        """Moves the rows; the cursor stays on its row as long as that is on screen."""
        self.top = max(0, min(self.top + by, self.count - self.page))
        self.refresh()
        self.move(max(self.top, min(self.cursor, self.top + self.page - 1)))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.scroll(self.WHEEL)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.scroll(-self.WHEEL)


class Bar(Surface):
    """One line, its left and its right part; the left one gives way."""

    def __init__(self, *, id: str, panel: bool = False) -> None:  # noqa: A002
        super().__init__(id=id)
        self.PANEL = panel
        self.left: Line = ()
        self.right: Line = ()

    def show(self, left: Line, right: Line = ()) -> None:
        if (left, right) != (self.left, self.right):
            self.left, self.right = left, right
            self.refresh()

    def line(self, y: int, wide: int) -> Strip:
        if y:
            return Strip.blank(wide, self.inks.blank)
        return joined(bar(self.left, self.right, wide, self.inks))

    def on_click(self, event: events.Click) -> None:
        """A span with a ref is a button: the screen decides what it does."""
        left = 0
        for span in self.left:
            left += width(span.text)
            if event.x < left:
                if span.ref is not None:
                    self.post_message(Box.Followed(self, span.ref))
                return


class Box(ListWidget):
    """Lines with links. The keys hop from link to link; Enter follows the one under the cursor."""

    WHEEL = 2

    class Followed(Message):
        def __init__(self, widget: Widget, ref: Ref) -> None:
            super().__init__()
            self.widget = widget
            self.ref = ref

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self.lines: Sequence[Line] = ()
        self.more = MORE  # how to see what is below while another widget has the keys
        self.links: list[tuple[int, int]] = []  # line, span
        self.link = 0

    @property
    def count(self) -> int:
        return len(self.lines)

    @property
    def cursor_screen_offset(self) -> Offset:
        line, index = self.links[min(self.link, len(self.links) - 1)] if self.links else (self.top, 0)
        return self.region.offset + Offset(self._column(line, index) if self.links else 0, line - self.top + self.HEAD)

    @property
    def target(self) -> Ref | None:
        """What Enter would follow."""
        if not self.links:
            return None
        at, index = self.links[min(self.link, len(self.links) - 1)]
        return self.lines[at][index].ref

    def show(self, lines: Sequence[Line], same: bool) -> None:
        """Shows other lines; `same` when they describe the same thing as before, whose place is then kept."""
        if lines == self.lines:
            return
        before = self.target
        self.lines = lines
        self.links = [(at, index) for at, line in enumerate(lines) for index, span in enumerate(line) if span.ref]
        if not same:
            self.link = self.top = 0
        self.link = self._kept(before) if same else max(0, min(self.link, len(self.links) - 1))
        self.top = max(0, min(self.top, len(lines) - self.page))
        self.renew()

    def _kept(self, ref: Ref | None) -> int:
        """Where the link under the cursor stands now: of several that lead to the same the nearest to where it was."""
        found = [at for at, (line, index) in enumerate(self.links) if self.lines[line][index].ref == ref]
        near = min(found, key=lambda at: abs(at - self.link), default=self.link)
        return max(0, min(near, len(self.links) - 1))

    def hop(self, step: int) -> None:
        """To the next or previous link."""
        self._go(self.link + step)

    def step(self, by: int) -> None:
        """To the nearest link on a lower or higher line; where there is none, the text scrolls."""
        if not self.links:
            self.scroll(by)
            return
        line, index = self.links[self.link]
        column = self._column(line, index)
        lines = sorted({at for at, _ in self.links if (at > line if by > 0 else at < line)}, reverse=by < 0)
        if not lines:
            self.scroll(by)
            return
        stops = [place for place, (at, _) in enumerate(self.links) if at == lines[min(abs(by), len(lines)) - 1]]
        self._go(min(stops, key=lambda place: abs(self._column(*self.links[place]) - column)))

    def turn(self, pages: int) -> None:
        self.scroll(pages * max(1, self.page - 1))

    def edge(self, side: int) -> None:
        """To the first link, or to the last; without links to the first line, or to the last."""
        if self.links:
            self.hop(side * len(self.links))
        else:
            self.scroll(side * len(self.lines))

    def _column(self, line: int, index: int) -> int:
        return sum(width(span.text) for span in self.lines[line][:index])

    def _go(self, link: int) -> None:
        if self.links:
            self.link = max(0, min(link, len(self.links) - 1))
            line = self.links[self.link][0]
            self.top = min(max(self.top, line - self.page + 1), line)
            self.moved()
        self.refresh()

    def stand_on(self, line: int) -> None:
        """Puts the cursor on the first link of a line, without a word to anybody."""
        self.link = next((place for place, (at, _) in enumerate(self.links) if at >= line), self.link)

    def reveal(self, line: int, before: int) -> None:
        """Scrolls so that a line is in view with some of those before it, its link under the cursor."""
        self.top = max(0, min(max(0, line - before), len(self.lines) - self.page))
        self.stand_on(line)
        self.refresh()

    def scroll(self, by: int) -> None:
        self.top = max(0, min(self.top + by, len(self.lines) - self.page))
        self.refresh()

    def line(self, y: int, wide: int) -> Strip:
        ground = self.colours.ground
        edge, more = (ground.key, "j") if self.has_focus else (ground.rule, self.more)
        chosen = self.links[self.link] if self.has_focus and self.links else None
        return joined([text_line(self.lines, y, wide, self.size.height, self.inks, edge, more, self.top, chosen)])

    def on_resize(self) -> None:
        self.top = max(0, min(self.top, len(self.lines) - self.page))
        self.refresh()  # the last line says how many there are below

    def on_click(self, event: events.Click) -> None:
        at = self.top + event.y - 1
        for place, (line, index) in enumerate(self.links):
            left = self._column(line, index)
            if line == at and event.y and left <= event.x < left + width(self.lines[line][index].text):
                self._go(place)
                if self.target:
                    self.post_message(self.Followed(self, self.target))
                return


class CardBox(Box):
    """`rewrite` is called when another question is chosen."""

    def __init__(self, rewrite: Callable[[], None]) -> None:
        super().__init__(id="card")
        self.question: Ref | None = None  # None: the card chooses
        self._rewrite = rewrite

    def show(self, lines: Sequence[Line], same: bool) -> None:
        """Of another thing the cursor stands on the question that the card has chosen."""
        super().show(lines, same)
        chosen = next((at for at, line in enumerate(lines) if line and line[0].text.startswith(MARKER)), None)
        if chosen is not None and not same:
            self.stand_on(chosen)

    def moved(self) -> None:
        target = self.target
        if target is not None and target.kind == "question" and target != self.question:
            self.question = target
            self._rewrite()
