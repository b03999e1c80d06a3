"""Answers a question: the first packet, the userland proxy's own connection, and whether the asker is answered."""

from __future__ import annotations

from netdash.kernel.routing import OUTSIDE, Flow, address_type, entrance, find, uplinks_of
from netdash.model.host import IP, Host, Proxy
from netdash.model.records import replace
from netdash.trace import link_layer
from netdash.trace.connection import EPHEMERAL, first_packet
from netdash.trace.container_namespace import Namespace, namespaces_of
from netdash.trace.exchange import Asking, contradicted, exchanged, paused_sender
from netdash.trace.link_layer import narrowest
from netdash.trace.model import Decision, Exchange, Origin, Question, Reply, Trace, Tuple4, Verdict
from netdash.trace.namespace_state import lookups_of, port_range, routes_of, situation
from netdash.trace.path import from_container, from_host, from_outside
from netdash.trace.run import Choices, Ended, Explored, Run, Walked, blockers, explore, undecided, walk


def trace(host: Host, question: Question) -> Trace:
    """The answer to one question about one host. Never raises for what a host holds."""
    return _by_each(host, question, True)


def reaches(host: Host, question: Question) -> Trace:
    """The same by what holds for everybody: without what else would stop the packet, and without what conntrack saw
    become of this sender's."""
    return _by_each(host, question, False)


def _by_each(host: Host, question: Question, behind: bool) -> Trace:
    """Of a packet from outside that may come in by several devices: by each of them, the likeliest first."""
    devices = entrances(host, question) if question.origin is Origin.OUTSIDE and question.iif is None else ()
    if len(devices) < 2:
        return _trace(host, question, True, behind)
    traces = [_trace(host, replace(question, iif=device), True, behind) for device in devices]
    first = replace(traces[0], question=question)
    if len({answer.answered for answer in traces}) == 1:
        return first
    words = {True: "✓", False: "✗", None: "?"}
    ways = [
        f"by {device} {words[answer.answered]}" + ("" if answer.answered else f" {_lacking(answer)}")
        for device, answer in zip(devices, traces, strict=True)
    ]
    why = Decision("sender", "it hangs on the device by which it comes in: " + ", ".join(ways))
    return replace(first, exchange=Exchange(None, why))


def _lacking(found: Trace) -> str:
    why = found.exchange.why or found.decided_by
    return found.verdict.value if why is None else why.place if why.step is not None else why.text


def _trace(host: Host, question: Question, further: bool, behind: bool = True) -> Trace:
    packet = first_packet(question, *_ephemeral(host, question))

    def walked(choices: Choices, forgiven: frozenset[str]) -> Walked:
        run = Run(host, packet, choices, forgiven)
        return walk(run, lambda: _start(run, question))

    explored = explore(walked)
    first = explored.first
    decision = undecided(explored) if explored.ends else first.decision
    verdict = Verdict.UNKNOWN if explored.ends else first.verdict
    then, translation = None, first.tuple
    if further and verdict is Verdict.PROXY and isinstance(first.run.end_at, Proxy):
        proxy = first.run.end_at
        then = _trace(
            host, Question(Origin.HOST, proxy.container_ip, proxy.proto, proxy.container_port, uid=0), False, behind
        )
    reply: Reply | None = None
    exchange = Exchange(None if verdict is Verdict.UNKNOWN else False)
    if verdict.arrives or explored.others:
        reply, exchange = _exchanged(Asking(host, question, lambda run: _start(run, question)), explored)
        exchange = _through(exchange, then, _proxy(first.run.end_at))
        if explored.others and exchange.answered is not None:
            verdict, decision = first.verdict, None
            translation = _common(first.tuple, *(other.tuple for other in explored.others))
    if behind and (verdict.arrives or verdict is Verdict.UNKNOWN):
        exchange = contradicted(host, first.run, exchange, decision)
    return Trace(
        question,
        first.hops[0].packet if first.hops else packet,
        first.hops,
        verdict,
        decision,
        translation,
        blockers(walked, first) if behind and not explored.ends and not verdict.arrives else (),
        then,
        reply,
        explored.unsure,
        explored.ends,
        (
            *first.run.assumed,
            *filter(None, (narrowest(first.run) if verdict.arrives else None,)),
            *paused_sender(host, question.container),
        ),
        exchange,
        _receiver(first.run.end_at),
        _proxy(first.run.end_at),
    )


def _receiver(at: object) -> str | None:
    return at.container.id if isinstance(at, Namespace) else None


def _common(first: Tuple4, *others: Tuple4) -> Tuple4:
    """What all of them say; None where they differ."""

    return Tuple4(
        first.src if all(other.src == first.src for other in others) else None,
        first.sport if all(other.sport == first.sport for other in others) else None,
        first.dst if all(other.dst == first.dst for other in others) else None,
        first.dport if all(other.dport == first.dport for other in others) else None,
    )


def _exchanged(asking: Asking, explored: Explored) -> tuple[Reply | None, Exchange]:
    """The exchange of every end that the packet may come to: told only where all are alike."""
    reply, exchange = exchanged(asking, explored.first)
    for other in explored.others:
        if exchanged(asking, other)[1].answered is not exchange.answered:
            return reply, Exchange(None, undecided(explored))
    return reply, exchange


def _proxy(at: object) -> str:
    return at.command if isinstance(at, Proxy) else ""


def _through(exchange: Exchange, then: Trace | None, proxy: str) -> Exchange:
    """Of what a userland proxy passes on: its own connection must be answered too."""
    if then is None or exchange.answered is False or then.answered:
        return exchange
    why = then.exchange.why or then.decided_by
    decision = Decision(why.place, f"{proxy}'s own connection: {why.text}", why.step) if why else None
    return replace(then.exchange, why=decision)


# --- the first packet -------------------------------------------------------------------------------------------------


def _ephemeral(host: Host, question: Question) -> tuple[tuple[int, int], frozenset[int]]:
    """net.ipv4.ip_local_port_range of the sender, and the ports that its sockets are bound to, which connect() passes
    by (__inet_hash_connect, udp_lib_get_port); of another machine what Linux starts with."""
    if question.origin is Origin.OUTSIDE:
        return EPHEMERAL, frozenset()
    container = namespaces_of(host).container(question.container)
    space = namespaces_of(host).of(container) if container is not None else None
    net = host if space is None else space.net
    held = frozenset(port for proto, port in lookups_of(net).sockets if proto == question.proto)
    return port_range(net) or EPHEMERAL, held


def _start(run: Run, question: Question) -> Ended:
    if question.origin is Origin.HOST:
        return from_host(run, question.src)
    if question.origin is Origin.OUTSIDE:
        return _outside(run, question)
    container = namespaces_of(run.host).container(question.container)
    if container is None:
        return run.end(Verdict.UNKNOWN, "sender", "no such container")
    if container.network_mode == "host":
        return from_host(run, question.src)
    space = namespaces_of(run.host).of(container)
    if space is None:
        return run.end(Verdict.NO_ROUTE, container.name, f"{container.name} is {container.state}: it has no network")
    by = space.container.user_space
    if by and not question.dst.is_loopback:
        return run.end(Verdict.UNKNOWN, container.name, f"{by} carries it in user space: not readable")
    run.packet = replace(run.packet, mark=0)  # a mark does not cross into another namespace
    return from_container(run, space, question.src)


def _outside(run: Run, question: Question) -> Ended:
    device = question.iif or next(iter(entrances(run.host, question)), None)
    if device is None or (question.src is None and routes_of(run.host, question.dst.version) is None):
        return run.end(Verdict.UNKNOWN, "sender", "by which device packets from outside come in is not known")
    if question.src is None:
        src = somebody(run.host, question.dst.version, device)
        run.packet = replace(run.packet, src=src)
        run.assume(f"{src} stands for a sender outside")
    return from_outside(run, device)


def entrances(host: Host, question: Question) -> tuple[str, ...]:
    """The devices by which a packet from outside may come in: of a neighbour, its own link; of anybody else, the uplink
    that has the asked address; for an address of no uplink, each of them, the one that leads back first."""
    hanging = link_layer.wire_of(host, question.dst)
    if hanging is not None:
        return (hanging,)
    family = question.dst.version
    back = _leads_back(host, question.src) if question.src is not None else None
    known = routes_of(host, family) is not None
    usual = back or (entrance(family, host.links, host.routes)[0] if known else None)
    if question.src is not None and _on_link(host, question.src, back):
        return (back,) if back else ()
    uplinks = uplinks_of(family, host.routes)
    owners = [
        link.name
        for link in host.links or ()
        if link.name in uplinks and any(question.dst == address.ip for address in link.addresses)
    ]
    if owners:
        return tuple(owners)
    several = len(uplinks) > 1 and address_type(question.dst, host.routes or ()) == "LOCAL"
    found = dict.fromkeys((usual, *(uplinks if several else ())))
    return tuple(text for text in found if text is not None)


def _leads_back(host: Host, src: IP) -> str | None:
    route = find(Flow(src), host.routes or (), host.policy, here=situation(host)).route
    return route.dev if route is not None and route.kind == "unicast" else None


def _on_link(host: Host, src: IP, device: str | None) -> bool:
    return any(src in address.network for link in host.links or () if link.name == device for address in link.addresses)


def somebody(host: Host, family: int, device: str) -> IP:
    """An address that stands for a sender who comes in by a device: on the Internet where the default route leads out
    there, or none is left; else on the link."""
    ways_out = [route.dev for route in host.routes or () if route.default and route.family == family]
    if not ways_out or device in ways_out:
        return OUTSIDE[family]
    link = next((link for link in host.links or () if link.name == device), None)
    own = [address.ip for address in (link.addresses if link else ())]
    for other in link.addresses if link else ():
        if other.version == family and other.network.num_addresses > 2:
            return next(ip for ip in other.network.hosts() if ip not in own)
    return OUTSIDE[family]
