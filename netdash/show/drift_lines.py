"""What a card says of rules that are not as the engine should have written them."""

from __future__ import annotations

from collections.abc import Sequence

from netdash.core.drift.model import Drift
from netdash.core.index import index_of
from netdash.core.model import Container, Host
from netdash.core.related import ref_of
from netdash.show import draw
from netdash.show.spans import Line, Span, Tone, clean
from netdash.show.views_drift import TONES, place

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
    for one in found[:MOST]:
        where = Span(f"! {one.kind.value} {clean(place(one))}: ", TONES.get(one.kind, Tone.WARN), ref_of(one))
        lines += draw.paragraph(more if lines else label, [where, Span(clean(one.why, 200))], width)
    if len(found) > MOST:
        lines += draw.text(more, f"… and {len(found) - MOST} more in the view of drift", width, Tone.DIM)
    return lines
