"""Devices of a host: whether one carries packets, where packets for this host come in and which addresses it takes
for its own, and Swarm's own bridge.

Knows no routes and no rules."""

from __future__ import annotations

import re
from collections.abc import Mapping

from netdash.kernel.routing import entrance
from netdash.model.addresses import only
from netdash.model.host import IP, Link, Net, Network, Route
from netdash.model.records import dataclass

_NO_CARRIER = ("DOWN", "LOWERLAYERDOWN", "NOTPRESENT")


def carrier(link: Link) -> bool:
    """Whether the kernel gives its routes the flag linkdown."""
    return link.state not in _NO_CARRIER


def trouble(link: Link | None) -> str:
    """Why nothing passes the device: "down" (ip link set down), "no carrier" (its other end is down); "" otherwise."""
    if link is None or (link.up and carrier(link)):
        return ""
    return "no carrier" if link.up else "down"


def queue_drops(queue: str, size: int) -> bool:
    """Whether a queue, as tc tells it, lets no frame of `size` bytes pass: tbf_enqueue drops what is larger than its
    burst, netem_enqueue what it is told to lose."""
    kind, _, options = queue.partition(" ")
    burst = re.search(_BURST, options)
    if kind == "tbf" and burst is not None:
        return int(burst[1]) < size
    return kind == "netem" and "loss 100%" in options


_BURST = r"\bburst (\d{1,9})b\b"  # larger ones are told in Kb


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


GWBRIDGE = "docker_gwbridge"
"""Who is on it, the engine's API does not tell container by container."""


def ingress(network: Network | None, ip: IP | None) -> str:
    """What takes packets for an address on swarm's bridge that no container has; "" on any other network."""
    if network is None or network.name != GWBRIDGE:
        return ""
    what = f"{ip} on {GWBRIDGE} is no container's but swarm's ingress: there IPVS chooses a task"
    return f"{what}, on this host or another, which is not readable"
