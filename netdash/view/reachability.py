"""The reach matrix: a row a port; as lines, who reaches each, who does not and why."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from netdash.model.addresses import socket_text
from netdash.model.host import Host, Ref
from netdash.model.index import index_of
from netdash.model.relations import ref_of
from netdash.trace.model import Aim, Cell, Matrix, Origin, Reach, Sender
from netdash.trace.who import without_name
from netdash.view import marks
from netdash.view.formatting import NOTHING
from netdash.view.table import Column, Row, Rows, View
from netdash.view.text import Line, SafeText, Span, Tone, clean, fit, listed, width
from netdash.view.what_if import named

_VERDICT = 16  # cells: ✗ no listener

_Group = tuple[bool | None, str, int]
_Cells = list[tuple[tuple[int, ...], Cell]]
_COLUMNS = (
    Column("target", "TARGET", most=30, least=12, middle=True),
    Column("address", "ADDRESS", most=52, least=24, middle=True),
    Column("kind", "KIND", leaves=1, most=12),
    Column("outside", "OUTSIDE", most=16),
    Column("host", "THIS HOST", most=16),
    Column("containers", "OTHER CONTAINERS", most=20),
)


def summary(host: Host, matrix: Matrix) -> View:
    """A row a port: whether it is reached from outside and from this host, and by how many of the other containers."""
    return View(
        name="reach",
        title="Reach",
        short="Reach",
        digit="",
        kind="reach",
        columns=_COLUMNS,
        sources=(),
        rows=lambda _: Rows(tuple(_by_aim(matrix)), lambda found: _row(host, matrix, *found)),
        empty="nothing to reach",
        known=lambda _: True,
    )


def _row(host: Host, matrix: Matrix, at: int, cells: _Cells) -> Row:
    aim = matrix.aims[at]
    fares = {sender: cell.reach for members, cell in cells for sender in members}
    pairs = ((matrix.senders[sender], reach.reaches) for sender, reach in fares.items())
    others = [
        reaches
        for sender, reaches in pairs
        if sender.origin is Origin.CONTAINER and (aim.container is None or sender.container != aim.container)
    ]
    count = f"{others.count(True)} of {len(others)}" + (f", {others.count(None)} ?" if None in others else "")
    count = count if others else "none there" if host.containers is not None else "? not read"
    tone = (
        Tone.UNKNOWN
        if host.containers is None
        else Tone.DIM
        if not others
        else Tone.GOOD
        if all(others)
        else Tone.UNKNOWN
        if None in others
        else Tone.PLAIN
    )
    origins = {matrix.senders[sender].origin: reach for sender, reach in fares.items()}
    first = [marks.of_reach(origins[value]) if value in origins else NOTHING for value in (Origin.OUTSIDE, Origin.HOST)]
    owner, address, kind = (Span(span.text.strip(), span.tone, span.ref) for span in _head(host, aim))
    sort = (owner.text.casefold(), (aim.ip.version, int(aim.ip), aim.port), kind.text, None, None, others.count(True))
    return Row(Ref("reach", address.text), (owner, address, kind, *first, Span(count, tone)), sort)


def lines(host: Host, matrix: Matrix, room: int, whole: bool = False) -> Iterator[Line]:
    """Lines of at most `room` cells; owners and deciding rules are links. `whole`: every sender is named."""
    names = [clean(named(sender), 60) for sender in matrix.senders]
    for at, cells in _by_aim(matrix):
        yield _head(host, matrix.aims[at])
        for (_, why, _), (first, found) in _groups(matrix, at, cells):
            reason = first.why if len(found) == 1 else why
            yield from _lines(first, reason, [names[sender] for sender in found], room, whole)


def _by_aim(matrix: Matrix) -> Iterator[tuple[int, _Cells]]:
    """The place of each aim, and what holds for which senders there."""
    column = {aim: at for at, aims in enumerate(matrix.aim_classes) for aim in aims}
    for at, alone in enumerate(matrix.by_aim()):
        cells: _Cells = [((sender,), cell) for sender, cell in alone.items()]
        for members, row in zip(matrix.sender_classes, matrix.cells, strict=True):
            others = tuple(member for member in members if member not in alone) if alone else members
            cell = row[column[at]]
            cells += [(others, cell)] if others and cell is not None else []
        yield at, cells


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
    if sender.container is None:
        return cell.reaches, cell.why, id(cell.rule)
    return cell.reaches, without_name(cell.why, sender.name, "the sender"), id(cell.rule)


def _lines(reach: Reach, why: str, names: Sequence[str], room: int, whole: bool) -> Iterator[Line]:
    everybody, reason = ", ".join(names), _reason(reach, why)
    if not whole and reach.reaches and why and _VERDICT + width(everybody) + 2 + width(reason) > room:
        reason = clean(f"by {why}")  # the names need the room
    if not whole or _VERDICT + width(everybody) + 2 + width(reason) <= room:
        yield _line(reach, reason, listed(names, max(room - _VERDICT - 3 - width(reason), room // 3)), room)
        return
    first, *more = textwrap.wrap(reason, max(room - _VERDICT - 2, 20)) or [""]
    yield _line(reach, clean(first), "", room)
    names_below = textwrap.wrap(everybody, max(room - _VERDICT, 20), break_on_hyphens=False)
    for part, tone in (*((part, Tone.DIM) for part in more), *((part, Tone.PLAIN) for part in names_below)):
        yield (Span(" " * _VERDICT), Span(clean(part, room), tone))


def _reason(reach: Reach, why: str) -> SafeText:
    if reach.reaches:
        return clean(f"by {why}: the client's own address is not passed on" if why else "")
    return clean(f"by {why}" if reach.reaches is False and reach.rule and why == reach.rule.place else why)


def _line(reach: Reach, reason: SafeText, shown: str, room: int) -> Line:
    verdict, rule = marks.of_reach(reach), reach.rule
    left = max(0, room - _VERDICT - 2 - width(shown))
    reasons = (
        Span("  " if shown else ""),
        Span(fit(reason, left).rstrip(), Tone.KEY if rule else Tone.DIM, ref_of(rule) if rule else None),
    )
    return verdict.with_text(fit(f" {verdict.text}", _VERDICT)), Span(clean(shown, room)), *(reasons if reason else ())


_ORDER = {True: 0, False: 1, None: 2}


def _head(host: Host, aim: Aim) -> Line:
    owner = index_of(host).name(aim.container) if aim.container else "this host"
    return (
        Span(clean(owner or "?", 60), Tone.KEY, Ref("container", aim.container) if aim.container else None),
        Span(f"  {socket_text(aim.ip, aim.port)}/{clean(aim.proto, 10)}"),
        Span(f"  {_KINDS[aim.kind]}", Tone.DIM),
    )


_KINDS = {"published": "published", "container": "inside", "host": "of this host"}
