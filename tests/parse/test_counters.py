"""Counters of lost packets: what is read of them, and that a part of an answer is never taken for all of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from netdash.parse.counters import Counts, parse_conntrack, parse_links, parse_nstat, parse_softnet, parse_tool

NSTAT = """#kernel
IpInReceives                    303                0.0
IpOutNoRoutes                   3                  0.0
TcpExtIPReversePathFilter       2                  0.0
"""
CONNTRACK = """\
entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error
00000002  00000000 00000000 00000000 00000001 00000000 00000000 00000000 00000000 00000003 0000000a 00000000 00000000
00000002  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000001 00000001 00000000 00000000
"""
SOFTNET = """\
002002ca 00000010 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
00266e87 00000001 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000002 00000000 00000001
"""
LINKS = json.dumps(
    [
        {
            "ifname": "eth0",
            "stats64": {
                "rx": {"bytes": 9, "packets": 1, "errors": 1, "dropped": 2, "missed_errors": 3},
                "tx": {"bytes": 9, "packets": 1, "errors": 0, "dropped": 5},
            },
        },
        {"ifname": "lo", "stats64": {"rx": {"dropped": -1, "errors": "many", "missed_errors": True}, "tx": []}},
        {"ifname": 7, "stats64": {"rx": {"dropped": 9}}},
    ]
)
TOOL = "cpu=0   \tfound=0 insert_failed=2 drop=1 early_drop=0\ncpu=1   \tfound=0 insert_failed=1 drop=0 early_drop=4\n"


def test_each_answer_gives_its_counters() -> None:
    assert parse_nstat(NSTAT)["", "TcpExtIPReversePathFilter"] == 2
    assert parse_conntrack(CONNTRACK)["", "drop"] == 11
    assert parse_conntrack(CONNTRACK)["", "insert_failed"] == 4
    assert parse_softnet(SOFTNET) == {("", "softnet_dropped"): 17, ("", "softnet_flow_limit"): 2}
    assert parse_tool(TOOL)["", "early_drop"] == 4
    assert parse_links(LINKS) == {
        ("eth0", "rx_errors"): 1,
        ("eth0", "rx_dropped"): 2,
        ("eth0", "rx_missed"): 3,
        ("eth0", "tx_errors"): 0,
        ("eth0", "tx_dropped"): 5,
    }


@pytest.mark.parametrize("parse", [parse_nstat, parse_conntrack, parse_softnet, parse_links, parse_tool])
@pytest.mark.parametrize(
    "answer", ["", "\n", "[]", "\x1b[31m\x00\xff", "cpu=0 drop=-1\n", "entries drop\n", "{}", "1 " * 9]
)
def test_an_answer_without_a_counter_is_not_read_as_zero(parse: Callable[[str], Counts], answer: str) -> None:
    with pytest.raises(ValueError, match=r"damaged|no counter|xpect|Extra"):
        parse(answer)


@pytest.mark.parametrize(("parse", "answer"), [(parse_conntrack, CONNTRACK), (parse_softnet, SOFTNET)])
def test_a_sum_of_a_part_of_the_processors_is_not_made(parse: Callable[[str], Counts], answer: str) -> None:
    whole = parse(answer)
    begins = answer.rindex("\n", 0, len(answer) - 1) + 1
    for cut in range(begins + 1, len(answer) - 1):
        with pytest.raises(ValueError, match="damaged"):
            parse(answer[:cut])
    assert parse(answer[:-1]) == whole


def test_a_cut_line_of_nstat_is_left_out() -> None:
    for cut in range(NSTAT.index("TcpExt"), len(NSTAT) - 5):
        assert ("", "TcpExtIPReversePathFilter") not in parse_nstat(NSTAT[:cut])


@pytest.mark.parametrize(
    ("parse", "answer"),
    [(parse_nstat, NSTAT), (parse_conntrack, CONNTRACK), (parse_softnet, SOFTNET), (parse_links, LINKS)],
)
def test_damaged_answers_raise_nothing_else(parse: Callable[[str], Counts], answer: str) -> None:
    chance = random.Random(17)
    for _ in range(400):
        at, size = chance.randrange(len(answer)), chance.randrange(8)
        junk = "".join(chance.choice('0f9 \n\t=\x1b\u0660{}[]",') for _ in range(chance.randrange(6)))
        try:
            counts = parse(answer[:at] + junk + answer[at + size :])
        except ValueError:
            continue
        assert counts
        assert all(count >= 0 for count in counts.values())
