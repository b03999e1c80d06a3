"""Tries a fix on the model of the host: whether what failed is answered then, and what else is open that was not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from netdash.change.apply import CannotModel, apply
from netdash.doctor.candidate import Candidate
from netdash.doctor.classes import classes
from netdash.doctor.merge import same
from netdash.doctor.questions import Asked
from netdash.kernel.routing import OUTSIDE, entrance
from netdash.model.finding import Direction, Finding, Hit
from netdash.model.host import Host
from netdash.model.index import index_of
from netdash.model.records import replace
from netdash.trace.model import Origin, Question, Trace, Verdict
from netdash.trace.summary import answer, obstacle
from netdash.trace.tracer import trace

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
    if left is None or any(same(one.finding, finding) for one in left):
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
    told: dict[str, None] = {}
    for asked, text in watched.items():
        question = asked.question
        outside = question.origin is Origin.OUTSIDE
        if question in candidate.asks or (outside and (question.proto, question.dport) in wanted):
            continue
        if question in closed and obstacle(trace(after, question)) is None:
            told[text] = None
    yield from told


def _watched(host: Host, candidate: Candidate) -> Iterator[tuple[Asked, str]]:
    """What outside may ask of this host, and the containers that are hit of this host's own ports."""
    own = {family: entrance(family, host.links, host.routes)[1] for family in (4, 6)}
    index = index_of(host)
    hit = next(filter(None, (index.containers.get(one.container or "") for one in candidate.finding.hits)), None)
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
