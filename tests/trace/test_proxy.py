"""From which address a socket on every address answers UDP: by itself from the one that the route to the asker prefers,
as docker-proxy does before Docker 28."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from netdash.bundle.recording import Recording
from netdash.join.host import Builder
from netdash.model.host import Host
from netdash.model.processes import OWN_PROXY, PROXIES
from netdash.trace.model import Origin, Question, Reply, Verdict
from netdash.trace.question import Asked, question
from netdash.trace.tracer import trace
from tests.support import trace_hosts


def answer(host: Host, sender: str, target: str) -> Reply:
    told = trace(host, question(host, sender, target, Asked("udp"))[0])
    assert told.verdict is Verdict.PROXY
    assert told.reply is not None
    return told.reply


def engine(host: Host, version: str | None) -> Host:
    assert host.engine
    return replace(host, engine=replace(host.engine, version=version) if version is not None else None)


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("20.10.24", Verdict.DROPPED), ("28.5.2", Verdict.DELIVERED), (None, Verdict.UNKNOWN)],
)
def test_to_another_address_of_the_host(host: Callable[[str], Host], version: str | None, verdict: Verdict) -> None:
    reply = answer(engine(host("docker20.10-nft-full"), version), "c-six", "203.0.113.2:5353")
    assert reply.verdict is verdict
    assert reply.decided_by is None or "answers from" in reply.decided_by.text


@pytest.mark.parametrize(("sender", "target"), [("c-six", "10.66.0.1:5353"), ("host", "127.0.0.1:5353")])
def test_the_address_that_the_answer_would_come_from_anyway(
    host: Callable[[str], Host], sender: str, target: str
) -> None:
    assert answer(host("docker20.10-nft-full"), sender, target).verdict is Verdict.DELIVERED


def test_a_proxy_of_netdash_s_own_leaves_it_to_the_route(host: Callable[[str], Host]) -> None:
    given = engine(host("docker20.10-nft-full"), "29.7.2")
    proxies = tuple(replace(one, command=OWN_PROXY) for one in given.proxies or ())
    listeners = tuple(replace(one, command=None) for one in given.listeners or ())
    reply = answer(replace(given, proxies=proxies, listeners=listeners), "c-six", "203.0.113.2:5353")
    assert reply.verdict is Verdict.DROPPED


def test_a_recording_may_hold_the_pid_of_what_started_a_proxy(recording: Callable[[str], Recording]) -> None:
    """Not where another user's process only has the name."""
    given = recording("docker20.10-nft-full")
    started = re.sub(r"(?m)^\d+", lambda pid: str(int(pid[0]) + 100_000), str(given.answers[PROXIES]))
    host = Builder().build(replace(given, answers={**given.answers, PROXIES: started}))
    assert answer(host, "c-six", "10.66.0.1:5353").verdict is Verdict.DELIVERED
    forged = tuple(replace(one, user="nobody") for one in host.listeners or ())
    told = trace(replace(host, listeners=forged), question(host, "c-six", "10.66.0.1:5353", Asked("udp"))[0])
    assert told.verdict is Verdict.DELIVERED
    assert "nobody" in str(told)


DNS = 'udp UNCONN 0 0 {}:53 0.0.0.0:* users:(("{}",pid=9,fd=3))\n'


@pytest.mark.parametrize(
    ("bound", "program", "asked", "answered"),
    [
        ("0.0.0.0", "resolver", trace_hosts.HOST, None),
        ("*", "resolver", trace_hosts.HOST, None),
        ("0.0.0.0", "dnsmasq", trace_hosts.HOST, True),
        (trace_hosts.HOST, "resolver", trace_hosts.HOST, True),
        ("0.0.0.0", "resolver", "172.17.0.1", True),
    ],
)
def test_a_container_asks_an_address_of_the_host(bound: str, program: str, asked: str, answered: bool | None) -> None:
    host = trace_hosts.host(more={"host/listeners.txt": DNS.format(bound, program)})
    found = trace(host, Question(Origin.CONTAINER, ip_address(asked), "udp", 53, container=trace_hosts.IDS["web"]))
    assert found.verdict is Verdict.DELIVERED
    assert found.answered is answered
    if answered is None:
        assert found.exchange.why is not None
        assert "resolver answers from 172.17.0.1" in found.exchange.why.text
