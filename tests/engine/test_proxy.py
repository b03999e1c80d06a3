"""An engine behind a proxy that refuses some questions: what it lets through is used, what it refuses is said."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from netdash.collect.once import Options, read_once
from netdash.engine.client import EngineClient
from netdash.engine.errors import EngineError, Refused
from tests.support.read_engines import FORBIDDEN, FakeEngine, running

LIMIT = 1.0


def version_of(engine: FakeEngine) -> tuple[int, ...]:
    with closing(EngineClient(engine.address, LIMIT)) as client:
        assert len(client.get("/containers/json", all=1)) == 3
        return client.api


def test_the_ping_tells_the_version(engine: FakeEngine) -> None:
    engine.refuse["/version"] = (403, FORBIDDEN)
    assert version_of(engine) == (1, 51)
    assert engine.asked == ["/_ping", "/v1.51/containers/json"]


def test_the_version_tells_it_where_the_ping_does_not(engine: FakeEngine) -> None:
    engine.api = ""
    assert version_of(engine) == (1, 51)


def test_only_paths_with_a_version_are_let_through(engine: FakeEngine) -> None:
    engine.versioned = True
    assert version_of(engine) == (1, 51)
    assert engine.asked == ["/_ping", "/version", "/v1.44/_ping", "/v1.51/containers/json"]


def test_only_the_list_is_let_through(engine: FakeEngine) -> None:
    engine.versioned = True
    engine.api = ""
    engine.refuse = {"/_ping": (403, FORBIDDEN), "/version": (403, FORBIDDEN)}
    assert version_of(engine) == (1, 44)


def test_nothing_is_let_through(engine: FakeEngine) -> None:
    engine.refuse["/"] = (403, FORBIDDEN)
    with pytest.raises(Refused) as raised:
        version_of(engine)
    assert raised.value.message == (
        f"/_ping is refused with 403 by a proxy before the engine on {engine.address}: "
        "Forbidden Request forbidden by administrative rules."
    )


def test_what_is_refused_is_missing_alone_and_said_once(engine: FakeEngine) -> None:
    engine.refuse = {"/networks": (403, FORBIDDEN), "/info": (403, FORBIDDEN)}
    recording = read_once(Options(frozenset({"docker"}), engine.address, LIMIT))
    assert len(recording.answers["docker/inspect.json"]) == 3  # type: ignore[arg-type]
    assert recording.answers["docker/version.json"]
    (failure,) = recording.failures.values()
    assert failure.source == "networks"
    assert failure.reason.startswith("/networks and /info are refused with 403 by a proxy before the engine on unix://")
    assert "<" not in failure.reason
    assert failure.remedy == "docker-socket-proxy allows it with INFO=1 NETWORKS=1"


def test_what_the_engine_itself_refuses_is_told_in_its_words(engine: FakeEngine) -> None:
    engine.refuse["/networks"] = (500, b'{"message": "the store is\\nlocked"}')
    recording = read_once(Options(frozenset({"docker"}), engine.address, LIMIT))
    (failure,) = recording.failures.values()
    assert (failure.source, failure.reason) == (
        "networks",
        f"the engine on {engine.address} answers 500: the store is locked",
    )


def test_a_redirect_is_not_followed(engine: FakeEngine) -> None:
    engine.refuse["/networks"] = (307, b"")
    with closing(EngineClient(engine.address, LIMIT)) as client, pytest.raises(EngineError, match="307"):
        client.get("/networks")


def test_an_inspect_that_hangs_leaves_one_container_unknown(engine: FakeEngine) -> None:
    """One call of many that never ends took the whole engine away."""
    slow = sorted(engine.containers)[1]
    engine.hang.add(f"/containers/{slow}/json")
    recording = read_once(Options(frozenset({"docker"}), engine.address, 0.3))
    assert len(recording.answers["docker/containers.json"]) == 3  # type: ignore[arg-type]
    assert len(recording.answers["docker/inspect.json"]) == 2  # type: ignore[arg-type]
    (failure,) = recording.failures.values()
    assert failure.source == "containers"
    assert failure.reason == "c2 could not be inspected: no answer within 0.3 s"
    assert failure.remedy == "--timeout SECONDS waits longer"


def test_a_slow_engine_gives_its_list(tmp_path: Path) -> None:
    with running(tmp_path / "d.sock", count=40) as engine:
        engine.hang = {f"/containers/{identity}/json" for identity in engine.containers}
        recording = read_once(Options(frozenset({"docker"}), engine.address, 0.1))
    assert len(recording.answers["docker/containers.json"]) == 40  # type: ignore[arg-type]
    assert "and 37 more containers could not be inspected" in recording.failures["containers"].reason
