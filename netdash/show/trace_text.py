"""A trace as lines: hop by hop, each with its rules, counters and translation; the deciding step is marked."""

from __future__ import annotations

from collections.abc import Iterator

from netdash.core.model import IP, Host
from netdash.core.rule_match import Packet
from netdash.core.trace.answer import Decision, End, Hop, Origin, Question, Reply, Step, Trace, Verdict
from netdash.show import words
from netdash.show.index import index_of
from netdash.show.spans import Line, Span, Tone, clean, fit, width

_MARK = {True: ("✗", Tone.BAD), False: (" ", Tone.DIM)}
_PLACE = 12  # cells of a hop's name


def lines(host: Host, answer: Trace, room: int) -> Iterator[Line]:
    """Lines of at most `room` cells; 60 and more are readable."""
    yield from _cut(_head(host, answer), room)
    yield from _verdict(answer, room)
    yield ()
    yield from _way(answer.hops, answer.decided_by, room)
    if answer.then is not None:
        yield ()
        yield (Span("then ", Tone.TITLE), Span("docker-proxy's own connection: "), *_verdict_spans(answer.then.verdict))
        yield from _way(answer.then.hops, answer.then.decided_by, room)
    if answer.reply is not None:
        yield ()
        yield (Span("reply ", Tone.TITLE), *_verdict_spans(answer.reply.verdict), *_because(answer.reply, room))
        yield from _way(answer.reply.hops, answer.reply.decided_by, room)
    yield from _notes(answer, room)


def _head(host: Host, answer: Trace) -> list[Span]:
    asked, packet = answer.question, answer.packet
    first = answer.steps[0].packet if answer.steps else answer.hops[-1].packet if answer.hops else packet
    src = packet.src or asked.src or first.src
    return [
        Span(_sender(host, asked), Tone.KEY),
        Span(f" {_socket(src, packet.sport)}", Tone.DIM),
        Span(" → ", Tone.HOP),
        Span(_socket(asked.dst, asked.dport), Tone.KEY),
        Span(f" {clean(asked.proto, 20)}"),
    ]


def _sender(host: Host, asked: Question) -> str:
    if asked.origin is Origin.CONTAINER:
        return clean(index_of(host).name(asked.container) or (asked.container or "?")[:12], 60)
    return "this host" if asked.origin is Origin.HOST else "outside"


def _socket(ip: IP | None, port: int | None) -> str:
    return "?" if ip is None else words.socket_text(ip, port)


def _verdict_spans(verdict: Verdict) -> tuple[Span, ...]:
    tone = Tone.UNKNOWN if verdict is Verdict.UNKNOWN else Tone.GOOD if verdict.arrives else Tone.BAD
    return (Span(verdict.value, tone),)


def _verdict(answer: Trace, room: int) -> Iterator[Line]:
    spans = list(_verdict_spans(answer.verdict))
    if answer.ends:
        yield tuple(spans)
        for end in answer.ends:
            yield from _wrapped("  either ", _end(end), room)
        return
    decided = answer.decided_by
    yield from _wrapped_spans(spans, _reason(decided) if decided else "", room)
    for blocker in answer.blockers:
        yield from _wrapped("  and behind it ", _reason(blocker), room, Tone.WARN)


def _reason(decision: Decision) -> str:
    if decision.step is None:
        return clean(decision.text)
    return f"{clean(decision.place)}  {clean(decision.text)}"


def _end(end: End) -> str:
    what = ", ".join(f"{'' if happens else 'not: '}{clean(text)}" for text, happens in end.supposed) or "as it stands"
    why = f" by {_reason(end.decided_by)}" if end.decided_by else ""
    return f"{end.verdict.value}{why} — if {what}"


def _because(reply: Reply, room: int) -> tuple[Span, ...]:
    if reply.decided_by is None:
        return ()
    return (Span(fit("  " + _reason(reply.decided_by), room - 6 - width(reply.verdict.value)).rstrip(), Tone.PLAIN),)


def _way(hops: tuple[Hop, ...], decided: Decision | None, room: int) -> Iterator[Line]:
    before: Packet | None = None
    for hop in hops:
        yield from _hop(hop, before, room)
        for step in hop.steps:
            yield _step(step, decided is not None and step is decided.step, room)
        before = hop.steps[-1].packet if hop.steps else hop.packet
    if decided is not None and decided.step is None and hops:
        yield _marked(_reason(decided), room)


def _hop(hop: Hop, before: Packet | None, room: int) -> Iterator[Line]:
    name = fit(clean(hop.place, 40), max(_PLACE, width(clean(hop.place, 40))))
    said = [clean(hop.text)] if hop.text else []
    said += _changes(before, hop.packet) if before is not None else []
    text = "; ".join(said)
    yield (
        Span(" ▸ " if before is not None else " ● ", Tone.HOP),
        Span(name, Tone.KEY),
        Span(fit("  " + text, max(0, room - 3 - width(name))).rstrip()),
    )


def _changes(old: Packet, new: Packet) -> list[str]:
    """What became of the addresses and the mark since the hop before."""
    said = []
    for name, was, now in (
        ("destination", (old.dst, old.dport), (new.dst, new.dport)),
        ("source", (old.src, old.sport), (new.src, new.sport)),
    ):
        if was != now and was[0] is not None:
            said.append(f"{name} {_socket(*was)} is now {_socket(*now)}")
    if new.mark != old.mark:
        said.append("mark ?" if new.mark is None else f"mark {new.mark:#x}")
    return said


def _step(step: Step, decides: bool, room: int) -> Line:
    mark, tone = _MARK[decides]
    sure = "" if step.sure else "? "
    counter = words.packets(step.source) if step.source else ""
    place = clean(step.place.partition(" ")[2] if step.family not in ("ip", "ip6") else step.place, 60)
    place = clean(step.place, 60) if place == "" else place
    verdict = step.verdict + (f" {step.to}" if step.to else "")
    head = f"{sure}{place}"
    tail = f"{verdict}{f'  {counter}' if counter else ''}"
    free = room - 5 - width(head) - width(tail) - 4
    text = fit(clean(_condition(step)), free).rstrip() if free > 8 else ""
    return (
        Span(f"   {mark} ", tone),
        Span(head, Tone.BAD if decides else Tone.DIM),
        Span(f"  {text}" if text else ""),
        Span(f"  {clean(tail, 80)}", tone if decides else Tone.PLAIN),
    )


def _condition(step: Step) -> str:
    """The rule without what stands beside it anyway: its chain and its verdict."""
    if step.rule is None:
        return ""
    text = step.text.removeprefix(f"-A {step.chain} ")
    head, found, _ = text.rpartition("-j ")
    return head.strip() if found and step.source and step.source.backend != "nft" and step.verdict != "accept" else text


def _marked(text: str, room: int) -> Line:
    return (Span("   ✗ ", Tone.BAD), Span(fit(text, room - 5).rstrip(), Tone.BAD))


def _notes(answer: Trace, room: int) -> Iterator[Line]:
    if answer.unsure:
        yield ()
    for rule in answer.unsure:
        parts = f": {', '.join(rule.not_understood)}" if rule.not_understood else f": {rule.text}"
        yield from _wrapped("? cannot tell ", clean(f"{rule.place}{parts}"), room, Tone.UNKNOWN)
    if answer.assumed:
        yield ()
    for sentence in answer.assumed:
        yield from _wrapped("note ", clean(sentence), room, Tone.DIM)


# --- fitting a width --------------------------------------------------------------------------------------------------


def _cut(spans: list[Span], room: int) -> Iterator[Line]:
    used, line = 0, []
    for span in spans:
        text = fit(span.text, room - used) if width(span.text) > room - used else span.text
        line.append(Span(text, span.tone))
        used += width(text)
    yield tuple(line)


def _wrapped_spans(head: list[Span], text: str, room: int) -> Iterator[Line]:
    first = sum(width(span.text) for span in head) + 2
    pieces = list(_pieces(text, room - first, room - 4)) if text else []
    yield (*head, *((Span("  " + pieces[0]),) if pieces else ()))
    for piece in pieces[1:]:
        yield (Span("    " + piece),)


def _wrapped(label: str, text: str, room: int, tone: Tone = Tone.PLAIN) -> Iterator[Line]:
    pieces = list(_pieces(text, room - width(label), room - 4))
    yield (Span(label, Tone.TITLE), Span(pieces[0] if pieces else "", tone))
    for piece in pieces[1:]:
        yield (Span("    " + piece, tone),)


def _pieces(text: str, first: int, others: int) -> Iterator[str]:
    """`text` in lines of at most `first`, then `others` cells, broken at spaces where there are any."""
    line, limit = "", first
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if width(joined) <= limit:
            line = joined
            continue
        if line:
            yield line
            limit = others
        line = fit(word, limit).rstrip() if width(word) > limit else word
    if line:
        yield line
