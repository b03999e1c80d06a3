"""How each container fares: by the findings that hit it, and by the answers to the questions that ought to arrive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from netdash.doctor.questions import Asked
from netdash.model.finding import Direction, Finding, Hit, Mark, Severity, Standing, worst
from netdash.model.host import Container, Host
from netdash.model.index import sharing
from netdash.trace.summary import answer, traceable

_COLUMN = {
    Direction.IN: Direction.IN,
    Direction.PEERS: Direction.IN,
    Direction.OUT: Direction.OUT,
    Direction.NAMES: Direction.OUT,
}
"""Whose mark tells it: what does not reach a container, or what it does not reach."""


def standings(
    host: Host, findings: Sequence[Finding], asked: Iterable[Sequence[Asked]]
) -> tuple[Mapping[str, Standing], Mapping[tuple[str, str], Mark]]:
    """(by container id, by container id and published port). `findings`: worst first; `asked`: what ought to arrive, in
    groups that fare alike."""
    marks: dict[tuple[str, Direction], Mark] = {}
    ports: dict[tuple[str, str], Mark] = {}
    reason: dict[str, int] = {}
    for hit, mark in (*_answers(host, asked), *_hits(findings)):
        if hit.container is None:
            continue
        key = (hit.container, _COLUMN[hit.direction])
        marks[key] = worst(mark, marks.get(key, Mark.NOTHING))
        if hit.direction is Direction.IN and hit.port:
            port = (hit.container, hit.port)
            ports[port] = worst(mark, ports.get(port, Mark.NOTHING))
    for at, finding in enumerate(findings):
        for hit in finding.hits if finding.severity is not Severity.INFO else ():
            if hit.container is not None:
                reason.setdefault(hit.container, at)
    return {
        container.id: Standing(
            marks.get((whose, Direction.IN), Mark.NOTHING),
            marks.get((whose, Direction.OUT), Mark.NOTHING),
            reason.get(container.id, reason.get(whose)),
        )
        for container, whose in _with_owner(host)
    }, ports


def _with_owner(host: Host) -> Iterator[tuple[Container, str]]:
    """Each container, and the id of the one whose network namespace it uses: a running one has its ways."""
    for container in host.containers or ():
        yield container, sharing(host, container).id if container.running else container.id


def _answers(host: Host, asked: Iterable[Sequence[Asked]]) -> Iterator[tuple[Hit, Mark]]:
    """What is not answered and no finding explains was meant: it is no mark."""
    known = traceable(host)
    for members in asked:
        if members[0].hit.direction in (Direction.IN, Direction.OUT):
            answered = answer(host, members[0].question).answered if known else None
            mark = Mark.UNKNOWN if answered is None else Mark.OK if answered else Mark.NOTHING
            yield from ((one.hit, mark) for one in members)


def _hits(findings: Sequence[Finding]) -> Iterator[tuple[Hit, Mark]]:
    for finding in findings:
        for hit in finding.hits if finding.severity is not Severity.INFO else ():
            yield hit, finding.mark
