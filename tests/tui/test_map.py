"""The map over the dashboard: the cursor on the wires, folding, pages, the filter, and what comes later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from netdash.model.finding import Health, Mark, Standing, keep_health
from netdash.model.host import Host
from netdash.tui import work
from netdash.tui.host_view import HostView
from netdash.tui.map_view import MapView
from netdash.view.map_rows import FOLD
from tests.support.tui_hosts import crowd
from tests.support.tui_stage import dashboard, press, settle, show, text
from tests.tui.test_screen import compare

FULL = "docker28.5-nft-full"
BROKEN = "forward-drop-ahead"


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 48)])
@pytest.mark.parametrize(("name", "file"), [(FULL, "map"), (BROKEN, "map-broken")])
def test_the_map_on_the_screen(host: Callable[[str], Host], name: str, file: str, size: tuple[int, int]) -> None:
    seen: list[str] = []

    async def scene(pilot, app):
        await press(pilot, "m")
        assert isinstance(app.screen, MapView)
        seen.append(text(app))
        await press(pilot, "escape")
        assert app.screen is dashboard(pilot)

    show(host(name), scene, size)
    compare(f"{file}-{size[0]}x{size[1]}", seen[0])


def test_the_cursor_begins_on_the_selected_container_and_goes_along_its_wire(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "m")
        box = app.screen.box
        assert box.target.kind == "container"
        kinds = []
        for _ in range(3):
            await press(pilot, "h")
            kinds.append(box.target.kind)
        assert kinds == ["network", "rule", "rule"]
        await press(pilot, "l", "enter")
        assert app.screen is dashboard(pilot)
        assert dashboard(pilot).panes.places.view.name == "rules"
        cells = [cell.text for cell in dashboard(pilot).panes.grid.row.cells]
        assert cells[:4] == ["filter", "FORWARD", "1", "DROP"]

    show(host(BROKEN), scene, (120, 40))


def test_j_goes_to_another_wire(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "m", "h", "h", "h", "h")
        box = app.screen.box
        assert box.target.kind == "port"
        before = box.target
        await press(pilot, "j")
        assert box.target.kind == "port"
        assert box.target != before
        await press(pilot, "k")
        assert box.target == before

    show(host(BROKEN), scene, (120, 40))


def test_a_port_on_the_wire_leads_to_the_ports(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "m", "h", "h", "h", "h", "enter")
        assert dashboard(pilot).panes.places.view.name == "ports"

    show(host(BROKEN), scene, (120, 40))


def test_enter_unfolds_and_escape_folds_again() -> None:
    async def scene(pilot, app):
        await press(pilot, "m")
        box = app.screen.box
        folded = len(box.lines)
        assert box.target.kind == FOLD
        await press(pilot, "enter")
        assert len(app.screen.box.lines) > folded
        assert box.target.kind == "container"
        await press(pilot, "escape")
        assert len(app.screen.box.lines) == folded
        await press(pilot, "escape")
        assert app.screen is dashboard(pilot)

    show(crowd(60), scene, (80, 24))


def test_pages_of_networks(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "m")
        assert "page 1 of" in text(app)
        first = text(app)
        await press(pilot, "left_square_bracket")
        assert text(app) == first
        await press(pilot, "right_square_bracket")
        assert "page 2 of" in text(app)
        assert app.screen.box.target.kind in ("container", FOLD)
        await press(pilot, "left_square_bracket")
        assert "page 1 of" in text(app)

    show(host(FULL), scene, (80, 24))


def test_the_filter_narrows_the_map_and_escape_clears_it(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "m", "slash", *"c-nomasq", "enter")
        assert "c-nomasq" in text(app)
        assert "hostsnat" not in text(app)
        await press(pilot, "slash", *"xyz", "enter")
        assert "nothing matches the filter" in text(app)
        await press(pilot, "escape")
        assert isinstance(app.screen, MapView)
        assert "nothing matches" not in text(app)

    show(host(FULL), scene, (120, 40))


def test_what_is_found_later_is_drawn(host: Callable[[str], Host]) -> None:
    """The same host, of which it is known only afterwards how it fares."""

    async def scene(pilot, app):
        await press(pilot, "m")
        one = host(BROKEN).containers[0]
        again = replace(host(BROKEN))
        keep_health(again, Health((), {}, {one.id: Standing(Mark.RISK, Mark.OK)}))
        app.screen.update_host(HostView(again))
        await settle(pilot)
        assert "! web" in text(app)

    show(host(BROKEN), scene, (120, 40))


def test_a_host_that_changes_all_the_time_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A map that began anew with each change would be drawn when the changes end."""

    async def scene(pilot, app):
        await press(pilot, "m")
        drawn: list[object] = []
        monkeypatch.setattr(work, "_run", one_step)
        show_drawing = app.screen._show
        monkeypatch.setattr(app.screen, "_show", lambda drawing: (drawn.append(drawing), show_drawing(drawing)))
        for number in range(100):
            app.feed.publish(crowd(9 + number % 2))
            await asyncio.sleep(0.001)
        assert drawn
        monkeypatch.undo()
        app.feed.publish(crowd(12))
        await settle(pilot)
        assert "12 containers" in text(app)

    show(crowd(9), scene)


def one_step(steps: work.Steps[object], _: float) -> tuple[bool, object]:
    try:
        next(steps)
    except StopIteration as stop:
        return True, stop.value
    return False, None


def test_it_is_resized(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "m")
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        wide = text(app)
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        assert max(map(len, text(app).splitlines())) <= 80
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        assert text(app) == wide

    show(host(FULL), scene, (80, 24))


def test_without_containers_it_says_why(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "m")
        assert "? containers:" in text(app)
        await press(pilot, "enter", "j", "l", "right_square_bracket", "escape")

    show(replace(host(BROKEN), containers=None, ports=None), scene, (80, 24))
