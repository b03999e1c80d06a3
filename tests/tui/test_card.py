"""The card under the list: its questions are chosen, walked and copied, and its cursor stays on what it stood on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from netdash.model.finding import health_of
from netdash.model.host import Host
from netdash.tui.app import Netdash
from netdash.tui.host_view import HostView
from netdash.tui.popup import Popup
from netdash.tui.trace_view import Walk
from netdash.view.card import card
from tests.support.tui_stage import dashboard, press, settle, show, text
from tests.tui.test_screen import compare

BROKEN = "docker-user-host-port"


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", [BROKEN, "app-on-loopback", "forward-drop-ahead"])
def test_broken_as_drawn(examined: Callable[[str], Host], name: str, width: int) -> None:
    given = examined(name)
    (container,) = given.containers or ()
    drawn = card(given, container, width, on_screen=True)
    compare(f"card-{name}-{width}", "".join("".join(span.text for span in line).rstrip() + "\n" for line in drawn))


def path(app: Netdash) -> str:
    return next(line for line in text(app).splitlines() if line.startswith(" PATH"))


def test_the_question_under_the_cursor_is_drawn(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        assert "✗ filter/DOCKER-USER #2" in path(app), "the broken one is drawn first"
        await press(pilot, "tab", "j")
        assert "▌      outside → [2001:db8:113::2]:8080" in text(app)
        assert "docker-proxy pid 22269" in path(app)
        await press(pilot, "k")
        assert "✗ filter/DOCKER-USER #2" in path(app)

    show(host(BROKEN), scene, (120, 40))


def test_enter_walks_it_and_enter_there_goes_to_the_rule(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "tab", "j", "enter")
        assert isinstance(app.screen, Walk)
        assert app.screen.questions.usual[app.screen.questions.cursor].text == "outside → [2001:db8:113::2]:8080"
        await press(pilot, "g", "enter", "enter")
        assert dashboard(pilot).panes.places.view.name == "rules"

    show(host(BROKEN), scene, (80, 24))


def test_y_copies_what_mends_it(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "tab", "y")
        assert isinstance(app.screen, Popup)
        assert app.screen.menu.offers[0][1].startswith("iptables -R DOCKER-USER 1 ")

    show(host(BROKEN), scene, (80, 24))


def test_the_cursor_stays_on_what_it_stood_on_when_lines_come_above(host: Callable[[str], Host]) -> None:
    """The cause comes when the host has been examined, and it leads somewhere too."""
    given = host(BROKEN)

    async def scene(pilot, app):
        await press(pilot, "tab", "j")
        here = dashboard(pilot).panes.card.target
        newer = replace(given, taken=5.0)
        app.host_view = HostView(newer)
        await settle(pilot)
        assert health_of(newer) is None
        assert "drops what comes for port" not in text(app).split("PATH")[0].split("▌● web")[1].split("\n", 2)[2]
        assert dashboard(pilot).panes.card.target == here

    show(given, scene, (120, 40))


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("outside :8080", "✗ dropped  filter/DOCKER-USER #2"),
        ("this host → 127.0.0.1:8080", "✓ ok"),
        ("web 192.0.2.10:53/udp", "✓ ok"),
        ("web 1.1.1.1/icmp", "✓ ok"),
    ],
)
def test_another_packet_is_typed(host: Callable[[str], Host], typed: str, told: str) -> None:
    async def scene(pilot, app):
        await press(pilot, "t", "t")
        app.screen.prompt.put(typed)
        await press(pilot, "enter")
        walk = app.screen
        assert walk.questions.cursor == 0
        assert walk.answer is not None
        first = text(app).splitlines()[1]
        assert told in first, first

    show(host(BROKEN), scene, (120, 40))


def test_what_is_no_packet_is_told_and_may_be_mended(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "t", "t", *"web", "enter")
        assert "a packet has a sender and a receiver" in text(app)
        await press(pilot, "escape")
        assert isinstance(app.screen, Walk)
        assert app.screen.focused is app.screen.questions

    show(host(BROKEN), scene, (80, 24))


def test_of_a_thing_without_packets_one_is_typed(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "/", *"c-exited", "enter", "t")
        assert isinstance(app.screen, Walk)
        assert "belongs to no running container" in text(app)
        app.screen.prompt.put("outside :8080")
        await press(pilot, "enter")
        assert app.screen.answer is not None

    show(host("docker28.5-nft-full"), scene, (80, 24))
