"""The words of `netdash trace`: ends, names as their sender resolves them, options, exit codes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from netdash.bundle.storage import load
from netdash.cli.main import main
from netdash.join.host import Builder
from netdash.model.errors import Exit, NetdashError
from netdash.trace.model import Origin, Verdict
from netdash.trace.question import Asked, question
from netdash.trace.tracer import trace
from netdash.view import reachability, terminal
from netdash.view import trace as walk
from netdash.view.text import width
from tests.conftest import RECORDINGS, joined, matrix
from tests.support.trace_hosts import WEB, from_outside, host, table

FULL = "docker28.5-nft-full"


@pytest.mark.parametrize(
    ("sender", "target", "origin", "dst", "dport"),
    [
        ("outside", "203.0.113.2:8080", Origin.OUTSIDE, "203.0.113.2", 8080),
        ("outside@192.0.2.10", ":8080", Origin.OUTSIDE, "203.0.113.2", 8080),
        ("outside", "host:8080", Origin.OUTSIDE, "203.0.113.2", 8080),
        ("outside", "[2001:db8:1::2]:8084", Origin.OUTSIDE, "2001:db8:1::2", 8084),
        ("host", ":8080", Origin.HOST, "127.0.0.1", 8080),
        ("host", "localhost:8080", Origin.HOST, "127.0.0.1", 8080),
        ("host", "web:80", Origin.HOST, "172.17.0.2", 80),
        ("web", "192.0.2.10:80", Origin.CONTAINER, "192.0.2.10", 80),
        ("c1", "c-lo:80", Origin.CONTAINER, "192.0.2.3", 80),
    ],
)
def test_ends(sender: str, target: str, origin: Origin, dst: str, dport: int) -> None:
    asked, _ = question(joined(FULL), sender, target, Asked())
    assert (asked.origin, str(asked.dst), asked.dport) == (origin, dst, dport)


@pytest.mark.parametrize(
    ("sender", "target", "options", "code"),
    [
        ("nobody", "1.2.3.4:80", {}, Exit.USAGE),
        ("outside@here", "1.2.3.4:80", {}, Exit.USAGE),
        ("host", "1.2.3.4", {}, Exit.USAGE),  # no port
        ("host", "1.2.3.4:99999", {}, Exit.USAGE),
        ("host", "1.2.3.4:-1", {}, Exit.USAGE),
        ("host", "\x1b[31m:80", {}, Exit.USAGE),
        ("host", "1.2.3.4:80", {"iif": "eth0"}, Exit.USAGE),
        ("outside@::1", "1.2.3.4:80", {}, Exit.USAGE),
        ("plain", "web:80", {}, Exit.FINDINGS),  # on the default bridge no names are resolved
        ("c1", "c-int:80", {}, Exit.FINDINGS),  # they share no network
    ],
)
def test_what_is_no_end_of_a_way(sender: str, target: str, options: dict[str, str], code: Exit) -> None:
    with pytest.raises(NetdashError) as raised:
        question(joined(FULL), sender, target, Asked(**options))  # type: ignore[arg-type]
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("outside", ":8080"), 0),
        (("c1", "172.17.0.2:80"), 1),
        (("host", "127.0.0.1:9"), 1),
        (("web", "198.51.100.1", "--proto", "icmp"), 0),
        (("outside", ":8080", "--sport", "70000"), 2),
        (("outside", ":8080", "--mark", "x"), 2),
        (("outside", ":8080", "--proto", "sctp"), 2),
    ],
)
def test_exit_codes(words: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--from", str(RECORDINGS / FULL), "trace", *words]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_json_has_what_the_text_has(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--from", str(RECORDINGS / FULL), "trace", "host", "127.0.0.1:8080", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == 1
    assert answer["verdict"] == "answered by docker-proxy"
    assert answer["then"]["verdict"] == "delivered"
    assert answer["reply"]["verdict"] == "delivered"
    assert {step["hook"] for step in answer["steps"]} <= {"output", "postrouting", "prerouting", "input"}


def test_unknown_has_an_exit_code_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--from", str(RECORDINGS / "podman5.8-nftables"), "trace", "host", "10.88.0.2:80"]) == Exit.UNKNOWN
    assert "unknown" in capsys.readouterr().out


@pytest.mark.parametrize("room", [60, 80, 120])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        (FULL, ("outside", ":8080")),
        (FULL, ("c1", "172.17.0.2:80")),
        ("podman5.8-nftables", ("outside", ":8080")),
        ("internal-network", ("web", "192.0.2.10:80")),
    ],
)
def test_no_line_is_wider_than_the_screen(name: str, words: tuple[str, str], room: int) -> None:
    host = joined(name)
    asked, _ = question(host, *words, Asked())
    told = list(terminal.text(walk.lines(host, trace(host, asked), room), colour=False))
    assert max(map(width, told)) <= room
    reached = terminal.text(reachability.lines(host, matrix(name), room), colour=False)
    assert max(map(width, reached)) <= room


@pytest.mark.parametrize(("count", "verdict"), [("65535", Verdict.DELIVERED), ("65536", Verdict.UNKNOWN)])
def test_a_full_connection_table_may_drop_what_is_new(count: str, verdict: Verdict) -> None:
    rule = f"-A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination {WEB}:80"
    room = {"net.netfilter.nf_conntrack_max": "65536", "net.netfilter.nf_conntrack_count": count}
    answer = from_outside(host(table("nat", rule), sysctls=room))
    assert answer.verdict is verdict
    assert {end.verdict for end in answer.ends} == ({Verdict.DELIVERED, Verdict.DROPPED} if count == "65536" else set())
    lines = " ".join("".join(span.text for span in line) for line in walk.lines(host(), answer, 120))
    assert ("if not: a full connection table (65536 of 65536) drops what is new" in lines) == (count == "65536")


@pytest.mark.parametrize(("early", "verdict"), [(0, Verdict.DROPPED), (3, Verdict.UNKNOWN)])
def test_a_full_connection_table_that_only_ever_dropped_drops(early: int, verdict: Verdict) -> None:
    """early_drop counts connections that were given up for new ones."""
    room = {"net.netfilter.nf_conntrack_max": "65536", "net.netfilter.nf_conntrack_count": "65536"}
    more = {"host/conntrack-stats.txt": f"cpu=0 found=0 drop=2 early_drop={early} error=0\n"}
    rule = f"-A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination {WEB}:80"
    assert from_outside(host(table("nat", rule), sysctls=room, more=more)).verdict is verdict


def test_a_source_that_hangs_on_a_rule_that_cannot_be_told_is_not_told() -> None:
    """nft alone names MASQUERADE without what it does; the answer is dropped either way."""
    whole = load(RECORDINGS / "tailscale-exit-node")
    answers = {path: answer for path, answer in whole.answers.items() if path != "rules/iptables-save.txt"}
    for given, source in ((whole, "203.0.114.2"), (replace(whole, answers=answers), "None")):
        on = Builder().build(given)
        told = trace(on, question(on, "web", "1.1.1.1:443", Asked())[0])
        assert told.verdict is Verdict.FORWARDED
        assert str(told.translation.src) == source


def test_an_id_stands_for_the_one_container_that_it_begins() -> None:
    known = joined(FULL)
    first, second, *others = known.containers or ()
    ids = replace(first, id="4430" + first.id[4:]), replace(second, id="ab" + second.id[2:])
    renamed = replace(known, containers=(*ids, *(replace(other, id="ab" + other.id[2:]) for other in others)))
    asked, _ = question(renamed, "44", "192.0.2.10:80", Asked())
    assert asked.container == ids[0].id
    for ends in (("ab", "192.0.2.10:80"), ("host", "ab:80"), ("host", "443:80")):  # of several; a number may be a port
        with pytest.raises(NetdashError) as raised:
            question(renamed, *ends, Asked())
        assert raised.value.code is Exit.USAGE
