"""A prediction beside recorded events of the kernel: what they are joined to, and which step differs first."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from netdash.bundle.recording import Recording
from netdash.bundle.storage import load
from netdash.join.host import Builder
from netdash.model.addresses import address
from netdash.model.host import Host
from netdash.parse.netfilter import TraceEvent, trace_events
from netdash.rules.nft_listing import Handles
from netdash.trace.kernel_trace import Flow, Walk, table_text, walk_of, wanted_packet
from netdash.trace.model import Origin, Question, Step, Trace
from netdash.trace.proof import Arrival, Proof, proved, unseen
from netdash.trace.question import Asked, question
from netdash.trace.tracer import trace

FOLDER = Path(__file__).parents[1] / "recordings" / "nf-trace"
NFT = "rules/nft.json"
NAME = "netdash-1"  # of the table in the recorded events
PORTS = {"translated": 8080, "dropped": 81}
Change = Callable[[list[dict[str, Any]]], object]


def _recording(change: Change | None = None) -> Recording:
    recording = load(FOLDER / "host")
    if change is None:
        return recording
    listing = json.loads(str(recording.answers[NFT]))
    change(listing["nftables"])
    return replace(recording, answers={**recording.answers, NFT: json.dumps(listing)})


def _host(change: Change | None = None) -> Host:
    return Builder().build(_recording(change))


def _asked(host: Host, name: str) -> Trace:
    dst = address("127.0.0.1")
    assert dst is not None
    return trace(host, Question(Origin.HOST, dst, "tcp", PORTS[name], 40000, uid=0))


def _messages(name: str) -> list[bytes]:
    return [bytes.fromhex(line) for line in (FOLDER / f"{name}.hex").read_text("ascii").splitlines()]


def _events(name: str) -> list[TraceEvent]:
    return [event for message in _messages(name) for event in trace_events(message)]


def _walk(events: Iterable[TraceEvent], change: Change | None = None) -> Walk:
    """`change`: of the rules as they are when the packet comes."""
    flow = Flow(NAME)
    for event in events:
        flow.take(event)
    recording = _recording(change)
    ruleset = Builder().build(recording).ruleset
    assert ruleset is not None
    return walk_of(flow, Handles(recording.answers[NFT], ruleset), {1: "lo"})


def _places(items: Sequence[object]) -> list[str]:
    return [
        f"{item.place} {item.verdict}" if isinstance(item, Step) else f"[{item.hook}]"
        for item in items
        if isinstance(item, Step | Arrival)
    ]


def _proof(name: str) -> Proof:
    return proved(_asked(_host(), name), _walk(_events(name)))


def test_a_translated_packet_is_followed_over_two_ids() -> None:
    proof = _proof("translated")
    assert (proof.equal, proof.differs_at, proof.why) == (True, None, "")
    assert _places(proof.steps) == [
        "[output]",
        "nat/output #1 accept",
        "inet filter/output #1 continue",
        "inet filter/output policy accept",
        "[postrouting]",
        "[prerouting]",
        "[input]",
        "inet filter/input #1 jump",
        "inet filter/guard #2 return",
        "inet filter/input policy accept",
        "[]",
    ]
    last = proof.steps[-1].packet
    assert last is not None
    assert (str(last.dst), last.dport) == ("127.0.0.1", 80)


def test_a_drop_is_the_last_step() -> None:
    proof = _proof("dropped")
    assert proof.equal is True
    assert _places(proof.steps)[-2:] == ["inet filter/guard #2 return", "inet filter/input #2 drop"]


def test_a_later_packet_of_the_flow_and_others_packets_are_left_out() -> None:
    events, others = _events("dropped"), _events("translated")
    both = [event for pair in zip(events, others, strict=False) for event in pair]
    assert _walk(both).hops == _walk(events).hops
    assert _walk([*events, *(replace(event, id=event.id + 1) for event in events)]).hops == _walk(events).hops
    assert _walk([*events, *events]).hops == _walk(events).hops
    reused = [replace(event, id=events[-1].id) for event in others if event.network and event.table != NAME]
    foreign = [replace(event, network=_from(event.network, 9)) for event in reused]
    assert _walk([*events[:-1], *foreign, events[-1]]).hops == _walk(events).hops


def test_a_packet_whose_source_was_changed_is_followed_though_the_mark_does_not_know_it_any_more() -> None:
    """On loopback it comes to prerouting translated, and has its mark still."""
    events = _events("translated")
    number = events[0].id
    unmarked = [
        event for event in events if not (event.chain.endswith("-mark") and event.handle and event.id != number)
    ]
    assert len(unmarked) == len(events) - 2
    assert _walk(unmarked).hops == _walk(events).hops


def test_a_packet_that_others_trace_is_not_ours() -> None:
    """It meets the counters of the table, and no rule that marks."""
    others = [event for event in _events("dropped") if not event.chain.endswith("-mark")]
    assert _walk(others).hops == ()
    assert _walk([*others, *_events("translated")]).hops == _walk(_events("translated")).hops


def _from(network: bytes, last: int) -> bytes:
    """The same header with both addresses changed."""
    return network[:15] + bytes([last]) + network[16:19] + bytes([last])


def test_what_was_traced_before_the_packet_was_marked_is_not_lost() -> None:
    events = _events("dropped")
    early = replace(events[0], table="raw", chain="early", handle=None, verdict="accept", network=b"", transport=b"")
    assert _places(_walk([early, *events]).hops[0].steps) == ["raw/early policy accept"]


LOGS = {
    "rule": {
        "family": "inet",
        "table": "filter",
        "chain": "input",
        "handle": 99,
        "expr": [{"counter": {"packets": 0, "bytes": 0}}],
    }
}


def _log_first(elements: list[dict[str, Any]]) -> None:
    """A rule is added before the others of `input`."""
    at = next(at for at, one in enumerate(elements) if one.get("rule", {}).get("chain") == "input")
    elements.insert(at, LOGS)


def test_a_rule_that_came_after_the_reading_is_the_first_step_that_differs() -> None:
    events = _events("dropped")
    at = next(at for at, event in enumerate(events) if event.chain == "input")
    added = replace(events[at], handle=99, verdict="continue", to=None)
    walk = _walk([*events[:at], added, *events[at:]], _log_first)
    proof = proved(_asked(_host(), "dropped"), walk)
    assert proof.equal is False
    assert proof.differs_at is not None
    ours, theirs = proof.rows[proof.differs_at]
    assert _places([ours, theirs]) == ["inet filter/input #1 jump", "inet filter/input #1 continue"]


def test_a_rule_keeps_its_meaning_where_others_were_added_before_it() -> None:
    """One that does not match moves the others on."""
    proof = proved(_asked(_host(), "dropped"), _walk(_events("dropped"), _log_first))
    assert proof.equal is True
    assert _places(proof.steps)[-1] == "inet filter/input #3 drop"


def test_a_rule_that_is_gone_is_told_by_its_handle() -> None:
    gone = _walk(_events("dropped"), lambda elements: elements.pop(_drop_at(elements)))
    proof = proved(_asked(_host(), "dropped"), gone)
    assert proof.equal is False
    last = proof.steps[-1]
    assert isinstance(last, Step)
    assert (last.rule, last.text, last.verdict) == (0, "handle 7", "drop")


def _drop_at(elements: list[dict[str, Any]]) -> int:
    return next(at for at, one in enumerate(elements) if one.get("rule", {}).get("handle") == 7)


def test_another_address_at_a_hook_differs() -> None:
    def elsewhere(elements: list[dict[str, Any]]) -> None:
        rule = next(one["rule"] for one in elements if one.get("rule", {}).get("chain") == "output")
        rule["expr"][-1]["dnat"]["port"] = 8000

    predicted = _asked(_host(elsewhere), "translated")
    proof = proved(predicted, _walk(_events("translated")))
    assert proof.equal is False
    assert proof.differs_at == 1  # the rule has another meaning


def test_a_rule_that_cannot_be_evaluated_proves_nothing_where_the_walks_differ() -> None:
    def strange(elements: list[dict[str, Any]]) -> None:
        rule = next(one["rule"] for one in elements if one.get("rule", {}).get("handle") == 7)
        rule["expr"].insert(0, {"match": {"op": "==", "left": {"meta": {"key": "cgroup"}}, "right": 5}})

    answer = _asked(_host(strange), "dropped")
    assert answer.unsure
    proof = proved(answer, _walk(_events("dropped"), strange))
    assert proof.equal is None
    assert proof.why


def test_no_packet_is_neither_equal_nor_different() -> None:
    proof = unseen(_asked(_host(), "dropped"), "no such packet came")
    assert (proof.equal, proof.differs_at, proof.steps) == (None, None, ())
    assert proof.rows
    assert proof.why == "no such packet came"
    inside = replace(_asked(_host(), "dropped"), hops=())
    assert unseen(inside, "no such packet came").why == "no such packet came, as predicted"


def test_legacy_rules_are_told_to_be_invisible() -> None:
    host = Builder().build(load(FOLDER.parent / "docker20.10-legacy"))
    wanted, _ = question(host, "outside", ":8080", Asked())
    answer = trace(host, wanted)
    assert answer.steps
    assert len(unseen(answer, "").invisible) == len([step for step in answer.steps if not step.inside])
    assert all(isinstance(one, Arrival) for one, _ in unseen(answer, "").rows)


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_marks_one_packet_ahead_of_every_chain() -> None:
    host = _host()
    answer = _asked(host, "dropped")
    assert host.ruleset is not None
    text = table_text(NAME, wanted_packet(answer, 40000), host.ruleset)
    assert text.startswith(f"table inet {NAME} {{\n  flags owner\n")
    assert text.count("add @seen") == 1
    assert "ip daddr 127.0.0.1 th dport 81 th sport 40000 add @seen" in text
    assert "size 1" in text


def test_an_earlier_chain_a_bridge_and_an_ingress_hook_move_the_mark() -> None:
    def early(elements: list[dict[str, Any]]) -> None:
        chains = (
            ("ip", "prerouting", -1000, None),
            ("bridge", "forward", -200, None),
            ("netdev", "ingress", 0, "eth0"),
        )
        for family, hook, priority, device in chains:
            chain = {"family": family, "table": "t", "name": hook, "handle": 1, "type": "filter", "hook": hook}
            chain |= {"prio": priority, "policy": "accept"} | ({"dev": device} if device else {})
            elements += [{"table": {"family": family, "name": "t", "handle": 1}}, {"chain": chain}]

    host = _host(early)
    assert host.ruleset is not None
    text = table_text(NAME, wanted_packet(_asked(host, "dropped"), 40000), host.ruleset)
    assert "chain prerouting-first { type filter hook prerouting priority -1001;" in text
    assert f"table bridge {NAME}" in text
    assert 'hook ingress devices = { "eth0" } priority -350' in text


@pytest.mark.parametrize("device", ['e"; flush ruleset; #', "e\n", "{}", "x" * 16])
def test_a_device_with_a_hostile_name_never_reaches_nft(device: str) -> None:
    host = _host()
    assert host.ruleset is not None
    answer = replace(_asked(host, "dropped"), question=Question(Origin.OUTSIDE, _IP, "tcp", 80, iif=device))
    assert device not in table_text(NAME, wanted_packet(answer, None), host.ruleset)


_IP = address("203.0.113.2")
assert _IP is not None


# --- bytes ------------------------------------------------------------------------------------------------------------


def test_events_that_are_cut_off_or_damaged_are_left_out() -> None:
    chance = random.Random(13)
    messages = _messages("translated")
    for message in messages:
        for size in range(len(message)):
            assert list(trace_events(message[:size])) == []
    for _ in range(3000):
        damaged = bytearray(b"".join(chance.sample(messages, 3)))
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        flow = Flow(NAME)
        for event in trace_events(bytes(damaged)):
            assert event.headers is None or event.headers.src.version in (4, 6)
            flow.take(event)
