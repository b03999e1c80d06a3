"""Who reaches the selected thing, as a list over the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from netdash.model.host import Host
from netdash.tui.trace_view import Walk
from netdash.tui.who_view import WhoView
from tests.support.tui_stage import dashboard, press, show, text
from tests.tui.test_screen import compare

FULL = "docker28.5-nft-full"


def _at(name: str) -> tuple[str, ...]:
    return ("colon", *f"go {name}", "enter", "w")


def test_the_list_on_the_screen(host: Callable[[str], Host]) -> None:
    seen: list[str] = []

    async def scene(pilot, app):
        await press(pilot, *_at("web"))
        assert isinstance(app.screen, WhoView)
        seen.append(text(app))
        await press(pilot, "escape")
        assert app.screen is dashboard(pilot)

    show(host(FULL), scene, (80, 24))
    show(host(FULL), scene, (120, 40))
    compare("who-80x24", seen[0])
    compare("who-120x40", seen[1])


def test_enter_traces_the_row_and_unfolds_those_that_fare_alike(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, *_at("web"))
        grid = app.screen.grid
        before = len(grid.listing)
        at = next(at for at, row in enumerate(grid.listing) if "others" in row.cells[0].text)
        many = int(grid.listing[at].cells[0].text.split()[0])
        await press(pilot, *["j"] * at, "enter")
        assert len(app.screen.grid.listing) == before + many - 1
        sender = app.screen.grid.row.cells[0].text
        assert app.screen.grid.cursor == at
        await press(pilot, "enter")
        assert isinstance(app.screen, Walk)
        assert sender in text(app)
        await press(pilot, "escape")
        assert isinstance(app.screen, WhoView)

    show(host(FULL), scene, (120, 40))


def test_the_rule_of_a_row_is_a_link(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, *_at("web"), "slash", *"outside dropped", "enter", "l")
        while app.screen.grid.target.kind != "rule":
            await press(pilot, "l")
        await press(pilot, "enter")
        assert dashboard(pilot).panes.places.view.name == "rules"

    show(host(FULL), scene, (120, 40))


def test_it_is_filtered_and_sorted(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, *_at("web"))
        total = len(app.screen.grid.listing)
        await press(pilot, "slash", *"from:outside")
        shown = app.screen.grid.listing
        assert {row.cells[0].text for row in shown} == {"outside"}
        await press(pilot, "enter", *"ssss")
        assert [row.cells[3].text[0] for row in app.screen.grid.listing] == sorted(
            (row.cells[3].text[0] for row in shown), key="✗?✓".index
        )
        await press(pilot, "escape")
        assert isinstance(app.screen, WhoView)
        assert len(app.screen.grid.listing) == total

    show(host(FULL), scene, (120, 40))


def test_a_port_and_a_network(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "2", "slash", *"8081", "enter", "w")
        assert isinstance(app.screen, WhoView)
        assert "who reaches c1:8081/tcp" in text(app)
        await press(pilot, "escape", "escape", "3", "slash", *"six", "enter", "w")
        assert isinstance(app.screen, WhoView)
        assert "who reaches six" in text(app)

    show(host(FULL), scene, (120, 40))


def test_where_nobody_can_be_asked_the_foot_says_why(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, *_at("c-exited"))
        assert app.screen is dashboard(pilot)
        assert "c-exited is not running: nobody reaches it" in text(app)

    show(host(FULL), scene)


def test_a_newer_host_is_asked_anew_and_the_cursor_stays(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, *_at("web"), "slash", *"outside", "enter", "G")
        before = app.screen.grid.row.ref
        found = app.screen._found
        app.feed.publish(replace(host(FULL), routes=()))
        await press(pilot, "h")
        assert app.screen._found is not found
        assert app.screen.grid.row.ref == before

    show(host(FULL), scene)
