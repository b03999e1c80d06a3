"""What the dashboard asks of whoever supplies it with hosts. Knows no source, no thread and no file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from netdash.core.model import Host

Publish = Callable[[Host], None]


class Feed(Protocol):
    """Supplies one `Host` after another. `live` is False for a recording, which publishes once."""

    @property
    def live(self) -> bool: ...

    def start(self, publish: Publish) -> None:
        """Begins to call `publish`, from any thread; returns at once. A host known already may be published before
        the return. Must not keep the process alive: threads are daemons."""

    def shown(self) -> None:
        """The screen is up: what takes long to load or to read may begin."""

    def refresh(self) -> None:
        """Asks for a new host as soon as possible; returns at once."""

    def stop(self) -> None:
        """Ends the supply; returns at once, even when a source hangs."""
