"""The foot line: what the keys do here, as far as there is room. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from netdash.tui import keys
from netdash.tui.header import fit_name
from netdash.view.layout import size
from netdash.view.text import Line, Span, Tone

if TYPE_CHECKING:
    from netdash.tui.screen import Dashboard

WIDE = 90  # columns from which sorting is told
MARKED = 18  # cells of the name of what is marked
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
    """Keys and their words here, those first that are most wanted; of those that change, only what works."""
    ask, paused = screen.places.here.ask, screen.netdash.paused
    marked = [fit_name(screen.name_of(ref), MARKED) for ref in screen.picked]
    if len(marked) == 2:
        yield "trace", f"trace {' → '.join(marked)}"
    if screen.focused is not screen.grid:
        yield "escape", "back"
    elif marked:
        yield "escape", f"unmark {marked[0]}" if len(marked) == 1 else "unmark"
    elif ask.text or ask.within:
        yield "escape", "clear"
    if len(marked) == 1:
        yield "mark", "mark another"
    told = {
        "follow": "follow",
        "next_pane": "pane",
        "filter": "filter",
        "linked": "linked" if screen.everything or ask.within else "all",
        "sort": "sort" if screen.extent.width >= WIDE else "",
        "pause": "go on" if paused else "",
        "hosts": "hosts",
        "trace": "" if len(marked) == 2 else "trace",
        "publish": "publish",
    }
    yield from ((key, word) for key, word in told.items() if word and screen.works(key))
    if screen.works("pause") and not paused:
        yield "pause", "pause"
    if screen.works("copy"):
        yield "copy", "copy"
    yield from (("command", "command"), ("help", "help"), ("quit", "quit"))
