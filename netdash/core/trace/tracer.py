"""Answers a question: walks the packet to every end that cannot be told apart, past what stops it, along docker-proxy's
own connection, and the answer's way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from netdash.core.model import IP, Host, Proxy, Rule
from netdash.core.packet import Packet
from netdash.core.routing import OUTSIDE, Flow, entrance, find
from netdash.core.trace import beside
from netdash.core.trace.answer import UNREAD, Decision, End, Hop, Origin, Question, Reply, Trace, Tuple4, Verdict
from netdash.core.trace.conntrack import Connection
from netdash.core.trace.forwarding import looked_at, routes_of
from netdash.core.trace.inside import Namespace, namespaces_of
from netdash.core.trace.run import Choices, Ended, Run
from netdash.core.trace.way import from_container, from_host, from_outside

_MANY = 64  # walks until it is given up to tell the ends apart
_BLOCKERS = 8
EPHEMERAL = (32768, 60999)  # net.ipv4.ip_local_port_range as Linux starts with


@dataclass(slots=True)
class _Walked:
    """What came of one walk."""

    run: Run
    hops: tuple[Hop, ...]
    verdict: Verdict
    decision: Decision | None

    @property
    def tuple(self) -> Tuple4:
        packet = self.run.packet
        return Tuple4(packet.src, packet.sport, packet.dst, packet.dport)

    def same(self, other: _Walked) -> bool:
        """Whether both end alike."""
        return (self.verdict, self.tuple) == (other.verdict, other.tuple) and _end_of(self.run) == _end_of(other.run)


def _end_of(run: Run) -> object:
    at = run.end_at
    return at.container.id if isinstance(at, Namespace) else at


Walk = Callable[[Choices, frozenset[str]], _Walked]


def trace(host: Host, question: Question) -> Trace:
    """The answer to one question about one host. Never raises for what a host holds."""
    return _trace(host, question, True)


def reaches(host: Host, question: Question) -> Trace:
    """The same without what else would stop the packet."""
    return _trace(host, question, True, False)


def _trace(host: Host, question: Question, further: bool, behind: bool = True) -> Trace:
    def walk(choices: Choices, forgiven: frozenset[str]) -> _Walked:
        run = Run(host, _packet(question), choices, forgiven)
        return _walk(run, lambda: _start(run, question))

    first, ends, unsure = _explore(walk)
    verdict = Verdict.UNKNOWN if ends else first.verdict
    then = reply = None
    if further and verdict is Verdict.PROXY and isinstance(first.run.end_at, Proxy):
        proxy = first.run.end_at
        ahead = Question(Origin.HOST, proxy.container_ip, proxy.proto, proxy.container_port)
        then = _trace(host, ahead, False)
    if verdict.arrives:
        reply = _reply(host, first)
    return Trace(
        question,
        first.hops[0].packet if first.hops else _packet(question),
        first.hops,
        verdict,
        _undecided(ends, unsure) if ends else first.decision,
        first.tuple,
        _blockers(walk, first) if behind and not ends and not verdict.arrives else (),
        then,
        reply,
        unsure,
        ends,
        tuple(first.run.assumed),
    )


def _walk(run: Run, start: Callable[[], Ended]) -> _Walked:
    run.look = looked_at
    try:
        ended = start()
    except Ended as stopped:  # it must not outlive this block: its traceback holds this frame, and so the whole host
        return _Walked(run, run.told(), stopped.verdict, stopped.decision)
    return _Walked(run, run.told(), ended.verdict, ended.decision)


def _explore(walk: Walk) -> tuple[_Walked, tuple[End, ...], tuple[Rule, ...]]:
    """(the walk that supposes nothing, two ends when they differ, rules that cannot be told)."""
    first = walk(Choices(), frozenset())
    unsure = list(first.run.unsure)
    waiting = [first]
    walked = 1
    while waiting:
        last = waiting.pop()
        taken = last.run.choices.taken
        for at in range(len(last.run.choices.given), len(taken)):
            if walked >= _MANY:
                return first, (_end(first), replace(_end(last), verdict=Verdict.UNKNOWN)), tuple(unsure)
            given = (*(answer for _, answer in taken[:at]), True)
            other = walk(Choices(given), frozenset())
            walked += 1
            unsure += [rule for rule in other.run.unsure if not any(rule is one for one in unsure)]
            if not other.same(first):
                return first, (_end(first), _end(other)), tuple(unsure)
            waiting.append(other)
    return first, (), tuple(unsure)


def _undecided(ends: tuple[End, ...], unsure: tuple[Rule, ...]) -> Decision:
    """What the verdict hangs on: the first thing that was supposed differently in the two ends."""
    decided = ends[-1].decided_by
    if decided is not None and decided.place == UNREAD:
        return decided
    supposed = [what for what, happens in ends[-1].supposed if happens]
    place = unsure[0].place if unsure else "trace"
    return Decision(place, f"cannot tell whether {supposed[0]}" if supposed else "too much cannot be told")


def _end(walked: _Walked) -> End:
    return End(tuple(walked.run.choices.taken), walked.verdict, walked.decision, walked.tuple)


def _blockers(walk: Walk, first: _Walked) -> tuple[Decision, ...]:
    """What would stop the packet next, once the decision before is mended, and so on."""
    found: list[Decision] = []
    forgiven: set[str] = set()
    decision = first.decision
    while decision is not None and len(found) < _BLOCKERS and decision.place not in forgiven:
        forgiven.add(decision.place)
        again = walk(Choices(), frozenset(forgiven))
        decision = again.decision
        if decision is None or again.verdict is Verdict.UNKNOWN or decision.place in forgiven:
            break
        found.append(decision)
    return tuple(found)


# --- the first packet -------------------------------------------------------------------------------------------------


def _packet(question: Question) -> Packet:
    family = question.dst.version
    proto = "ipv6-icmp" if family == 6 and question.proto == "icmp" else question.proto
    ports = proto not in ("icmp", "ipv6-icmp")
    return Packet(
        family,
        proto,
        question.src,
        question.dst,
        question.sport if ports else None,
        question.dport if ports else None,
        ctstate="INVALID",
        mark=question.mark,
        ephemeral=EPHEMERAL if ports and question.sport is None else None,
        tcp_flags=frozenset({"syn"}) if proto == "tcp" else None,
        icmp=None if ports else (8 if family == 4 else 128, 0),
        ctdir="",
        physdev_in="",
        physdev_out="",
        bridged=False,
        whole=True,
        length=_SYN[family] if proto == "tcp" else None,
    )


_SYN = {4: (40, 120), 6: (60, 140)}  # bytes of a TCP packet without data: the headers, and all options that fit


def _start(run: Run, question: Question) -> Ended:
    if question.origin is Origin.HOST:
        return from_host(run, question.src)
    if question.origin is Origin.OUTSIDE:
        return _outside(run, question)
    container = next((one for one in run.host.containers or () if one.id == question.container), None)
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
    device = question.iif or beside.device_of(run, question.dst)
    if device is None and question.src is not None:
        route = find(Flow(question.src), run.host.routes or (), run.host.policy).route
        device = route.dev if route is not None and route.kind == "unicast" else None
    if device is None and routes_of(run.host, question.dst.version) is not None:
        device, _ = entrance(question.dst.version, run.host.links, run.host.routes)
    if device is None or (question.src is None and routes_of(run.host, question.dst.version) is None):
        return run.end(Verdict.UNKNOWN, "sender", "by which device packets from outside come in is not known")
    if question.src is None:
        src = somebody(run.host, question.dst.version, device)
        run.packet = replace(run.packet, src=src)
        run.assume(f"{src} stands for a sender outside")
    return from_outside(run, device)


def somebody(host: Host, family: int, device: str) -> IP:
    """An address that stands for a sender who comes in by a device: on the Internet where the default route leads out
    there, else on the link."""
    if any(one.default and one.family == family and one.dev == device for one in host.routes or ()):
        return OUTSIDE[family]
    link = next((one for one in host.links or () if one.name == device), None)
    own = [one.ip for one in (link.addresses if link else ())]
    for one in link.addresses if link else ():
        if one.version == family and one.network.num_addresses > 2:
            return next(ip for ip in one.network.hosts() if ip not in own)
    return OUTSIDE[family]


# --- the answer -------------------------------------------------------------------------------------------------------


def _reply(host: Host, forward: _Walked) -> Reply | None:
    """The way back of the first answer, from whoever got the packet."""
    got = forward.run.packet
    if got.src is None or got.dst is None:
        return None

    def walk(choices: Choices, forgiven: frozenset[str]) -> _Walked:
        run = Run(host, _answer(got), choices, forgiven)
        run.connection = _answering(forward.run.connection)
        at = forward.run.end_at
        if isinstance(at, Namespace):
            return _walk(run, lambda: from_container(run, at, got.dst))
        if isinstance(at, str):
            return _walk(run, lambda: from_outside(run, at))
        return _walk(run, lambda: from_host(run, got.dst, at if isinstance(at, Proxy) else None))

    first, ends, unsure = _explore(walk)
    verdict = Verdict.UNKNOWN if ends else first.verdict
    return Reply(first.hops, verdict, _undecided(ends, unsure) if ends else first.decision, unsure)


def _answer(got: Packet) -> Packet:
    icmp = (0 if got.family == 4 else 129, 0) if got.icmp else None
    return replace(
        got,
        src=got.dst,
        dst=got.src,
        sport=got.dport,
        dport=got.sport,
        iif=None,
        oif=None,
        mark=0,
        src_type=None,
        dst_type=None,
        tcp_flags=frozenset({"syn", "ack"}) if got.tcp_flags else None,
        icmp=icmp,
        ctstate="INVALID",
        ctdir="",
        ephemeral=None,
    )


def _answering(connection: Connection) -> Connection:
    return replace(connection, answering=True, confirmed=True, bound=set(connection.bound), untracked=False)
