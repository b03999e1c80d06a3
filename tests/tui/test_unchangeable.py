"""Where nothing may be changed: the keys are off, and say why."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from netdash.model.host import Failure, Host
from netdash.publish.undo import Pending
from netdash.tui.config import Options
from netdash.tui.publishing import Publish
from tests.conftest import ROOT
from tests.publish.test_state import RECORD
from tests.support.publish_stage import Fake
from tests.support.tui_stage import dashboard, press, show, text


@pytest.mark.parametrize(
    ("changed", "options", "changes", "why"),
    [
        ({}, Options(theme="netdash", read_only=True), Fake(Pending((), (RECORD,))), "read-only"),
        ({"live": False}, Options(theme="netdash"), None, "a recording cannot be changed"),
        ({}, Options(theme="netdash"), None, "only this machine's own engine"),
        (
            {"containers": None, "failures": {"docker": Failure("docker", "permission denied")}},
            Options(theme="netdash"),
            Fake(),
            "no engine: permission denied",
        ),
    ],
    ids=["read-only", "recording", "remote", "no-engine"],
)
def test_why_nothing_is_changed(
    su1: Host, changed: dict[str, Any], options: Options, changes: Fake | None, why: str
) -> None:
    async def scene(pilot, app):
        await asyncio.sleep(0.02)
        assert app.screen is dashboard(pilot)
        assert ("read-only" in text(app).splitlines()[0]) == options.read_only
        assert " P publish" not in text(app)
        for key in ("P", "R", "u"):
            await press(pilot, key)
            assert app.screen is dashboard(pilot)
            assert f"nothing is changed here: {why}" in text(app)
        await press(pilot, "?", "G")
        assert f"off: {why}" in text(app)

    show(replace(su1, **changed), scene, (120, 60), options, changes)


def test_the_help_names_the_keys_where_they_work(su1: Host) -> None:
    async def scene(pilot, app):
        assert " P publish" in text(app)
        await press(pilot, "?", "G")
        assert "publish a port of this container" in text(app)
        assert ":recover       finish, roll back or forget what was" in text(app)
        assert "off:" not in text(app)

    show(su1, scene, (120, 60), changes=Fake())


def test_of_several_hosts_only_this_machine_is_changed(su1: Host) -> None:
    async def scene(pilot, app):
        app.fleet = SimpleNamespace(chosen="box", states=lambda: ())
        await press(pilot, "P")
        assert "only this machine's own engine" in text(app)
        app.fleet = SimpleNamespace(chosen="local", states=lambda: ())
        await press(pilot, "P")
        assert isinstance(app.screen, Publish)

    show(su1, scene, changes=Fake())


def test_the_first_paint_waits_for_none_of_it() -> None:
    program = (
        "import sys, netdash.tui.app, netdash.cli.feeds; netdash.cli.feeds.LocalChanges(None);"
        "print([name for name in sys.modules if name.startswith(('netdash.apply', 'netdash.publish'))"
        " or name in ('netdash.tui.dialog', 'netdash.tui.form', 'netdash.tui.changing')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"
