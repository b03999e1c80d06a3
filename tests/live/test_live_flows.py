"""The connections of a real engine's containers: rows name both ends and what translates, counters agree with what was
sent, and nothing is told twice."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from lab import HOST_IP, INTERNET_IP, Lab, until
from truth import networks

Flow = dict[str, Any]


@pytest.fixture(scope="module")
def talk(lab: Lab) -> Iterator[Lab]:
    lab.on_host("sysctl", "-qw", "net.netfilter.nf_conntrack_acct=1", "net.netfilter.nf_conntrack_timestamp=1")
    lab.httpd("flow-web", "-p", "8080:80", "-p", "5353:5353/udp")
    lab.httpd("flow-peer")
    yield lab
    lab.remove_containers()


def _flows(lab: Lab, *words: str) -> list[Flow]:
    found = lab.json("flows", *words)["flows"]
    assert isinstance(found, list)
    return found


def _address(lab: Lab, name: str) -> str:
    ip: str = networks(lab, name)["bridge"]["IPAddress"]
    return ip


def _tracked(lab: Lab, proto: str) -> int:
    return sum(line.startswith(proto) for line in lab.on_host("conntrack", "-L", "-p", proto).splitlines())


def test_in_through_dnat(talk: Lab) -> None:
    assert talk.fetch(f"http://{HOST_IP}:8080/") == "flow-web"
    (flow,) = [one for one in _flows(talk, "flow-web") if one["dnat"] and one["asked"]["port"] == 8080]
    assert (flow["server"]["container"], flow["server"]["ip"]) == ("flow-web", _address(talk, "flow-web"))
    assert (flow["asked"]["ip"], flow["asked"]["host"], flow["client"]["host"]) == (HOST_IP, True, False)
    assert "--dport 8080" in flow["rule"]["text"]
    assert flow["trouble"] is None
    (line,) = [line for line in talk.on_host("conntrack", "-L", "-p", "tcp").splitlines() if "dport=8080" in line]
    counted = [word.partition("=")[2] for word in line.split() if word.startswith(("packets=", "bytes="))]
    told = [flow["entry"][way][what] for way in ("original", "reply") for what in ("packets", "bytes")]
    assert told == [int(number) for number in counted]
    assert flow["entry"]["age"] is not None


def test_in_through_the_proxy_is_one_row(talk: Lab) -> None:
    talk.on_host("curl", "-sS", "--noproxy", "*", "--max-time", "5", "http://127.0.0.1:8080/")
    before = _tracked(talk, "tcp")
    flows = [one for one in _flows(talk, "tcp") if one["entry"]["original"]["dst"].startswith("127.")]
    (flow,) = [one for one in flows if one["asked"]["port"] == 8080]
    assert flow["proxy"]["command"] == "docker-proxy"
    assert flow["server"]["container"] == "flow-web"
    assert flow["behind"]["original"]["dst"] == _address(talk, "flow-web")
    assert len(_flows(talk, "tcp")) == before - 1, "its two connections are one row, every other has one"


def test_out_by_masquerade(talk: Lab) -> None:
    assert talk.docker("exec", "flow-web", "wget", "-qO-", f"http://{INTERNET_IP}/") == HOST_IP
    talk.docker("exec", "flow-web", "ping", "-c", "2", "-W", "2", INTERNET_IP)
    out = [one for one in _flows(talk, "flow-web") if one["server"]["ip"] == INTERNET_IP]
    assert {one["proto"] for one in out} == {"tcp", "icmp"}
    for flow in out:
        assert flow["client"]["container"] == "flow-web"
        assert flow["source_nat"]["ip"] == HOST_IP
        assert "MASQUERADE" in flow["rule"]["text"]
        assert f"MASQUERADE as {HOST_IP}" in flow["path"]
    (ping,) = [one for one in out if one["proto"] == "icmp"]
    assert (ping["entry"]["original"]["packets"], ping["entry"]["reply"]["packets"]) == (2, 2)


def test_from_container_to_container(talk: Lab) -> None:
    ip = _address(talk, "flow-web")
    assert talk.docker("exec", "flow-peer", "wget", "-qO-", f"http://{ip}/") == "flow-web"
    (flow,) = [one for one in _flows(talk, "flow-peer") if one["server"]["ip"] == ip]
    assert (flow["client"]["container"], flow["server"]["container"]) == ("flow-peer", "flow-web")
    assert (flow["dnat"], flow["source_nat"], flow["rule"]) == (False, None, None)
    assert {one["container"] for one in talk.json("flows", "--by", "container")["groups"]} >= {"flow-peer", "flow-web"}


def test_a_datagram_that_nobody_answers_stands_out(talk: Lab) -> None:
    program = f"import socket; socket.socket(2, 2).sendto(b'hello', ('{HOST_IP}', 5353))"
    talk.outside(sys.executable, "-c", program)

    def found() -> list[Flow]:
        return [one for one in _flows(talk, "flow-web") if one["asked"]["port"] == 5353]

    assert found()
    assert until(lambda: [one for one in found() if one["trouble"] == "unanswered"] or None, 10)
    assert found()[0]["server"]["container"] == "flow-web"


def test_reading_loads_nothing_and_changes_nothing(talk: Lab) -> None:
    before = talk.on_host("conntrack", "-L").splitlines()
    _flows(talk)
    _flows(talk)
    after = talk.on_host("conntrack", "-L").splitlines()
    assert len(after) <= len(before)
