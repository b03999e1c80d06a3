"""A trace in one line, the verdict and the reason for it; and the path of its packet as stations on a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from netdash.kernel.devices import trouble
from netdash.model.addresses import socket_text
from netdash.model.finding import Mark
from netdash.model.host import IP, Host, Listener, Port, Ref, Rule, Verb
from netdash.model.index import index_of
from netdash.model.relations import address_ref, ref_of
from netdash.trace.model import Decision, Origin, Routed, Step, Trace, Verdict
from netdash.trace.model import Hop as Place
from netdash.trace.summary import Obstacle, doubt, fared, translating
from netdash.view import formatting, marks
from netdash.view.layout import Hop
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
        return doubt(found, stop)
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


def stations(host: Host, found: Trace, stop: Obstacle | None, broken: bool, port: Port | None = None) -> list[Hop]:
    """In the packet's order. `stop`: why no answer comes; `broken`: none comes, and that is not meant; `port`: that is
    asked for."""
    hops = [_start(host, found), *_of_way(host, found, broken)]
    if found.then is not None:
        hops += [_proxy(found, port), *_of_way(host, found.then, broken)]
    last = found.then or found
    arrived = last.verdict.arrives
    if last.verdict is Verdict.DELIVERED:
        hops += [*_veth(host, _end(last)), _listening(host, last)]
    elif last.verdict is Verdict.FORWARDED and last_route(last) is None:
        hops.append(_device(host, last.hops[-1].place, last.question.dst.version))
    mark, word = fares(found, stop)
    if mark is Mark.BROKEN and not broken:
        mark = Mark.NOTHING
    elif mark is Mark.UNKNOWN and broken:
        mark, word = Mark.BROKEN, Mark.BROKEN.value
    if mark is not Mark.OK and not _decider(last):
        step = stop.decided_by.step if stop is not None and stop.decided_by is not None else None
        text = word if step is None else f"{word}: {clean(step.place, 80)}"
        hops.append(Hop((marks.verdict(mark, text),), (), (marks.verdict(mark, text),)))
    return hops if arrived else [*hops, *_beyond(host, last)]


def _start(host: Host, found: Trace) -> Hop:
    asked = found.question
    if asked.origin is Origin.CONTAINER:
        name = Span(clean(index_of(host).name(asked.container) or "?", 60), Tone.KEY)
        src = found.packet.src or next((hop.packet.src for hop in found.hops if hop.packet.src is not None), None)
        return Hop((name,), (Span(str(src), Tone.DIM, address_ref(src)),) if src is not None else ())
    text = socket_text(asked.dst, asked.dport)
    return Hop((Span(text, Tone.KEY, address_ref(asked.dst)),))


def _of_way(host: Host, part: Trace, broken: bool) -> Iterator[Hop]:
    inside = False
    for place in part.hops:
        if inside and place.hook == "prerouting" and place.packet.iif and not place.inside:
            yield _device(host, place.packet.iif, part.question.dst.version)
        inside = bool(place.inside) or (inside and not place.hook)
        for step in place.steps:
            if not step.inside and step.translates and step.verdict == "accept":
                yield _translation(step, place, part)
            elif part.decided_by is not None and step is part.decided_by.step and not part.verdict.arrives:
                yield _decides(step, part.verdict, broken)
        if place.routed is not None and not place.inside:
            yield _routed(host, place.routed)


def _decider(part: Trace) -> bool:
    """Whether a rule on the way ended it."""
    return part.decided_by is not None and part.decided_by.step is not None and not part.verdict.arrives


def _translation(step: Step, place: Place, part: Trace) -> Hop:
    rule = step.source
    verb = rule.target.verb if rule is not None else Verb.OTHER
    evidence = formatting.rule_evidence([rule]) if rule is not None else (at(step),)
    outwards = step.hook in ("postrouting", "input")
    after = [hop.packet for hop in part.hops[part.hops.index(place) + 1 :]]
    ip, number = (
        (part.translation.src, None)
        if outwards
        else (after[0].dst, after[0].dport)
        if after
        else (part.translation.dst, part.translation.dport)
    )
    to = socket_text(ip, number) if ip is not None else "?"
    name = Span(f"{verb.name} ")
    said = (name, Span(f"{'as ' if outwards else ''}{to}", Tone.KEY, ref_of(rule) if rule else None))
    return Hop(said, evidence, (*said, Span(" "), *evidence))


def _decides(step: Step, ended: Verdict, broken: bool) -> Hop:
    mark = Mark.UNKNOWN if ended is Verdict.UNKNOWN else Mark.BROKEN if broken else Mark.NOTHING
    place = at(step)
    glyph = marks.glyph(mark)
    count = formatting.packets(step.source) if step.source is not None else ""
    top = (Span(f"{glyph.text} ", glyph.tone), Span(place.text, glyph.tone if broken else place.tone, place.ref))
    return Hop(top, (Span(count, Tone.DIM),) if count else (), top)


def _device(host: Host, name: str, version: int, via: IP | None = None) -> Hop:
    link = index_of(host).link(name)
    why = formatting.trouble(trouble(link))
    own = [address for address in link.addresses if address.version == version] if link is not None else []
    top = (Span(clean(name), Tone.PLAIN, formatting.link_ref(name)), *why)
    if via is not None:
        return Hop(top, (Span(f"via {via}", Tone.DIM, address_ref(via)),))
    return Hop(top, (Span(str(own[0].ip), Tone.DIM, address_ref(own[0].ip)),) if own else (), top)


def _routed(host: Host, routed: Routed) -> Hop:
    hop = _device(host, routed.device, routed.dst.version, routed.gateway)
    if routed.gateway is None:
        return hop
    return Hop(hop.top, (Span(hop.under[0].text, Tone.DIM, ref_of(routed.route)),))


def _proxy(found: Trace, port: Port | None) -> Hop:
    proxy = port.proxy if port is not None else None
    pid = f" pid {proxy.pid}" if proxy is not None else ""
    stopped = (Span(f" {STOPPED}", Tone.BAD),) if proxy is not None and proxy.stopped else ()
    return Hop((Span(f"{clean(found.proxy, 40)}{pid}", Tone.PLAIN, ref_of(proxy) if proxy else None), *stopped))


def _end(part: Trace) -> IP | None:
    """The address that it was to come to, or came to."""
    return part.translation.dst or part.question.dst


def _veth(host: Host, ip: IP | None) -> list[Hop]:
    """The host's end of the receiver's cable, which only wide screens show."""
    ends = index_of(host).ends_at(ip) if ip is not None else ()
    name = next((end.veth for _, end in ends if end.veth), None)
    if name is None:
        return []
    why = formatting.trouble(trouble(index_of(host).link(name)))
    top = (Span(clean(name), Tone.PLAIN, formatting.link_ref(name)), *why)
    return [Hop(top, (), top if why else ())]


def _listening(host: Host, part: Trace) -> Hop:
    """Who takes it: 172.17.0.2:80 ● httpd."""
    end = part.translation
    if end.dst is None or end.dport is None:
        name = clean(part.hops[-1].place, 60) if part.hops else "?"
        return Hop((Span(name, Tone.KEY),))
    socket = _listener(host, part)
    command = f" {clean(socket.command, 24)}" if socket is not None and socket.command else ""
    own = part.question.origin is Origin.CONTAINER and end.dst.is_loopback  # no record of the host has that
    text = Span(socket_text(end.dst, end.dport), Tone.KEY, None if own else address_ref(end.dst))
    return Hop((text, Span(f" ●{command}", Tone.GOOD)))


def _listener(host: Host, part: Trace) -> Listener | None:
    owner = index_of(host).containers.get(part.receiver or "")
    sockets = (owner.listeners if owner is not None else host.listeners) or ()
    wanted = (part.question.proto, part.translation.dport)
    return next((listener for listener in sockets if (listener.proto, listener.port) == wanted), None)


def _beyond(host: Host, part: Trace) -> list[Hop]:
    """Where a container's packet would have gone on to."""
    ip = _end(part)
    owner = next((container for container, _ in index_of(host).ends_at(ip)), None) if ip is not None else None
    if owner is None or ip is None or part.verdict is Verdict.NO_LISTENER:
        return []
    dport = part.translation.dport
    end = Span(f"{clean(owner.name, 40)} {socket_text(ip, dport)}", Tone.DIM, Ref("container", owner.id))
    return [Hop((end,), beyond=True)]
