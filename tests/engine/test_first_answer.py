"""The engine's first answer: asked for at once, taken when there is something to show it with."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netdash.engine.client import clock
from netdash.engine.first_answer import FirstAnswers, ListedContainers, _Get
from netdash.model.source import AWAITED
from tests.support.read_engines import FakeEngine, running

LIMIT = 0.2


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    with running(tmp_path / "docker.sock") as engine:
        yield engine


def test_the_first_answers_are_those_that_containers_need(engine: FakeEngine) -> None:
    first = FirstAnswers(engine.address, LIMIT).take()
    assert first is not None
    assert set(first.answers) == {"docker/containers.json"}
    assert clock(first.date) is not None
    assert engine.calls == {"/containers/json": 1}
    assert first.recording().pending == AWAITED


def test_a_slow_answer_is_taken_when_it_is_whole(tmp_path: Path) -> None:
    body = json.dumps([{"Id": "a" * 64, "Names": ["/web"]}]).encode()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "slow.sock"))
        listener.listen()
        asked = FirstAnswers(f"unix://{tmp_path}/slow.sock", LIMIT)
        engine, _ = listener.accept()
        with engine:
            assert engine.recv(4096).startswith(b"GET /containers/json?all=1 ")
            engine.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:9])
            assert asked.take(0.01) is None
            engine.sendall(body[9:])
            first = asked.take()
    assert first is not None
    assert first.recording().json("docker/containers.json") == json.loads(body)


def test_an_engine_without_room_for_a_connection_holds_up_nothing(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as others:
        listener.bind(str(tmp_path / "busy.sock"))
        listener.listen(0)
        with contextlib.suppress(BlockingIOError):
            for _ in range(10):
                other = others.enter_context(socket.socket(socket.AF_UNIX))
                other.setblocking(False)
                other.connect(str(tmp_path / "busy.sock"))
        began = time.monotonic()
        assert FirstAnswers(f"unix://{tmp_path}/busy.sock", 60).take() is None
        assert time.monotonic() - began < 30


@pytest.mark.parametrize("mood", ["hang", "nonsense", "cut", "error"])
def test_an_engine_that_does_not_answer_gives_no_first_answers(engine: FakeEngine, mood: str) -> None:
    engine.mood = mood
    assert FirstAnswers(engine.address, LIMIT).take() is None


@pytest.mark.parametrize("count", [0, 3, 70])
def test_all_that_a_list_of_containers_shows(tmp_path: Path, count: int) -> None:
    """The socket of this engine has room for 5 connections that wait."""
    with running(tmp_path / "many.sock", count) as engine:
        asked = ListedContainers(engine.address, 20)
        assert asked.ask_details()
        answers = asked.take()
        assert answers is not None
        assert asked.pid > 1
        assert [one["Id"] for one in answers["docker/inspect.json"]] == [*engine.containers]  # type: ignore[attr-defined]
        assert "hunter2" not in json.dumps(answers)
        assert set(answers) == {f"docker/{name}.json" for name in ("containers", "networks", "inspect")}


def _another_is_told(engine: FakeEngine) -> None:
    engine.containers[f"{1:064x}"]["Id"] = f"{2:064x}"


def _one_is_gone(engine: FakeEngine) -> None:
    engine.refuse[f"/containers/{1:064x}"] = (404, b"{}")


def _networks_are_refused(engine: FakeEngine) -> None:
    engine.refuse["/networks"] = (403, b"{}")


@pytest.mark.parametrize("spoil", [_another_is_told, _one_is_gone, _networks_are_refused])
def test_one_answer_that_is_missing_leaves_all_to_the_reader(
    engine: FakeEngine, spoil: Callable[[FakeEngine], None]
) -> None:
    spoil(engine)
    asked = ListedContainers(engine.address, 2)
    assert asked.ask_details()
    assert asked.take() is None


def test_podman_and_engines_that_are_on_no_socket_are_left_to_the_reader(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not ListedContainers("tcp://127.0.0.1:1", LIMIT).ask_details()
    monkeypatch.setattr(_Get, "answer", lambda _: (b"HTTP/1.0 200 OK\r\nLibpod-Api-Version: 5.8.0", []))
    assert not ListedContainers(engine.address, LIMIT).ask_details()


def test_many_slow_answers_are_not_waited_for_one_after_the_other(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ListedContainers(engine.address, 2)
    assert asked.ask_details()
    later = time.monotonic() + 60
    monkeypatch.setattr("netdash.engine.first_answer.time.monotonic", lambda: later)
    assert asked.take() is None
