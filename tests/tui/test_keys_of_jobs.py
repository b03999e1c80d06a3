"""How many keys the usual questions take, as one counts who has just opened the dashboard."""

from __future__ import annotations

import pytest

import netdash.doctor.examine
from netdash.model.host import Host
from netdash.publish.undo import Pending
from tests.publish.test_state import RECORD
from tests.support.fleets import fleet, health
from tests.support.publish_stage import Fake, until
from tests.support.tui_stage import dashboard, press, settle, show, text

JOBS = {
    "why does 8080 not answer": (2, ("0",), ("filter/DOCKER-USER #1", "iptables-legacy -D DOCKER-USER")),
    "the same in the list": (2, ("s", "g"), ("▌● web", "drops what meets -d 172.17.0.2/32")),
    "who can reach this one": (2, ("w",), ("who reaches web", "outside")),
    "its way out": (1, (), ("web → Internet", "the answer is dropped by filter/DOCKER-USER #1")),
    "which rule decides": (3, ("4",), ("cuts off web", "▌✗ filter  DOCKER-USER")),
    "trace between two": (4, ("space", "j", "space", "t"), ("web → job0 ", "172.17.1.1")),
}


@pytest.mark.parametrize("job", JOBS)
def test_a_question_takes_few_keys(monkeypatch: pytest.MonkeyPatch, job: str) -> None:
    most, keys, words = JOBS[job]
    monkeypatch.setattr(netdash.doctor.examine, "examine", lambda _: health(30, True))

    async def scene(pilot, app):
        await press(pilot, "j", *keys)  # web is the second
        for word in words:
            assert word in text(app)

    assert len(keys) <= most
    show(fleet(30, True), scene, (120, 40))


@pytest.mark.parametrize("wanted", ["web", "job1", "job5", "job53"])
def test_one_of_many_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    """The row of that very name, also where it is the start of many others."""
    monkeypatch.setattr(netdash.doctor.examine, "examine", lambda _: health(60))

    async def scene(pilot, app):
        await press(pilot, "G", "/", *wanted, "enter")
        row = dashboard(pilot).panes.grid.row
        assert row.cells[0].text == wanted
        await press(pilot, "escape")
        assert dashboard(pilot).panes.grid.row.ref == row.ref

    show(fleet(60), scene)


def test_typing_leaves_the_cursor_where_it_is_as_good() -> None:
    async def scene(pilot, app):
        await press(pilot, "G", "/", *"jo")
        assert dashboard(pilot).panes.grid.row.cells[0].text == "job23"

    show(fleet(26), scene)


def test_a_port_is_published_and_taken_back(su1: Host) -> None:
    fake = Fake(Pending((RECORD,)))

    async def scene(pilot, app):
        await press(pilot, *(published := ("P", "enter", "y")))
        await until(pilot, lambda: bool(fake.acted))
        await settle(pilot)
        assert len(published) <= 6
        await press(pilot, "escape")
        await press(pilot, *(undone := ("u", "y")))
        await until(pilot, lambda: bool(fake.taken))
        assert len(undone) <= 2

    show(su1, scene, (120, 40), changes=fake)
