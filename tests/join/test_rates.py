"""Rates from counters: unknown until two readings tell them, and never a number that they do not tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from netdash.bundle.recording import Recording
from netdash.join.host import Builder
from netdash.join.rates import container_rate, network_rate
from netdash.model.host import Host
from netdash.model.index import find_container, index_of
from netdash.model.kernel_state import LinkCounts, LinkReading
from netdash.view.columns_engine import CONTAINERS
from netdash.view.columns_kernel import LINKS
from netdash.view.table import Filter
from netdash.view.views import BY_NAME

FULL = "docker28.5-nft-full"
Load = Callable[[str], Recording]


def counts(rx: int, tx: int, lost: int = 0) -> LinkCounts:
    return LinkCounts(rx // 100, tx // 100, rx, tx, lost, 0, 0, 0)


class _Read:
    """Hosts of one recording, with one reading after the other."""

    def __init__(self, recording: Recording) -> None:
        self.recording, self.builder = recording, Builder(compare=False)
        self.last: LinkReading | None = None
        self.links = {link.name: link.index for link in self.builder.build(recording).links or ()}

    def host(self, at: float, told: Mapping[str, LinkCounts], **more: object) -> Host:
        before = (self.last.at, self.last.counts) if self.last is not None else (None, {})
        self.last = LinkReading(at, {self.links[name]: one for name, one in told.items()}, *before)
        answers = {**self.recording.answers, LinkReading.PATH: self.last, **more}
        return self.builder.build(replace(self.recording, answers=answers))


def _veth(host: Host, name: str) -> str:
    (end,) = find_container(host, name).endpoints
    assert end.veth is not None
    return end.veth


@pytest.fixture
def read(recording: Load) -> _Read:
    return _Read(recording(FULL))


def test_two_readings_tell_what_a_container_receives_and_sends(read: _Read) -> None:
    veth = _veth(read.host(0.0, {}), "web")
    first = read.host(1.0, {veth: counts(0, 0)})
    rate = container_rate(first, find_container(first, "web"))
    assert rate is not None
    assert (rate.rx_bytes, rate.tx_bytes, rate.lost, rate.history) == (None, None, 0, ()), "one reading tells no rate"
    host = read.host(3.0, {veth: counts(200, 4000, lost=3)})
    rate = container_rate(host, find_container(host, "web"))
    assert rate is not None
    assert (rate.rx_bytes, rate.tx_bytes) == (2000.0, 100.0), "what the host's end sends the container receives"
    assert (rate.rx_packets, rate.tx_packets, rate.lost) == (20.0, 1.0, 3)
    assert rate.history == (2100.0,)


def test_a_counter_that_went_back_tells_nothing(read: _Read) -> None:
    veth = _veth(read.host(0.0, {}), "web")
    read.host(1.0, {veth: counts(0, 0)})
    read.host(2.0, {veth: counts(100, 100)})
    host = read.host(3.0, {veth: counts(50, 200)})
    rate = container_rate(host, find_container(host, "web"))
    assert rate is not None
    assert (rate.rx_bytes, rate.tx_bytes, rate.history) == (None, None, (200.0, None))
    host = read.host(4.0, {veth: counts(60, 200)})
    assert container_rate(host, find_container(host, "web")).history == (200.0, None, 10.0)


def test_a_network_has_what_all_its_containers_have_or_it_is_unknown(read: _Read) -> None:
    base = read.host(0.0, {})
    network = next(one for one in base.networks or () if one.name == "bridge")
    ends = [
        end.veth
        for one in base.containers or ()
        if one.running
        for end in one.endpoints
        if index_of(base).network(end) is network
    ]
    known = [veth for veth in ends if veth is not None]
    assert len(known) > 1
    read.host(1.0, dict.fromkeys(known, counts(0, 0)))
    host = read.host(2.0, dict.fromkeys(known, counts(10, 0)))
    rate = network_rate(host, network)
    assert rate is not None
    assert rate.tx_bytes == (10.0 * len(known) if len(known) == len(ends) else None)
    host = read.host(3.0, {known[0]: counts(20, 0)})
    rate = network_rate(host, network)
    assert rate is not None
    assert rate.tx_bytes is None, "of one of them it is not known"


def test_what_has_no_device_of_its_own_has_no_rate(read: _Read) -> None:
    host = read.host(1.0, {})
    shared = container_rate(host, find_container(host, "c-host"))
    assert shared is None
    sharer = find_container(host, "c-share")
    assert container_rate(host, sharer) == container_rate(host, find_container(host, sharer.shares_with or ""))


def test_the_counters_of_another_network_namespace_tell_nothing(read: _Read) -> None:
    veth = _veth(read.host(0.0, {}), "web")
    host = read.host(1.0, {veth: counts(0, 0)}, **{"host/engine.txt": "24802 dockerd entered\n"})
    assert host.traffic.rates is None
    assert read.host(2.0, {veth: counts(0, 0)}).traffic.rates is not None


def test_cells_are_unknown_until_then_and_are_not_searched(read: _Read) -> None:
    veth = _veth(read.host(0.0, {}), "web")
    first = read.host(1.0, {veth: counts(0, 0)})
    keys = [column.key for column in CONTAINERS.columns]

    def cell(host: Host, key: str) -> str:
        rows = CONTAINERS.rows(host)
        return next(row for row in rows if row.cells[0].text == "web").cells[keys.index(key)].text

    assert [cell(first, key) for key in ("rx", "tx", "traffic", "lost")] == ["?", "?", "?", "0"]
    second = read.host(2.0, {veth: counts(0, 1_200_000)})
    assert [cell(second, key) for key in ("rx", "tx", "lost")] == ["1.2 MB/s", "0 B/s", "0"]
    assert cell(second, "traffic").strip() == "█"
    assert not [row for row in CONTAINERS.rows(second) if Filter.parse("mb/s", CONTAINERS.columns).matches(row)]
    link = next(row for row in LINKS.rows(second) if row.cells[0].text == veth)
    assert link.cells[[column.key for column in LINKS.columns].index("tx")].text == "1.2 MB/s"


@pytest.mark.parametrize("name", ["containers", "networks", "links"])
def test_every_row_has_as_many_cells_as_there_are_columns(read: _Read, name: str) -> None:
    view, host = BY_NAME[name], read.host(1.0, {})
    assert {(len(row.cells), len(row.sort)) for row in view.rows(host)} == {(len(view.columns),) * 2}
