"""macvlan and ipvlan: containers that hang on a device of this host and share its wire, beside this host's IP. Follows
macvlan_handle_frame and macvlan_queue_xmit of macvlan.c, ipvlan_xmit_mode_l2 of ipvlan_core.c."""

from __future__ import annotations

from netdash.model.host import IP, Host, Link, Network
from netdash.trace.container_namespace import namespaces_of
from netdash.trace.link_layer import Port
from netdash.trace.model import Verdict
from netdash.trace.namespace_state import link_of, number
from netdash.trace.run import Run

DRIVERS = ("macvlan", "ipvlan")
_APART = ("private", "vepa")  # modes in which the containers of one device do not hear each other directly


def takes(run: Run, device: str, ip: IP | None) -> Port | None:
    """Who takes a frame that came in by a device, before the host's own IP does: macvlan by its MAC, ipvlan by its
    address."""
    return _on(run, device, ip)


def device_of(run: Run, ip: IP) -> str | None:
    """The device on whose wire a macvlan or ipvlan container has this address."""
    return wire_of(run.host, ip)


def wire_of(host: Host, ip: IP) -> str | None:
    """The same, asked of a host."""
    for space, end in namespaces_of(host).at(ip):
        network = space.network(end)
        if network is not None and network.driver in DRIVERS and network.parent:
            return network.parent
    return None


def _on(run: Run, wire: str, ip: IP | None) -> Port | None:
    found = namespaces_of(run.host).at(ip) if ip is not None else []
    if found and run.host.networks is None:
        run.without("networks", "the networks")
    for space, end in found:
        network = space.network(end)
        if network is not None and network.driver in DRIVERS and wire in (network.parent, network.id):
            return Port(space, end)
    return None


def driver_of(port: Port) -> str:
    network = port.space.network(port.endpoint)
    return network.driver if network else ""


def sibling(run: Run, network: Network, ip: IP | None) -> Port | None:
    """Who gets it of the containers on the same device. Ends the run where the wire's switch would have to send it
    back, which does not help in private mode: macvlan gives a broadcast that comes back to none but its sender, ipvlan
    drops the frame."""
    found = _on(run, network.parent or network.id, ip)
    if found is not None and network.mode == "private":
        what = f"{network.driver} in private mode keeps {found.space.name} from the other containers: host unreachable"
        raise run.end(Verdict.NO_ROUTE, network.parent or network.driver, what)
    if found is not None and network.mode in _APART:
        what = f"{network.driver} in {network.mode} mode: whether the switch sends the frame back is not known"
        raise run.end(Verdict.UNKNOWN, network.parent or network.driver, what)
    return found


def own_device(run: Run, network: Network, ip: IP) -> str | None:
    """This host's own macvlan or ipvlan device on the same wire: containers reach the host by it, of IPv4 at any of the
    host's addresses, which it answers ARP for."""
    parent = link_of(run, network.parent)
    hanging = [
        link
        for link in run.host.links or ()
        if parent is not None and link.kind == network.driver and _below(link, parent)
    ]
    own = [link for link in hanging if any(address.ip == ip for address in link.addresses)]
    if not own and ip.version == 4 and network.driver == "macvlan":
        own = [link for link in hanging if link.addresses and not _own_only(run.host, link.name)]
    return next((link.name for link in own if network.mode not in _APART and _bridges(run, link)), None)


def _own_only(host: Host, device: str) -> bool:
    """Whether a device answers ARP for its own addresses alone."""
    names = ("all", device.replace(".", "/"))
    return any(number(host, f"net.ipv4.conf.{name}.arp_ignore") for name in names)


def answers(run: Run, link: Link | None, ip: IP | None) -> Port | None:
    """The container that gets what this host sends by one of its devices. Ends the run for one on the device itself:
    what a device sends does not come in to those that hang on it."""
    if link is None:
        return None
    hidden = _on(run, link.name, ip)
    if hidden is not None:
        what = f"{driver_of(hidden)} keeps {hidden.space.name} from its own host: host unreachable on {link.name}"
        raise run.end(Verdict.NO_ROUTE, link.name, what)
    if link.kind not in DRIVERS:
        return None
    parents = [one for one in run.host.links or () if _below(link, one)]
    found = _on(run, parents[0].name, ip) if parents else None
    return found if found is not None and _bridges(run, link) else None


def _below(link: Link, parent: Link) -> bool:
    return link.peer_netns is None and (link.lower == parent.name or link.peer_index == parent.index)


def _bridges(run: Run, link: Link) -> bool:
    if link.kind == "ipvlan" or link.mode is not None:
        return link.kind == "ipvlan" or link.mode == "bridge"
    return run.choose(f"{link.name} is in bridge mode")
