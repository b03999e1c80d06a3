"""Every fact that a card, the ports or the JSON tells of a packet is what the trace of the same question says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from netdash.kernel.routing import OUTSIDE, entrance
from netdash.model.host import Container, Host, Port, Scope
from netdash.trace import default_questions
from netdash.trace.model import Origin, Question, Step, Trace, Verdict
from netdash.trace.tracer import trace
from netdash.view import json_host
from netdash.view.card import card
from netdash.view.questions import Asked
from netdash.view.questions import asked as questions_of
from netdash.view.text import Line
from netdash.view.trace import verdict_of
from netdash.view.views import BY_NAME
from tests.support.changed_hosts import NAMES, changed

Hosts = Callable[[str], Host]
Shown = list[tuple[Container, dict[str, Any]]]
SEEDS = range(24)
LOOPBACK = {4: ip_address("127.0.0.1"), 6: ip_address("::1")}


@pytest.fixture(scope="module", params=[*NAMES, *SEEDS])
def joined(request: pytest.FixtureRequest, host: Hosts) -> Host:
    """A recorded host, or by number one that was changed afterwards."""
    return host(request.param) if isinstance(request.param, str) else changed(request.param)


@pytest.fixture(scope="module")
def shown(joined: Host) -> Shown:
    """What the JSON says of each running container: made once, it takes longest."""
    return [(container, json_host.show(joined, container)) for container in running(joined)]


def translating(answer: Trace, hook: str) -> Step | None:
    """The rule of nat that the trace reports at a hook of this host."""
    found = [
        step
        for step in answer.steps
        if step.hook == hook and not step.inside and step.sure and step.source and step.verdict == "accept"
        if step.source.target.verb.value in ("dnat", "redirect", "snat", "masquerade") or step.source.target.net
    ]
    return found[0] if found else None


def entry(step: Step | None) -> tuple[str, str, int] | None:
    return None if step is None or step.rule is None else (step.table, step.chain, step.rule)


def told(rule: dict[str, object] | None) -> tuple[object, ...] | None:
    return None if rule is None else (rule["table"], rule["chain"], rule["rule"])


def running(host: Host) -> Iterator[Container]:
    return (one for one in host.containers or () if one.running and not one.user_space)


def test_the_way_out_is_the_traces(joined: Host, shown: Shown) -> None:
    for one, facts in shown:
        for way in facts["outbound"]:
            source = None if one.network_mode == "host" else way["source"]
            if source is None and one.network_mode != "host":
                continue
            family = ip_address(source).version if source else 4
            src = ip_address(source) if source else None
            answer = trace(joined, Question(Origin.CONTAINER, OUTSIDE[family], "tcp", 443, src=src, container=one.id))
            leaves = answer.verdict is Verdict.FORWARDED and not answer.ends
            assert way["leaves_as"] == (str(answer.translation.src) if leaves else None)
            assert told(way["nat"]) == (entry(translating(answer, "postrouting")) if leaves else None)
            known = {True: "leaves", False: "stays", None: "unknown"}
            stays = {"internal": False, "nowhere": False, "unknown": None}
            expected = None if answer.verdict is Verdict.UNKNOWN or answer.ends else leaves
            if way["leaves"] != "host":
                assert known[stays.get(way["leaves"], True)] == known[expected]
            decided = [hop.text for hop in answer.hops if hop.place == "routes" and not hop.inside]
            if way["route"] and decided:
                gateway = f"via {way['route']['gateway']} " if way["route"]["gateway"] else ""
                assert f"{gateway}by {way['uplink']}" in decided[-1]
            if answer.exchange.answered is False:
                assert way["why"]
                assert way["broken"]


def questions(host: Host, port: Port) -> Iterator[Question]:
    version = port.host_ip.version
    if port.scope is not Scope.LOOPBACK:
        ip = entrance(version, host.links, host.routes)[1] if port.host_ip.is_unspecified else port.host_ip
        if ip is not None:
            yield Question(Origin.OUTSIDE, ip, port.proto, port.host_port, src=OUTSIDE[version])
    local = LOOPBACK[version] if port.host_ip.is_unspecified else port.host_ip
    yield Question(Origin.HOST, local, port.proto, port.host_port)


def of_rules(answer: Trace) -> bool:
    """Whether the trace got past the hook where a destination is translated."""
    hook = "prerouting" if answer.question.origin is Origin.OUTSIDE else "output"
    return any(hop.hook == hook and hop is not answer.hops[-1] for hop in answer.hops)


def test_a_published_port_goes_where_the_trace_goes(joined: Host) -> None:
    for port in joined.ports or ():
        if not port.live or port.container_id is None or port.unsure:
            continue
        if port.proxy is not None and port.proxy.host_ip != port.host_ip:
            continue  # a rootless engine's: taken on another address, in another namespace
        for asked in questions(joined, port):
            answer = trace(joined, asked)
            if not of_rules(answer):
                continue
            if asked.origin is Origin.HOST:
                if port.dnat is not None and port.dnat_from_here is not None:
                    assert port.dnat_from_here is (translating(answer, "output") is not None), asked
                continue
            step = translating(answer, "prerouting")
            assert (step and step.source) is port.dnat, asked
            if step is not None and answer.translation.dst is not None:
                assert (answer.translation.dst, answer.translation.dport) == (port.target_ip, port.container_port)
            if answer.receiver == port.container_id:
                expected = {Verdict.DELIVERED: True, Verdict.NO_LISTENER: False}.get(answer.verdict, port.listening)
                assert port.listening is expected, asked


def answered(traces: list[Trace]) -> bool | None:
    """Whether every asker is answered; None where that is not known of one, and nobody is certainly not."""
    found = {None if one.verdict is Verdict.UNKNOWN else one.answered for one in traces}
    return False if False in found else None if None in found else True


def test_what_stops_a_path_is_what_stops_its_traces(joined: Host, shown: Shown) -> None:
    ports = {(one.proto, str(one.host_ip), one.host_port): one for one in joined.ports or () if one.live}
    for container, facts in shown:
        for path in facts["inbound"]:
            port = ports[path["proto"], path["host_ip"], path["host_port"]]
            asked = [one.question for one in default_questions.of_port(joined, port)]
            certain = answered([trace(joined, question) for question in asked])
            assert bool(path["broken"]) or certain is not False, asked
            if path["broken"] == []:
                assert certain is not False
        for path in facts["outbound"]:
            if path["source"] is None or container.network_mode == "host":
                continue
            source = ip_address(path["source"])
            sent = trace(joined, default_questions.out(container, source, source.version))
            known = None if sent.verdict is Verdict.UNKNOWN else sent.answered
            assert bool(path["broken"]) is (known is False)
            assert (path["broken"] is None) is (sent.verdict is Verdict.UNKNOWN)


def words(lines: Iterable[Line]) -> str:
    """The text of a card without its line breaks."""
    return " ".join("".join(span.text for span in line).strip() for line in lines)


def test_the_card_says_what_the_trace_says(joined: Host) -> None:
    for container in running(joined):
        text = words(card(joined, container, 400))
        for one in questions_of(joined, container):
            if one.usual is None or one.found is None:
                continue
            found = trace(joined, one.usual.question)
            assert (found.verdict, found.answered) == (one.found.verdict, one.found.answered)
            assert one.verdict.text[0] == ("✗" if one.stop and sure(one) else MARKS[found.answered]), one.text
            assert one.verdict == verdict_of(joined, one.usual, found)[0], "in the walk"
            assert one.verdict.text in text
            step = one.stop.decided_by.step if one.stop is not None and one.stop.decided_by is not None else None
            assert step is None or not sure(one) or step.place in text


MARKS = {True: "✓", False: "✗", None: "?"}


def sure(one: Asked) -> bool:
    return one.stop is not None and (one.stop.verdict is not Verdict.UNKNOWN or one.found.answered is False)


def test_every_published_port_has_its_lines(joined: Host) -> None:
    """Also where ranges are one line: every default question is asked by one of them."""
    for container in running(joined):
        ports = {one.host_port for one in joined.ports or () if one.live and one.container_id == container.id}
        shown = "  ".join(one.text for one in questions_of(joined, container) if one.label == "IN")
        for port in ports if not container.shares_with else ():
            assert any(low <= port <= high for low, high in ranges(shown)), port


def ranges(text: str) -> Iterator[tuple[int, int]]:
    for found in re.finditer(r":(\d+)(?:-(\d+))?(?:/\w+)?(?=  |$)", text):
        yield int(found[1]), int(found[2] or found[1])


def test_the_card_and_the_ports_show_what_the_json_has(joined: Host, shown: Shown) -> None:
    for container, facts in shown:
        text = words(card(joined, container, 400))
        outwards = all(
            one.found and one.found.answered and one.stop is None
            for one in questions_of(joined, container)
            if one.label == "OUT"
        )
        for path in facts["outbound"]:
            if path["default"] is not True or not outwards or path["leaves"] not in ("masquerade", "snat"):
                continue
            assert path["leaves_as"] in text
            assert f"{path['nat']['table']}/{path['nat']['chain']} #{path['nat']['rule']}" in text
    rows = BY_NAME["ports"].rows(joined)
    listed = json_host.list_view(joined, BY_NAME["ports"], rows.things)["ports"]
    for row, port, entry in zip(rows[:], rows.things, listed or (), strict=True):  # type: ignore[call-overload]
        cells = {column.key: cell.text for column, cell in zip(BY_NAME["ports"].columns, row.cells, strict=True)}
        assert (cells["rule"] == port.dnat.place) if port.dnat else cells["rule"] in ("—", "?")
        assert entry["listening"] is port.listening
        nobody = port.live and port.holder is not None and port.holder.kind == "nobody"
        assert ("●" in cells["listening"]) is (bool(port.listening) and not nobody)
        assert ("✗ not forwarded" in cells["listening"]) is nobody
        assert told(entry["dnat"]) == (port.dnat and (port.dnat.table, port.dnat.chain, port.dnat.position))
