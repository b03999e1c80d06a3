"""The dialogs that change something, on a fake of what changes: form, plan, question, steps, proof, failure, undo."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.events import Paste

from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Failure, Host
from netdash.publish.request import Mode, Request
from netdash.publish.statement import Kind, say
from netdash.publish.undo import Pending
from netdash.tui.dialog import Stage
from netdash.tui.host_view import HostView
from netdash.tui.publishing import Publish
from netdash.view.changes import plain as lines
from tests.publish.test_state import CHANGE
from tests.support.publish_stage import DETAILS, SIZES, Fake, agree, dialog, journal, own, until
from tests.support.show_hosts import hostile
from tests.support.tui_stage import dashboard, press, settle, show, text
from tests.tui.test_screen import compare

# --- P ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_from_the_form_to_the_proof(su1: Host, size: tuple[int, int]) -> None:
    fake = Fake()
    seen: list[str] = []

    async def scene(pilot, app):
        await press(pilot, "P")
        seen.append(text(app))
        await press(pilot, "enter")
        assert fake.acted == []
        assert "Do it?" in text(app)
        await agree(pilot, app)
        seen.append(text(app))
        await press(pilot, "escape")
        assert app.screen is dashboard(pilot)
        assert app.feed.refreshed == 1

    show(su1, scene, size, changes=fake)
    compare(f"publish-{size[0]}x{size[1]}", seen[0])
    compare(f"published-{size[0]}x{size[1]}", seen[1])
    ((asked, made),) = fake.acted
    assert isinstance(asked, Request)
    assert (asked.mode, asked.seconds, asked.spec.bind) == (Mode.FORWARD, None, None)
    assert [(one.host_port, one.container_port) for one in made.ports] == [(8081, 80), (8081, 80)]


def test_the_plan_is_that_of_a_dry_run(su1: Host) -> None:
    async def scene(pilot, app):
        await press(pilot, "P")
        words = " ".join(text(app).split())
        for line in lines(dialog(app).draft.plan):
            assert " ".join(line.split()) in words

    show(su1, scene, (120, 50), changes=Fake())


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_made_anew(su1: Host, size: tuple[int, int]) -> None:
    fake = Fake()
    seen: list[str] = []

    async def scene(pilot, app):
        await press(pilot, "P", "up", "up", "right")
        seen.append(text(app))
        await press(pilot, "down", "right", "enter")
        await agree(pilot, app)
        assert "downtime: 14.2 s; planned: from its stop (killed after 10 s)" in text(app)

    show(su1, scene, size, changes=fake)
    compare(f"publish-recreate-{size[0]}x{size[1]}", seen[0])
    asked = fake.acted[0][0]
    assert isinstance(asked, Request)
    assert (asked.mode, asked.discard) == (Mode.RECREATE, True)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (("down", "ctrl+u", *"8080"), "is held by container trusting_shtern"),
        (("down", "ctrl+u", *"22"), "✗ tcp 0.0.0.0:22 is held by sshd pid 1021"),
        (("down", "ctrl+u", *"8999"), "free"),
        (("down", "ctrl+u"), "of netdash's choice"),
        (("ctrl+u", *"81"), "nothing listens on it now"),
        (("ctrl+u", *"8000-8002"), "8000-8002"),
        (("ctrl+u",), "which port of the container?"),
        (("ctrl+u", *"80-79"), "'80-79': a range runs upwards"),
        (("ctrl+u", *"8x0y"), "container port 80 "),
        (tuple("81"), "nothing listens on it now"),
        (("down", *"22"), "✗ tcp 0.0.0.0:22 is held by sshd pid 1021"),
        (("down", "up", "end", "1"), "container port 801 "),
        (("shift+tab", "shift+tab", " "), "the container restarts"),
        (tuple("5432"), "this host only, as 5432 is PostgreSQL's port"),
        (("down", "down", *"0.0.0.0", "up", "up", *"5432"), "from everywhere, and 5432 is PostgreSQL's port"),
        (("tab", "tab", *"192.0.2.7"), "✗ 192.0.2.7 is not an address of this host"),
        (("tab", "tab", "right"), "this host only"),
        (("up", *"5m5"), "'5m5' is not a duration"),
    ],
    ids=str,
)
def test_it_is_checked_while_one_types(su1: Host, keys: tuple[str, ...], said: str) -> None:
    async def scene(pilot, app):
        await press(pilot, "P", *keys)
        assert said in text(app)

    show(su1, scene, changes=Fake())


@pytest.mark.parametrize(
    ("pasted", "value"),
    [("8080", "8080"), ("  8080\r\n9090\n", "8080"), ("\x1b[31m80\x1b]0;x\x07\u202e", "[31m80]0;x"), ("\n", "80")],
)
def test_a_paste_is_one_value_without_escapes(su1: Host, pasted: str, value: str) -> None:
    async def scene(pilot, app):
        await press(pilot, "P")
        app.post_message(Paste(pasted))
        await settle(pilot)
        assert app.focused.text == value

    show(su1, scene, changes=Fake())


def test_tab_goes_from_field_to_field_and_selects(su1: Host) -> None:
    async def scene(pilot, app):
        await press(pilot, "P")
        seen = []
        for key in ("tab", "tab", "shift+tab", "shift+tab", "shift+tab", "tab"):
            await press(pilot, key)
            seen.append((app.focused.label, app.focused.whole))
        assert seen == [
            (label, True) for label in ("host port", "address", "host port", "container port", "for", "container port")
        ]

    show(su1, scene, changes=Fake())


def test_what_is_refused_is_not_asked_for(su1: Host) -> None:
    fake = Fake()

    async def scene(pilot, app):
        await press(pilot, "P", "down", "ctrl+u", *"22", "enter", "y")
        assert "refused: tcp 0.0.0.0:22 is held by sshd pid 1021" in text(app)
        assert dialog(app).stage is Stage.ASKING
        await press(pilot, "escape", "P", "ctrl+u", "enter", "y")
        assert dialog(app).stage is Stage.ASKING

    show(su1, scene, changes=fake)
    assert fake.acted == []


def test_nobody_is_forced_but_who_may_be(su1: Host) -> None:
    """A refusal that may be forced offers to; no other does."""
    fake = Fake(details=replace(DETAILS, dependents=(say(Kind.LINKED, container="trusting_shtern", user="db"),)))

    async def scene(pilot, app):
        await press(pilot, "P")
        assert "force" not in text(app)
        await press(pilot, "up", "up", "right")
        assert "--force does it all the same" in text(app)
        await press(pilot, "down", "down", "right", "enter")
        assert dialog(app).stage is Stage.SURE
        await press(pilot, "n")
        assert dialog(app).stage is Stage.ASKING

    show(su1, scene, changes=fake)


def test_a_port_that_is_taken_meanwhile_is_told(su1: Host) -> None:
    taken = replace(own(su1)[1], host_port=8081)

    async def scene(pilot, app):
        await press(pilot, "P")
        assert not dialog(app).draft.plan.refusals
        app.host_view = HostView(replace(su1, ports=(*su1.ports, taken)))
        await settle(pilot)
        assert "tcp 0.0.0.0:8081 is held by" in text(app)

    show(su1, scene, changes=Fake())


def test_steps_are_shown_as_they_happen_and_the_screen_goes_on(su1: Host) -> None:
    fake = Fake()
    fake.hold.clear()

    async def scene(pilot, app):
        await press(pilot, "P", "enter", "y")
        await until(pilot, lambda: "▸ /usr/sbin/docker-proxy at 0.0.0.0:8081/tcp" in text(app))
        app.screen._since -= 7
        app.screen._tick()
        assert " 7 s" in text(app)
        assert "1.5 of 9.0 MiB" in text(app)
        assert "connect to port" not in text(app)
        await press(pilot, "escape")
        assert "it is being done, and ends first" in text(app)
        await app.action_quit()
        assert app._exit is False
        assert "once more quits all the same" in text(app)
        fake.hold.set()
        await until(pilot, lambda: dialog(app).stage is Stage.OVER)
        assert "· connect to port 8081" in text(app)
        assert "✓ tcp 127.0.0.1:8081 answers" in text(app)

    show(su1, scene, changes=fake)


def test_a_failure_is_one_line(su1: Host) -> None:
    fake = Fake(error=NetdashError("taken back: tcp 127.0.0.1:8081 refused", "docker logs x", Exit.REFUSED))

    async def scene(pilot, app):
        await press(pilot, "P", "enter")
        await agree(pilot, app)
        assert "✗ taken back: tcp 127.0.0.1:8081 refused (docker logs x)" in text(app)
        assert "✓" not in text(app)

    show(su1, scene, changes=fake)


class Failing(Fake):
    """Fails in its second step, and takes everything back, as a container that is made anew does."""

    def act(self, asked, made, facts, tell, count):
        for told in (
            say(Kind.STOP, container="web"),
            say(Kind.CREATE, container="web-new"),
            say(Kind.FAILED_TAKES_BACK),
            say(Kind.TAKE_BACK, step=say(Kind.STOP, container="web")),
        ):
            tell(told)
        tell(say(Kind.TAKEN_BACK))
        raise NetdashError("taken back: no space left on device", code=Exit.REFUSED)


def test_the_step_that_failed_is_the_one_that_is_marked(su1: Host) -> None:
    async def scene(pilot, app):
        await press(pilot, "P", "enter")
        await agree(pilot, app)
        marked = [line.strip() for line in text(app).splitlines() if "✗" in line]
        assert marked == ["✗ create web-new", "✗ taken back: no space left on device"]
        assert "· take back: stop web" in text(app)

    show(su1, scene, changes=Failing())


def test_without_a_word_it_is_the_last_step_that_failed(su1: Host) -> None:
    async def scene(pilot, app):
        await press(pilot, "P", "enter")
        await agree(pilot, app)
        assert "✗ connect to port 8081 from this host" in text(app)
        assert "· /usr/sbin/docker-proxy" in text(app)

    show(su1, scene, changes=Fake(error=NetdashError("taken back: refused", code=Exit.REFUSED)))


def made_anew(host: Host, identity: str) -> Host:
    """The host after its first container was made anew: the old one is kept under another name."""
    first, *others = host.containers or ()
    old = replace(first, name=f"{first.name}.netdash-20260102-030405", state="exited")
    return replace(host, containers=(replace(first, id=identity), old, *others))


def test_the_cursor_ends_on_the_container_that_was_made_and_on_the_one_that_comes_back(su1: Host) -> None:
    old, new = (su1.containers or ())[0].id, "e" * 64
    change = replace(CHANGE, name=(su1.containers or ())[0].name, old_id=old)
    fake = Fake(Pending(journals=(replace(journal(99.0), change=change),)))

    async def scene(pilot, app):
        await press(pilot, "P", "up", "up", "right", "enter")
        await agree(pilot, app)
        await press(pilot, "escape")
        assert dashboard(pilot).panes.grid.row.ref.key == old  # the engine does not show another one yet
        app.host_view = HostView(made_anew(su1, new))
        await settle(pilot)
        assert dashboard(pilot).panes.grid.row.ref.key == new
        await press(pilot, "u")
        await agree(pilot, app)
        app.host_view = HostView(su1)
        await settle(pilot)
        await press(pilot, "escape")
        assert dashboard(pilot).panes.grid.row.ref.key == old

    show(su1, scene, changes=fake)


def test_who_has_moved_on_is_left_there(su1: Host) -> None:
    async def scene(pilot, app):
        await press(pilot, "P", "up", "up", "right", "enter")
        await agree(pilot, app)
        await press(pilot, "escape", "j")
        here = dashboard(pilot).panes.grid.row.ref
        app.host_view = HostView(made_anew(su1, "e" * 64))
        await settle(pilot)
        assert dashboard(pilot).panes.grid.row.ref == here

    show(su1, scene, changes=Fake())


def test_a_pause_ends_before_a_plan_is_made(su1: Host) -> None:
    taken = replace(own(su1)[1], host_port=8081)

    async def scene(pilot, app):
        await press(pilot, "p")
        app._publish(replace(su1, ports=(*(su1.ports or ()), taken)))
        await settle(pilot)
        await press(pilot, "P")
        assert app.screen.field("host_port").text == "8082"

    show(su1, scene, changes=Fake())


def test_an_engine_that_is_gone_is_not_asked(su1: Host) -> None:
    async def scene(pilot, app):
        await press(pilot, "P")
        assert "nothing is changed here: no engine: connection refused" in text(app)

    show(replace(su1, failures={"docker": Failure("docker", "connection refused")}), scene, changes=Fake())


def test_the_container_of_a_port_and_of_a_proxy(su1: Host) -> None:
    async def scene(pilot, app):
        await press(pilot, "2", "/", *"8080", "enter", "P")
        assert isinstance(app.screen, Publish)
        assert app.screen.container.name == "trusting_shtern"
        await press(pilot, "escape", "escape", "6", "P")
        assert isinstance(app.screen, Publish)
        await press(pilot, "escape", "7", "/", *"kind:loopback", "enter", "P")
        assert app.screen is dashboard(pilot)
        assert "belongs to no container" in text(app)

    show(su1, scene, changes=Fake())


def test_what_only_the_engine_knows_is_asked_once(su1: Host) -> None:
    fake = Fake()

    async def scene(pilot, app):
        await press(pilot, "P", "down", "ctrl+u", *"8999", "up", "up", "up", "right", "left", "right")

    show(su1, scene, changes=fake)
    assert [asked.mode for asked in fake.surveyed if isinstance(asked, Request)] == [Mode.FORWARD, Mode.RECREATE]


def test_an_engine_that_cannot_be_changed_refuses(su1: Host) -> None:
    async def scene(pilot, app):
        await press(pilot, "P")
        assert "refused: the engine on tcp://box is not on a socket of this machine" in text(app)

    message = "the engine on tcp://box is not on a socket of this machine"
    show(su1, scene, changes=Fake(unable=say(Kind.ENGINE_ERROR, message=message, hint="")))


@pytest.mark.parametrize("size", [(60, 15), (80, 24)], ids=str)
def test_hostile_names_and_a_small_screen(size: tuple[int, int]) -> None:
    bad = replace(hostile(), live=True)

    async def scene(pilot, app):
        await press(pilot, "P", "down", "down", "right", "enter", "escape", "R", "right", "enter")
        assert "\x1b" not in text(app)
        assert all(len(line) <= size[0] for line in text(app).splitlines())

    show(bad, scene, size, changes=Fake())
