"""Who would lose or win reach, as lines: those of whom the same is said stand together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netdash.change.difference import Difference, Moved
from netdash.model.addresses import socket_text
from netdash.trace.model import Origin, Sender
from netdash.view.text import Line, Span, Tone, clean, fit, listed, width

THIS_HOST = "this host"
_KINDS = (("lost", " loses ", Tone.BAD), ("gained", " wins  ", Tone.GOOD), ("unknown", "   ?   ", Tone.UNKNOWN))


def named(sender: Sender) -> str:
    return THIS_HOST if sender.origin is Origin.HOST else sender.name


def address_of(moved: Moved) -> str:
    """Whoever is outside has any address."""
    return str(moved.aim.ip) if moved.aim.kind != "outside" else "0.0.0.0/0" if moved.aim.ip.version == 4 else "::/0"


def lines(found: Difference, room: int) -> Iterator[Line]:
    """Lines of at most `room` cells: per group who, and which ports; behind it by what."""
    for sentence in found.assumed:
        yield (Span(fit(f"taken: {clean(sentence)}", room), Tone.DIM),)
    moved = {"lost": found.lost, "gained": found.gained, "unknown": found.unknown}
    if not any(moved.values()):
        blind = "containers were not read: who loses or wins is not known"
        text = "nobody loses or wins reach" if found.complete else blind
        yield (Span(fit(text, room)),)
    for kind, word, tone in _KINDS:
        for (senders, by), ports in _groups(moved[kind]).items():
            yield from _group(word, tone, senders, (by, ports), room)


def _group(word: str, tone: Tone, senders: Sequence[str], said: tuple[str, Sequence[str]], room: int) -> Iterator[Line]:
    by, ports = said
    left = room - width(word) - 2
    shown = listed([clean(name, 60) for name in senders], left // 2)
    yield Span(word, tone), Span(shown), Span("  "), Span(fit(clean(by), left - width(shown)).rstrip(), Tone.DIM)
    for port in ports:
        yield (Span(fit(f"         {clean(port, 120)}", room).rstrip()),)


def _groups(moved: Sequence[Moved]) -> dict[tuple[tuple[str, ...], str], list[str]]:
    """Ports by the senders and the reason that they have in common."""
    by_port: dict[tuple[str, str], list[str]] = {}
    for other in moved:
        port = f"{other.to or THIS_HOST}  {socket_text(address_of(other), other.aim.port)}/{other.aim.proto}"
        by_port.setdefault((port, other.by), []).append(named(other.sender))
    found: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for (port, by), senders in by_port.items():
        found.setdefault((tuple(senders), by), []).append(port)
    return found
