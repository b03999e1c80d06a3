"""The feed of several hosts: each is read by itself and blocks no other; one of them is on screen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from netdash.bundle.recording import SOURCES, Recording
from netdash.join.host import Builder
from netdash.model.host import Host

if TYPE_CHECKING:
    from netdash.cli.live_feed import Reader
    from netdash.tui.feed_interface import HostState


class _Member:
    """One host: its reader, and what is known of it. Its recordings are built in the reader's own thread."""

    def __init__(self, name: str, reader: Reader, changed: Callable[[_Member], None]) -> None:
        self.name = name
        self.reader = reader
        self._changed = changed
        self._builder = Builder()
        pending = Recording(answers={}, pending=frozenset(SOURCES), hostname=name, live=True)
        self.host = self._builder.build(pending)
        self._heard: float | None = None  # when it last answered, by the monotonic clock

    def build(self, recording: Recording) -> None:
        host = self._builder.build(recording)
        if "host" not in host.failures:
            self._heard = time.monotonic()
        self.host = host
        self._changed(self)

    def state(self) -> HostState:
        from netdash.tui.feed_interface import HostState

        age = None if self._heard is None else max(0.0, time.monotonic() - self._heard)
        return HostState(self.name, self.host, age)


class FleetFeed:
    """`readers`: (name, reader) of each host; the first is shown first. `there`: by name, what makes a command one that
    runs on that host. One thread publishes, so that what comes last is of the host that was chosen last."""

    live = True

    def __init__(
        self, readers: Sequence[tuple[str, Reader]], there: Mapping[str, Callable[[str], str]] | None = None
    ) -> None:
        self._there = there or {}
        self._members = [_Member(name, reader, self._told) for name, reader in readers]
        self._shown = self._members[0]
        self._news = threading.Condition()
        self._dirty = True
        self._stopped = False
        for member in self._members:
            member.reader.start(member.build)

    def start(self, publish: Callable[[Host], None]) -> None:
        threading.Thread(target=self._run, args=(publish,), name="fleet", daemon=True).start()

    def shown(self) -> None:
        """Everything is being read already."""

    def refresh(self) -> None:
        for member in self._members:
            member.reader.refresh()

    def stop(self) -> None:
        with self._news:
            already, self._stopped = self._stopped, True
            self._news.notify()
        if not already:
            for member in self._members:
                member.reader.stop()

    # --- the hosts ----------------------------------------------------------------------------------------------------

    def states(self) -> Sequence[HostState]:
        return [member.state() for member in self._members]

    @property
    def chosen(self) -> str:
        return self._shown.name

    def there(self, command: str) -> str:
        """The command so that it runs on the chosen host."""
        make = self._there.get(self.chosen)
        return make(command) if make else command

    def look_at(self, name: str) -> None:
        """Shows another host; its newest state comes at once."""
        with self._news:
            self._shown = next((member for member in self._members if member.name == name), self._shown)
            self._dirty = True
            self._news.notify()

    def _told(self, member: _Member) -> None:
        with self._news:
            if member is self._shown:
                self._dirty = True
                self._news.notify()

    def _run(self, publish: Callable[[Host], None]) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._dirty or self._stopped)
                if self._stopped:
                    return
                self._dirty = False
                host = self._shown.host
            publish(host)
