"""The reach matrix over the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from netdash.model.host import Host
from netdash.tui.reach_view import Reach
from tests.support.tui_stage import dashboard, press, show, text
from tests.tui.test_screen import compare


def test_the_matrix_on_the_screen(host: Callable[[str], Host]) -> None:
    seen: list[str] = []

    async def scene(pilot, app):
        await press(pilot, "colon", *"reach", "enter")
        assert isinstance(app.screen, Reach)
        seen.append(text(app))
        await press(pilot, "escape")
        assert not isinstance(app.screen, Reach)

    show(host("docker28.5-nft-full"), scene, (80, 24))
    compare("reach-80x24", seen[0])


def test_enter_goes_to_the_rule_that_decides(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "colon", *"reach", "enter")
        box = app.screen.box
        at = next(n for n, (line, index) in enumerate(box.links) if box.lines[line][index].ref.kind == "rule")
        await press(pilot, *["l"] * at, "enter")
        assert dashboard(pilot).panes.places.view.name == "rules"
        row = dashboard(pilot).panes.grid.row
        assert row is not None
        assert row.cells[1].text == "DOCKER-USER"

    show(host("docker-user-host-port"), scene, (120, 40))


def test_a_newer_host_is_asked_anew(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "colon", *"reach", "enter")
        before = text(app)
        app.feed.publish(host("internal-network"))
        await press(pilot, "j")
        assert text(app) != before

    show(host("su1"), scene, (120, 40))


def test_while_only_memory_moves_nothing_is_asked_again(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "colon", *"reach", "enter")
        before = app.screen._matrix
        given = host("su1")
        app.feed.publish(replace(given, proxies=tuple(replace(one, rss=1) for one in given.proxies or ())))
        await press(pilot, "j")
        assert app.screen._matrix is before is not None

    show(host("su1"), scene, (120, 40))


def test_the_palette_offers_it(host: Callable[[str], Host]) -> None:
    from netdash.tui.palette import Commands

    async def scene(pilot, app):
        offers = list(Commands(app.screen)._offers())
        assert any(line == "reach" for _, _, line in offers)

    show(host("su1"), scene)
