"""The path card and the details: any width, hostile names, what is said when something is missing or broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from netdash.model.host import Host
from netdash.view import layout
from netdash.view.card import card
from netdash.view.columns_ports import PORTS
from netdash.view.detail import detail
from netdash.view.text import Line
from netdash.view.views import VIEWS, destination
from tests.support.show_hosts import blind, container, early, host, hostile, port
from tests.support.tui_hosts import crowd

WIDTHS = [40, 57, 80, 99, 100, 120, 160, 200]


def text(lines: tuple[Line, ...]) -> str:
    return "\n".join("".join(span.text for span in line) for line in lines)


def shown(given: Host, width: int = 120, at: int = 0) -> str:
    return text(card(given, (given.containers or ())[at], width))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["su1", "docker28.5-nft-full", "podman5.8-nftables", "docker28.5-rootless-HOSTNS"])
def test_no_card_is_too_wide(name: str, width: int, host: Callable[[str], Host]) -> None:
    given = host(name)
    for one in given.containers or ():
        assert max(map(layout.size, card(given, one, width))) <= width


@pytest.mark.parametrize("name", ["accept-missing", "iface-forward-off", "veth-no-master", "container-paused"])
def test_what_mends_it_stands_below_what_is_wrong(name: str, examined: Callable[[str], Host]) -> None:
    """So that a small screen shows both."""
    lines = shown(examined(name), 80).splitlines()
    assert lines[1].startswith((" ✗", " !"))
    assert next(line for line in lines[2:] if line[1:7].strip()).startswith(" FIX")


@pytest.mark.parametrize("width", WIDTHS)
def test_hostile_names_are_drawn_safely(width: int) -> None:
    given = hostile()
    cards = [card(given, one, width) for one in given.containers or ()]
    cards += [detail(given, thing, width) for view in VIEWS for thing in view.rows(given).things]
    for lines in cards:
        assert max(map(layout.size, lines)) <= width
        assert all(span.text.isprintable() for line in lines for span in line)


@pytest.mark.parametrize("name", ["su1", "docker28.5-nft-full", "docker29.7-nftables-full", "podman5.8-nftables"])
def test_every_row_has_its_detail(name: str, host: Callable[[str], Host]) -> None:
    given = host(name)
    for view in VIEWS:
        for thing in view.rows(given).things:
            lines = detail(given, thing, 100)
            assert lines
            assert max(map(layout.size, lines)) <= 100


def test_every_hop_can_be_followed(host: Callable[[str], Host]) -> None:
    given = host("su1")
    spans = [span for one in given.containers or () for line in card(given, one, 120) for span in line if span.ref]
    kinds = {span.ref.kind for span in spans if span.ref}
    assert kinds >= {"question", "container", "rule", "link", "address", "proxy"}
    assert all(span.ref and destination(given, span.ref) for span in spans if span.ref and span.ref.kind != "question")


def test_nothing_is_claimed_when_nothing_could_be_read() -> None:
    given = replace_host(blind(), containers=(container(),), ports=(port(dnat=None, holder=None, listening=None),))
    said = shown(given)
    assert "─▶ ?" in said
    assert "rules: permission denied" in said
    assert "run with sudo" in said
    assert "nothing forwards" not in said
    assert "nobody" not in said


def replace_host(given: Host, **changes: object) -> Host:
    return replace(given, **changes)  # type: ignore[arg-type]


def broken(entry: object, **changes: object) -> str:
    return shown(host(ports=(entry,), **changes))


def test_a_stopped_container_has_no_way_but_a_wish() -> None:
    stopped = container(state="exited", exit_code=1, finished_at=4990.0)
    given = host(containers=(stopped,), ports=(port(live=False, dnat=None, holder=None, listening=False),))
    said = shown(given, 80)
    assert "○ exited 1, 10 s ago" in said
    assert "it is not running" in said
    assert "would publish (8080→80)" in said


def test_a_crowd_of_neighbours_is_counted() -> None:
    end = container().endpoints[0]
    crowd = tuple(
        container(f"c{at}", f"{at:064x}", endpoints=(replace(end, addresses=()),) if at == 0 else (end,))
        for at in range(40)
    )
    said = shown(host(containers=crowd), at=1)
    assert "; 37 more there" in said


def test_a_narrow_card_keeps_the_evidence(host: Callable[[str], Host]) -> None:
    said = shown(host("su1"), 80)
    assert "▌" not in said, "nothing chooses there"
    assert "─▶ DNAT 172.17.0.3:80 nat/DOCKER #3 9 pkts ─▶ docker0" in said


def test_where_nobody_listens_the_card_says_so(host: Callable[[str], Host]) -> None:
    said = " ".join(shown(host("app-on-loopback")).split())
    assert "✗ no listener nothing listens on 172.17.0.2:80/tcp inside web, only on 127.0.0.1" in said


def test_a_rule_tells_when_it_is_reached(host: Callable[[str], Host]) -> None:
    given = host("su1")
    assert given.ruleset is not None
    rule = next(one for one in given.ruleset.rules if one.target.address == ip_address("172.17.0.3"))
    said = text(detail(given, rule, 100))
    assert "is called from nat/PREROUTING #4  nat/OUTPUT #2" in said
    assert "trusting_shtern" in said


def test_long_rules_are_wrapped_not_cut(host: Callable[[str], Host]) -> None:
    given = host("docker28.5-nft-full")
    assert given.ruleset is not None
    longest = max(given.ruleset.rules, key=lambda one: len(one.text))
    said = text(detail(given, longest, 60))
    assert "".join(longest.text.split()) in "".join(said.split())


def test_many_neighbours_are_counted_not_listed() -> None:
    given = crowd(40)
    said = text(card(given, (given.containers or ())[20], 120))
    assert "PEERS web-0 → " in said
    assert "; 38 more there" in said


def test_a_linked_neighbour_comes_first() -> None:
    given = crowd(40)
    people = given.containers or ()
    end = replace(people[0].endpoints[0], links=(("web-39", "db"),))
    given = replace(given, containers=(replace(people[0], endpoints=(end,)), *people[1:]))
    assert "PEERS web-39 → " in text(card(given, (given.containers or ())[0], 120))


def test_a_way_out_whose_routes_are_to_come_is_being_read() -> None:
    given = replace(crowd(2), routes=None, links=None, pending=frozenset(("routes", "links")))
    said = text(card(given, (given.containers or ())[0], 120))
    assert "reading links, routes…" in said
    assert "could not be read" not in said


@pytest.mark.parametrize("known", [(), ("rules",), ("listeners", "proxies", "rules"), ("links", "routes")], ids=str)
def test_what_is_to_come_is_no_question_mark(known: tuple[str, ...]) -> None:
    """`?` is what could not be read; what has not been read yet is `…`, on the card and in the list of ports."""
    given = early("docker-user-host-port", *known)
    said = text(card(given, (given.containers or ())[0], 120)).replace("listening? reading…", "")
    ports = " ".join(cell.text for row in PORTS.rows(given) for cell in row.cells)
    for told in (said, ports):
        assert "?" not in told
        assert "…" in told


def test_the_label_column_lines_up() -> None:
    lines = card(host(), (host().containers or (container(),))[0], 120)
    assert all(line[0].text.startswith(" ") for line in lines)
    assert {len(line[0].text) for line in lines[1:]} == {7}
