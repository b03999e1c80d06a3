"""What other machines must do for an answer to come back: what this host's state tells of it. Walks nothing."""

from __future__ import annotations

from functools import lru_cache

from netdash.kernel.routing import address_type, uplinks_of
from netdash.model.host import IP, Host, Link, Network
from netdash.model.packet import Packet
from netdash.trace import link_layer
from netdash.trace.container_namespace import namespaces_of
from netdash.trace.namespace_state import lookups_of
from netdash.trace.run import Run

Lacking = tuple[bool | None, str]
"""(False: no answer, None: cannot be told; why)"""


def comes_back(host: Host, run: Run) -> Lacking | None:
    """Of a packet that left for another machine: whether its source is one that others send answers to."""
    src, device = run.packet.src, run.end_at
    if not isinstance(device, str) or src is None or host.routes is None:
        return None
    astray = _astray(host, run, device)
    if astray is not None or run.beside:
        return astray
    if src.is_link_local:
        return None
    if address_type(src, host.routes) == "LOCAL":
        return _of_a_bridge(host, run, src, device)
    translated = run.connection.source is not None
    near = any(src in own.network for link in host.links or () if link.name == device for own in link.addresses)
    if translated:
        if near:
            return False, f"it is translated to {src}, which no device of this host has: nobody answers for it"
        return None, f"it is translated to {src}: answered only if the network outside routes it here"
    network = network_of(host, src)
    if network is None:
        return _strange(host, src, near)
    if network.bridge == device:
        return None  # a neighbour on its own bridge
    return _unknown_outside(host, network, src, device, f"{src} leaves untranslated")


def _unknown_outside(host: Host, network: Network, src: IP, device: str, what: str) -> Lacking:
    """Of a source in the subnet of a bridge network: routers know it only where the network is meant to be routed."""
    wide = next((net for net in network.subnets if src in net), src)
    private = network.masquerade and _mode(network, src) in ("nat", "nat-unprotected") and not src.is_global
    if private and _uplink(host, device, src.version):
        return False, f"{what} by {device}: outside nobody knows {wide}, no answer comes back"
    return None, f"{what}: answered only if the network outside routes {wide} back here"


def _of_a_bridge(host: Host, run: Run, src: IP, device: str) -> Lacking | None:
    """Of a source that is an address of this host: where it is a bridge network's, and the packet leaves by an uplink,
    others know it no better than the containers' addresses."""
    links = lookups_of(host).links
    if device in links and any(src == own.ip for own in links[device].addresses):
        return None
    network = network_of(host, src)
    bridge = links.get(network.bridge or "") if network is not None else None
    if network is None or bridge is None or all(src != own.ip for own in bridge.addresses) or run.answered_before():
        return None
    if not _uplink(host, device, src.version):
        return None
    return _unknown_outside(host, network, src, device, f"{src}, an address of {network.bridge}, leaves")


def _astray(host: Host, run: Run, device: str) -> Lacking | None:
    """Of a packet for a container of this host that left for other machines: they do not know its network."""
    dst = run.packet.dst
    network = network_of(host, dst) if dst is not None else None
    if dst is None or network is None or network.bridge == device:
        return None
    text = f"{dst} is an address of {network.name} on this host, yet the packet left by {device}"
    if _mode(network, dst) in ("nat", "nat-unprotected", "isolated"):
        return False, f"{text}, where nobody knows it"
    return None, f"{text}: answered only if the network outside routes it back here"


def _strange(host: Host, src: IP, near: bool) -> Lacking | None:
    if near:
        return None  # a neighbour's own address, sent on
    if any(src in network for network in (net for network in host.networks or () for net in network.subnets)):
        return None
    return None, f"{src} is no address of this host: answered only if the network outside routes it here"


def network_of(host: Host, ip: IP) -> Network | None:
    """The engine's network on a bridge of this host that an address belongs to."""
    for other in host.networks or ():
        if other.bridge and any(ip in net for net in other.subnets):
            return other
    for space, end in namespaces_of(host).at(ip):
        network = space.network(end)
        if network is not None and network.driver not in link_layer.DRIVERS:
            return network
    return None


def _mode(network: Network, ip: IP) -> str:
    return network.gateway_modes[ip.version == 6] or "nat"


def comes_in_by(host: Host, answer: Packet, left_by: str) -> tuple[str, ...]:
    """The devices by which an answer from another machine may come in: by which the packet left; the uplink that has
    the address which is answered; the one on whose wire the other machine is, whatever route this host takes there."""
    found = [left_by]
    for link in _wired(host):
        if link.name == left_by:
            continue
        asked = any(answer.dst == own.ip for own in link.addresses) and _uplink(host, link.name, answer.family)
        if asked or any(answer.src in own.network for own in link.addresses if own.version == answer.family):
            found.append(link.name)
    return tuple(found)


@lru_cache(maxsize=2)  # of the host on screen and of the one that comes
def _wired(host: Host) -> tuple[Link, ...]:
    """The devices that have addresses, and are no ports."""
    return tuple(link for link in host.links or () if link.addresses and link.master is None)


def _uplink(host: Host, device: str, family: int) -> bool:
    """Whether others route by this device: there is a gateway on it."""
    return device in uplinks_of(family, host.routes)


def turned_back(host: Host, run: Run) -> Lacking | None:
    """Of a packet from another machine that leaves by the device that it came in by, with its source as it was: a
    machine takes nothing from its own address (fib_validate_source), and a neighbour of the sender answers it past this
    host, so that nobody translates the answer back."""
    device, src, dst = run.end_at, run.packet.src, run.packet.dst
    link = lookups_of(host).links.get(device) if isinstance(device, str) else None
    if link is None or device != run.came_by or link.kind == "bridge" or run.connection.source is not None:
        return None
    if run.next_hop is not None and run.next_hop == src:
        return False, f"the packet goes back by {device} to {src}, who sent it and takes nothing from its own address"
    if run.connection.destination is None or src is None or dst is None:
        return None
    if any(src in own.network and dst in own.network for own in link.addresses):
        return False, f"{dst} answers its neighbour {src} past this host, with an address that was not asked"
    return None, f"{dst} is asked by {device}, as this host was: answered only if {dst} sends its answers by this host"


def leaves_elsewhere(host: Host, there: Run, back: Run) -> Lacking | None:
    """Of an answer to another machine: it leaves by another device than the packet came in by. Networks drop what has
    a source of somebody else's (BCP 38), so only a source of the device that it leaves by is taken for certain."""
    came, leaves, src = there.came_by, back.end_at, back.packet.src
    if came is None or not isinstance(leaves, str) or came == leaves or src is None:
        return None
    links = {link.name: link for link in host.links or ()}
    if links[came].master == leaves if came in links else False:
        return None
    out = links.get(leaves)
    if out is not None and any(src == own.ip for own in out.addresses):
        return None
    elsewhere = any(src in own.network for link in host.links or () if link.name != leaves for own in link.addresses)
    text = f"the answer from {src} leaves by {leaves}, not by {came} where the packet came in"
    return (False if elsewhere else None), text
