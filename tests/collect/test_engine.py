"""The engine that answers, changes, dies and comes back, and all the ways in which it does not answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from netdash.collect.engine import EngineReader, Pace
from netdash.model.host import Failure
from tests.support.read_engines import FORBIDDEN, FakeEngine, container, running, until

LIMIT = 0.5  # seconds; an answer of this process takes longer than 0.2 on a busy machine
PACE = Pace(burst=0.001, silence=30, first=0.02, longest=0.05)


class Told:
    """What an EngineReader told, in order."""

    def __init__(self) -> None:
        self.all: list[tuple[Mapping[str, object], Mapping[str, Failure]]] = []

    def __call__(self, answers: Mapping[str, object], failures: Mapping[str, Failure]) -> None:
        self.all.append((answers, failures))

    @property
    def answers(self) -> Mapping[str, object]:
        return self.all[-1][0] if self.all else {}

    @property
    def failures(self) -> Mapping[str, Failure]:
        return self.all[-1][1] if self.all else {}

    @property
    def failure(self) -> Failure | None:
        return self.failures.get("docker")

    def inspected(self) -> list[dict[str, object]]:
        found = self.answers.get("docker/inspect.json", [])
        assert isinstance(found, list)
        return found


@pytest.fixture
def follow(engine: FakeEngine) -> Iterator[Callable[..., Told]]:
    readers: list[EngineReader] = []

    def start(pace: Pace = PACE) -> Told:
        told = Told()
        readers.append(EngineReader(engine.address, LIMIT, told, pace))
        readers[-1].start()
        told.reader = readers[-1]  # type: ignore[attr-defined]
        return told

    yield start
    for reader in readers:
        reader.stop()


def settled(engine: FakeEngine, told: Told, count: int = 3) -> Callable[[], bool]:
    return lambda: engine.listening() and len(told.inspected()) == count


# --- what it costs ----------------------------------------------------------------------------------------------------


def test_one_list_then_one_inspect_per_container(engine: FakeEngine, follow: Callable[..., Told]) -> None:
    told = follow()
    until(settled(engine, told))
    assert engine.calls == {
        "/_ping": 1,
        "/version": 1,
        "/events": 1,
        "/containers/json": 1,
        "/networks": 1,
        "/info": 1,
        "/containers/ID/json": 3,
    }


def test_the_list_is_told_before_the_first_inspect(tmp_path: Path) -> None:
    told = Told()
    with running(tmp_path / "d.sock", count=150) as engine:
        reader = EngineReader(engine.address, 3, told, PACE)
        reader.start()
        until(settled(engine, told, 150), 10)
        reader.stop()
    first = told.all[0][0]
    assert len(first["docker/containers.json"]) == 150  # type: ignore[arg-type]
    assert first["docker/inspect.json"] == []
    assert engine.calls["/containers/ID/json"] == 150
    assert engine.calls["/containers/json"] == 1


def test_nothing_is_asked_while_nothing_happens(engine: FakeEngine, follow: Callable[..., Told]) -> None:
    told = follow()
    until(settled(engine, told))
    before, told_before = engine.calls.copy(), len(told.all)
    time.sleep(0.1)
    assert engine.calls == before
    assert len(told.all) == told_before


def test_events_are_asked_for_from_before_the_list(engine: FakeEngine, follow: Callable[..., Told]) -> None:
    before = int(time.time())
    until(settled(engine, follow()))
    assert [before <= int(since) <= time.time() for since in engine.since] == [True]


def test_secrets_are_gone_at_once(engine: FakeEngine, follow: Callable[..., Told]) -> None:
    told = follow()
    until(settled(engine, told))
    assert "hunter2" not in repr(told.all)


def test_an_engine_over_tcp(tmp_path: Path) -> None:
    told = Told()
    with running(tmp_path / "d.sock", tcp=True) as engine:
        reader = EngineReader(engine.address, 1, told, PACE)
        reader.start()
        until(settled(engine, told))
        assert reader.local is False
        engine.emit("container", "destroy", next(iter(engine.containers)))
        until(settled(engine, told, 2))
        reader.stop()
    assert engine.calls["/containers/json"] == 1


# --- changes ----------------------------------------------------------------------------------------------------------


def test_a_start_is_one_inspect_and_leaves_the_others_the_same_objects(
    engine: FakeEngine, follow: Callable[..., Told]
) -> None:
    told = follow()
    until(settled(engine, told))
    before, calls = told.inspected(), engine.calls.copy()
    new = container(4)
    engine.containers[new["Id"]] = new
    engine.emit("container", "start", new["Id"])
    until(settled(engine, told, 4))
    assert engine.calls - calls == {"/containers/ID/json": 1}
    assert all(old is now for old, now in zip(before, told.inspected(), strict=False))


@pytest.mark.parametrize("action", ["die", "pause", "rename", "health_status: healthy"])
def test_a_change_is_told(engine: FakeEngine, follow: Callable[..., Told], action: str) -> None:
    told = follow()
    until(settled(engine, told))
    identity = next(iter(engine.containers))
    engine.containers[identity] = {**engine.containers[identity], "State": {"Status": "changed"}}
    engine.emit("container", action, identity)
    until(lambda: told.inspected()[0]["State"] == {"Status": "changed"})


def test_an_inspect_that_says_the_same_keeps_every_object(engine: FakeEngine, follow: Callable[..., Told]) -> None:
    told = follow()
    until(settled(engine, told))
    before, calls, count = told.answers, engine.calls["/containers/ID/json"], len(told.all)
    engine.emit("container", "restart", next(iter(engine.containers)))
    until(lambda: engine.calls["/containers/ID/json"] > calls and len(told.all) > count)
    assert all(told.answers[path] is answer for path, answer in before.items())


def test_a_network_event_inspects_the_container_that_it_names(engine: FakeEngine, follow: Callable[..., Told]) -> None:
    told = follow()
    until(settled(engine, told))
    calls = engine.calls.copy()
    engine.emit("network", "connect", "n" * 64, container=next(iter(engine.containers)))
    until(lambda: engine.calls != calls)
    assert engine.calls - calls == {"/containers/ID/json": 1}


def test_a_new_network_is_one_list_of_networks(engine: FakeEngine, follow: Callable[..., Told]) -> None:
    told = follow()
    until(settled(engine, told))
    calls = engine.calls.copy()
    engine.emit("network", "create", "m" * 64)
    until(lambda: engine.calls != calls)
    assert engine.calls - calls == {"/networks": 1}


def test_a_destroyed_container_is_dropped_without_a_question(engine: FakeEngine, follow: Callable[..., Told]) -> None:
    told = follow()
    until(settled(engine, told))
    identity, calls = next(iter(engine.containers)), engine.calls.copy()
    engine.emit("container", "destroy", identity)
    until(settled(engine, told, 2))
    assert engine.calls == calls
    assert identity not in json.dumps(told.answers)


def test_a_container_that_is_gone_before_it_was_inspected(engine: FakeEngine, follow: Callable[..., Told]) -> None:
    told = follow()
    until(settled(engine, told))
    gone = next(iter(engine.containers))
    del engine.containers[gone]
    engine.emit("container", "start", gone)
    until(settled(engine, told, 2))
    assert told.failure is None


def test_refresh_lists_again(engine: FakeEngine, follow: Callable[..., Told]) -> None:
    told = follow()
    until(settled(engine, told))
    engine.containers.popitem()
    told.reader.refresh()  # type: ignore[attr-defined]
    until(settled(engine, told, 2))
    assert engine.calls["/containers/json"] == 2


# --- death and return -------------------------------------------------------------------------------------------------


def test_a_dead_engine_leaves_its_last_answers_and_a_failure(engine: FakeEngine, follow: Callable[..., Told]) -> None:
    told = follow()
    until(settled(engine, told))
    engine.stop()
    until(lambda: told.failure)
    assert told.failure == Failure(
        "docker",
        f"the Docker engine refuses connections on {engine.address}",
        "is dockerd running? systemctl status docker",
    )
    assert len(told.inspected()) == 3
    new = container(9)
    engine.containers[new["Id"]] = new
    engine.start()
    until(lambda: told.failure is None and len(told.inspected()) == 4)


def test_an_engine_that_falls_silent_is_noticed(engine: FakeEngine, follow: Callable[..., Told]) -> None:
    told = follow(Pace(burst=0.001, silence=0.05, first=0.02, longest=0.05))
    until(settled(engine, told))
    engine.mood = "hang"
    until(lambda: told.failure)
    assert told.failure
    assert "within 0.5 s" in told.failure.reason
    engine.mood = "well"
    until(lambda: told.failure is None)


# --- refused, late, silent --------------------------------------------------------------------------------------------


def test_a_refused_list_of_networks_is_missing_alone(engine: FakeEngine, follow: Callable[..., Told]) -> None:
    engine.refuse["/networks"] = (403, FORBIDDEN)
    told = follow()
    until(settled(engine, told))
    assert "docker/networks.json" not in told.answers
    assert set(told.failures) == {"networks"}
    engine.refuse.clear()
    told.reader.refresh()  # type: ignore[attr-defined]
    until(lambda: not told.failures)
    assert told.answers["docker/networks.json"]


@pytest.mark.parametrize("path", ["/networks", f"/containers/{container(1)['Id']}"])
@pytest.mark.parametrize("body", [b"null", json.dumps(container(9)).encode()])
def test_what_is_no_answer_to_the_question_was_not_read(
    engine: FakeEngine, follow: Callable[..., Told], path: str, body: bytes
) -> None:
    engine.refuse[path] = (200, body)
    told = follow()
    until(lambda: path.split("/")[1] in told.failures)
    assert engine.address in told.failures[path.split("/")[1]].reason


@pytest.mark.parametrize("status", [403, 500, 503])
def test_an_engine_that_begins_to_refuse_is_not_live_any_more(
    engine: FakeEngine, follow: Callable[..., Told], status: int
) -> None:
    told = follow(replace(PACE, resync=0.1))
    until(settled(engine, told))
    engine.refuse["/"] = (status, FORBIDDEN)
    until(lambda: told.failure)
    assert len(told.inspected()) == 3
    assert told.failure
    assert f"refused with {status} by a proxy" in told.failure.reason
    heard = told.reader.heard  # type: ignore[attr-defined]
    time.sleep(0.1)
    assert told.reader.heard == heard  # type: ignore[attr-defined]
    engine.refuse.clear()
    until(lambda: told.failure is None)


def test_an_inspect_that_hangs_is_one_containers_alone(engine: FakeEngine, follow: Callable[..., Told]) -> None:
    """It took the whole engine away, again and again."""
    slow = sorted(engine.containers)[0]
    engine.hang.add(f"/containers/{slow}/json")
    told = follow()
    until(settled(engine, told, 2))
    until(lambda: told.failures)
    assert told.failures["containers"].reason == "c1 could not be inspected: no answer within 0.5 s"
    time.sleep(0.3)
    assert not any("docker" in failures for _, failures in told.all)
    assert engine.calls["/containers/json"] == 1
    engine.hang.clear()
    told.reader.refresh()  # type: ignore[attr-defined]
    until(lambda: not told.failures and len(told.inspected()) == 3)


def test_when_inspects_hang_the_others_are_put_off(tmp_path: Path, follow: Callable[..., Told]) -> None:
    with running(tmp_path / "many.sock", count=20) as engine:
        engine.hang = {f"/containers/{identity}/json" for identity in engine.containers}
        told = Told()
        reader = EngineReader(engine.address, LIMIT, told, PACE)
        reader.start()
        until(lambda: "17 more" in told.failures["containers"].reason if told.failures else False)
        reader.stop()
    assert engine.calls["/containers/ID/json"] == 2
    assert told.failure is None


def test_what_changes_without_an_event_is_found_by_the_list(engine: FakeEngine, follow: Callable[..., Told]) -> None:
    """An event stream may be silent for ever: a removed container stayed for minutes."""
    told = follow(replace(PACE, resync=0.05))
    until(settled(engine, told))
    calls = engine.calls["/containers/ID/json"]
    gone, changed, _ = sorted(engine.containers)
    del engine.containers[gone]
    engine.states[changed] = "exited"
    until(lambda: len(told.inspected()) == 2 and engine.calls["/containers/ID/json"] == calls + 1)
    assert gone not in json.dumps(told.answers)


def test_a_list_that_says_the_same_leaves_every_object(engine: FakeEngine, follow: Callable[..., Told]) -> None:
    """But for the ages, which nobody reads."""
    told = follow(replace(PACE, resync=0.05))
    until(settled(engine, told))
    before, calls = told.answers, engine.calls["/containers/json"]
    until(lambda: engine.calls["/containers/json"] > calls + 1)
    assert all(told.answers[path] is answer for path, answer in before.items())
    assert engine.calls["/containers/ID/json"] == 3


def test_refused_events_are_said_and_the_list_is_asked_instead(engine: FakeEngine, follow: Callable[..., Told]) -> None:
    engine.refuse["/events"] = (403, FORBIDDEN)
    told = follow(replace(PACE, silence=0.1))
    until(lambda: "events" in told.failures and len(told.inspected()) == 3)
    del engine.containers[sorted(engine.containers)[0]]
    until(lambda: len(told.inspected()) == 2)
    assert told.failure is None
    assert engine.calls["/version"] == 1  # one connection all the time


def test_when_it_was_heard(engine: FakeEngine, follow: Callable[..., Told]) -> None:
    told = follow(replace(PACE, silence=0.05))
    until(settled(engine, told))
    heard = told.reader.heard  # type: ignore[attr-defined]
    assert heard is not None
    until(lambda: told.reader.heard > heard)  # type: ignore[attr-defined]


# --- answers that are none --------------------------------------------------------------------------------------------


def test_an_answer_of_an_unforeseen_shape_is_told(
    engine: FakeEngine, follow: Callable[..., Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: dict[object, object] = {}
    monkeypatch.setattr("netdash.collect.engine_answers.scrub", broken)  # which cannot be called
    told = follow()
    until(lambda: told.failure)
    assert told.failure == Failure("docker", "not understood: TypeError")
