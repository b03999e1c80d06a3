"""The one alphabet of verdicts as text: a glyph and a word for how something fares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from netdash.model.finding import (
    WORST_FIRST,
    Direction,
    Finding,
    Health,
    Hit,
    Mark,
    Severity,
    Standing,
    health_of,
    worst,
)
from netdash.model.host import Container, Host, Network, Port, Proxy, Ref, Rule, Verb
from netdash.model.index import index_of, sharing
from netdash.model.relations import ref_of
from netdash.view.layout import shorter, size
from netdash.view.table import Row
from netdash.view.text import Line, Span, Tone, clean, fit, listed, width

if TYPE_CHECKING:
    from netdash.doctor.standing import Alarms
    from netdash.trace.model import Reach, Verdict

GLYPHS: Mapping[Mark, str] = {
    Mark.OK: "✓",
    Mark.BROKEN: "✗",
    Mark.RISK: "!",
    Mark.UNKNOWN: "?",
    Mark.NOTHING: "·",
}
TONES: Mapping[Mark, Tone] = {
    Mark.OK: Tone.GOOD,
    Mark.BROKEN: Tone.BAD,
    Mark.RISK: Tone.WARN,
    Mark.UNKNOWN: Tone.UNKNOWN,
    Mark.NOTHING: Tone.DIM,
}
WAITS = Span("…", Tone.DIM)
ANSWERED: Mapping[bool | None, Mark] = {True: Mark.OK, False: Mark.BROKEN, None: Mark.UNKNOWN}
NO_ANSWER, ELSEWHERE, EXPOSED = "no answer", "elsewhere", "exposed"


def word(answered: bool | None, ended: Verdict) -> str:
    """How a packet fares whose way ended so, on every surface: ok, dropped, rejected, no route, no listener, martian,
    no answer, unknown."""
    if answered is None:
        return Mark.UNKNOWN.value
    return Mark.OK.value if answered else NO_ANSWER if ended.arrives else ended.value


def of_reach(reach: Reach) -> Span:
    return verdict(ANSWERED[reach.reaches], word(reach.reaches, reach.verdict))


def way(ended: Verdict) -> Span:
    """The same of one way, whatever becomes of the answer."""
    from netdash.trace.model import Verdict  # a list of containers needs none of this

    came = None if ended is Verdict.UNKNOWN else ended.arrives
    return verdict(ANSWERED[came], word(came, ended))


def verdict(mark: Mark, text: str) -> Span:
    return Span(f"{GLYPHS[mark]} {text}", TONES[mark])


def glyph(mark: Mark) -> Span:
    return Span(GLYPHS[mark], TONES[mark])


def rank(mark: Mark | None) -> int | None:
    """The worst first; None for what is not known yet."""
    return None if mark is None else WORST_FIRST.index(mark)


def cells(host: Host, container: Container) -> tuple[Span, Span]:
    """How it fares inwards and outwards; "…" until that is known."""
    health = health_of(host)
    standing = health.standings.get(container.id) if health is not None else None
    return (WAITS, WAITS) if standing is None else (glyph(standing.inwards), glyph(standing.outwards))


def lead(mark: Mark | None) -> Span:
    return WAITS if mark is None else glyph(mark)


_QUIET = Span(" ")


def marked(host: Host, thing: object, cells: tuple[Span, ...], sort: tuple[object, ...]) -> Row:
    """The row of a record that is marked only where it is evidence of something wrong."""
    finding = evidence_of(host, thing)
    if finding is None:
        return Row(ref_of(thing), cells, sort, _QUIET)
    reason = why_of_rule(host, thing, finding) if isinstance(thing, Rule) else why(finding)
    return Row(ref_of(thing), cells, sort, glyph(finding.mark), tags(finding.mark, finding), reason)


def tags(mark: Mark | None, finding: Finding | None = None, others: Sequence[Mark] = ()) -> tuple[str, ...]:
    """What the filter's `is:` finds. `others`: marks beside the worst that a filter finds too."""
    if mark is None:
        return ()
    told = (mark, *(mark for mark in others if mark in (Mark.BROKEN, Mark.RISK, Mark.UNKNOWN)))
    words = dict.fromkeys("risk" if mark is Mark.RISK else mark.value for mark in told)
    return (*words, "exposed") if finding is not None and finding.exposes else tuple(words)


def standing_of(host: Host, container: Container) -> Standing | None:
    health = health_of(host)
    return health.standings.get(container.id) if health is not None else None


def of_port(host: Host, port: Port) -> Mark | None:
    """None until it is known."""
    health = health_of(host)
    if health is None:
        return None
    return health.ports.get((port.container_id or "", f"{port.host_port}/{port.proto}"), Mark.NOTHING)


def of_network(host: Host, network: Network) -> Mark | None:
    """The worst of what is on it; None until it is known."""
    health = health_of(host)
    if health is None:
        return None
    found = finding_of_network(host, network)
    if found is not None:
        return found.mark
    if host.containers is None:
        return Mark.UNKNOWN
    standings = (health.standings.get(text) for text in index_of(host).on_network(network))
    return worst(
        *(
            worst(standing.inwards, standing.outwards) if standing is not None else Mark.UNKNOWN
            for standing in standings
        )
    )


def name(host: Host, hit: Hit) -> str:
    """Who is hit: the container's name; this host where it is nobody's."""
    return "this host" if hit.container is None else index_of(host).name(hit.container) or hit.container[:12]


# --- why a row is marked ----------------------------------------------------------------------------------------------

_NAMES = 60  # cells of the names of those whom a rule cuts off


def why(finding: Finding | None) -> Span | None:
    """What stands in the place of the row's last columns."""
    return None if finding is None else Span(clean(finding.sentence, 300), TONES[finding.mark])


def evidence_of(host: Host, thing: object) -> Finding | None:
    """The worst that is wrong for which this record is evidence."""
    health = health_of(host)
    return _by_evidence(health).get(ref_of(thing)) if health is not None else None


@lru_cache(maxsize=4)
def _by_evidence(health: Health) -> Mapping[Ref, Finding]:
    found: dict[Ref, Finding] = {}
    for finding in health.findings:
        for evidence in finding.evidence if finding.mark is not Mark.NOTHING else ():
            if evidence.ref is not None:
                found.setdefault(evidence.ref, finding)
    return found


def blamed(host: Host, ref: Ref) -> frozenset[Ref]:
    """The evidence of the worst that hits a container, or one of its ports."""
    health, index = health_of(host), index_of(host)
    container = index.containers.get(ref.key) if ref.kind == "container" else None
    finding = finding_of(host, standing_of(host, container)) if container is not None else None
    if ref.kind == "port" and health is not None:
        port = next((port for port in host.ports or () if ref_of(port) == ref), None)
        finding = finding_of_port(host, port) if port is not None else None
    return (
        frozenset(evidence.ref for evidence in finding.evidence if evidence.ref) if finding is not None else frozenset()
    )


def why_of_rule(host: Host, rule: Rule, finding: Finding) -> Span:
    """Whom the rule cuts off; of a rule that drops nothing what it has part in."""
    names = list(dict.fromkeys(clean(name(host, hit)) for hit in finding.hits))
    if rule.target.verb not in (Verb.DROP, Verb.REJECT) or not names or finding.mark is not Mark.BROKEN:
        return why(finding) or Span("")
    return Span(f"cuts off {listed(names, _NAMES)}", TONES[finding.mark])


def finding_of_port(host: Host, port: Port) -> Finding | None:
    """The worst that hits this port, or what comes in to its container on any."""
    health, wanted = health_of(host), ("", f"{port.host_port}/{port.proto}")
    if health is None or of_port(host, port) not in (Mark.BROKEN, Mark.RISK):
        return None
    found = (finding for _, finding, hit in alarms(health).get(port.container_id, ()) if _comes_in(hit, wanted))
    return next(found, None)


def _comes_in(hit: Hit, ports: Sequence[str]) -> bool:
    return hit.direction is Direction.IN and hit.port in ports


def finding_of_proxy(host: Host, proxy: Proxy, ports: Sequence[Port]) -> Finding | None:
    """What hits the port that it serves, or it is itself evidence of."""
    own = evidence_of(host, proxy)
    return own or next(filter(None, (finding_of_port(host, port) for port in ports)), None)


def of_proxy(host: Host, ports: Sequence[Port], finding: Finding | None) -> Mark | None:
    """How the ports fare that it serves; nothing where it serves none; None until it is known."""
    if finding is not None:
        return finding.mark
    marks = [of_port(host, port) for port in ports]
    return None if health_of(host) is None else worst(*(mark for mark in marks if mark is not None))


def finding_of_network(host: Host, network: Network) -> Finding | None:
    """The worst that hits what is on it, there or wherever."""
    health, here = health_of(host), index_of(host).on_network(network)
    if health is None:
        return None
    by_container = alarms(health)
    found = {at: finding for at, finding, hit in by_container.get(None, ()) if hit.network == network.name}
    for container in here:
        told = by_container.get(container, ())
        found |= {at: finding for at, finding, hit in told if hit.network in ("", network.name)}
    return found[min(found)] if found else None


@lru_cache(maxsize=4)
def alarms(health: Health) -> Alarms:
    """By container, the worst first."""
    from netdash.doctor.standing import alarms_of

    return alarms_of(health.findings)


def finding_of(host: Host, standing: Standing | None) -> Finding | None:
    """The worst that hits a container."""
    return next(iter(findings_of_standing(host, standing)), None)


def note(host: Host, container: Container) -> Span | None:
    """Of a container that nothing alarming hits: why it cannot be told how it fares, else what is meant: first that of
    a direction of which there is nothing to say. What is so of many is no news on each row: Health says it."""
    health, standing = health_of(host), standing_of(host, container)
    if health is None or standing is None or not container.running:
        return None
    marks = {Direction.IN: standing.inwards, Direction.OUT: standing.outwards}
    if Mark.UNKNOWN in marks.values():
        return doubt(host, container)
    told = _meant(health).get(container.id, {})
    silent = (told[direction] for direction, mark in marks.items() if mark is Mark.NOTHING and direction in told)
    meant = next(iter((*silent, *told.values())), None)
    return Span(clean(meant.sentence, 300), Tone.DIM) if meant is not None else None


def doubt(host: Host, container: Container) -> Span | None:
    """Why it cannot be told how its packets fare. What is the same of many is told by the banner or its own pane."""
    health = health_of(host)
    if health is None:
        return None
    why = health.unknown.get(container.id) or health.unknown.get(sharing(host, container).id)
    return Span(clean(why, 300), Tone.UNKNOWN) if why and _told(health)[why] <= _FEW else None


@lru_cache(maxsize=4)
def _told(health: Health) -> Counter[str]:
    return Counter(health.unknown.values())


_FEW = 8  # containers


@lru_cache(maxsize=4)
def _meant(health: Health) -> Mapping[str | None, Mapping[Direction, Finding]]:
    found: dict[str | None, dict[Direction, Finding]] = {}
    for finding in health.findings:
        few = len({hit.container for hit in finding.hits}) <= _FEW
        for hit in finding.hits if finding.severity is Severity.INFO and few else ():
            found.setdefault(hit.container, {}).setdefault(hit.direction, finding)
    return found


def findings_of_standing(host: Host, standing: Standing | None) -> list[Finding]:
    """All that hits a container, the worst first."""
    health = health_of(host)
    return [health.findings[at] for at in standing.findings] if health is not None and standing is not None else []


def findings_of(host: Host, container_id: str | None, port: str | None = None) -> list[Finding]:
    """What hits one container, or one of its published ports ("8080/tcp"), the worst first."""
    health = health_of(host)
    found = alarms(health).get(container_id, ()) if health is not None else ()
    return list(dict.fromkeys(finding for _, finding, hit in found if port in (None, hit.port)))


@lru_cache(maxsize=4)
def counts(health: Health) -> Line:
    """✗3 !2 ?4, without those of which there are none."""
    found = [(mark, health.count(mark)) for mark in (Mark.BROKEN, Mark.RISK, Mark.UNKNOWN)]
    return tuple(Span(f"{GLYPHS[mark]}{number} ", TONES[mark]) for mark, number in found if number)


def banner(health: Health, room: int, unread: Sequence[str] = ()) -> Line:
    """How many are broken, and the worst finding's sentence, in `room` cells; where nothing is wrong but not all is
    known, what was not read: `unread`, a sentence each. () where all is well."""
    alarms = [finding for finding in health.findings if finding.severity is not Severity.INFO]
    if not alarms and unread and health.count(Mark.UNKNOWN):
        left = (Span(" "), *counts(health), Span(" "))
        return (*left, Span(fit(clean(unread[0], 300), max(0, room - size(left))), Tone.UNKNOWN))
    if not alarms:
        return ()
    left = (Span(" "), *(counts(health) or (lead(alarms[0].mark), Span(" "))), Span(" "))
    right = Span(f"  +{len(alarms) - 1}  0 opens " if len(alarms) > 1 else "  0 opens ", Tone.DIM)
    left_over = max(0, room - size(left) - width(right.text))
    sentence = fit(shorter(clean(alarms[0].sentence, 300), left_over), left_over)
    return (*left, Span(sentence, TONES[alarms[0].mark]), right)
