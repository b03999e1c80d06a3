"""Whether who asks gets its answer, against what a kernel (6.18) did with real packets: hosts that differ from one base
in a few files. kernel.txt has a line a packet: sender, `proto target port`, and what came of it."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from netdash.core.join import Builder
from netdash.core.model import Host
from netdash.core.recording import load
from netdash.core.trace.question import Asked, question
from netdash.core.trace.tracer import trace
from tests.conftest import RECORDINGS

EXCHANGE = RECORDINGS / "exchange"
BASE = EXCHANGE / "base"
ADDRESSES = {("out", 4): "192.0.2.10", ("out", 6): "2001:db8:2::10", ("lan", 4): "203.0.113.1"}
PACKETS = [
    (path.parent.name, line)
    for path in sorted(EXCHANGE.glob("*/kernel.txt"))
    for line in path.read_text("utf-8").splitlines()
    if line.count("\t") == 2
]


@cache
def _host(name: str) -> Host:
    """The base, with the files of the case in the place of its own."""
    folder, recording = EXCHANGE / name, load(BASE)
    own = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    texts = {file: path.read_text("utf-8") for file, path in own.items() if "/" in file}
    return Builder().build(replace(recording, answers={**recording.answers, **texts}))


def test_every_recorded_packet_is_asked() -> None:
    assert len(PACKETS) > 70


@pytest.mark.parametrize(
    ("name", "line"), PACKETS, ids=[f"{name}: {' '.join(line.split()[:4])}" for name, line in PACKETS]
)
def test_the_asker_gets_its_answer_as_the_kernel_let_it(name: str, line: str) -> None:
    host = _host(name)
    who, words, kernel = line.split("\t")
    proto, target, port, *rest = [*words.split(" "), ""]
    more = dict(word.split("=", 1) for word in rest if "=" in word)
    six = ":" in target
    address = more.get("src") or ADDRESSES.get((who, 6 if six else 4))
    sender = f"outside@{address}" if who in ("out", "lan") else who
    shown = f"[{target}]" if six and port not in ("", "0") else target
    sport = int(more["sport"]) if "sport" in more else None
    asked, _ = question(
        host, sender, f"{shown}:{port}" if port not in ("", "0") else shown, Asked(proto, sport, iif=more.get("iif"))
    )
    answer = trace(host, asked)
    assert answer.answered is kernel.startswith("OK"), answer.exchange.why or answer.decided_by
    saw = re.search(r"sees (\S+)", kernel)
    if answer.answered and saw and answer.then is None:
        assert str(answer.translation.src) == saw[1]


def test_no_file_of_a_case_is_the_base_s_own() -> None:
    for path in EXCHANGE.rglob("*"):
        same = BASE / Path(*path.relative_to(EXCHANGE).parts[1:])
        if path.is_file() and path.parts[len(EXCHANGE.parts)] != "base" and same.is_file():
            assert path.read_bytes() != same.read_bytes(), path
