"""What confirms a finding and its fix: which questions stand for others, a fix tried on the model of the host, and
the real connections that would show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import islice

from netdash.change.apply import CannotModel, apply
from netdash.doctor.candidate import Candidate, same
from netdash.doctor.questions import Asked, questions
from netdash.kernel.routing import OUTSIDE, entrance
from netdash.model.finding import Direction, Finding, Hit, Severity
from netdash.model.host import Host
from netdash.model.index import index_of, sharing
from netdash.model.records import dataclass, replace
from netdash.trace.exchange import paused_in
from netdash.trace.model import Aim, Origin, Question, Sender, Trace, Verdict
from netdash.trace.reach_classes import Kinds
from netdash.trace.summary import answer, obstacle
from netdash.trace.tracer import trace

_FEW = 120  # questions: fewer are asked one by one


def classes(host: Host, asks: Sequence[Asked]) -> list[list[Asked]]:
    """In the order of their first members."""
    if len(asks) <= _FEW:
        return [[asked] for asked in asks]
    senders = list(dict.fromkeys(_sender(host, asked) for asked in asks))
    aims = list(dict.fromkeys(filter(None, map(_aim, asks))))
    kinds = Kinds(host, tuple(senders), tuple(aims))
    numbers = {sender: at for at, sender in enumerate(senders)}
    of_sender = {sender: kinds.of_sender(sender)[0] for sender in senders}
    of_aim: dict[Aim, Hashable] = {aim: kinds.of_aim(aim)[0] for aim in aims}
    alone = {aim: kinds.alone(aim) for aim in aims}
    paused = {container.id for container in paused_in(host)}
    found: dict[Hashable, list[Asked]] = {}
    for asked in asks:
        sender, aim = _sender(host, asked), _aim(asked)
        key: Hashable = asked
        if aim is None or numbers[sender] not in alone[aim]:
            to = of_aim[aim] if aim is not None else (asked.question.dst, asked.question.dport)
            likeness = (asked.hit.direction, asked.ought, asked.usual, asked.question.container in paused)
            key = (of_sender[sender], to, asked.question.src, asked.question.iif, *likeness)
        found.setdefault(key, []).append(asked)
    return list(found.values())


def _sender(host: Host, asked: Asked) -> Sender:
    origin = asked.question.origin
    container = index_of(host).containers.get(asked.question.container or "")
    owner = sharing(host, container) if container is not None else None
    name = owner.name if owner is not None and origin is Origin.CONTAINER else origin.value
    return Sender(name, origin, owner.id if owner is not None else asked.question.container)


def _aim(asked: Asked) -> Aim | None:
    """None of what leaves this host, and of what asks for no port."""
    question = asked.question
    if asked.receiver is None or question.dport is None:
        return None
    kind = "published" if asked.port is not None else "container"
    return Aim(kind, question.proto, question.dst, question.dport, asked.receiver)


_ASKED = 12  # of the questions that a cause ended; they fare alike
_WATCHED = 200  # questions that are compared before and after
_TRIED = 4  # findings of one code: each costs a host made anew


def all_proved(host: Host, candidates: Iterable[Candidate]) -> Iterator[Finding]:
    """Of many of one code only the first are tried; `proved` of the others stays unknown."""
    tried: Counter[str] = Counter()
    for candidate in candidates:
        code = candidate.finding.code
        tried[code] += bool(candidate.changes)
        yield proved(host, candidate) if tried[code] <= _TRIED else candidate.finding


def proved(host: Host, candidate: Candidate) -> Finding:
    """The finding with its proof. A fix that does not mend is taken away."""
    finding, asks = candidate.finding, candidate.asks[:_ASKED]
    if not (finding.fix and candidate.changes and (asks or candidate.again)):
        return finding
    try:
        after = apply(host, candidate.changes, compare=False)
    except CannotModel:
        return finding
    if not asks:
        return _found_no_more(host, after, candidate)
    verdicts = [_mended(answer(host, asked), trace(after, asked)) for asked in asks]
    if False in verdicts:
        return replace(finding, fix=(), proved=False)
    if None in verdicts:
        return finding
    return replace(finding, proved=True, also_opens=tuple(_opened(host, after, candidate)))


def _found_no_more(host: Host, after: Host, candidate: Candidate) -> Finding:
    """Where the check finds it still, the model may hold less than the command does: then nothing is proved."""
    finding = candidate.finding
    left = candidate.again(after) if candidate.again is not None else None
    if left is None or any(same(candidate.finding, finding) for candidate in left):
        return finding
    return replace(finding, proved=True, also_opens=tuple(_opened(host, after, candidate)))


def _mended(before: Trace, now: Trace) -> bool | None:
    """None: it cannot be told, or something else stops it then."""
    left, was = obstacle(now), obstacle(before)
    if left is None or (now.question.iif is not None and now.verdict.arrives):
        return True
    if left.verdict is Verdict.UNKNOWN:
        return None
    same = was is not None and was.decided_by == left.decided_by
    return False if same else None


def _opened(host: Host, after: Host, candidate: Candidate) -> Iterator[str]:
    wanted = {(asked.proto, asked.dport) for asked in candidate.asks if asked.origin is not Origin.CONTAINER}
    watched = dict(_watched(host, candidate))
    closed = {
        asked.question
        for members in classes(host, list(watched))
        if obstacle(answer(host, members[0].question)) is not None
        for asked in members
    }
    opened: dict[str, None] = {}
    for asked, text in watched.items():
        question = asked.question
        outside = question.origin is Origin.OUTSIDE
        if question in candidate.asks or (outside and (question.proto, question.dport) in wanted):
            continue
        if question in closed and obstacle(trace(after, question)) is None:
            opened[text] = None
    yield from opened


def _watched(host: Host, candidate: Candidate) -> Iterator[tuple[Asked, str]]:
    """What outside may ask of this host, and the containers that are hit of this host's own ports."""
    own = {family: entrance(family, host.links, host.routes)[1] for family in (4, 6)}
    index = index_of(host)
    hit = next(filter(None, (index.containers.get(hit.container or "") for hit in candidate.finding.hits)), None)
    for port in [port for port in host.ports or () if port.live and port.proto in ("tcp", "udp")][:_WATCHED]:
        whose = index.name(port.container_id) or "this host"
        for family in (4, 6) if port.dual else (port.host_ip.version,):
            ip = own[family] if port.host_ip.is_unspecified else port.host_ip
            if ip is None or ip.is_loopback:
                continue
            what = f"{port.host_port}/{port.proto} of {whose}"
            asked = Question(Origin.OUTSIDE, ip, port.proto, port.host_port, src=OUTSIDE[family])
            arrives = Hit(port.container_id, Direction.IN)
            yield Asked(asked, arrives, port.container_id, port), f"{what} to the world"
            if hit is not None and hit.running and hit.id != port.container_id:
                inner = Question(Origin.CONTAINER, ip, port.proto, port.host_port, container=hit.id)
                yield Asked(inner, arrives, port.container_id, port), f"{what} to {hit.name}"


MOST, OF_ONE = 8, 2
"""Connections in all, and of one finding."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A connection that fails if the finding is right."""

    code: str  # of the finding
    question: Question
    proxied: bool  # a userland proxy accepts it, whether or not there is somebody behind it


@dataclass(frozen=True, slots=True)
class Probed:
    """`connected` None: that was not told."""

    probe: Probe
    connected: bool | None
    text: str


def probes(host: Host, findings: tuple[Finding, ...]) -> tuple[Probe, ...]:
    """Of the worst findings first."""
    asked = [asked for asked in questions(host) if _sent_here(asked)]
    found = [probe for finding in findings if finding.severity < Severity.INFO for probe in _of(host, finding, asked)]
    return tuple(found[:MOST])


def _sent_here(asked: Asked) -> bool:
    sent = asked.question
    return sent.proto == "tcp" and sent.origin is not Origin.OUTSIDE and asked.hit.direction is not Direction.OUT


def _of(host: Host, finding: Finding, asked: list[Asked]) -> Iterator[Probe]:
    hit = ((other.question, answer(host, other.question)) for other in asked if other.hit in finding.hits)
    failing = (Probe(finding.code, question, bool(said.proxy)) for question, said in hit if said.answered is False)
    yield from islice(failing, OF_ONE)
