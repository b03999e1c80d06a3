"""Predictions against what the kernel did: the same rules and policies in the same order, the same translation, the
same end."""

from __future__ import annotations

import json
from functools import cache
from ipaddress import ip_address
from typing import Any

import pytest

from netdash.bundle.storage import load
from netdash.join.host import Builder
from netdash.model.host import Host
from netdash.trace.model import Origin, Question, Verdict
from netdash.trace.tracer import trace
from tests.conftest import RECORDINGS
from tests.kernel_trace import agrees, asked, packets, said

CASES = [
    (path.parent.name, case)
    for path in sorted(RECORDINGS.glob("*/trace-cases.json"))
    for case in json.loads(path.read_text("utf-8"))
]
FAULTS = sorted(path.parent.name for path in RECORDINGS.glob("*/kernel-trace.txt"))


@cache
def _host(name: str) -> Host:
    return Builder().build(load(RECORDINGS / name))


def _question(host: Host, case: dict[str, Any]) -> Question:
    """Senders on this host choose their source by their own routes, as they did."""
    dst, origin = ip_address(case["dst"]), case["origin"]
    if isinstance(origin, dict):
        sender = next(one.id for one in host.containers or () if one.name == origin["container"])
        return Question(Origin.CONTAINER, dst, case["proto"], case["dport"], container=sender)
    if origin == "host":
        return Question(Origin.HOST, dst, case["proto"], case["dport"])
    return Question(Origin.OUTSIDE, dst, case["proto"], case["dport"], src=ip_address(case["src"]))


def test_every_recorded_packet_is_asked() -> None:
    assert len(CASES) == 57


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}-{case['case']}" for name, case in CASES])
def test_the_prediction_is_what_the_kernel_did(name: str, case: dict[str, Any]) -> None:
    host, kernel = _host(name), case["kernel"]
    answer = trace(host, _question(host, case))
    met = [step for step in answer.steps if not step.inside]
    assert [(step.family, step.table, step.chain, step.rule or "policy", step.verdict) for step in met] == [
        (step["family"], step["table"], step["chain"], step["rule"], step["verdict"]) for step in kernel["steps"]
    ]
    assert not answer.unsure
    stopped = kernel["dropped_at"]
    assert (answer.verdict is Verdict.DROPPED) == (stopped is not None)
    if stopped is not None:
        assert answer.decided_by is not None
        assert answer.decided_by.step is answer.steps[-1]
    if case["http_status"] == "200":
        assert answer.verdict.arrives
        assert answer.reply is not None
        assert answer.reply.verdict.arrives
    entry = kernel["conntrack"]
    if entry is not None:
        reply, told = entry["reply"], answer.translation
        assert (str(told.src), str(told.dst), told.dport) == (reply["dst"], reply["src"], reply["sport"])
        if answer.question.origin is not Origin.OUTSIDE:
            assert str(answer.steps[0].packet.src) == entry["orig"]["src"]


@pytest.mark.parametrize("name", FAULTS)
def test_the_prediction_is_what_the_kernel_did_on_a_broken_host(name: str) -> None:
    host = _host(name)
    flows = packets(RECORDINGS / name / "kernel-trace.txt")
    assert flows
    for seen in flows:
        assert said(trace(host, asked(host, seen.header))) == seen.met
        assert agrees(host, seen)
