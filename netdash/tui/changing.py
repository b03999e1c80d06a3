"""What the keys that change something open, and what is known of netdash's own forwards. Loads a dialog when it is
asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from netdash.model.errors import NetdashError
from netdash.tui.change_interface import why_not
from netdash.tui.host_view import Sheet
from netdash.view.detail import forward_end, is_own_forward, port_of
from netdash.view.text import Line, Tone

if TYPE_CHECKING:
    from netdash.publish.undo import Pending
    from netdash.tui.change_interface import Changes, Made
    from netdash.tui.panes import Panes
    from netdash.tui.screen import Dashboard

AGAIN = 1.0  # seconds until it is looked again whether there is room for an offer
COMMANDS = {
    "publish": "publish a port of the selected container",
    "run": "run a new container",
    "undo": "take back the last change, or end the forward under the cursor",
    "recover": "finish, roll back or forget what was interrupted",
}


def begin(screen: Dashboard, what: str) -> None:
    """Opens the dialog of one of COMMANDS; says why where it cannot. A pause ends: plans are of the newest host."""
    screen.netdash.paused = False
    reason = why_not(screen.netdash)
    changes, sheet = screen.netdash.changes, screen.sheet
    if reason or changes is None or sheet is None:
        screen.say(f"nothing is changed here: {reason}", Tone.WARN)
        return
    _OPENED[what](screen, changes, sheet)


def _publish(screen: Dashboard, changes: Changes, sheet: Sheet) -> None:
    row = screen.grid.row
    owners = sheet.containers(row.ref) if row else ()
    container = sheet.container(owners[0]) if owners else None
    if row is None or container is None:
        screen.say("belongs to no container: nothing to publish", Tone.DIM)
        return
    from netdash.tui.publishing import Publish

    screen.app.push_screen(
        Publish(changes, sheet.host, container, port_of(sheet.host, sheet.thing(row.ref))),
        partial(after, screen),
    )


def _run(screen: Dashboard, changes: Changes, sheet: Sheet) -> None:
    from netdash.tui.publishing import Run

    screen.app.push_screen(Run(changes, sheet.host), partial(after, screen))


def _undo(screen: Dashboard, changes: Changes, sheet: Sheet) -> None:
    from netdash.tui.undo import Undo

    row = screen.grid.row
    port = port_of(sheet.host, sheet.thing(row.ref)) if row else None
    screen.app.push_screen(Undo(changes, port if port and is_own_forward(port) else None), partial(after, screen))


def _recover(screen: Dashboard, changes: Changes, _: Sheet) -> None:
    from netdash.tui.undo import Recover

    screen.app.push_screen(Recover(changes), partial(after, screen))


_OPENED = {"publish": _publish, "run": _run, "undo": _undo, "recover": _recover}


# --- what is pending --------------------------------------------------------------------------------------------------


def after(screen: Panes, made: Made | None) -> None:
    """A dialog is closed: what is known of forwards is old, and the cursor goes to the container that was made."""
    screen.awaited = made
    screen.rearrange()
    _read(screen)


def at_start(screen: Dashboard) -> None:
    """Offers what an earlier netdash left unfinished, as soon as the engine answers and nothing else is open."""
    changes = screen.netdash.changes
    if changes is None or screen.netdash.options.read_only:
        return
    from netdash.tui.background import Background

    def offer() -> None:
        if not screen.unfinished:
            return
        if screen.is_current and screen.focused is not screen.prompt and not why_not(screen.netdash):
            begin(screen, "recover")
        else:
            screen.set_timer(AGAIN, offer)

    def known(found: Pending | NetdashError) -> None:
        _note(screen, found)
        if screen.unfinished:
            offer()

    asking: Background[Pending] = Background(screen)
    asking.start(changes.pending, known)


def _note(screen: Panes, found: Pending | NetdashError) -> None:
    """What the header says until nothing is unfinished."""
    if isinstance(found, NetdashError):
        screen.unfinished = "? :recover"
    else:
        left = len(found.interrupted) + len(found.lost) + len(found.unreadable)
        screen.unfinished = f"{left} unfinished :recover" if left else ""
    screen.write_header()


def _read(screen: Panes) -> None:
    changes = screen.netdash.changes
    if changes is None:
        return
    if screen.background is None:
        from netdash.tui.background import Background

        screen.background = Background(screen)

    def known(found: Pending | NetdashError) -> None:
        _note(screen, found)
        before, screen.published = screen.published, None if isinstance(found, NetdashError) else found
        if before != screen.published:
            screen.write_card(screen.grid.row.ref if screen.grid.row else None)

    screen.background.start(changes.pending, known)


def told_of(screen: Panes, thing: object, wide: int) -> Sequence[Line]:
    """Until when netdash forwards this port, as far as its records are known; they are read once a host."""
    sheet = screen.sheet
    port = port_of(sheet.host, thing) if sheet else None
    if sheet is None or port is None or not is_own_forward(port):
        return ()
    if screen.asked_for is not sheet:
        screen.asked_for = sheet
        _read(screen)
    found = screen.published
    record = found.forward_of(port.proto, port.host_port, port.container_id) if found else None
    return forward_end(record, sheet.host.taken, wide) if record else ()
