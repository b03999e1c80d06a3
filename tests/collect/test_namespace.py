"""Whose network namespace the kernel's answers are of: found by the engine's socket, kept in a recording, told."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from netdash.bundle.recording import Recording
from netdash.collect import engine_namespace, once
from netdash.collect.answer_store import AnswerStore
from netdash.collect.container_namespaces import Target
from netdash.collect.engine_namespace import EngineNamespaceReader, MutedStore
from netdash.collect.once import Options, read_once
from netdash.engine.context import engine_pid
from netdash.join.host import Builder
from netdash.model.engine_state import EngineProcess, Place, parse_engine_process
from netdash.model.host import Failure, Host
from netdash.view import json_host, unavailable
from netdash.view.views import BY_NAME
from tests.support.read_engines import FakeEngine

ENGINE = "host/engine.txt"


def placed(recording: Recording, line: str, **changes: object) -> Host:
    return Builder().build(replace(recording, answers={**recording.answers, ENGINE: line}, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "process"),
    [
        ("812 dockerd here\n", EngineProcess(812, "dockerd", Place.HERE)),
        ("812 dockerd entered", EngineProcess(812, "dockerd", Place.ENTERED)),
        ("812 docker\x1b[31m elsewhere", EngineProcess(812, "docker\x1b[31m", Place.ELSEWHERE)),
        ("812 dockerd somewhere", None),
        ("x dockerd here", None),
        ("99999999999999 dockerd here", None),
        ("", None),
    ],
)
def test_what_the_answer_says(line: str, process: EngineProcess | None) -> None:
    assert parse_engine_process(line) == process


def test_a_namespace_that_was_entered_is_named(recording: Callable[[str], Recording]) -> None:
    given = placed(recording("docker28.5-rootless-CHILDNS"), "812 dockerd entered\n")
    assert given.ruleset
    assert "network namespace of dockerd (pid 812)" in unavailable.namespace(given)
    assert json_host.list_view(given, BY_NAME["rules"], ())["namespace"] == {"pid": 812, "command": "dockerd"}
    assert {one.listeners for one in given.proxies or ()} == {None}  # the sockets are of the reader's namespace


def test_one_that_could_not_be_entered_leaves_rules_and_proxies_unknown(recording: Callable[[str], Recording]) -> None:
    given = placed(recording("docker28.5-nft-full"), "812 dockerd elsewhere\n")
    assert (given.ruleset, given.proxies) == (None, None)
    for source in ("rules", "proxies"):
        assert "dockerd (pid 812)" in given.failures[source].reason
        assert given.failures[source].remedy == "run with sudo"
    assert {port.dnat for port in given.ports or ()} == {None}
    assert unavailable.namespace(given) == ""
    assert "namespace" not in json_host.list_view(given, BY_NAME["rules"], ())


def test_without_a_process_a_live_host_that_lacks_all_bridges_is_not_the_engines(
    recording: Callable[[str], Recording],
) -> None:
    """netdash in a container, with the engine's socket: the process is in another pid namespace."""
    given = recording("docker28.5-nft-full")
    bare = {**given.answers, "ip/link.json": "[]", "ip/addr.json": "[]"}
    joined = Builder().build(replace(given, answers=bare, live=True))
    assert joined.ruleset is None
    assert "none of the engine's bridges is here" in joined.failures["rules"].reason


# --- reading ----------------------------------------------------------------------------------------------------------


def test_the_process_behind_a_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "door")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        assert engine_pid(path, 1.0) == os.getpid()
    assert engine_pid(None, 1.0) is None
    assert engine_namespace.in_other_namespace(os.getpid()) is False
    assert engine_namespace.in_other_namespace(1 << 30) is None


def test_a_thread_that_is_in_a_container_does_not_tell_where_the_engine_is(tmp_path: Path) -> None:
    """Podman's first thread stays in the namespace of a container that it set up (measured, 5.8)."""
    for name in ("ours", "theirs", "containers"):
        (tmp_path / name).touch()

    def thread(path: str, where: str) -> None:
        (tmp_path / path / "net").mkdir(parents=True)
        os.link(tmp_path / where, tmp_path / path / "net" / "tcp")

    thread("self", "ours")
    for number, where in ((7, "containers"), (8, "ours"), (9, "ours")):
        thread(f"7/task/{number}", where)
    for number, where in ((20, "containers"), (21, "theirs"), (22, "theirs")):
        thread(f"20/task/{number}", where)
    assert engine_namespace.in_other_namespace(7, tmp_path) is False
    assert engine_namespace.in_other_namespace(20, tmp_path) is True
    assert engine_namespace.main_thread(20, tmp_path) == 21


def test_an_engine_in_this_namespace_is_said_to_be_here(tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path / "docker.sock")
    engine.start()
    try:
        recording = read_once(Options(frozenset({"docker"}), docker_host=engine.address))
    finally:
        engine.stop()
    words = str(recording.answers[ENGINE]).split()
    assert (words[0], *words[2:]) == (str(os.getpid()), "here", str(os.geteuid()))


def test_several_containers_are_looked_into_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = threading.Barrier(once._AT_ONCE)

    def read(target: Target, _: float) -> dict[str, object]:
        meeting.wait(10)
        return {f"containers/{target.name}/hosts": ""}

    monkeypatch.setattr(once, "read_container", read)
    targets = [Target(f"{number:064x}", f"c{number}", number, False) for number in range(2 * once._AT_ONCE)]
    assert once._looked_into(targets, 1.0) == {f"containers/{target.name}/hosts": "" for target in targets}
    assert once._looked_into([], 1.0) == {}


def test_what_goes_wrong_in_one_container_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> dict[str, object]:
        raise ValueError("broken")

    monkeypatch.setattr(once, "read_container", read)
    with pytest.raises(ValueError, match="broken"):
        once._looked_into([Target("a" * 64, "web", 7, False)], 1.0)


def test_a_question_has_room_for_so_many_containers() -> None:
    rows = engine_namespace._fitting(Target(f"{number:064x}", "name", number, False) for number in range(5000))
    assert 500 < len(rows) < 5000


Answer = tuple[Mapping[str, object], Mapping[str, Failure]] | None


@pytest.mark.parametrize(("allowed", "place"), [(True, "entered"), (False, "elsewhere")])
def test_a_live_host_takes_over_what_is_read_there(allowed: bool, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer: Answer = ({"rules/nft.json": "theirs"}, {}) if allowed else None
    monkeypatch.setattr("netdash.collect.engine_namespace.in_other_namespace", lambda _: True)
    monkeypatch.setattr("netdash.collect.engine_namespace.read_namespace", lambda *_, **__: answer)
    store = AnswerStore()
    muted = MutedStore(store)
    muted.put("rules", {"rules/nft.json": "ours"})
    muted.put("listeners", {"host/listeners.txt": "ours"})
    beyond = EngineNamespaceReader(store, muted, 5.0, 1.0)
    beyond._look(812, ())
    muted.put("rules", {"rules/nft.json": "ours, later"})
    muted.put("listeners", {"host/listeners.txt": "ours, later"})
    answers = store.recording().answers
    assert place in str(answers[ENGINE]).split()
    assert answers["rules/nft.json"] == ("theirs" if allowed else "ours, later")
    assert answers["host/listeners.txt"] == "ours, later"
