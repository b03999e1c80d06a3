"""Before every step of recreate, undo, finish and rollback somebody else acts, or the engine dies: the service runs at
the end, whole, and what else is left is told. As tests/live/test_live_publish_disturbed.py, on an engine in memory."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from netdash.apply import change, journal_files, publication, steps
from netdash.cli.main import main
from netdash.model.addresses import parse_spec
from netdash.model.errors import Exit, NetdashError
from netdash.publish.journal import Change, Journal, Opened
from netdash.publish.plan import Plan
from netdash.publish.request import Mode, Request
from netdash.publish.undo import Choice
from netdash.view import changes as told
from tests.support.fake_engine import FakeEngine, bound

NAME, PORT, OTHER = "web", 8080, "somebody"
STEPS = ("hold", "stop", "commit", "create", "connect", "part", "name", "start", "verify", "release")
NEW = ("connect", "name", "start", "verify", "release")
"""The steps about the new container; the others are about the old one."""
PHASES = ("recreate", "undo", "finish", "rollback")


class Died(BaseException):
    """Netdash is gone: whatever it would do next is not done."""


# --- what somebody does -----------------------------------------------------------------------------------------------


def remove(engine: FakeEngine, target: str) -> None:
    engine.delete(f"/containers/{target}", force="1")


def prune(engine: FakeEngine, _: str) -> None:
    for identity in [one["Id"] for one in engine.containers.values() if not one["State"]["Running"]]:
        remove(engine, identity)


def rename(engine: FakeEngine, target: str) -> None:
    engine.post(f"/containers/{target}/rename", name=f"{NAME}-else")


def stop(engine: FakeEngine, target: str) -> None:
    engine.post(f"/containers/{target}/stop")


def start(engine: FakeEngine, target: str) -> None:
    engine.post(f"/containers/{target}/start")


def take_name(engine: FakeEngine, _: str) -> None:
    engine.create(NAME, {"Image": "busybox", "HostConfig": {"RestartPolicy": {"Name": "no"}}})


def take_port(engine: FakeEngine, _: str) -> None:
    host = {"RestartPolicy": {"Name": "no"}, "PortBindings": {"80/tcp": [{"HostPort": str(PORT)}]}}
    start(engine, engine.create(OTHER, {"Image": "busybox", "HostConfig": host})["Id"])


def die(engine: FakeEngine, _: str) -> None:
    engine.die()


ACTIONS = (remove, prune, rename, stop, start, take_name, take_port, die)


# --- the change -------------------------------------------------------------------------------------------------------


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    monkeypatch.setenv("NETDASH_STATE_DIR", str(tmp_path / "state"))
    made = FakeEngine()
    for module in (change, publication):
        monkeypatch.setattr(module, "local", lambda _: made)
    monkeypatch.setattr(change, "_reap_later", lambda _: None)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(steps, "_STEADY", 0.0)
    monkeypatch.setattr(steps, "_PAUSE", 0.0)
    policy = {"Name": "always", "MaximumRetryCount": 0}
    made.create(NAME, {"Image": "busybox", "HostConfig": {"RestartPolicy": policy}})
    made.post(f"/containers/{NAME}/start")
    made.post("/networks/net/connect", {"Container": NAME})
    return made


def publish(engine: FakeEngine) -> None:
    identity = engine.inspect(NAME)["Id"]
    ports = (Opened("tcp", "", PORT, 80),)
    plan = Plan("", NAME, identity, Mode.RECREATE, ports, (), (), answers=False)
    request = Request(identity, parse_spec(f"{PORT}:80"), Mode.RECREATE, grace=600.0)
    change.recreate(plan, request, engine.address, (), lambda _: None)


def take_back(_: FakeEngine) -> None:
    (last,) = publication.pending().journals
    publication.take_back(last, lambda _: None)


def recover(choice: Choice) -> Callable[[FakeEngine], None]:
    def all_of_it(_: FakeEngine) -> None:
        _, failed = publication.recover_all(choice, lambda _: None)
        if failed:
            raise NetdashError("; ".join(failed))

    return all_of_it


DO = {"recreate": publish, "undo": take_back, "finish": recover(Choice.FINISH), "rollback": recover(Choice.ROLLBACK)}


def prepare(phase: str, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """For undo a change that was done; for the others one that was begun and not done at all, or done but for the line
    that says so."""
    if phase == "recreate":
        return
    if phase == "undo":
        publish(engine)
        return
    begin, write = journal_files.begin, journal_files.append

    def begun(made: Change) -> Journal:
        begin(made)
        raise Died

    def append(made: Change, entry: Mapping[str, object]) -> Journal:
        if "settled" in entry:
            raise Died
        return write(made, entry)

    with monkeypatch.context() as patch:
        patch.setattr(journal_files, *(("begin", begun) if phase == "finish" else ("append", append)))
        with contextlib.suppress(Died):
            publish(engine)


def disturb(
    step: str, action: Callable[[FakeEngine, str], None], engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Once, after the line of the step, and before the step. Answers a list that is not empty when it was done."""
    write, done = journal_files.append, list[str]()

    def append(made: Change, entry: Mapping[str, object]) -> Any:
        at = entry.get("begin", entry.get("undo"))
        answer = write(made, entry)
        if not done and isinstance(at, int) and made.steps[at].partition(":")[0] == step:
            done.append(step)
            journal = journal_files.load(journal_files.path_of(made))
            target = (journal.result("create") if journal else "") or made.temporary if step in NEW else made.old_id
            with contextlib.suppress(NetdashError):
                action(engine, target)
        return answer

    monkeypatch.setattr(journal_files, "append", append)
    return done


@pytest.mark.parametrize(
    ("phase", "step", "action"),
    [
        pytest.param(phase, step, action, id=f"{phase}-{step}-{action.__name__}")
        for phase, step, action in itertools.product(PHASES, STEPS, ACTIONS)
    ],
)
def test_somebody_acts_before_a_step(
    phase: str,
    step: str,
    action: Callable[[FakeEngine, str], None],
    engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepare(phase, engine, monkeypatch)
    done = disturb(step, action, engine, monkeypatch)
    failed = ""
    try:
        DO[phase](engine)
    except NetdashError as error:
        failed = f"{error.message} {error.hint}"
    assert done, "nobody disturbed it"
    if action is die and not engine.alive:
        engine.start_again()
        DO["rollback" if phase in ("undo", "rollback") else "finish"](engine)
        failed = ""
    whole = None if failed else phase in ("recreate", "finish")
    check(engine, failed, whole)


def check(engine: FakeEngine, failed: str, published: bool | None) -> None:
    """`published` None: it failed, with and without the port will do."""
    ours = [one for one in engine.containers.values() if "net" in one["NetworkSettings"]["Networks"] or mine(one)]
    listing = [(one["Name"], one["State"]["Status"], bound(one)) for one in ours]
    said = f"{failed} {' '.join(line for one in publication.recoveries('') for line in told.recovery_lines(one))} " + (
        " ".join(map(told.journal_sentence, publication.pending().journals))
    )
    facts = f"{listing}\n{said}"
    up = [one for one in ours if one["State"]["Running"]]
    assert len(up) == 1, facts
    (one,) = up
    assert set(one["NetworkSettings"]["Networks"]) == {"bridge", "net"}, facts
    assert published in (None, bound(one) == {PORT}), facts
    assert one["Name"].lstrip("/") in (NAME, f"{NAME}-else") or one["Name"].lstrip("/") in said, facts
    unfinished = any(journal.unfinished for journal in publication.pending().journals)
    assert unfinished or one["HostConfig"]["RestartPolicy"]["Name"] == "always", facts
    for other in ours:
        assert other is one or other["Name"].lstrip("/") in said, facts
    if not publication.pending().journals:
        kept = {name for name in engine.images if name.startswith("netdash-cli/kept/")}
        assert kept <= {other["Config"]["Image"] for other in ours}, facts


def mine(one: dict[str, Any]) -> bool:
    """Whether it is none of a stranger."""
    return f"{NAME}.netdash" in one["Name"]


@pytest.mark.parametrize("way", ["finish", "rollback"])
def test_recover_tells_how_long_the_service_was_down(
    way: str, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(way, engine, monkeypatch)
    assert main(["recover", f"--{way}", "--json"]) == Exit.FINE
    document = json.loads(capsys.readouterr().out)
    assert document["done"] is True
    assert document["down_seconds"] >= 0
    assert document["down_exact"] is True
    assert main(["recover", f"--{way}", "--json"]) == Exit.FINE
    assert json.loads(capsys.readouterr().out)["down_seconds"] is None
