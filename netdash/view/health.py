"""The view of what is wrong: one row a finding, worst first."""

from __future__ import annotations

from netdash.model.finding import Finding, Severity, health_of
from netdash.model.host import Host
from netdash.model.relations import ref_of
from netdash.model.source import Source
from netdash.view import formatting, marks
from netdash.view.table import Column, Row, Rows, View
from netdash.view.text import Span, Tone, clean

_NAMED = 3  # of those who are hit, before it says how many more there are


def _findings(host: Host) -> Rows:
    health = health_of(host)
    return Rows(health.findings if health is not None else (), lambda finding: _finding(host, finding))


def _finding(host: Host, finding: Finding) -> Row:
    mark = finding.mark
    tone = Tone.PLAIN if finding.severity is Severity.INFO else marks.TONES[mark]
    since = None if finding.since is None or host.taken is None else host.taken - finding.since
    names = list(dict.fromkeys(marks.name(host, hit) for hit in finding.hits))
    cells = (
        Span(finding.severity.name.lower(), tone),
        Span(clean(finding.sentence, 300), Tone.KEY),
        Span(clean(", ".join(names[:_NAMED])) + (f" +{len(names) - _NAMED}" if len(names) > _NAMED else "")),
        Span("" if since is None else formatting.age(since), Tone.DIM),
        Span(clean(finding.code), Tone.DIM),
    )
    return Row(ref_of(finding), cells, (finding.severity, None, -len(names), since, finding.code), marks.glyph(mark))


def _unchecked(host: Host) -> str:
    health = health_of(host)
    if health is None:
        return "looking…"
    return f"nothing found, and not all was looked at: {', '.join(health.not_checked)}" if health.not_checked else ""


HEALTH = View(
    name="health",
    title="Health",
    short="Health",
    digit="0",
    kind="finding",
    columns=(
        Column("severity", "SEVERITY", most=8, leaves=5),
        Column("sentence", "FINDING", most=90, least=40),
        Column("hits", "WHO", most=40, least=10, leaves=2),
        Column("since", "SINCE", most=8, leaves=4),
        Column("code", "CODE", most=30, leaves=6),
    ),
    sources=(Source.DOCKER,),
    rows=_findings,
    empty="nothing is wrong that netdash knows of",
    known=lambda host: health_of(host) is not None,
    findings=True,
    doubt=_unchecked,
)
