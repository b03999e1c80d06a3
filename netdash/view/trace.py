"""A trace as lines: place by place, the rules that were met in columns, the deciding one marked; and beside what the
kernel did with the packet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netdash.kernel.routing import OUTSIDE
from netdash.model.addresses import socket_text
from netdash.model.host import Host, Port
from netdash.model.index import index_of
from netdash.model.packet import Packet
from netdash.model.records import dataclass
from netdash.model.relations import address_ref, ref_of
from netdash.trace.default_questions import Usual
from netdash.trace.model import UNREAD, Decision, End, Hop, Origin, Question, Reply, Step, Trace, Verdict
from netdash.trace.proof import Arrival, Item, Proof
from netdash.trace.summary import Obstacle, against, obstacle
from netdash.view import answer as answers
from netdash.view import formatting, layout, marks, questions
from netdash.view.text import Line, SafeText, Span, Tone, clean, fit, shell_command, width

_PLACE = (20, 34)  # cells of the column of places: least, most
_ACTION = (12, 36)  # cells of the column of what rules do
_COUNT = 11
_CONDITION = 16  # cells from which a rule's conditions are shown
_GAP = Span("  ")


@dataclass(frozen=True, slots=True)
class Part:
    """One of the ways that a trace tells: the packet's, the userland proxy's own connection's, the answer's."""

    name: str
    verdict: Verdict
    lines: tuple[Line, ...]
    deciding: int | None  # the line that decides


def verdict(found: Trace) -> Line:
    """✓ ok  to web 172.17.0.2:80 by nat/DOCKER #9 · ✗ dropped  filter/FORWARD policy · ? unknown  what was not read."""
    stop = obstacle(found)
    return _verdict(marks.verdict(*answers.fares(found, stop)), found, stop)


def _flowing(lead: Line, said: Line, room: int) -> list[Line]:
    """The verdict is what is passed on to others: none of it is cut."""
    return layout.hanging((*lead, *said[:2]), layout.in_words(said[2:]), room, 2)


def verdict_of(host: Host, usual: Usual, found: Trace) -> Line:
    """The same of a default question, as the card of its container has it."""
    stop = against(host, found, usual.port)
    return _verdict(questions.fares_as(host, usual, found, stop), found, stop, usual.port)


def _verdict(said: Span, found: Trace, stop: Obstacle | None, port: Port | None = None) -> Line:
    arrives = answers.receiver(found) if stop is None and found.answered else ()
    return said, _GAP, *arrives, *answers.reason(found, stop, port, brief=True)


def head(host: Host, answer: Trace) -> Line:
    """web 172.17.0.2 ─▶ 192.0.2.10:80/tcp   leaves as 203.0.113.2."""
    asked, packet = answer.question, answer.packet
    chosen = next((hop.packet.src for hop in answer.hops if hop.packet.src is not None), None)
    src = packet.src or asked.src or chosen
    port = "" if asked.proto.startswith("icmp") else f"/{clean(asked.proto, 20)}"
    said = [Span(_sender(host, asked), Tone.KEY)]
    if src is not None:
        said.append(Span(f" {socket_text(src, packet.sport)}", Tone.DIM, address_ref(src)))
    said += [Span(f" {layout.ARROW}", Tone.HOP), Span(socket_text(asked.dst, asked.dport) + port, Tone.KEY)]
    if not port:
        said.append(Span(f"  {clean(asked.proto, 20)}", Tone.DIM))
    last = answer.translation.src
    if answer.verdict is Verdict.FORWARDED and None not in (src, last) and src != last:
        said.append(Span(f"   leaves as {last}", Tone.DIM, address_ref(last) if last else None))
    return tuple(said)


def _sender(host: Host, asked: Question) -> str:
    if asked.origin is Origin.CONTAINER:
        return clean(index_of(host).name(asked.container) or (asked.container or "?")[:12], 60)
    return "this host" if asked.origin is Origin.HOST else "outside"


def command(host: Host, asked: Question) -> SafeText:
    """The command line that asks the same."""
    sender = {Origin.HOST: "host", Origin.OUTSIDE: "outside"}.get(asked.origin) or _sender(host, asked)
    if asked.origin is Origin.OUTSIDE and asked.src is not None and asked.src != OUTSIDE[asked.dst.version]:
        sender += f"@{asked.src}"
    options = {
        "--proto": asked.proto if asked.proto != "tcp" else None,
        "--sport": str(asked.sport) if asked.sport is not None else None,
        "--mark": f"{asked.mark:#x}" if asked.mark else None,
        "--iif": asked.iif,
    }
    given = {option: value for option, value in options.items() if value}
    template = "netdash trace {} {}" + "".join(f" {option} {{}}" for option in given)
    return shell_command(template, sender, socket_text(asked.dst, asked.dport), *given.values())


def parts(answer: Trace, room: int) -> tuple[Part, ...]:
    """The packet's way first; lines of at most `room` cells, 60 and more are readable."""
    found = [_part("packet", answer.hops, answer.verdict, answer.decided_by, room, (*_ends(answer, room),))]
    if answer.then is not None:
        then = answer.then
        name, ends = f"{answer.proxy}'s own", tuple(_ends(then, room))
        found.append(_part(name, then.hops, then.verdict, then.decided_by, room, ends))
    if answer.reply is not None:
        reply: Reply = answer.reply
        found.append(_part("answer", reply.hops, reply.verdict, reply.decided_by, room, ()))
    stuck = answer.exchange.stuck
    if stuck is not None and stuck is not answer.reply:
        found.append(_part("later packet", stuck.hops, stuck.verdict, stuck.decided_by, room, ()))
    return tuple(found)


def notes(answer: Trace, room: int) -> tuple[Line, ...]:
    """What the answer lacks, what else would stop it, which rules cannot be told, what was not read and is assumed."""
    lines: list[Line] = []
    lacking = answer.exchange.why
    if lacking is not None and lacking.step is None and answer.exchange.stuck is None:
        lines += layout.paragraph(Span(" why   ", Tone.DIM), _reason(lacking), room)
    for blocker in answer.blockers:
        label = Span(" then  " if not lines else "       ", Tone.WARN)
        lines += layout.paragraph(label, [Span("still stopped by ", Tone.DIM), *_reason(blocker)], room)
    for rule in answer.unsure:
        why = ", ".join(rule.not_understood) or rule.text
        spans = [Span(clean(rule.place, 80), Tone.KEY, ref_of(rule)), Span(f" cannot be told: {clean(why, 200)}")]
        lines += layout.paragraph(Span(" ?     ", Tone.UNKNOWN), spans, room)
    for sentence in answer.assumed:
        lines += layout.text(Span(" note  ", Tone.DIM), clean(sentence, 300), room, Tone.DIM)
    return tuple(lines)


def _reason(decision: Decision) -> list[Span]:
    if decision.step is None:
        return [Span(clean(decision.text, 200))]
    where = answers.at(decision.step)
    return [where.with_text(f"{where.text} "), Span(clean(decision.text, 200))]


# --- one way ----------------------------------------------------------------------------------------------------------


def _part(
    name: str,
    hops: Sequence[Hop],
    ended: Verdict,
    decided: Decision | None,
    room: int,
    ends: tuple[Line, ...],
) -> Part:
    lines: list[Line] = [*ends]
    deciding = None
    columns = _columns(hops, room)
    before: Packet | None = None
    for hop in hops:
        lines += _station(hop, before, room)
        for step in hop.steps:
            decides = decided is not None and step is decided.step
            deciding = len(lines) if decides else deciding
            lines.append(_step(step, decides, columns, room))
        before = hop.packet
    if decided is not None and decided.step is None:
        deciding = len(lines)
        mark = marks.way(ended)
        lines += layout.text(mark.with_text(f" {mark.text[:1]} "), clean(decided.text, 300), room, mark.tone)
    return Part(name, ended, tuple(lines), deciding)


def _columns(hops: Sequence[Hop], room: int) -> tuple[int, int]:
    """Cells for the places and for what the rules do there, from those that were met."""
    steps = [step for hop in hops for step in hop.steps]
    places = max((width(whole_place(step)) for step in steps), default=0)
    actions = max((width(action(step).text) for step in steps), default=0)
    left = room - 3 - 2 * len(_GAP.text) - _COUNT
    least = max(min(actions, _ACTION[1]), _ACTION[0])
    place = max(_PLACE[0], min(places, max(min(_PLACE[1], room // 3), left - least)))
    return place, max(8, min(least, left - place))


def _station(hop: Hop, before: Packet | None, room: int) -> Iterator[Line]:
    """What became of the packet on the way here, then the place and what happened there: `routes  10.66.0.3 by br1`."""
    for change in changes(before, hop.packet) if before is not None else ():
        yield layout.crop((Span("   ⇒ ", Tone.HOP), Span(change, Tone.WARN)), room)
    label = Span(f" {clean(hop.place, 60)}  ", Tone.TITLE)
    if hop.text:
        yield from layout.text(label, clean(hop.text, 200), room)
    else:
        yield layout.crop((label,), room)


def changes(old: Packet, new: Packet) -> list[str]:
    spans = []
    for name, was, now in (
        ("to", (old.dst, old.dport), (new.dst, new.dport)),
        ("from", (old.src, old.sport), (new.src, new.sport)),
    ):
        if was != now and was[0] is not None:
            spans.append(f"{name} {socket_text(*now)}, was {socket_text(*was)}")
    if new.mark != old.mark:
        spans.append("mark cannot be told" if new.mark is None else f"mark {new.mark:#x}")
    return spans


def _step(step: Step, decides: bool, columns: tuple[int, int], room: int) -> Line:
    """✗ filter/DOCKER-USER #1   DROP   3 pkts   -i eth0 …"""
    mark, tone = (" ✗ ", Tone.BAD) if decides else (" ? ", Tone.UNKNOWN) if not step.sure else ("   ", Tone.DIM)
    count = formatting.packets(step.source) if step.source else ""
    does = action(step)
    place, taken = columns
    free = room - 3 - place - taken - _COUNT - 3 * len(_GAP.text)
    line = [
        Span(mark, tone),
        Span(_place(step, place), Tone.BAD if decides else Tone.KEY, answers.at(step).ref),
        _GAP,
        Span(fit(does.text, taken), does.tone if not decides else Tone.BAD, does.ref),
        _GAP,
        Span(fit(count, _COUNT), Tone.DIM),
    ]
    if free >= _CONDITION and step.source is not None:
        line.append(Span(fit(" " + _condition(step), free, middle=True).rstrip(), Tone.DIM))
    last = line[-1]
    return (*line[:-1], Span(last.text.rstrip(), last.tone, last.ref))


def _place(step: Step, cells: int) -> str:
    """The step's place in so many cells: of a long chain the position stays, and the end, by which chains differ."""
    where, blank, at = whole_place(step).rpartition(" ")
    return fit(fit(where, max(1, cells - 1 - width(at)), middle=True).rstrip() + blank + at, cells)


def whole_place(step: Step) -> str:
    return clean(("legacy " if step.backend == "iptables-legacy" else "") + step.place, 80)


def action(step: Step) -> Span:
    if step.source is None:
        return Span(step.verdict.upper(), Tone.BAD if step.verdict == "drop" else Tone.DIM)
    if step.to:
        return Span(f"─▶ {clean(step.to, 60)}")
    if step.verdict == "continue":
        return Span("goes on", Tone.DIM)
    spans = formatting.action(step.source)
    return Span(clean(spans, 60), Tone.BAD if step.verdict == "drop" else Tone.PLAIN)


def _condition(step: Step) -> str:
    """The rule without what stands beside it anyway: its chain, its counter and its target."""
    text = step.text.removeprefix(f"-A {step.chain} ").replace("counter ", "")
    head, found, _ = text.rpartition("-j ")
    if found:
        return clean(head.strip())
    for word in (f"{step.verdict} {step.to}", step.verdict):
        text = text.removesuffix(word).rstrip()
    return clean(text)


def _ends(answer: Trace, room: int) -> Iterator[Line]:
    """Of a verdict that cannot be told: the ends that it may have, and what they hang on."""
    for end in answer.ends:
        if end.decided_by is not None and end.decided_by.place == UNREAD:
            continue  # it says no more than the verdict
        yield from layout.paragraph(Span(" ? either ", Tone.UNKNOWN), _end(end), room)


def _end(end: End) -> list[Span]:
    mark = marks.way(end.verdict)
    spans = [mark.with_text(f"{mark.text[2:]} ")]
    if end.decided_by is not None:
        spans += [Span("by ", Tone.DIM), *_reason(end.decided_by), Span(" ")]
    supposed = ", ".join(f"{'' if happens else 'not: '}{clean(text, 120)}" for text, happens in end.supposed)
    return [*spans, Span(f"if {supposed or 'nothing of it applies'}", Tone.DIM)]


# --- the whole of it, for a terminal or a file ------------------------------------------------------------------------


def lines(host: Host, answer: Trace, room: int) -> Iterator[Line]:
    """Everything that a trace tells, one part under the other."""
    yield layout.crop(head(host, answer), room)
    yield from _flowing((), verdict(answer), room)
    for part in parts(answer, room):
        yield ()
        yield Span(f"{part.name.upper()} ", Tone.TITLE), marks.way(part.verdict)
        yield from part.lines
    more = notes(answer, room)
    if more:
        yield ()
        yield from more


_MARK = 3  # cells before the columns
_BETWEEN = Span(" │ ", Tone.DIM)
_Words = tuple[str, str]
"""A place, and what becomes of the packet there."""


def beside_kernel(host: Host, answer: Trace, proof: Proof, room: int) -> Iterator[Line]:
    yield layout.crop(head(host, answer), room)
    yield from _flowing((Span("predicted: ", Tone.DIM),), verdict(answer), room)
    yield from layout.paragraph(Span(""), [_result(proof)], room)
    yield ()
    ours = [_words(item, before) for item, before in _with_packets([value for value, _ in proof.rows])]
    theirs = [_words(item, before) for item, before in _with_packets([other for _, other in proof.rows])]
    wanted = max((width("".join(words)) for words in (*ours, *theirs)), default=0)
    cells = max(12, min((room - _MARK - width(_BETWEEN.text)) // 2, wanted))
    yield _row(Span("   "), ("PREDICTED", ""), ("KERNEL", ""), cells, Tone.TITLE)
    for at, (value, other) in enumerate(zip(ours, theirs, strict=True)):
        differs = at == proof.differs_at
        mark = Span(" ✗ ", Tone.BAD) if differs else Span("   ")
        yield _row(mark, value, other, cells, Tone.BAD if differs else Tone.PLAIN)
    if proof.invisible:
        yield ()
        count = len(proof.invisible)
        rules = "rule or policy" if count == 1 else "rules and policies"
        text = f"{count} {rules} of iptables-legacy, which the kernel's trace does not show, are not compared"
        yield from layout.text(Span(" note  ", Tone.DIM), text, room, Tone.DIM)


def _result(proof: Proof) -> Span:
    if proof.equal is None:
        return Span(f"? not proved: {clean(proof.why, 200)}", Tone.UNKNOWN)
    if not proof.equal:
        return Span("✗ the kernel does otherwise", Tone.BAD)
    steps = sum(isinstance(item, Step) for item in proof.steps)
    hooks = sum(isinstance(item, Arrival) and bool(item.hook) for item in proof.steps)
    words = f"{steps} {'rule or policy' if steps == 1 else 'rules and policies'} at {hooks} hook{'s' * (hooks != 1)}"
    return Span(f"✓ the kernel does the same: {words}", Tone.GOOD)


def _row(mark: Span, one: _Words, other: _Words, cells: int, tone: Tone) -> Line:
    return (mark, Span(_fit(*one, cells), tone), _BETWEEN, Span(_fit(*other, cells).rstrip(), tone))


def _fit(place: str, does: str, cells: int) -> str:
    """Where there is little room, of a long chain's name the middle goes, and what the rule does stays."""
    least = min(width(place), cells // 2)
    return fit(fit(place, max(least, min(width(place), cells - width(does))), middle=True) + does, cells)


def _with_packets(items: list[Item | None]) -> Iterator[tuple[Item | None, Packet | None]]:
    """Each with the packet as it came to the hook before."""
    before: Packet | None = None
    for item in items:
        yield item, before
        if isinstance(item, Arrival):
            before = item.packet or before


def _words(item: Item | None, before: Packet | None) -> _Words:
    if item is None:
        return "", ""
    if isinstance(item, Step):
        return f"  {whole_place(item)}", f"  {action(item).text}"
    packet = item.packet
    changed = []
    if packet is not None and (before is None or (before.dst, before.dport) != (packet.dst, packet.dport)):
        changed.append(f"to {socket_text(packet.dst, packet.dport)}")
    if packet is not None and (before is None or (before.src, before.sport) != (packet.src, packet.sport)):
        changed.append(f"from {socket_text(packet.src, packet.sport)}")
    return item.hook or "passed", "".join(f"  {change}" for change in changed)
