"""The map: every container is counted once, every wire tells what the trace tells, and nothing leaves its width."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from ipaddress import ip_address

import pytest

from netdash.doctor.examine import examine
from netdash.model.finding import Mark, health_of, keep_health
from netdash.model.host import Host
from netdash.model.index import index_of
from netdash.model.relations import ref_of
from netdash.trace.summary import asked_of, outbound
from netdash.view.layout import size
from netdash.view.map import FILTERED, Map, json, made, mapping, matching
from netdash.view.map_lines import Drawing, draw
from netdash.view.map_rows import FOLD, Level
from netdash.view.map_wires import Exit, Wire, stop
from netdash.view.table import Filter
from netdash.view.text import safe
from tests.support.changed_hosts import NAMES, changed
from tests.support.hostile_text import PAYLOADS
from tests.support.map_hosts import wired
from tests.support.tui_hosts import crowd
from tests.tui.test_screen import compare

Hosts = Callable[[str], Host]
SEEDS = range(6)


def map_of(host: Host) -> Map:
    keep_health(host, examine(host))
    return made(mapping(host))


@pytest.fixture(scope="module", params=[*NAMES, *SEEDS])
def drawn(request: pytest.FixtureRequest, examined: Hosts) -> Map:
    """Of a recorded host, or by number of one that was changed afterwards."""
    if isinstance(request.param, str):
        return made(mapping(examined(request.param)))
    return map_of(replace(changed(request.param)))


def wires(drawn: Map) -> Iterator[Wire]:
    return (wire for block in drawn.blocks or () for member in block.members for wire in member.wires)


def exits(drawn: Map) -> Iterator[Exit]:
    return (one for block in drawn.blocks or () for one in block.exits)


def lines_of(drawing: Drawing) -> list[str]:
    return ["".join(span.text for span in line).rstrip() for line in drawing.lines]


# --- facts ------------------------------------------------------------------------------------------------------------


def test_every_container_has_one_place_and_the_verdict_of_the_list(drawn: Map) -> None:
    health = health_of(drawn.host)
    assert health is not None
    members = [member for block in drawn.blocks or () for member in block.members]
    assert sorted(member.container.id for member in members) == sorted(one.id for one in drawn.host.containers or ())
    for mark in (Mark.BROKEN, Mark.RISK, Mark.UNKNOWN, Mark.OK, Mark.NOTHING):
        assert drawn.counts.get(mark, 0) == health.count(mark)


def test_every_published_port_has_one_wire(drawn: Map) -> None:
    found = [ref_of(port) for wire in wires(drawn) for port in wire.ports]
    running = {one.id for one in drawn.host.containers or () if one.running}
    live = [ref_of(port) for port in drawn.host.ports or () if port.live and port.container_id in running]
    assert sorted(ref.key for ref in found) == sorted(ref.key for ref in live)


def test_what_stops_a_wire_is_what_the_trace_of_the_same_question_says(drawn: Map) -> None:
    for wire in wires(drawn):
        for port in wire.ports:
            told = [stop(found) for _, found in asked_of(drawn.host, port) if found is not None]
            if wire.stop is None:
                assert not told or wire.mark in (Mark.OK, None) or (wire.finding and not any(one.word for one in told))
                continue
            assert wire.stop.word in [one.word for one in told]
            if wire.stop.rule is not None:
                assert wire.stop.rule.place in [one.place for one in told]


def test_what_translates_on_the_way_out_is_what_the_trace_says(drawn: Map) -> None:
    for one in exits(drawn):
        for container in one.containers:
            ways = outbound(drawn.host, container)
            for path in filter(None, (one.path, one.path6)):
                nat = path.nat.place if path.nat is not None else None
                same = [way for way in ways if way.leaves is path.leaves and way.leaves_as == path.leaves_as]
                assert nat in [way.nat.place if way.nat is not None else None for way in same]


def test_the_json_says_all_of_it(drawn: Map) -> None:
    told = json(drawn)
    networks = told["networks"]
    assert isinstance(networks, list)
    assert len(networks) == len(drawn.blocks or ())
    ports = [port for block in networks for one in block["containers"] for wire in one["in"] for port in wire["ports"]]
    assert len(ports) == sum(len(wire.ports) for wire in wires(drawn))


# --- on paper ---------------------------------------------------------------------------------------------------------


def counted(drawn: Map, wide: int, high: int | None, **how: object) -> int:
    """Containers that are drawn, over all pages."""
    found, page, pages = 0, 0, 1
    while page < pages:
        drawing = draw(drawn, wide, high, page, **how)  # type: ignore[arg-type]
        pages = drawing.pages
        assert all(size(line) <= wide for line in drawing.lines)
        for line in drawing.lines:
            if line and line[0].text.startswith((" ║", " ╠", " ╚", "     ")):
                for span in line:
                    if span.ref is not None and span.ref.kind == FOLD:
                        found += int(span.text.split()[0])
                    found += span.ref is not None and span.ref.kind == "container"
        page += 1
    return found


def test_nobody_is_left_out_and_no_line_is_too_long(drawn: Map) -> None:
    for wide, high in ((80, 21), (120, 37), (160, 45), (80, None)):
        assert counted(drawn, wide, high) == len(drawn.host.containers or ())


def test_a_reason_is_never_cut(drawn: Map) -> None:
    shown = " ".join(" ".join(lines_of(draw(drawn, 80, None, level=Level(None, True)))).split())
    for wire in wires(drawn):
        if wire.stop is not None and wire.mark is not Mark.NOTHING:
            words = safe(wire.stop.place or wire.stop.word)
            assert " ".join(words.split()) in re.sub(r" ║ +", " ", shown)


@cache
def crowded(seed: int, containers: int, networks: int) -> Map:
    return map_of(wired(seed, containers, networks))


@pytest.mark.parametrize("seed", range(6))
def test_made_up_hosts_of_any_size_on_terminals_of_any_size(seed: int) -> None:
    dice = random.Random(seed)
    drawn = crowded(seed, dice.choice((0, 1, 3, 20, 40)), dice.randint(1, 25))
    for _ in range(12):
        wide, high = dice.randint(20, 230), dice.choice((None, *range(4, 60, 5)))
        if wide >= 60:
            assert counted(drawn, wide, high) == len(drawn.host.containers or ())
        else:
            assert all(size(line) <= wide for line in draw(drawn, wide, high).lines)


@pytest.mark.parametrize(("wide", "high"), [(80, 21), (120, 37)])
def test_three_hundred_containers_on_one_screen(wide: int, high: int) -> None:
    drawn = crowded(1, 300, 11)
    drawing = draw(drawn, wide, high)
    assert len(drawing.lines) <= high
    compare(f"map-300-{wide}", "\n".join(lines_of(drawing)) + "\n")


def test_the_broken_are_drawn_first_and_the_others_folded_with_their_counts() -> None:
    drawn = crowded(1, 300, 11)
    shown = lines_of(draw(drawn, 120, 37))
    assert "✗" in shown[1]
    assert any(re.search(r"✓ \d+ containers", line) for line in shown)


def test_several_that_are_unfolded_are_drawn_one_by_one() -> None:
    drawn = crowded(1, 60, 2)
    folded = draw(drawn, 120, 37)
    ref = next(span.ref for line in folded.lines for span in line if span.ref is not None and span.ref.kind == FOLD)
    unfolded = draw(drawn, 120, 37, unfolded=frozenset((ref.key,)))
    assert counted(drawn, 120, 37, unfolded=frozenset((ref.key,))) == 60
    assert len(unfolded.lines) > len(folded.lines)


@pytest.mark.parametrize("name", PAYLOADS)
def test_hostile_names_are_made_safe(name: str) -> None:
    host = crowd(3)
    host = replace(
        host,
        containers=tuple(
            replace(one, name=name, endpoints=tuple(replace(end, network=name) for end in one.endpoints))
            for one in host.containers or ()
        ),
        networks=tuple(replace(one, name=name, bridge=name) for one in host.networks or ()),
        links=tuple(replace(one, name=name) for one in host.links or ()),
    )
    for line in draw(map_of(host), 80, None).lines:
        assert all(span.text == safe(span.text) for span in line)
        assert size(line) <= 80


# --- what is not known ------------------------------------------------------------------------------------------------


def test_without_containers_or_routes_it_says_so(host: Hosts) -> None:
    lost = replace(host("forward-drop-ahead"), containers=None, routes=None)
    shown = lines_of(draw(made(mapping(lost)), 80, 20))
    assert shown[0].startswith(" Internet ┄┄ ? ┄┄ eth0")
    assert any(line.startswith(" ? containers:") for line in shown)
    assert json(made(mapping(lost)))["networks"] is None
    assert lines_of(draw(made(mapping(replace(lost, links=None))), 80, 20))[0].startswith(" Internet  ?")


def test_before_the_host_is_examined_nothing_is_claimed(host: Hosts) -> None:
    drawn = made(mapping(replace(host("docker28.5-nft-full"))))
    assert set(drawn.counts) == {None}
    shown = "\n".join(lines_of(draw(drawn, 120, None)))
    assert "✓" not in shown
    assert "✗" not in shown


def test_of_a_host_without_containers_there_is_the_uplink(host: Hosts) -> None:
    shown = lines_of(draw(made(mapping(replace(host("forward-drop-ahead"), containers=(), ports=()))), 80, 20))
    assert shown[0].startswith(" Internet ══ via 203.0.113.1 ══ eth0 203.0.113.2")
    assert any("no containers" in line for line in shown)


# --- the filter -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("network:six", {"c-six", "c1", "c-share"}),
        ("8088", {"c-noicc"}),
        ("is:broken", set()),
        ("c-nomasq", {"c-nomasq"}),
        ("by:docker #24", {"c1"}),
    ],
)
def test_the_filter_leaves_containers(examined: Hosts, words: str, names: set[str]) -> None:
    drawn = made(mapping(examined("docker28.5-nft-full")))
    left = matching(drawn, Filter.parse(words, FILTERED))
    assert {member.container.name for block in left.blocks or () for member in block.members} == names
    assert {one.name for found in exits(left) for one in found.containers} <= names


def test_who_is_on_two_networks_is_counted_on_one(examined: Hosts) -> None:
    drawn = made(mapping(examined("docker28.5-nft-full")))
    index = index_of(drawn.host)
    guests = {(block.name, one.name) for block in drawn.blocks or () for one in block.guests}
    assert guests == {("bridge1", "c1")}
    assert len(index.containers) == sum(drawn.counts.values())
    assert ip_address("10.66.0.3") in {
        own.ip
        for block in drawn.blocks or ()
        for member in block.members
        for own in (member.end.addresses if member.end is not None else ())
    }
