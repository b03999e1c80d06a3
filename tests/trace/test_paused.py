"""Processes that are frozen or stopped keep their sockets: the kernel opens connections to them, and nobody answers."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from netdash.bundle.storage import load
from netdash.join.host import Builder
from netdash.model.host import Host, Port
from netdash.model.processes import STOPPED
from netdash.trace.model import Origin, Question, Trace, Verdict
from netdash.trace.reachability import reach, reach_of
from netdash.trace.tracer import trace
from netdash.view import json_host
from netdash.view.card import card
from netdash.view.columns_ports import PORTS, PROXIES
from netdash.view.detail import detail
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
    assert words(answer).startswith("✗ no answer  ")
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
            assert reach_of(trace(given, asked)) == cell


# --- processes that are stopped ---------------------------------------------------------------------------------------

SILENT = "docker-proxy (pid 22154) is stopped (SIGSTOP): it answers nobody"


def proxied(stopped: str | None) -> Host:
    """Without its DNAT rule: who asks for the port comes to docker-proxy, pid 22154."""
    recording = load(RECORDINGS / "dnat-missing-proxied")
    more = {} if stopped is None else {STOPPED: stopped}
    return Builder().build(replace(recording, answers={**recording.answers, **more}))


def published(host: Host) -> Port:
    return next(port for port in host.ports or () if port.proxy is not None and port.proxy.pid == 22154)


@pytest.mark.parametrize(
    ("stopped", "answered", "known"),
    [(None, True, None), ("", True, False), ("22161\n", True, False), ("22154\n", False, True)],
)
def test_a_proxy_that_is_stopped_does_not_answer(stopped: str | None, answered: bool, known: bool | None) -> None:
    host = proxied(stopped)
    for question in (FROM_OUTSIDE, FROM_HERE):
        answer = trace(host, question)
        assert (answer.verdict, answer.answered) == (Verdict.PROXY, answered)
        assert (SILENT in words(answer)) is not answered
    found = published(host).proxy
    assert found is not None
    assert found.stopped is known
    matrix = reach(host)
    for sender, row in zip(matrix.senders, matrix.rows(), strict=True):
        for aim, cell in zip(matrix.aims, row, strict=True):
            asked = Question(sender.origin, aim.ip, aim.proto, aim.port, container=sender.container)
            assert reach_of(trace(host, asked)) == cell


def test_a_stopped_proxy_is_told_wherever_it_is_shown() -> None:
    host = proxied("22154\n")
    port = published(host)
    (container,) = host.containers or ()
    lines = "\n".join("".join(span.text for span in line) for line in card(host, container, 120))
    assert "docker-proxy pid 22154 stopped (SIGSTOP)" in lines
    assert f"✗ no answer {SILENT}" in " ".join(lines.split())
    cells: dict[str, list[str]] = {
        view.name: [cell.text for row in view.rows(host) for cell in row.cells] for view in (PORTS, PROXIES)
    }
    assert sum("proxy stopped" in cell for cell in cells["ports"]) == 1
    assert cells["proxies"].count("docker-proxy stopped") == 1
    shown = "".join(span.text for line in detail(host, port.proxy, 120) for span in line)
    assert "stopped (SIGSTOP): it answers nobody" in shown
    entry: Any = json_host.list_view(host, PORTS, (port,))
    assert entry["ports"][0]["proxy"]["stopped"] is True


def test_another_process_of_the_host_that_is_stopped_does_not_answer_either() -> None:
    recording = load(RECORDINGS / "dnat-missing-proxied")
    line = 'tcp LISTEN 0 9 0.0.0.0:9000 0.0.0.0:* users:(("socat",pid=17897,fd=3))\n'
    listeners = str(recording.text("host/listeners.txt")) + line
    answers = {**recording.answers, "host/listeners.txt": listeners}
    asked = Question(Origin.HOST, ip_address("127.0.0.1"), dport=9000)
    assert trace(Builder().build(replace(recording, answers=answers)), asked).answered is True
    answer = trace(Builder().build(replace(recording, answers={**answers, STOPPED: "17897\n"})), asked)
    assert (answer.verdict, answer.answered) == (Verdict.DELIVERED, False)
    assert "socat (pid 17897) is stopped (SIGSTOP): it answers nobody" in words(answer)
