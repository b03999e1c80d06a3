"""Several hosts on screen: the list of them, the change to another, the containers of all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest
from textual.pilot import Pilot

from netdash.model.host import Failure, Host
from netdash.model.kernel_state import Watched
from netdash.model.source import SOURCES
from netdash.tui.app import Netdash
from netdash.tui.config import Options
from netdash.tui.hosts_view import short_names
from netdash.tui.interfaces import HostState, Publish
from tests.support.fleets import fleet
from tests.support.tui_hosts import container, crowd
from tests.support.tui_stage import dashboard, press, settle, text

LOST = {source: Failure(source, "No route to host", "is it up?") for source in ("host", *SOURCES)}


def named(host: Host, name: str) -> Host:
    return replace(host, name=name)


def bare(name: str, **changes: object) -> Host:
    """A host of which nothing is known."""
    known = "engine containers networks links routes policy neighbours ruleset proxies listeners ports sysctls"
    nothing = dict.fromkeys((*known.split(), "privileged"))
    return replace(crowd(0), name=name, **{**nothing, **changes})  # type: ignore[arg-type]


class Troupe:
    """A fleet whose hosts the test decides on."""

    live = True

    def __init__(self, *states: HostState) -> None:
        self.all = list(states)
        self.chosen = states[0].name

    def start(self, publish: Publish) -> None:
        self.publish = publish
        self.look_at(self.chosen)

    def shown(self) -> None: ...

    def refresh(self) -> None: ...

    def watch(self, watched: Watched) -> None: ...

    def stop(self) -> None: ...

    def states(self) -> Sequence[HostState]:
        return self.all

    def there(self, command: str) -> str:
        return f"ssh {self.chosen} '{command}'"

    def look_at(self, name: str) -> None:
        self.chosen = name
        self.publish(next(one.host for one in self.all if one.name == name))


def stand_in() -> Troupe:
    other = replace(crowd(3), name="other", containers=(container(7, name="only-there"), *(crowd(3).containers or ())))
    return Troupe(
        HostState("root@one", named(crowd(2), "one"), 1.0),
        HostState("two", other, 2.0),
        HostState("dead", bare("dead", failures=LOST), None),
        HostState("gone", replace(crowd(1), name="gone", failures=LOST), 130.0),
        HostState("new", bare("new", pending=frozenset(SOURCES)), None),
    )


def play(scene: Callable[[Pilot[int], Netdash], Awaitable[None]], troupe: Troupe | None = None) -> Troupe:
    troupe = troupe or stand_in()
    app = Netdash(troupe, Options(theme="netdash"))

    async def run() -> None:
        async with app.run_test(size=(120, 40)) as pilot:
            await settle(pilot)
            await scene(pilot, app)

    asyncio.run(run())
    return troupe


def test_the_header_says_which_of_them_it_is() -> None:
    async def scene(pilot, app):
        assert text(app).splitlines()[0].startswith(" netdash  one 1/5  docker")
        assert "● live" in text(app).splitlines()[0]

    play(scene)


def test_the_list_says_what_is_known_of_each() -> None:
    async def scene(pilot, app):
        await press(pilot, "H")
        shown = text(app)
        rows = {line.split("│")[0].strip(" ▌") for line in shown.splitlines()}
        (one,) = [row for row in rows if "● root@one" in row]
        assert "docker 28.5.2  2 containers" in one
        (dead,) = [row for row in rows if "✗ dead" in row]
        assert "No route to host" in dead
        (gone,) = [row for row in rows if "✗ gone" in row]
        assert "1 container " in gone
        assert "gone 2 min · No route to host" in gone
        assert any("… new" in row and "reading…" in row for row in rows)

    play(scene)


def test_the_list_says_what_is_broken_on_each() -> None:
    """Worked out while one looks, one host after the other; nothing is said of one that is lost."""

    async def scene(pilot, app):
        await press(pilot, "H")
        assert "3 containers  …" in text(app)
        for _ in range(3):
            await until(lambda: not app.others._examiner.busy)
            app.screen.renew()
        await settle(pilot)
        shown = text(app)
        assert "3 containers  ✗2 " in shown
        assert "2 containers  ✓ " in shown
        (gone,) = [line for line in shown.splitlines() if "✗ gone" in line]
        assert "…" not in gone

    broken = replace(fleet(3, True), name="two")
    gone = HostState("gone", replace(crowd(1), name="gone", failures=LOST), 130.0)
    play(scene, Troupe(HostState("one", fleet(2), 1.0), HostState("two", broken, 2.0), gone))


async def until(done: Callable[[], bool]) -> None:
    for _ in range(3000):
        if done():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it takes too long")


def test_long_names_stay_different() -> None:
    names = ["root@db", *(f"root@node-{at}.cluster.west.production.example.internal:2222" for at in range(3))]
    names += [f"root@node.cluster.{at}.west.production.example.internal.net:2222" for at in ("a", "b")]
    short = short_names(names)
    assert len(set(short)) == len(names)
    assert short[0] == "root@db"
    assert max(map(len, short)) <= 61


def test_choosing_one_shows_it() -> None:
    async def scene(pilot, app):
        await press(pilot, "3", "H", "j", "enter")
        assert text(app).splitlines()[0].startswith(" netdash  other 2/5")
        assert dashboard(pilot).panes.places.view.name == "networks"
        await press(pilot, "1")
        assert "only-there" in text(app)

    assert play(scene).chosen == "two"


def test_a_lost_host_is_told_and_blocks_nothing() -> None:
    async def scene(pilot, app):
        await press(pilot, *":host dead", "enter")
        head = text(app).splitlines()[0]
        assert "dead 3/5" in head
        assert "No route to host" in head
        assert "✗ no answer" in head
        assert "is it up?" in text(app)
        await press(pilot, *":host gone", "enter")
        assert "✗ host gone 2" in text(app).splitlines()[0]
        assert "web-0" in text(app)
        assert text(app).count("No route to host") == 1
        await press(pilot, *":host new", "enter")
        assert "engine: reading…" in text(app).splitlines()[0]
        await press(pilot, *":host one", "enter")
        assert "◦ reading" in text(app).splitlines()[0]

    play(scene)


def test_each_host_is_as_it_was_left() -> None:
    async def scene(pilot, app):
        await press(pilot, "j", *"/web", "enter", "H", "j", "enter")
        assert dashboard(pilot).panes.places.here.ask.text == ""
        await press(pilot, *":host root@one", "enter")
        screen = dashboard(pilot)
        assert screen.panes.places.here.ask.text == "web"
        assert screen.panes.grid.row.cells[0].text == "web-1"

    play(scene)


def test_containers_of_all_hosts_lead_to_their_host() -> None:
    async def scene(pilot, app):
        await press(pilot, "4", "E")
        shown = text(app)
        assert [line for line in shown.splitlines() if "only-there" in line and " two " in line.replace("▌", " ")]
        assert "dead" in shown
        await press(pilot, *"jj", "enter")
        screen = dashboard(pilot)
        assert screen.panes.places.view.name == "containers"
        assert screen.panes.grid.row.cells[0].text == "only-there"
        assert text(app).splitlines()[0].startswith(" netdash  other 2/5")
        await press(pilot, "4", "E", *"jjj", "enter")
        assert dashboard(pilot).panes.grid.row.cells[0].text == "web-0"

    assert play(scene).chosen == "two"


def test_a_lost_hosts_name_is_told_whole_beside_the_containers_of_others() -> None:
    async def scene(pilot, app):
        await press(pilot, "E")
        assert "deploy@far.example.net:2222" in text(app)

    lost = HostState("deploy@far.example.net:2222", bare("far", failures=LOST), None)
    play(scene, Troupe(HostState("a", named(crowd(2), "a"), 1.0), lost))


def test_the_list_is_kept_current_and_keeps_its_cursor() -> None:
    async def scene(pilot, app):
        await press(pilot, "H", "j")
        troupe = app.feed
        troupe.all.insert(0, HostState("first", named(crowd(9), "first"), 0.0))
        app.screen.renew()
        await settle(pilot)
        assert "9 containers" in text(app)
        await press(pilot, "enter")
        assert troupe.chosen == "two"

    play(scene)


def test_pausing_ends_with_the_host() -> None:
    async def scene(pilot, app):
        await press(pilot, "p", *":host two", "enter")
        assert "other 2/5" in text(app)
        assert not app.paused

    play(scene)


@pytest.mark.parametrize(("typed", "answer"), [("nobody", "no hosts are called nobody"), ("e", "hosts are called e")])
def test_a_name_that_is_not_one_host_says_so(typed: str, answer: str) -> None:
    async def scene(pilot, app):
        await press(pilot, *f":host {typed}", "enter")
        assert answer in text(app)

    assert play(scene).chosen == "root@one"


def test_the_palette_and_the_help_know_of_hosts() -> None:
    async def scene(pilot, app):
        await press(pilot, "?")
        assert "containers of all hosts" in text(app)

    play(scene)


def test_names_and_errors_of_hosts_are_made_safe() -> None:
    evil = "\x1b[31mhost\x1b]0;x\x07"
    lost = {**LOST, "host": Failure("host", evil, evil)}

    async def scene(pilot, app):
        for keys in ("H", "E"):
            await press(pilot, keys)
            assert "\\x1b" in text(app)
            assert "\x1b" not in text(app)
            await press(pilot, "escape")

    play(scene, Troupe(HostState(evil, bare(evil, failures=lost), None), HostState("b", named(crowd(1), evil), 0.0)))
