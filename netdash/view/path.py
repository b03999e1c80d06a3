"""The path of one packet as stations on a line: what becomes of it at each, the evidence, where it ends, and what it
did not come to."""

from __future__ import annotations

from collections.abc import Iterator

from netdash.kernel.link_state import trouble
from netdash.model.addresses import socket_text
from netdash.model.finding import Mark
from netdash.model.host import IP, Host, Listener, Port, Ref, Verb
from netdash.model.index import index_of
from netdash.model.relations import address_ref, ref_of
from netdash.trace.model import Hop as Place
from netdash.trace.model import Origin, Routed, Step, Trace, Verdict
from netdash.trace.summary import Obstacle
from netdash.view import answer, formatting, marks
from netdash.view.layout import Hop
from netdash.view.text import Span, Tone, clean


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
    elif last.verdict is Verdict.FORWARDED and answer.last_route(last) is None:
        hops.append(_device(host, last.hops[-1].place, last.question.dst.version))
    mark, word = answer.fares(found, stop)
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
    evidence = formatting.rule_evidence([rule]) if rule is not None else (answer.at(step),)
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
    place = answer.at(step)
    glyph = marks.glyph(mark)
    count = formatting.packets(step.source) if step.source is not None else ""
    top = (Span(f"{glyph.text} ", glyph.tone), Span(place.text, glyph.tone if broken else place.tone, place.ref))
    return Hop(top, (Span(count, Tone.DIM),) if count else (), top)


def _device(host: Host, name: str, version: int, via: IP | None = None) -> Hop:
    link = index_of(host).link(name)
    why = formatting.trouble(trouble(link))
    own = [one for one in link.addresses if one.version == version] if link is not None else []
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
    stopped = (Span(f" {answer.STOPPED}", Tone.BAD),) if proxy is not None and proxy.stopped else ()
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
    return next((one for one in sockets if (one.proto, one.port) == wanted), None)


def _beyond(host: Host, part: Trace) -> list[Hop]:
    """Where a container's packet would have gone on to."""
    ip = _end(part)
    owner = next((container for container, _ in index_of(host).ends_at(ip)), None) if ip is not None else None
    if owner is None or ip is None or part.verdict is Verdict.NO_LISTENER:
        return []
    dport = part.translation.dport
    end = Span(f"{clean(owner.name, 40)} {socket_text(ip, dport)}", Tone.DIM, Ref("container", owner.id))
    return [Hop((end,), beyond=True)]
