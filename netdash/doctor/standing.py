"""How each container fares: the one place that weighs what its questions' traces say against what was found. The list,
the card, the walk, the ports and the filter read it here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from netdash.doctor.questions import Asked, further, text, usuals
from netdash.model.finding import Direction, Finding, Health, Hit, Mark, Severity, Standing, worst
from netdash.model.host import Container, Host
from netdash.model.index import index_of, sharing
from netdash.model.records import dataclass, replace
from netdash.trace.default_questions import Usual
from netdash.trace.model import Origin
from netdash.trace.summary import against, answer, doubt, fared, traceable

_COLUMN = {
    Direction.IN: Direction.IN,
    Direction.PEERS: Direction.IN,
    Direction.OUT: Direction.OUT,
    Direction.NAMES: Direction.OUT,
}
"""Whose mark tells it: what does not reach a container, or what it does not reach."""

_ALARMS = (Mark.BROKEN, Mark.RISK)

Alarms = Mapping[str | None, Sequence[tuple[int, Finding, Hit]]]
"""By container id (None: of the host as a whole) what alarms, worst first: place in the findings, finding, hit."""


def alarms_of(findings: Sequence[Finding]) -> Alarms:
    found: dict[str | None, list[tuple[int, Finding, Hit]]] = {}
    for at, finding in enumerate(findings):
        for hit in finding.hits if finding.severity is not Severity.INFO else ():
            found.setdefault(hit.container, []).append((at, finding, hit))
    return found


def _who(host: Host, container_id: str | None) -> Iterator[str]:
    """The container, and the one whose network namespace it uses."""
    container = index_of(host).containers.get(container_id or "")
    if container is not None:
        yield container.id
        owner = sharing(host, container) if container.running else container
        if owner is not container:
            yield owner.id


def hitting(host: Host, alarms: Alarms, about: Hit) -> list[tuple[int, Finding, Hit]]:
    """What may explain that packets of this container, direction and port are not answered; worst first."""
    wanted = (Direction.NAMES, Direction.OUT) if about.direction is Direction.NAMES else (about.direction,)
    found = [alarm for word in _who(host, about.container) for alarm in alarms.get(word, ())]
    found += [alarm for alarm in alarms.get(None, ()) if alarm[1].mark is Mark.BROKEN]
    found = [
        (at, finding, hit)
        for at, finding, hit in found
        if hit.direction in wanted and (not about.port or hit.port in ("", about.port))
    ]
    return sorted(found, key=lambda alarm: alarm[0])


def columns(host: Host, finding: Finding, container_id: str) -> list[Direction]:
    """Which of a container's marks it sets: IN, OUT, both."""
    who = (*_who(host, container_id), None)
    found = {_COLUMN[hit.direction] for hit in finding.hits if hit.container in who}
    return [column for column in (Direction.IN, Direction.OUT) if column in found]


@dataclass(frozen=True, slots=True)
class Line:
    """One question of a container. `about`: whose, of which direction and port; `traced`: OK, BROKEN or UNKNOWN."""

    about: Hit
    origin: Origin
    traced: Mark
    ought: bool = False  # an answer is owed
    asked: Asked | None = None


def mark_of(host: Host, alarms: Alarms, health: Health, line: Line) -> Mark:
    """What is not answered and no finding explains was meant: NOTHING; where an answer is owed, UNKNOWN. What cannot be
    told from rules and routes may be known by what was seen. A published port that answers may yet be open to too many;
    or be at risk, where no packet that was traced shows what the doctor found."""
    found = hitting(host, alarms, line.about)
    if line.traced is Mark.BROKEN:
        if any(not finding.exposes for _, finding, _ in found):
            return Mark.BROKEN
        return Mark.UNKNOWN if line.about in health.unexplained else Mark.NOTHING
    near = [finding for _, finding, hit in found if _is_near(finding, hit, line.about)]
    if line.traced is Mark.UNKNOWN:
        return Mark.BROKEN if any(finding.mark is Mark.BROKEN for finding in near) else Mark.UNKNOWN
    if line.origin is Origin.OUTSIDE and any(finding.exposes for finding in near):
        return Mark.RISK
    hidden = line.about.direction is Direction.IN and line.about not in health.broken
    return Mark.RISK if hidden and any(not finding.exposes for finding in near) else Mark.OK


def _is_near(finding: Finding, hit: Hit, about: Hit) -> bool:
    """Whether it may hit this port: what is at risk for a container's own address is not what is published."""
    port = not about.port or hit.port == about.port or (not hit.port and finding.mark is Mark.BROKEN)
    return port and hit.direction is about.direction


_MOST = 6  # further questions of one container


def failing(host: Host, health: Health, container: Container) -> list[Usual]:
    """What was asked beside the questions of its card and is not answered although it should be: the first of each
    direction and port of which those show nothing."""
    found: dict[Hit, Usual] = {}
    for asked in further(host, container) if any(hit.container == container.id for hit in health.broken) else ():
        key = about(asked.hit)
        if key in health.broken and key not in found and len(found) < _MOST and _traced(host, asked) is Mark.BROKEN:
            found[key] = Usual(text(host, asked.question), asked.question, key, asked.port)
    if found:
        for usual in usuals(host, container):
            shown = about(usual.about) if usual.about is not None else None
            answered = answer(host, usual.question)
            if shown in found and fared(answered, against(host, answered, usual.port)) is Mark.BROKEN:
                del found[shown]
    return list(found.values())


# --- of a host --------------------------------------------------------------------------------------------------------


def judged(
    host: Host, findings: Sequence[Finding], not_checked: Mapping[str, str], asked: Iterable[Sequence[Asked]]
) -> Health:
    """`findings`: worst first; `asked`: the questions of all containers, in groups that fare alike."""
    lines = list(_lines(host, asked))
    alarms = alarms_of(findings)
    explained = [
        (line, found)
        for line in lines
        if line.traced is Mark.BROKEN
        and (found := [value for value in hitting(host, alarms, line.about) if not value[1].exposes])
    ]
    failing = {found[0][0] for _, found in explained if not any(value[1].mark is Mark.BROKEN for value in found)}
    findings = tuple(replace(finding, fails=True) if at in failing else finding for at, finding in enumerate(findings))
    broken = frozenset(line.about for line, _ in explained)
    known = {hit for finding in findings for hit in map(about, finding.hits)}
    open_ = {line.about for line in lines if line.traced is Mark.BROKEN and line.ought} - broken
    unexplained = frozenset(hit for hit in open_ if not {hit, replace(hit, port="")} & known)
    health = Health(findings, not_checked, broken=broken, unexplained=unexplained)
    alarms = alarms_of(findings)
    marked = [(line, mark_of(host, alarms, health, line)) for line in lines]
    unread = {hit: why for container in host.containers or () for hit, why in _unread(host, container)}
    standings = dict(_standings(host, alarms, marked, unread))
    unknown = {hit.container or "": why for hit, why in unread.items()} | _doubts(host, marked)
    return replace(health, standings=standings, ports=_ports(alarms, marked), unknown=unknown)


def _lines(host: Host, groups: Iterable[Sequence[Asked]]) -> Iterator[Line]:
    from netdash.trace.exchange import paused_in  # all that walks packets: not on the way to the first row

    known, paused = traceable(host), {container.id for container in paused_in(host)}
    for members in groups:
        traced = _traced(host, members[0]) if known else Mark.UNKNOWN
        for asked in members:
            ought = asked.ought and asked.question.container not in paused
            if asked.usual or traced is Mark.BROKEN:
                yield Line(about(asked.hit), asked.question.origin, traced, ought, asked)


def _traced(host: Host, asked: Asked) -> Mark:
    """Of a packet that comes in by a named device only the way in counts: its answer may well leave by another one."""
    found = answer(host, asked.question)
    if asked.question.iif is not None and found.verdict.arrives:
        return Mark.OK
    return fared(found, against(host, found, asked.port))


def _doubts(host: Host, marked: Sequence[tuple[Line, Mark]]) -> dict[str, str]:
    """By container id, why its first question that sets one of its marks cannot be told: in the words of its own trace,
    for that of one that fares alike would name another."""
    first: dict[str, Asked] = {}
    for line, mark in marked if traceable(host) else ():
        if mark is Mark.UNKNOWN and _COLUMN[line.about.direction] is line.about.direction and line.asked is not None:
            first.setdefault(line.about.container or "", line.asked)
    found = [(word, asked, answer(host, asked.question)) for word, asked in first.items()]
    return {word: doubt(trace, against(host, trace, asked.port)) for word, asked, trace in found}


def about(hit: Hit) -> Hit:
    """The same without what one question tells apart from another of its kind."""
    port = hit.port if hit.direction is Direction.IN else ""
    return Hit(hit.container, hit.direction, port)


def _standings(
    host: Host, alarms: Alarms, marked: Sequence[tuple[Line, Mark]], unread: Mapping[Hit, str]
) -> Iterator[tuple[str, Standing]]:
    """By container id."""
    of_lines: dict[tuple[str | None, Direction], Mark] = {}
    for line, mark in marked:
        key = (line.about.container, line.about.direction)
        counts = _COLUMN[key[1]] is key[1] or mark in _ALARMS
        of_lines[key] = worst(of_lines.get(key, Mark.NOTHING), mark if counts else Mark.NOTHING)
    for container in host.containers or ():
        yield container.id, _standing(host, container, alarms, of_lines, unread)


def _standing(
    host: Host,
    container: Container,
    alarms: Alarms,
    of_lines: Mapping[tuple[str | None, Direction], Mark],
    unread: Mapping[Hit, str],
) -> Standing:
    who = tuple(_who(host, container.id))
    asked = {direction for word in who for direction in Direction if (word, direction) in of_lines}
    found = [alarm for word in who for alarm in alarms.get(word, ())]
    found += [alarm for alarm in alarms.get(None, ()) if alarm[1].mark is Mark.BROKEN and alarm[2].direction in asked]
    marks = {
        column: Mark.UNKNOWN if Hit(container.id, column) in unread else Mark.NOTHING
        for column in (Direction.IN, Direction.OUT)
    }
    for direction, column in _COLUMN.items():
        own = who[-1:] if direction is Direction.IN else who[:1]
        traced = (of_lines.get((address, direction), Mark.NOTHING) for address in own)
        hits = (finding.mark for _, finding, hit in found if hit.direction is direction)
        marks[column] = worst(marks[column], *traced, *hits)
    return Standing(marks[Direction.IN], marks[Direction.OUT], tuple(sorted({at for at, _, _ in found})))


def _unread(host: Host, container: Container) -> Iterator[tuple[Hit, str]]:
    """Where nothing could be asked because something was not read, and what."""
    if not container.running or container.left_behind:
        return
    if host.ports is None:
        yield Hit(container.id, Direction.IN), "which ports are published was not read"
    program = sharing(host, container).user_space
    if program:
        yield Hit(container.id, Direction.OUT), f"its packets leave by {program}, in user space: not readable"


def _ports(alarms: Alarms, marked: Sequence[tuple[Line, Mark]]) -> Mapping[tuple[str, str], Mark]:
    """By container id and published port."""
    ports: dict[tuple[str, str], Mark] = {}
    traced = ((line.about, mark) for line, mark in marked)
    hits = ((hit, finding.mark) for found in alarms.values() for _, finding, hit in found)
    for hit, mark in (*traced, *hits):
        if hit.direction is Direction.IN and hit.port and hit.container is not None:
            key = (hit.container, hit.port)
            ports[key] = worst(mark, ports.get(key, Mark.NOTHING))
    return ports
