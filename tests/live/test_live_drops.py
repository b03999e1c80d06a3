"""What loses packets on a real host: the counters move by exactly the packets that were sent, each is named, and a rule
leads to itself."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from lab import HOST_IP, INTERNET_IP, Lab, until
from sshd import Sshd, why_not
from users import ask

Drop = dict[str, Any]
_RULE = ("DOCKER-USER", "-i", "eth0", "-p", "udp", "--dport", "5353", "-j", "DROP")
_FILTERS = ("net.ipv4.conf.all.rp_filter", "net.ipv4.conf.eth0.rp_filter")
_SEND = """
import socket
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.bind(({source!r}, 0))
for _ in range({count}):
    try:
        sender.sendto(b"x", ({to!r}, {port}))
    except OSError:
        pass
"""
STRANGER = "192.0.2.77"  # outside, and by the host's routes on another side
NOWHERE = "192.0.2.200"  # the host has no route there


@pytest.fixture(scope="module")
def losing(lab: Lab) -> Iterator[Lab]:
    filters = [f"{name}={lab.on_host('sysctl', '-n', name).strip()}" for name in _FILTERS]
    lab.httpd("drop-web", "-p", "8080:80", "-p", "5353:5353/udp")
    lab.on_host("iptables", "-I", *_RULE)
    lab.on_host("ip", "link", "add", "other7", "up", "type", "veth", "peer", "name", "other8")
    lab.on_host("ip", "link", "set", "other8", "up")
    lab.on_host("ip", "route", "add", f"{STRANGER}/32", "dev", "other7")
    lab.on_host("ip", "route", "add", "throw", f"{NOWHERE}/32")
    lab.on_host("sysctl", "-qw", *(f"{name}=1" for name in _FILTERS))
    lab.outside("ip", "addr", "add", f"{STRANGER}/32", "dev", "eth0")
    lab.outside("ip", "route", "add", f"{NOWHERE}/32", "via", HOST_IP)
    yield lab
    lab.outside("ip", "route", "del", f"{NOWHERE}/32", "via", HOST_IP)
    lab.outside("ip", "addr", "del", f"{STRANGER}/32", "dev", "eth0")
    lab.on_host("sysctl", "-qw", *filters)
    lab.on_host("ip", "route", "del", "throw", f"{NOWHERE}/32")
    lab.on_host("ip", "link", "del", "other7")
    lab.on_host("iptables", "-D", *_RULE)
    lab.remove_containers()


def _drops(lab: Lab, *words: str) -> list[Drop]:
    """Once all was read: on a busy machine netdash gives up a reading, and says so."""
    found: list[Drop] = []

    def read() -> bool:
        drops: Any = lab.json("drops", "--seconds", "0.5", *words)["drops"]
        found[:] = drops
        return not any(one["kind"] == "unread" for one in drops)

    assert until(read, 30), [one for one in found if one["kind"] == "unread"]
    return found


def _count(found: list[Drop], counter: str) -> int:
    return sum(one["packets"] for one in found if one["counter"] == counter)


def _sending(to: str, count: int, source: str = "0.0.0.0") -> tuple[str, ...]:
    return (sys.executable, "-c", _SEND.format(to=to, port=5353, count=count, source=source))


def _rule(found: list[Drop]) -> Drop | None:
    return next((one for one in found if one["rule"] and one["rule"]["chain"] == "DOCKER-USER"), None)


def test_a_rule_that_drops_has_the_packets_that_were_sending(losing: Lab) -> None:
    assert _rule(_drops(losing)) is None, "it has dropped nothing yet, and what is 0 is not listed"
    losing.outside(*_sending(HOST_IP, 7))
    found = _rule(_drops(losing))
    assert found is not None
    assert (found["by"], found["packets"], found["per_second"]) == ("DROP", 7, 0.0)
    assert "--dport 5353" in found["rule"]["text"]
    assert found["finding"] is not None, "the published port is not reached"


def test_what_moves_now_stands_first_with_its_rate(losing: Lab) -> None:
    sender = threading.Timer(1.5, losing.outside, _sending(HOST_IP, 40))
    before = _rule(_drops(losing))  # not listed where nothing was dropped so far
    sender.start()
    found = losing.json("drops", "--seconds", "8")["drops"]
    sender.join()
    assert isinstance(found, list)
    rule = _rule(found)
    assert rule is not None
    assert rule["packets"] - (before["packets"] if before else 0) == 40
    assert 2 < rule["per_second"] <= 5.1, "forty packets in eight seconds and what the second reading waits"
    moving = [one for one in found if one["per_second"]]
    assert rule in moving
    assert found[: len(moving)] == moving


def test_the_reverse_path_filter_and_what_has_no_route(losing: Lab) -> None:
    before = _drops(losing)
    losing.outside(*_sending(HOST_IP, 5, STRANGER))
    losing.outside(*_sending(NOWHERE, 3))
    losing.on_host(*_sending(NOWHERE, 2))
    after = _drops(losing)
    for counter, count in (("TcpExtIPReversePathFilter", 5), ("IpExtInNoRoutes", 3), ("IpOutNoRoutes", 2)):
        assert _count(after, counter) - _count(before, counter) == count, counter
    filtered = next(one for one in after if one["counter"] == "TcpExtIPReversePathFilter")
    assert (filtered["kind"], filtered["rule"], filtered["device"]) == ("routing", None, None)


def test_a_connection_that_finds_no_port_to_be_translated_to(losing: Lab) -> None:
    """The second has the answer's tuple of the first: conntrack does not add it, and its packet is dropped."""
    rule = ("POSTROUTING", "-p", "udp", "-d", INTERNET_IP, "-j", "MASQUERADE", "--to-ports", "5000")
    before = _count(_drops(losing), "insert_failed")
    losing.on_host("iptables", "-t", "nat", "-I", *rule)
    try:
        for _ in range(2):
            losing.inside("drop-web", *_sending(INTERNET_IP, 1))
    finally:
        losing.on_host("iptables", "-t", "nat", "-D", *rule)
    after = _drops(losing)
    assert _count(after, "insert_failed") - before == 1
    (failed,) = [one for one in after if one["counter"] == "insert_failed"]
    assert failed["finding"]["code"] == "conntrack-insert-failed"


def test_watching_prints_a_line_for_what_moves(losing: Lab) -> None:
    argv = losing.netdash_argv("drops", "--watch", "--seconds", "1", "--json")
    process = subprocess.Popen(argv, env=losing.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert process.stdout is not None
        while "watching" not in (line := process.stderr.readline()):
            assert line
        time.sleep(2)
        losing.outside(*_sending(HOST_IP, 4))
        lines: list[str] = []
        while not any("DOCKER-USER" in line for line in lines):
            lines.append(process.stdout.readline())
            assert lines[-1]
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_the_counters_are_those_of_the_tools(losing: Lab) -> None:
    told = dict(line.split()[:2] for line in losing.on_host("nstat", "-asz").splitlines() if len(line.split()) == 3)
    for one in _drops(losing):
        if one["kind"] in ("routing", "ip", "tcp", "udp"):
            assert int(told[one["counter"]]) <= one["packets"]


def test_looking_changes_nothing(losing: Lab) -> None:
    before = losing.on_host("iptables-save"), losing.on_host("sh", "-c", "ls /tmp/.nstat* 2>&1 || true")
    _drops(losing)
    after = losing.on_host("iptables-save"), losing.on_host("sh", "-c", "ls /tmp/.nstat* 2>&1 || true")
    assert [line for line in before[0].splitlines() if line[:1] not in "#:"] == [
        line for line in after[0].splitlines() if line[:1] not in "#:"
    ]
    assert before[1] == after[1]


def test_without_root_what_is_not_known_is_said(losing: Lab) -> None:
    done = ask(losing, "neither", "drops", "--seconds", "0.5")
    assert "rules" in done.stderr
    assert "DOCKER-USER" not in done.stdout
    assert "unread" in done.stdout


def test_another_host_by_ssh_tells_the_same_counters(losing: Lab) -> None:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    losing.outside(*_sending(HOST_IP, 2))
    here = _drops(losing)
    with Sshd(losing) as sshd:
        done = sshd.netdash(*sshd.options(), "drops", "--seconds", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    there: list[Drop] = json.loads(done.stdout)["drops"]
    mine, theirs = _rule(here), _rule(there)
    assert mine is not None
    assert theirs is not None
    assert (theirs["packets"], theirs["rule"]) == (mine["packets"], mine["rule"])
    assert theirs["per_second"] is not None
    kinds = {one["kind"] for one in here}
    assert {one["kind"] for one in there} >= kinds - {"unread"}
    assert not [one for one in there if one["kind"] == "unread"]
