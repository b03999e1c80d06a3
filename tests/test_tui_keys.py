"""Every key does its thing, follows lead where they say, and nothing but q and ctrl+c quits."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from netdash.core.model import Host, Ref
from netdash.tui import keys
from netdash.tui.config import Options
from tests.tui_hosts import crowd
from tests.tui_stage import dashboard, press, settle, show, text


def play(host: Host, *pressed: str, size: tuple[int, int] = (120, 40), options: Options | None = None) -> dict:
    """Where the keys lead: the view, the row, the focus, the screen."""
    found: dict = {}

    async def scene(pilot, app):
        await press(pilot, *pressed)
        screen = dashboard(pilot)
        row = screen.grid.row
        found.update(
            view=screen.places.view.name,
            row=row.cells[0].text if row else None,
            ref=row.ref if row else None,
            focus=app.focused.id if app.focused else None,
            shown=len(screen.grid.listing or ()),
            text=text(app),
            order=[each.cells[0].text for each in screen.grid.listing or ()],
            linked=[grid.title[1].text + grid.title[2].text for grid in screen.beside.grids if grid.title],
        )

    app = show(host, scene, size, options)
    return found | {"app": app}


@pytest.mark.parametrize(
    ("pressed", "row"),
    [
        (["j"], "web-1"),
        (["down", "down", "k"], "web-1"),
        (["G"], "web-29"),
        (["end", "up"], "web-28"),
        (["G", "g"], "web-0"),
        (["k"], "web-0"),
        (["pagedown"], "web-12"),
        (["G", "pageup"], "web-17"),
    ],
)
def test_moving(pressed: list[str], row: str) -> None:
    assert play(crowd(30), *pressed)["row"] == row


VIEWS = ("containers", "ports", "networks", "rules", "routes", "proxies", "links")


@pytest.mark.parametrize(("digit", "view"), [(str(digit), view) for digit, view in enumerate(VIEWS, 1)])
def test_digits(digit: str, view: str) -> None:
    assert play(crowd(3), digit)["view"] == view


def test_tab_goes_round_all_panes_and_back() -> None:
    focus = [play(crowd(3), *["tab"] * count)["focus"] for count in range(6)]
    assert focus == ["grid", "card", "beside0", "beside1", "beside2", "grid"]
    assert play(crowd(3), "shift+tab")["focus"] == "beside2"
    assert play(crowd(3), "tab", "tab", size=(80, 24))["focus"] == "grid"


def test_selection_is_followed_by_every_pane() -> None:
    seen = play(crowd(30), "j", "j", "j")
    assert seen["linked"] == ["Rules 2 of 31 ", "Routes 2 of 2 ", "Proxies 1 of 30 "]
    assert re.search(r"9003 +0.0.0.0:20003", seen["text"])
    for digit, row in (("2", "20003"), ("6", "9003"), ("7", "veth3")):
        assert play(crowd(30), "j", "j", "j", digit)["row"] == row
        assert play(crowd(30), "j", "j", "j", digit, "1")["row"] == "web-3"


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
        assert screen.places.view.name == "rules"
        assert {row.cells[1].text for row in screen.grid.listing} == {"DOCKER"}
        await press(pilot, "escape", "escape")
        assert screen.places.view.name == "containers"

    show(crowd(3), scene)


def test_card_links_are_walked_and_followed() -> None:
    async def scene(pilot, app):
        screen = dashboard(pilot)
        await press(pilot, "enter")
        assert app.focused is screen.card
        kinds = []
        for _ in screen.card.links:
            kinds.append(screen.card.target.kind)
            await press(pilot, "right")
        assert {"port", "rule", "proxy", "link"} <= set(kinds)
        screen.card.link = kinds.index("proxy")
        await press(pilot, "enter")
        assert screen.places.view.name == "proxies"
        await press(pilot, "minus")
        assert screen.places.view.name == "containers"

    show(crowd(3), scene)


def test_unknown_reference_says_so_and_stays() -> None:
    async def scene(pilot, app):
        dashboard(pilot).follow(Ref("address", "203.0.113.9"))
        await settle(pilot)
        assert "203.0.113.9" in text(app).splitlines()[-1]
        assert dashboard(pilot).places.view.name == "containers"

    show(crowd(2), scene)


def test_filter_is_live_and_esc_clears_it() -> None:
    assert play(crowd(30), "slash", *"web-2")["shown"] == 11
    assert play(crowd(30), "slash", *"web-2 !web-29", "enter")["shown"] == 10
    assert play(crowd(30), "slash", *"name:web-7", "enter")["row"] == "web-7"
    seen = play(crowd(30), "slash", *"web-2", "enter", "escape")
    assert (seen["shown"], seen["view"]) == (30, "containers")
    assert play(crowd(30), "slash", *"zz", "escape")["shown"] == 30


def test_keys_are_text_while_a_text_field_is_open() -> None:
    seen = play(crowd(3), "slash", *"q1s?y:", "enter")
    assert (seen["view"], seen["shown"]) == ("containers", 0)
    assert "/q1s?y:" in seen["text"]


def test_cursor_stays_on_its_row_when_the_filter_goes() -> None:
    assert play(crowd(30), "slash", *"web-17", "enter", "escape")["row"] == "web-17"


def test_sort_cycles_through_columns_and_turns() -> None:
    assert play(crowd(12), "s")["order"][:3] == ["web-0", "web-1", "web-10"]
    assert play(crowd(12), "s", "S")["order"][0] == "web-9"
    assert "NAME↑" in play(crowd(12), "s")["text"]
    by_address = play(crowd(12), "s", "s", "s", "s")
    assert "ADDRESS↑" in by_address["text"]
    assert by_address["order"] == [f"web-{number}" for number in range(12)]


def test_only_what_belongs_and_all_again() -> None:
    assert play(crowd(30), "4")["shown"] == 31
    narrowed = play(crowd(30), "4", "j", "a")
    assert narrowed["shown"] == 2
    assert "2 of 31" in narrowed["text"]
    assert play(crowd(30), "4", "j", "a", "a")["shown"] == 31
    assert play(crowd(30), "4", "j", "a", "escape")["shown"] == 31
    wide = play(crowd(30), "a")
    assert "POSTROUTING" in wide["text"]
    assert "▎" in wide["text"]


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
        assert dashboard(pilot).grid.row.cells[0].text == "web-2"

    show(crowd(3), scene)


def test_row_that_goes_leaves_the_cursor_in_its_place() -> None:
    async def scene(pilot, app):
        await press(pilot, "j", "j")
        host = crowd(6)
        app.feed.publish(replace(host, containers=tuple(one for one in host.containers if one.name != "web-2")))
        await settle(pilot)
        assert dashboard(pilot).grid.row.cells[0].text == "web-3"

    show(crowd(6), scene)


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
        assert app.focused is dashboard(pilot).grid
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
    assert {key.id for key in keys.KEYS} <= found
    assert found <= set(keys.IDS)


def test_mouse_selects_follows_and_scrolls() -> None:
    async def scene(pilot, app):
        screen = dashboard(pilot)
        await pilot.click("#grid", offset=(5, 4))
        await settle(pilot)
        assert screen.grid.row.cells[0].text == "web-3"
        await pilot.click("#tabs", offset=(20, 0))
        await settle(pilot)
        assert screen.places.view.name == "ports"

    show(crowd(30), scene)


def test_everything_is_reachable_at_80x24(host: Callable[[str], Host]) -> None:
    for digit in "234567":
        assert play(host("docker28.5-nft-full"), digit, "j", "enter", size=(80, 24))["view"] is not None
    seen = play(crowd(30), "j", "4", "a", size=(80, 24))
    assert seen["shown"] == 2


def test_ten_thousand_rules_are_filtered_and_sorted_in_steps() -> None:
    seen = play(crowd(3, 5_000, 10_000), "4", "slash", *"chain:EXTRA !--dport", "enter")
    assert seen["shown"] == 0
    seen = play(crowd(3, 5_000, 10_000), "4", "slash", *"chain:EXTRA accept", "enter")
    assert seen["shown"] == 10_000 - 3
    ports = play(crowd(3, 5_000, 10), "2", "s", "S")
    assert ports["order"][0] == "34999"
