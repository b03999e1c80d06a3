"""Which form `P` opens, and what it offers as more of the host is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from netdash.model.host import Host
from netdash.tui.host_view import HostView
from tests.support.publish_stage import Fake, agree
from tests.support.tui_stage import dashboard, press, settle, show, text


def sharer(host: Host, **changed: Any) -> Host:
    """With another container, the first row, that uses the network of the first one."""
    first = (host.containers or ())[0]
    changes = {"network_mode": f"container:{first.id}", "shares_with": first.name, **changed}
    side = replace(first, id="5" * 64, name="side", endpoints=(), bindings=(), configured=(), **changes)
    return replace(host, containers=(side, *(host.containers or ())))


def test_of_one_that_uses_anothers_network_the_form_is_the_owners(su1: Host) -> None:
    fake = Fake()

    async def scene(pilot, app):
        await press(pilot, "P")
        assert "publish a port of trusting_shtern, whose network side uses" in text(app)
        assert app.screen.field("port").text == "80"
        await press(pilot, "enter")
        await agree(pilot, app)

    show(sharer(su1), scene, changes=fake)
    assert fake.acted[0][0].container_id == (su1.containers or ())[0].id


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"left_behind": True}, "side was left behind: its network namespace, with lo alone, is not that of"),
        ({"shares_with": None}, "side uses the network of "),
        ({"shares_with": None, "network_mode": "none"}, "side has no network"),
        ({"shares_with": None, "network_mode": "host"}, "side uses the host's network"),
        ({"shares_with": None, "network_mode": "bridge", "state": "exited"}, "side is exited, not running"),
    ],
    ids=str,
)
def test_where_nothing_can_be_published_a_line_says_why(su1: Host, changed: dict[str, Any], said: str) -> None:
    async def scene(pilot, app):
        await press(pilot, "P")
        assert app.screen is dashboard(pilot)
        assert said in text(app)

    show(sharer(su1, **changed), scene, changes=Fake())


def test_ports_that_were_read_since_the_form_opened_are_offered(su1: Host) -> None:
    first, *others = su1.containers or ()
    early = replace(su1, containers=(replace(first, listeners=None, exposed=()), *others), listeners=None, links=None)

    async def scene(pilot, app):
        await press(pilot, "P")
        assert (app.screen.field("port").text, app.screen.field("host_port").text) == ("", "")
        assert "which port of the container?" in text(app)
        app.host_view = HostView(su1)
        await settle(pilot)
        assert (app.screen.field("port").text, app.screen.field("host_port").text) == ("80", "8081")
        assert [offer.text for offer in app.screen.field("bind").offers][:2] == ["", "127.0.0.1"]
        assert "forward 8081 → trusting_shtern 80/tcp" in text(app)

    show(early, scene, changes=Fake())


def test_what_was_typed_meanwhile_stays(su1: Host) -> None:
    first, *others = su1.containers or ()
    early = replace(su1, containers=(replace(first, listeners=None, exposed=()), *others), listeners=None)

    async def scene(pilot, app):
        await press(pilot, "P", *"81", "down", *"9000")
        app.host_view = HostView(su1)
        await settle(pilot)
        assert (app.screen.field("port").text, app.screen.field("host_port").text) == ("81", "9000")
        await press(pilot, "ctrl+u")
        app.host_view = HostView(replace(su1))
        await settle(pilot)
        assert app.screen.field("host_port").text == ""

    show(early, scene, changes=Fake())
