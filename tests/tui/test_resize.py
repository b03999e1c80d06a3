"""Another size of the terminal: every pane is painted for it, by itself, and what is too small is told whole."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest
from textual import events
from textual.geometry import Size
from textual.pilot import Pilot

from netdash.model.host import Host
from netdash.tui.grid import Grid
from tests.support.tui_hosts import crowd
from tests.support.tui_stage import dashboard, press, settle, show, text

SIZES = [(80, 24), (100, 30), (120, 40), (160, 48), (220, 60)]


async def resize(pilot: Pilot[int], size: tuple[int, int]) -> None:
    pilot.app.post_message(events.Resize(Size(*size), Size(*size)))
    for _ in range(100):
        await asyncio.sleep(0.03)  # Textual waits for the end of a drag
        await settle(pilot)
        if text(pilot.app).count("\n") == size[1]:
            break


@pytest.mark.parametrize("name", ["docker28.5-nft-full", "podman5.8-nftables"])
def test_after_every_change_of_size_all_panes_are_as_painted_anew(host: Callable[[str], Host], name: str) -> None:
    async def scene(pilot, app):
        await press(pilot, "g", "j", "j")
        for size in [each for pair in itertools.permutations(SIZES, 2) for each in pair]:
            await resize(pilot, size)
            shown = text(app)
            assert len(shown.splitlines()) == size[1]
            for widget in dashboard(pilot).walk_children():
                if isinstance(widget, Grid):
                    widget._measured = ()
                    widget._rows.clear()
                widget.refresh()
            await settle(pilot)
            assert text(app) == shown

    show(host(name), scene, size=(80, 24))


def test_a_pane_that_is_painted_before_it_hears_of_its_size_has_that_size(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(pilot, app):
        for grid in (dashboard(pilot).panes.grid, *dashboard(pilot).panes.linked.grids):
            wide, high = grid.size
            for size in (Size(wide + 17, high), Size(wide - 9, high)):
                with monkeypatch.context() as patched:
                    patched.setattr(Grid, "size", size)
                    for strip in grid.render_lines(size.region):
                        assert sum(segment.cell_length for segment in strip) == strip.cell_length == size.width

    show(crowd(8), scene, size=(160, 48))


@pytest.mark.parametrize("size", [(20, 5), (39, 11), (60, 12), (59, 40), (12, 3), (10, 2), (200, 14)])
def test_too_small_is_said_whole(size: tuple[int, int]) -> None:
    async def scene(pilot, app):
        told = " ".join(text(app).split())
        assert "60x15" in told
        assert "needs" in told or size[1] < 3

    show(crowd(3), scene, size=size)


def test_too_small_is_said_over_what_is_open_too() -> None:
    async def scene(pilot, app):
        for keys in (("question_mark",), ("y",), ("t",)):
            await press(pilot, *keys)
            assert len(app.screen_stack) == 2
            for size in ((39, 11), (120, 40)):
                await resize(pilot, size)
                assert ("needs 60x15" in " ".join(text(app).split())) == (size == (39, 11))
            await press(pilot, "escape")

    show(crowd(3), scene)
