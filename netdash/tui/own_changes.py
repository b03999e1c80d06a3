"""What netdash itself changed on this host, as far as its records were read: what is unfinished, and until when it
forwards a port."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.widget import Widget

from netdash.model.errors import NetdashError
from netdash.publish.undo import Pending
from netdash.tui.host_view import HostView
from netdash.tui.interfaces import Changes
from netdash.tui.work import Background
from netdash.view.detail import forward_end, is_own_forward, port_of
from netdash.view.text import Line


class OwnChanges:
    """The records are read in a thread; `changed` is called when that is done."""

    def __init__(self, screen: Widget, changes: Changes, changed: Callable[[], None]) -> None:
        self.background: Background[Pending] = Background(screen)
        self.unfinished = ""  # in words, what is left of a change that was interrupted
        self._pending: Pending | None = None
        self._changes = changes
        self._changed = changed
        self._asked: HostView | None = None  # the host for which it was read last

    def read(self, then: Callable[[], None] = lambda: None) -> None:
        def known(found: Pending | NetdashError) -> None:
            if isinstance(found, NetdashError):
                self._pending, self.unfinished = None, "? :recover"
            else:
                left = len(found.interrupted) + len(found.lost) + len(found.unreadable)
                self._pending, self.unfinished = found, f"{left} unfinished :recover" if left else ""
            self._changed()
            then()

        self.background.start(self._changes.pending, known)

    def lines(self, host_view: HostView, thing: object, wide: int) -> Sequence[Line]:
        """Until when netdash forwards this port; the records are read once a host."""
        port = port_of(host_view.host, thing)
        if port is None or not is_own_forward(port):
            return ()
        if self._asked is not host_view:
            self._asked = host_view
            self.read()
        record = self._pending.forward_of(port.proto, port.host_port, port.container_id) if self._pending else None
        return forward_end(record, host_view.host.taken, wide) if record else ()
