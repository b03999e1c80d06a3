"""Rows that leave a list by themselves: a key acts on what was seen."""

from __future__ import annotations

from dataclasses import replace

from netdash.model.host import Host
from tests.support.tui_hosts import crowd
from tests.support.tui_stage import dashboard, press, settle, show, text


def without(host: Host, *names: str) -> Host:
    return replace(host, containers=tuple(one for one in host.containers or () if one.name not in names))


def test_a_row_that_is_gone_stays_struck_until_a_key_moves_off() -> None:
    async def scene(pilot, app):
        grid = dashboard(pilot).panes.grid
        await press(pilot, "j", "j")
        for gone in (("web-2",), ("web-2", "web-1")):
            app.feed.publish(without(crowd(6), *gone))
            await settle(pilot)
            assert grid.row.cells[0].text == "web-2"
            assert grid.listing.struck
            assert any(segment.style.strike for segment in grid.line(grid.cursor - grid.top + 1, 80))
            assert "web-2 is gone" in text(app)
        for key in ("P", "t", "y", "enter", "l", "a"):
            await press(pilot, key)
            assert app.screen is dashboard(pilot), key
            assert app.focused is grid
            assert grid.row.cells[0].text == "web-2"
            assert key in "la" or "web-2 is gone: no key acts on it" in text(app)
        await press(pilot, "j")
        assert grid.row.cells[0].text == "web-3"
        assert [row.cells[0].text for row in grid.listing] == ["web-0", "web-3", "web-4", "web-5"]
        assert grid.cursor == 1

    show(crowd(6), scene)


def test_from_a_row_that_is_gone_both_ways_lead_to_its_neighbours() -> None:
    for key, name in (("k", "web-1"), ("j", "web-3"), ("G", "web-5"), ("g", "web-0")):

        async def scene(pilot, app, key=key, name=name):
            await press(pilot, "j", "j")
            app.feed.publish(without(crowd(6), "web-2"))
            await settle(pilot)
            await press(pilot, key)
            assert dashboard(pilot).panes.grid.row.cells[0].text == name

        show(crowd(6), scene)


def test_a_row_that_comes_back_is_itself_again() -> None:
    async def scene(pilot, app):
        await press(pilot, "j", "j")
        for host in (without(crowd(6), "web-2"), crowd(6)):
            app.feed.publish(host)
            await settle(pilot)
        grid = dashboard(pilot).panes.grid
        assert (grid.row.cells[0].text, len(grid.listing), grid.listing.gone) == ("web-2", 6, None)

    show(crowd(6), scene)


def test_a_row_that_no_longer_matches_the_filter_stays_and_is_not_struck() -> None:
    async def scene(pilot, app):
        await press(pilot, "slash", *"running", "enter", "j", "j")
        host = crowd(6)
        name = dashboard(pilot).panes.grid.row.cells[0].text
        stopped = tuple(replace(one, state="exited") if one.name == name else one for one in host.containers or ())
        app.feed.publish(replace(host, containers=stopped))
        await settle(pilot)
        grid = dashboard(pilot).panes.grid
        assert grid.row.cells[0].text == name
        assert not grid.listing.struck
        await press(pilot, "j")
        assert name not in [row.cells[0].text for row in grid.listing]

    show(crowd(6), scene)


def test_what_is_only_being_read_takes_nothing_from_the_screen() -> None:
    """A host of which the engine's part has not come yet, after one that had it."""

    async def scene(pilot, app):
        await press(pilot, "j", "j")
        pending = frozenset({"docker"})
        app.feed.publish(replace(crowd(6), containers=None, networks=None, ports=None, pending=pending))
        await settle(pilot)
        assert dashboard(pilot).panes.grid.row.cells[0].text == "web-2"
        assert "reading docker" not in text(app)

    show(crowd(6), scene)
