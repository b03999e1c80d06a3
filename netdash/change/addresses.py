"""IPv4 addresses that a device gets or loses, and the routes that the kernel keeps for each (fib_add_ifaddr,
fib_del_ifaddr)."""

from __future__ import annotations

from dataclasses import replace

from netdash.change.errors import CannotModel
from netdash.change.links import Devices, connected_routes
from netdash.model.addresses import only
from netdash.model.host import Interface, Link, Route
from netdash.model.kernel_state import AddressDetail


def added(devices: Devices, name: str, address: Interface) -> Devices:
    """`ip address add`. A second one of a network is a secondary: its network's route is there already."""
    link = _modelled(devices, name, address)
    if address in link.addresses:
        raise CannotModel(f"{name} has {address} already")
    second = any(one.network == address.network for one in link.addresses)
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
    return Devices(_with(devices.links, changed), (*devices.routes, *fresh))


def removed(devices: Devices, name: str, address: Interface) -> Devices:
    """`ip address del`. With it go the routes whose source it is, and that of its network where it was the last."""
    link = _modelled(devices, name, address)
    if address not in link.addresses:
        raise CannotModel(f"{name} does not have {address}")
    at = link.addresses.index(address)
    if any(one.network == address.network for one in link.addresses[at + 1 :]):
        raise CannotModel(f"{name} has other addresses of {address.network}, which the kernel may remove as well")
    changed = replace(
        link,
        addresses=link.addresses[:at] + link.addresses[at + 1 :],
        details=link.details[:at] + link.details[at + 1 :],
    )
    elsewhere = any(one.ip == address.ip for other in devices.links if other is not link for one in other.addresses)
    left = []
    for route in devices.routes:
        own = route.dev == name and route.kind == "local" and route.dst == only(address.ip)
        sourced = route.prefsrc == address.ip and (route.dev == name or not elsewhere)
        if not own and not sourced:
            left.append(route)
    return Devices(_with(devices.links, changed), tuple(left))


def _modelled(devices: Devices, name: str, address: Interface) -> Link:
    if address.version != 4:
        raise CannotModel(f"{address}: IPv6 addresses that come or go are not modelled")
    return devices.link(name)


def _with(links: tuple[Link, ...], changed: Link) -> tuple[Link, ...]:
    return tuple(changed if link.name == changed.name else link for link in links)
