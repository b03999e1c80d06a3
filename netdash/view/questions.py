"""The fixed questions of a container, in an order that the eye learns: in to each published port, out, names, peers.
Each is a trace; ports that fare alike are one question."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import lru_cache

from netdash.doctor import standing
from netdash.doctor.questions import first_peers, peer_usual
from netdash.doctor.questions import usuals as of_card
from netdash.join.networks import Peer, peers
from netdash.model.finding import Direction, Health, Mark, health_of
from netdash.model.host import Container, Host, Port, Ref, Scope
from netdash.model.index import index_of, sharing, why_lost
from netdash.model.records import dataclass, replace
from netdash.trace import default_questions
from netdash.trace.default_questions import HOST_NAME, Usual, end_text
from netdash.trace.model import Origin, Question, Trace
from netdash.trace.summary import Obstacle, against, answer, traceable
from netdash.view import formatting, marks, unavailable
from netdash.view.answer import fares, reason
from netdash.view.text import Line, Span, Tone, clean

MOST_TRACED = 8  # lines of published ports that are traced at once on the screen; of more the doctor's mark is shown
_LINES = 12  # of published ports, before those that fare alike are one line although their numbers do not follow
_NONE = "none"
_NUMBERS = 3  # ranges that such a line names


@dataclass(frozen=True, slots=True)
class Asked:
    """One line of the card. `text`: the question; `brief`: for narrow screens; `found` None: not asked, or not yet."""

    label: str  # IN OUT NAMES PEERS
    text: str
    brief: str
    verdict: Span
    reason: Line = ()
    usual: Usual | None = None
    found: Trace | None = None
    stop: Obstacle | None = None
    short: Line = ()  # the reason for narrow screens, where it is another
    ways: tuple[Usual, ...] = ()  # all that the line stands for

    @property
    def ref(self) -> Ref | None:
        """What the cursor stands on."""
        return ref_of(self.usual.question) if self.usual is not None else None


def ref_of(question: Question) -> Ref:
    """Names a question across refreshes."""
    asked = (question.origin.value, question.container, question.src, question.dst, question.dport, question.proto)
    return Ref("question", " ".join(map(str, asked)))


def asked(host: Host, container: Container, most: int | None = None) -> list[Asked]:
    """`most`: lines of published ports that are traced; None for all."""
    return list(each_asked(host, container, most))


def each_asked(host: Host, container: Container, most: int | None = None) -> Iterator[Asked]:
    """The same, each when its turn has come: a trace takes some milliseconds."""
    owner, health = sharing(host, container), health_of(host)
    shown = health is not None and container.running and traceable(host)
    more = standing.failing(host, health, owner) if shown and health is not None else []
    further = [_answered(host, usual) for usual in more]
    yield from _inwards(host, container, index_of(host).ports(owner.id), most)
    yield from (asked for asked in further if asked.label == Direction.IN.name)
    yield from _outwards(host, container)
    yield from (asked for asked in further if asked.label == Direction.OUT.name)
    yield from _names(host, container)
    yield from _peers(host, container)
    yield from (asked for asked in further if asked.label == Direction.PEERS.name)


def usuals(host: Host, container: Container) -> list[Usual]:
    """The same questions, each port's by itself, without an answer."""
    health = health_of(host)
    more = standing.failing(host, health, sharing(host, container)) if health is not None else []
    return [*of_card(host, container), *more]


def of_port(host: Host, port: Port) -> list[Asked]:
    """The lines of one published port."""
    owner = index_of(host).containers.get(port.container_id or "")
    return list(_inwards(host, owner, [port], None)) if owner is not None else []


# --- how it fares -----------------------------------------------------------------------------------------------------


def _answered(host: Host, usual: Usual, text: str = "", brief: str = "") -> Asked:
    label = usual.about.direction.name if usual.about is not None else ""
    text = text or usual.text
    if not traceable(host):
        return Asked(label, text, brief or text, marks.WAITS, usual=usual, ways=(usual,))
    found = answer(host, usual.question)
    stop = against(host, found, usual.port)
    why, short = reason(found, stop, usual.port), reason(found, stop, usual.port, brief=True)
    return Asked(
        label, text, brief or text, fares_as(host, usual, found, stop), why, usual, found, stop, short, (usual,)
    )


def fares_as(host: Host, usual: Usual, found: Trace, stop: Obstacle | None) -> Span:
    """The verdict, with what the doctor knows beside the trace: that it is meant, that it was seen to fail, or that it
    works and is at risk."""
    traced, word = fares(found, stop)
    health = health_of(host)
    if health is None or usual.about is None:
        return marks.verdict(traced, word)
    alarms = marks.alarms(health)
    line = standing.Line(standing.about(usual.about), usual.question.origin, traced)
    mark = standing.mark_of(host, alarms, health, line)
    if mark is Mark.RISK:
        outside = usual.question.origin is Origin.OUTSIDE
        open_ = any(finding.exposes for _, finding, _ in standing.hitting(host, alarms, line.about))
        word = marks.EXPOSED if outside and open_ else mark.value
    elif Mark.UNKNOWN in (traced, mark):
        word = mark.value
    return marks.verdict(mark, word)


# --- in ---------------------------------------------------------------------------------------------------------------


def _inwards(host: Host, container: Container, ports: Iterable[Port], most: int | None) -> Iterator[Asked]:
    if container.left_behind:
        yield Asked(
            "IN",
            "no way in or out",
            "no way in or out",
            marks.verdict(Mark.BROKEN, "cut off"),
            _words(why_lost(container)),
        )
        return
    if not container.running:
        planned = formatting.published(container, ports)
        text = _NONE if planned is formatting.NOTHING else f"would publish {planned.text}"
        yield _nothing("IN", text, "it is not running")
        return
    if host.ports is None:
        yield _unknown(host, "IN", "published ports", unavailable.reason(host, "docker"))
        return
    runs = _runs(host, [port for port in ports if port.live])
    if not runs:
        yield _nothing("IN", _NONE, "no port is published")
    lines = [_of_run(host, run, most is None or at < most) for at, run in enumerate(runs)]
    yield from _loopback(lines)


def _loopback(lines: Sequence[Asked]) -> Iterator[Asked]:
    """This host's own packets by both families as one line, where they fare alike."""
    at = 0
    while at < len(lines):
        one, other = lines[at], lines[at + 1] if at + 1 < len(lines) else None
        if other is not None and _is_twin(one, other):
            text = f"{HOST_NAME} → loopback{one.text[one.text.rindex(':') :]}"
            yield replace(one, text=text, brief=text, ways=(*one.ways, *other.ways))
            at += 2
        else:
            yield one
            at += 1


def _is_twin(one: Asked, other: Asked) -> bool:
    if one.usual is None or other.usual is None or one.found is None or other.found is None:
        return False
    mine, theirs = one.usual.question, other.usual.question
    local = mine.origin is theirs.origin is Origin.HOST and mine.dst.is_loopback and theirs.dst.is_loopback
    same = one.text.rpartition(":")[2] == other.text.rpartition(":")[2]  # the ports, and the protocol
    fate = (one.verdict, one.found.verdict) == (other.verdict, other.found.verdict)
    return local and same and fate and mine.dst.version != theirs.dst.version


def _of_run(host: Host, run: Sequence[Usual], traced: bool) -> Asked:
    first = run[0]
    text, brief = _run_text(run), _run_text(run, brief=True)
    health = health_of(host)
    if traced and (health is not None or len(run) == 1):
        return replace(_answered(host, first, text, brief), ways=tuple(run))
    mark = marks.of_port(host, first.port) if first.port is not None else None
    verdict = marks.WAITS if mark is None else marks.verdict(mark, mark.value)
    return Asked("IN", text, brief, verdict, usual=first, ways=tuple(run))


def _runs(host: Host, ports: Sequence[Port]) -> list[list[Usual]]:
    """Questions that fare alike, those of one port together: from outside by each family, then from this host."""
    lanes: dict[tuple[Hashable, ...], list[Usual]] = {}
    for port in sorted(ports, key=lambda port: (port.host_port, port.proto, port.host_ip.version)):
        for usual in default_questions.of_port(host, port):
            lane = (usual.question.origin, usual.question.dst, usual.question.proto, _fate(host, port))
            lanes.setdefault(lane, []).append(usual)
    runs = [run for lane in lanes.values() for run in _consecutive(lane)]
    if len(runs) > _LINES:
        runs = list(lanes.values())
    return sorted(runs, key=_order)


def _order(run: Sequence[Usual]) -> tuple[object, ...]:
    asked = run[0].question
    return asked.dport or 0, asked.proto, asked.origin is Origin.HOST, asked.dst.version, int(asked.dst)


def _consecutive(lane: Sequence[Usual]) -> Iterator[list[Usual]]:
    run: list[Usual] = []
    for usual in lane:
        if run and (run[-1].question.dport or 0) + 1 != usual.question.dport:
            yield run
            run = []
        run.append(usual)
    yield run


def _fate(host: Host, port: Port) -> tuple[Hashable, ...]:
    """Equal for ports that fare alike: by how they are led in, and by what the doctor says of each."""
    health = health_of(host)
    named = f"{port.host_port}/{port.proto}"
    said: tuple[Hashable, ...] = ()
    if health is not None:
        mine = _of_ports(health).get((port.container_id or "", named), ())
        said = (health.ports.get((port.container_id or "", named)), mine)
    led = (port.dnat is None, port.proxy is None, port.proxy and port.proxy.stopped, port.listening, port.listener)
    return (*led, port.dnat_from_here, port.target_ip, port.holder and port.holder.kind, bool(port.unsure), *said)


@lru_cache(maxsize=4)
def _of_ports(health: Health) -> dict[tuple[str, str], tuple[int, ...]]:
    """By container id and published port, which findings hit it, those that do not alarm as well."""
    found: dict[tuple[str, str], tuple[int, ...]] = {}
    for at, finding in enumerate(health.findings):
        for hit in dict.fromkeys(finding.hits):
            if hit.container is not None and hit.port:
                found[hit.container, hit.port] = (*found.get((hit.container, hit.port), ()), at)
    return found


def _run_text(run: Sequence[Usual], brief: bool = False) -> str:
    """outside → 203.0.113.2:9000-9003; `brief`: without the address, where the port is bound to all."""
    first = run[0].question
    ranges = [
        f"{part[0].question.dport}-{part[-1].question.dport}" if len(part) > 1 else f"{part[0].question.dport}"
        for part in _consecutive(run)
    ]
    numbers = ",".join(ranges[:_NUMBERS]) + (f" +{len(ranges) - _NUMBERS}" if len(ranges) > _NUMBERS else "")
    sender = HOST_NAME if first.origin is Origin.HOST else default_questions.OUTSIDE_NAME
    port = run[0].port
    dst = end_text(first.dst, 0, first.proto).rpartition(":0")
    where, proto = dst[0], dst[2]
    if brief and port is not None and port.scope is Scope.ALL and first.origin is Origin.OUTSIDE:
        where = "" if first.dst.version == 4 else "[::]"
    return f"{sender} → {where}:{numbers}{proto}"


# --- out, names, peers ------------------------------------------------------------------------------------------------


def _outwards(host: Host, container: Container) -> Iterator[Asked]:
    if not container.running or container.left_behind:
        yield _nothing("OUT", f"{container.name} → Internet", "")
        return
    owner = sharing(host, container)
    if owner.user_space:
        yield _unknown(
            host, "OUT", f"{container.name} → Internet", f"by {owner.user_space}, in user space: not readable"
        )
        return
    found = default_questions.outwards(host, container)
    if not found:
        none = owner.network_mode == "none" or not owner.endpoints
        yield _nothing("OUT", f"{container.name} → Internet", "no network" if none else "no address yet")
    networks = [network for end in owner.endpoints if (network := index_of(host).network(end)) is not None]
    inside = bool(networks) and all(network.internal for network in networks)
    for usual in found:
        made = _answered(host, usual)
        if inside and made.found is not None and not made.found.answered:
            lead = Span("internal network: ", Tone.DIM)
            made = replace(made, reason=(lead, *made.reason), short=(lead, *made.short))
        yield made


def _names(host: Host, container: Container) -> Iterator[Asked]:
    text = f"{container.name} → names"
    owner = sharing(host, container)
    if not container.running or owner.network_mode == "none" or container.left_behind:
        yield _nothing("NAMES", text, "")
        return
    resolver = owner.inside.resolver if owner.inside is not None else None
    if resolver is None:
        yield _unknown(host, "NAMES", text, "its resolv.conf was not read")
        return
    usual = default_questions.names(host, container)
    if usual is None:
        yield _unknown(host, "NAMES", text, "its resolv.conf names no server")
        return
    made = _answered(host, usual)
    if made.verdict.tone is Tone.GOOD:
        upstream = ", ".join(map(str, resolver.upstreams or ()))
        said = f"by {usual.question.dst}" + (f", upstream {upstream}" if upstream else "")
        made = replace(made, reason=(*_words(said), *_words(_called(host, container))), short=_words(said))
    yield made


def _called(host: Host, container: Container) -> str:
    """The containers that it may call by name."""
    names = [peer.names[0] for peer in peers(host, container, _NUMBERS + 1) if peer.names]
    more = " …" if len(names) > _NUMBERS else ""
    return f": {', '.join(names[:_NUMBERS])}{more}" if names else "; no container by its name"


def _peers(host: Host, container: Container) -> Iterator[Asked]:
    """One that shares each network asks for it."""
    found = first_peers(host, container)
    if not found:
        yield _nothing("PEERS", _NONE, "no other container there" if container.running else "")
    for peer, count in found:
        yield _from_peer(host, container, peer, count)


def _from_peer(host: Host, container: Container, peer: Peer, count: int) -> Asked:
    more = f"; {count - 1} more there" if count > 1 else ""
    there = f"on {clean(peer.network, 60)}{more}"
    usual = peer_usual(host, container, peer)
    if usual is None:
        return _unknown(host, "PEERS", f"{peer.container} → {container.name}", f"no address {there}")
    made = _answered(host, usual)
    if made.found is None or made.found.answered:
        line = _words(there)
    else:
        line = (*made.reason, *_words(f"; {there}{f'; {peer.blocked}' if peer.blocked else ''}"))
    return replace(made, reason=line, short=line)


# --- what is not asked ------------------------------------------------------------------------------------------------


def _nothing(label: str, text: str, why: str) -> Asked:
    return Asked(label, text, text, marks.glyph(Mark.NOTHING), _words(why, Tone.DIM))


def _unknown(host: Host, label: str, text: str, why: str) -> Asked:
    if host.pending:
        return Asked(label, text, text, marks.WAITS)
    return Asked(label, text, text, marks.verdict(Mark.UNKNOWN, Mark.UNKNOWN.value), _words(why))


def _words(text: str, tone: Tone = Tone.PLAIN) -> Line:
    return (Span(clean(text, 300), tone),) if text else ()
