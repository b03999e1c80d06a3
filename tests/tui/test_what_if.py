"""Who would lose or win reach by a command, over the dashboard."""

from __future__ import annotations

from collections.abc import Callable

from netdash.model.host import Host
from netdash.tui.what_if_view import WhatIf
from tests.support.tui_stage import press, show, text


async def _typed(pilot, command: str) -> None:
    await press(pilot, "colon", *f"what-if {command}", "enter")


def test_the_difference_on_the_screen(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await _typed(pilot, "iptables -P FORWARD ACCEPT")
        assert isinstance(app.screen, WhatIf)
        await app.screen.work._task if app.screen.work.busy else None
        shown = text(app)
        assert "wins  outside  filter/FORWARD policy" in shown
        assert "web  203.0.113.2:8080/tcp" in shown
        await press(pilot, "escape")
        assert not isinstance(app.screen, WhatIf)

    show(host("accept-missing"), scene, (80, 24))


def test_what_is_not_understood_is_said_in_the_message_line(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await _typed(pilot, "reboot")
        assert not isinstance(app.screen, WhatIf)
        assert "what 'reboot' changes is not known" in text(app)

    show(host("accept-missing"), scene, (80, 24))
