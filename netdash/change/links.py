"""Devices that are set up or down, are put on bridges, get or lose IPv4 addresses; and what the kernel does with their
routes and bridges then."""

from __future__ import annotations

from collections.abc import Iterable

from netdash.change.model import CannotModel
from netdash.kernel.devices import carrier
from netdash.model.addresses import only
from netdash.model.host import Interface, Link, Route
from netdash.model.kernel_state import AddressDetail, BridgePort
from netdash.model.records import dataclass, replace

_NO_CARRIER, _LOWER_UP = "NO-CARRIER", "LOWER_UP"


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices of a namespace and its routes."""

    links: tuple[Link, ...]
    routes: tuple[Route, ...]

    def link(self, name: str) -> Link:
        found = next((link for link in self.links if link.name == name), None)
        if found is None:
            raise CannotModel(f"there is no device {name}")
        return found


def switched(devices: Devices, name: str, up: bool, connected: bool | None) -> Devices:
    """`ip link set NAME up|down`. `connected`: whether the other end of a veth is up, None: it is here, or no veth."""
    link = devices.link(name)
    if "LOOPBACK" in link.flags or name == "lo":
        raise CannotModel("a loopback device that goes up or down is not modelled")
    above = [link.name for link in devices.links if link.lower == name and link.kind != "veth"]
    bonded = next((other.kind for other in devices.links if other.name == link.master and other.kind != "bridge"), None)
    if above or bonded:
        raise CannotModel(f"{name} carries {above[0] if above else link.master}: what becomes of that is not modelled")
    if link.up is up:
        return devices
    devices = _put_up(devices, link, connected) if up else _put_down(devices, link)
    peer = _peer(devices, link)
    if peer is not None and peer.up:
        devices = carried(devices, peer.name, up)
    return _bridged(devices, link)


def carried(devices: Devices, name: str, carries: bool) -> Devices:
    """A device that is up, and whose carrier comes or goes: its routes stay, and are marked (fib_sync_down_dev)."""
    link = devices.link(name)
    if not link.up or carrier(link) is carries:
        return devices
    state = "UP" if carries else "DOWN" if link.kind == "bridge" else "LOWERLAYERDOWN"
    flags = (link.flags | {_LOWER_UP}) - {_NO_CARRIER} if carries else (link.flags - {_LOWER_UP}) | {_NO_CARRIER}
    changed = replace(link, state=state, flags=flags)
    routes = tuple(
        replace(route, linkdown=not carries) if route.dev == name and route.kind not in ("local", "anycast") else route
        for route in devices.routes
    )
    return _bridged(_with(replace(devices, routes=routes), changed), changed)


def _put_down(devices: Devices, link: Link) -> Devices:
    """IPv4 keeps the addresses, and so the local routes; all other routes by the device go. IPv6 keeps nothing
    (fib_disable_ip, addrconf_ifdown)."""
    kept = [address.version == 4 for address in link.addresses]
    changed = replace(
        link,
        up=False,
        state="DOWN",
        flags=link.flags - {"UP", _LOWER_UP, _NO_CARRIER},
        addresses=tuple(address for address, stays in zip(link.addresses, kept, strict=True) if stays),
        details=tuple(detail for detail, stays in zip(link.details, kept, strict=False) if stays),
    )
    routes = (_without_device(route, link.name) for route in devices.routes)
    return _with(Devices(devices.links, tuple(route for route in routes if route is not None)), changed)


def _without_device(route: Route, name: str) -> Route | None:
    if route.hops and any(device == name for _, device in route.hops):
        hops = tuple(hop for hop in route.hops if hop[1] != name)
        return replace(route, hops=hops) if hops else None
    stays = route.dev != name or (route.family == 4 and route.kind == "local")
    return route if stays else None


def _put_up(devices: Devices, link: Link, connected: bool | None) -> Devices:
    peer = _peer(devices, link)
    if peer is not None:
        connected = peer.up
    carries = connected is not False
    if link.kind == "bridge":
        carries = any(port.up and carrier(port) for port in devices.links if port.master == link.name)
    plain = link.kind in ("veth", "bridge")
    state = ("UP" if carries else "DOWN" if link.kind == "bridge" else "LOWERLAYERDOWN") if plain else "UNKNOWN"
    flags = link.flags | ({"UP", _LOWER_UP} if carries else {"UP", _NO_CARRIER})
    changed = replace(link, up=True, state=state, flags=flags)
    fresh = [route for route in connected_routes(changed) if route not in devices.routes]
    return _with(Devices(devices.links, (*devices.routes, *fresh)), changed)


def connected_routes(link: Link) -> Iterable[Route]:
    """What the kernel makes of the IPv4 addresses of a device (fib_add_ifaddr)."""
    down = not carrier(link)
    for address in link.addresses:
        net = address.network
        if address.version != 4 or net.prefixlen == 32:
            continue
        yield Route(4, "main", "unicast", net, None, link.name, address.ip, 0, "kernel", "link", down)
        if net.prefixlen < 31:
            last = only(net.broadcast_address)
            yield Route(4, "local", "broadcast", last, None, link.name, address.ip, 0, "kernel", "link", down)


def _bridged(devices: Devices, link: Link) -> Devices:
    """A bridge has a carrier while one of its ports has; a port is disabled while it or its bridge has none."""
    if link.kind == "bridge":
        ports = [port for port in devices.links if port.master == link.name and port.port is not None]
        bridge = devices.link(link.name)
    elif link.master is not None:
        ports, bridge = [devices.link(link.name)], devices.link(link.master)
    else:
        return devices
    for port in ports:
        devices = _with(devices, replace(port, port=_port_state(port, bridge.up)))
    members = [port for port in devices.links if port.master == bridge.name]
    return carried(devices, bridge.name, any(port.up and carrier(port) for port in members))


def _port_state(port: Link, bridge_up: bool) -> BridgePort | None:
    if port.port is None or port.port.state not in ("disabled", "forwarding"):
        return port.port
    return replace(port.port, state="forwarding" if bridge_up and port.up and carrier(port) else "disabled")


def mastered(devices: Devices, name: str, bridge: str) -> Devices:
    """`ip link set NAME master BRIDGE`. The port begins with the kernel's own settings (br_add_if)."""
    link = devices.link(name)
    if devices.link(bridge).kind != "bridge":
        raise CannotModel(f"{bridge} is no bridge")
    if link.master is not None or link.kind not in (None, "veth"):
        raise CannotModel(f"{name} is a port of {link.master} or a {link.kind}: what becomes of that is not modelled")
    changed = replace(link, master=bridge, port=BridgePort(), hairpin=False)
    return _bridged(_with(devices, changed), changed)


def hairpinned(devices: Devices, name: str, on: bool) -> Devices:
    """`bridge link set dev NAME hairpin on|off`."""
    link = devices.link(name)
    if link.hairpin is None:
        raise CannotModel(f"{name} is no port of a bridge, or its settings were not read")
    return _with(devices, replace(link, hairpin=on))


def _peer(devices: Devices, link: Link) -> Link | None:
    """The other end of a veth, where it is in this namespace."""
    if link.kind != "veth" or link.lower is None:
        return None
    return next((other for other in devices.links if other.name == link.lower), None)


def _with(devices: Devices, changed: Link) -> Devices:
    links = tuple(changed if link.name == changed.name else link for link in devices.links)
    return replace(devices, links=links)


# --- veths that come and go -------------------------------------------------------------------------------------------


def plugged(devices: Devices, veth: Link) -> Devices:
    """With a new port of a bridge, whose other end is up."""
    return _bridged(replace(devices, links=(*devices.links, veth)), veth)


def unplugged(devices: Devices, name: str) -> Devices:
    """Without this port of a bridge."""
    gone = next((link for link in devices.links if link.name == name), None)
    if gone is None:
        return devices
    routes = (_without_device(route, name) for route in devices.routes)
    left = Devices(
        tuple(link for link in devices.links if link is not gone),
        tuple(route for route in routes if route is not None and route.dev != name),
    )
    bridge = next((link for link in left.links if link.name == gone.master and link.kind == "bridge"), None)
    return left if bridge is None else _bridged(left, bridge)


# --- IPv4 addresses that come and go, with the routes that the kernel keeps for each (fib_add_ifaddr) -----------------


def added(devices: Devices, name: str, address: Interface) -> Devices:
    """`ip address add`. A second one of a network is a secondary: its network's route is there already."""
    link = _modelled(devices, name, address)
    if address in link.addresses:
        raise CannotModel(f"{name} has {address} already")
    second = any(other.network == address.network for other in link.addresses)
    detail = AddressDetail(flags=frozenset({"secondary"} if second else ()))
    changed = replace(
        link,
        addresses=(*link.addresses, address),
        details=(*link.details, detail) if link.details or not link.addresses else (),
    )
    own = Route(4, "local", "local", only(address.ip), None, name, address.ip, 0, "kernel", "host")
    alone = replace(changed, addresses=(address,))
    connected = connected_routes(alone) if link.up and not second else ()
    fresh = [route for route in (own, *connected) if route not in devices.routes]
    return _with(replace(devices, routes=(*devices.routes, *fresh)), changed)


def removed(devices: Devices, name: str, address: Interface) -> Devices:
    """`ip address del`. With it go the routes whose source it is, and that of its network where it was the last."""
    link = _modelled(devices, name, address)
    if address not in link.addresses:
        raise CannotModel(f"{name} does not have {address}")
    at = link.addresses.index(address)
    if any(other.network == address.network for other in link.addresses[at + 1 :]):
        raise CannotModel(f"{name} has other addresses of {address.network}, which the kernel may remove as well")
    changed = replace(
        link,
        addresses=link.addresses[:at] + link.addresses[at + 1 :],
        details=link.details[:at] + link.details[at + 1 :],
    )
    elsewhere = any(value.ip == address.ip for other in devices.links if other is not link for value in other.addresses)
    left = []
    for route in devices.routes:
        own = route.dev == name and route.kind == "local" and route.dst == only(address.ip)
        sourced = route.prefsrc == address.ip and (route.dev == name or not elsewhere)
        if not own and not sourced:
            left.append(route)
    return _with(replace(devices, routes=tuple(left)), changed)


def _modelled(devices: Devices, name: str, address: Interface) -> Link:
    if address.version != 4:
        raise CannotModel(f"{address}: IPv6 addresses that come or go are not modelled")
    return devices.link(name)
