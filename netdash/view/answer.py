"""A trace in one line: the verdict, and the reason for it. The card, the walk, the ports and the command line say it
in these words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netdash.model.addresses import socket_text
from netdash.model.finding import Mark
from netdash.model.host import Port, Rule
from netdash.model.relations import ref_of
from netdash.trace.model import Decision, Origin, Routed, Step, Trace, Verdict
from netdash.trace.summary import Obstacle, fared, translating
from netdash.view import formatting, marks
from netdash.view.text import Line, Span, Tone, clean

STOPPED = "stopped (SIGSTOP)"


def fares(found: Trace, stop: Obstacle | None) -> tuple[Mark, str]:
    """The mark, and the word for it. `stop`: why no answer comes (summary.against)."""
    mark = fared(found, stop)
    if mark is not Mark.BROKEN:
        return mark, mark.value
    if stop is None or stop.verdict is Verdict.UNKNOWN:
        return mark, marks.word(False, found.verdict) if found.verdict is not Verdict.UNKNOWN else marks.NO_ANSWER
    if stop.verdict.arrives and not stop.answer:
        return mark, marks.ELSEWHERE
    return mark, marks.NO_ANSWER if stop.answer else marks.word(False, stop.verdict)


def reason(found: Trace, stop: Obstacle | None, port: Port | None = None, brief: bool = False) -> Line:
    """What decides; of what is answered, by which rule or program it goes. `port`: that is asked for; `brief`: of a
    rule its place alone."""
    if stop is None or (stop.verdict is Verdict.UNKNOWN and found.answered is False):
        return _arrival(found, port, brief) if found.answered else _lacking(found)
    own = found.then is not None and not found.then.verdict.arrives
    lead = [Span(f"{clean(found.proxy, 40)}'s connection: ")] if own else []
    if stop.verdict is Verdict.UNKNOWN:
        if not stop.unsure:
            return (*lead, *because(stop.decided_by, brief))
        return (*lead, *_named(stop.unsure), Span(" may decide otherwise"))
    if stop.answer and not stop.verdict.arrives:
        by_rule = stop.decided_by is not None and stop.decided_by.step is not None
        lead.append(
            Span(f"{found.exchange.packet or 'the answer'}{f' is {stop.verdict.value} by' if by_rule else ':'} ")
        )
    return (*lead, *because(stop.decided_by, brief))


def _lacking(found: Trace) -> Line:
    """Whether an answer comes back hangs on what is not known."""
    why = found.exchange.why
    return because(why) if why is not None else (Span("whether an answer comes back cannot be told"),)


def because(decided: Decision | None, brief: bool = False) -> Line:
    """The rule with its counter, or what the kernel found."""
    if decided is None:
        return (Span("it cannot be told"),)
    step = decided.step
    if step is None:
        return (Span(clean(decided.text, 300)),)
    if step.source is None:
        return (Span(clean(step.place, 80), Tone.KEY),)
    if brief:
        return (at(step),)
    count = formatting.packets(step.source)
    return (
        at(step),
        Span(f"  {count}" if count else "", Tone.DIM),
        Span(f"  {formatting.rule_body(step.source)}", Tone.DIM),
    )


def at(step: Step) -> Span:
    """Where a rule stands."""
    return Span(clean(step.place, 80), Tone.KEY, ref_of(step.source) if step.source is not None else None)


def _named(rules: Sequence[Rule]) -> Line:
    """The first rule; where iptables-legacy, which has chains of the same names, has one too, one of each."""
    kinds = {rule.backend: rule for rule in reversed(rules)}
    if "iptables-legacy" not in kinds or len(kinds) == 1:
        return (_place(rules[0]),)
    spans: list[Span] = []
    for backend, rule in sorted(kinds.items()):
        spans += [*([Span(" or ")] if spans else []), _place(rule), Span(f" ({backend})")]
    return tuple(spans)


def _place(rule: Rule) -> Span:
    return Span(clean(rule.place, 80), Tone.KEY, ref_of(rule))


# --- what arrives -----------------------------------------------------------------------------------------------------


def _arrival(found: Trace, port: Port | None, brief: bool) -> Line:
    if found.verdict is Verdict.PROXY:
        return _by_proxy(found, port)
    if found.verdict is Verdict.FORWARDED:
        return _outwards(found, translating(found, "postrouting"), brief)
    step = translating(found, "prerouting") or translating(found, "output")
    if step is not None:
        return Span("by "), at(step)
    holder = port.holder if port is not None else None
    if holder is not None and holder.kind == "process":
        return (Span(clean(f"by {holder.command or 'a process'} pid {holder.pid or '?'} on this host itself", 80)),)
    last = last_route(found)
    return (Span("by "), Span(clean(last.device), Tone.PLAIN, formatting.link_ref(last.device))) if last else ()


def _by_proxy(found: Trace, port: Port | None) -> Line:
    proxy = port.proxy if port is not None else None
    pid = f" {proxy.pid}" if proxy is not None else ""
    line = [Span("by "), Span(f"{clean(found.proxy, 40)}{pid}", Tone.PLAIN, ref_of(proxy) if proxy else None)]
    inner = found.then
    if inner is not None and inner.translation.src is not None and found.question.origin is Origin.OUTSIDE:
        last = inner.hops[-1]
        line.append(
            Span(f"; {clean(last.inside or last.place, 60)} sees {inner.translation.src}, not the client", Tone.DIM)
        )
    return tuple(line)


def _outwards(found: Trace, step: Step | None, brief: bool) -> Line:
    """as 203.0.113.2 by nat/POSTROUTING #7, eth0 via 203.0.113.1; `brief`: as 203.0.113.2 by eth0."""
    source, last = found.translation.src, last_route(found)
    line: list[Span] = []
    if step is not None:
        line += [Span("as "), formatting.address(source)]
        line += [] if brief else [Span(" by "), at(step)]
    elif source is not None:
        line += [Span("as "), formatting.address(source), Span(" untranslated", Tone.DIM)]
    if last is None:
        line.append(Span(f", past this host's rules by {clean(found.hops[-1].place, 40)}", Tone.DIM))
    else:
        via = f" via {last.gateway}" if last.gateway is not None and not brief else ""
        line += [
            Span("" if not line else " by " if brief else ", "),
            Span(clean(last.device), Tone.PLAIN, formatting.link_ref(last.device)),
        ]
        line += [Span(via, Tone.DIM)]
    return tuple(line)


def last_route(found: Trace) -> Routed | None:
    """The last routing decision of this host."""
    return next((hop.routed for hop in reversed(found.hops) if hop.routed and not hop.inside), None)


def receiver(found: Trace) -> Line:
    """Who got it: to web 172.17.0.2:80."""
    end = found.translation
    if found.verdict is not Verdict.DELIVERED or end.dst is None or not found.hops:
        return ()
    return Span(f"to {clean(found.hops[-1].place, 60)} "), Span(socket_text(end.dst, end.dport), Tone.KEY), Span(" ")


# --- as text ----------------------------------------------------------------------------------------------------------


def sentence(found: Trace, stop: Obstacle) -> str:
    """What stops it: dropped: filter/DOCKER-USER #1 -A DOCKER-USER … -j DROP."""
    decided = stop.decided_by
    if stop.verdict is Verdict.UNKNOWN:
        if stop.unsure:
            return f"{stop.unsure[0].place} may decide otherwise"
        return decided.text if decided else "it cannot be told"
    dropped = stop.answer and not stop.verdict.arrives
    word = f"the answer is {stop.verdict.value}" if dropped else fares(found, stop)[1]
    return f"{word}: {whole(decided)}" if decided else word


def whole(decided: Decision) -> str:
    """A rule with all of its text."""
    step = decided.step
    return decided.text if step is None else step.place if step.rule is None else f"{step.place} {step.text}"


def broken(asked: Iterable[tuple[Trace, Obstacle | None]]) -> list[str] | None:
    """What stands against a path, and what else would stop it; None where nothing is known to, and not all is known."""
    stopped = [(found, stop) for found, stop in asked if stop is not None]
    sure = [(found, stop) for found, stop in stopped if stop.verdict is not Verdict.UNKNOWN]
    sentences = [text for found, stop in sure for text in (sentence(found, stop), *map(whole, found.blockers))]
    return list(dict.fromkeys(sentences)) if sure or not stopped else None
