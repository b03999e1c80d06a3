"""The dialogs that change something, on a fake of what changes: form, plan, question, steps, proof, failure, undo."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any

import pytest
from textual.events import Key
from textual.pilot import Pilot

from netdash.core.errors import Exit, NetdashError
from netdash.core.model import Failure, Holder, Host, Port, Proxy, Scope
from netdash.core.publish.checks import port_list
from netdash.core.publish.facts import Details, Facts
from netdash.core.publish.journal import Journal
from netdash.core.publish.pending import Choice, Pending, Taken, Unreadable
from netdash.core.publish.plan import Plan
from netdash.core.publish.preflight import Course, Damaged, Recovery, Seen, Shown, Way, finish, rollback, shown
from netdash.core.publish.progress import Failed, Note
from netdash.core.publish.proof import Proof
from netdash.core.publish.request import Mode, NewContainer, Request
from netdash.core.publish.state import Forward, Opened
from netdash.core.publish.text import lines
from netdash.tui.app import Netdash
from netdash.tui.config import Options
from netdash.tui.dialog import Dialog, Stage
from netdash.tui.publishing import Publish, Run
from netdash.tui.sheet import Sheet
from netdash.tui.taking_back import Recover, Undo
from tests.conftest import ROOT
from tests.show_hosts import hostile
from tests.test_publish_state import CHANGE, RECORD
from tests.test_tui_screen import compare
from tests.tui_stage import dashboard, press, settle, show, text

SIZES = [(80, 24), (120, 40)]
DETAILS = Details(changes=3, auto_remove=False, restart=("always", 0), health=False, stop_seconds=None)


SEEN = Seen(
    old=Shown(CHANGE.old_id, "web.netdash-1", "exited"),
    new=Shown("e" * 64, "web", "running"),
    holder=Shown("e" * 64, "web", "running"),
)


class Fake:
    """What changes the host, without a host. `hold`: the work waits in its middle until it is set."""

    def __init__(self, pending: Pending | None = None, error: NetdashError | None = None, **facts: Any) -> None:
        self.facts = Facts(program="/usr/sbin/docker-proxy", image_here=False, **{"details": DETAILS, **facts})
        self.found = pending or Pending()
        self.error = error
        self.hold = threading.Event()
        self.hold.set()
        self.surveyed: list[object] = []
        self.acted: list[tuple[Request | NewContainer, Plan]] = []
        self.taken: list[Taken] = []
        self.recovered: list[Choice] = []

    def survey(self, asked: Request | NewContainer, host: Host) -> Facts:
        self.surveyed.append(asked)
        return self.facts

    def act(self, asked, made, facts, tell, count):
        self.acted.append((asked, made))
        tell(made.steps[0])
        count("1.5 of 9.0 MiB")
        self.hold.wait(10)
        tell(made.steps[-1])
        if self.error:
            raise self.error
        return tuple(Proof(one.proto, "127.0.0.1", one.host_port, True, "answers") for one in made.ports[:1])

    def pending(self) -> Pending:
        return self.found

    def take_back(self, one: Taken, tell: Callable[[str], None]) -> None:
        if self.error:
            raise self.error
        self.taken.append(one)

    def course(self, one: Taken) -> Course:
        if isinstance(one, Forward):
            return Course(Way.PLANNED, (f"end the forward of {port_list(one.ports)} to {one.container}",))
        return rollback(one, SEEN)

    def recoveries(self) -> Sequence[Recovery | Damaged]:
        found = [Recovery(one, shown(one, SEEN), finish(one, SEEN), rollback(one, SEEN)) for one in self.found.journals]
        return (*found, *(Damaged(one, ("web.netdash-1 is exited",)) for one in self.found.unreadable))

    def recover(self, one: Taken | Unreadable, choice: Choice, tell: Callable[[str], None]) -> None:
        tell("start web")
        self.recovered.append(choice)
        self.found = Pending()


def dialog(app: Netdash) -> Any:
    assert isinstance(app.screen, Dialog)
    return app.screen


async def until(pilot: Pilot[int], seen: Callable[[], object]) -> None:
    for _ in range(5000):
        if seen():
            break
        await asyncio.sleep(0.001)
    assert seen()
    await settle(pilot)


async def agree(pilot: Pilot[int], app: Netdash, key: str = "y") -> None:
    await press(pilot, key)
    await until(pilot, lambda: dialog(app).stage is Stage.OVER)


@pytest.fixture
def su1(host: Callable[[str], Host]) -> Host:
    return replace(host("su1"), live=True)


def own(host: Host) -> tuple[Host, Port]:
    """The host with a port that netdash forwards itself."""
    container = (host.containers or ())[0]
    ip, target = ip_address("0.0.0.0"), ip_address("172.17.0.3")
    proxy = Proxy(4242, 1, "netdash-proxy", "netdash-proxy", "tcp", ip, 9000, target, 80)
    port = Port(
        proto="tcp",
        host_ip=ip,
        host_port=9000,
        container_port=80,
        target_ip=target,
        dnat=None,
        proxy=proxy,
        listening=True,
        listener="httpd",
        scope=Scope.ALL,
        container_id=container.id,
        holder=Holder("netdash", 4242, "netdash-proxy"),
    )
    return replace(host, ports=(*(host.ports or ()), port), proxies=(*(host.proxies or ()), proxy)), port


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
        (("ctrl+u", *"8x0y"), "container port 80▏"),
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
    fake = Fake(details=replace(DETAILS, dependents=("db is linked to trusting_shtern",)))

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
        app.sheet = Sheet(replace(su1, ports=(*su1.ports, taken)))
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
            "stop web",
            "create web-new",
            Failed("it failed: everything is taken back"),
            "take back: stop web",
        ):
            tell(told)
        tell(Note("it is taken back"))
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
        assert dashboard(pilot).grid.row.ref.key == old  # the engine does not show another one yet
        app.sheet = Sheet(made_anew(su1, new))
        await settle(pilot)
        assert dashboard(pilot).grid.row.ref.key == new
        await press(pilot, "u")
        await agree(pilot, app)
        app.sheet = Sheet(su1)
        await settle(pilot)
        await press(pilot, "escape")
        assert dashboard(pilot).grid.row.ref.key == old

    show(su1, scene, changes=fake)


def test_who_has_moved_on_is_left_there(su1: Host) -> None:
    async def scene(pilot, app):
        await press(pilot, "P", "up", "up", "right", "enter")
        await agree(pilot, app)
        await press(pilot, "escape", "j")
        here = dashboard(pilot).grid.row.ref
        app.sheet = Sheet(made_anew(su1, "e" * 64))
        await settle(pilot)
        assert dashboard(pilot).grid.row.ref == here

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

    show(su1, scene, changes=Fake(unable="the engine on tcp://box is not on a socket of this machine"))


@pytest.mark.parametrize("size", [(60, 15), (80, 24)], ids=str)
def test_hostile_names_and_a_small_screen(size: tuple[int, int]) -> None:
    bad = replace(hostile(), live=True)

    async def scene(pilot, app):
        await press(pilot, "P", "down", "down", "right", "enter", "escape", "R", "right", "enter")
        assert "\x1b" not in text(app)
        assert all(len(line) <= size[0] for line in text(app).splitlines())

    show(bad, scene, size, changes=Fake())


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

    show(su1, scene, changes=fake)


def journal(created: float, settled: float | None = 100.0) -> Journal:
    return Journal(replace(CHANGE, created=created), settled=settled)


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
        app.sheet = Sheet(replace(shown))
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
        app.sheet = Sheet(su1)
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


# --- where nothing may be changed -------------------------------------------------------------------------------------


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
        assert ":recover       finish, roll back or forget what was interrupted" in text(app)
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
        "import sys, netdash.tui.app, netdash.changes; netdash.changes.LocalChanges(None);"
        "print([name for name in sys.modules if name.startswith(('netdash.apply', 'netdash.core.publish'))"
        " or name in ('netdash.tui.dialog', 'netdash.tui.form', 'netdash.tui.changing')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"
