"""The widget that paints by the line, past Textual's style cache: no border, no padding, only lines that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from netdash.tui.theme import Inks, Palette

if TYPE_CHECKING:
    from netdash.tui.app import Netdash


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
        app: Netdash = self.app  # type: ignore[assignment]
        return app.colours

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
