"""Every key does its thing, follows lead where they say, and nothing but q and ctrl+c quits."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from netdash.model.host import Host, Ref
from netdash.tui import actions, commands
from netdash.tui.config import Options
from tests.conftest import joined
from tests.support.tui_hosts import crowd
from tests.support.tui_stage import dashboard, press, settle, show, text


def play(host: Host, *pressed: str, size: tuple[int, int] = (120, 40), options: Options | None = None) -> dict:
    """Where the keys lead: the view, the row, the focus, the screen."""
    found: dict = {}

    async def scene(pilot, app):
        await press(pilot, *pressed)
        screen = dashboard(pilot)
        row = screen.panes.grid.row
        found.update(
            view=screen.panes.places.view.name,
            row=row.cells[0].text if row else None,
            ref=row.ref if row else None,
            focus=app.focused.id if app.focused else None,
            shown=len(screen.panes.grid.listing or ()),
            text=text(app),
            order=[each.cells[0].text for each in screen.panes.grid.listing or ()],
            linked=[grid.title[1].text + grid.title[2].text for grid in screen.panes.linked.grids if grid.title],
        )

    app = show(host, scene, size, options)
    return found | {"app": app}


def test_moving() -> None:
    async def scene(pilot, app):
        grid = dashboard(pilot).panes.grid
        for pressed, row in (
            (["j"], 1),
            (["g", "down", "down", "k"], 1),
            (["G"], 29),
            (["end", "up"], 28),
            (["G", "g"], 0),
            (["k"], 0),
            (["pagedown"], grid.page),
            (["home", "G", "pageup"], 29 - grid.page),
        ):
            await press(pilot, *pressed)
            assert grid.row.cells[0].text == f"web-{row}", pressed

    show(crowd(30), scene)


VIEWS = ("containers", "ports", "networks", "rules", "routes", "proxies", "links")


def test_digits() -> None:
    async def scene(pilot, app):
        for digit, view in enumerate(VIEWS, 1):
            await press(pilot, str(digit))
            assert dashboard(pilot).panes.places.view.name == view

    show(crowd(3), scene)


def test_tab_goes_round_all_panes_and_back() -> None:
    async def scene(pilot, app):
        focus = []
        for _ in range(5):
            await press(pilot, "tab")
            focus.append(app.focused.id)
        assert focus == ["card", "linked0", "linked1", "linked2", "grid"]
        await press(pilot, "shift+tab")
        assert app.focused.id == "linked2"
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        await press(pilot, "tab", "tab")
        assert app.focused.id in ("grid", "card")

    show(crowd(3), scene)


def test_selection_is_followed_by_every_pane() -> None:
    async def scene(pilot, app):
        screen = dashboard(pilot)
        await press(pilot, "j", "j", "j")
        titles = [grid.title[1].text + grid.title[2].text for grid in screen.panes.linked.grids]
        assert titles == ["Rules 2 of 31 ", "Routes 2 of 2 ", "Proxies 1 of 30 "]
        assert re.search(r"9003 +0.0.0.0:20003", text(app))
        for digit, row in (("2", "20003"), ("6", "9003"), ("7", "veth3")):
            await press(pilot, digit)
            assert screen.panes.grid.row.cells[0].text == row
            await press(pilot, "1")
            assert screen.panes.grid.row.cells[0].text == "web-3"

    show(crowd(30), scene)


def test_rules_open_on_the_rule_of_the_containers_port(host: Callable[[str], Host]) -> None:
    assert "--dport 32768 -j DNAT" in play(host("su1"), "j", "4")["ref"].key
    assert "--dport 8080 -j DNAT" in play(host("su1"), "4")["ref"].key


def test_chain_filter_says_how_many(host: Callable[[str], Host]) -> None:
    first = play(host("su1"), "colon", *"rules chain:DOCKER table:nat", "enter")["text"]
    assert re.search(r"/chain:DOCKER table:nat +\d+ of 162", first)


def test_enter_on_a_rule_leads_to_its_container_and_minus_back() -> None:
    there = play(crowd(30), "4", "j", "j", "enter")
    assert (there["view"], there["row"]) == ("containers", "web-2")
    back = play(crowd(30), "4", "j", "j", "enter", "minus")
    assert (back["view"], back["ref"]) == ("rules", play(crowd(30), "4", "j", "j")["ref"])


@pytest.mark.parametrize(
    ("hops", "view", "kind"),
    [(2, "containers", "container"), (3, "networks", "network"), (4, "links", "link"), (5, "ports", "port")],
)
def test_cells_lead_to_what_they_name(hops: int, view: str, kind: str) -> None:
    seen = play(crowd(3), "j", *["right"] * hops, "enter")
    assert (seen["view"], seen["ref"].kind) == (view, kind)


def test_chain_under_the_cursor_filters_the_rules() -> None:
    async def scene(pilot, app):
        screen = dashboard(pilot)
        screen.follow(Ref("chain", "iptables-nft ip nat DOCKER"))
        await settle(pilot)
        assert screen.panes.places.view.name == "rules"
        assert {row.cells[1].text for row in screen.panes.grid.listing} == {"DOCKER"}
        await press(pilot, "escape", "escape")
        assert screen.panes.places.view.name == "containers"

    show(crowd(3), scene)


def test_card_links_are_walked_and_followed() -> None:
    async def scene(pilot, app):
        screen = dashboard(pilot)
        await press(pilot, "enter")
        assert app.focused is screen.panes.card
        await press(pilot, "g")
        kinds = []
        for _ in screen.panes.card.links:
            kinds.append(screen.panes.card.target.kind)
            await press(pilot, "right")
        assert {"question", "rule", "proxy", "address"} <= set(kinds)
        await press(pilot, "g", *["right"] * kinds.index("proxy"), "enter")
        assert screen.panes.places.view.name == "proxies"
        await press(pilot, "minus")
        assert screen.panes.places.view.name == "containers"

    show(joined("su1"), scene)


def test_unknown_reference_says_so_and_stays() -> None:
    async def scene(pilot, app):
        dashboard(pilot).follow(Ref("address", "203.0.113.9"))
        await settle(pilot)
        assert "203.0.113.9" in text(app).splitlines()[-1]
        assert dashboard(pilot).panes.places.view.name == "containers"

    show(crowd(2), scene)


def test_filter_is_live_and_esc_clears_it() -> None:
    async def scene(pilot, app):
        grid = dashboard(pilot).panes.grid

        async def filtered(*pressed: str) -> int:
            await press(pilot, *pressed)
            return len(grid.listing)

        assert await filtered("slash", *"web-2") == 11
        assert await filtered(*" !web-29", "enter") == 10
        assert await filtered("escape") == 30
        assert await filtered("slash", *"name:web-17", "enter") == 1
        assert grid.row.cells[0].text == "web-17"
        assert await filtered("escape") == 30
        assert grid.row.cells[0].text == "web-17"
        assert await filtered("slash", *"zz") == 0
        assert await filtered("escape") == 30

    show(crowd(30), scene)


def test_keys_are_text_while_a_text_field_is_open() -> None:
    seen = play(crowd(3), "slash", *"q1s?y:", "enter")
    assert (seen["view"], seen["shown"]) == ("containers", 0)
    assert "/q1s?y:" in seen["text"]


def test_sort_cycles_through_columns_and_turns() -> None:
    async def scene(pilot, app):
        def order() -> list[str]:
            return [row.cells[0].text for row in dashboard(pilot).panes.grid.listing]

        await press(pilot, "s")
        assert "IN↑" in text(app)  # the worst first
        await press(pilot, "s")
        assert order()[:3] == ["web-0", "web-1", "web-10"]
        assert "NAME↑" in text(app)
        await press(pilot, "S")
        assert order()[0] == "web-9"
        await press(pilot, "s", "s", "s")
        assert "ADDRESS↑" in text(app)
        assert order() == [f"web-{number}" for number in range(12)]

    show(crowd(12), scene)


def test_only_what_belongs_and_all_again() -> None:
    async def scene(pilot, app):
        async def shown(*pressed: str) -> int:
            await press(pilot, *pressed)
            return len(dashboard(pilot).panes.grid.listing)

        assert await shown("4", "j") == 31
        assert await shown("a") == 2
        assert "2 of 31" in text(app)
        assert await shown("a") == 31
        assert await shown("a", "escape") == 31
        await press(pilot, "1", "a")
        assert "▎" in text(app)
        assert len(dashboard(pilot).panes.linked.grids[0].listing) == 31

    show(crowd(30), scene)


def test_pause_keeps_the_host_and_going_on_shows_the_newest() -> None:
    async def scene(pilot, app):
        await press(pilot, "p")
        app.feed.publish(crowd(5))
        await settle(pilot)
        assert "‖ paused" in text(app)
        assert "3 containers" in text(app)
        await press(pilot, "p")
        assert "5 containers" in text(app)
        assert "● live" in text(app)

    show(crowd(3), scene)


def test_a_burst_of_hosts_ends_on_the_last() -> None:
    async def scene(pilot, app):
        await press(pilot, "j", "j")
        for count in range(4, 40):
            app.feed.publish(crowd(count))
        await settle(pilot)
        assert "39 containers" in text(app)
        assert dashboard(pilot).panes.grid.row.cells[0].text == "web-2"

    show(crowd(3), scene)


def test_refresh_asks_the_feed() -> None:
    assert play(crowd(1), "ctrl+r")["app"].feed.refreshed == 1
    assert play(replace(crowd(1), live=False), "ctrl+r")["app"].feed.refreshed == 0


@pytest.mark.parametrize(
    "pressed",
    [
        ["escape"] * 6,
        ["slash", "escape", "escape"],
        ["colon", "escape", "escape"],
        ["question_mark", "escape", "escape"],
        ["tab", "escape", "escape"],
        ["4", "enter", "escape", "escape"],
        ["y", "escape", "escape"],
    ],
)
def test_esc_never_quits(pressed: list[str]) -> None:
    async def scene(pilot, app):
        await press(pilot, *pressed)
        assert app.is_running
        assert app.return_value is None
        assert app.focused is dashboard(pilot).panes.grid
        assert len(app.screen_stack) == 1

    show(crowd(3), scene)


@pytest.mark.parametrize(
    "pressed",
    [["q"], ["ctrl+c"], ["slash", "ctrl+c"], ["question_mark", "ctrl+c"], ["colon", "q", "enter"], ["ctrl+q"]],
)
def test_quitting_ends_with_zero_and_stops_the_feed(pressed: list[str]) -> None:
    async def scene(pilot, app):
        for key in pressed:
            await pilot.press(key)
        await pilot.pause()

    app = show(crowd(3), scene)
    assert app.return_value == 0
    assert app.feed.stopped


def test_help_lists_only_what_works_here() -> None:
    live = play(crowd(3), "question_mark")["text"]
    assert "pause; again goes on" in live
    recorded = play(replace(crowd(3), live=False), "question_mark")["text"]
    assert "pause; again goes on" not in recorded
    assert "read everything again" not in recorded
    assert "follow the address" in recorded


def test_remapped_keys_work_and_are_shown() -> None:
    options = Options(theme="netdash", keys={"down": "n", "quit": "Q", "view_4": "r"})
    assert play(crowd(3), "n", "j", options=options)["row"] == "web-1"
    assert play(crowd(3), "r", options=options)["view"] == "rules"
    seen = play(crowd(3), "q", options=options)
    assert seen["app"].return_value is None
    assert "Q quit" in seen["text"].splitlines()[-1]


def test_bindings_have_the_ids_that_the_config_file_knows() -> None:
    found: set[str] = set()

    async def scene(pilot, app):
        found.update(binding.id for _, binding in dashboard(pilot)._bindings if binding.id)

    show(crowd(1), scene)
    assert {key.id for key in actions.KEYS} <= found
    assert found <= set(actions.IDS)


def test_every_action_of_the_table_is_carried_out() -> None:
    assert {action.id for action in actions.ACTIONS if action.keys or not action.argument} == set(commands._ACTIONS)
    assert {action.id for action in actions.ACTIONS if action.argument} == set(commands._WITH_ARGUMENT)


def test_mouse_selects_follows_and_scrolls() -> None:
    async def scene(pilot, app):
        screen = dashboard(pilot)
        await pilot.click("#grid", offset=(5, 4))
        await settle(pilot)
        assert screen.panes.grid.row.cells[0].text == "web-3"
        await pilot.click("#tabs", offset=(28, 0))
        await settle(pilot)
        assert screen.panes.places.view.name == "ports"

    show(crowd(30), scene)


def test_everything_is_reachable_at_80x24(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        for digit in "12345678":
            await press(pilot, digit, "j", "enter", "minus")
            assert dashboard(pilot).panes.places.view.digit == digit or digit == "1"
        await press(pilot, "4", "g", "a")
        assert 0 < len(dashboard(pilot).panes.grid.listing) < 183

    show(host("docker28.5-nft-full"), scene, (80, 24))


def test_many_rules_are_filtered_and_sorted_in_steps() -> None:
    seen = play(crowd(3, 900, 2_000), "4", "slash", *"chain:EXTRA !--dport", "enter")
    assert seen["shown"] == 0
    seen = play(crowd(3, 900, 2_000), "4", "slash", *"chain:EXTRA accept", "enter")
    assert seen["shown"] == 2_000 - 3
    ports = play(crowd(3, 900, 10), "2", "s", "S")
    assert ports["order"][0] == "30899"
