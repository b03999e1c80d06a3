"""The reach matrix as lines: each port, and who reaches it, who does not and why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from netdash.core.model import Host, Ref, Rule
from netdash.core.related import ref_of
from netdash.core.trace.reach import Aim, Matrix, Reach, Sender
from netdash.show import words
from netdash.show.index import index_of
from netdash.show.spans import Line, Span, Tone, clean, fit, width

_WORDS = {True: (" yes ", Tone.GOOD), False: (" no  ", Tone.BAD), None: ("  ?  ", Tone.UNKNOWN)}


def lines(host: Host, matrix: Matrix, room: int) -> Iterator[Line]:
    """Lines of at most `room` cells; owners and deciding rules are links."""
    for at, aim in enumerate(matrix.aims):
        yield _head(host, aim)
        groups: dict[tuple[bool | None, str, int], list[tuple[Sender, Reach]]] = {}
        for sender, row in zip(matrix.senders, matrix.cells, strict=True):
            groups.setdefault(_group(sender, row[at]), []).append((sender, row[at]))
        for (reaches, why, _), found in sorted(groups.items(), key=lambda item: _rank(item[0][0], item[1])):
            alone = found[0][1].why if len(found) == 1 else why
            names = [clean(sender.name, 60) for sender, _ in found]
            yield _line(reaches, alone, found[0][1].rule, names, room)


def _group(sender: Sender, cell: Reach) -> tuple[bool | None, str, int]:
    """Equal for senders of whom the same is said but for their own names. A rule by its id: its hash is slow."""
    if sender.container is None or sender.name not in cell.why:
        return cell.reaches, cell.why, id(cell.rule)
    own = rf"(?<![\w.-])(inside|keeps) {re.escape(sender.name)}(?![\w.-])"
    return cell.reaches, re.sub(own, r"\1 the sender", cell.why), id(cell.rule)


def _rank(reaches: bool | None, found: list[tuple[Sender, Reach]]) -> tuple[int, int]:
    return _ORDER[reaches], -len(found)


def _line(reaches: bool | None, why: str, rule: Rule | None, names: Sequence[str], room: int) -> Line:
    word, tone = _WORDS[reaches]
    reason = clean(why)
    listed = _listed(names, max(room - 8 - width(reason), room // 3))
    left = max(0, room - 7 - width(listed))
    told = (
        Span("  "),
        Span(fit(reason, left).rstrip(), Tone.KEY if rule else Tone.DIM, ref_of(rule) if rule else None),
    )
    return Span(word, tone), Span(listed), *(told if reason else ())


_ORDER = {True: 0, False: 1, None: 2}


def _head(host: Host, aim: Aim) -> Line:
    owner = index_of(host).name(aim.container) if aim.container else "this host"
    return (
        Span(clean(owner or "?", 60), Tone.KEY, Ref("container", aim.container) if aim.container else None),
        Span(f"  {words.socket_text(aim.ip, aim.port)}/{clean(aim.proto, 10)}"),
        Span(f"  {_KINDS[aim.kind]}", Tone.DIM),
    )


_KINDS = {"published": "published", "container": "inside", "host": "of this host"}


def _listed(names: Sequence[str], room: int) -> str:
    """As many names as fit, and how many are left out."""
    shown = ""
    for at, name in enumerate(names):
        longer = f"{shown}, {name}" if shown else name
        left = len(names) - at - 1
        if width(longer) + (len(f" +{left}") if left else 0) > room and shown:
            return f"{shown} +{left + 1}"
        shown = longer
    return shown
