"""The ways of a container's packets, hop by hop, each with its evidence: Host -> records. Pure; reads nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from netdash.core.model import IP, Link, Port, Route, Rule


class Leaves(Enum):
    """How packets of a network leave the host."""

    MASQUERADE = "masquerade"
    SNAT = "snat"
    UNTRANSLATED = "untranslated"  # routed, or masquerading switched off: the private source address goes out
    INTERNAL = "internal"  # an internal network: nothing leaves
    DIRECT = "direct"  # macvlan, ipvlan: straight to the parent device, past the host's rules
    HOST = "host"  # shares the host's namespace
    NOWHERE = "nowhere"  # no network, or no route
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Inbound:
    """One published port's way in: DNAT for packets from elsewhere, the proxy for the rest."""

    port: Port
    network: str | None
    bridge: str | None
    bridge_ip: IP | None
    veth: str | None
    proxy_when: str  # when the proxy's way is used: "from this host", "instead of DNAT" … ; "" without a proxy


@dataclass(frozen=True, slots=True)
class Outbound:
    """One network's way out for one of the container's addresses, to the Internet."""

    network: str
    source: IP | None
    bridge: str | None
    gateway: IP | None  # the container's gateway, the bridge's own address
    veth: str | None
    leaves: Leaves
    nat: Rule | None
    route: Route | None
    uplink: Link | None
    leaves_as: IP | None
    why: str  # one plain sentence where the way is not the usual one; "" otherwise
    unsure: tuple[Rule, ...] = ()  # rules before `nat` whose match cannot be told
    default: bool = True  # the network that holds the container's default route


@dataclass(frozen=True, slots=True)
class Callable:
    """A container that another can reach on a network they share."""

    container_id: str
    container: str
    network: str
    ip: IP | None
    names: tuple[str, ...]  # by which it can be called; empty on the default bridge: by address only
    blocked: str  # why it cannot be reached although it is a neighbour (icc off); "" otherwise
