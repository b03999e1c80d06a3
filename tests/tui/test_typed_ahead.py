"""Keys that are typed before there is anything on screen wait, and act on what comes."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from textual.events import Key
from textual.pilot import Pilot

from netdash.model.host import Host
from tests.support.tui_hosts import crowd
from tests.support.tui_stage import dashboard, settle, show, text


def typed(pilot: Pilot[int], *keys: str) -> None:
    for key in keys:
        pilot.app.typed(Key({"/": "slash"}.get(key, key), key if len(key) == 1 else None))  # type: ignore[attr-defined]


async def typed_out(pilot: Pilot[int]) -> None:
    while pilot.app._keys or not pilot.app._typing.done():  # type: ignore[attr-defined]
        await asyncio.sleep(0.001)
    await settle(pilot)


def test_keys_wait_for_the_first_host() -> None:
    async def scene(pilot, app):
        typed(pilot, "j", "j", "/", "w", "e", "b", "enter", "j")
        await asyncio.sleep(0.05)
        app.feed.publish(crowd(9))
        await typed_out(pilot)
        assert dashboard(pilot).panes.grid.row.cells[0].text == "web-3"
        assert "/web 9 of 9" in text(app)

    show(None, scene)


@pytest.mark.parametrize("source", ["docker", "rules"])
def test_keys_wait_for_what_the_view_lists(source: str) -> None:
    whole = crowd(9)
    gone = {"containers": None} if source == "docker" else {"ruleset": None}
    reading: Host = replace(whole, pending=frozenset({source}), **gone)  # type: ignore[arg-type]

    async def scene(pilot, app):
        typed(pilot, *(["4"] if source == "rules" else []), "j")
        await asyncio.sleep(0.05)
        app.feed.publish(whole)
        await typed_out(pilot)
        assert dashboard(pilot).panes.grid.cursor == 1

    show(reading, scene)


def test_keys_wait_no_longer_than_a_few_seconds_for_an_engine_that_does_not_answer() -> None:
    async def scene(pilot, app):
        app._impatient = time.monotonic() + 0.02
        typed(pilot, "4")
        await typed_out(pilot)
        assert dashboard(pilot).panes.places.view.name == "rules"

    show(replace(crowd(2), containers=None, pending=frozenset({"docker", "rules"})), scene)


def test_what_a_key_did_is_painted_before_other_threads_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(pilot, app):
        screen = app.screen
        monkeypatch.setattr(screen._update_timer, "resume", lambda: None)  # no frame comes
        painted: list[bool] = []
        monkeypatch.setattr(app.turn, "end", lambda: painted.append(not screen._dirty_widgets))
        typed(pilot, "j")
        while app._keys or not app._typing.done():
            await asyncio.sleep(0.001)
        assert painted == [True]

    show(crowd(9), scene)


def test_quitting_does_not_wait() -> None:
    async def scene(pilot, app):
        typed(pilot, "j", "ctrl+c")
        await asyncio.sleep(0.05)

    assert show(None, scene).return_value == 0


def test_what_is_typed_while_netdash_starts_is_carried_out() -> None:
    """The terminal is in line mode then: Enter comes as a line feed."""
    master, terminal = pty.openpty()
    os.write(master, b"/volhard\r:rules\r")
    argv = [sys.executable, "-m", "netdash", "demo"]
    env = {**os.environ, "TERM": "xterm-256color"}
    root = Path(__file__).parents[2]
    with subprocess.Popen(argv, stdin=terminal, stdout=terminal, stderr=terminal, cwd=root, env=env) as process:
        os.close(terminal)
        try:
            seen = b""
            while b"4 Rules]" not in seen:
                assert select.select([master], [], [], 20)[0], "the keys were lost"
                seen += os.read(master, 65536)
        finally:
            process.kill()
            os.close(master)
