"""What the rules have against the ways of a card: its usual packets are traced, once a host, and those that do not
arrive are told. Says nothing of what arrives."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from netdash.core.model import Host, Port, Rule
from netdash.core.related import ref_of
from netdash.core.trace import usual
from netdash.core.trace.answer import Decision, Origin, Question, Trace, Verdict
from netdash.core.trace.tracer import trace
from netdash.show import draw, words
from netdash.show.spans import Line, Span, Tone, clean

_NEEDED = frozenset(("rules", "routes", "links", "docker"))
_ON_THE_CARD = (Verdict.NO_LISTENER,)  # what its hops say anyway


@lru_cache(maxsize=2)  # the host on screen and the one that comes
def _asked(_: Host) -> dict[Question, Trace]:
    return {}


def _answer(host: Host, question: Question) -> Trace:
    asked = _asked(host)
    if question not in asked:
        asked[question] = trace(host, question)
    return asked[question]


def port(host: Host, published: Port, label: Span, room: int, outside: bool = True) -> list[Line]:
    """Of a published port, asked from outside (unless not `outside`) and from this host."""
    if not _known(host) or not published.live:
        return []
    asked = [one for one in usual.of_port(host, published) if outside or one.question.origin is not Origin.OUTSIDE]
    if published.listening is None:  # the card's "?" says it
        asked = [one for one in asked if _hangs_on_rules(_answer(host, one.question))]
    return _lines(host, asked, label, room)


def _hangs_on_rules(answer: Trace) -> bool:
    last = answer.then or answer
    return (answer.verdict is not Verdict.UNKNOWN and last.verdict is not Verdict.UNKNOWN) or bool(answer.unsure)


def way_out(host: Host, question: Question, label: Span, room: int) -> list[Line]:
    """Of a container's way to the Internet."""
    return _lines(host, (usual.Usual("", question),), label, room) if _known(host) else []


def _known(host: Host) -> bool:
    return host.ruleset is not None and host.pending.isdisjoint(_NEEDED)


def _lines(host: Host, asked: Iterable[usual.Usual], label: Span, room: int) -> list[Line]:
    lines: list[Line] = []
    for one in asked:
        told = _told(_answer(host, one.question))
        if told:
            sender = one.text.partition(" to ")[0]
            who = (Span(f"{sender}: "),) if sender else ()
            lines += draw.paragraph(label, [told[0], *who, *told[1:]], room)
    return lines


def _told(answer: Trace) -> list[Span]:
    if answer.verdict is Verdict.UNKNOWN:
        if answer.ends and all(end.verdict.arrives or end.verdict in _ON_THE_CARD for end in answer.ends):
            return []
        rules = answer.unsure[:1]
        why = [_place(rules[0]), Span(" may decide otherwise")] if rules else _because(answer.decided_by)
        return [Span("? ", Tone.UNKNOWN), *([Span("cannot be told: ", Tone.UNKNOWN)] if rules else []), *why]
    if not answer.verdict.arrives:
        return [] if answer.verdict in _ON_THE_CARD else _stopped("", answer.verdict, answer.decided_by)
    reply = answer.reply
    if answer.then is not None and not answer.then.verdict.arrives:
        return _told(answer.then)
    if reply is None or reply.verdict.arrives or reply.verdict is Verdict.UNKNOWN:
        return []
    return _stopped("the answer is ", reply.verdict, reply.decided_by)


def _stopped(who: str, verdict: Verdict, decided: Decision | None) -> list[Span]:
    return [Span("✗ ", Tone.BAD), Span(f"{who}{verdict.value}: ", Tone.BAD), *_because(decided)]


def _because(decided: Decision | None) -> list[Span]:
    if decided is None:
        return []
    rule = decided.step.source if decided.step else None
    if decided.step is None or rule is None:
        return [Span(clean(decided.step.place if decided.step else decided.text, 200), Tone.KEY)]
    count = words.packets(rule)
    return [_place(rule), Span(f" {count}" if count else "", Tone.DIM), Span(f"  {words.rule_body(rule)}", Tone.DIM)]


def _place(rule: Rule) -> Span:
    return Span(clean(rule.place, 80), Tone.KEY, ref_of(rule))
