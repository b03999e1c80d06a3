"""What the keys that change something open, and the offer to finish what an earlier netdash left. Each dialog is loaded
when it is asked for."""

from __future__ import annotations

from functools import partial

from netdash.model.index import sharing
from netdash.tui.dashboard import Dashboard
from netdash.tui.host_view import HostView
from netdash.tui.interfaces import Changes, Made
from netdash.tui.own_changes import OwnChanges
from netdash.view.detail import is_own_forward, port_of
from netdash.view.text import Tone, clean

AGAIN = 1.0  # seconds until it is looked again whether there is room for an offer


def begin(dashboard: Dashboard, what: str) -> None:
    """Opens the dialog of one of _DIALOGS; says why where it cannot. A pause ends: plans are of the newest host."""
    app = dashboard.netdash
    app.paused = False
    if app.unchangeable or app.changes is None or app.host_view is None:
        dashboard.say(f"nothing is changed here: {app.unchangeable}", Tone.WARN)
    else:
        _DIALOGS[what](dashboard, app.changes, app.host_view)


def _publish(dashboard: Dashboard, changes: Changes, host_view: HostView) -> None:
    row = dashboard.panes.grid.row
    owners = host_view.containers(row.ref) if row else ()
    container = host_view.container(owners[0]) if owners else None
    if row is None or container is None:
        dashboard.say("belongs to no container: nothing to publish", Tone.DIM)
        return
    from netdash.publish.checks import standing
    from netdash.view.statements import refusal

    owner = sharing(host_view.host, container)
    reason = standing(owner)
    if reason is not None:
        dashboard.say(clean(refusal(reason)), Tone.WARN)
        return
    from netdash.tui.publishing import Publish

    port = port_of(host_view.host, host_view.thing(row.ref))
    user = container.name if owner is not container else ""
    dashboard.app.push_screen(Publish(changes, host_view.host, owner, port, user), partial(_closed, dashboard))


def _run(dashboard: Dashboard, changes: Changes, host_view: HostView) -> None:
    from netdash.tui.publishing import Run

    dashboard.app.push_screen(Run(changes, host_view.host), partial(_closed, dashboard))


def _undo(dashboard: Dashboard, changes: Changes, host_view: HostView) -> None:
    from netdash.tui.undo import Undo

    row = dashboard.panes.grid.row
    port = port_of(host_view.host, host_view.thing(row.ref)) if row else None
    own = port if port and is_own_forward(port) else None
    dashboard.app.push_screen(Undo(changes, own), partial(_closed, dashboard))


def _recover(dashboard: Dashboard, changes: Changes, _: HostView) -> None:
    from netdash.tui.undo import Recover

    dashboard.app.push_screen(Recover(changes), partial(_closed, dashboard))


_DIALOGS = {"publish": _publish, "run": _run, "undo": _undo, "recover": _recover}


def _closed(dashboard: Dashboard, made: Made | None) -> None:
    """What is known of own changes is old, and the cursor goes to the container that was made."""
    dashboard.panes.awaited = made
    dashboard.panes.rearrange()
    if dashboard.panes.own_changes is not None:
        dashboard.panes.own_changes.read()


def know(dashboard: Dashboard, changes: Changes) -> None:
    """From now on own forwards are shown, and what an earlier netdash left unfinished is offered as soon as the engine
    answers and nothing else is open."""

    def changed() -> None:
        dashboard.write_header()
        dashboard.panes.write_card()

    own = dashboard.panes.own_changes = OwnChanges(dashboard, changes, changed)

    def offer() -> None:
        if not own.unfinished:
            return
        if dashboard.is_current and not dashboard.asking and not dashboard.netdash.unchangeable:
            begin(dashboard, "recover")
        else:
            dashboard.set_timer(AGAIN, offer)

    if not dashboard.netdash.options.read_only:
        own.read(offer)
