"""The fixed questions of a card: ranges that fare alike are one line, and no port that fares otherwise hides in one."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from netdash.doctor.examine import examine
from netdash.model.errors import NetdashError
from netdash.model.finding import keep_health
from netdash.model.host import Host, Match
from netdash.trace.model import Verdict
from netdash.trace.question import Asked, question
from netdash.trace.tracer import trace
from netdash.view import marks, questions, typed_question
from netdash.view import trace as walk
from netdash.view.card import card
from netdash.view.layout import size

RANGE = "docker28.5-nft-full"  # c-hostip publishes 9000-9003


def lines(host: Host, name: str) -> dict[str, str]:
    container = next(one for one in host.containers or () if one.name == name)
    return {one.text: one.verdict.text for one in questions.asked(host, container)}


def test_a_range_is_one_line(examined: Callable[[str], Host]) -> None:
    found = lines(examined(RANGE), "c-hostip")
    assert found["outside → 203.0.113.2:9000-9003"] == "· no listener"
    assert found["this host → loopback:9000-9003"] == "· no listener"


@pytest.mark.parametrize(("ports", "count"), [(("80-10080", "80-10080"), 1), (("80-10080", "80-20080"), 2)])
def test_both_families_are_one_line_where_all_of_their_ports_are_the_same(
    examined: Callable[[str], Host], ports: tuple[str, str], count: int
) -> None:
    known = examined(RANGE)
    container = next(one for one in known.containers or () if one.name == "c-hostip")
    like = next(one for one in questions.asked(known, container) if "loopback" in one.text)
    assert like.usual is not None
    ipv6 = replace(like.usual, question=replace(like.usual.question, dst=ip_address("::1")))
    pair = [
        replace(like, text=f"this host → 127.0.0.1:{ports[0]}"),
        replace(like, text=f"this host → [::1]:{ports[1]}", usual=ipv6),
    ]
    assert len(list(questions._loopback(pair))) == count


def test_a_port_that_fares_otherwise_has_a_line_of_its_own(host: Callable[[str], Host]) -> None:
    """One port of the range is dropped by a rule of somebody's own: it is told so, and the others are not."""
    dropped = with_drop(host(RANGE), 9002)
    keep_health(dropped, examine(dropped))
    found = lines(dropped, "c-hostip")
    assert found["outside → 203.0.113.2:9002"].endswith("dropped")
    assert found["outside → 203.0.113.2:9000-9001,9003"].endswith("no listener")


@pytest.mark.parametrize("name", ["default-route-missing", RANGE])
def test_the_command_of_a_question_asks_the_same(name: str, host: Callable[[str], Host]) -> None:
    """Who stands for outside on the command line is who is asked for on the card."""
    known = host(name)
    for container in known.containers or ():
        for one in questions.usuals(known, container):
            sender, target, *options = shlex.split(walk.command(known, one.question))[2:]
            proto = options[options.index("--proto") + 1] if "--proto" in options else "tcp"
            typed, _ = question(known, sender, target, Asked(proto))
            assert trace(known, typed).answered == trace(known, one.question).answered, one.text


def with_drop(host: Host, port: int) -> Host:
    """A rule at the head of filter/FORWARD drops what goes to this port of a container."""
    ruleset = host.ruleset
    assert ruleset is not None
    chain = next(one for one in ruleset.chains if (one.table, one.name, one.family) == ("filter", "FORWARD", "ip"))
    like = chain.rules[0]
    text = f"-A FORWARD -p tcp -m tcp --dport {port} -j DROP"
    target = next(rule.target for rule in ruleset.rules if rule.target.verb.name == "DROP")
    matches = (Match("proto", ("tcp",)), Match("dport", ((port, port),)))
    drop = replace(like, text=text, matches=matches, target=target, packets=1)
    moved = tuple(replace(rule, position=rule.position + 1) for rule in chain.rules)
    chains = tuple(replace(one, rules=(drop, *moved)) if one is chain else one for one in ruleset.chains)
    return replace(host, ruleset=replace(ruleset, chains=chains))


def test_before_the_host_is_examined_a_range_waits(host: Callable[[str], Host]) -> None:
    found = lines(replace(host(RANGE), taken=9.0), "c-hostip")
    assert found["outside → 203.0.113.2:9000-9003"] == "…"
    assert found["outside → 203.0.113.2:8083"] == "✓ ok"


@pytest.mark.parametrize("name", ["docker-user-host-port", "masq-missing", "su1", "internal-network"])
def test_the_reason_is_never_cut(examined: Callable[[str], Host], name: str) -> None:
    given = examined(name)
    for container in given.containers or ():
        whole = questions.asked(given, container)
        for width in (60, 80, 100, 120, 160):
            drawn = card(given, container, width)
            assert max(map(size, drawn)) <= width
            told = "".join("".join(span.text for span in line) for line in drawn).replace(" ", "")
            for one in whole:
                reason = one.reason if width >= 100 else one.short or one.reason
                assert "".join(span.text for span in reason).replace(" ", "") in told.replace("\n", ""), (width, one)


def test_one_word_for_every_end() -> None:
    words = {ended: marks.word(ended.arrives, ended) for ended in Verdict if ended is not Verdict.UNKNOWN}
    assert {words[ended] for ended in words if ended.arrives} == {"ok"}
    assert all(words[ended] == ended.value for ended in words if not ended.arrives)
    assert marks.word(None, Verdict.UNKNOWN) == "unknown"
    assert marks.word(False, Verdict.DELIVERED) == "no answer"


@pytest.mark.parametrize(
    ("typed", "offers"),
    [
        ("out", ["outside "]),
        ("c-l", ["c-lo "]),
        ("brid", ["c-paused "]),
        ("outside c1", ["outside c1:"]),
        ("outside ou", []),
        ("web ou", ["web outside:"]),
        ("outside c1:", ["outside c1:80"]),
        ("outside :808", ["outside :8080", "outside :8081"]),
    ],
)
def test_completion(host: Callable[[str], Host], typed: str, offers: list[str]) -> None:
    found = list(typed_question.completions(host(RANGE), typed))
    assert found[: len(offers) or None] == offers


@pytest.mark.parametrize(
    "typed", ["", "web", "a b c d", "web nowhere:80", "web :0", "nobody 1.1.1.1:80", "web 1.1.1.1"]
)
def test_what_is_no_packet_is_refused_in_words(host: Callable[[str], Host], typed: str) -> None:
    with pytest.raises(NetdashError):
        typed_question.understood(host(RANGE), typed)
