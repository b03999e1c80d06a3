"""What netdash changed and can take back, or left unfinished, at one moment. Pure; who lives was asked by apply."""

from __future__ import annotations

from dataclasses import dataclass

from netdash.core.journal import Journal
from netdash.core.state import Forward

Taken = Forward | Journal
"""What can be taken back as a whole."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Oldest first. `lost`: those of `forwards` whose keeper died, or that a reboot ended."""

    forwards: tuple[Forward, ...] = ()
    lost: tuple[Forward, ...] = ()
    journals: tuple[Journal, ...] = ()

    @property
    def interrupted(self) -> tuple[Journal, ...]:
        return tuple(one for one in self.journals if one.unfinished)

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
                one
                for one in self.forwards
                if one.container_id == container_id
                and any((port.proto, port.host_port) == (proto, host_port) for port in one.ports)
            ),
            None,
        )
