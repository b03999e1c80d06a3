"""Findings as rows of a view, worst first, as lines, and as JSON: the cause first, then who is hit, the evidence and
what mends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from netdash.model.finding import Evidence, Finding, Fix, Health, Hit, Severity, health_of, nothing_hidden
from netdash.model.host import Host
from netdash.model.relations import ref_of
from netdash.model.source import Source
from netdash.view import formatting, layout, marks, unavailable
from netdash.view.json_host import SCHEMA, Json
from netdash.view.table import EXTRA, Column, Row, Rows, View
from netdash.view.text import Line, SafeText, Span, Tone, clean

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
    parts = ", ".join(map(unavailable.name, health.not_checked))
    return f"nothing found, and not all was looked at: {parts}" if parts else ""


HEALTH = View(
    name="health",
    title="Health",
    short="Health",
    digit="0",
    kind="finding",
    columns=(
        Column("severity", "SEVERITY", most=8, leaves=5),
        Column("sentence", "FINDING", most=90, least=40),
        Column("hits", "WHO", most=40, least=10, leaves=EXTRA),  # the sentence mostly names them
        Column("since", "SINCE", most=8, leaves=4),
        Column("code", "CODE", most=30, leaves=EXTRA + 1),
    ),
    sources=(Source.DOCKER,),
    rows=_findings,
    empty="nothing is wrong that netdash knows of",
    known=lambda host: health_of(host) is not None,
    findings=True,
    doubt=_unchecked,
)


_ALIKE = 3  # findings of one code that are only to be known; the rest is a number
_SHOWN = 6  # hits that are named; the rest is a number
PROVED = {True: ("proved on a model of this host", Tone.GOOD), None: ("not tried on a model", Tone.DIM)}


def lines(host: Host, report: Health, wide: int) -> list[Line]:
    """All findings, then what was not checked."""
    found: list[Line] = []
    left: Counter[str] = Counter()
    for finding in report.findings:
        left[finding.code] += 1
        if finding.severity < Severity.INFO or left[finding.code] <= _ALIKE:
            found += [*of_finding(host, finding, wide), ()]
    for code, count in left.items():
        more = count - _ALIKE
        if more > 0 and all(finding.severity is Severity.INFO for finding in report.findings if finding.code == code):
            found += [(Span("· ", Tone.DIM), Span(f"{more} more of {code}; --json has them all", Tone.DIM)), ()]
    if not report.findings:
        whole = nothing_hidden(host, report)
        told = Span("✓ nothing found", Tone.GOOD) if whole else Span("? nothing found in what was read", Tone.UNKNOWN)
        found.append((told,))
    return [*found, *_not_checked(report.not_checked, wide)]


def of_finding(host: Host, finding: Finding, wide: int, on_screen: bool = False) -> list[Line]:
    """One finding with its evidence and its fix. `on_screen`: commands are wrapped, since a key copies them."""
    mark = finding.mark
    tone = marks.TONES[mark]
    lead = Span(f"{marks.GLYPHS[mark]} ", tone)
    words = [Span(f"{word} ") for word in clean(finding.sentence).split()]
    head = [Span(f"{finding.severity.name.lower()} ", tone), Span(f"{finding.code}: ", Tone.KEY), *words]
    found = layout.paragraph(lead, head, wide)
    if finding.hits:
        found += layout.text(_label("hits"), clean(hits(host, finding.hits)), wide)
    for evidence in finding.evidence:
        found += layout.paragraph(_label("seen"), _evidence(evidence), wide)
    for fix in finding.fix:
        found += _fix(fix, wide, on_screen)
    return found + _proof(finding, wide)


def _label(word: str) -> Span:
    return Span(f"  {word:6}", Tone.DIM)


def _evidence(evidence: Evidence) -> list[Span]:
    told = [Span(f"{word} ", Tone.KEY, evidence.ref) for word in clean(evidence.source).split()]
    return [*told, *(Span(f"{word} ") for word in clean(evidence.text).split())]


def _fix(fix: Fix, wide: int, on_screen: bool) -> list[Line]:
    """The command in one line where it is printed: it is there to be copied."""
    lasting = f"; lasts over {', '.join(lasts.value for lasts in fix.survives)}" if fix.survives else ""
    words = [Span(f"{word} ", Tone.KEY) for word in command(fix).split()]
    shown = (
        layout.paragraph(_label("fix"), words, wide) if on_screen else [(_label("fix"), Span(command(fix), Tone.KEY))]
    )
    return [*shown, *layout.text(_label(""), clean(fix.changes + lasting), wide)]


def command(fix: Fix) -> SafeText:
    """To paste into a shell; one that cannot be written there safely says so."""
    words = [clean(word) for word in fix.command]
    unsafe = next((word for word, raw in zip(words, fix.command, strict=True) if word != raw), None)
    if unsafe is not None:
        return clean(f"# no safe command: {unsafe!r} cannot be written in one")
    import shlex

    return clean(shlex.join(words))


def _proof(finding: Finding, wide: int) -> list[Line]:
    if not finding.fix or (finding.severity is Severity.INFO and finding.proved is None):
        return []
    text, tone = PROVED[finding.proved or None]
    found = layout.text(_label(""), text, wide, tone)
    for opened in finding.also_opens:
        found += layout.text(_label(""), f"also opens {clean(opened)}", wide, Tone.WARN)
    return found


def hits(host: Host, found: Sequence[Hit], most: int = _SHOWN) -> str:
    """web 8080/tcp in, web out, and 3 more."""
    told = list(dict.fromkeys(_hit(host, hit) for hit in found))
    more = f" and {len(told) - most} more" if len(told) > most else ""
    return ", ".join(told[:most]) + more


def change(host: Host, finding: Finding, appeared: bool, now: float, wide: int) -> list[Line]:
    """A finding that appeared, whole; one line of one that is gone."""
    when = Span(f"{formatting.time_of_day(now)} ", Tone.DIM)
    if appeared:
        first, *rest = of_finding(host, finding, wide)
        return [(when, *first), *rest]
    lasted = f", after {now - finding.since:.0f} s" if finding.since is not None else ""
    return [(when, Span("✓ gone ", Tone.GOOD), Span(f"{finding.code}: {clean(finding.sentence)}{lasted}"))]


def _hit(host: Host, hit: Hit) -> str:
    who = marks.name(host, hit)
    where = f" on {hit.network}" if hit.direction.value == "peers" and hit.network else ""
    return " ".join(filter(None, (who, hit.port, hit.direction.value))) + where


def _not_checked(reasons: Mapping[str, str], wide: int) -> list[Line]:
    found: list[Line] = []
    for source, reason in reasons.items():
        text = f"not checked: {clean(unavailable.name(source))}: {clean(reason)}"
        found += layout.text(Span("? ", Tone.UNKNOWN), text, wide)
    return found


# --- JSON -------------------------------------------------------------------------------------------------------------


def json(host: Host, report: Health) -> Json:
    return {
        "schema": SCHEMA,
        "findings": [_json(host, finding) for finding in report.findings],
        "not_checked": dict(report.not_checked),
    }


def json_change(host: Host, finding: Finding, appeared: bool) -> Json:
    return {"schema": SCHEMA, "event": "appeared" if appeared else "gone", "finding": _json(host, finding)}


def _json(host: Host, finding: Finding) -> Json:
    return {
        "code": finding.code,
        "severity": finding.severity.name.lower(),
        "sentence": finding.sentence,
        "since": finding.since,
        "hits": [_json_hit(host, hit) for hit in finding.hits],
        "evidence": [_json_evidence(evidence) for evidence in finding.evidence],
        "fix": _json_fixes(finding.fix),
        "proved": finding.proved,
        "also_opens": list(finding.also_opens),
        "confidence": finding.confidence,
        "not_checked": list(finding.not_checked),
    }


def _json_hit(host: Host, hit: Hit) -> Json:
    who = None if hit.container is None else marks.name(host, hit)
    return {
        "container": who,
        "port": hit.port or None,
        "network": hit.network or None,
        "direction": hit.direction.value,
    }


def _json_evidence(evidence: Evidence) -> Json:
    ref = None if evidence.ref is None else {"kind": evidence.ref.kind, "key": evidence.ref.key}
    return {"source": evidence.source, "text": evidence.text, "ref": ref}


def _json_fixes(fixes: Iterable[Fix]) -> list[Json]:
    import shlex

    return [
        {
            "command": shlex.join(fix.command),
            "changes": fix.changes,
            "survives": [lasts.name.lower() for lasts in fix.survives],
        }
        for fix in fixes
    ]
