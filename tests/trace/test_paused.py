"""Processes that are frozen keep their sockets: the kernel opens connections to them, and nobody answers."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from netdash.bundle.storage import load
from netdash.join.host import Builder
from netdash.model.host import Host
from netdash.trace.model import Origin, Question, Trace, Verdict
from netdash.trace.reachability import reach, told
from netdash.trace.tracer import trace
from netdash.view.trace import verdict
from tests.conftest import RECORDINGS

FROM_OUTSIDE = Question(Origin.OUTSIDE, ip_address("203.0.113.2"), dport=8080, src=ip_address("1.1.1.1"))
FROM_HERE = Question(Origin.HOST, ip_address("127.0.0.1"), dport=8080)
PING = Question(Origin.HOST, ip_address("172.17.0.2"), "icmp")


def recorded() -> Host:
    return Builder().build(load(RECORDINGS / "container-paused"))


def words(answer: Trace) -> str:
    return "".join(span.text for span in verdict(answer))


@pytest.mark.parametrize(("question", "ended"), [(FROM_OUTSIDE, Verdict.DELIVERED), (FROM_HERE, Verdict.PROXY)])
def test_a_paused_container_does_not_answer(question: Question, ended: Verdict) -> None:
    answer = trace(recorded(), question)
    assert (answer.verdict, answer.answered) == (ended, False)
    assert words(answer).startswith(f"✗ {ended.value}, no answer  ")
    assert "web is paused: its processes do not answer" in words(answer)


def test_its_kernel_answers_a_ping() -> None:
    assert trace(recorded(), PING).answered is True


def test_what_is_sent_in_a_paused_containers_namespace_goes_as_any_packet() -> None:
    """That its own processes send nothing is a remark: a probe that `nsenter` sent from there arrived."""
    host = recorded()
    sender = (host.containers or ())[0]
    asked = Question(Origin.CONTAINER, ip_address("8.8.8.8"), dport=53, container=sender.id)
    answer = trace(host, asked)
    running = trace(replace(host, containers=(replace(sender, state="running"),)), asked)
    assert (answer.verdict, answer.answered) == (running.verdict, running.answered)
    assert "web is paused: it sends nothing until it is unpaused" in answer.assumed
    assert not any("paused" in sentence for sentence in running.assumed)


@pytest.mark.parametrize(("owner", "follower", "answered"), [
    ("paused", "paused", False), ("paused", "running", None), ("running", "paused", None), ("running", "running", True),
    ("paused", "exited", False), ("running", "exited", True),
])  # fmt: skip
def test_of_two_that_share_a_namespace_whose_socket_it_is_is_not_known(
    owner: str, follower: str, answered: bool | None
) -> None:
    host = recorded()
    web = (host.containers or ())[0]
    side = replace(web, id="5" * 64, name="side", shares_with=web.name, endpoints=(), state=follower)
    given = replace(host, containers=(replace(web, state=owner), side))
    assert trace(given, FROM_OUTSIDE).answered is answered
    matrix = reach(given)
    for sender, row in zip(matrix.senders, matrix.rows(), strict=True):
        for aim, cell in zip(matrix.aims, row, strict=True):
            asked = Question(sender.origin, aim.ip, aim.proto, aim.port, container=sender.container)
            assert told(trace(given, asked)) == cell
