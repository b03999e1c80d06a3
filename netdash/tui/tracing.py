"""Which packets `t` asks of: those of the thing under the cursor, or between the two that are marked."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from netdash.model.host import Container, Port, Proxy, Ref, Rule
from netdash.trace import default_questions
from netdash.trace.default_questions import Usual
from netdash.tui.host_view import Sheet
from netdash.tui.trace_view import Walk
from netdash.view import unavailable
from netdash.view.text import Tone

if TYPE_CHECKING:
    from netdash.tui.screen import Dashboard

MOST = 60  # questions that are asked at once


def ask(screen: Dashboard) -> None:
    """Opens the walk; says why where there is nothing to ask."""
    sheet = screen.sheet
    row = screen.grid.row
    if sheet is None or row is None:
        return
    ref = screen.grid.target if screen.focused is screen.grid else row.ref
    asked = partial(_asked, ref or row.ref, screen.picked)
    if not asked(sheet):
        screen.say(_why_not(sheet, ref or row.ref, len(screen.picked) == 2), Tone.DIM)
        return
    screen.app.push_screen(Walk(sheet, asked), lambda target: screen.follow(target) if target else None)


def _asked(ref: Ref, picked: tuple[Ref, ...], sheet: Sheet) -> tuple[Usual, ...]:
    found = _between(sheet, *picked) if len(picked) == 2 else _of(sheet, ref)
    return found[:MOST]


def _why_not(sheet: Sheet, ref: Ref, picked: bool) -> str:
    if sheet.host.pending:
        return f"{unavailable.waiting(sheet.host)}: no packet to ask of yet"
    if sheet.host.containers is None:
        return "which containers there are is not known: no packet to ask of"
    if picked:
        return "no packet goes between these two: each has to belong to a running container of its own"
    owners = [sheet.container(key) for key in sheet.containers(ref)]
    if any(owner is not None and owner.running for owner in owners):
        return "its container has no address: no packet to ask of"
    return f"belongs to no {'running ' if owners else ''}container: no packet to ask of"


def _between(sheet: Sheet, one: Ref, other: Ref) -> tuple[Usual, ...]:
    """Both ways, the first picked as the sender first."""
    first, second = _container(sheet, one), _container(sheet, other)
    if first is None or second is None or first is second:
        return ()
    return (
        *default_questions.between(sheet.host, first, second),
        *default_questions.between(sheet.host, second, first),
    )


def _container(sheet: Sheet, ref: Ref) -> Container | None:
    owners = sheet.containers(ref)
    return sheet.container(owners[0]) if owners else None


def _of(sheet: Sheet, ref: Ref) -> tuple[Usual, ...]:
    """A port's and its rule's and proxy's own packets; of everything else, those of its containers."""
    host, thing = sheet.host, sheet.thing(ref)
    ports = host.ports or ()
    if isinstance(thing, Port):
        return default_questions.of_port(host, thing)
    if isinstance(thing, (Rule, Proxy)):
        own = [port for port in ports if port.dnat is thing or port.proxy is thing]
        if own:
            return tuple(one for port in own for one in default_questions.of_port(host, port))
    owners = [sheet.container(key) for key in sheet.containers(ref)]
    return tuple(one for owner in owners if owner is not None for one in default_questions.of_container(host, owner))
