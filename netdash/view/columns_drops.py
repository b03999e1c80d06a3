"""The view of what loses packets: rules, policies and the kernel's counters, what moves now first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from netdash.join.drops import drops, finding_of, leads_to, networks_of
from netdash.kernel.lost_packets import LOST
from netdash.model.drop import Drop, DropKind
from netdash.model.host import Host, Rule
from netdash.model.relations import ref_of
from netdash.model.source import Source
from netdash.view import formatting
from netdash.view.formatting import NOTHING, UNKNOWN
from netdash.view.table import Column, Row, Rows, View
from netdash.view.text import Line, Span, Tone, clean


def _drops(host: Host) -> Rows:
    return Rows(drops(host), row_of(host))


def row_of(host: Host) -> Callable[[Drop], Row]:
    return lambda drop: _drop(host, drop)


def _drop(host: Host, drop: Drop) -> Row:
    finding = finding_of(host, drop)
    ref = leads_to(host, drop)
    networks = [clean(network.name, 60) for network in networks_of(host, drop)]
    cells = (
        rate(drop),
        UNKNOWN if drop.count is None else Span(formatting.short_number(drop.count)),
        Span(kind(drop), Tone.DIM if drop.kind is DropKind.UNREAD else Tone.PLAIN),
        Span(place(drop), Tone.KEY, ref),
        Span(what(drop), Tone.DIM if drop.count is None else Tone.PLAIN, ref),
        Span(", ".join(networks)) if networks else NOTHING,
        NOTHING if finding is None else Span(clean(finding.code), Tone.WARN, ref_of(finding)),
    )
    sort = (drop.rate, drop.count, cells[2].text, cells[3].text, cells[4].text, cells[5].text, cells[6].text)
    tags = ("moving",) if drop.moving else ()
    return Row(ref_of(drop), cells, sort, _lead(drop, finding is not None), tags)


def _lead(drop: Drop, found: bool) -> Span:
    if found:
        return Span("!", Tone.WARN)
    if drop.count is None:
        return Span("?", Tone.UNKNOWN)
    return Span("·" if drop.moving else " ", Tone.KEY)


def rate(drop: Drop) -> Span:
    """Unknown in a single reading, and where there is nothing to compare."""
    if drop.rate is None:
        return UNKNOWN
    return Span(formatting.rate(drop.rate) or "0", Tone.KEY if drop.moving else Tone.DIM)


def kind(drop: Drop) -> str:
    return drop.place.target.verb.name if isinstance(drop.place, Rule) else str(drop.kind)


def place(drop: Drop) -> str:
    """Where packets are lost: a rule, a chain, a device, else the counter by its name."""
    if isinstance(drop.place, Rule):
        return clean(drop.place.place)
    if drop.place is not None:
        prefix = "" if drop.place.family == "ip" else f"{drop.place.family} "
        return clean(f"{prefix}{drop.place.table}/{drop.place.name}")
    return clean(f"{drop.device} {drop.name}".strip(), 60)


def what(drop: Drop) -> str:
    """What was lost there, or why that is not known."""
    if drop.why:
        return clean(drop.why, 200)
    if isinstance(drop.place, Rule):
        return clean(drop.place.text, 300)
    return "no rule of the chain decided, and its policy drops" if drop.place is not None else LOST[drop.name][1]


def notes(host: Host) -> list[str]:
    """What the list does not tell by itself."""
    return [] if host.live else ["a recording has one reading: whether a counter moves is not known"]


def change(host: Host, drop: Drop) -> Line:
    """A line of `--watch`."""
    when = "" if host.taken is None else datetime.fromtimestamp(host.taken).strftime("%H:%M:%S")
    finding = finding_of(host, drop)
    names = ", ".join(clean(network.name, 60) for network in networks_of(host, drop))
    return (
        Span(f"{when} "),
        Span(f"{formatting.rate(drop.rate):>8}", Tone.KEY),
        Span(f"  {kind(drop)} {place(drop)}  {what(drop)}"),
        Span(f"  {drop.count} packets{f', networks {names}' if names else ''}", Tone.DIM),
        Span("" if finding is None else f"  {clean(finding.code)}", Tone.WARN),
    )


DROPS = View(
    name="drops",
    title="Drops",
    short="Drop",
    digit="D",
    kind="drop",
    columns=(
        Column("rate", "NOW", right=True, most=8),
        Column("packets", "PACKETS", right=True, most=7),
        Column("kind", "BY", leaves=3, most=9),
        Column("where", "WHERE", most=40, least=18, middle=True),
        Column("what", "WHAT", most=100, least=28),
        Column("networks", "NETWORKS", leaves=2, most=24, least=8),
        Column("finding", "FINDING", leaves=1, most=24, least=10),
    ),
    sources=(Source.RULES, Source.DROPS),
    rows=_drops,
    empty="no counter of a lost packet is above 0",
    known=lambda host: host.counters is not None or host.ruleset is not None,
    keeps=2,
)
