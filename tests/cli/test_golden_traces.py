"""The golden files of traces agree with what the kernel did: with the packets that it traced, and with its counters."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.conftest import RECORDINGS
from tests.kernel_trace import packets
from tests.support import raw_answers as raw
from tests.support.golden_commands import GOLDEN, TRACED

TRACES = [(name, file) for name, questions in TRACED.items() for file in questions]
LINE = re.compile(
    r"^ . (legacy )?(?:ip6 |inet )?(\S+?)/(\S+?)(…\S*)? #(\d+)  +(?:.*? (\d+) pkts?(?:  .*|$))?", re.MULTILINE
)
"""Backend, table, chain, whether its name is cut, number, packets."""


def steps(name: str, file: str) -> list[dict[str, Any]]:
    answer = json.JSONDecoder().raw_decode((GOLDEN / name / f"trace-{file}.json").read_text("utf-8"))[0]
    found: list[dict[str, Any]] = answer["steps"]
    return [step for step in found if not step["inside"] and step["backend"] != "iptables-legacy"]


@pytest.mark.parametrize(
    ("name", "file", "destination"),
    [
        ("masq-missing", "out", "192.0.2.10"),
        ("internal-network", "blockers", "192.0.2.10"),
        ("nft-incompatible-table", "unsure", "203.0.113.2"),
    ],
)
def test_the_rules_are_those_that_the_kernel_traced(name: str, file: str, destination: str) -> None:
    (seen,) = [flow for flow in packets(RECORDINGS / name / "kernel-trace.txt") if flow.header["daddr"] == destination]
    sure = [step for step in steps(name, file) if step["matched"]]
    met = [
        (*(step[key] for key in ("family", "table", "chain")), step["rule"] == "policy", step["verdict"], step["to"])
        for step in sure
    ]
    assert met == seen.met


def test_a_neighbours_packet_met_what_the_kernel_traced() -> None:
    cases = json.loads((RECORDINGS / "docker29.7-nftables-full" / "trace-cases.json").read_text("utf-8"))
    (case,) = [
        case
        for case in cases
        if (case["origin"], case["dst"], case["dport"]) == ({"container": "c1"}, "203.0.113.2", 8080)
    ]
    keys = ("family", "table", "chain", "rule", "verdict")
    shown = [tuple(step[key] for key in keys) for step in steps("docker29.7-nftables-full", "neighbour")]
    assert shown == [tuple(step[key] for key in keys) for step in case["kernel"]["steps"]]
    (unreachable,) = [case for case in cases if case["case"] == "out-c-int"]
    assert unreachable["kernel"]["steps"] == []
    assert "✗ no route" in (GOLDEN / "docker29.7-nftables-full" / "trace-no-route.txt").read_text("utf-8")


def test_the_kernel_counted_each_rule_that_a_published_port_passes() -> None:
    """Before the recording one packet went to the port from outside."""
    for step in steps("docker28.5-nft-full", "published"):
        if step["rule"] != "policy":
            rule = raw.rules("docker28.5-nft-full")[
                raw.Place(*(step[key] for key in ("backend", "family", "table", "chain", "rule")))
            ]
            assert rule.text == step["text"]
            assert rule.packets


@pytest.mark.parametrize(("name", "file"), TRACES)
def test_each_line_names_a_rule_that_is_there_and_its_counter(name: str, file: str) -> None:
    shown = (GOLDEN / name / f"trace-{file}.txt").read_text("utf-8")
    lines = LINE.findall(shown)
    assert len(lines) == len(re.findall(r"^ .{1,80} #\d+  ", shown, re.MULTILINE))
    for legacy, table, chain, cut, number, counted in lines:
        counters = {
            rule.packets
            for at, rule in raw.rules(name).items()
            if (at.backend == "iptables-legacy", at.table, at.rule) == (bool(legacy), table, int(number))
            if (at.chain.startswith(chain) if cut else at.chain == chain)
        }
        assert (int(counted) if counted else None) in counters


def test_who_reaches_what_is_what_the_engine_published_and_a_real_client_got() -> None:
    matrix = json.JSONDecoder().raw_decode((GOLDEN / "masq-missing" / "reach.json").read_text("utf-8"))[0]
    inspected = raw.inspected("masq-missing")
    published = {
        (port[0], port[2], found["Id"])
        for found in inspected.values()
        if found["State"]["Running"]
        for port in raw.published(found)
    }
    keys = ("proto", "port", "container")
    aims = [tuple(aim[key] for key in keys) for aim in matrix["aims"] if aim["kind"] == "published"]
    assert set(aims) == published
    answers = {tuple(cell["of"]): cell for row in matrix["classes"]["cells"] for cell in row if cell}
    answers |= {tuple(cell["of"]): cell for cell in matrix["alone"]}
    assert len(answers) == len(matrix["senders"]) * len(matrix["aims"])
    (client,) = re.findall(r"^# in\(.* -> 203\.0\.113\.2:8080\) curl_rc=(\d+)", trace_of_the_kernel(), re.MULTILINE)
    outside = [sender["from"] for sender in matrix["senders"]].index("outside")
    (aim,) = (at for at, found in enumerate(matrix["aims"]) if (found["ip"], found["port"]) == ("203.0.113.2", 8080))
    assert answers[outside, aim]["reaches"] is (client == "0")
    for cell in answers.values():
        if rule := re.fullmatch(r"(\w+)/(\S+) #(\d+)", cell["why"] or ""):
            place = raw.Place("iptables-nft", "ip", rule[1], rule[2], int(rule[3]))
            assert raw.rules("masq-missing")[place].text.endswith("-j DROP")


def trace_of_the_kernel() -> str:
    return (RECORDINGS / "masq-missing" / "kernel-trace.txt").read_text("utf-8")
