"""The reach matrix as lines: each port, and who reaches it, who does not and why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from netdash.model.addresses import socket_text
from netdash.model.host import Host, Ref
from netdash.model.index import index_of
from netdash.model.relations import ref_of
from netdash.trace.reach_matrix import Aim, Cell, Matrix, Reach, Sender
from netdash.view import marks
from netdash.view.text import Line, Span, Tone, clean, fit, listed, width
from netdash.view.what_if import named

_VERDICT = 16  # cells: ✗ no listener

_Group = tuple[bool | None, str, int]


def lines(host: Host, matrix: Matrix, room: int) -> Iterator[Line]:
    """Lines of at most `room` cells; owners and deciding rules are links."""
    names = [clean(named(sender), 60) for sender in matrix.senders]
    column = {aim: at for at, aims in enumerate(matrix.aim_classes) for aim in aims}
    alone = matrix.by_aim()
    for at, aim in enumerate(matrix.aims):
        yield _head(host, aim)
        cells: list[tuple[tuple[int, ...], Cell]] = [((sender,), cell) for sender, cell in alone[at].items()]
        for members, row in zip(matrix.sender_classes, matrix.cells, strict=True):
            others = tuple(member for member in members if member not in alone[at]) if alone[at] else members
            cell = row[column[at]]
            cells += [(others, cell)] if others and cell is not None else []
        for (_, why, _), (first, found) in _groups(matrix, at, cells):
            reason = first.why if len(found) == 1 else why
            yield _line(first, reason, [names[sender] for sender in found], room)


def _groups(
    matrix: Matrix, aim: int, cells: Sequence[tuple[tuple[int, ...], Cell]]
) -> list[tuple[_Group, tuple[Reach, list[int]]]]:
    """The senders of whom the same is said, and what is said of the first of them: those who reach it before the
    others, many before few."""
    groups: dict[_Group, tuple[Reach, list[int]]] = {}
    for members, cell in cells:
        for same in _said_alike(matrix, aim, members, cell):
            said = matrix.said(cell, same[0], aim)
            groups.setdefault(_group(matrix.senders[same[0]], said), (said, []))[1].extend(same)
    for _, found in groups.values():
        found.sort()
    return sorted(groups.items(), key=lambda item: (_ORDER[item[0][0]], -len(item[1][1]), item[1][1][0]))


def _said_alike(matrix: Matrix, aim: int, members: tuple[int, ...], cell: Cell) -> Sequence[tuple[int, ...]]:
    """All members of a class as one, unless what is said names each of them."""
    said = {_group(matrix.senders[member], matrix.said(cell, member, aim)) for member in members[:2]}
    return (members,) if len(said) == 1 else [(member,) for member in members]


def _group(sender: Sender, cell: Reach) -> _Group:
    """Equal for senders of whom the same is said but for their own names. A rule by its id: its hash is slow."""
    if sender.container is None or sender.name not in cell.why:
        return cell.reaches, cell.why, id(cell.rule)
    own = rf"(?<![\w.-])(inside|keeps) {re.escape(sender.name)}(?![\w.-])"
    return cell.reaches, re.sub(own, r"\1 the sender", cell.why), id(cell.rule)


def _line(reach: Reach, why: str, names: Sequence[str], room: int) -> Line:
    verdict = marks.of_reach(reach)
    reason, rule = clean(why), reach.rule
    shown = listed(names, max(room - _VERDICT - 3 - width(reason), room // 3))
    left = max(0, room - _VERDICT - 2 - width(shown))
    reasons = (
        Span("  "),
        Span(fit(reason, left).rstrip(), Tone.KEY if rule else Tone.DIM, ref_of(rule) if rule else None),
    )
    return verdict.with_text(fit(f" {verdict.text}", _VERDICT)), Span(shown), *(reasons if reason else ())


_ORDER = {True: 0, False: 1, None: 2}


def _head(host: Host, aim: Aim) -> Line:
    owner = index_of(host).name(aim.container) if aim.container else "this host"
    return (
        Span(clean(owner or "?", 60), Tone.KEY, Ref("container", aim.container) if aim.container else None),
        Span(f"  {socket_text(aim.ip, aim.port)}/{clean(aim.proto, 10)}"),
        Span(f"  {_KINDS[aim.kind]}", Tone.DIM),
    )


_KINDS = {"published": "published", "container": "inside", "host": "of this host"}
