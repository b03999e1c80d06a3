"""How long traces take, in milliseconds of CPU: on hosts with 10,000 rules of one shape each, with 5,000
docker-proxies, and with 300 containers; and how long the reach matrix of many containers. Reads recordings only."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from netdash.bundle.recording import Recording
from netdash.join.host import Builder
from netdash.model.host import Host
from netdash.trace.reachability import reach
from netdash.trace.tracer import reaches
from netdash.view import json_host, json_trace, reachability, terminal
from tests.bench.many import many
from tests.support.trace_hosts import questions_of

RULES = 10_000
QUESTIONS = 100
SAVE = "rules/iptables-legacy-save.txt"
LAST = "[24:1948] -A DOCKER-USER -j RETURN"


def _ip(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _mac(number: int) -> str:
    return f"02:00:00:{number >> 16 & 255:02X}:{number >> 8 & 255:02X}:{number & 255:02X}"


SHAPES: dict[str, Callable[[int], str]] = {
    "addresses and ports": lambda at: f"-s {_ip(at)}/32 -p tcp -m tcp --dport {1000 + at % 5000}",
    "port ranges": lambda at: f"-p tcp -m tcp --dport {10000 + at * 2}:{10001 + at * 2}",
    "wide port ranges": lambda at: f"-p tcp -m tcp --dport {81 + at}:{40000 + at}",
    "all sources but one": lambda at: f"! -s {_ip(at)}/32 -p tcp -m tcp --dport {1000 + at}",
    "source ports": lambda at: f"-p tcp -m tcp --sport {1 + at}",
    "ephemeral source ports": lambda at: f"-p tcp -m tcp --sport {32768 + at}",
    "several ports": lambda at: f"-p tcp -m multiport --dports {1000 + at},{2000 + at},{3000 + at}:{3005 + at}",
    "source ranges": lambda at: f"-m iprange --src-range {_ip(at * 4)}-{_ip(at * 4 + 2)}",
    "MACs": lambda at: f"-m mac --mac-source {_mac(at)}",
    "sets that were not read": lambda at: f"-m set --match-set set{at} src",
    "marks": lambda at: f"-m mark --mark {at + 1}",
}


def _with_rules(given: Recording, condition: Callable[[int], str]) -> Host:
    rules = "\n".join(f"[0:0] -A DOCKER-USER {condition(at)} -j DROP" for at in range(RULES))
    text = (given.text(SAVE) or "").replace(LAST, f"{rules}\n{LAST}", 1)
    return Builder().build(replace(given, answers={**given.answers, SAVE: text}))


def _traces(what: str, host: Host, most: int | None = QUESTIONS) -> None:
    questions = [one.question for each in host.containers or () for one in questions_of(host, each)][:most]
    times = []
    for question in questions:
        begun = time.process_time()
        reaches(host, question)
        times.append((time.process_time() - begun) * 1000)
    told = f"median {statistics.median(times):6.2f}, first {times[0]:6.1f}, longest later {max(times[1:]):6.1f}"
    print(f"{what:<46}{told}; {len(times)} in {sum(times) / 1000:.2f} s", flush=True)


def _reach(count: int) -> None:
    host = Builder().build(many(count))
    begun = time.process_time()
    matrix = reach(host)
    made = time.process_time()
    text = json_host.dumps(json_trace.reach(matrix))
    written = time.process_time()
    lines = sum(1 for _ in terminal.text(reachability.lines(host, matrix, 120), False))
    drawn = time.process_time()
    print(
        f"reach of {count} containers: {made - begun:.2f} s, JSON {written - made:.2f} s ({len(text) / 1e6:.1f} MB), "
        f"text {drawn - written:.2f} s ({lines} lines)",
        flush=True,
    )


def main() -> None:
    small = many(10)
    _traces("no more rules", Builder().build(small))
    for name, condition in SHAPES.items():
        _traces(f"{RULES} rules of {name}", _with_rules(small, condition))
    _traces("5,000 docker-proxies", Builder().build(many(10_000, inside=False)))
    _traces("300 containers, all questions", Builder().build(many(300)), None)
    for count in (300, 1000):
        _reach(count)


if __name__ == "__main__":
    main()
