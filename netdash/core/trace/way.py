"""The whole way of one packet, place by place: from the sender's own routes to the receiver's socket. Each function
takes the packet one place further; a Run's end is an exception."""

from __future__ import annotations

from dataclasses import replace

from netdash.core.model import IP, Container, Link, Listener, Network, Proxy
from netdash.core.packet import Packet
from netdash.core.sockets import device_of, find_listener
from netdash.core.trace import beside, proxy
from netdash.core.trace.answer import Verdict
from netdash.core.trace.forwarding import Way, link_of, way_in, way_out
from netdash.core.trace.inside import Namespace, arrival, bound_to, namespaces_of
from netdash.core.trace.link_layer import (
    Port,
    across,
    before_ip,
    bridge_chains,
    check_device,
    containers_read,
    egress,
    ingress,
    is_here,
    neighbour,
)
from netdash.core.trace.run import Ended, Run
from netdash.core.trace.walk import ip_hook

_PORTLESS = ("icmp", "ipv6-icmp")

# --- where a packet starts --------------------------------------------------------------------------------------------


def from_host(run: Run, src: IP | None, by: Proxy | None = None) -> Ended:
    """This host's own process sends it, or a proxy answers."""
    run.hop("this host")
    way = way_out(run, src)
    if by is not None:
        proxy.answers(run, by, way, src)
    source = src or way.prefsrc
    if source is None and way.local:
        source = run.packet.dst
    run.packet = run.seen(replace(run.packet, src=source, iif="", oif=way.device, physdev_in="", physdev_out=""))
    turned = [way]

    def reroute(before: Packet) -> None:
        """ip_route_me_harder: again by what the rules made of the packet. The source stays, and so does the outgoing
        device that the hook's later chains are shown (nf_hook_state)."""
        now = run.packet
        if (before.dst, before.src, before.mark) == (now.dst, now.src, now.mark):
            return
        turned[0] = way_out(run, now.src)
        run.packet = run.seen(now)

    ip_hook(run, "output", reroute)
    return _out(run, turned[0])


def from_outside(run: Run, device: str) -> Ended:
    """Another machine sends it, and it comes in by a device of this host."""
    link = link_of(run, device)
    run.hop(device)
    if link is None and run.host.links is not None:
        raise run.end(Verdict.UNKNOWN, device, f"this host has no device {device}")
    check_device(run, link)
    ingress(run, device)
    taken = beside.takes(run, device, run.packet.dst)
    if taken is not None:
        return _taken(run, device, taken)
    if link is not None and link.master:
        master = link_of(run, link.master)
        if master is not None and master.kind == "bridge":
            return _at_bridge(run, device, link.master, run.packet.dst)
        device = link.master
    run.packet = run.seen(replace(run.packet, iif=device, oif="", physdev_in="", physdev_out="", bridged=False))
    return _ip(run)


def from_container(run: Run, space: Namespace, src: IP | None) -> Ended:
    """A container's process sends it: its own routes first."""
    run.hop(space.name)
    packet = run.packet
    if packet.dst is None:
        raise run.end(Verdict.UNKNOWN, space.name, "the packet's destination is not known here")
    if space.has(packet.dst):
        run.packet = replace(packet, src=src or packet.dst)
        run.say("an address of its own: the packet does not leave the container")
        return _inside(run, space, "lo")
    _routes_read(run, space)
    route = space.route(packet.dst)
    if route is None or route.kind != "unicast":
        what = "no route" if route is None else f"a {route.kind} route"
        raise run.end(Verdict.NO_ROUTE, space.name, f"{what} inside {space.name} leads to {packet.dst}")
    source = src or space.source(route)
    run.packet = replace(packet, src=source)
    run.say(f"by {route.dev}" + (f" via {route.gateway}" if route.gateway else ""))
    check_device(run, _device(run, space, route.dev))
    end = space.endpoint(route.dev)
    if end is None:
        raise run.end(Verdict.UNKNOWN, space.name, f"where {route.dev} inside {space.name} leads to is not known")
    network = space.network(end)
    if network is not None and network.driver in beside.DRIVERS:
        return _beside(run, space, network, route.gateway or packet.dst)
    bridge = network.bridge if network else None
    veth = link_of(run, end.veth)
    check_device(run, veth)
    if veth is not None and veth.master != bridge and bridge is not None and run.host.links is not None:
        raise run.end(Verdict.DROPPED, veth.name, f"{veth.name} is not in {bridge}")
    if bridge is None:
        raise run.end(Verdict.UNKNOWN, space.name, f"the bridge of network {end.network} is not known")
    return _at_bridge(run, end.veth or "", bridge, route.gateway or packet.dst)


def _device(run: Run, space: Namespace, device: str | None) -> Link | None:
    if space.links is None and space.recorded:
        what = f"the devices inside {space.name}"
        run.unread(f"{what} are down or have other addresses", f"{what} were not read")
    return space.link(device)


def _routes_read(run: Run, space: Namespace) -> None:
    for sentence in space.assumed:
        if space.recorded:
            what = f"the routes inside {space.name}"
            run.unread(f"{what} are others", f"{what} were not read")
        else:
            run.assume(sentence)


def _beside(run: Run, space: Namespace, network: Network, towards: IP) -> Ended:
    """macvlan and ipvlan hand frames to the parent's wire, or to each other, past this host's IP: its rules never see
    them."""
    driver, parent = network.driver, network.parent
    if network.mode.startswith("l3"):
        what = f"ipvlan in {network.mode} mode goes by this host's own routes, which is not followed"
        return run.end(Verdict.UNKNOWN, driver, what)
    other = beside.sibling(run, network, towards)
    if other is not None:
        if parent and driver == "macvlan":
            ingress(run, parent)  # macvlan_queue_xmit hands it to the parent as if it had come in there
        run.hop(parent or driver, f"from container to container by {driver}, beside this host's rules")
        return _inside(run, other.space, other.space.device(other.endpoint))
    if parent is None:
        return run.end(Verdict.NO_ROUTE, network.name, f"nobody on {network.name} has {towards}: host unreachable")
    if is_here(run, towards):
        device = beside.own_device(run, network, towards)
        if device is None:
            what = f"{driver} keeps {space.name} from the addresses of its own host: host unreachable"
            return run.end(Verdict.NO_ROUTE, driver, what)
        return from_outside(run, device)
    run.hop(parent, f"leaves by {driver}, beside this host's rules")
    egress(run, parent)
    check_device(run, link_of(run, parent))
    run.end_at = parent
    if run.packet.dst != towards and run.packet.dst is not None and is_here(run, run.packet.dst):
        run.assume(f"it comes back to this host where {towards} routes it here: ask outside@{run.packet.src}")
    return Ended(Verdict.FORWARDED, None)


def _taken(run: Run, device: str, port: Port) -> Ended:
    """By macvlan or ipvlan, from the wire of its parent (rx_handler, before IP)."""
    if not run.connection.answering:
        run.assume(f"the sender asks the wire of {device} for {run.packet.dst}, and does not route it by this host")
    run.say(f"{beside.driver_of(port)} takes it for {port.space.name}, before this host's IP")
    return _inside(run, port.space, port.space.device(port.endpoint))


# --- at a bridge ------------------------------------------------------------------------------------------------------


def _at_bridge(run: Run, veth: str, bridge: str, towards: IP | None) -> Ended:
    """A frame came in by a port, for whoever has the address `towards`."""
    run.hop(f"bridge {bridge}")
    check_device(run, _admin_down(run, bridge))
    run.packet = run.seen(replace(run.packet, iif=bridge, oif="", physdev_in=veth, physdev_out="", bridged=False))
    ingress(run, veth)
    up = towards is None or is_here(run, towards)
    hanging = beside.takes(run, bridge, towards)
    port = None if up or towards is None or hanging else neighbour(run, bridge, towards)
    before = run.packet.dst
    met = before_ip(run, bridge, veth)
    if hanging is not None:
        bridge_chains(run, "input", veth)
        return _taken(run, bridge, hanging)
    if met and run.packet.dst != before:
        return _translated_at_bridge(run, bridge, veth)
    if up:
        bridge_chains(run, "input", veth)
        return _ip(run, met)
    return _to_port(run, bridge, veth, port)


def _admin_down(run: Run, bridge: str) -> Link | None:
    link = link_of(run, bridge)
    return link if link is not None and not link.up else None


def _translated_at_bridge(run: Run, bridge: str, veth: str) -> Ended:
    """br_nf_pre_routing_finish: a new destination on the same bridge is bridged, any other is routed; what no route
    takes goes up to IP too, which drops it."""
    try:
        way = way_in(run)
    except Ended as ended:
        place = ended.decision.place if ended.decision else ""
        if ended.verdict is not Verdict.MARTIAN and "rp_filter" not in place:
            bridge_chains(run, "input", veth)
        raise
    if not way.local and way.device == bridge and run.packet.dst is not None:
        towards = way.gateway or run.packet.dst
        return _to_port(run, bridge, veth, neighbour(run, bridge, towards))
    bridge_chains(run, "input", veth)
    return _local(run) if way.local else _forward(run, way)


def _to_port(run: Run, bridge: str, veth: str, port: Port | None) -> Ended:
    out = (port.endpoint.veth if port else None) or ""
    if out and out == veth:
        link = link_of(run, veth)
        hairpin = link.hairpin if link is not None else None
        if not (run.choose(f"hairpin is on for {veth}") if hairpin is None else hairpin):
            what = f"{veth} is no hairpin port: a frame does not go back there"
            raise run.end(Verdict.DROPPED, f"bridge {bridge}", what)
    across(run, bridge, veth, out)
    return _port(run, bridge, port)


def _port(run: Run, bridge: str, port: Port | None) -> Ended:
    if port is None:
        containers_read(run)
        run.end_at = bridge
        run.hop(bridge, "to a port that is no container's")
        return Ended(Verdict.FORWARDED, None)
    check_device(run, link_of(run, port.endpoint.veth))
    return _inside(run, port.space, port.space.device(port.endpoint))


# --- IP ---------------------------------------------------------------------------------------------------------------


def _ip(run: Run, met: bool = False) -> Ended:
    """ip_rcv: the packet came in by `packet.iif`; `met`: it has been at prerouting already, from a bridge port."""
    if not met:
        run.packet = replace(run.packet, physdev_in="")
        ip_hook(run, "prerouting")
    way = way_in(run)
    return _local(run) if way.local else _forward(run, way)


def _forward(run: Run, way: Way) -> Ended:
    run.packet = run.seen(replace(run.packet, oif=way.device))
    ip_hook(run, "forward")
    return _out(run, way)


def _out(run: Run, way: Way) -> Ended:
    """ip_output: by a device, which may be loopback."""
    run.next_hop = way.gateway
    run.packet = replace(run.packet, oif=way.device)
    ip_hook(run, "postrouting")
    link = link_of(run, way.device)
    if way.local:
        run.hop("lo")
        run.connection.confirmed = True
        seen = run.connection.shown(run.packet) if run.packet.ctdir else run.packet  # it keeps its connection on lo
        run.packet = replace(seen, iif="lo", oif="")
        ip_hook(run, "prerouting")
        return _local(run)
    towards = way.gateway or run.packet.dst
    run.hop(way.device)
    egress(run, way.device)
    check_device(run, link)
    hanging = beside.answers(run, link, towards)
    if hanging is not None:
        return _inside(run, hanging.space, hanging.space.device(hanging.endpoint))
    if link is not None and link.kind == "bridge" and towards is not None:
        port = neighbour(run, way.device, towards)
        veth = (port.endpoint.veth if port else None) or ""
        bridge_chains(run, "output", "", veth)
        bridge_chains(run, "postrouting", "", veth)
        return _port(run, way.device, port)
    behind = namespaces_of(run.host).behind(way.device)
    if behind is not None:
        return _inside(run, behind[0], behind[0].device(behind[1]))
    containers_read(run)
    run.end_at = way.device
    run.say(f"leaves this host by {way.device}")
    src = run.packet.src
    if run.packet.dst is not None and beside.device_of(run, run.packet.dst):
        run.assume(f"{run.packet.dst} is a container's here: it comes back where {towards} sends it on that wire")
    if src is not None and namespaces_of(run.host).at(src) and not run.connection.answering:
        run.assume(f"{src} leaves untranslated: the answer comes back only where others have a route to it")
    return Ended(Verdict.FORWARDED, None)


# --- where it ends ----------------------------------------------------------------------------------------------------


def _local(run: Run) -> Ended:
    """ip_local_deliver, and the socket."""
    run.packet = replace(run.packet, oif="")
    ip_hook(run, "input")
    run.end_at = None
    packet, host = run.packet, run.host
    run.hop("this host")
    if run.connection.answering or packet.proto in _PORTLESS:
        return Ended(Verdict.DELIVERED, None)
    if host.listeners is None or packet.dst is None or packet.dport is None:
        return run.end(Verdict.UNKNOWN, "this host", "which sockets listen here is not known")
    proto = packet.proto or ""
    device = (device_of(host.links, packet.dst) or "lo") if packet.iif == "lo" else packet.iif
    heard, sure = find_listener(host.listeners, proto, packet.dst, packet.dport, device)
    if heard is not None and not sure:
        return run.end(Verdict.UNKNOWN, "this host", bound_to(heard))
    if heard is None:
        return run.end(
            Verdict.NO_LISTENER, "this host", f"nothing listens on {_socket(packet.dst, packet.dport)}/{proto}"
        )
    if host.proxies is None and (heard.command is None or "proxy" in heard.command):
        run.without("proxies", "the userland proxies")
    by = proxy.proxy_of(host.proxies or (), heard, packet.dst)
    if by is not None:
        run.say(f"{by.command} (pid {by.pid}) takes it for {_socket(by.container_ip, by.container_port)}")
        run.end_at = by
        return Ended(Verdict.PROXY, None)
    if heard.program == "dockerd":
        return run.end(Verdict.NO_LISTENER, "this host", "dockerd only keeps the port: it answers nobody")
    run.say(f"{heard.program or 'a process'} listens on {_socket(heard.ip, heard.port)}")
    return Ended(Verdict.DELIVERED, None)


def _inside(run: Run, space: Namespace, device: str) -> Ended:
    """The packet is in the receiver's network namespace."""
    run.hop(space.name)
    run.end_at = space
    packet, container = run.packet, space.container
    check_device(run, _device(run, space, device))
    if packet.dst is None or packet.src is None:
        return run.end(Verdict.UNKNOWN, space.name, "the packet's addresses are not known here")
    if not space.has(packet.dst):
        return run.end(Verdict.DROPPED, space.name, f"{packet.dst} is no address of {space.name}")
    if device != "lo":
        _expected(run, space, device, packet.src)
    if container.state == "paused":
        run.say("paused: its kernel answers, its processes do not")
        run.assume(f"{space.name} is paused: a connection is opened, and nobody answers")
    if run.connection.answering or packet.proto in _PORTLESS:
        return Ended(Verdict.DELIVERED, None)
    return _listening(run, space, container, device)


def _expected(run: Run, space: Namespace, device: str, src: IP) -> None:
    """rp_filter inside the container."""
    mode = space.rp_filter(device)
    if src.version == 6 or mode == 0:
        return
    _routes_read(run, space)
    route = space.route(src)
    came = space.endpoint(device)
    back = space.endpoint(route.dev) if route is not None else None
    if route is not None and (mode == 2 or route.dev == device or (back is not None and back is came)):
        return
    told = mode is not None and (route is None or (back is not None and came is not None))
    if not told and not run.choose(f"rp_filter inside {space.name} drops what came by {device}"):
        return
    out = f"leads out by {route.dev}" if route else "is missing"
    what = f"rp_filter of {device} inside {space.name} is {mode or 1}: the route to {src} {out}"
    run.stop(Verdict.DROPPED, f"{space.name} rp_filter", what)


def _listening(run: Run, space: Namespace, container: Container, device: str) -> Ended:
    packet = run.packet
    if container.listeners is None or packet.dst is None or packet.dport is None:
        return run.end(Verdict.UNKNOWN, space.name, f"which sockets listen inside {space.name} is not known")
    sockets = _of_namespace(run, space)
    proto = packet.proto or ""
    heard, sure = find_listener(sockets, proto, packet.dst, packet.dport, arrival(space, device, packet.dst))
    if heard is not None and not sure:
        return run.end(Verdict.UNKNOWN, space.name, bound_to(heard))
    if heard is None:
        elsewhere = next((one for one in sockets if (one.proto, one.port) == (proto, packet.dport)), None)
        hint = f", only on {elsewhere.ip}" if elsewhere else ""
        what = f"nothing listens on {_socket(packet.dst, packet.dport)}/{proto} inside {space.name}{hint}"
        return run.end(Verdict.NO_LISTENER, space.name, what)
    run.say(f"{heard.command or 'a process'} listens on {_socket(heard.ip, heard.port)}")
    return Ended(Verdict.DELIVERED, None)


def _of_namespace(run: Run, space: Namespace) -> tuple[Listener, ...]:
    """Sockets of the container, and of those that share its namespace."""
    sharing = (one for one in run.host.containers or () if one.shares_with == space.name and one.listeners)
    return tuple(
        dict.fromkeys((*(space.container.listeners or ()), *(each for one in sharing for each in one.listeners or ())))
    )


def _socket(ip: IP, port: int) -> str:
    return f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"
