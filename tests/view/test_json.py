"""The JSON: its promised keys on every recorded host, null for unknown, ASCII only."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from netdash.model.host import Host
from netdash.view import json_host
from netdash.view.form_choices import look
from netdash.view.views import BY_NAME, VIEWS
from tests.support import schemas
from tests.support.golden_commands import GOLDEN
from tests.support.show_hosts import blind, container, host, hostile, port

RECORDINGS = Path(__file__).parents[1] / "recordings"
NAMES = sorted(path.name for path in RECORDINGS.iterdir() if (path / "ip").is_dir())


def listed(given: Host, name: str) -> dict[str, Any]:
    view = BY_NAME[name]
    written = json_host.dumps(json_host.list_view(given, view, view.rows(given).things))
    answer: dict[str, Any] = schemas.loads(name, written)
    return answer


def shown(given: Host, at: int = 0) -> dict[str, Any]:
    answer: dict[str, Any] = schemas.loads("show", json_host.dumps(json_host.show(given, (given.containers or ())[at])))
    return answer


@pytest.mark.parametrize("name", [*NAMES, "su1"])
def test_every_container_is_as_the_schema_says(name: str, host: Callable[[str], Host]) -> None:
    given = host(name)
    for at, one in enumerate(given.containers or ()):
        assert shown(given, at)["container"]["id"] == one.id[:12]


@pytest.mark.parametrize("name", [*NAMES, "su1"])
def test_every_list_is_as_the_schema_says(name: str, host: Callable[[str], Host]) -> None:
    for view in VIEWS:
        assert (listed(host(name), view.name)[view.name] is None) == (not view.known(host(name)))


@pytest.mark.parametrize("golden", sorted(GOLDEN.glob("*/*.json")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_golden_document_is_as_the_schema_says(golden: Path) -> None:
    document, _ = json.JSONDecoder().raw_decode(golden.read_text("utf-8"))  # notes and the exit code stand behind it
    schemas.valid(golden.stem.partition("-")[0], document)


def test_the_schema_is_one_itself_and_leaves_nothing_open() -> None:
    Draft202012Validator.check_schema(schemas.SCHEMA)
    for name, record in schemas.SCHEMA["$defs"].items():
        assert "properties" not in record or record["additionalProperties"] is False, name


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_list_that_could_not_be_read_is_null(view: object) -> None:
    name: str = view.name  # type: ignore[attr-defined]
    answer = listed(blind(), name)
    assert answer[name] is None
    assert set(answer["unknown"].values()) == {"permission denied; run with sudo"}
    assert listed(host(), name)["unknown"] == {}


def test_ways_are_null_when_the_ledger_is() -> None:
    given = blind()
    answer = schemas.loads("show", json_host.dumps(json_host.show(given, container())))
    assert answer["published"] is None
    assert set(answer["unknown"]) >= {"docker", "rules", "routes", "proxies"}


def test_the_default_route_and_both_families_are_told(host: Callable[[str], Host]) -> None:
    given = host("docker28.5-nft-full")
    at = [one.name for one in given.containers or ()].index("c-six")
    answer = shown(given, at)
    assert [(entry["ip"], entry["prefix"]) for entry in answer["addresses"]] == [("10.66.0.2", 24), ("fd00:66::2", 64)]
    assert answer["outbound"][0]["route"]["dst"] == "default"
    assert answer["outbound"][0]["leaves_as"] == "203.0.113.2"


def test_published_ports_are_null_where_the_ports_are_not_known() -> None:
    assert {one["published"] for one in listed(host(ports=None), "containers")["containers"]} == {None}


def test_a_source_that_is_still_read_is_unknown() -> None:
    assert json_host.unknown(host(pending=frozenset({"rules"})), ("rules", "docker")) == {"rules": "not read yet"}


def test_hostile_text_is_ascii_and_whole() -> None:
    for view in VIEWS:
        written = json_host.dumps(json_host.list_view(hostile(), view, view.rows(hostile()).things))
        assert written.isascii()
        assert "\x1b" not in written
        assert json.loads(written)[view.name]


def test_a_port_is_free_only_when_every_socket_is_known() -> None:
    given = host(ports=(port(8080), port(8081, live=False, holder=None)))
    assert look(given, "tcp", 8080).free is False
    assert look(given, "udp", 8080).free is True
    wanted = look(given, "tcp", 8081)
    assert (wanted.free, len(wanted.wanted_by), wanted.offers[0]) == (True, 1, 8082)
    blinded = host(ports=(port(8080),), listeners=None)
    assert look(blinded, "tcp", 8080).free is False
    assert look(blinded, "tcp", 9000).free is None
    assert look(blinded, "tcp", 9000).offers == ()
    assert look(host(ports=()), "tcp", 65535).offers == ()
