"""The kernel's connections, IPsec policies and details of addresses: records that only a trace asks for."""

from __future__ import annotations

from dataclasses import dataclass

from netdash.core.rules.model import IP, Net


@dataclass(frozen=True, slots=True)
class Ends:
    """One direction of a connection, as conntrack keeps it."""

    src: IP | None
    sport: int | None
    dst: IP | None
    dport: int | None


@dataclass(frozen=True, slots=True)
class TrackedFlow:
    """An entry of conntrack."""

    proto: str
    original: Ends
    reply: Ends  # as the answer comes: translated where the connection is
    replied: bool
    state: str  # of TCP: SYN_SENT, ESTABLISHED, TIME_WAIT …; "" of others
    seconds: int  # until it is forgotten


@dataclass(frozen=True, slots=True)
class IpsecPolicy:
    """Packets that IPsec wraps up, or drops."""

    direction: str  # in, out, fwd
    src: Net
    dst: Net
    blocks: bool


@dataclass(frozen=True, slots=True)
class AddressDetail:
    """What decides whether an address is taken as a source."""

    scope: str = "global"  # global site link host, or a number
    flags: frozenset[str] = frozenset()  # secondary deprecated tentative dadfailed temporary …
