"""Where packets for this host come in, and which addresses it takes for its own. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from netdash.kernel.routing import entrance
from netdash.model.addresses import only
from netdash.model.host import IP, Link, Net, Route
from netdash.model.records import dataclass


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where packets for this host come in."""

    uplinks: Mapping[int, tuple[str | None, IP | None]]  # by family: the device, and the host's address there
    local: frozenset[Net] = frozenset()  # what the kernel takes for itself, without link-local addresses

    def takes(self, ip: IP) -> bool | None:
        """Whether this host receives packets for an address; None: not known."""
        own = [net for net in self.local if net.version == ip.version]
        return ip.is_loopback or (any(ip in net for net in own) if own else None)

    def kind(self, ip: IP) -> str | None:
        """The type of an address: LOCAL, UNICAST; None: not known."""
        return {True: "LOCAL", False: "UNICAST", None: None}[self.takes(ip)]


def entrance_of(links: tuple[Link, ...] | None, routes: tuple[Route, ...] | None) -> Entrance:
    """The routes of kind `local` decide; where those were not read, the addresses of the devices are as good."""
    local = {route.dst for route in routes or () if route.kind == "local"}
    known = {net.version for net in local}
    local |= {only(address.ip) for link in links or () for address in link.addresses if address.version not in known}
    own = frozenset(net for net in local if not net.network_address.is_link_local)
    return Entrance({family: entrance(family, links, routes) for family in (4, 6)}, own)
