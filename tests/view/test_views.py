"""Views and their rows: states told plainly, unknown is "?", nothing raw, cells that lead somewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from netdash.model.host import Chain, Host, Ruleset, Scope, Unread
from netdash.model.relations import ref_of
from netdash.view import formatting
from netdash.view.detail import detail
from netdash.view.table import Row
from netdash.view.text import Tone
from netdash.view.unavailable import missing, reason, sentence
from netdash.view.views import BY_NAME, VIEW_OF, VIEWS, destination
from tests.support.show_hosts import blind, container, dnat, host, hostile, port


def row(name: str, given: Host, at: int = 0) -> dict[str, str]:
    view = BY_NAME[name]
    return {column.key: cell.text for column, cell in zip(view.columns, view.rows(given)[at].cells, strict=True)}


def test_the_digits_name_the_views() -> None:
    names = "containers ports networks rules routes proxies links drift flows".split()
    assert [(view.digit, view.name) for view in VIEWS] == [
        *((str(at), name) for at, name in enumerate(names, 1)),
        ("D", "drops"),
    ]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
@pytest.mark.parametrize("name", ["su1", "docker28.5-nft-full", "docker29.7-nftables-full", "podman5.8-nftables"])
def test_rows_fit_their_columns_and_are_told_apart(name: str, view: object, host: Callable[[str], Host]) -> None:
    assert view in VIEWS
    rows = view.rows(host(name))  # type: ignore[attr-defined]
    assert all(len(one.cells) == len(one.sort) == len(view.columns) for one in rows)  # type: ignore[attr-defined]
    assert len({one.ref for one in rows}) == len(rows)
    assert all(rows.ref(at) == one.ref for at, one in enumerate(rows))
    assert all(VIEW_OF[one.ref.kind] == view.name for one in rows)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "● running"),
        ({"state": "paused"}, "◐ paused"),
        ({"state": "restarting"}, "◐ restarting"),
        ({"state": "created"}, "○ created"),
        ({"state": "exited", "exit_code": 0}, "○ exited 0"),
        ({"state": "exited", "exit_code": None}, "○ exited"),
        ({"state": "dead", "exit_code": 137}, "✗ dead 137"),
        ({"health": "unhealthy"}, "● running unhealthy"),
        ({"state": "new word"}, "? new word"),
    ],
)
def test_a_state_is_a_glyph_and_a_word(changes: dict[str, object], shown: str) -> None:
    assert formatting.state(container(**changes)).text == shown


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "172.17.0.3"),
        ({"endpoints": (), "network_mode": "host"}, "host"),
        ({"endpoints": (), "network_mode": "none"}, "none"),
        ({"endpoints": (), "shares_with": "c1"}, "as c1"),
        ({"endpoints": ()}, "?"),
        ({"endpoints": (), "state": "exited"}, "—"),
    ],
)
def test_an_address_says_plainly_whose_it_is(changes: dict[str, object], shown: str) -> None:
    assert row("containers", host(containers=(container(**changes),)))["address"] == shown


def test_ages_count_from_when_the_host_was_read() -> None:
    assert row("containers", host())["for"] == "1 h"
    assert row("containers", host(), 1)["for"] == "16 min"
    assert row("containers", host(taken=None))["for"] == "?"
    assert [formatting.age(seconds) for seconds in (-5, 59, 60, 7200, 864000)] == [
        "0 s",
        "59 s",
        "1 min",
        "2 h",
        "10 d",
    ]


def test_ranges_of_published_ports_are_folded() -> None:
    nine = [port(number, container_port=number) for number in (9000, 9001, 9002, 9003)]
    both = [port(80), port(80, "::")]
    odd = [port(53, proto="udp", container_port=53), port(8082, "127.0.0.1", scope=Scope.LOOPBACK)]
    down = [port(8090, container_port=90, live=False)]
    shown = formatting.published(container(), [*down, *nine, *both, *odd]).text
    assert shown == "53→53/udp 80→80 127.0.0.1:8082→80 9000-9003→9000-9003 (8090→90)"
    six = [port(7000 + at, "::", container_port=70 + at) for at in range(2)]
    assert formatting.published(container(), six).text == "[::]:7000-7001→70-71"


def test_what_goes_another_way_is_not_folded() -> None:
    way = [port(9000, container_port=9000), port(9001, container_port=9001, dnat=None)]
    assert [len(run) for run in formatting.fold(way)] == [2]
    assert [len(run) for run in formatting.fold(way, alike=lambda one: one.dnat is None)] == [1, 1]


def test_unknown_is_a_question_mark_and_never_a_zero() -> None:
    entry = port(dnat=None, proxy=None, listening=None, holder=None, target_ip=None)
    cells = row("ports", host(ports=(entry,), ruleset=None))
    assert {key for key, text in cells.items() if text == "?"} == {
        *("target", "holder", "rule", "packets", "listening")
    }
    assert row("ports", host(ports=(entry,), ruleset=None, pending=frozenset({"rules"})))["rule"] == "…"
    assert row("ports", host(ports=(replace(entry, holder=port().holder),)))["rule"] == "—"
    assert (
        row("ports", host(ports=(entry,), ruleset=Ruleset((), unread=(Unread("nft", "nft was not read"),))))["rule"]
        == "?"
    )


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_list_that_could_not_be_read_is_not_an_empty_one(view: object) -> None:
    nothing = blind()
    assert view in VIEWS
    assert not view.known(nothing)  # type: ignore[attr-defined]
    assert view.known(host())  # type: ignore[attr-defined]
    assert len(view.rows(nothing)) == 0  # type: ignore[attr-defined]
    assert missing(nothing, view.sources)  # type: ignore[attr-defined]


def test_a_failure_is_told_with_its_remedy() -> None:
    assert reason(blind(), "rules") == "permission denied"
    assert reason(host(pending=frozenset({"rules"})), "rules") == "reading…"
    assert sentence(missing(blind(), ["rules"])[0]) == "rules: permission denied · run with sudo"


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_foreign_text_never_reaches_a_cell_raw(view: object) -> None:
    for one in view.rows(hostile()):  # type: ignore[attr-defined]
        text = "".join(cell.text for cell in one.cells)
        assert text.isprintable()
        assert len(text) < 4000


def test_what_a_tool_could_not_show_stands_above_the_rules(host: Callable[[str], Host]) -> None:
    told = host("nft-incompatible-table")
    assert told.ruleset is not None
    rows = BY_NAME["rules"].rows(told)
    assert len(rows) == len(told.ruleset.rules) + 1
    note = rows[0]
    assert "iptables-save left out table ip filter" in note.cells[6].text
    assert destination(told, note.ref) == ("rules", note.ref)
    assert "".join(span.text for span in detail(told, rows.things[0], 200)[0]).strip().endswith("xt rules")
    assert len(BY_NAME["rules"].rows(host("docker20.10-nft-full"))) > 20


def test_every_reference_leads_to_a_row(host: Callable[[str], Host]) -> None:
    given = host("docker28.5-nft-full")
    rows: dict[str, set[object]] = {view.name: {one.ref for one in view.rows(given)} for view in VIEWS}
    lost = set()
    for view in VIEWS:
        for one in view.rows(given):
            for cell in one.cells:
                if cell.ref is None:
                    continue
                found = destination(given, cell.ref)
                if found is None or found[1] not in rows[found[0]]:
                    lost.add((view.name, cell.ref.kind))
    assert lost <= {
        ("links", "address"),
        ("routes", "address"),
        ("networks", "address"),
        ("flows", "address"),
    }  # those of other hosts


def test_a_chain_without_rules_leads_to_the_rule_that_jumps_there() -> None:
    jump = replace(dnat(), target=replace(dnat().target, chain="EMPTY"))
    chains = (Chain("ip", "nat", "EMPTY", "iptables-nft", ()), Chain("ip", "nat", "DOCKER", "iptables-nft", (jump,)))
    given = host(ruleset=Ruleset(chains))
    assert destination(given, ref_of(chains[0])) == ("rules", ref_of(jump))


def test_an_address_leads_to_its_container(host: Callable[[str], Host]) -> None:
    given = host("su1")
    cells: Row = BY_NAME["containers"].rows(given)[0]
    address = next(cell for cell in cells.cells if cell.ref and cell.ref.kind == "address")
    assert address.ref is not None
    assert destination(given, address.ref) == ("containers", cells.ref)


def test_rows_are_built_once_and_only_when_looked_at() -> None:
    built: list[int] = []
    rule = dnat()
    rules = tuple(replace(rule, position=at) for at in range(1, 10_001))
    rows = BY_NAME["rules"].rows(host(ruleset=Ruleset((Chain("ip", "nat", "DOCKER", "iptables-nft", rules),))))
    inner = rows._build
    rows._build = lambda thing: built.append(thing.position) or inner(thing)
    assert rows[9_000] is rows[9_000]
    assert [one.cells[2].text for one in rows[10:12]] == ["11", "12"]
    assert built == [9_001, 11, 12]


def test_tones_tell_what_is_wrong() -> None:
    listening = BY_NAME["ports"].rows(host(ports=(port(listening=False),)))[0].cells[-1]
    assert (listening.text, listening.tone) == ("○ nobody", Tone.BAD)


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0"), (99_999, "99999"), (123_456, "123k"), (10**6, "1M"), (45 * 10**12, "45T")]
)
def test_counters_stay_short(number: int, shown: str) -> None:
    assert formatting.short_number(number) == shown


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 20, "5.0 MiB"), (20 << 30, "20 GiB")]
)
def test_bytes_stay_short(number: int, shown: str) -> None:
    assert formatting.short_bytes(number) == shown


def test_without_the_engine_nothing_is_said_to_be_no_containers(host: Callable[[str], Host]) -> None:
    down = host("dockerd-down-live-restore")
    assert [row("ports", down)["container"], row("ports", down)["target"]] == ["?", "172.18.0.2:80"]
    owners = {one["name"]: one["container"] for one in (row("links", down, at) for at in range(len(down.links or ())))}
    assert {"veth40ed38d": "?", "docker0": "—"}.items() <= owners.items()
    known = host("docker20.10-nft-full")
    assert row("networks", known)["containers"] == "1"
    assert row("networks", replace(known, containers=None))["containers"] == "?"


def test_whose_a_port_of_a_bridge_is_stays_open_while_a_container_has_none(host: Callable[[str], Host]) -> None:
    given = host("podman5.8-nftables")
    owners = {
        one["name"]: one["container"] for one in (row("links", given, at) for at in range(len(given.links or ())))
    }
    assert (owners["veth0"], owners["podman0"], owners["eth0"]) == ("?", "—", "—")


@pytest.mark.parametrize(
    ("network", "shown"),
    [
        ("bridge", "172.17.0.1, fd00:20::1"),  # the engine names one of them only
        ("noicc", "10.69.0.1"),  # none; its container has it
        ("intern", "—"),  # its container has none
        ("ipv", "?"),  # no container to ask
        ("host", "—"),
    ],
)
def test_a_gateway_that_the_network_does_not_name_is_its_containers(
    network: str, shown: str, host: Callable[[str], Host]
) -> None:
    given = host("docker28.5-nft-full")
    rows = (row("networks", given, at) for at in range(len(given.networks or ())))
    assert next(one["gateway"] for one in rows if one["name"] == network) == shown


@pytest.mark.parametrize(("state", "shown"), [("running", "?"), ("exited", "?"), ("created", "—")])
def test_how_long_is_a_question_mark_where_nobody_says(state: str, shown: str) -> None:
    given = host(containers=(container(state=state, started_at=None, finished_at=None),))
    assert row("containers", given)["for"] == shown
