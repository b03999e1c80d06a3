"""What a card says of rules that are not as the engine should have written them."""

from __future__ import annotations

from collections.abc import Sequence

from netdash.model.drift import Drift
from netdash.model.host import Container, Host
from netdash.model.index import index_of
from netdash.model.relations import ref_of
from netdash.view import layout
from netdash.view.columns_drift import TONES, place
from netdash.view.text import Line, Span, Tone, clean

RULES = Span(f" {'RULES':<6}", Tone.TITLE)
MOST = 4  # lines before it says how many more there are


def of_container(host: Host, container: Container) -> list[Drift]:
    """Its own, and those of its networks."""
    index = index_of(host)
    networks = [network for end in container.endpoints if (network := index.network(end))]
    shared = [one for network in networks for one in index.drift_of_network(network.id)]
    return [*index.drift_of_container(container.id), *shared]


def drift_lines(found: Sequence[Drift], label: Span, more: Span, width: int) -> list[Line]:
    """One line each, at most `width` cells wide; the first with `label`, the others with `more`."""
    lines: list[Line] = []
    for drift in found[:MOST]:
        where = Span(f"! {drift.kind.value} {clean(place(drift))}: ", TONES.get(drift.kind, Tone.WARN), ref_of(drift))
        lines += layout.paragraph(more if lines else label, [where, Span(clean(drift.why, 200))], width)
    if len(found) > MOST:
        lines += layout.text(more, f"… and {len(found) - MOST} more in the view of drift", width, Tone.DIM)
    return lines
