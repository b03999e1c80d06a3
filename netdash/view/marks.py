"""The one alphabet of verdicts as text: a glyph and a word for how something fares."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from netdash.model.finding import WORST_FIRST, Finding, Health, Mark, Severity, Standing, health_of, worst
from netdash.model.host import Container, Host, Network, Port, Ref
from netdash.view.layout import size
from netdash.view.text import Line, Span, Tone, clean, fit, width

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


def tags(mark: Mark | None, finding: Finding | None = None) -> tuple[str, ...]:
    """What the filter's `is:` finds."""
    if mark is None:
        return ()
    word = "risk" if mark is Mark.RISK else mark.value
    return (word, "exposed") if finding is not None and finding.exposes else (word,)


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
    """The worst of its containers'; None until it is known."""
    health = health_of(host)
    if health is None:
        return None
    hit = [one.mark for one in health.findings for it in one.hits if it.network == network.name]
    return worst(Mark.OK, *hit)


def blamed(host: Host) -> frozenset[Ref]:
    """What is the evidence of something broken."""
    health = health_of(host)
    return _blamed(health) if health is not None else frozenset()


@lru_cache(maxsize=4)
def _blamed(health: Health) -> frozenset[Ref]:
    broken = (one for one in health.findings if one.mark is Mark.BROKEN)
    return frozenset(at.ref for one in broken for at in one.evidence if at.ref)


def finding_of(host: Host, standing: Standing | None) -> Finding | None:
    """The worst that hits a container."""
    health = health_of(host)
    if health is None or standing is None or standing.finding is None:
        return None
    return health.findings[standing.finding]


def counts(health: Health) -> Line:
    """✗3 !2 ?4, without those of which there are none."""
    found = [(mark, health.count(mark)) for mark in (Mark.BROKEN, Mark.RISK, Mark.UNKNOWN)]
    return tuple(Span(f"{GLYPHS[mark]}{number} ", TONES[mark]) for mark, number in found if number)


def banner(health: Health, room: int) -> Line:
    """How many are broken, and the worst finding's sentence, in `room` cells; () where nothing is wrong."""
    alarms = [one for one in health.findings if one.severity is not Severity.INFO]
    if not alarms:
        return ()
    left = (Span(" "), *counts(health), Span(" "))
    right = Span(f"  +{len(alarms) - 1}  0 opens " if len(alarms) > 1 else "  0 opens ", Tone.DIM)
    sentence = fit(clean(alarms[0].sentence, 300), max(0, room - size(left) - width(right.text)))
    return (*left, Span(sentence, TONES[alarms[0].mark]), right)
