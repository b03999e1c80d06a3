"""The engine that answers, changes, dies and comes back, and all the ways in which it does not answer."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from queue import SimpleQueue

import pytest

from netdash.core.model import Failure
from netdash.core.recording import SOURCES
from netdash.read.engine import EngineReader, Pace
from netdash.read.engine_api import EngineApi, EngineError
from netdash.read.first import FirstAnswers
from tests.read_engines import FakeEngine, container, running

LIMIT = 0.2
PACE = Pace(burst=0.001, silence=30, first=0.02, longest=0.05)


class Told:
    """What an EngineReader told, in order."""

    def __init__(self) -> None:
        self.all: list[tuple[Mapping[str, object], Failure | None]] = []

    def __call__(self, answers: Mapping[str, object], failure: Failure | None) -> None:
        self.all.append((answers, failure))

    @property
    def answers(self) -> Mapping[str, object]:
        return self.all[-1][0] if self.all else {}

    @property
    def failure(self) -> Failure | None:
        return self.all[-1][1] if self.all else None

    def inspected(self) -> list[dict[str, object]]:
        found = self.answers.get("docker/inspect.json", [])
        assert isinstance(found, list)
        return found


def until(condition: Callable[[], object], seconds: float = 3) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.002)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    with running(tmp_path / "d.sock") as one:
        yield one


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
    assert first["docker/networks.json"]
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


def test_one_connection_serves_all_calls(engine: FakeEngine) -> None:
    with closing(EngineApi(engine.address, LIMIT)) as api:
        for _ in range(3):
            api.get("/containers/json", all=1)
        assert engine.connections == 1


def test_a_connection_that_the_other_end_closed_meanwhile_is_made_anew(tmp_path: Path) -> None:
    """It answered in full and did not say that it would close."""
    closed = SimpleQueue[None]()

    def serve(listener: socket.socket) -> None:
        for _ in range(2):
            connection = listener.accept()[0]
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            connection.close()
            closed.put(None)

    with socket.socket(socket.AF_UNIX) as listener, closing(EngineApi(f"unix://{tmp_path}/d", LIMIT)) as api:
        listener.bind(f"{tmp_path}/d")
        listener.listen()
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        for _ in range(2):
            assert api.get("/info") == {}
            closed.get(timeout=3)


def test_events_do_not_wait_for_calls_nor_calls_for_events(engine: FakeEngine) -> None:
    with closing(EngineApi(engine.address, LIMIT)) as api:
        seen: list[object] = []

        def listen() -> None:
            with suppress(EngineError):  # closing cuts the stream off
                seen.extend(api.events())

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        until(engine.listening)
        assert api.get("/info") == engine.answer("/info")
        engine.emit("container", "start", "1" * 64)
        until(lambda: seen)
    listener.join(3)
    assert not listener.is_alive()


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
    assert "within 0.2 s" in told.failure.reason
    engine.mood = "well"
    until(lambda: told.failure is None)


# --- no answer --------------------------------------------------------------------------------------------------------


def ask(address: str) -> None:
    with closing(EngineApi(address, LIMIT)) as api:
        api.negotiate()


UNREADABLE = {
    "hang": "does not answer on unix://{path} within 0.2 s",
    "slow": "does not answer on unix://{path} within 0.2 s",
    "nonsense": "the answer of unix://{path} is not a container engine's",
    "cut": "the Docker engine on unix://{path} cut its answer off",
    "error": "the engine on unix://{path} answers 500: the\x1b[31m disk is full",
}


@pytest.mark.parametrize("mood", UNREADABLE)
def test_what_is_wrong_is_told_in_one_line_and_in_time(engine: FakeEngine, mood: str) -> None:
    engine.mood = mood
    began = time.monotonic()
    with pytest.raises(EngineError) as raised:
        ask(engine.address)
    assert time.monotonic() - began < 4 * LIMIT
    assert UNREADABLE[mood].format(path=engine.path) in raised.value.failure.reason
    assert "\n" not in raised.value.failure.reason


def test_json_that_is_no_engine(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "answer", lambda path: {"hello": "world"})
    with pytest.raises(EngineError, match="not a container engine"):
        ask(engine.address)


def test_a_huge_answer_is_cut(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netdash.read.engine_api.MAX_ANSWER", 1 << 20)
    monkeypatch.setattr(engine, "answer", lambda path: "x" * (2 << 20))
    with pytest.raises(EngineError, match="more than 1 MiB"):
        ask(engine.address)


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as raised:
        ask(f"unix://{tmp_path}/none.sock")
    assert raised.value.failure.reason.startswith("there is no Docker engine on unix://")


@pytest.mark.parametrize("address", ["carrots://x", "tcp://", "ssh://nowhere", "unix://"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(EngineError) as raised:
        ask(address)
    assert "\n" not in raised.value.failure.reason


# --- the first answers ------------------------------------------------------------------------------------------------


def test_the_first_answers_are_those_that_containers_need(engine: FakeEngine) -> None:
    first = FirstAnswers(engine.address, LIMIT).take()
    assert first is not None
    assert set(first.answers) == {"docker/version.json", "docker/containers.json", "docker/networks.json"}
    assert first.since is not None
    assert engine.calls == {"/version": 1, "/containers/json": 1, "/networks": 1}
    assert first.recording().pending == frozenset(SOURCES) - {"docker"}


@pytest.mark.parametrize("mood", ["hang", "nonsense", "cut", "error"])
def test_an_engine_that_does_not_answer_gives_no_first_answers(engine: FakeEngine, mood: str) -> None:
    engine.mood = mood
    assert FirstAnswers(engine.address, LIMIT).take() is None


# --- where the engine is ----------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker configuration with the context "far"."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    from docker.context.config import get_context_id

    meta = tmp_path / "contexts" / "meta" / get_context_id("far") / "meta.json"
    meta.parent.mkdir(parents=True)
    (tmp_path / "config.json").write_text("{}")
    meta.write_text('{"Name": "far", "Metadata": {}, "Endpoints": {"docker": {"Host": "tcp://192.0.2.7:2375"}}}')
    return tmp_path


def test_the_default_socket(config: Path) -> None:
    assert EngineApi(None, LIMIT).address == "unix:///var/run/docker.sock"


def test_the_current_context(config: Path) -> None:
    (config / "config.json").write_text('{"currentContext": "far"}')
    api = EngineApi(None, LIMIT)
    assert (api.address, api.local) == ("tcp://192.0.2.7:2375", False)


def test_the_environment_names_a_context(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    assert EngineApi(None, LIMIT).address == "tcp://192.0.2.7:2375"


def test_docker_host_comes_before_the_context(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/user/1000/docker.sock")
    api = EngineApi(None, LIMIT)
    assert (api.address, api.local) == ("unix:///run/user/1000/docker.sock", True)


def test_the_option_comes_first(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///a")
    assert EngineApi("unix:///b", LIMIT).address == "unix:///b"


@pytest.mark.parametrize("content", ["{", '{"currentContext": 3}'])
def test_a_broken_config_is_no_context(config: Path, content: str) -> None:
    (config / "config.json").write_text(content)
    assert EngineApi(None, LIMIT).address == "unix:///var/run/docker.sock"


def test_a_context_that_does_not_exist(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "nowhere")
    with pytest.raises(EngineError, match="the docker context 'nowhere' does not exist"):
        EngineApi(None, LIMIT)


def test_an_answer_of_an_unforeseen_shape_is_told(
    engine: FakeEngine, follow: Callable[..., Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: str, answer: object) -> object:
        raise TypeError(path)

    monkeypatch.setattr("netdash.read.engine.scrub", broken)
    told = follow()
    until(lambda: told.failure)
    assert told.failure == Failure("docker", "not understood: TypeError")
