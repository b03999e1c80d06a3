"""The foot line: what the keys do here, as far as there is room. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from netdash.show.draw import size
from netdash.show.spans import Line, Span, Tone
from netdash.tui import keys

if TYPE_CHECKING:
    from netdash.tui.screen import Dashboard

KEPT = 3  # at the end: how to see the others and to quit stay where there is little room


def line(screen: Dashboard) -> Line:
    remapped = screen.netdash.options.keys
    pairs = [
        (Span(" " + keys.first(identity, remapped), Tone.TITLE), Span(f" {word} ", Tone.DIM))
        for identity, word in _words(screen)
    ]
    room = screen.extent.width - len(screen.where()) - 2
    while len(pairs) > KEPT and sum(map(size, pairs)) > room:
        del pairs[-KEPT]  # the help names it
    return tuple(span for pair in pairs for span in pair)


def _words(screen: Dashboard) -> Iterator[tuple[str, str]]:
    ask = screen.places.here.ask
    if screen.focused is not screen.grid or ask.text or ask.within:
        yield "escape", "back" if screen.focused is not screen.grid else "clear"
    yield "follow", "follow"
    yield "next_pane", "pane"
    yield "filter", "filter"
    if screen.works("linked"):
        yield "linked", "linked" if screen.everything or ask.within else "all"
    if screen.extent.width >= 90:
        yield "sort", "sort"
    paused = screen.netdash.paused
    if paused:
        yield "pause", "go on"
    if screen.works("hosts"):
        yield "hosts", "hosts"
    yield "trace", f"trace {' → '.join(map(screen.name_of, screen.picked))}" if len(screen.picked) == 2 else "trace"
    if screen.works("publish"):
        yield "publish", "publish"
    if screen.works("pause") and not paused:
        yield "pause", "pause"
    yield "copy", "copy"
    yield "command", "command"
    yield "help", "help"
    yield "quit", "quit"
