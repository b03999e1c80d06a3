"""A published port as the engine was asked for it, and the differences between the rules that an engine should have
written and those that are there."""

from __future__ import annotations

from enum import Enum

from netdash.model.records import dataclass
from netdash.model.rules import IP, Rule


@dataclass(frozen=True, slots=True)
class Binding:
    """One -p as the API tells it; `host_port` None where it is exposed, or routed, without a host port, and in the
    settings of a container also where the engine chooses one when it starts."""

    proto: str
    container_port: int
    host_ip: IP | None
    host_port: int | None
    choice: tuple[int, int] | None = None  # the engine chooses one of these; (0, 0) is any free one


class DriftKind(Enum):
    """How a rule differs from what the engine should have written."""

    MISSING = "missing"
    SHADOWED = "shadowed"  # another rule before it decides
    STALE = "stale"  # names an address, a network or a device that is gone
    DUPLICATE = "duplicate"
    EXTRA = "extra"  # in the engine's own chains, and not its work
    LEFT = "left behind"  # a container in a namespace that is its owner's no more; no rule


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference between the rules that the engine should have written and those that are there."""

    kind: DriftKind
    family: str
    table: str
    chain: str
    text: str  # the live rule's, or what the engine would have written
    why: str
    backend: str
    rule: Rule | None  # the live one; None where it is missing. Its counters may be old.
    container_id: str | None = None
    network_id: str | None = None
    binding: Binding | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """The same for as long as it is the same difference; counters are no part."""
        place = (self.kind, self.backend, self.family, self.table, self.chain, self.text)
        return (*place, self.container_id, self.network_id, self.binding)
