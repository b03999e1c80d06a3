"""What happens to a packet at a bridge and at a device, beside and around IP: bridge and netdev chains,
br_netfilter, and who gets the frame; macvlan and ipvlan.

Follows br_input.c, br_forward.c and br_netfilter_hooks.c, macvlan_handle_frame and macvlan_queue_xmit
of macvlan.c, ipvlan_xmit_mode_l2 of ipvlan_core.c."""

from __future__ import annotations

from collections.abc import Callable

from netdash.kernel.devices import queue_drops
from netdash.kernel.devices import trouble as trouble_of
from netdash.kernel.routing import address_type
from netdash.kernel.sockets import find_listener
from netdash.model.host import IP, Endpoint, Host, Link, Network
from netdash.model.records import dataclass, replace
from netdash.model.source import Source
from netdash.trace.chains import base, ip_hook, not_read
from netdash.trace.container_namespace import Namespace, namespaces_of
from netdash.trace.forwarding import known_routes
from netdash.trace.hooks import BRIDGE_NETFILTER
from netdash.trace.model import Verdict
from netdash.trace.namespace_state import link_of, lookups_of, number
from netdash.trace.run import Run


@dataclass(frozen=True, slots=True)
class Port:
    """Who is behind a port of a bridge."""

    space: Namespace
    endpoint: Endpoint


def ingress(run: Run, device: str) -> None:
    """XDP, netdev chains, and inet ingress, on a device that a frame came in by."""
    link = link_of(run, device)
    if link is not None and link.xdp and not run.answered_before():
        run.suppose_drop(device, f"the XDP program of {device} drops it")
    _on_device(run, "ingress", device)


def egress(run: Run, device: str) -> None:
    _on_device(run, "egress", device)


def leave(run: Run, device: str) -> None:
    """The netdev chains of a device and its queue, for a packet that leaves by it."""
    egress(run, device)
    queue = (run.host.qdiscs or {}).get(device)
    if queue is not None:
        if queue_drops(queue, min(run.packet.length or (0,)) + _HEADER):
            run.stop(Verdict.DROPPED, device, f"the queue of {device} drops every packet of this size: {queue}")
        run.assume(f"unless the queue of {device} drops it: {queue}")
        run.may_be_lost = True


_HEADER = 14  # bytes of Ethernet's, which a queue counts too


def _nft(run: Run) -> None:
    if run.hooks and run.hooks.unread_nft:
        not_read(run, run.hooks.unread_nft)


def _on_device(run: Run, hook: str, device: str) -> None:
    _nft(run)
    for chain in run.hooks.device(hook, device) if run.hooks else ():
        if chain.device is None and not run.choose(f"{chain.family} {chain.table}/{chain.name} is on {device}"):
            run.step(hook, chain, None, chain.policy or "accept", sure=False)  # old nft does not tell its device
        else:
            base(run, hook, chain)


def bridge_chains(
    run: Run,
    hook: str,
    came_by: str | None = "",
    leaves_by: str | None = "",
    takes: Callable[[int], bool] = lambda _: True,
) -> None:
    """The bridge family's chains whose priority `takes` likes; they see ports where IP sees the bridge. A port of None
    is not known."""
    _nft(run)
    before = run.packet
    chains = [chain for chain in (run.hooks.bridge(hook) if run.hooks else ()) if takes(chain.priority or 0)]
    if chains:
        run.packet = replace(before, iif=came_by, oif=leaves_by)
        for chain in chains:
            base(run, hook, chain)
        run.packet = replace(run.packet, iif=before.iif, oif=before.oif)


def netfilter_on_bridges(run: Run, bridge: str) -> bool:
    """Whether bridged packets meet the rules of IP: where br_netfilter is loaded, which makes its switches, and one of
    them is on for all bridges or for this one (br_nf_pre_routing)."""
    six = run.packet.family == 6
    name = f"net.bridge.bridge-nf-call-ip{'6' if six else ''}tables"
    if run.host.sysctls is None:
        return run.choose(f"{name} is on")
    link = lookups_of(run.host).links.get(bridge)
    own = link.bridge if link is not None else None
    here = own is not None and (own.nf_call_ip6 if six else own.nf_call_ip)
    return name in run.host.sysctls and (here or run.host.sysctls[name] == "1")


def before_ip(run: Run, bridge: str, port: str | None) -> bool:
    """Bridge prerouting of a packet that came in by a port; True when it met the prerouting rules of IP there."""
    calls = netfilter_on_bridges(run, bridge)
    bridge_chains(run, "prerouting", port, "", lambda priority: priority <= BRIDGE_NETFILTER)
    if calls:
        run.packet = replace(run.packet, iif=bridge, oif="")
        ip_hook(run, "prerouting")
    bridge_chains(run, "prerouting", port, "", lambda priority: priority > BRIDGE_NETFILTER)
    return calls


def across(run: Run, bridge: str, came_by: str | None, veth: str | None) -> None:
    """From port to port of one bridge, to the port `veth`."""
    calls = netfilter_on_bridges(run, bridge)
    run.packet = replace(run.packet, iif=bridge, oif=bridge, physdev_out=veth, bridged=True)
    run.hop(f"bridge {bridge}", "from port to port")
    bridge_chains(run, "forward", came_by, veth, lambda priority: priority <= BRIDGE_NETFILTER)
    if calls:
        ip_hook(run, "forward")
    bridge_chains(run, "forward", came_by, veth, lambda priority: priority > BRIDGE_NETFILTER)
    bridge_chains(run, "postrouting", "", veth)
    if calls:
        run.packet = replace(run.packet, iif="")  # br_nf_post_routing hands over no incoming device
        ip_hook(run, "postrouting")


def is_here(run: Run, ip: IP) -> bool:
    """Whether this host answers for an address on its links."""
    return address_type(ip, known_routes(run)) == "LOCAL"


def neighbour(run: Run, bridge: str, ip: IP) -> Port | None:
    """The container on this bridge that has an address; None: somebody else's port. Ends the run when nobody has it."""
    containers_read(run)
    if address_type(ip, known_routes(run)) in ("BROADCAST", "MULTICAST"):
        return _flooded(run, bridge, ip)
    found = [
        Port(space, end)
        for space, end in namespaces_of(run.host).at(ip)
        if _bridge_of(run, space, end) == bridge and space.container.running
    ]
    if len({port.space.container.id for port in found}) > 1:
        names = ", ".join(sorted(port.space.name for port in found))
        for port in found[1:]:
            if run.choose(f"of {names}, who all have {ip}, {port.space.name} answers"):
                return port
    if found:
        other = _other_mac(run, bridge, found[0], ip)
        if other:
            raise run.end(Verdict.UNKNOWN, f"bridge {bridge}", other)
        return found[0]
    wrong = [(space, end) for space, end in namespaces_of(run.host).at(ip) if _network_bridge(space, end) == bridge]
    for space, end in wrong:
        raise run.end(Verdict.DROPPED, f"bridge {bridge}", f"{space.name}: {end.veth or 'its veth'} is not in {bridge}")
    if _foreign_port(run, bridge):
        return None
    raise run.end(Verdict.NO_ROUTE, f"bridge {bridge}", f"nobody on {bridge} has {ip}: host unreachable")


def _other_mac(run: Run, bridge: str, port: Port, ip: IP) -> str:
    """That another than this container answered this host for its address just now (REACHABLE: confirmed); ""."""
    heard = next(
        (
            entry.mac
            for entry in (run.host.neighbours if run.space is None else None) or ()
            if entry.ip == ip and entry.dev == bridge and entry.state == "REACHABLE"
        ),
        None,
    )
    device = lookups_of(port.space.net).links.get(port.space.device(port.endpoint) or "")
    own = [mac.lower() for mac in (port.endpoint.mac, device.mac if device else None) if mac]
    if not heard or not own or heard.lower() in own:
        return ""
    return f"{heard} answers for {ip}, the engine gave {port.space.name} {own[0]}"


def _flooded(run: Run, bridge: str, ip: IP) -> Port | None:
    """Of all ports of the bridge, which get a broadcast, one whose container listens; the walk goes on there."""
    spaces = [namespaces_of(run.host).of(container) for container in run.host.containers or ()]
    others = {space.container.id: space for space in spaces if space is not None and space.container.id != run.asker}
    ports = [Port(other, end) for other in others.values() for end in other.container.endpoints]
    ports = [port for port in ports if _bridge_of(run, port.space, port.endpoint) == bridge]
    listen = [port for port in ports if _listens(run, port.space.net, ip)]
    names = ", ".join(port.space.name for port in listen)
    run.say(
        f"a {'multicast' if ip.is_multicast else 'broadcast'} to all ports of {bridge}"
        + (f": {names} listen" if names else "")
    )
    if not listen and ((run.asker and _listens(run, run.host, ip)) or _foreign_port(run, bridge)):
        what = f"who answers {ip} on {bridge} is not known: no container listens, others may"
        raise run.end(Verdict.UNKNOWN, f"bridge {bridge}", what)
    if not ports:
        raise run.end(Verdict.NO_ROUTE, f"bridge {bridge}", f"nobody else is on {bridge}")
    return (listen or ports)[0]


def _listens(run: Run, net: Host, ip: IP) -> bool:
    packet = run.packet
    return find_listener(net.listeners or (), packet.proto or "", ip, packet.dport, None)[0] is not None


def containers_read(run: Run) -> None:
    """Asked where a container may be who takes the packet."""
    if run.host.containers is None:
        run.without(Source.DOCKER, "the containers")
    if run.host.networks is None:
        run.without("networks", "the networks")


def _bridge_of(run: Run, space: Namespace, end: Endpoint) -> str | None:
    """The bridge that an endpoint is a port of, by the host's links; by the engine's word where those say nothing."""
    link = link_of(run, end.veth)
    return link.master if link is not None else _network_bridge(space, end)


def _network_bridge(space: Namespace, end: Endpoint) -> str | None:
    network = space.network(end)
    return network.bridge if network else None


def _foreign_port(run: Run, bridge: str) -> str | None:
    """A port behind which somebody may be who is no container of this engine."""
    spaces = namespaces_of(run.host)
    for link in run.host.links or ():
        if link.master == bridge and spaces.behind(link.name) is None:
            return link.name
    return None


def check_device(run: Run, link: Link | None) -> None:
    """Ends the run where nothing passes a device, or nothing of this size."""
    trouble = trouble_of(link)
    if link is not None and trouble:
        run.stop(Verdict.DROPPED, link.name, f"{link.name}: {trouble}")
    if link is None or link.mtu is None or link.name == "lo":
        return
    where = link.name if run.space is None else f"{link.name} of {run.space.name}"
    run.mtus.append((link.mtu, where))
    run.may_be_lost |= link.mtu < run.mtus[0][0]
    size = min(run.packet.length or (0,))
    if (
        size > link.mtu and len(run.mtus) > 1 and size <= run.mtus[0][0]
    ):  # a sender cuts what its own device does not take
        run.stop(Verdict.DROPPED, link.name, f"{size:,} bytes do not pass: {where} has an MTU of {link.mtu:,}")


def narrowest(run: Run) -> str | None:
    """Says which device lets only smaller packets pass than the first one."""
    least, name = min(run.mtus, default=(0, ""))
    first = run.mtus[0][0] if run.mtus else 0
    return f"{least:,} bytes pass, {first:,} do not: {name} has an MTU of {least:,}" if least < first else None


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
    parents = [other for other in run.host.links or () if _below(link, other)]
    found = _on(run, parents[0].name, ip) if parents else None
    return found if found is not None and _bridges(run, link) else None


def _below(link: Link, parent: Link) -> bool:
    return link.peer_netns is None and (link.lower == parent.name or link.peer_index == parent.index)


def _bridges(run: Run, link: Link) -> bool:
    if link.kind == "ipvlan" or link.mode is not None:
        return link.kind == "ipvlan" or link.mode == "bridge"
    return run.choose(f"{link.name} is in bridge mode")
