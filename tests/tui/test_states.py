"""The whole screen in the states that one meets, with few and with many containers: one golden file a state, at three
sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

import netdash.doctor.examine
from netdash.model.finding import Health
from netdash.model.host import Failure, FailureKind, Host
from tests.support.fleets import fleet, health
from tests.support.tui_stage import press, settle, show, text
from tests.tui.test_screen import SIZES, _one_time_zone, compare

__all__ = ["_one_time_zone"]  # for every test here too

GONE = Failure("docker", "connection refused", "is dockerd running?", FailureKind.NO_ENGINE)


def picture(
    monkeypatch: pytest.MonkeyPatch, hosts: Sequence[Host], known: Health, keys: Sequence[str], size: tuple[int, int]
) -> str:
    """The screen after these hosts came one after the other, and these keys."""
    monkeypatch.setattr(netdash.doctor.examine, "examine", lambda _: known)
    seen: list[str] = []

    async def scene(pilot, app):
        for host in hosts[1:]:
            app.feed.publish(host)
            await settle(pilot)
        await press(pilot, *keys)
        seen.append(text(app))

    show(hosts[0], scene, size)
    return seen[0]


def states() -> dict[str, tuple[int, bool, bool]]:
    found = {f"healthy-{count}": (count, False, True) for count in (0, 3, 30, 300)}
    found |= {f"broken-{count}": (count, True, True) for count in (3, 30, 300)}
    return found | {f"no-root-{count}": (count, False, False) for count in (3, 30)}


@pytest.mark.parametrize("name", states())
def test_how_it_fares(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    what = states()[name]
    compare(f"state-{name}", "\n".join(picture(monkeypatch, [fleet(*what)], health(*what), (), size) for size in SIZES))


@pytest.mark.parametrize("count", [3, 30])
def test_the_engine_is_gone(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    host = fleet(count)
    later = replace(host, failures={"docker": GONE}, taken=(host.taken or 0.0) + 90)
    seen = [picture(monkeypatch, [host, later], health(count), (), size) for size in SIZES]
    compare(f"state-gone-{count}", "\n".join(seen))


@pytest.mark.parametrize("count", [3, 30])
def test_a_recording(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    host = replace(fleet(count, True), live=False)
    seen = [picture(monkeypatch, [host], health(count, True), (), size) for size in SIZES]
    compare(f"state-recording-{count}", "\n".join(seen))


def no_engine() -> Host:
    nothing = replace(fleet(0), containers=None, networks=None, engine=None)
    return replace(nothing, ports=None, drift=None, failures={"docker": GONE})


def slow() -> Host:
    return replace(fleet(3), ruleset=None, drift=None, pending=frozenset({"rules", "inside"}))


MORE: dict[str, tuple[Callable[[], Host], tuple[str, ...]]] = {
    "no-engine": (no_engine, ()),
    "filter-without-match": (lambda: fleet(30), ("slash", *"zebra", "enter")),
    "paused": (lambda: fleet(3), ("p",)),
    "slow-source": (slow, ()),
    "grouped": (lambda: fleet(30, True), ("z",)),
    "folded": (lambda: fleet(30, True), ("z", "g", "enter")),
    "worst-first": (lambda: fleet(30, True), ("s", "g")),
    "columns": (lambda: fleet(3), ("vertical_line",)),
}


@pytest.mark.parametrize("name", MORE)
def test_states_that_need_as_much_care(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    make, keys = MORE[name]
    host = make()
    count = len(host.containers or ())
    known = health(count, host is fleet(count, True)) if host.containers else Health((), {})
    compare(f"state-{name}", "\n".join(picture(monkeypatch, [host], known, keys, size) for size in SIZES))
