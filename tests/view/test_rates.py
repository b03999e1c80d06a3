"""What carries is told where somebody reads it: on the ways of a card, in its head, on the map."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from netdash.bundle.recording import Recording
from netdash.join.host import Builder
from netdash.model.host import Host
from netdash.model.index import find_container, index_of
from netdash.model.kernel_state import Rate, Tracking, Traffic, UsedReading
from netdash.view import rates
from netdash.view.card import card
from netdash.view.map import made, mapping
from netdash.view.map_lines import _carried, draw
from netdash.view.text import Line
from tests.parse.test_conntrack import attribute, direction, entry

FULL = "docker28.5-nft-full"
Load = Callable[[str], Recording]
_OPEN = attribute(3, (0x18E).to_bytes(4, "big")) + attribute(4, attribute(1, attribute(1, b"\3")))


def _text(lines: Iterable[Line]) -> list[str]:
    return ["".join(span.text for span in line) for line in lines]


def _in(port: int, size: int | None = None) -> bytes:
    """From outside to the published port 8080 of web, established."""
    counters = [
        attribute(kind, attribute(1, bytes(8)) + attribute(2, (size or 0).to_bytes(8, "big"))) for kind in (9, 10)
    ]
    ends = entry(
        original=direction(1, "198.51.100.7", "203.0.113.2", port, 8080),
        reply=direction(2, "172.17.0.2", "198.51.100.7", 80, port),
    )
    return ends + _OPEN + (b"".join(counters) if size is not None else b"")


def _tracking(at: float, *bodies: bytes, left_out: int = 0) -> Tracking:
    return Tracking(tuple((body, None) for body in bodies), at, at, left_out=left_out)


def _host(recording: Recording, builder: Builder, told: Tracking, alone: bool) -> Host:
    read = {UsedReading.PATH: UsedReading((ip_address("172.17.0.2"),), told)} if alone else {Tracking.PATH: told}
    answers = {path: answer for path, answer in recording.answers.items() if path != "host/conntrack.txt"}
    return builder.build(replace(recording, answers={**answers, **read}))


def _card(host: Host, name: str = "web", wide: int = 120) -> list[str]:
    return _text(card(host, find_container(host, name), wide))


@pytest.mark.parametrize("alone", [True, False])
def test_a_way_that_is_in_use_says_how_many_are_open_and_how_fast(recording: Load, alone: bool) -> None:
    builder, base = Builder(compare=False), recording(FULL)
    host = _host(base, builder, _tracking(10.0, _in(4000, 0), _in(4001, 0)), alone)
    (line,) = [line for line in _card(host) if "open" in line]
    assert "outside → 203.0.113.2:8080" in line
    assert " 2 open  " in line
    host = _host(base, builder, _tracking(12.0, _in(4000, 600_000), _in(4001, 600_000)), alone)
    (line,) = [line for line in _card(host) if "open" in line]
    assert " 2 open, 1.2 MB/s  " in line


def test_without_a_count_of_every_one_there_is_no_rate(recording: Load) -> None:
    builder, base = Builder(compare=False), recording(FULL)
    _host(base, builder, _tracking(10.0, _in(4000, 0), _in(4001)), True)
    host = _host(base, builder, _tracking(12.0, _in(4000, 600_000), _in(4001)), True)
    assert [line for line in _card(host) if " 2 open  " in line]
    more = _host(base, builder, _tracking(14.0, _in(4000), left_out=1), True)
    assert [line for line in _card(more) if " 1+ open  " in line], "not all were read"


def test_another_containers_connections_are_not_known_then(recording: Load) -> None:
    host = _host(recording(FULL), Builder(compare=False), _tracking(10.0, _in(4000)), True)
    assert not [line for line in _card(host, "c1") if "open" in line]


def test_the_head_of_the_card_and_the_map_tell_what_the_veth_carries(recording: Load) -> None:
    base = Builder(compare=False).build(recording(FULL))
    index, web = index_of(base), find_container(base, "web")
    veth = index.link(web.endpoints[0].veth)
    assert veth is not None
    host = replace(base, traffic=Traffic({veth.index: Rate(30_000.0, 1_200_000.0, 1.0, 1.0, 0)}))
    assert "↓1.2 MB/s ↑30 kB/s" in _card(host)[0]
    assert "MB/s" not in _card(host, "c1")[0]
    lines = _text(draw(made(mapping(host)), 160, None).lines)
    (line,) = [line for line in lines if "MB/s" in line]
    assert "web  ↓1.2 MB/s ↑30 kB/s" in line
    narrow = _text(draw(made(mapping(host)), 100, None).lines)
    assert [line for line in narrow if "web  ↓1.2 MB/s ↑30 kB/s" in line], "before the address"
    assert not [line for line in _text(draw(made(mapping(base)), 160, None).lines) if "B/s" in line]


def test_what_two_containers_of_one_namespace_carry_is_counted_once(recording: Load) -> None:
    base = Builder(compare=False).build(recording(FULL))
    sharer = find_container(base, "c-share")
    owner = find_container(base, sharer.shares_with or "")
    ends = [link for end in owner.endpoints if (link := index_of(base).link(end.veth)) is not None]
    rates_of = {link.index: Rate(30_000.0, 1_200_000.0, 1.0, 1.0, 0) for link in ends}
    host = replace(base, traffic=Traffic(rates_of))
    alone = _text([_carried(host, [owner])])
    assert "MB/s" in alone[0]
    assert _text([_carried(host, [owner, sharer])]) == alone


def test_a_sparkline_shows_what_it_does_not_know() -> None:
    cells = rates.cells(Rate(0.0, 0.0, 0.0, 0.0, 0, (0.0, None, 100.0, 50.0)))
    assert cells[2].text == "    ▁·█▅"
    assert rates.cells(Rate(0.0, 0.0, 0.0, 0.0, 0, (0.0, 0.0)))[2].text.strip() == "▁▁", "nothing moved"
