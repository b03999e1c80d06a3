"""The lines at the top and at the foot, and what a pane says when it has no rows. Pure: host and state to lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from netdash.model.finding import health_of
from netdash.model.host import Failure, FailureKind, Host, Ref
from netdash.model.source import Source
from netdash.tui.actions import first_key
from netdash.tui.host_view import Ask, Listing
from netdash.view import marks, unavailable
from netdash.view.formatting import age, time_of_day
from netdash.view.layout import size
from netdash.view.table import Filter, View, columns_of
from netdash.view.text import Line, Span, Tone, clean, fit, width
from netdash.view.views import PANES, VIEWS

WIDE = 100  # columns from which words are not shortened
NARROW = 60  # columns under which there is room for the pane's own trouble only
KEPT = 3  # hints at the end: how to see the others and to quit stay where there is little room
DOT = Span(" · ", Tone.DIM)


def backends(host: Host) -> tuple[str, ...]:
    """What carries the engine's rules, as found in the rules themselves: iptables-nft, iptables-legacy, nft."""
    if host.ruleset is None:
        return ()
    ours = {chain.backend for chain in host.ruleset.chains if chain.name.upper().startswith(("DOCKER", "NETAVARK"))}
    ours |= {chain.backend for chain in host.ruleset.chains if chain.table.startswith(("docker-bridges", "netavark"))}
    found = ours or {chain.backend for chain in host.ruleset.chains if chain.rules}
    return tuple("nftables" if name == "nft" else name for name in sorted(found))


def header(
    host: Host | None,
    paused: bool,
    gone: float | None,
    wide: int,
    place: str = "",
    read_only: bool = False,
    unfinished: str = "",
    old: float | None = None,
) -> tuple[Line, Line]:
    """Left and right part of the first line. `gone` is for how many seconds the engine, or the host, has not answered;
    `place` which of several hosts it is: "2/3"; `unfinished` what is left of a change that was interrupted; `old` the
    age of what is shown of one of several hosts."""
    if host is None:
        return (Span(" netdash ", Tone.TITLE), Span(" reading…", Tone.DIM)), ()
    left = [Span(" netdash ", Tone.TITLE), Span(" " + fit_name(host.name or "?"), Tone.KEY)]
    left += [Span(f" {place}", Tone.HOP)] if place else []
    left.append(Span("  "))
    for index, part in enumerate(_engine(host, wide)):
        left += [DOT, part] if index else [part]
    state, counts = _state(host, paused, gone, wide, old), _counts(host, wide)
    taken = sum(width(span.text) for span in (*left, *counts, state)) + 2
    sign: Line = (Span("read-only  ", Tone.WARN),) if read_only and host.live else ()
    sign += (Span(f"{unfinished}  ", Tone.BAD),) if unfinished else ()
    taken += sum(width(span.text) for span in sign)
    return tuple(left), (*(counts if taken <= wide else ()), *sign, state, Span(" "))


def fit_name(name: str, most: int = 24) -> str:
    name = clean(name)
    return fit(name, most) if width(name) > most else name


def _engine(host: Host, wide: int) -> list[Span]:
    parts: list[Span] = []
    engine = host.engine
    if engine is not None:
        rootless = " rootless" if engine.rootless else ""
        parts.append(Span(f"{clean(engine.name)} {clean(engine.version, 20)}{rootless}"))
        if Source.DOCKER in host.failures and "host" not in host.failures:
            return [*parts, Span(clean(host.failures[Source.DOCKER].reason, 60), Tone.BAD)] if wide >= WIDE else parts
    elif Source.DOCKER in host.pending:
        parts.append(Span("engine: reading…", Tone.DIM))
    elif "host" in host.failures:
        return [Span(clean(host.failures["host"].reason, 60), Tone.BAD)]
    else:
        parts.append(no_engine(host))
    carried = backends(host)
    if carried:
        parts.append(Span("+".join(carried)))
    elif host.ruleset is None:
        parts.append(Span("rules …" if Source.RULES in host.pending else "rules ?", Tone.UNKNOWN))
    if unavailable.namespace(host) and host.process:
        parts.append(Span(f"netns of pid {host.process.pid}", Tone.WARN))
    if host.privileged is not None:
        parts.append(Span("root") if host.privileged else Span("not root", Tone.WARN))
    return parts if wide >= 60 else parts[:1]


def no_engine(host: Host) -> Span:
    """What stands for the engine where it did not answer: only where there is none it is said that there is none."""
    failure = host.failures.get(Source.DOCKER)
    absent = failure is not None and failure.kind is FailureKind.NO_ENGINE
    return Span("no engine", Tone.WARN) if absent else Span("engine ?", Tone.UNKNOWN)


def _counts(host: Host, wide: int) -> Line:
    spans: list[Span] = []
    for things, long, short in ((host.containers, "container", "ctr"), (host.networks, "network", "net")):
        if things is None:
            continue
        word = f"{long}{'' if len(things) == 1 else 's'}" if wide >= WIDE else short
        spans.append(Span(f"{len(things)} {word}  ", Tone.DIM))
    return tuple(spans)


def _state(host: Host, paused: bool, gone: float | None, wide: int, old: float | None) -> Span:
    if not host.live:
        pattern = " %Y-%m-%d %H:%M" if wide >= WIDE else " %H:%M"
        when = time_of_day(host.taken, pattern) if host.taken else ""
        return Span(f"◦ recorded{when}", Tone.WARN)
    if gone is not None:
        return Span(f"✗ {'host' if 'host' in host.failures else 'engine'} gone {age(gone)}", Tone.BAD)
    if "host" in host.failures:
        return Span("✗ no answer", Tone.BAD)
    if paused:
        return Span("‖ paused", Tone.WARN)
    if Source.DOCKER in host.pending and host.heard is None:
        return Span("◦ reading", Tone.UNKNOWN)
    if Source.DOCKER in host.failures:
        return Span("◦ without engine", Tone.WARN)
    silent = unavailable.silent(host)
    if silent is not None:
        return Span(f"? silent {age(silent)}", Tone.UNKNOWN)
    unread = unavailable.parts_unread(host)
    if unread:
        return Span(f"● live ?{','.join(unread)}" if wide >= WIDE else "● live ?", Tone.WARN)
    if old is not None:
        return Span(f"● live {age(old)}", Tone.GOOD if old <= unavailable.SILENT else Tone.WARN)
    return Span("● live", Tone.GOOD)


def tabs(host: Host | None, current: View, wide: int, room: int) -> Line:
    """The views with their digits; the current one stands out by brackets too, for those who see no colour. Where
    `room` is too small for their names, the others are their digits alone."""
    for name, apart in (
        (lambda view: f" {view.title}", " "),
        (lambda view: f" {view.short}", ""),
        (_but(current, "finding"), ""),  # its count says it
        (_but(current, "finding", "drop"), ""),
    ):
        found = _tabs(host, current, name, apart)
        if size(found) <= room and (wide >= WIDE or not apart):
            return found
    return _tabs(host, current, lambda view: f" {view.short}" if view is current else "", " ")


def _but(current: View, *kinds: str) -> Callable[[View], str]:
    """The short names, without those of some views that are not shown."""
    return lambda view: "" if view.kind in kinds and view is not current else f" {view.short}"


def _tabs(host: Host | None, current: View, name: Callable[[View], str], apart: str) -> Line:
    health = health_of(host) if host is not None else None
    spans: list[Span] = []
    for view in PANES:
        here = view.name == current.name
        label = f"{view.digit}{name(view)}"
        tone = Tone.TITLE if here else Tone.DIM
        ref = Ref("view", view.name)
        spans.append(Span(f"[{label}" if here else f"{apart}{label}", tone, ref))
        if view.findings and view.kind == "finding" and health is not None:
            spans += [Span(f" {span.text.strip()}", span.tone, ref) for span in marks.counts(health)[:1]]
        spans.append(Span(f"]{'' if apart else ' '}" if here else " ", tone, ref))
    return tuple(spans)


def filter_note(ask: Ask, within: str, listing: Listing | None, busy: bool) -> Line:
    """What narrows the pane and how many rows that hides, at the right of the tabs."""
    spans: list[Span] = []
    if within:
        spans.append(Span(f"of {fit_name(within)} ", Tone.TITLE))
    if ask.text:
        spans.append(Span(f"/{fit_name(ask.text, 30)} ", Tone.TITLE))
    if spans:
        shown, total = (listing.matching, len(listing.rows)) if listing is not None else (0, 0)
        spans.append(Span("… " if busy else f"{shown} of {total} ", Tone.DIM))
    if listing is not None and listing.folded:
        spans.append(Span(f"{listing.folded} folded ", Tone.WARN))
    return tuple(spans)


def hints(words: Iterable[tuple[str, str]], remapped: Mapping[str, str], room: int) -> Line:
    """Keys of actions and what they do here, as far as there is `room`; the help names the rest."""
    pairs = [
        (Span(f" {first_key(identity, remapped)}", Tone.TITLE), Span(f" {word} ", Tone.DIM)) for identity, word in words
    ]
    while len(pairs) > KEPT and sum(map(size, pairs)) > room:
        del pairs[-KEPT]
    return tuple(span for pair in pairs for span in pair)


def gone(failure: Failure, seconds: float, wide: int) -> Line:
    """The engine stopped answering: why, and how old what is shown is."""
    old = Span(f"  this is {age(seconds)} old ", Tone.WARN)
    return (Span(fit(clean(f" ✗ {unavailable.sentence(failure)}", 300), max(0, wide - size([old]))), Tone.BAD), old)


def notice(view: View, host: Host | None, text: str, within: str, wide: int, run: str = "") -> Sequence[Line]:
    """What a pane without rows says: what is missing, why, and how to get it. `run`: the key that runs a container."""
    if host is None:
        return ((), (Span(" reading…", Tone.DIM),))
    waiting = _waiting(view, host)
    missing = [host.failures[source] for source in view.sources if source in host.failures]
    if not missing and not waiting and not view.known(host):
        missing = unavailable.missing(host, view.sources)
    if missing:
        lines = [line for failure in missing for line in _failed(view, failure, wide)]
        return (*lines, *_elsewhere(view, host, wide)) if wide >= NARROW else lines
    if waiting:
        return ((), (Span(f" reading {', '.join(waiting)}…", Tone.DIM),))
    if text:
        hint = " · Esc clears the filter"
        lines = [(), (Span(" nothing matches "), Span(fit_name(text, 40), Tone.KEY), Span(hint, Tone.DIM))]
        for key in Filter.parse(text, view.columns).stray:
            lines += _wrapped(f"? {view.name} has no column {fit_name(key)}; {columns_of(view)}", wide, Tone.UNKNOWN)
        return tuple(lines)
    if within:
        return ((), (Span(f" no {view.name} belong to {fit_name(within)}"), Span(" · a shows all", Tone.DIM)))
    empty: list[Line] = [(), (Span(" " + view.nothing(host), Tone.PLAIN),)]
    for failure in unavailable.missing(host, view.sources):
        empty += _wrapped(f"? {unavailable.sentence(failure)}", wide, Tone.UNKNOWN)
    if view.kind == "container" and host.live:
        how = (Span(" docker run -d -p 8080:80 httpd", Tone.KEY), Span("   and it is here by itself", Tone.DIM))
        empty += [(), *([(Span(f" {run} ", Tone.TITLE), Span("runs one", Tone.KEY))] if run else []), how]
    return tuple(empty)


def _elsewhere(view: View, host: Host, wide: int) -> Sequence[Line]:
    """The views that have something although this one has nothing."""
    others = [other for other in VIEWS if other is not view and other.known(host) and len(other.rows(host))]
    if not others:
        return ()
    spans = [Span("   what could be read: ", Tone.DIM)]
    for other in others:
        spans += [Span(other.digit, Tone.TITLE), Span(f" {other.title if wide >= WIDE else other.short}  ", Tone.DIM)]
    return (), tuple(spans)


def _waiting(view: View, host: Host) -> list[str]:
    """The sources that are being read. Connections and lost packets are, when somebody looks at them."""
    unread = {Source.FLOWS: host.flows is None, Source.DROPS: host.counters is None}
    begun = {source for source, none in unread.items() if none and host.live and source not in host.failures}
    return [source for source in view.sources if source in host.pending or source in begun]


def _failed(view: View, failure: Failure, wide: int) -> Sequence[Line]:
    source = failure.source
    what = "nothing was compared" if source == view.name and view.findings else f"{source} could not be read"
    title = (Span(" ? ", Tone.UNKNOWN), Span(f"{view.title}: {what}", Tone.KEY))
    lines: list[Line] = [(), title, *_wrapped(clean(failure.reason, 400), wide, Tone.PLAIN)]
    if failure.remedy:
        lines += _wrapped("→ " + clean(failure.remedy, 400), wide, Tone.GOOD)
    return lines


def _wrapped(text: str, wide: int, tone: Tone) -> list[Line]:
    lines, line = [], ""
    for word in text.split():
        if line and width(line) + 1 + width(word) > wide - 6:
            lines.append((Span("   " + line, tone),))
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, (Span("   " + line, tone),)]
