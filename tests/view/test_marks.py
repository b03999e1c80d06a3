"""Why a row is marked: the reason stands beside the mark in every list, and is not cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from netdash.doctor.examine import examine
from netdash.model.finding import Health, Mark, Standing, health_of, keep_health
from netdash.model.host import Host
from netdash.view import marks
from netdash.view.layout import shorter
from netdash.view.questions import asked
from netdash.view.table import Row
from netdash.view.text import width
from netdash.view.views import BY_NAME
from tests.doctor_table import DrawnRows
from tests.support.tui_hosts import crowd


def marked(host: Host, view: str) -> list[Row]:
    """The rows that say why."""
    return [row for row in BY_NAME[view].rows(host) if row.why is not None]


@pytest.mark.parametrize(
    ("sentence", "room", "shown"),
    [
        ("the table is full: new connections are dropped", 60, "the table is full: new connections are dropped"),
        ("the table is full: new connections are dropped", 40, "the table is full"),
        ("docker0, the bridge of network bridge, is down: all are cut off", 40, "docker0 is down: all are cut off"),
        ("docker0, the bridge of network bridge, is down: all are cut off", 20, "docker0 is down"),
        ("filter/FORWARD #1, which belongs to nobody known, drops every packet before the rest is asked", 45,
         "filter/FORWARD #1 drops every packet"),
        ("iptables cannot read table filter any more, because nft wrote into it", 50,
         "iptables cannot read table filter any more"),
        ("web publishes 80/udp, and listens there by tcp only", 40, "web publishes 80/udp…s there by tcp only"),
        ("the rule for 8080/tcp is gone, and no proxy serves it", 40, "the rule for 8080/tcp is gone"),
    ],
)  # fmt: skip
def test_a_reason_is_told_in_whole_clauses(sentence: str, room: int, shown: str) -> None:
    assert shorter(sentence, room) == shown


@pytest.mark.parametrize("room", range(1, 60))
def test_a_reason_never_takes_more_than_its_room(room: int) -> None:
    assert width(shorter("veth0, the host's end of web, is not in its bridge docker0: nobody is there", room)) <= room


def test_a_rule_that_cuts_somebody_off_says_whom(examined: Callable[[str], Host]) -> None:
    (row,) = (row for row in marked(examined("forward-drop-ahead"), "rules") if row.cells[3].text == "DROP")
    assert row.why is not None
    assert row.why.text == "cuts off web"
    assert (row.lead and row.lead.text, row.tags) == ("✗", ("broken",))


@pytest.mark.parametrize(
    ("name", "view", "words"),
    [
        ("forward-drop-ahead", "containers", "filter/FORWARD #1"),
        ("forward-drop-ahead", "ports", "filter/FORWARD #1"),
        ("forward-drop-ahead", "networks", "filter/FORWARD #1"),
        ("forward-drop-ahead", "proxies", "filter/FORWARD #1"),
        ("veth-no-master", "links", "is not in its bridge"),
        ("proxy-dead", "ports", "docker-proxy"),
    ],
)
def test_every_list_says_why(examined: Callable[[str], Host], name: str, view: str, words: str) -> None:
    assert any(row.why and words in row.why.text for row in marked(examined(name), view))


@pytest.mark.parametrize("name", ["docker28.5-nft-full", "docker29.7-nftables-full", "docker20.10-nft-full"])
@pytest.mark.parametrize("view", ["ports", "networks", "rules", "routes", "proxies", "links"])
def test_a_healthy_host_is_calm(examined: Callable[[str], Host], name: str, view: str) -> None:
    assert not [row for row in marked(examined(name), view) if row.lead and row.lead.text in "✗!"]


def test_a_network_is_as_little_known_as_what_is_on_it() -> None:
    whole = crowd(2)
    (network,) = whole.networks or ()
    unknown = {one.id: Standing(Mark.UNKNOWN, Mark.OK) for one in whole.containers or ()}
    keep_health(whole, Health((), {}, unknown))
    assert marks.of_network(whole, network) is Mark.UNKNOWN
    unread = replace(whole, containers=None)
    keep_health(unread, Health((), {}))
    assert marks.of_network(unread, network) is Mark.UNKNOWN


def test_what_was_not_read_is_said_above_the_list() -> None:
    health = Health((), {"rules": "not permitted"}, {"a": Standing(Mark.UNKNOWN, Mark.OK)})
    said = "".join(span.text for span in marks.banner(health, 60, ["rules: not permitted · run with sudo"]))
    assert said.split() == "?1 rules: not permitted · run with sudo".split()
    assert marks.banner(replace(health, standings={}), 60, ["rules: not permitted"]) == ()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("accept-missing", "filter/DOCKER lacks a rule of the engine"),
        ("host-ip-changed", "this host does not have 203.0.113.2"),
        ("internal-network", "n2 is an internal network"),
        ("macvlan-host", "mv is kept apart from this host"),
        ("network-none", "web has no network"),
        ("rp-filter-strict", "rp_filter of eth0 is strict"),
        ("tailscale-exit-node", "ip rule 5270 leads away from the containers"),
        ("v29-loopback-publish-from-lan", "a neighbour on eth0 can reach 8080/tcp of web"),
        ("v29-unpublished-port", "unpublished ports were asked for"),
    ],
)
def test_a_row_of_80_columns_says_what_hits_somebody(examined: Callable[[str], Host], name: str, words: str) -> None:
    assert any(words in row and "…" not in row.split(words)[1] for row in DrawnRows(examined(name)).texts())


def test_what_is_not_answered_without_a_known_cause_is_unknown(
    host: Callable[[str], Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is neither meant nor broken by anything that could be named: the reason of its trace stands beside it."""
    monkeypatch.setattr("netdash.doctor.examine.cause", lambda _: None)
    whole = replace(host("app-on-loopback"))
    keep_health(whole, examine(whole))
    (web,) = whole.containers or ()
    standing = marks.standing_of(whole, web)
    assert standing is not None
    assert standing.inwards is Mark.UNKNOWN
    why = marks.note(whole, web)
    assert why is not None
    assert why.text.startswith("nothing listens on 172.17.0.2:80/tcp inside web")
    line = next(one for one in asked(whole, web) if one.label == "IN")
    assert line.verdict.text == "? unknown"


def test_a_paused_container_owes_no_packet(examined: Callable[[str], Host]) -> None:
    whole = examined("docker28.5-nft-full")
    paused = next(one for one in whole.containers or () if one.name == "c-paused")
    standing = marks.standing_of(whole, paused)
    assert standing is not None
    assert standing.outwards is Mark.NOTHING


def test_the_reason_of_what_is_unknown_is_told_of_the_container_itself(examined: Callable[[str], Host]) -> None:
    """Of containers that fare alike one was traced: its name is not told of the others."""
    whole = examined("podman5.8-nftables")
    told = [(one.name, why.text) for one in whole.containers or () if (why := marks.doubt(whole, one))]
    assert len(told) > 1
    assert all(name in why.split() for name, why in told if " inside " in why)


def test_what_hits_no_container_has_its_glyph_in_the_banner(examined: Callable[[str], Host]) -> None:
    health = health_of(examined("dockerd-down-live-restore"))
    assert health is not None
    assert "".join(span.text for span in marks.banner(health, 80)).startswith(" ✗  Docker seems to be down")
