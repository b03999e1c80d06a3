"""What the dashboard asks of whoever supplies it with hosts. Knows no source, no thread and no file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from netdash.model.host import Host

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


@dataclass(frozen=True, slots=True)
class HostState:
    """One host of several. `host` is the newest that is known of it; `age`: seconds since it last answered, None when
    it never has."""

    name: str
    host: Host
    age: float | None

    @property
    def lost(self) -> bool:
        """Whether it could not be asked the last time."""
        return "host" in self.host.failures

    @property
    def reading(self) -> bool:
        return self.age is None and not self.lost


@runtime_checkable
class Fleet(Feed, Protocol):
    """A feed of several hosts, one of which it publishes."""

    @property
    def chosen(self) -> str:
        """The name of the host that is published."""

    def states(self) -> Sequence[HostState]:
        """Every host, in a lasting order; returns at once."""

    def there(self, command: str) -> str:
        """A command of a shell so that it runs on the chosen host."""

    def look_at(self, name: str) -> None:
        """Publishes another host from now on, beginning with what is known of it; returns at once."""
