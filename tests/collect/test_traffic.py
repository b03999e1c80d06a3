"""What is read only while somebody looks at it: counters of devices, the connections of one container."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Mapping
from ipaddress import ip_address
from unittest.mock import Mock

import pytest

from netdash.collect import conntrack, proxy_sockets, traffic
from netdash.collect.netlink import _take_counters, link_counters
from netdash.collect.traffic import TrafficReader
from netdash.model.errors import NetdashError
from netdash.model.kernel_state import NOTHING, PROXY_SOCKETS, LinkCounts, LinkReading, UsedReading, Watched
from netdash.parse.proc import parse_proxy_sockets
from tests.parse.test_conntrack import direction, entry

OWN = ip_address("172.17.0.2")


def _counts(number: int) -> LinkCounts:
    return LinkCounts(*([number] * 8))


class _Told:
    def __init__(self) -> None:
        self.all: list[Mapping[str, object]] = []
        self.came = threading.Condition()

    def put(self, answers: Mapping[str, object]) -> None:
        with self.came:
            self.all.append(answers)
            self.came.notify()

    def until(self, many: int) -> list[Mapping[str, object]]:
        with self.came:
            assert self.came.wait_for(lambda: len(self.all) >= many, 20)
        return self.all


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_EACH", "_OF_ONE", "_SOON", "_SELDOM"):
        monkeypatch.setattr(traffic, name, 0.01)
    monkeypatch.setattr(traffic, "_SHARE", 0)


def test_the_counters_of_a_device_that_there_is() -> None:
    assert link_counters((1,)).keys() == {1}, "lo"
    assert 1 in link_counters()
    assert link_counters((987_654_321,)) == {}


def test_messages_that_are_cut_off_end_in_no_exception() -> None:
    whole = bytes.fromhex("2c0000005c0000000100000000000000") + bytes(12) + bytes.fromhex("48000100") + bytes(64)
    for at in range(len(whole)):
        _take_counters(whole[:at], {})


@pytest.mark.usefixtures("quick")
def test_nothing_is_read_when_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, ...]] = []

    def counters(indexes: tuple[int, ...]) -> dict[int, LinkCounts]:
        asked.append(tuple(indexes))
        return {3: _counts(len(asked))}

    monkeypatch.setattr(traffic, "link_counters", counters)
    told = _Told()
    reader = TrafficReader(told.put)
    reader.watch(Watched(counters=True))
    first, second = told.until(2)[:2]
    readings = [each[LinkReading.PATH] for each in (first, second)]
    assert [(one.since, one.before) for one in readings] == [(None, {}), (readings[0].at, readings[0].counts)]
    reader.watch(NOTHING)
    many = len(told.until(3))
    while told.all[-1] != {}:
        many = len(told.until(many + 1))
    before = len(asked)
    time.sleep(0.1)
    assert len(asked) == before
    assert set(asked) == {()}


@pytest.mark.usefixtures("quick")
def test_a_card_at_rest_publishes_and_asks_nothing_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connections are read again once its device carried something."""
    counted, reads, connections, carried = [0], [0], list[bytes](), [5]

    def counters(_: object) -> dict[int, LinkCounts]:
        counted[0] += 1
        return {3: _counts(carried[0])}

    def of_one(_: object, __: int) -> tuple[list[bytes], int]:
        reads[0] += 1
        return list(connections), 0

    monkeypatch.setattr(traffic, "link_counters", counters)
    monkeypatch.setattr(traffic, "read_of", of_one)
    told = _Told()
    reader = TrafficReader(told.put)
    reader.watch(Watched(devices=(3,), addresses=(OWN,)))
    told.until(2)
    known, seen = len(told.all), counted[0]
    while counted[0] < seen + 10:
        time.sleep(0.01)
    assert len(told.all) <= known + 1, "the second reading tells that nothing moves, the others tell nothing"
    assert reads[0] == 1
    connections.append(entry())
    carried[0] += 1
    answers = told.until(len(told.all) + 1)[-1]
    used = answers[UsedReading.PATH]
    assert isinstance(used, UsedReading)
    assert [body for body, _ in used.tracking.entries] == [entry()]
    before = reads[0]
    while reads[0] < before + 3:  # it may end although nothing is carried
        time.sleep(0.01)
    reader.watch(NOTHING)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("devices", [(), (3,)])
def test_where_the_devices_do_not_tell_the_connections_are_read(
    devices: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = [0]

    def of_one(_: object, __: int) -> tuple[list[bytes], int]:
        reads[0] += 1
        return [], 0

    monkeypatch.setattr(traffic, "link_counters", lambda _: {})
    monkeypatch.setattr(traffic, "read_of", of_one)
    reader = TrafficReader(_Told().put)
    reader.watch(Watched(devices=devices, addresses=(OWN,)))
    until = time.monotonic() + 20
    while reads[0] < 3:
        assert time.monotonic() < until
        time.sleep(0.01)
    reader.watch(NOTHING)


@pytest.mark.usefixtures("quick")
def test_what_cannot_be_read_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [{3: _counts(5)}]

    def once(_: object) -> dict[int, LinkCounts]:
        if not answers:
            raise PermissionError(1, "no")
        return answers.pop()

    monkeypatch.setattr(traffic, "link_counters", once)
    told = _Told()
    reader = TrafficReader(told.put)
    reader.watch(Watched(counters=True))
    assert [each.keys() for each in told.until(2)[:2]] == [{LinkReading.PATH}, set()]
    reader.watch(NOTHING)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("error", [PermissionError(1, "no"), NetdashError("nf_conntrack_netlink is not loaded")])
def test_without_connections_the_counters_are_told_all_the_same(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counters need no privilege, connections do."""

    def refused(_: object, __: int) -> tuple[list[bytes], int]:
        raise error

    monkeypatch.setattr(traffic, "link_counters", lambda _: {3: _counts(5)})
    monkeypatch.setattr(traffic, "read_of", refused)
    told = _Told()
    reader = TrafficReader(told.put)
    reader.watch(Watched(counters=True, addresses=(OWN,)))
    assert [each.keys() for each in told.until(2)[:2]] == [{LinkReading.PATH}] * 2
    reader.watch(NOTHING)


@pytest.mark.usefixtures("quick")
def test_connections_that_cannot_be_read_any_more_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[list[bytes]] = [[entry()]]

    def once(_: object, __: int) -> tuple[list[bytes], int]:
        if not answers:
            raise PermissionError(1, "no")
        return answers.pop(), 0

    packets = itertools.count()
    monkeypatch.setattr(traffic, "link_counters", lambda _: {3: _counts(next(packets))})
    monkeypatch.setattr(traffic, "read_of", once)
    told = _Told()
    reader = TrafficReader(told.put)
    reader.watch(Watched(devices=(3,), addresses=(OWN,)))
    first, second = told.until(2)[:2]
    assert (UsedReading.PATH in first, UsedReading.PATH in second) == (True, False)
    reader.watch(NOTHING)


def test_of_one_container_other_connections_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that knows no filter tells of all, and all are asked for where they are few."""
    mine = [entry(original=direction(1, "172.17.0.2", "192.0.2.9", port, 80)) for port in range(4)]
    others = entry(
        original=direction(1, "10.0.0.1", "10.0.0.2", 1, 80), reply=direction(2, "10.0.0.2", "10.0.0.1", 80, 1)
    )
    asked: list[tuple[int, bytes]] = []

    def dump(version: int, attributes: bytes) -> list[bytes]:
        asked.append((version, attributes))
        return [others, *mine]

    counts: list[int | None] = [None]
    monkeypatch.setattr(conntrack, "_dump", dump)
    monkeypatch.setattr(conntrack, "_count", lambda: counts[-1])
    assert conntrack.read_of([OWN], 10) == (mine, 0)
    assert [version for version, _ in asked] == [4, 4]
    assert all(OWN.packed in attributes for _, attributes in asked)
    assert conntrack.read_of([OWN], 3) == (mine[:3], 1)
    assert conntrack.read_of([OWN, OWN], 4) == (mine, 0), "told twice is not one more"
    counts.append(5)
    assert conntrack.read_of([OWN, ip_address("10.0.0.2")], 10) == ([others, *mine], 0)
    assert asked[-1] == (0, b"")
    asked.clear()
    counts.append(0)
    assert conntrack.read_of([OWN], 10) == ([], 0)
    assert asked == []


def test_an_address_as_destination_is_not_the_source_of_an_answer() -> None:
    """Only a source is asked for: where a port leads elsewhere, the other end's answers come from elsewhere."""
    led = entry(
        original=direction(1, "10.0.0.1", "172.17.0.2", 9, 80), reply=direction(2, "172.18.0.9", "10.0.0.1", 80, 9)
    )
    ends = [conntrack._source_in(led, start) for start in (0, conntrack._after(led, 0))]
    assert ends == [conntrack._source(ip_address(ip)) for ip in ("10.0.0.1", "172.18.0.9")]


@pytest.mark.usefixtures("quick")
def test_what_takes_the_kernel_long_is_asked_for_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[float] = []

    def slow(_: object, __: int) -> tuple[list[bytes], int]:
        reads.append(time.monotonic())
        time.sleep(0.02)
        return [entry()], 0

    monkeypatch.setattr(traffic, "_SHARE", 20)
    packets = itertools.count()
    monkeypatch.setattr(traffic, "link_counters", lambda _: {3: _counts(next(packets))})
    monkeypatch.setattr(traffic, "read_of", slow)
    reader = TrafficReader(_Told().put)
    reader.watch(Watched(devices=(3,), addresses=(OWN,)))
    while len(reads) < 3:
        time.sleep(0.01)
    reader.watch(NOTHING)
    assert min(later - before for before, later in itertools.pairwise(reads)) >= 20 * 0.02


# --- sockets of proxies -----------------------------------------------------------------------------------------------


def _loopback(payload: bytes) -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        taken, _ = server.accept()
    client.sendall(payload)
    taken.recv(len(payload), socket.MSG_WAITALL)
    return client, taken


def test_a_proxys_sockets_tell_what_they_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_sockets, "proxy_pids", lambda: [os.getpid()])
    monkeypatch.setattr(proxy_sockets, "_AT_ONCE", 5.0)
    client, taken = _loopback(b"x" * 70)
    with client, taken:
        told = parse_proxy_sockets(proxy_sockets.proxy_sockets()[0][PROXY_SOCKETS])
        ends = client.getsockname(), taken.getsockname()
        found = {(one.local[1], one.peer[1]): one for one in told}
        sender, receiver = found[ends[0][1], ends[1][1]], found[ends[1][1], ends[0][1]]
        assert (sender.sent, sender.received, receiver.sent, receiver.received) == (70, 0, 0, 70)
        assert {sender.pid, receiver.pid} == {os.getpid()}


def test_of_sockets_that_are_too_many_or_not_read_at_one_time_only_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unread() -> str:
        told, ((part, failure),) = proxy_sockets.proxy_sockets()[0], proxy_sockets.proxy_sockets()[1].items()
        assert (dict(told), part) == ({}, failure.source)
        return f"{failure.source}: {failure.reason}"

    client, taken = _loopback(b"x")
    with client, taken:
        monkeypatch.setattr(proxy_sockets, "proxy_pids", lambda: [os.getpid()])
        monkeypatch.setattr(proxy_sockets, "_AT_ONCE", -1.0)
        assert "their times cannot be compared" in unread()
        monkeypatch.setattr(proxy_sockets, "_AT_ONCE", 5.0)
        monkeypatch.setattr(proxy_sockets, "MOST", 1)
        assert unread() == "flows: sockets of userland proxies: there are more than 1, which are not compared"
        monkeypatch.setattr(proxy_sockets, "proxy_pids", Mock(side_effect=PermissionError(13, "Permission denied")))
        assert unread() == "flows: sockets of userland proxies: Permission denied"
        monkeypatch.setattr(proxy_sockets, "proxy_pids", list)
        assert proxy_sockets.proxy_sockets() == ({PROXY_SOCKETS: ""}, {})
