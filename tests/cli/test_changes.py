"""The commands that change something, where there is nothing to change: exit codes, refusals, what is pending."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from netdash.apply import journal_files, publication, state_directory
from netdash.cli import publish
from netdash.cli.arguments import Arguments
from netdash.cli.main import main
from netdash.engine.client import EngineClient
from netdash.engine.errors import EngineGone
from netdash.model.host import Binding
from netdash.publish.journal import Outage, Outcome
from netdash.publish.plan import Plan
from netdash.publish.request import Mode
from netdash.publish.statement import Kind, say
from netdash.publish.undo import Shown
from tests.conftest import RECORDINGS
from tests.publish.test_state import CHANGE, RECORD
from tests.support import schemas
from tests.support.show_hosts import container, host

BUNDLE = str(RECORDINGS / "docker20.10-legacy")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETDASH_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--from", BUNDLE, "publish", "web", "80", "--yes"], 2, "a recording cannot be changed"),
        (["--from", BUNDLE, "undo", "--yes"], 2, "a recording cannot be changed"),
        (["--host", "ssh://root@box", "publish", "web", "80", "--yes"], 2, "only this host can be changed"),
        (["--host", "ssh://root@box", "published"], 2, "only this host"),
        (["--from", BUNDLE, "trace", "host", ":80", "--prove"], 2, "a recording cannot be changed"),
        (["--host", "ssh://root@box", "trace", "host", ":80", "--prove"], 2, "only this host"),
        (["--read-only", "trace", "host", ":80", "--prove"], 4, "read-only"),
        (["trace", "host", ":80", "--seconds", "3"], 2, "how long --prove awaits"),
        (["--host", "local", "--host", "ssh://root@box", "published", "--json"], 2, "only this host"),
        (["--from", BUNDLE, "published"], 2, "has no records of netdash's own changes"),
        (["--host", "local", "undo", "--yes"], 0, "there is nothing to take back"),
        (["--read-only", "publish", "web", "80", "--yes"], 4, "read-only: nothing is changed"),
        (["recover", "--rollback", "--read-only"], 4, "read-only: nothing is changed"),
        (["publish", "web", "80:81:82:83", "--yes"], 2, "is not"),
        (["publish", "web", "8000-8001:80", "--yes"], 2, "2 host ports for 1 container ports"),
        (["publish", "web", "80", "--mode", "recreate", "--for", "5m"], 2, "--for ends a forward"),
        (["publish", "web", "80", "--for", "soon"], 2, "is not a duration"),
        (["publish", "web", "80", "--for", "0m"], 2, "is no time at all"),
        (["publish", "web", "80", "--mode", "magic"], 2, "--mode: no 'magic' (forward, recreate)"),
        (["publish", "web"], 2, "required"),
        (["unpublish", "web", "8080:80", "--yes"], 2, "is not the host's port"),
        (["publish", "web", "80", "--yes"], 3, "containers could not be read"),
        (["run", "nginx", "-p", "80:80", "--yes"], 4, "there is no docker engine"),
        (["undo", "--yes"], 0, "there is nothing to take back"),
        (["recover"], 0, "nothing was interrupted"),
        (["recover", "--finish", "--rollback"], 2, "not allowed with"),
    ],
)
def test_refusals(words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said.lower() in err.lower()


def test_read_only_in_the_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.toml"
    file.write_text("read_only = true\n")
    assert main(["--config", str(file), "undo", "--yes"]) == 4
    assert "read-only" in capsys.readouterr().err


def test_an_outage_stands_beside_the_planned_one(capsys: pytest.CaptureFixture[str]) -> None:
    made = Plan(say(Kind.STOP, container="web"), "web", "f" * 64, Mode.RECREATE, stop_seconds=7)
    for outage, line, document in (
        (Outage(14.24), "downtime: 14.2 s; planned: from its stop (killed after 7 s)", [14.24, True]),
        (Outage(3.0, exact=False), "downtime: at most 3.0 s; planned", [3.0, False]),
        (None, "", [None, None]),
    ):
        arguments = Arguments()
        arguments.json = False
        publish.result(arguments, made, Outcome(outage=outage))
        said = capsys.readouterr().out
        assert line in said
        assert ("downtime" in said) == bool(line)
        arguments.json = True
        publish.result(arguments, made, Outcome(outage=outage))
        told = schemas.loads("plan", capsys.readouterr().out)
        assert [told["down_seconds"], told["down_exact"]] == document
        assert told["plan"]["downtime"].startswith("from its stop (killed after 7 s)")
    journal_files.begin(replace(CHANGE, stop_seconds=7))
    journal_files.append(CHANGE, {"begin": 0, "stopped": 1.0})
    journal_files.append(CHANGE, {"done": 0, "result": "", "down": 14.24, "exact": True})
    journal_files.append(CHANGE, {"settled": time.time()})
    assert main(["published"]) == 0
    assert "made anew, was down for 14.2 s, can be taken back" in capsys.readouterr().out
    assert main(["published", "--json"]) == 0
    (change,) = schemas.loads("published", capsys.readouterr().out)["changes"]
    assert change["downtime"].startswith("from its stop (killed after 7 s)")
    assert (change["down_seconds"], change["down_exact"]) == (14.24, True)


def test_what_is_published(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["published"]) == 0
    assert capsys.readouterr() == ("", "note: nothing is published by netdash, for this user\n")
    folder = state_directory.ensure(state_directory.forwards())
    state_directory.write(folder / "1-a.json", replace(RECORD, until=None).dumps())
    assert main(["published", "--json"]) == 0
    (found,) = schemas.loads("published", capsys.readouterr().out)["published"]
    assert (found["container"], found["phase"], found["keeper_pid"]) == ("web", "lost", None)
    journal_files.begin(CHANGE)
    assert main(["published"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "0.0.0.0:8080/tcp, [::]:53/udp → web (172.17.0.2) port 80, forward, lost: netdash recover",
        "0.0.0.0:8080/tcp → web, made anew, interrupted after 0 of 4 steps: netdash recover",
    ]


def test_what_was_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recover"]) == 0
    journal_files.begin(CHANGE)
    assert main(["recover"]) == 1
    assert "interrupted after 0 of 4 steps" in capsys.readouterr().out
    assert main(["recover", "--json"]) == 1
    (pending,) = schemas.loads("pending", capsys.readouterr().out)["pending"]
    assert "interrupted after 0 of 4 steps" in pending
    assert main(["publish", "web", "80", "--yes"]) == 4
    assert "a change of web was interrupted (netdash recover)" in capsys.readouterr().err
    assert main(["recover", "--rollback", "--yes"]) == 0  # nothing was begun: no engine is needed
    assert journal_files.listed() == ()


def test_an_unreadable_state_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state").write_text("a file")
    assert main(["published"]) == 4
    assert "cannot read" in capsys.readouterr().err


def test_hostile_records_print_nothing_raw(capsys: pytest.CaptureFixture[str]) -> None:
    folder = state_directory.ensure(state_directory.forwards())
    record = replace(RECORD, container="[red]\x1b[31m\n" + "x" * 10_000, keeper=None)
    state_directory.write(folder / "1-a.json", record.dumps())
    assert main(["published"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.count("\n") == 1
    assert len(out) < 600
    assert os.path.exists(folder / "1-a.json")


# --- a container that got another name --------------------------------------------------------------------------------


@pytest.fixture
def forwarded(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The record of a forward to web, which the engine calls web2 by now; another container is web."""
    listed = (Shown(RECORD.container_id, "web2", "running"), Shown("a" * 64, "web", "running"))
    monkeypatch.setattr(publication, "every", lambda _: listed)
    folder = state_directory.ensure(state_directory.forwards())
    for name, ports in (("1-a", RECORD.ports[:1]), ("2-b", RECORD.ports[1:])):
        record = replace(RECORD, id=name, until=None, keeper=None, ports=ports)
        state_directory.write(folder / f"{name}.json", record.dumps())
    return folder / "1-a.json"


def test_a_forward_is_shown_and_ended_by_the_name_of_today(forwarded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["published"]) == 0
    assert "→ web2 (172.17.0.2) port 80" in capsys.readouterr().out
    assert main(["unpublish", "web", "8080", "--yes"]) != 0  # it is another container
    assert forwarded.exists()
    assert main(["unpublish", "web2", "8080", "--yes"]) == 0
    assert not forwarded.exists()


def test_a_forward_is_ended_by_its_old_name_where_the_engine_does_not_answer(
    forwarded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: EngineClient) -> None:
        raise EngineGone("gone")

    monkeypatch.setattr(publication, "every", gone)
    assert main(["unpublish", "web", "8080", "--yes"]) == 0
    assert not forwarded.exists()


def test_the_port_of_the_other_protocol_is_named(
    forwarded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = container(id=RECORD.container_id, name="web2", configured=(Binding("tcp", 80, None, 9090),))
    monkeypatch.setattr(publish, "read", lambda _: host(containers=(there,)))
    for words, said in (
        ("53", "web2 publishes no port 53/tcp; it publishes 53/udp (netdash unpublish web2 53/udp)"),
        ("8080/udp", "web2 publishes no port 8080/udp; it publishes 8080/tcp (netdash unpublish web2 8080/tcp)"),
        ("9090/udp", "web2 publishes no port 9090/udp; it publishes 9090/tcp (netdash unpublish web2 9090/tcp)"),
        ("54", "web2 publishes no port 54/tcp (see: netdash ports)"),
    ):
        assert main(["unpublish", "web2", words, "--yes"]) == 4
        assert said in capsys.readouterr().err
