"""The old container of one that was made anew: how long netdash keeps it, in the list, on the card and in the JSON."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from netdash.apply import journal_files, state_directory
from netdash.bundle.recording import Recording
from netdash.cli.own_records import dumps, with_own_records
from netdash.join.host import Builder
from netdash.model.host import Host
from netdash.model.kept import old_of, parse_kept, parse_waiting
from netdash.model.source import KEPT, WAITING
from netdash.publish.journal import Journal
from netdash.view import json_host
from netdash.view.card import card
from netdash.view.columns_engine import CONTAINERS
from netdash.view.columns_ports import PORTS
from netdash.view.form_choices import look, sentences
from tests.publish.test_state import CHANGE, RECORD

OLD = "web.netdash-20260102-030405"
DUE = 1_767_323_045.0


def kept(host: Host, **changes: object) -> Host:
    """The host, its first container being an old one."""
    first, *others = host.containers or ()
    old = replace(first, id=CHANGE.old_id, name=OLD, state="exited", exit_code=137)
    return replace(host, containers=(old, *others), **changes)


def drawn(host: Host) -> tuple[str, str, object]:
    one = (host.containers or ())[0]
    card_text = "\n".join("".join(span.text for span in line) for line in card(host, one, 120))
    return CONTAINERS.rows(host)[0].cells[5].text, card_text, json_host.show(host, one)["container"]


def test_until_when_it_is_kept_stands_in_the_list_on_the_card_and_in_the_json(host: Callable[[str], Host]) -> None:
    cell, said, made = drawn(kept(host("su1"), kept_until={CHANGE.old_id: DUE}, taken=DUE - 300))
    assert cell.startswith("kept until ")
    assert ":" in cell
    assert f"the old web, {cell}: then netdash removes it" in said
    assert made["kept"] == {"of": "web", "until": DUE}


def test_without_its_record_it_is_kept_until_nobody_knows_when(host: Callable[[str], Host]) -> None:
    cell, said, made = drawn(kept(host("su1")))
    assert cell == "kept until ?"
    assert "the old web, kept until ?" in said
    assert made["kept"] == {"of": "web", "until": None}


@pytest.mark.parametrize("changes", [{"name": "web"}, {"name": f"{OLD}-new"}, {"name": OLD, "state": "running"}])
def test_another_container_is_none(host: Callable[[str], Host], changes: dict[str, str]) -> None:
    given = replace((host("su1").containers or ())[0], **{"state": "exited", **changes})
    assert old_of(given) == ""


def test_the_journals_say_until_when() -> None:
    settled = Journal(replace(CHANGE, grace=600.0), settled=100.0)
    under_way = Journal(replace(CHANGE, old_id="a" * 64))
    text = dumps((settled, under_way))
    assert parse_kept(text) == {CHANGE.old_id: 700.0}
    assert parse_kept("x\n\n1 2 3\nid -5\n") == {}


@pytest.mark.parametrize(("name", "read"), [(OLD, True), ("web", False)])
def test_they_are_read_where_a_container_has_such_a_name(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, name: str, read: bool
) -> None:
    state: Path = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("NETDASH_STATE_DIR", str(state))
    journal_files.begin(replace(CHANGE, grace=600.0))
    journal_files.append(CHANGE, {"settled": 100.0})
    listed = [{"Id": CHANGE.old_id, "Names": [f"/{name}"], "State": "exited", "Image": "x"}]
    recording = with_own_records(Recording({"docker/containers.json": listed}, live=True))
    assert (KEPT in recording.answers) is read
    assert Builder().build(recording).kept_until == ({CHANGE.old_id: 700.0} if read else {})


# --- forwards that wait -----------------------------------------------------------------------------------------------


def test_a_forward_that_waits_is_a_port_that_somebody_wants(
    host: Callable[[str], Host], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETDASH_STATE_DIR", str(tmp_path / "state"))
    folder = state_directory.ensure(state_directory.forwards())
    listed = [{"Id": RECORD.container_id, "Names": ["/db"], "State": "exited", "Image": "x"}]
    answers = {"docker/containers.json": listed, "host/listeners.txt": "", "rules/nft.json": '{"nftables": []}'}
    here = replace(RECORD, until=None, boot=state_directory.boot_id(), keeper=state_directory.process(os.getpid()))
    for phase, keeper, waits in (("up", here.keeper, False), ("waiting", here.keeper, True), ("up", None, True)):
        record = replace(here, phase=phase, keeper=keeper, target=())
        state_directory.write(folder / "1-a.json", record.dumps())
        built = Builder().build(with_own_records(Recording(dict(answers), live=True)))
        found = [port for port in built.ports or () if port.host_port == 8080]
        assert [(port.live, port.waiting, port.container_id) for port in found] == (
            [(False, True, RECORD.container_id)] if waits else []
        )
        answer = look(built, "tcp", 8080)
        assert ("8080/tcp is wanted by netdash's forward to db, which waits" in sentences(built, answer)) is waits
        assert [row.cells[9].text for row in PORTS.rows(built) if row.cells[0].text == "8080"] == (
            ["fwd waits"] if waits else []
        )


def test_the_port_of_a_forward_that_is_open_is_not_wanted_twice(host: Callable[[str], Host]) -> None:
    """Of a forward with two ports one may wait while the other is open."""
    text = f"tcp 0.0.0.0 8080 80 {RECORD.container_id}\ntcp :: 8080 80 {RECORD.container_id}\n"
    proxy = (
        "12 1 netdash-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 -container-port 80\n"
    )
    listed = [{"Id": RECORD.container_id, "Names": ["/db"], "State": "running", "Image": "x"}]
    answers = {"docker/containers.json": listed, "host/docker-proxy.txt": proxy, WAITING: text}
    for foreign in (False, True):
        listed[0]["NetworkSettings"] = {"Networks": {"b": {"IPAddress": "172.17.0.9" if foreign else "172.17.0.2"}}}
        built = Builder().build(Recording(dict(answers), live=True))
        waiting = [str(port.host_ip) for port in built.ports or () if port.waiting]
        assert waiting == (["0.0.0.0", "::"] if foreign else ["::"])


def test_what_no_record_would_say_is_no_port() -> None:
    lines = ("", "tcp", "tcp x 1 2 f", "tcp ::1 0 2 f", "tcp ::1 1 99999 f", "tcp ::1 1 2 f g")
    assert parse_waiting("\n".join(lines)) == ()
