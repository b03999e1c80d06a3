"""A connection through this host as people think of it: who asked whom, what was translated, who answers."""

from __future__ import annotations

from enum import Enum

from netdash.model.host import IP, Proxy, TrackedFlow
from netdash.model.records import dataclass

GROUPINGS = ("container", "port", "peer")
"""What connections can be added up by."""


class Trouble(Enum):
    """What stands out about a connection."""

    UNANSWERED = "unanswered"
    STALE = "stale"  # its translation is from before the rules that there are now


@dataclass(frozen=True, slots=True)
class FlowEnd:
    """One end: an address with its port, whose it is."""

    ip: IP | None
    port: int | None
    container: str | None = None  # id; of one that shares the namespace of another, the other's
    here: bool = False  # an address of this host


@dataclass(frozen=True, slots=True)
class Flow:
    """One connection. A connection that a userland proxy takes is two for the kernel: `entry` is the client's, `behind`
    the one that the proxy opened for it."""

    key: str  # the same in every reading: protocol, zone, and the ends as they were first
    entry: TrackedFlow
    client: FlowEnd  # who asked
    asked: FlowEnd  # whom, as the client knows it
    server: FlowEnd  # who answers
    source: tuple[IP, int | None] | None  # what the client's address was translated to
    proxy: Proxy | None = None
    behind: TrackedFlow | None = None
    trouble: Trouble | None = None

    @property
    def translated(self) -> bool:
        """Whether what the client asked for is not where it goes (DNAT)."""
        return self.proxy is None and (self.asked.ip, self.asked.port) != (self.server.ip, self.server.port)

    @property
    def containers(self) -> tuple[str, ...]:
        """Ids of those at its ends."""
        ends = (self.client.container, self.server.container)
        return tuple(dict.fromkeys(identity for identity in ends if identity is not None))

    @property
    def packets(self) -> int | None:
        return self.entry.packets

    @property
    def bytes(self) -> int | None:
        return self.entry.bytes
