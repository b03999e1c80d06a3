"""What a real connection to a published port said."""

from __future__ import annotations

from dataclasses import dataclass

from netdash.model.addresses import socket_text
from netdash.publish.journal import Outage


@dataclass(frozen=True, slots=True)
class Proof:
    """`works` None: sent, and nothing came back that says either way (UDP)."""

    proto: str
    address: str
    port: int
    works: bool | None
    what: str

    @property
    def sentence(self) -> str:
        return f"{self.proto} {socket_text(self.address, self.port)} {self.what}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a plan. `outage` None: nothing was stopped, or how long is not known."""

    proofs: tuple[Proof, ...] = ()
    outage: Outage | None = None
