"""The feed of several hosts: each by itself, one on screen, a lost one marked with its age."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from netdash.bundle.recording import Recording
from netdash.cli.feeds import FleetFeed
from netdash.model.host import Failure, Host
from netdash.model.source import SOURCES
from netdash.tui.interfaces import Fleet

PATIENCE = 10  # seconds


class Puppet:
    """A reader that publishes what the test hands it."""

    def __init__(self) -> None:
        self.publish: Callable[[Recording], None] = lambda _: None
        self.refreshed = 0
        self.stopped = False

    def start(self, publish: Callable[[Recording], None]) -> None:
        self.publish = publish

    def refresh(self) -> None:
        self.refreshed += 1

    def stop(self) -> None:
        self.stopped = True

    def answer(self, name: str) -> None:
        self.publish(
            Recording(answers={"docker/containers.json": [], "ip/route4.json": "[]"}, hostname=name, live=True)
        )

    def fail(self, name: str) -> None:
        failures = {source: Failure(source, "gone") for source in ("host", *SOURCES)}
        self.publish(Recording(answers={"docker/containers.json": []}, failures=failures, hostname=name, live=True))


class Screen:
    def __init__(self) -> None:
        self.seen: list[Host] = []
        self._news = threading.Condition()

    def __call__(self, host: Host) -> None:
        with self._news:
            self.seen.append(host)
            self._news.notify_all()

    def wait(self, condition: Callable[[Host], bool]) -> Host:
        with self._news:
            assert self._news.wait_for(lambda: bool(self.seen) and condition(self.seen[-1]), PATIENCE)
            return self.seen[-1]


def fleet() -> tuple[FleetFeed, Puppet, Puppet, Screen]:
    a, b, screen = Puppet(), Puppet(), Screen()
    feed = FleetFeed([("a", a), ("b", b)])
    feed.start(screen)
    return feed, a, b, screen


def test_the_first_is_shown_before_anything_is_known() -> None:
    feed, _, _, screen = fleet()
    assert isinstance(feed, Fleet)
    host = screen.wait(lambda host: host.name == "a")
    assert host.pending == frozenset(SOURCES)
    assert [(one.name, one.age, one.lost, one.reading) for one in feed.states()] == [
        ("a", None, False, True),
        ("b", None, False, True),
    ]
    feed.stop()


def test_only_the_chosen_one_is_published_and_the_others_are_kept() -> None:
    feed, a, b, screen = fleet()
    b.answer("bee")
    a.answer("ay")
    screen.wait(lambda host: host.name == "ay")
    assert "bee" not in {host.name for host in screen.seen}
    feed.look_at("b")
    assert feed.chosen == "b"
    assert screen.wait(lambda host: host.name == "bee").containers == ()
    count = len(screen.seen)
    a.answer("ay")
    b.answer("bee again")
    screen.wait(lambda host: host.name == "bee again")
    assert {host.name for host in screen.seen[count:]} == {"bee again"}
    feed.stop()


def test_a_lost_host_has_its_age_and_its_last_state() -> None:
    feed, a, b, screen = fleet()
    a.answer("ay")
    a.fail("ay")
    b.fail("b")
    screen.wait(lambda host: "host" in host.failures)
    one, other = feed.states()
    assert (one.lost, other.lost, other.age, other.reading) == (True, True, None, False)
    assert one.age is not None
    time.sleep(0.02)
    assert (feed.states()[0].age or 0) > one.age
    assert one.host.containers == ()
    feed.stop()


def test_a_screen_that_takes_its_time_holds_up_no_reader_and_no_choice() -> None:
    a, b, free = Puppet(), Puppet(), threading.Event()
    feed = FleetFeed([("a", a), ("b", b)])
    feed.start(lambda _: free.wait(PATIENCE))
    for _ in range(3):
        a.answer("ay")
        b.answer("bee")
        feed.look_at("b")
        assert feed.states()[1].host.name == "bee"
    free.set()
    feed.stop()


def test_refresh_and_stop_reach_every_host_once() -> None:
    feed, a, b, _ = fleet()
    feed.refresh()
    feed.stop()
    feed.stop()
    assert (a.refreshed, b.refreshed, a.stopped, b.stopped) == (1, 1, True, True)
    feed.look_at("nobody")
    assert feed.chosen == "a"
