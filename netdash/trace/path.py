"""The whole way of one packet, place by place: from the sender's own routes to the receiver's socket. Each function
takes the packet one place further; a Run's end is an exception."""

from __future__ import annotations

from netdash.kernel import devices
from netdash.kernel.routing import Flow, find
from netdash.model.host import IP, Link, Network, Proxy
from netdash.model.packet import Packet
from netdash.model.records import dataclass, replace
from netdash.trace import delivery, link_layer
from netdash.trace.bridge import Frame, foreign_ports, passes, port_towards
from netdash.trace.chains import ip_hook
from netdash.trace.container_namespace import Namespace, namespaces_of
from netdash.trace.delivery import local
from netdash.trace.forwarding import Way, known_routes, way_in, way_out
from netdash.trace.link_layer import (
    Port,
    across,
    before_ip,
    bridge_chains,
    check_device,
    containers_read,
    ingress,
    is_here,
    leave,
    neighbour,
)
from netdash.trace.model import Verdict
from netdash.trace.namespace_state import link_of, looked_at, lookups_of
from netdash.trace.neighbour_discovery import ask_on_bridge, ask_outside, asked_from_outside, port_of, proxied
from netdash.trace.return_routes import network_of
from netdash.trace.run import Ended, Run


@dataclass(frozen=True, slots=True)
class Outlet:
    """A device of a container that leads to no network of the engine."""

    space: Namespace
    device: str


# --- where a packet starts --------------------------------------------------------------------------------------------


def from_host(run: Run, src: IP | None, by: Proxy | None = None) -> Ended:
    """This host's own process sends it, or a proxy answers."""
    run.hop("this host")
    return _sends(run, src, by)


def _sends(run: Run, src: IP | None, by: Proxy | None = None) -> Ended:
    """A process of the namespace where the packet is sends it."""
    way = way_out(run, src)
    if run.heard is not None and run.connection.answering:
        delivery.answers(run, run.heard, by, src)
    source = src or way.prefsrc
    if source is None and way.local:
        source = run.packet.dst
    run.packet = looked_at(run.net, run.packet, src=source, iif="", oif=way.device, physdev_in="", physdev_out="")
    run.sent = run.sent or run.packet
    turned = [way]

    def reroute(before: Packet) -> None:
        """ip_route_me_harder: again by what the rules made of the packet. The source stays, and so does the outgoing
        device that the hook's later chains are shown (nf_hook_state)."""
        now = run.packet
        if (before.dst, before.src, before.mark) == (now.dst, now.src, now.mark):
            return
        turned[0] = way_out(run, now.src)
        run.packet = looked_at(run.net, now)

    ip_hook(run, "output", reroute)
    return _out(run, turned[0])


def from_outside(run: Run, device: str) -> Ended:
    """Another machine sends it, and it comes in by a device of this host."""
    run.sent = run.sent or run.packet
    run.came_by = run.came_by or device
    link = link_of(run, device)
    run.hop(device)
    if link is None and run.host.links is not None:
        raise run.end(Verdict.UNKNOWN, device, f"this host has no device {device}")
    check_device(run, link)
    ingress(run, device)
    taken = link_layer.takes(run, device, run.packet.dst)
    if taken is not None:
        return _taken(run, device, taken)
    master = link_of(run, link.master) if link is not None else None
    if master is not None and master.kind == "bridge":
        return _at_bridge(run, device, master.name, _on_link(run, master))
    if link is not None and link.kind == "bridge" and foreign_ports(run.host, device):
        port = port_towards(run, device, _previous_hop(run, device))
        check_device(run, link_of(run, port))
        return _at_bridge(run, port, device, _on_link(run, link))
    device = master.name if master is not None else device
    asked_from_outside(run, device)
    run.packet = looked_at(run.net, run.packet, iif=device, oif="", physdev_in="", physdev_out="", bridged=False)
    return _ip(run)


def _on_link(run: Run, bridge: Link) -> IP | None:
    """For whom others on a bridge's wire send the packet: for its receiver there, else (None) for this host."""
    dst = run.packet.dst
    return dst if any(dst in own.network for own in bridge.addresses) else None


def _previous_hop(run: Run, device: str) -> IP | None:
    """The neighbour on a device who sends what comes from the packet's source."""
    src = run.packet.src
    route = find(Flow(src), known_routes(run), run.host.policy, lambda _: False).route if src is not None else None
    return src if route is None or route.gateway is None or route.dev != device else route.gateway


def from_outlet(run: Run, outlet: Outlet) -> Ended:
    """Somebody behind a container's own device sends it."""
    run.sent = run.sent or run.packet
    return _inside(run, outlet.space, outlet.device)


def from_container(run: Run, space: Namespace, src: IP | None) -> Ended:
    """A container's process sends it: its own routes first."""
    run.enter(space)
    run.asker = space.container.id
    run.hop(space.name)
    return _sends(run, src)


def _from_device(run: Run, space: Namespace, way: Way) -> Ended:
    """The packet leaves a container by one of its devices, and comes to this host, to another container, or to a wire
    beside them."""
    towards = way.gateway or run.packet.dst
    check_device(run, space.link(way.device))
    end = space.endpoint(way.device)
    if end is None:
        run.end_at = Outlet(space, way.device)
        run.say(f"leaves {space.name} by {way.device}")
        return Ended(Verdict.FORWARDED, None)
    network = space.network(end)
    run.enter(None)
    if towards is None:
        raise run.end(Verdict.UNKNOWN, space.name, "the packet's destination is not known here")
    if network is not None and network.driver in link_layer.DRIVERS:
        return _beside(run, space, network, towards)
    bridge = network.bridge if network else None
    veth = link_of(run, end.veth)
    check_device(run, veth)
    if veth is not None and veth.master != bridge and bridge is not None and run.host.links is not None:
        raise run.end(Verdict.DROPPED, veth.name, f"{veth.name} is not in {bridge}")
    if bridge is None:
        where = f"network {end.network} is an overlay, whose bridge is in a namespace of its own: not followed"
        plain = f"the bridge of network {end.network} is not known"
        known = network is not None and network.driver == "overlay"
        raise run.end(Verdict.UNKNOWN, space.name, where if known else plain)
    if veth is None and run.host.links is not None and link_of(run, bridge) is None:
        raise run.end(Verdict.UNKNOWN, space.name, f"its bridge {bridge} is not in this network namespace")
    return _at_bridge(run, end.veth or "", bridge, towards)


def _beside(run: Run, space: Namespace, network: Network, towards: IP) -> Ended:
    """macvlan and ipvlan hand frames to the parent's wire, or to each other, past this host's IP: its rules never see
    them."""
    driver, parent = network.driver, network.parent
    if network.mode.startswith("l3"):
        what = f"ipvlan in {network.mode} mode goes by this host's own routes, which is not followed"
        return run.end(Verdict.UNKNOWN, driver, what)
    other = link_layer.sibling(run, network, towards)
    if other is not None:
        if parent and driver == "macvlan":
            ingress(run, parent)  # macvlan_queue_xmit hands it to the parent as if it had come in there
        run.hop(parent or driver, f"from container to container by {driver}, beside this host's rules")
        return _inside(run, other.space, other.space.device(other.endpoint))
    if parent is None:
        return run.end(Verdict.NO_ROUTE, network.name, f"nobody on {network.name} has {towards}: host unreachable")
    if is_here(run, towards):
        device = link_layer.own_device(run, network, towards)
        if device is None:
            what = f"{driver} keeps {space.name} from the addresses of its own host: host unreachable"
            return run.end(Verdict.NO_ROUTE, driver, what)
        return from_outside(run, device)
    run.hop(parent, f"leaves by {driver}, beside this host's rules")
    leave(run, parent)
    check_device(run, link_of(run, parent))
    run.end_at = parent
    run.beside = True
    if run.packet.dst != towards and run.packet.dst is not None and is_here(run, run.packet.dst):
        run.assume(f"it comes back to this host where {towards} routes it here: ask outside@{run.packet.src}")
    return Ended(Verdict.FORWARDED, None)


def _taken(run: Run, device: str, port: Port) -> Ended:
    """By macvlan or ipvlan, from the wire of its parent (rx_handler, before IP)."""
    if not run.connection.answering:
        run.assume(f"the sender asks the wire of {device} for {run.packet.dst}, and does not route it by this host")
    run.say(f"{link_layer.driver_of(port)} takes it for {port.space.name}, before this host's IP")
    return _inside(run, port.space, port.space.device(port.endpoint))


# --- at a bridge ------------------------------------------------------------------------------------------------------


def _at_bridge(run: Run, veth: str | None, bridge: str, towards: IP | None) -> Ended:
    """A frame came in by a port (None: by which is not known), for whoever has the address `towards`; None: this
    host."""
    run.hop(f"bridge {bridge}")
    check_device(run, _admin_down(run, bridge))
    run.packet = looked_at(run.net, run.packet, iif=bridge, oif="", physdev_in=veth, physdev_out="", bridged=False)
    if veth is not None:
        ingress(run, veth)
    up = towards is None or is_here(run, towards) or proxied(run, bridge, towards)
    hanging = link_layer.takes(run, bridge, towards)
    port = None if up or towards is None or hanging else neighbour(run, bridge, towards)
    if hanging is None:
        ask_on_bridge(run, bridge, veth, None if up else port_of(run, bridge, port, towards, veth), towards)
    if up:
        passes(run, Frame(bridge, veth, ""))
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
    return _to_port(run, bridge, veth, port, towards)


def _admin_down(run: Run, bridge: str) -> Link | None:
    link = link_of(run, bridge)
    return link if link is not None and not link.up else None


def _translated_at_bridge(run: Run, bridge: str, veth: str | None) -> Ended:
    """br_nf_pre_routing_finish: a new destination on the same bridge is bridged, to the MAC by which this host knows it
    (br_nf_pre_routing_finish_bridge), any other is routed; what no route takes goes up to IP too, which drops it."""
    try:
        way = way_in(run)
    except Ended as ended:
        place = ended.decision.place if ended.decision else ""
        if ended.verdict is not Verdict.MARTIAN and "rp_filter" not in place:
            bridge_chains(run, "input", veth)
        raise
    if not way.local and way.device == bridge and run.packet.dst is not None:
        towards = way.gateway or run.packet.dst
        port = neighbour(run, bridge, towards)
        ask_on_bridge(run, bridge, "", port_of(run, bridge, port, towards, veth), towards)
        return _to_port(run, bridge, veth, port, towards)
    bridge_chains(run, "input", veth)
    return local(run) if way.local else _forward(run, way)


def _to_port(run: Run, bridge: str, veth: str | None, port: Port | None, towards: IP | None) -> Ended:
    party = port_of(run, bridge, port, towards, veth)
    out = party.port
    if out and out == veth:
        link = link_of(run, veth)
        hairpin = link.hairpin if link is not None else None
        if not (run.choose(f"hairpin is on for {veth}") if hairpin is None else hairpin):
            what = f"{veth} is no hairpin port: a frame does not go back there"
            raise run.end(Verdict.DROPPED, f"bridge {bridge}", what)
    passes(run, Frame(bridge, veth, out, party.mac))
    across(run, bridge, veth, out)
    return _port(run, bridge, port)


def _port(run: Run, bridge: str, port: Port | None) -> Ended:
    if port is None:
        containers_read(run)
        dst = run.packet.dst
        away = devices.ingress(network_of(run.host, dst), dst) if dst is not None else ""
        if away:
            raise run.end(Verdict.UNKNOWN, bridge, away)
        run.end_at = bridge
        run.hop(bridge, "to a port that is no container's")
        return Ended(Verdict.FORWARDED, None)
    if port.endpoint.veth:
        leave(run, port.endpoint.veth)
    check_device(run, link_of(run, port.endpoint.veth))
    return _inside(run, port.space, port.space.device(port.endpoint))


# --- IP ---------------------------------------------------------------------------------------------------------------


def _ip(run: Run, met: bool = False) -> Ended:
    """ip_rcv: the packet came in by `packet.iif`; `met`: it has been at prerouting already, from a bridge port."""
    if not met:
        run.packet = replace(run.packet, physdev_in="")
        ip_hook(run, "prerouting")
    way = way_in(run)
    return local(run) if way.local else _forward(run, way)


def _forward(run: Run, way: Way) -> Ended:
    run.packet = looked_at(run.net, run.packet, oif=way.device)
    if run.ttl is not None:  # ip_forward
        if run.ttl <= 1:
            run.stop(Verdict.DROPPED, run.at("time to live"), f"a rule set its time to live to {run.ttl}: it ends here")
        run.ttl -= 1
    ip_hook(run, "forward")
    return _out(run, way)


def _out(run: Run, way: Way) -> Ended:
    """ip_output: by a device, which may be loopback."""
    run.next_hop = way.gateway
    run.packet = replace(run.packet, oif=way.device)
    ip_hook(run, "postrouting")
    if way.local:
        run.hop(run.at("lo"))
        check_device(run, link_of(run, "lo"))
        run.connection.confirmed = True
        seen = run.connection.shown(run.packet) if run.packet.ctdir else run.packet  # it keeps its connection on lo
        run.packet = replace(seen, iif="lo", oif="")
        ip_hook(run, "prerouting")
        return local(run)
    run.connection.confirmed = True
    if isinstance(run.space, Namespace):
        return _from_device(run, run.space, way)
    return _by_device(run, way)


def _by_device(run: Run, way: Way) -> Ended:
    """By a device of this host."""
    _ipsec(run)
    link = link_of(run, way.device)
    towards = way.gateway or run.packet.dst
    run.hop(way.device)
    leave(run, way.device)
    check_device(run, link)
    hanging = link_layer.answers(run, link, towards)
    if hanging is not None:
        return _inside(run, hanging.space, hanging.space.device(hanging.endpoint))
    if link is not None and link.kind == "bridge" and towards is not None:
        port = neighbour(run, way.device, towards)
        party = port_of(run, way.device, port, towards)
        ask_on_bridge(run, way.device, "", party, towards)
        passes(run, Frame(way.device, "", party.port, party.mac))
        bridge_chains(run, "output", "", party.port)
        bridge_chains(run, "postrouting", "", party.port)
        return _port(run, way.device, port)
    behind = namespaces_of(run.host).behind(way.device)
    if behind is not None:
        return _inside(run, behind[0], behind[0].device(behind[1]))
    containers_read(run)
    if towards is not None and run.packet.dst_type not in ("BROADCAST", "MULTICAST"):
        ask_outside(run, way.device, towards)
    run.end_at = way.device
    run.say(f"leaves this host by {way.device}")
    if run.packet.dst is not None and link_layer.device_of(run, run.packet.dst):
        run.assume(f"{run.packet.dst} is a container's here: it comes back where {towards} sends it on that wire")
    return Ended(Verdict.FORWARDED, None)


def _ipsec(run: Run) -> None:
    """xfrm_lookup: a policy takes what leaves, forwarded or not. Whether its tunnel is up is not followed. Policies
    that were not read matter where a daemon that makes them listens."""
    src, dst = run.packet.src, run.packet.dst
    if run.host.ipsec is None and any(port in lookups_of(run.host).sockets for port in _IKE):
        run.without("ipsec", "the IPsec policies")
    for policy in run.host.ipsec or () if src is not None and dst is not None else ():
        if policy.direction == "out" and src in policy.src and dst in policy.dst:
            if policy.blocks:
                run.stop(Verdict.DROPPED, "IPsec", f"an IPsec policy drops what goes from {policy.src} to {policy.dst}")
            elif not run.answered_before():
                what = f"an IPsec policy takes what goes from {policy.src} to {policy.dst}: its tunnel is not followed"
                raise run.end(Verdict.UNKNOWN, "IPsec", what)


_IKE = (("udp", 500), ("udp", 4500))


# --- where it ends ----------------------------------------------------------------------------------------------------


def _inside(run: Run, space: Namespace, device: str) -> Ended:
    """The packet is in the receiver's network namespace."""
    run.enter(space)
    run.hop(space.name)
    check_device(run, space.link(device))
    if run.packet.dst is None or run.packet.src is None:
        return run.end(Verdict.UNKNOWN, space.name, "the packet's addresses are not known here")
    run.packet = looked_at(run.net, run.packet, iif=device, oif="")
    return _ip(run)
