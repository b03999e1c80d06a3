"""Records and journals as text: what is written is read again, what is cut off or foreign is none."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from netdash.apply import change, forward, journal_files, state_directory, steps
from netdash.engine.client import local
from netdash.engine.errors import EngineGone
from netdash.model.errors import Exit, NetdashError
from netdash.publish import payload
from netdash.publish.journal import (
    Change,
    Forward,
    Journal,
    Opened,
    Outage,
    Process,
    addresses,
    load_forward,
    load_journal,
    running,
    target,
    verdict,
)
from netdash.publish.statement import Kind, Statement, say
from netdash.publish.undo import Seen, Shown
from netdash.view.statements import text

PORT = Opened("tcp", "0.0.0.0", 8080, 80)
RECORD = Forward(
    id="1-a",
    engine="unix:///var/run/docker.sock",
    container_id="f" * 64,
    container="web",
    network="bridge",
    program="/usr/sbin/docker-proxy",
    ports=(PORT, Opened("udp", "::", 53, 53)),
    created=10.5,
    boot="boot-1",
    until=20.0,
    phase="up",
    target=("172.17.0.2",),
    keeper=Process(5, 99),
)
CHANGE = Change(
    id="1-a",
    kind="recreate",
    engine="unix:///none",
    name="web",
    steps=("stop", "create", "connect:net:with:colons", "start"),
    created=1.0,
    add=(PORT,),
    old_id="f" * 64,
    backup="web.netdash-1",
    temporary="web.netdash-1-new",
    restart=("always", 0),
    endpoints={"bridge": {"Aliases": ["a"]}},
    grace=60.0,
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NETDASH_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def test_a_record_survives_its_text() -> None:
    assert load_forward(RECORD.dumps()) == RECORD
    bare = replace(RECORD, until=None, keeper=None, target=())
    assert load_forward(bare.dumps()) == bare


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"netdash": 2}', '{"netdash": 1}', "[" * 100_000])
def test_what_is_no_record(text: str) -> None:
    assert load_forward(text) is None
    assert load_journal(text) is None


def test_a_record_with_a_wrong_field_is_none() -> None:
    good = json.loads(RECORD.dumps())
    for key in good:
        bad = {**good, key: {"x": []}}
        if key not in ("id", "engine", "container_id", "container", "network", "program", "boot", "phase", "problem"):
            assert load_forward(json.dumps(bad)) is None or key == "target", key
        assert load_forward(json.dumps({name: value for name, value in good.items() if name != key})) is None


def test_what_is_to_be_done_with_a_record() -> None:
    assert verdict(RECORD, "boot-1", True, 15.0) == "kept"
    assert verdict(RECORD, "boot-1", False, 15.0) == "lost"
    assert verdict(RECORD, "boot-2", True, 15.0) == "lost"
    assert verdict(RECORD, "boot-2", True, 20.0) == "over"


# --- journals ---------------------------------------------------------------------------------------------------------


def test_a_journal_goes_on_where_it_was_cut_off(state: Path) -> None:
    journal_files.begin(CHANGE)
    journal_files.append(CHANGE, {"begin": 0})
    journal_files.append(CHANGE, {"done": 0, "result": "r"})
    path = journal_files.path_of(CHANGE)
    with path.open("a") as file:
        file.write('{"begin": 1')
    found = journal_files.load(path)
    assert found is not None
    assert (found.change, found.begun, dict(found.done), found.left) == (CHANGE, (0,), {0: "r"}, (1, 2, 3))
    assert found.result("stop") == "r"
    again = journal_files.append(CHANGE, {"begin": 1})
    assert (again.begun, again.to_undo) == ((0, 1), (0, 1))
    assert journal_files.listed() == (again,)
    assert path.stat().st_mode & 0o777 == 0o600
    assert state.joinpath("journal").stat().st_mode & 0o777 == 0o700
    journal_files.end(CHANGE)
    assert journal_files.listed() == ()


def test_every_prefix_of_a_journal_is_a_journal() -> None:
    lines = [CHANGE.line(), '{"begin": 0}', '{"done": 0, "result": ""}', '{"begin": 1}', '{"done": 1, "result": "x"}']
    lines += ['{"settled": 5.0}', '{"undoing": true}', '{"undo": 1}', '{"undone": 1}', '{"undo": 0}', '{"undone": 0}']
    text = "\n".join(lines) + "\n"
    for end in range(len(lines[0]) + 1, len(text)):
        found = load_journal(text[:end])
        assert found is not None
        assert found.unfinished is not (found.due is not None)
    whole = load_journal(text)
    assert whole is not None
    assert (whole.to_undo, whole.undoing, dict(whole.done)) == ((), True, {})
    settled = load_journal("\n".join(lines[:6]))
    assert settled is not None
    assert (settled.due, settled.unfinished) == (65.0, False)


def test_a_step_that_was_begun_to_be_taken_back_is_done_again() -> None:
    lines = [CHANGE.line(), '{"begin": 0}', '{"done": 0, "result": ""}', '{"undoing": true}', '{"undo": 0}']
    found = load_journal("\n".join(lines))
    assert found is not None
    assert (found.left, found.to_undo) == ((0, 1, 2, 3), (0,))


@pytest.mark.parametrize("running", [True, False])
def test_a_new_one_that_somebody_stopped_is_not_done(running: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []
    monkeypatch.setattr(steps, "new_container", lambda *_: {"Id": "e" * 64})
    monkeypatch.setattr(steps, "look", lambda *_: {"Name": "/web", "State": {"Running": running, "ExitCode": 137}})
    monkeypatch.setattr(steps, "set_restart", lambda *them: given.append(them[2]) or "")
    release = steps.STEPS["release"][0]
    if running:
        release(None, Journal(CHANGE), "")  # type: ignore[arg-type]
    else:
        with pytest.raises(NetdashError, match="web ended with exit code 137"):
            release(None, Journal(CHANGE), "")  # type: ignore[arg-type]
    assert given == ([CHANGE.restart] if running else [])


def test_an_outage_is_measured_and_one_that_was_interrupted_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    Scripted(monkeypatch, "", NetdashError("no"))
    monkeypatch.setattr(change, "_reap_later", lambda _: None)
    heard: list[Statement] = []
    made = change.finish(None, journal_files.begin(CHANGE), heard.append)  # type: ignore[arg-type]
    assert made.outage is not None
    assert (made.outage.exact, made.stopped) == (True, None)
    assert heard[-1] == say(Kind.WAS_DOWN, container="web", measured=made.outage)
    lines = [CHANGE.line(), '{"begin": 0, "stopped": 100.0}']
    for more, ends in (
        ([], (100.0, None)),
        (['{"begin": 3}', '{"done": 3, "result": "", "down": 2.5, "exact": true}'], (None, Outage(2.5))),
        (['{"down": null}'], (None, None)),
        (['{"done": 3, "result": "", "down": "x", "exact": true}'], (100.0, None)),
    ):
        found = load_journal("\n".join(lines + more))
        assert found is not None
        assert (found.stopped, found.outage) == ends


@pytest.mark.parametrize(("now", "said"), [(107.0, "web was down for at most 7.0 s"), (99.0, "the clock was set back")])
def test_an_outage_goes_on_while_nobody_measures_it(now: float, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Scripted(monkeypatch, "", NetdashError("no"))
    heard: list[Statement] = []
    left = journal_files.begin(CHANGE)
    journal_files.append(CHANGE, {"begin": 0, "stopped": 100.0})
    left = journal_files.append(CHANGE, {"done": 0, "result": ""})
    monkeypatch.setattr(time, "time", lambda: now)
    change.rollback(None, left, heard.append)  # type: ignore[arg-type]
    assert any(said in text(each) for each in heard)


def test_a_container_that_runs_was_not_down_until_now(monkeypatch: pytest.MonkeyPatch) -> None:
    Scripted(monkeypatch, "", NetdashError("no"))
    monkeypatch.setattr(change, "look", lambda *_: Seen(Shown(CHANGE.old_id, "web", "running")))
    heard: list[Statement] = []
    journal_files.begin(CHANGE)
    left = journal_files.append(CHANGE, {"begin": 0, "stopped": 100.0})
    assert change.rollback(None, left, heard.append) is None  # type: ignore[arg-type]
    assert not any(each.kind is Kind.WAS_DOWN for each in heard)


class Scripted:
    """Steps that only note that they were done; one of them fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: str, error: Exception) -> None:
        self.done: list[str] = []
        for word in steps.STEPS:
            monkeypatch.setitem(steps.STEPS, word, (self._step(word, fails, error), self._step(f"un{word}", "", error)))
        monkeypatch.setattr(change, "look", lambda *_: Seen(Shown(CHANGE.old_id, "web", "exited")))

    def _step(self, word: str, fails: str, error: Exception) -> Any:
        def step(_: object, journal: object, argument: str) -> str:
            self.done.append(f"{word}:{argument}" if argument else word)
            if word == fails:
                raise error
            return word

        return step


def test_a_failed_step_takes_all_back(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted = Scripted(monkeypatch, "start", NetdashError("no"))
    with pytest.raises(NetdashError, match="taken back: no"):
        change._carry_out(None, journal_files.begin(CHANGE), lambda _: None)  # type: ignore[arg-type]
    there = ["stop", "create", "connect:net:with:colons", "start"]
    back = ["unstart", "unconnect:net:with:colons", "unstop", "uncreate", "unstop"]
    assert scripted.done == [*there, *back]
    assert journal_files.listed() == ()


def test_an_engine_that_is_gone_leaves_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    Scripted(monkeypatch, "start", EngineGone("killed"))
    with pytest.raises(EngineGone):
        change._carry_out(None, journal_files.begin(CHANGE), lambda _: None)  # type: ignore[arg-type]
    (left,) = change.unfinished()
    assert left.left == (3,)
    finished = Scripted(monkeypatch, "", NetdashError("no"))
    monkeypatch.setattr(change, "_reap_later", lambda _: None)
    change.finish(None, left, lambda _: None)  # type: ignore[arg-type]
    assert finished.done == ["start"]
    (settled,) = journal_files.listed()
    assert settled.due is not None


# --- what is lost -----------------------------------------------------------------------------------------------------


def test_a_record_without_its_process_is_lost_and_one_that_is_over_is_dropped() -> None:
    ours = state_directory.process(os.getpid())
    folder = state_directory.ensure(state_directory.forwards())
    records = {
        "a": replace(RECORD, id="a", keeper=ours, boot=state_directory.boot_id(), until=None),
        "b": replace(RECORD, id="b", keeper=Process(os.getpid(), 1), boot=state_directory.boot_id(), until=None),
        "c": replace(RECORD, id="c", keeper=None, boot="before", until=1.0),
    }
    for name, record in records.items():
        state_directory.write(folder / f"{name}.json", record.dumps())
    (folder / "broken.json").write_text("{")
    assert {one.id for one in forward.listed()} == {"a", "b", "c"}
    assert [one.id for one in forward.lost(forward.listed())] == ["b"]
    forward.end_one(records["b"])
    assert list(map(text, forward.reconcile())) == ["the forward of web port 53, 8080 is over: its time has ended"]
    assert [one.id for one in forward.listed()] == ["a"]


def test_one_change_at_a_time() -> None:
    with (
        state_directory.one_at_a_time(),
        pytest.raises(NetdashError, match="another netdash"),
        state_directory.one_at_a_time(),
    ):
        pass


def test_only_sockets_of_this_machine() -> None:
    assert local("unix:///var/run/docker.sock").socket == "/var/run/docker.sock"
    for address in ("tcp://10.0.0.1:2375", "ssh://there", "unix://relative", ""):
        with pytest.raises(NetdashError) as raised:
            local(address)
        assert raised.value.code is Exit.REFUSED


# --- the payload ------------------------------------------------------------------------------------------------------


INSPECT: dict[str, Any] = {
    "Id": "abcdef012345" + "0" * 52,
    "Name": "/web",
    "Image": "sha256:1",
    "Config": {"Hostname": "abcdef012345", "Image": "nginx", "Entrypoint": None, "Cmd": ["x"], "ExposedPorts": None},
    "HostConfig": {
        "NetworkMode": "default",
        "Links": ["/db:/web/store"],
        "Binds": ["/etc:/etc2:ro"],
        "Mounts": [{"Type": "volume", "Target": "/m"}, {"Type": "volume", "Source": "v", "Target": "/n"}],
        "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "80"}, {"HostIp": "::1", "HostPort": "80"}]},
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
    },
    "Mounts": [
        {"Type": "volume", "Name": "anon", "Destination": "/a", "Mode": "", "RW": True},
        {"Type": "volume", "Name": "mm", "Destination": "/m", "Mode": "z", "RW": True},
        {"Type": "volume", "Name": "borrowed", "Destination": "/b", "Mode": "", "RW": False},
        {"Type": "bind", "Destination": "/etc2"},
    ],
    "NetworkSettings": {
        "Networks": {
            "bridge": {"IPAddress": "172.17.0.2", "MacAddress": "02:42:ac:11:00:02", "Aliases": None},
            "net": {
                "IPAddress": "10.0.0.2",
                "MacAddress": "02:42:00:00:00:01",
                "Aliases": ["one", "abcdef012345"],
                "IPAMConfig": {"IPv4Address": "10.0.0.2"},
                "GwPriority": 3,
                "DNSNames": ["web"],
            },
        }
    },
}


def test_the_body_of_an_equal() -> None:
    wanted = payload.Differences("nginx", {"Entrypoint": ["/e"]}, (PORT,), (), ("no", 0), ("/b",))
    made = payload.body(INSPECT, {"bridge": {}}, wanted)
    assert "Hostname" not in made
    assert (made["Entrypoint"], made["Cmd"]) == ([""], ["x"])
    assert made["ExposedPorts"] == {"80/tcp": {}}
    host = made["HostConfig"]
    assert host["Links"] == ["db:store"]
    assert host["Binds"] == ["/etc:/etc2:ro", "anon:/a"]
    assert host["Mounts"] == [
        {"Type": "volume", "Target": "/m", "Source": "mm"},
        {"Type": "volume", "Source": "v", "Target": "/n"},
    ]
    assert host["PortBindings"]["80/tcp"][-1] == {"HostIp": "0.0.0.0", "HostPort": "8080"}
    assert host["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert made["NetworkingConfig"] == {"EndpointsConfig": {"bridge": {}}}
    assert INSPECT["HostConfig"]["PortBindings"]["80/tcp"][-1]["HostPort"] == "80"  # the answer itself is not changed
    assert payload.restart_policy(INSPECT) == ("on-failure", 3)


def test_endpoints_by_the_engines_version() -> None:
    old, new = payload.endpoints(INSPECT, (1, 41)), payload.endpoints(INSPECT, (1, 51))
    assert old["bridge"] == new["bridge"] == {}
    assert old["net"] == {"IPAMConfig": {"IPv4Address": "10.0.0.2"}, "Aliases": ["one"], "GwPriority": 3}
    assert new["net"] == {**old["net"], "MacAddress": "02:42:00:00:00:01"}
    assert payload.first_network(INSPECT) == "bridge"
    ends = {"bridge": {"IPAddress": "172.17.0.2", "MacAddress": "2e:84:42:43:5e:20"}}
    random = {**INSPECT, "NetworkSettings": {"Networks": ends}}
    chosen = {**random, "Config": {"MacAddress": "2e:84:42:43:5e:20"}}
    assert payload.endpoints(random, (1, 51)) == {"bridge": {}}
    assert payload.endpoints(chosen, (1, 51)) == {"bridge": {"MacAddress": "2e:84:42:43:5e:20"}}
    assert payload.endpoints(chosen, (1, 41)) == {"bridge": {}}
    assert payload.endpoints(random, (1, 52)) == {"bridge": {"MacAddress": "2e:84:42:43:5e:20"}}


def test_bindings_that_go() -> None:
    old = INSPECT["HostConfig"]["PortBindings"]
    some = payload.bindings(old, (), (Opened("tcp", "0.0.0.0", 80, 80),))
    assert some == {"80/tcp": [{"HostIp": "::1", "HostPort": "80"}]}
    assert payload.bindings(some, (), (Opened("tcp", "::1", 80, 80),)) == {}


def test_where_a_container_is() -> None:
    assert addresses(INSPECT, "net") == ("10.0.0.2",)
    assert addresses(INSPECT, "gone") == ("172.17.0.2",)
    assert addresses({}, "net") == addresses({"NetworkSettings": {"Networks": {"net": None}}}, "net") == ()
    assert target(("10.0.0.2", "fd00::2"), "::") == "fd00::2"
    assert target(("10.0.0.2",), "::1") == "10.0.0.2"
    assert running({"State": {"Running": True}})
    assert not running({"State": {"Running": True, "Paused": True}})
    assert not running({})
