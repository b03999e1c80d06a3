"""Lists of several hosts: a column, a marked row for a lost one, JSON that says whose a record is; one host as ever."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from netdash.bundle.collector_stream import ASKED, TRACE
from netdash.bundle.storage import load
from netdash.cli import main
from netdash.cli.arguments import Arguments
from netdash.cli.feeds import FleetFeed
from netdash.engine.context import locate
from netdash.model.errors import NetdashError
from netdash.tui.config import Options
from netdash.view.views import VIEWS
from tests.conftest import RECORDINGS
from tests.support import schemas
from tests.support.streams import fake_ssh, saying, stream, texts

OLD, NEW = "docker20.10-nft-full", "docker29.7-nftables-full"
BOTH = ("--host", "ssh://old", "--host", "ssh://root@new:2222")
THREE = (*BOTH, "--host", "ssh://dead")
Ran = tuple[int, str, str]


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs netdash where ssh leads to recorded hosts, and to one that is dead."""
    folder = tmp_path / "bin"
    folder.mkdir()
    cases = []
    for host, name in (("old", OLD), ("new", NEW)):
        text = "\n".join(stream(texts(load(RECORDINGS / name)), (*ASKED, TRACE)))
        cases.append(f"{host}) {saying(text, folder, host)} ;;")
    dead = "*) echo 'ssh: connect to host dead port 22: No route to host\x1b[2J' >&2; exit 255 ;;"
    fake_ssh(folder, f"case $host in {' '.join(cases)} {dead} esac")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def run(*arguments: str) -> Ran:
        code = main.main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.mark.parametrize("view", [view.name for view in VIEWS])
def test_one_host_looks_as_its_bundle_does(ran: Callable[..., Ran], view: str) -> None:
    code, out, _ = ran("--host", "ssh://old", view, "--json")
    there = json.loads(ran("--from", str(RECORDINGS / OLD), view, "--json")[1])
    mine = schemas.loads(view, out)
    assert code == 0
    assert {**mine, "unknown": None} == {**there, "unknown": None}


@pytest.mark.parametrize("view", [view.name for view in VIEWS])
def test_records_of_several_hosts_begin_with_their_host(ran: Callable[..., Ran], view: str) -> None:
    code, out, _ = ran(*THREE, view, "--json")
    answer = schemas.loads(view, out)
    assert (code, answer["schema"]) == (1 if answer.get("drift") else 3, 1), "one is not known"
    for name, bundle in (("old", OLD), ("root@new:2222", NEW)):
        there = json.loads(ran("--from", str(RECORDINGS / bundle), view, "--json")[1])
        records = [one for one in answer[view] if one["host"] == name]
        assert all(next(iter(one)) == "host" for one in records)
        assert [{key: value for key, value in one.items() if key != "host"} for one in records] == there[view]
    assert [one["host"] for one in answer["hosts"]] == ["old", "root@new:2222", "dead"]
    assert [one["error"] is None for one in answer["hosts"]] == [True, True, False]
    assert "No route to host" in answer["hosts"][2]["error"]
    assert "\x1b" not in out


def test_a_list_of_several_hosts_has_a_column_and_a_row_for_the_lost(ran: Callable[..., Ran]) -> None:
    code, out, notes = ran(*THREE, "networks")
    lines = out.splitlines()
    assert code == 3
    assert lines[0].split()[:2] == ["HOST", "NAME"]
    assert {line.split()[0] for line in lines[1:]} == {"old", "root@new:2222", "dead"}
    (lost,) = [line for line in lines if line.startswith("dead")]
    assert "✗ connect to host dead port 22: No route to host" in lost
    assert "note: dead: connect to host dead port 22" in notes
    assert "\x1b" not in out + notes


def test_drift_of_several_hosts_is_told_by_the_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    whole = {name: texts(load(RECORDINGS / name)) for name in (NEW, "dnat-missing-proxied")}
    unsure = {path: text for path, text in whole[NEW].items() if path != "rules/nft.json"}
    said = {name: "\n".join(stream(files)) for name, files in (whole | {"unsure": unsure}).items()}
    cases = [f"{name}) {saying(text, folder, name)} ;;" for name, text in said.items()]
    fake_ssh(folder, f"case $host in {' '.join(cases)} *) exit 255 ;; esac")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def code(*names: str) -> int:
        return main.main([*(word for name in names for word in ("--host", f"ssh://{name}")), "drift"])

    assert code(NEW, NEW) == 0
    assert code(NEW, "dnat-missing-proxied") == 1
    assert code(NEW, "dead") == 3
    assert code(NEW, "unsure") == code("unsure") == 3
    assert code("dead", "dnat-missing-proxied") == 1


def test_a_trace_where_no_address_could_be_read_is_no_error_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bin").mkdir()
    without = {path: text for path, text in texts(load(RECORDINGS / NEW)).items() if not path.startswith("ip/")}
    fake_ssh(tmp_path / "bin", saying("\n".join(stream(without)), tmp_path / "bin"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    assert main.main(["--host", "ssh://x", "trace", "outside", ":8080"]) == 5
    assert "not known" in capsys.readouterr().err


def test_a_filter_may_name_the_host(ran: Callable[..., Ran]) -> None:
    answer = json.loads(ran(*BOTH, "containers", "--json", "host:new")[1])
    assert {one["host"] for one in answer["containers"]} == {"root@new:2222"}
    code, out, notes = ran(*BOTH, "containers", "host:nobody")
    assert (code, out) == (0, "")
    assert "nothing matches the filter" in notes


def test_hosts_may_be_named_on_both_sides_of_the_command(ran: Callable[..., Ran]) -> None:
    answer = json.loads(ran("--host", "ssh://old", "networks", "--json", "--host", "ssh://new")[1])
    assert [one["host"] for one in answer["hosts"]] == ["old", "new"]


def test_where_no_host_answers_nothing_could_be_read(ran: Callable[..., Ran]) -> None:
    code, out, _ = ran("--host", "ssh://dead", "--host", "ssh://gone", "rules", "--json")
    answer = schemas.loads("rules", out)
    assert (code, answer["rules"]) == (3, None)
    code, out, notes = ran("--host", "ssh://dead", "rules")
    assert (code, out) == (3, "")
    assert notes.count("No route") == 1


def test_one_container_a_port_and_a_recording_of_one_host(ran: Callable[..., Ran], tmp_path: Path) -> None:
    assert json.loads(ran("--host", "ssh://old", "show", "web", "--json")[1])["container"]["name"] == "web"
    assert ran("--host", "ssh://old", "ports", "--free", "8080")[0] == 1
    assert ran("--host", "ssh://old", "record", str(tmp_path / "old.tar.gz"))[0] == 0
    kept = load(tmp_path / "old.tar.gz").answers
    assert set(kept) >= {"docker/inspect.json", "rules/nft.json", "containers/web/addr.json"}
    code, _, notes = ran("--host", "ssh://dead", "record", str(tmp_path / "dead"))
    assert code == 3
    assert notes == (
        "netdash: dead: connect to host dead port 22: No route to host\\x1b[2J "
        "(is the host up, and the way to it open?)\n"
    )


@pytest.mark.parametrize("command", [["show", "web"], ["record", "x"], ["ports", "--free", "80"]], ids=lambda it: it[0])
def test_what_is_for_one_host_refuses_several(ran: Callable[..., Ran], command: list[str]) -> None:
    code, out, notes = ran(*BOTH, *command)
    assert (code, out) == (2, "")
    assert "is for one host" in notes


def test_a_host_and_a_recording_exclude_each_other(ran: Callable[..., Ran]) -> None:
    assert ran("--host", "ssh://old", "--from", str(RECORDINGS / OLD), "ports")[0] == 2


def test_hosts_of_the_config_file_are_the_dashboards(ran: Callable[..., Ran]) -> None:
    feed = main._feed(Arguments())(Options(hosts=("ssh://old", "ssh://dead")))
    assert isinstance(feed, FleetFeed)
    assert [one.name for one in feed.states()] == ["old", "dead"]
    feed.stop()


def test_a_wrong_host_in_the_config_file_is_told() -> None:
    with pytest.raises(NetdashError, match="is not a host"):
        main._feed(Arguments())(Options(hosts=("old",)))


@pytest.mark.parametrize("place", ["option", "environment", "context"])
def test_an_engine_over_ssh_is_that_host(
    ran: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    """It ended in "install paramiko"."""
    expected = ran("--host", "ssh://old", "ports")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    if place == "option":
        assert ran("--docker-host", "ssh://old", "ports") == expected
        return
    if place == "environment":
        monkeypatch.setenv("DOCKER_HOST", "ssh://old")
    else:
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        monkeypatch.setenv("DOCKER_CONTEXT", "far")
        meta = tmp_path / "contexts" / "meta" / sha256(b"far").hexdigest() / "meta.json"
        meta.parent.mkdir(parents=True)
        meta.write_text('{"Name": "far", "Endpoints": {"docker": {"Host": "ssh://old"}}}')
    assert ran("ports") == expected
    code, _, notes = ran("publish", "web", "8080:80")
    assert code == 2
    assert "only this host can be changed" in notes


def test_the_engines_socket_on_that_host() -> None:
    assert locate("ssh://me@there:2222/run/docker.sock").ssh == (("ssh://me@there:2222",), "unix:///run/docker.sock")
    assert locate("ssh://there").ssh == (("ssh://there",), None)
