"""What netdash changed and can take back, or left unfinished, at one moment. Pure; who lives was asked by apply."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from netdash.publish.journal import Journal
from netdash.publish.state import Forward

Taken = Forward | Journal
"""What can be taken back as a whole."""
LATE = 120.0  # seconds after which an old container that should have been removed is spoken of


class Choice(Enum):
    """What can be done with a record that was left unfinished; `forget` changes nothing else."""

    FINISH = "finish"
    ROLLBACK = "rollback"
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that cannot be read: what it was about is not known. `names`: those of containers that its text still
    has; `engine`: its address, "" where the text does not have it."""

    id: str
    path: str
    reason: str
    names: tuple[str, ...] = ()
    engine: str = ""

    @property
    def sentence(self) -> str:
        return f"{self.path} cannot be read: {self.reason}"


@dataclass(frozen=True, slots=True)
class Pending:
    """Oldest first. `lost`: those of `forwards` whose keeper died, or that a reboot ended."""

    forwards: tuple[Forward, ...] = ()
    lost: tuple[Forward, ...] = ()
    journals: tuple[Journal, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    now: float = 0.0  # seconds since the epoch

    @property
    def interrupted(self) -> tuple[Journal, ...]:
        """Also those whose old container could not be removed when its time was over."""
        return tuple(journal for journal in self.journals if journal.due is None or journal.due + LATE < self.now)

    @property
    def last(self) -> Taken | None:
        """The latest of the forwards, and of the containers whose grace time is not over."""
        newest = max(self.forwards, key=lambda one: one.created, default=None)
        journal = max(self.journals, key=lambda one: one.change.created, default=None)
        if newest is None or (journal is not None and journal.change.created > newest.created):
            return journal
        return newest

    def forward_of(self, proto: str, host_port: int, container_id: str | None) -> Forward | None:
        """The one that opened this port of the host into this container."""
        return next(
            (
                forward
                for forward in self.forwards
                if forward.container_id == container_id
                and any((port.proto, port.host_port) == (proto, host_port) for port in forward.ports)
            ),
            None,
        )
