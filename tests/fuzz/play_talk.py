"""One game of questions with data: a new host, what netdash says of each question, and whether data came back. What
differs is asked three times more, alone and on a quiet host, before it counts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace

from netdash.bundle.recording import Recording
from netdash.collect.procfs import read_sysctls
from netdash.join.host import Builder
from netdash.trace.model import Origin, Question, Trace
from netdash.trace.tracer import trace
from tests.fuzz.judge import Judgement
from tests.fuzz.namespaces import CommandError, renew, run
from tests.fuzz.recorded import container_id, record
from tests.fuzz.scenario import Lines, apply
from tests.fuzz.talk import Ask, Heard, Talk
from tests.fuzz.world import BY_NAME, PEERS, World

_TOGETHER, _ALONE = 0.8, 1.5  # seconds to wait for answers
_AGAIN = 3


@dataclass(frozen=True, slots=True)
class TalkRound:
    ask: Ask
    said: Trace
    heard: Heard
    judgement: Judgement

    @property
    def asked(self) -> str:
        return str(self.ask)


@dataclass(frozen=True, slots=True)
class TalkGame:
    lines: Lines  # those that the tools took
    recording: Recording
    rounds: tuple[TalkRound, ...]
    traced: float  # seconds that netdash took for all its answers
    sent: float  # seconds that the kernel's answers took


def play(lines: Lines, asks: Sequence[Ask]) -> TalkGame:
    renew()
    with closing(World(known=False)) as world, closing(Talk(world)) as talk:
        taken = apply(lines, world.entered)
        recording = _recorded(world, taken)
        host = Builder().build(recording)
        begun = time.monotonic()
        said = [trace(host, question(one)) for one in asks]
        asked = time.monotonic()
        heard = talk.ask(asks, _TOGETHER)
        rounds = [TalkRound(*one, judged(*one[1:])) for one in zip(asks, said, heard, strict=True)]
        rounds = [_again(world, talk, taken, one) if one.judgement.wrong else one for one in rounds]
        ended = time.monotonic()
    return TalkGame(taken, recording, tuple(rounds), asked - begun, ended - asked)


def _again(world: World, talk: Talk, lines: Lines, one: TalkRound) -> TalkRound:
    """A mismatch counts only where it comes back each time. Who asks forgets last: else it may still know the MAC of a
    receiver that knows its own no more."""
    names = (None, *(peer.name for peer in PEERS))
    for _ in range(_AGAIN):
        for name in sorted(names, key=lambda name: (name or "host") == one.ask.sender):
            _forget(world, name)
        apply(tuple(line for line in lines if line.tool == "flow"), world.entered)
        heard = talk.ask([one.ask], _ALONE)[0]
        one = replace(one, heard=heard, judgement=judged(one.said, heard))
        if not one.judgement.wrong:
            return one
    return one


def _forget(world: World, name: str | None) -> None:
    """Connections, and neighbours that were learned: permanent ones stay."""
    words = () if name is None else ("nsenter", f"--target={world.pid(name)}", "--net")
    for text in ("conntrack -F", "ip neigh flush all"):
        with suppress(CommandError):
            run(*words, *text.split())


def question(ask: Ask) -> Question:
    ports = {"dport": ask.dport, "sport": ask.sport}
    if ask.sender == "host":
        return Question(Origin.HOST, ask.dst, ask.proto, **ports, src=ask.src, uid=0)
    peer = BY_NAME[ask.sender]
    if peer.container:
        return Question(Origin.CONTAINER, ask.dst, ask.proto, **ports, src=ask.src, container=container_id(ask.sender))
    return Question(Origin.OUTSIDE, ask.dst, ask.proto, **ports, src=ask.src, iif=peer.device)


def judged(said: Trace, heard: Heard) -> Judgement:
    why = said.exchange.why or said.decided_by
    reason = f"{why.place}: {why.text}" if why else "nothing against it"
    if said.answered is None:
        return Judgement("unknown", reason)
    if said.answered is not heard.answered:
        came = f"data came back, asked from {heard.seen}" if heard.answered else "no data came back"
        return Judgement("wrong answer", f"said {'✓' if said.answered else '✗'} ({reason}), {came}")
    src = said.translation.src
    if heard.answered and src is not None and str(src) != heard.seen:
        return Judgement("wrong source", f"said {src}, asked from {heard.seen}")
    return Judgement("agreed")


def _recorded(world: World, lines: Lines) -> Recording:
    """The host and its containers, as they are before anybody asks."""
    found = record(world)
    answers: dict[str, object] = dict(found.answers)
    answers["host/conntrack.txt"] = run("conntrack", "-L") if any(line.tool == "flow" for line in lines) else ""
    ruled = {line.text.split()[0] for line in lines if line.tool == "nft in"}
    for peer in (one for one in PEERS if one.container):
        folder = f"containers/{peer.name}"
        with world.entered(peer.name):
            answers[f"{folder}/rule4.json"] = run("ip", "-j", "rule")
            answers[f"{folder}/rule6.json"] = run("ip", "-6", "-j", "rule")
            answers[f"{folder}/sysctl.txt"] = read_sysctls(("lo", "eth0"))
            if peer.name in ruled:
                answers[f"{folder}/nft.json"] = run("nft", "-j", "-a", "list", "ruleset")
    return replace(found, answers=answers)


def shrunk(lines: Lines, one: TalkRound) -> TalkGame | None:
    """The same mistake with as few lines as can be found, one by one."""
    ask, kind = one.ask, one.judgement.word
    best = _shows(lines, ask, kind)
    at = 0
    while best is not None and at < len(best.lines):
        found = _shows(best.lines[:at] + best.lines[at + 1 :], ask, kind)
        best, at = (best, at + 1) if found is None else (found, at)
    return best


def _shows(lines: Lines, ask: Ask, kind: str) -> TalkGame | None:
    try:
        game = play(lines, [ask])
    except CommandError:
        return None
    return game if game.rounds[0].judgement.word == kind else None
