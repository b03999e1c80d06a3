"""The client of an engine: what it costs, and how each thing that can be wrong is told."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from queue import SimpleQueue

import pytest

from netdash.engine.client import EngineClient
from netdash.engine.errors import EngineError
from tests.support.read_engines import FakeEngine, until

LIMIT = 0.2


def test_one_connection_serves_all_calls(engine: FakeEngine) -> None:
    with closing(EngineClient(engine.address, LIMIT)) as client:
        for identity in engine.containers:
            client.get(f"/containers/{identity}/json")
        assert engine.connections == 1


def test_a_connection_that_the_other_end_closed_meanwhile_is_made_anew(tmp_path: Path) -> None:
    """It answered in full and did not say that it would close."""
    closed = SimpleQueue[None]()

    def serve(listener: socket.socket) -> None:
        for _ in range(3):
            connection = listener.accept()[0]
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Length: 2\r\n\r\n{}")
            connection.close()
            closed.put(None)

    with socket.socket(socket.AF_UNIX) as listener, closing(EngineClient(f"unix://{tmp_path}/d", LIMIT)) as client:
        listener.bind(f"{tmp_path}/d")
        listener.listen()
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        client.negotiate()
        closed.get(timeout=20)
        for _ in range(2):
            assert client.get("/info") == {}
            closed.get(timeout=20)


def test_events_do_not_wait_for_calls_nor_calls_for_events(engine: FakeEngine) -> None:
    with closing(EngineClient(engine.address, LIMIT)) as client:
        seen: list[object] = []

        def listen() -> None:
            with suppress(EngineError):  # closing cuts the stream off
                seen.extend(client.events())

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        until(engine.listening)
        assert client.get("/info") == engine.answer("/info")
        engine.emit("container", "start", "1" * 64)
        until(lambda: seen)
    listener.join(20)
    assert not listener.is_alive()


# --- no answer --------------------------------------------------------------------------------------------------------


def ask(address: str, limit: float = LIMIT) -> None:
    with closing(EngineClient(address, limit)) as client:
        client.negotiate()
        client.get("/version")


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
    engine.api = ""
    monkeypatch.setattr(engine, "answer", lambda path: {"hello": "world"})
    with pytest.raises(EngineError, match="not a container engine"):
        ask(engine.address)


def test_a_huge_answer_is_cut(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netdash.engine.client.MAX_ANSWER", 1 << 20)
    monkeypatch.setattr(engine, "answer", lambda path: "x" * (2 << 20))
    with pytest.raises(EngineError, match="more than 1 MiB"):
        ask(engine.address, 10)


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as raised:
        ask(f"unix://{tmp_path}/none.sock")
    assert raised.value.failure.reason.startswith("there is no Docker engine on unix://")


@pytest.mark.parametrize("address", ["carrots://x", "tcp://", "ssh://nowhere", "unix://"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(EngineError) as raised:
        ask(address)
    assert "\n" not in raised.value.failure.reason
