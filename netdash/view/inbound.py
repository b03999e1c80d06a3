"""The paths to a container's published ports, hop by hop, and why packets or their answers do not arrive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netdash.kernel.link_state import port_trouble, trouble
from netdash.model.addresses import socket_text
from netdash.model.host import Container, Host, Port, Rule, Scope
from netdash.model.index import index_of
from netdash.model.relations import address_ref, ref_of
from netdash.trace.model import Decision, Trace, Verdict
from netdash.trace.summary import Inbound, Obstacle, asked_of, inbound, traceable
from netdash.view import formatting, layout, unavailable
from netdash.view.layout import MORE, Hop
from netdash.view.text import Line, Span, Tone, clean

IN = Span(f" {'IN':<6}", Tone.TITLE)
MOST_TRACED = 8  # ports of one container that are traced; a trace of the others is a key away
STOPPED = "stopped (SIGSTOP)"
_OR = Hop((Span("or", Tone.DIM),))


def paths_in(host: Host, container: Container, width: int) -> list[Line]:
    if host.ports is None:
        return layout.text(IN, f"? {unavailable.reason(host, 'docker')}", width, Tone.UNKNOWN)
    paths = {id(path.port): path for path in inbound(host, container)}
    if not paths:
        return layout.text(IN, "no published port", width, Tone.DIM)
    lines: list[Line] = []
    for at, run in enumerate(formatting.fold((path.port for path in paths.values()), alike=_path_kind)):
        path = [paths[id(port)] for port in run]
        lines += inbound_path(host, path, MORE if lines else IN, width, at < MOST_TRACED)
    return lines


def _path_kind(port: Port) -> tuple[object, ...]:
    """Ports fold into one path only when they go the same way."""
    proxy = None if port.proxy is None else port.proxy.stopped
    return (
        port.host_ip,
        port.dnat is None,
        port.proxy is None,
        proxy,
        port.listening,
        port.listener,
        port.dnat_from_here,
    )


def inbound_path(host: Host, run: Sequence[Inbound], label: Span, width: int, traced: bool = True) -> list[Line]:
    """The ways of a run of ports: by DNAT, and the proxy's beside it; with `traced`, what the rules have against the
    first port's."""
    first = run[0]
    port = first.port
    entry = _entry(run)
    if _own_socket(port):
        return layout.path(label, [entry, _own(port)], width)
    inside = [*_bridge_hops(host, first), _target(host, run)]
    if port.dnat is not None and port.proxy is not None and _passes_by(port):
        lines = layout.path(label, [entry, _proxy_hop(run), _target(host, run)], width)
        lines += layout.path(MORE, [_OR, _dnat_hop([path.port for path in run]), *inside], width)
        why = f"only what comes to {port.host_ip} by another device than lo, never this host's own packets"
        return lines + layout.text(MORE, why, width, Tone.DIM) + _obstacles(host, port, width, traced)
    if port.dnat is not None:
        lines = layout.path(label, [entry, _dnat_hop([path.port for path in run]), *inside], width)
        lines += _obstacles(host, port, width, traced)
        return lines + (_proxy_beside(run, width) if port.proxy else [])
    if port.proxy is not None:
        lines = layout.path(label, [entry, _proxy_hop(run), _target(host, run)], width)
        known = host.ruleset is not None and host.ruleset.whole(port.host_ip.version) and not host.pending
        unknown = unavailable.waiting(host) or f"? {unavailable.reason(host, 'rules')}"
        why = first.proxy_when if known else f"whether a DNAT rule comes first: {unknown}"
        lines += layout.text(MORE, why, width, Tone.DIM if known else Tone.UNKNOWN)
        return lines + _obstacles(host, port, width, traced)
    hops, why, tone = _unexplained(host, port)
    beyond = inside if tone is Tone.UNKNOWN else []  # what is known not to arrive has no further way
    return layout.path(label, [entry, *hops, *beyond], width) + layout.text(MORE, why, width, tone)


def _passes_by(port: Port) -> bool:
    """Whether what this host sends to a port on loopback does not meet the rule."""
    return port.scope is Scope.LOOPBACK and port.dnat_from_here is False


def _obstacles(host: Host, port: Port, width: int, traced: bool) -> list[Line]:
    """Why its packets, or their answers, do not arrive."""
    if not traced or host.ruleset is None or not traceable(host):
        return []
    return [
        line
        for who, answer, found in asked_of(host, port)
        if port.listening is not None or hangs_on_rules(answer)  # the hop's "?" says it
        for line in obstacle_lines(found, answer, who, MORE, width)
    ]


def _own_socket(port: Port) -> bool:
    """Whether the container listens in the host's namespace itself: nothing is translated."""
    return port.dnat is None and port.proxy is None and port.holder is not None and port.holder.kind == "process"


def _own(port: Port) -> Hop:
    holder = port.holder
    name = clean(holder.command or holder.kind, 40) if holder else "its own process"
    pid = f" pid {holder.pid}" if holder and holder.pid else ""
    if holder is not None and holder.forged:
        return Hop(
            (Span(f"✗ {name}{pid}", Tone.BAD),), (Span("not the engine's: where it leads is not known", Tone.BAD),)
        )
    return Hop((Span(f"● {name}{pid}", Tone.GOOD),), (Span("listens in the host's namespace", Tone.DIM),))


def _entry(run: Sequence[Inbound]) -> Hop:
    first, last = run[0].port, run[-1].port
    numbers = str(first.host_port) if len(run) == 1 else f"{first.host_port}-{last.host_port}"
    numbers = f"{numbers}/{clean(first.proto)}"
    text = f"{formatting.bind_prefix(first)}{numbers}"
    any_address = "any address" if first.dual else f"any IPv{first.host_ip.version} address"
    short = f":{numbers}" if first.scope is Scope.ALL and first.host_ip.version == 4 else text
    ref = ref_of(first)
    scopes = {
        Scope.LOOPBACK: "on loopback",
        Scope.ADDRESS: "this address only",
        Scope.DEVICE: "by this device only",
    }
    scope = scopes.get(first.scope, any_address)
    return Hop((Span(text, Tone.KEY, ref),), (Span(scope, Tone.DIM),), (Span(short, Tone.KEY, ref),))


def _dnat_hop(ports: Sequence[Port]) -> Hop:
    rules = list({port.dnat.place: port.dnat for port in ports if port.dnat}.values())
    first = rules[0]
    target = socket_text(ports[0].target_ip, None) if ports[0].target_ip else "?"
    numbers = _numbers(ports)
    evidence = formatting.rule_evidence(rules)
    name = first.target.verb.name if first.target.verb.value in ("dnat", "redirect") else "DNAT"
    return Hop(
        (Span(f"{name} "), Span(f"{target}:{numbers}", Tone.PLAIN, ref_of(first))),
        evidence,
        (Span(f"{name} "), *evidence),
    )


def _numbers(ports: Sequence[Port]) -> str:
    low, high = ports[0].container_port, ports[-1].container_port
    return "?" if low is None else str(low) if low == high else f"{low}-{high}"


def _bridge_hops(host: Host, path: Inbound) -> list[Hop]:
    hops: list[Hop] = []
    if path.bridge:
        ip = () if path.bridge_ip is None else (Span(str(path.bridge_ip), Tone.DIM, address_ref(path.bridge_ip)),)
        bridge = Span(clean(path.bridge), Tone.PLAIN, formatting.link_ref(path.bridge))
        link = index_of(host).link
        why = formatting.trouble(trouble(link(path.bridge)))
        hops.append(Hop((bridge, *why), ip, (bridge, *why)))
        hops.append(_veth(host, path.veth, port_trouble(link(path.veth), path.bridge)))
    return hops


def _veth(host: Host, name: str | None, why: str) -> Hop:
    if name is None:
        return Hop((Span("veth ", Tone.UNKNOWN), formatting.unknown_yet(host)), (), ())
    veth = (Span(clean(name), Tone.PLAIN, formatting.link_ref(name)), *formatting.trouble(why))
    return Hop(veth, (), veth if why else ())


def _target(host: Host, run: Sequence[Inbound]) -> Hop:
    port = run[0].port
    if port.target_ip is None:
        end = formatting.unknown_yet(host)
    else:
        text = f"{socket_text(port.target_ip, None)}:{_numbers([way.port for way in run])}"
        end = Span(text, Tone.KEY, address_ref(port.target_ip))
    under, mark = _listening(host, port)
    return Hop((end,), (under,), (end, Span(" "), mark))


def _listening(host: Host, port: Port) -> tuple[Span, Span]:
    owner = index_of(host).containers.get(port.container_id or "")
    if port.listening is None and owner is not None and owner.listeners is not None:
        return Span("? not this container", Tone.UNKNOWN), Span("?", Tone.UNKNOWN)
    if port.listening is None:
        known = Span("listening? " + ("reading…" if host.pending else "not readable"), Tone.UNKNOWN)
        return known, formatting.unknown_yet(host)
    if port.listening and owner is not None and owner.state == "paused":
        return Span("◐ listening, paused: no answers", Tone.WARN), Span("◐ paused", Tone.WARN)
    if port.listening:
        name = f" ({clean(port.listener, 24)})" if port.listener else ""
        return Span(f"● listening{name}", Tone.GOOD), Span("●", Tone.GOOD)
    return Span("○ nobody listens", Tone.BAD), Span("○ nobody listens", Tone.BAD)


def _proxy_hop(run: Sequence[Inbound]) -> Hop:
    proxies = [path.port.proxy for path in run if path.port.proxy]
    first, last = proxies[0], proxies[-1]
    pids = f"pid {first.pid}" if len(proxies) == 1 else f"pids {first.pid}…{last.pid}"
    stopped = (Span(f" {STOPPED}", Tone.BAD),) if first.stopped else ()
    return Hop((Span(f"{clean(first.command, 24)} "), Span(pids, Tone.PLAIN, ref_of(first)), *stopped))


def _proxy_beside(run: Sequence[Inbound], width: int) -> list[Line]:
    first = run[0].port.proxy
    if first is None:
        return []
    last = run[-1].port.proxy or first
    low, high = first.container_port, last.container_port
    target = f"{socket_text(first.container_ip, low)}" + ("" if low == high else f"-{high}")
    hops = [
        _OR,
        _proxy_hop(run),
        Hop((Span(target, Tone.PLAIN, address_ref(first.container_ip)),)),
    ]
    line = layout.path(MORE, hops, width)
    when = Span(f"  {run[0].proxy_when}", Tone.DIM)
    if layout.size(line[-1]) + layout.size((when,)) <= width:
        return [*line[:-1], (*line[-1], when)]
    return line + layout.text(MORE, f"   {run[0].proxy_when}", width, Tone.DIM)


def _unexplained(host: Host, port: Port) -> tuple[list[Hop], str, Tone]:
    """The hops and the sentence for a port with neither a rule nor a proxy: broken, or not to be seen from here."""
    question = Hop((formatting.unknown_yet(host),))
    holder = port.holder
    if holder is not None and holder.kind == "rootlesskit":
        name = Span(f"{clean(holder.command or holder.kind, 24)} pid {holder.pid or '?'}")
        return (
            [Hop((name,)), question],
            "carries it into the engine's own network namespace"
            + ("" if unavailable.namespace(host) else ", not read here"),
            Tone.UNKNOWN,
        )
    for source, known in (("rules", host.ruleset is not None), ("proxies", host.proxies is not None)):
        if not known:
            return [question], f"{source}: {unavailable.reason(host, source)}", Tone.UNKNOWN
    if host.ruleset is not None and not host.ruleset.whole(port.host_ip.version):
        return [question], "no DNAT rule, no proxy; but not every rule could be read", Tone.UNKNOWN
    if host.engine is not None and host.engine.rootless:
        return [question], "no DNAT rule, no proxy in the namespace that was read; the engine is rootless", Tone.UNKNOWN
    return [Hop((Span("✗ no DNAT rule, no proxy", Tone.BAD),))], "nothing forwards it", Tone.BAD


# --- why a packet does not arrive -------------------------------------------------------------------------------------

_ON_THE_CARD = (Verdict.NO_LISTENER,)  # what its hops say anyway


def obstacle_lines(found: Obstacle | None, answer: Trace, who: str, label: Span, room: int) -> list[Line]:
    """One paragraph below a path; nothing where the path says it already."""
    if found is None or found.verdict in _ON_THE_CARD:
        return []
    if found.verdict is Verdict.UNKNOWN and answer.ends and all(map(_shown, (end.verdict for end in answer.ends))):
        return []
    mark, *sentences = _spans(found)
    return layout.paragraph(label, [mark, *((Span(f"{who}: "),) if who else ()), *sentences], room)


def _shown(verdict: Verdict) -> bool:
    return verdict.arrives or verdict in _ON_THE_CARD


def hangs_on_rules(answer: Trace) -> bool:
    """Whether it is rules that leave the verdict open, or there is one."""
    last = answer.then or answer
    return (answer.verdict is not Verdict.UNKNOWN and last.verdict is not Verdict.UNKNOWN) or bool(answer.unsure)


def sentence(found: Obstacle) -> str:
    decided = found.decided_by
    if found.verdict is Verdict.UNKNOWN:
        if found.unsure:
            return f"{found.unsure[0].place} may decide otherwise"
        return decided.text if decided else "it cannot be told"
    return f"{_what(found)}: {because(decided)}" if decided else _what(found)


def broken(asked: Iterable[tuple[str, Trace, Obstacle | None]]) -> list[str] | None:
    """What stands against a path, and what else would stop it; None where nothing is known to, and not all is known."""
    found = [(answer, obstacle) for _, answer, obstacle in asked if obstacle is not None]
    sure = [(answer, obstacle) for answer, obstacle in found if obstacle.verdict is not Verdict.UNKNOWN]
    sentences = [text for answer, obstacle in sure for text in (sentence(obstacle), *map(because, answer.blockers))]
    return list(dict.fromkeys(sentences)) if sure or not found else None


def because(decided: Decision) -> str:
    step = decided.step
    return decided.text if step is None else step.place if step.rule is None else f"{step.place} {step.text}"


def _what(found: Obstacle) -> str:
    if not found.answer:
        return found.verdict.value
    return "no answer" if found.verdict.arrives else f"the answer is {found.verdict.value}"


def _spans(found: Obstacle) -> list[Span]:
    if found.verdict is not Verdict.UNKNOWN:
        return [Span("✗ ", Tone.BAD), Span(f"{_what(found)}: ", Tone.BAD), *_because(found.decided_by)]
    mark = Span("? ", Tone.UNKNOWN)
    if not found.unsure:
        return [mark, *_because(found.decided_by)]
    return [mark, Span("cannot be told: ", Tone.UNKNOWN), _rule_place(found.unsure[0]), Span(" may decide otherwise")]


def _because(decided: Decision | None) -> list[Span]:
    if decided is None:
        return []
    step = decided.step
    if step is None or step.source is None:
        return [Span(clean(step.place if step else decided.text, 200), Tone.KEY)]
    count = formatting.packets(step.source)
    return [
        _rule_place(step.source),
        Span(f" {count}" if count else "", Tone.DIM),
        Span(f"  {formatting.rule_body(step.source)}", Tone.DIM),
    ]


def _rule_place(rule: Rule) -> Span:
    return Span(clean(rule.place, 80), Tone.KEY, ref_of(rule))
