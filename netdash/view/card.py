"""The card of one container: the same lines in the same order on each. Its fixed questions with their answers, the path
of one of them, and what mends it."""

from __future__ import annotations

from collections.abc import Sequence

from netdash.doctor import standing
from netdash.join.rates import container_rate
from netdash.model.engine_state import Drift
from netdash.model.finding import Finding
from netdash.model.host import Container, Host, Port, Ref
from netdash.model.index import index_of
from netdash.model.kept import old_of
from netdash.model.relations import address_ref, ref_of
from netdash.model.source import Source
from netdash.trace.summary import traceable
from netdash.view import formatting, layout, marks, questions, rates, unavailable
from netdash.view.answer import stations
from netdash.view.columns_engine import TONES, drift_place
from netdash.view.findings import command
from netdash.view.layout import MORE
from netdash.view.questions import MOST_TRACED, Asked, asked
from netdash.view.text import Line, Span, Tone, clean, fit, shell_command, width

MARKER = "▌"
_LABEL = 6  # cells of the words at the left
_VERDICT = 10  # cells at least
_SHARE = 0.34  # of the width that a question may take
_SOURCES = (Source.DOCKER, Source.RULES, Source.ROUTES, Source.PROXIES, Source.LISTENERS, Source.LINKS, Source.SYSCTLS)


def card(
    host: Host, container: Container, width: int, chosen: Ref | None = None, on_screen: bool = False
) -> tuple[Line, ...]:
    """Lines of at most `width` cells; 40 and more are readable. `chosen`: the question whose path is drawn, the first
    that is broken where it is none of the card's. `on_screen`: of many published ports only some are traced at once,
    and the keys are named."""
    mine = marks.findings_of_standing(host, marks.standing_of(host, container))
    lines = [
        _head(host, container, mine, width),
        *_kept(host, container, width),
        *_why(host, container.id, mine, width, on_screen),
    ]
    lines += of_questions(host, asked(host, container, MOST_TRACED if on_screen else None), width, chosen, on_screen)
    if container.left_behind and not any(finding.fix for finding in mine):
        lines += layout.text(_label("FIX"), shell_command("docker restart {}", container.name), width, Tone.GOOD)
    lines += drift_lines(of_container(host, container), RULES, MORE, width)
    if unavailable.namespace(host):
        lines += layout.text(MORE, unavailable.namespace(host), width, Tone.DIM)
    for failure in unavailable.failures(host, _SOURCES):
        lines += layout.text(Span(" ?     ", Tone.UNKNOWN), unavailable.sentence(failure), width, Tone.UNKNOWN)
    return tuple(lines)


def of_port(host: Host, port: Port, width: int, chosen: Ref | None, on_screen: bool) -> list[Line]:
    """The same of one published port."""
    if not port.live or port.container_id is None:
        return []
    mine = marks.findings_of(host, port.container_id, f"{port.host_port}/{port.proto}")
    lines = [
        *_why(host, port.container_id, mine, width, on_screen),
        *of_questions(host, questions.of_port(host, port), width, chosen, on_screen),
    ]
    return lines + drift_lines(index_of(host).drift_of_port(port), RULES, MORE, width)


# --- the head ---------------------------------------------------------------------------------------------------------


def _head(host: Host, container: Container, mine: Sequence[Finding], width: int) -> Line:
    since = formatting.how_long(host, container)
    age = f" {since}" if container.running and since else f", {since} ago" if since else ""
    line = [
        Span(" "),
        Span(clean(container.name), Tone.KEY, ref_of(container)),
        Span("  "),
        formatting.state(container),
        Span(age, Tone.DIM),
    ]
    right = _since(host, mine)
    carried = rates.words(container_rate(host, container))
    for part in ([list(carried)] if carried else []) + _parts(host, container):
        if layout.size((*line, *part, *right)) + 4 <= width:
            line += [Span("  "), *part]
    return layout.spread(tuple(line), right, width)


def _since(host: Host, mine: Sequence[Finding]) -> Line:
    """For how long it has been hit."""
    since = [finding.since for finding in mine if finding.since is not None]
    if not since or host.taken is None:
        return ()
    return (Span(f"hit for {formatting.age(max(0.0, host.taken - min(since)))} ", Tone.DIM),)


def _parts(host: Host, container: Container) -> list[list[Span]]:
    """What else there is to say of it, the likeliest to be looked for first."""
    found: list[list[Span]] = []
    if container.shares_with:
        found.append([Span(f"in the network of {clean(container.shares_with)}", Tone.DIM)])
    for end in container.endpoints:
        bridge = index_of(host).bridge(end)
        where = f" on {clean(end.network)}" + (f" ({clean(bridge)})" if bridge and bridge != end.network else "")
        own = [Span(f"{address.ip} ", Tone.PLAIN, address_ref(address.ip)) for address in end.addresses]
        found += [[*own, Span(where.lstrip(), Tone.DIM)]] if own else []
    if container.pid:
        found.append([Span(f"pid {container.pid}", Tone.DIM)])
    texts = [container.image, container.short_id]
    if container.compose:
        texts.insert(0, f"{container.compose}/{container.service}" if container.service else container.compose)
    return [*found, *([Span(clean(text), Tone.DIM)] for text in texts)]


def _kept(host: Host, container: Container, width: int) -> list[Line]:
    kept = formatting.kept(host, container)
    if not kept:
        return []
    told = f"the old {old_of(container)}, {kept}: then netdash removes it; u, or netdash undo, brings it back"
    return layout.text(MORE, clean(told), width, Tone.WARN)


# --- what hits it, and what mends it ----------------------------------------------------------------------------------

_MOST = 3  # findings of one container before it says how many more there are


def _why(host: Host, container_id: str, mine: Sequence[Finding], width: int, on_screen: bool) -> list[Line]:
    """Each with the column of the list that it marks, where it marks one; below the worst the command that mends it,
    so that it is in sight on a small screen."""
    lines: list[Line] = []
    for finding in mine[:_MOST]:
        mark = finding.mark
        columns = standing.columns(host, finding, container_id)
        word = columns[0].name if len(columns) == 1 else ""
        label = Span(f" {f'{marks.GLYPHS[mark]} {word}':<{_LABEL}}", marks.TONES[mark], ref_of(finding))
        lines += layout.text(label, clean(finding.sentence, 300), width, marks.TONES[mark])
        lines += _fix(finding, width, on_screen) if finding is mine[0] and finding.fix else ()
    if len(mine) > _MOST:
        lines += layout.text(MORE, f"and {len(mine) - _MOST} more in Health", width, Tone.DIM)
    return lines


def _fix(finding: Finding, width: int, on_screen: bool) -> list[Line]:
    proof = "proved" if finding.proved else ""
    words = [*(Span(f"{word} ", Tone.GOOD) for word in command(finding.fix[0]).split()), Span(f" {proof}", Tone.DIM)]
    if on_screen:
        words.append(Span("  y copies it", Tone.DIM))
    return layout.paragraph(_label("FIX"), words, width)


# --- the questions ----------------------------------------------------------------------------------------------------


def of_questions(host: Host, found: Sequence[Asked], width: int, chosen: Ref | None, marked: bool) -> list[Line]:
    """A line each, and the path of the one that is chosen. `marked`: it has the cursor's mark."""
    here = at(found, chosen)
    room = _columns(found, width)
    lines: list[Line] = []
    label = ""
    for place, other in enumerate(found):
        word, label = ("" if other.label == label else other.label), other.label
        lines += _line(host, other, word, marked and place == here, room, width)
    if here is not None:
        lines += _path(host, found[here], width)
    return lines


def at(found: Sequence[Asked], chosen: Ref | None) -> int | None:
    """Which one's path is drawn; None where nothing was asked."""
    known = [place for place, other in enumerate(found) if other.usual is not None]
    broken = [place for place in known if found[place].verdict.tone is Tone.BAD]
    return next((place for place in known if found[place].ref == chosen), next(iter((*broken, *known)), None))


def _columns(found: Sequence[Asked], room: int) -> tuple[int, int]:
    """Cells for the questions and for the verdicts."""
    texts = [clean(_text(other, room)) for other in found]
    longest = max((width(text) for text in texts), default=0)
    verdicts = max((width(other.verdict.text) for other in found), default=0)
    return min(longest, max(14, round(room * _SHARE))), max(_VERDICT, verdicts)


def _text(question: Asked, room: int) -> str:
    return question.text if room >= layout.WIDE else question.brief or question.text


def _line(host: Host, one: Asked, word: str, here: bool, columns: tuple[int, int], room: int) -> list[Line]:
    label = Span(f"{MARKER if here else ' '}{word:<{_LABEL}}", Tone.TITLE)
    question = Span(fit(clean(_text(one, room)), columns[0], middle=True), Tone.KEY if here else Tone.PLAIN, one.ref)
    verdict = one.verdict.with_text(fit(one.verdict.text, columns[1]))
    lead = (label, question, Span("  "), verdict, Span("  "))
    why = (*rates.use(host, one.ways), *(one.reason if room >= layout.WIDE else one.short or one.reason))
    indent = layout.size(lead) if room >= layout.WIDE else _LABEL + 3
    return layout.hanging(lead, layout.in_words(why), room, indent)


def _path(host: Host, question: Asked, room: int) -> list[Line]:
    if question.found is None or question.usual is None:
        waits = unavailable.waiting(host) if not traceable(host) else "…"
        return layout.text(_label("PATH"), waits, room, Tone.DIM)
    return layout.path(
        _label("PATH"),
        stations(host, question.found, question.stop, question.verdict.tone is Tone.BAD, question.usual.port),
        room,
    )


def _label(word: str) -> Span:
    return Span(f" {word:<{_LABEL}}", Tone.TITLE)


# --- drift ------------------------------------------------------------------------------------------------------------

RULES = Span(f" {'RULES':<6}", Tone.TITLE)
MOST_DRIFT = 4  # lines before it says how many more there are


def of_container(host: Host, container: Container) -> list[Drift]:
    """Its own, and those of its networks."""
    index = index_of(host)
    networks = [network for end in container.endpoints if (network := index.network(end))]
    shared = [drift for network in networks for drift in index.drift_of_network(network.id)]
    return [*index.drift_of_container(container.id), *shared]


def drift_lines(found: Sequence[Drift], label: Span, more: Span, width: int) -> list[Line]:
    """One line each, at most `width` cells wide; the first with `label`, the others with `more`."""
    lines: list[Line] = []
    for drift in found[:MOST_DRIFT]:
        where = Span(
            f"! {drift.kind.value} {clean(drift_place(drift))}: ", TONES.get(drift.kind, Tone.WARN), ref_of(drift)
        )
        lines += layout.paragraph(more if lines else label, [where, Span(clean(drift.why, 200))], width)
    if len(found) > MOST_DRIFT:
        lines += layout.text(more, f"… and {len(found) - MOST_DRIFT} more in the view of drift", width, Tone.DIM)
    return lines
