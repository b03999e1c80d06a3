"""Whether a bridge lets a frame in by one port and out by another. Follows br_handle_frame_finish of br_input.c,
should_deliver and br_flood of br_forward.c, br_allowed_ingress of br_vlan.c. Knows no rules."""

from __future__ import annotations

import re
from functools import lru_cache

from netdash.kernel.devices import trouble as trouble_of
from netdash.model.host import IP, Endpoint, Host, Link
from netdash.model.kernel_state import BridgePort, FdbEntry
from netdash.model.records import dataclass
from netdash.trace.container_namespace import Namespace, namespaces_of
from netdash.trace.model import Verdict
from netdash.trace.namespace_state import lookups_of
from netdash.trace.run import Run

UNICAST, BROADCAST, MULTICAST = "unicast", "broadcast", "multicast"
_FLOODS = {BROADCAST: "bcast_flood", MULTICAST: "mcast_flood"}


@dataclass(frozen=True, slots=True)
class Frame:
    """`came_by` and `leaves_by`: ports; "" is the bridge itself, None a port that is not known."""

    bridge: str
    came_by: str | None
    leaves_by: str | None
    mac: str | None = None  # for whom; None: not known
    kind: str = UNICAST


def passes(run: Run, frame: Frame) -> None:
    """Ends the run where the bridge does not hand the frame on."""
    came, leaves = _port_of(run, frame, frame.came_by), _port_of(run, frame, frame.leaves_by)
    if came is not None and came.state != "forwarding":
        _drop(run, frame, f"port {frame.came_by} is {came.state}: what comes in by it is dropped")
    if came is not None and came.locked and not _known_behind(run, frame.bridge, frame.came_by):
        _drop(run, frame, f"port {frame.came_by} is locked: its sender is not in the forwarding table")
    if leaves is not None and leaves.state != "forwarding":
        _drop(run, frame, f"port {frame.leaves_by} is {leaves.state}: nothing leaves by it")
    if came is not None and leaves is not None and came.isolated and leaves.isolated:
        _drop(run, frame, f"{frame.came_by} and {frame.leaves_by} are isolated ports: no frame goes between them")
    _vlan(run, frame)
    if leaves is not None and frame.kind == UNICAST:
        _of_another(run, frame)
        _forwarding(run, frame, leaves)
    elif leaves is not None and frame.came_by and not getattr(leaves, _FLOODS[frame.kind]):
        _drop(run, frame, f"{_FLOODS[frame.kind]} is off at {frame.leaves_by}: no {frame.kind} frame leaves by it")


def _port_of(run: Run, frame: Frame, name: str | None) -> BridgePort | None:
    """A port that is down is left to whoever says why nothing passes a device."""
    link = _links(run).get(name or "")
    here = link is not None and link.master == frame.bridge and not trouble_of(link)
    return link.port if link is not None and here else None


def _links(run: Run) -> dict[str, Link]:
    """This host's, wherever the packet is told to be."""
    return lookups_of(run.host).links


def _drop(run: Run, frame: Frame, text: str) -> None:
    run.stop(Verdict.DROPPED, f"bridge {frame.bridge}", text)


# --- the forwarding table ---------------------------------------------------------------------------------------------


_Table = dict[str, list[FdbEntry]]


@lru_cache(maxsize=2)  # of the host on screen and of the one that comes
def _tables(host: Host) -> dict[str, _Table]:
    """The entries of each bridge by MAC, without the ports' own, by which it knows what is for this host."""
    links = lookups_of(host).links
    found: dict[str, _Table] = {}
    for entry in (host.bridging.fdb if host.bridging else None) or ():
        link = links.get(entry.port)
        if link is not None and link.mac != entry.mac:
            found.setdefault(link.master or link.name, {}).setdefault(entry.mac, []).append(entry)
    return found


def _entries(run: Run, bridge: str, mac: str) -> list[FdbEntry]:
    return _tables(run.host).get(bridge, {}).get(mac, [])


def _known_behind(run: Run, bridge: str, port: str | None) -> bool:
    return any(entry.port == port for found in _tables(run.host).get(bridge, {}).values() for entry in found)


def _forwarding(run: Run, frame: Frame, leaves: BridgePort) -> None:
    """Entries that somebody set stay; others follow the frames. With learning off nothing is remembered of a port:
    frames to it are flooded, if at all."""
    mac, to = frame.mac, frame.leaves_by
    known = _entries(run, frame.bridge, mac) if mac is not None else []
    for entry in known:
        if entry.port != to and (entry.fixed or not leaves.learning):
            where = "this host" if entry.port == frame.bridge else entry.port
            _drop(run, frame, f"its forwarding table has {mac} at {where}, not at {to}")
    if leaves.learning or leaves.flood or any(entry.port == to for entry in known):
        return
    text = f"it does not know that {mac or 'the receiver'} is behind {to}, and flood is off there"
    if run.host.bridging is not None and run.host.bridging.fdb is not None and mac is not None:
        _drop(run, frame, text)
    run.suppose_drop(f"bridge {frame.bridge}", text)


def _of_another(run: Run, frame: Frame) -> None:
    """Two ports with one MAC: the bridge sends to the one that was heard last, and none of them hears the other."""
    for other in _ports_of(run.host).get((frame.bridge, frame.mac), ()) if frame.mac else ():
        if other == frame.leaves_by:
            continue
        if other == frame.came_by:
            _drop(run, frame, f"{other} and {frame.leaves_by} have the same MAC, {frame.mac}: neither hears the other")
        run.suppose_drop(f"bridge {frame.bridge}", f"{frame.mac} is behind {other} too, and was heard from there last")


@lru_cache(maxsize=2)
def _ports_of(host: Host) -> dict[tuple[str | None, str | None], list[str]]:
    """The ports of each bridge by the MAC of the container behind them."""
    found: dict[tuple[str | None, str | None], list[str]] = {}
    for space in namespaces_of(host).all():
        for end in space.container.endpoints:
            link = lookups_of(host).links.get(end.veth or "")
            if link is not None:
                found.setdefault((link.master, mac_of(space, end)), []).append(link.name)
    return found


def mac_of(space: Namespace, endpoint: Endpoint) -> str | None:
    """The MAC of a container's device, as seen inside, else by the engine's word."""
    link = space.link(space.device(endpoint))
    mac = link.mac if link is not None and link.mac else endpoint.mac
    return mac.lower() if mac else None


# --- VLANs ------------------------------------------------------------------------------------------------------------


def _vlan(run: Run, frame: Frame) -> None:
    """What comes in without a tag belongs to the port's PVID; it leaves by ports of that VLAN, without a tag again."""
    bridge = _links(run).get(frame.bridge)
    if bridge is None or bridge.bridge is None or not bridge.bridge.vlan_filtering:
        return
    ports = run.host.bridging.vlans if run.host.bridging is not None else None
    if ports is None:
        run.suppose_drop(f"bridge {frame.bridge}", "its VLAN filter, whose VLANs were not read, drops it")
        return
    if frame.came_by is None or frame.leaves_by is None:
        return
    came, leaves = (name or frame.bridge for name in (frame.came_by, frame.leaves_by))
    pvid = next((port.first for port in ports.get(came, ()) if port.pvid), None)
    if pvid is None:
        if not _foreign(run, came):
            _drop(run, frame, f"{came} has no PVID: what comes in without a VLAN tag is dropped")
        return
    carried = next((port for port in ports.get(leaves, ()) if port.first <= pvid <= port.last), None)
    if carried is None:
        _drop(run, frame, f"{came} is in VLAN {pvid}, {leaves} is not")
    elif not carried.untagged and not _foreign(run, leaves):
        _drop(run, frame, f"what leaves by {leaves} has the tag of VLAN {pvid}, which its receiver does not take")


def _foreign(run: Run, port: str) -> bool:
    """Whether others than containers are behind it, who may tag their frames."""
    link = _links(run).get(port)
    return link is not None and link.master is not None and namespaces_of(run.host).behind(port) is None


# --- who is behind a port that is no container's ----------------------------------------------------------------------


def foreign_ports(host: Host, bridge: str) -> list[str]:
    spaces = namespaces_of(host)
    return [link.name for link in host.links or () if link.master == bridge and spaces.behind(link.name) is None]


def port_towards(run: Run, bridge: str, ip: IP | None, came_by: str | None = "") -> str | None:
    """The port behind which another machine is: by its MAC in the neighbour and forwarding tables, because there is but
    one (a frame does not go back by the port that it came by), or as the network's router; None where nothing tells."""
    ports = foreign_ports(run.host, bridge)
    macs = {
        neighbour.mac
        for neighbour in run.host.neighbours or ()
        if (neighbour.ip, neighbour.dev) == (ip, bridge) and neighbour.mac
    }
    found = {entry.port for mac in macs for entry in _entries(run, bridge, mac.lower()) if entry.port in ports}
    if len(found) == 1:
        return found.pop()
    if came_by in ports and len(ports) > 1:
        ports = [port for port in ports if port != came_by]
    return ports[0] if len(ports) == 1 else _uplink_port(run, bridge, ip, ports)


def _uplink_port(run: Run, bridge: str, ip: IP | None, ports: list[str]) -> str | None:
    """Where one port alone is a network card, the router is on its wire."""
    cards = [name for name in ports if _is_card(_links(run).get(name))]
    if len(cards) != 1 or not any(route.gateway == ip and route.dev == bridge for route in run.host.routes or ()):
        return None
    run.assume(f"{ip} is a router: taken to be behind {cards[0]}, the only network card of {bridge}")
    return cards[0]


def _is_card(link: Link | None) -> bool:
    return link is not None and (link.kind in (None, "bond", "team", "vlan") or _CARD.match(link.name) is not None)


_CARD = re.compile(r"(eth|en[opsx]|em|bond)\d")
