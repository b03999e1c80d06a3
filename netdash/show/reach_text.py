"""The reach matrix as lines: each port, and who reaches it, who does not and why."""

from __future__ import annotations

from collections.abc import Iterator

from netdash.core.model import Host
from netdash.core.trace.reach import Aim, Matrix
from netdash.show import words
from netdash.show.index import index_of
from netdash.show.spans import Line, Span, Tone, clean, fit, width

_WORDS = {True: (" yes ", Tone.GOOD), False: (" no  ", Tone.BAD), None: ("  ?  ", Tone.UNKNOWN)}


def lines(host: Host, matrix: Matrix, room: int) -> Iterator[Line]:
    """Lines of at most `room` cells."""
    for at, aim in enumerate(matrix.aims):
        yield _head(host, aim)
        groups: dict[tuple[bool | None, str], list[str]] = {}
        for sender, row in zip(matrix.senders, matrix.cells, strict=True):
            cell = row[at]
            why = cell.why.replace(f" inside {sender.name} ", " inside ")  # one reason for many senders
            groups.setdefault((cell.reaches, why), []).append(clean(sender.name, 60))
        for (reaches, why), names in sorted(groups.items(), key=lambda item: (_ORDER[item[0][0]], -len(item[1]))):
            word, tone = _WORDS[reaches]
            reason = f"  {clean(why)}" if why else ""
            free = room - 6 - width(reason)
            listed = _listed(names, max(free, room // 3))
            yield (
                Span(word, tone),
                Span(listed),
                Span(fit(reason, max(0, room - 5 - width(listed))).rstrip(), Tone.DIM),
            )


_ORDER = {True: 0, False: 1, None: 2}


def _head(host: Host, aim: Aim) -> Line:
    owner = index_of(host).name(aim.container) if aim.container else "this host"
    return (
        Span(clean(owner or "?", 60), Tone.KEY),
        Span(f"  {words.socket_text(aim.ip, aim.port)}/{clean(aim.proto, 10)}"),
        Span(f"  {_KINDS[aim.kind]}", Tone.DIM),
    )


_KINDS = {"published": "published", "container": "inside", "host": "of this host"}


def _listed(names: list[str], room: int) -> str:
    """As many names as fit, and how many are left out."""
    shown = ""
    for at, name in enumerate(names):
        longer = f"{shown}, {name}" if shown else name
        left = len(names) - at - 1
        if width(longer) + (len(f" +{left}") if left else 0) > room and shown:
            return f"{shown} +{left + 1}"
        shown = longer
    return shown
