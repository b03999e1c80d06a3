"""The dialogs R, u and recovery, on a fake of what changes: a new container, taking back, what was interrupted."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from textual.events import Key

from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Failure, Host
from netdash.publish.journal import Forward, Opened
from netdash.publish.request import NewContainer
from netdash.publish.undo import Choice, Pending, Unreadable
from netdash.tui.dialog import Stage
from netdash.tui.host_view import HostView
from netdash.tui.publishing import Publish, Run
from netdash.tui.undo import Recover, Undo
from tests.publish.test_state import RECORD
from tests.support.publish_stage import Fake, agree, journal, own, until
from tests.support.tui_stage import dashboard, press, settle, show, text
from tests.tui.test_screen import compare

# --- R ----------------------------------------------------------------------------------------------------------------


def test_a_new_container(su1: Host) -> None:
    fake = Fake()
    seen: list[str] = []

    async def scene(pilot, app):
        await press(pilot, "R")
        assert isinstance(app.screen, Run)
        assert "which image?" in text(app)
        await press(pilot, *"nginx", "tab", *"front", "tab", *"8088:80 127.0.0.1:8089:443")
        seen.append(text(app))
        await press(pilot, "enter")
        await agree(pilot, app)

    show(su1, scene, (80, 24), changes=fake)
    compare("run-80x24", seen[0])
    asked, made = fake.acted[0]
    assert isinstance(asked, NewContainer)
    assert (asked.image, asked.name) == ("nginx", "front")
    assert made.ports == (Opened("tcp", "", 8088, 80), Opened("tcp", "127.0.0.1", 8089, 443))


# --- u, recovery ------------------------------------------------------------------------------------------------------


def test_the_last_change_is_taken_back(su1: Host) -> None:
    older = replace(RECORD, id="0-a", created=0.5)
    fake = Fake(Pending((older, RECORD)))

    async def scene(pilot, app):
        await press(pilot, "u")
        assert isinstance(app.screen, Undo)
        assert "end the forward of 0.0.0.0:8080/tcp, [::]:53/udp to web" in text(app)
        await press(pilot, "n")
        assert fake.taken == []
        await press(pilot, "u")
        await agree(pilot, app)
        assert "✓ taken back" in text(app)

    show(su1, scene, changes=fake)
    assert fake.taken == [RECORD]


def test_a_container_made_anew_says_what_it_loses(su1: Host) -> None:
    fake = Fake(Pending((RECORD,), (), (journal(99.0),)))

    async def scene(pilot, app):
        await press(pilot, "u")
        assert "remove the new one: what it wrote outside its volumes is lost" in text(app)
        assert "rename web.netdash-1 to web" in text(app)
        await agree(pilot, app)
        assert "✓ taken back; it was down for at most 2.0 s" in text(app)

    show(su1, scene, changes=fake)


def test_nothing_to_take_back_and_an_error(su1: Host) -> None:
    async def scene(pilot, app):
        await press(pilot, "u")
        assert "there is nothing to take back" in text(app)
        await press(pilot, "y", "enter")
        assert app.screen is dashboard(pilot)

    show(su1, scene, changes=Fake())

    async def failing(pilot, app):
        await press(pilot, "u")
        await agree(pilot, app)
        assert "✗ process 5, which keeps the port, does not end" in text(app)

    stuck = NetdashError("process 5, which keeps the port, does not end", "", Exit.REFUSED)
    show(su1, failing, changes=Fake(Pending((RECORD,)), stuck))


def test_a_forward_of_netdash_says_so_until_when_and_is_ended_there(su1: Host) -> None:
    shown, port = own(su1)
    mine = replace(
        RECORD, id="2-b", container_id=port.container_id or "", ports=(Opened("tcp", "0.0.0.0", 9000, 80),), until=None
    )
    later = replace(RECORD, id="3-c", created=99.0)
    fake = Fake(Pending((mine, later)))

    async def scene(pilot, app):
        await press(pilot, "2", "/", *"9000", "enter")
        assert "netdash unpublish trusting_shtern 9000 ends it" in text(app)
        assert "it lasts until it is ended" in text(app)
        fake.found = Pending((replace(mine, until=(shown.taken or 0) + 90), later))
        app.host_view = HostView(replace(shown))
        await settle(pilot)
        assert "it ends by itself at " in text(app)
        await press(pilot, "u")
        assert "end the forward of 0.0.0.0:9000/tcp to web" in text(app)
        await agree(pilot, app)

    show(shown, scene, changes=fake)
    assert [one.id for one in fake.taken if isinstance(one, Forward)] == ["2-b"]


def test_a_proxy_of_netdash_is_ended_too(su1: Host) -> None:
    shown, port = own(su1)
    opened = (Opened("tcp", "0.0.0.0", 9000, 80),)
    mine = replace(RECORD, id="2-b", container_id=port.container_id or "", ports=opened, created=0.1)
    fake = Fake(Pending((mine, RECORD)))

    async def scene(pilot, app):
        await press(pilot, "6", "/", *"4242", "enter")
        assert "netdash unpublish trusting_shtern 9000 ends it" in text(app)
        await press(pilot, "u")
        await agree(pilot, app)

    show(shown, scene, changes=fake)
    assert fake.taken == [mine]


def test_a_forward_of_another_user_is_not_taken_for_the_last_one(su1: Host) -> None:
    shown, _ = own(su1)
    fake = Fake(Pending((RECORD,)))

    async def scene(pilot, app):
        await press(pilot, "2", "/", *"9000", "enter", "u")
        assert "there is no record of it here" in text(app)
        await press(pilot, "y")

    show(shown, scene, changes=fake)
    assert fake.taken == []


@pytest.mark.parametrize(("key", "choice"), [("f", Choice.FINISH), ("r", Choice.ROLLBACK), ("x", Choice.FORGET)])
def test_what_was_interrupted_is_offered_at_the_start(su1: Host, key: str, choice: Choice) -> None:
    fake = Fake(Pending((), (), (journal(1.0, None),)))

    async def scene(pilot, app):
        await until(pilot, lambda: isinstance(app.screen, Recover) and app.screen.stage is Stage.SURE)
        assert "interrupted after 0 of 4 steps" in text(app)
        assert "now: web.netdash-1 (ffffffffffff) is exited, the old one" in text(app)
        await press(pilot, "y", key, "e", "n")
        assert fake.recovered == []
        await press(pilot, key)
        await agree(pilot, app)
        assert "· start web" in text(app)
        await press(pilot, "escape")
        assert "unfinished" not in text(app)

    show(su1, scene, changes=fake)
    assert fake.recovered == [choice]


def test_keys_before_the_question_is_painted_are_no_answer(su1: Host) -> None:
    fake = Fake(Pending((), (), (journal(1.0, None),)))

    async def scene(pilot, app):
        await until(pilot, lambda: isinstance(app.screen, Recover) and app.screen.stage is Stage.SURE)
        for letter in ("r", "y"):
            early = Key(letter, letter)
            early.time = app.screen._painted - 0.001
            app.screen.box._forward_event(early)
            await settle(pilot)
        assert app.screen.choice is None
        await press(pilot, "escape")
        assert "1 unfinished :recover" in text(app).splitlines()[0]

    show(su1, scene, changes=fake)
    assert fake.recovered == []


def test_a_record_that_cannot_be_read_is_named_and_can_be_forgotten(su1: Host) -> None:
    damaged = Unreadable("1-a", "/state/journal/1-a.jsonl", "it is not a regular file")
    fake = Fake(Pending(journals=(journal(1.0, None),), unreadable=(damaged,)))

    async def scene(pilot, app):
        await until(pilot, lambda: isinstance(app.screen, Recover) and app.screen.stage is Stage.SURE)
        await press(pilot, "tab")
        assert "/state/journal/1-a.jsonl cannot be read" in text(app)
        assert "now: web.netdash-1 is exited" in text(app)
        assert " f " not in text(app).splitlines()[-1]
        await press(pilot, "escape", "u")
        assert "/state/journal/1-a.jsonl cannot be read" in text(app)

    show(su1, scene, changes=fake)


def test_recovery_waits_for_the_engine(su1: Host) -> None:
    fake = Fake(Pending((), (), (journal(1.0, None),)))
    down = replace(su1, containers=None, failures={"docker": Failure("docker", "no such file")})

    async def scene(pilot, app):
        await asyncio.sleep(0.05)
        assert app.screen is dashboard(pilot)
        app.host_view = HostView(su1)
        await until(pilot, lambda: isinstance(app.screen, Recover))

    show(down, scene, changes=fake)


def test_the_command_line_and_the_palette_know_them(su1: Host) -> None:
    from netdash.tui.palette import Commands

    async def scene(pilot, app):
        for word, screen in (("publish", Publish), ("run", Run), ("undo", Undo), ("recover", Recover)):
            await press(pilot, ":", *word, "enter")
            assert isinstance(app.screen, screen)
            await press(pilot, "escape")
        titles = [title for title, _, _ in Commands(dashboard(pilot))._offers()]
        assert {"Publish…", "Run…", "Undo", "Recover"} <= set(titles)

    show(su1, scene, changes=Fake())
