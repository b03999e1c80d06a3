"""What is asked of the host: the packets of the thing under the cursor, of a question of its card, or between the two
that are marked; and whether a port is free."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from netdash.model.host import Container, Port, Proxy, Ref, Rule
from netdash.model.numbers import port_and_protocol
from netdash.model.packet import Flow
from netdash.model.relations import ref_of as record_ref
from netdash.trace import default_questions
from netdash.trace.default_questions import Usual
from netdash.tui.host_view import HostView
from netdash.tui.trace_view import Walk
from netdash.view import unavailable
from netdash.view.questions import ref_of, usuals
from netdash.view.text import Tone

if TYPE_CHECKING:
    from netdash.tui.dashboard import Dashboard

MOST = 60  # questions that are asked at once


def ask(dashboard: Dashboard) -> None:
    """Traces the packets of the thing under the cursor, or between the two that are marked; says why where there are
    none."""
    host_view, panes = dashboard.host_view, dashboard.panes
    row = panes.grid.row
    if host_view is None or row is None:
        return
    ref = (panes.grid.target if dashboard.focused is panes.grid else None) or row.ref
    asked = partial(_asked, ref, panes.picked, None)
    why = "" if asked(host_view) else _why_not(host_view, ref, len(panes.picked) == 2)
    if why and (host_view.host.pending or host_view.host.containers is None):
        dashboard.say(why, Tone.DIM)
    else:
        _open(dashboard, Walk(host_view, asked, why=why))


def walk_of(dashboard: Dashboard, question: Ref) -> None:
    """The trace of one question of the card, among the others of the thing under the cursor."""
    host_view, row = dashboard.host_view, dashboard.panes.grid.row
    if host_view is not None and row is not None:
        _open(dashboard, Walk(host_view, partial(_asked, row.ref, (), question), question))


def _open(dashboard: Dashboard, walk: Walk) -> None:
    dashboard.app.push_screen(walk, lambda target: dashboard.follow(target) if target else None)


def _asked(ref: Ref, picked: tuple[Ref, ...], first: Ref | None, host_view: HostView) -> tuple[Usual, ...]:
    """`first`: the question that is among them in any case."""
    found = _between(host_view, *picked) if len(picked) == 2 else _of(host_view, ref)
    left_out = [usual for usual in found[MOST:] if ref_of(usual.question) == first]
    return (*left_out, *found[:MOST])


def _why_not(host_view: HostView, ref: Ref, picked: bool) -> str:
    if host_view.host.pending:
        return f"{unavailable.waiting(host_view.host)}: no packet to ask of yet"
    if host_view.host.containers is None:
        return "which containers there are is not known: no packet to ask of"
    if picked:
        return "no packet goes between these two: each has to belong to a running container of its own"
    owners = [host_view.container(key) for key in host_view.containers(ref)]
    if any(owner is not None and owner.running for owner in owners):
        return "its container has no address: no packet to ask of"
    return f"belongs to no {'running ' if owners else ''}container: no packet to ask of"


def _between(host_view: HostView, sender: Ref, receiver: Ref) -> tuple[Usual, ...]:
    """Both directions, the first picked as the sender first."""
    first, second = _container(host_view, sender), _container(host_view, receiver)
    if first is None or second is None or first is second:
        return ()
    return (
        *default_questions.between(host_view.host, first, second),
        *default_questions.between(host_view.host, second, first),
    )


def _container(host_view: HostView, ref: Ref) -> Container | None:
    owners = host_view.containers(ref)
    return host_view.container(owners[0]) if owners else None


def _of(host_view: HostView, ref: Ref) -> tuple[Usual, ...]:
    """A port's and its rule's and proxy's own packets; of everything else, those of its containers."""
    host, thing = host_view.host, host_view.thing(ref)
    ports = host.ports or ()
    if isinstance(thing, Port):
        return default_questions.of_port(host, thing)
    if isinstance(thing, Flow):
        return default_questions.of_flow(thing)
    if isinstance(thing, (Rule, Proxy)):
        own = [port for port in ports if port.dnat is thing or port.proxy is thing]
        if own:
            return tuple(default for port in own for default in default_questions.of_port(host, port))
    owners = [host_view.container(key) for key in host_view.containers(ref)]
    return tuple(default for owner in owners if owner is not None for default in usuals(host, owner))


def free(dashboard: Dashboard, text: str) -> None:
    """Whether a host port is free, and who has it: `8080`, or `53/udp`."""
    port = port_and_protocol(text)
    host = dashboard.host_view.host if dashboard.host_view else None
    if port is None or port[1] not in ("tcp", "udp"):
        dashboard.say(":free takes a port from 1 to 65535, with /udp for UDP", Tone.WARN)
    elif host is not None:
        from netdash.view import form_choices

        answer = form_choices.look(host, port[1], port[0])
        if answer.taken_by or answer.wanted_by:
            dashboard.follow(record_ref((*answer.taken_by, *answer.wanted_by)[0]))
        tone = {True: Tone.GOOD, False: Tone.WARN, None: Tone.UNKNOWN}[answer.free]
        dashboard.say(" · ".join(form_choices.sentences(host, answer)), tone)
