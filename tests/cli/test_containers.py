"""The list of containers of this host, by the engine's first answers: the same as by all that is read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netdash.cli import containers, lists
from netdash.cli.arguments import Arguments
from netdash.model.errors import Exit
from tests.cli.conftest import Ran
from tests.conftest import RECORDINGS, ROOT
from tests.support.read_engines import FakeEngine, running

NAMES = sorted(path.parents[1].name for path in RECORDINGS.glob("*/docker/networks.json"))


class Recorded(FakeEngine):
    """Answers as the engine of a recorded host did."""

    def __init__(self, path: Path, recording: Path) -> None:
        super().__init__(path, 0)
        self.listed, inspected, self.networks = (
            json.loads((recording / "docker" / f"{name}.json").read_text())
            for name in ("containers", "inspect", "networks")
        )
        self.containers = {one["Id"]: one for one in inspected}

    def answer(self, path: str) -> object:
        told: dict[str, Any] = {"/containers/json": self.listed, "/networks": self.networks}
        return told.get(path) or super().answer(path)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    with running(tmp_path / "docker.sock") as engine:
        yield engine


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands for which all is read."""
    found: list[str] = []
    read = lists.host_of

    def noted(arguments: Arguments, sources: frozenset[str]) -> Any:
        found.append(str(arguments.command))
        return read(arguments, sources)

    monkeypatch.setattr(lists, "host_of", noted)
    return found


@pytest.mark.parametrize("name", NAMES[::3])
def test_the_list_is_the_one_of_all_that_is_read(
    name: str, tmp_path: Path, ran: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Recorded(tmp_path / "docker.sock", RECORDINGS / name)
    engine.start()
    try:
        monkeypatch.setattr(containers.time, "time", lambda: 2e9)
        monkeypatch.setattr("netdash.collect.once.time.time", lambda: 2e9)
        found = ran("containers", "--docker-host", engine.address)
        monkeypatch.setattr(containers, "_is_plain", lambda _: False)
        assert ran("containers", "--docker-host", engine.address) == found
    finally:
        engine.stop()
    assert found[0] == Exit.FINE


def test_only_what_is_listed_is_asked(engine: FakeEngine, ran: Callable[..., Ran], slow: list[str]) -> None:
    code, out, notes = ran("containers", "--docker-host", engine.address)
    assert (code, notes, slow) == (0, "", [])
    assert [line.split()[0] for line in out.splitlines()] == ["NAME", "c1", "c2", "c3"]
    assert engine.calls == {"/containers/json": 1, "/networks": 1, "/containers/ID/json": 3}


def test_the_list_loads_only_what_it_needs(engine: FakeEngine) -> None:
    program = (
        "import sys; from netdash.cli.main import main; main(sys.argv[1:]);"
        "print(*({name.partition('.')[0] for name in sys.modules} | {*sys.modules}), file=sys.stderr)"
    )
    argv = [sys.executable, "-c", program, "containers", "--docker-host", engine.address]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=30, check=True)
    assert len(done.stdout.splitlines()) == 4
    late = "csv docker http psutil requests shutil socket subprocess tarfile textual urllib3"
    late += " netdash.collect netdash.rules netdash.trace.path"
    assert not set(late.split()) & set(done.stderr.split())


@pytest.mark.parametrize("mood", ["hang", "nonsense", "cut", "error"])
def test_what_is_wrong_is_told_as_by_other_lists(
    engine: FakeEngine, mood: str, ran: Callable[..., Ran], slow: list[str]
) -> None:
    engine.mood = mood
    code, out, notes = ran("containers", "--docker-host", engine.address, "--timeout", "0.2")
    assert (code, out, slow) == (Exit.UNREADABLE, "", ["containers"])
    assert notes.startswith("note: docker: ")


def test_a_container_that_cannot_be_looked_up_is_told(
    engine: FakeEngine, ran: Callable[..., Ran], slow: list[str]
) -> None:
    engine.refuse[f"/containers/{1:064x}"] = (500, b'{"message": "broken"}')
    code, out, notes = ran("containers", "--docker-host", engine.address)
    assert (code, len(out.splitlines()), slow) == (0, 4, ["containers"])
    assert "c1 could not be inspected" in notes


@pytest.mark.parametrize("words", [("--json",), ("-o", "json"), ("is:broken",), ("!IS:ok",)], ids=" ".join)
def test_what_the_engine_does_not_know_is_read(
    words: tuple[str, ...], engine: FakeEngine, ran: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "_listed", lambda _: pytest.fail("the engine alone was asked"))
    assert ran("containers", "--docker-host", engine.address, *words)[0] in (Exit.FINE, Exit.UNREADABLE)


def test_whether_a_shared_namespace_is_still_the_owners_is_looked_up(
    engine: FakeEngine, ran: Callable[..., Ran], slow: list[str]
) -> None:
    identity = f"{2:064x}"
    engine.containers[identity]["HostConfig"]["NetworkMode"] = f"container:{1:064x}"
    _, out, _ = ran("containers", "--docker-host", engine.address)
    assert "as c1" in out
    assert slow == ["containers"]


@pytest.mark.parametrize(("gateway", "all_is_read"), [("127.0.0.1", True), ("192.0.2.1", False), ("::1", True)])
def test_a_bridge_that_may_have_another_name_is_looked_up(
    gateway: str, all_is_read: bool, tmp_path: Path, ran: Callable[..., Ran], slow: list[str]
) -> None:
    engine = Recorded(tmp_path / "docker.sock", RECORDINGS / "docker20.10-legacy")
    engine.networks[0]["IPAM"]["Config"] = [{"Subnet": f"{gateway}/32", "Gateway": gateway}]
    engine.networks[0]["Options"] = {"com.docker.network.bridge.name": "nowhere0"}
    engine.start()
    try:
        ran("containers", "--docker-host", engine.address)
    finally:
        engine.stop()
    assert bool(slow) is all_is_read


def test_an_engine_in_another_network_namespace_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"/proc/7/ns/net": "net:[1]", "/proc/self/ns/net": "net:[2]", "/proc/8/ns/net": "net:[2]"}
    monkeypatch.setattr(containers.os, "readlink", lambda path: told[path])
    assert [containers._is_elsewhere(pid) for pid in (0, 1, 7, 8)] == [False, False, True, False]
