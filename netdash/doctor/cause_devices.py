"""Causes that are devices: down, without carrier, not in their bridge, without the network's address, a queue."""

from __future__ import annotations

from netdash.doctor.cause import Cause, Failed
from netdash.doctor.fixes import add_address, both, delete_route, link_up, master, plain_queue, restart
from netdash.kernel.devices import trouble
from netdash.kernel.routing import uplinks_of
from netdash.model.addresses import interface
from netdash.model.finding import Evidence, Severity
from netdash.model.host import Container, Endpoint, Host, Interface, Link, Network
from netdash.model.index import index_of
from netdash.model.relations import ref_of

_TUNNELS = ("tun", "wireguard", "ipip", "gre", "sit", "vti", "ppp", "xfrm")


def of_device(failed: Failed) -> Cause | None:
    """Where the way ends at a device, a bridge or within a container whose device is in trouble."""
    return _inside(failed) or _at_bridge(failed) or _own(failed)


def _evidence(link: Link, text: str, where: str = "") -> Evidence:
    return Evidence(f"link {link.name}{where}", text, None if where else ref_of(link))


# --- within a container -----------------------------------------------------------------------------------------------


def _inside(failed: Failed) -> Cause | None:
    """The container's own device is down: its bridge port then has no carrier, nor has a bridge without others."""
    place, host = failed.decided_by.place, failed.host
    link = index_of(host).link(place)
    at_device = link is not None and trouble(link) == "no carrier"
    for container in (failed.receiver, failed.sender):
        if container is None or not (at_device or (failed.hops[-1:] and failed.hops[-1].inside == container.name)):
            continue
        for own in (container.inside.links if container.inside else None) or ():
            if own.name != "lo" and not own.up:
                return _container_down(container, own)
    return None


def _container_down(container: Container, link: Link) -> Cause:
    return Cause(
        "container-eth0-down",
        Severity.HIGH,
        (container.id, link.name),
        f"{link.name} inside {container.name} is down: nothing gets in or out",
        (_evidence(link, "down", f" inside {container.name}"),),
        *restart(container, f"sets {link.name} up again, with its routes"),
    )


# --- this host's ------------------------------------------------------------------------------------------------------


def _own(failed: Failed) -> Cause | None:
    host, place = failed.host, failed.decided_by.place
    link = index_of(host).link(place)
    if link is None or (failed.hops[-1:] and failed.hops[-1].inside and place not in index_of(host).veths):
        return None
    if link.kind == "bridge" and not link.up:
        return _down(host, link)
    if queue := _queue(failed, link):
        return queue
    container, bridge = index_of(host).veths.get(link.name), _bridge_of(host, link.name)
    if container is not None and bridge and link.master != bridge:
        return no_master(container, link, bridge)
    what = trouble(link)
    if not what:
        return None
    if place in uplinks_of(failed.asked.question.dst.version, host.routes) or link.kind in _TUNNELS:
        return _dead_way_out(failed, link, what)
    fix = link_up(link.name) if what == "down" else ((), ())
    text = f"{link.name} is down" if what == "down" else f"{link.name} has no carrier"
    return Cause("link-down", Severity.HIGH, link.name, f"{text}: nothing passes it", (_evidence(link, what),), *fix)


def _down(host: Host, link: Link) -> Cause:
    name = next((network.name for network in host.networks or () if network.bridge == link.name), "")
    of = f", the bridge of network {name}," if name else ""
    sentence = f"{link.name}{of} is down: its containers are cut off"
    return Cause("bridge-down", Severity.CRITICAL, link.name, sentence, (_evidence(link, "down"),), *link_up(link.name))


def _queue(failed: Failed, link: Link) -> Cause | None:
    queue = (failed.host.qdiscs or {}).get(link.name)
    if queue is None or trouble(link):
        return None
    owner = index_of(failed.host).veths.get(link.name)
    whose = f", of {owner.name}," if owner else ""
    return Cause(
        "tc-drop",
        Severity.HIGH,
        link.name,
        f"the queue of {link.name}{whose} drops every packet",
        (Evidence(f"tc qdisc {link.name}", queue, ref_of(link)),),
        *plain_queue(link.name, f"gives {link.name} its plain queue again"),
    )


def _dead_way_out(failed: Failed, link: Link, what: str) -> Cause:
    routed = next((hop.routed for hop in reversed(failed.hops) if hop.routed and not hop.inside), None)
    route = routed.route if routed is not None else None
    tunnel = link.kind in _TUNNELS or (route is not None and 0 < route.dst.prefixlen <= 1)
    text = f"the route to {route.dst} sends it there" if route is not None else "the way out"
    kind = f" ({link.kind})" if link.kind else ""
    evidence = [_evidence(link, f"{what}{kind}")]
    if route is not None:
        evidence.append(Evidence(f"route {route.dst} dev {link.name}", f"table {route.table}", ref_of(route)))
    if not tunnel:
        sentence = f"{link.name} {'is down' if what == 'down' else 'has no carrier'}: {text}"
        fix = link_up(link.name) if what == "down" else ((), ())
        return Cause("link-down", Severity.CRITICAL, link.name, sentence, tuple(evidence), *fix)
    wide = [route for route in failed.host.routes or () if route.dev == link.name and route.dst.prefixlen <= 1]
    away = both(
        *(delete_route(route, "what it took goes by the other routes again, past the tunnel") for route in wide)
    )
    return Cause(
        "vpn-default-capture",
        Severity.HIGH,
        link.name,
        f"{link.name} takes what leaves for the Internet, and nothing passes it: {text}",
        tuple(evidence),
        *away,
    )


# --- bridges ----------------------------------------------------------------------------------------------------------


def _at_bridge(failed: Failed) -> Cause | None:
    """A bridge that does not hold a container's veth, or lacks the address that its containers send to."""
    place = failed.decided_by.place
    if not place.startswith("bridge "):
        return None
    bridge = place.removeprefix("bridge ")
    index = index_of(failed.host)
    link = index.link(bridge)
    if link is not None and not link.up:
        return _down(failed.host, link)
    for container in (failed.receiver, failed.sender):
        for end in container.endpoints if container is not None else ():
            veth = index.link(end.veth)
            if container is not None and veth is not None and index.bridge(end) == bridge and veth.master != bridge:
                return no_master(container, veth, bridge)
    sender = failed.sender
    for end in sender.endpoints if sender is not None else ():
        if index.bridge(end) == bridge and link is not None:
            missing = without_gateway(failed.host, end, link)
            if missing is not None:
                return missing
    return None


def _bridge_of(host: Host, veth: str) -> str | None:
    index = index_of(host)
    owner = index.veths.get(veth)
    ends = (end for end in owner.endpoints if end.veth == veth) if owner is not None else iter(())
    return next((index.bridge(end) for end in ends), None)


def no_master(container: Container, veth: Link, bridge: str) -> Cause:
    return Cause(
        "veth-no-master",
        Severity.CRITICAL,
        veth.name,
        f"{veth.name}, the host's end of {container.name}, is not in its bridge {bridge}",
        (_evidence(veth, f"master {veth.master}" if veth.master else "no master"),),
        *master(veth.name, bridge, f"connects {container.name} to {bridge} again"),
    )


def without_gateway(host: Host, end: Endpoint, link: Link) -> Cause | None:
    """The bridge does not have the address that the network's containers send to."""
    network = index_of(host).network(end)
    have = {own.ip for own in link.addresses}
    gateways = index_of(host).gateways(network) if network is not None else ()
    for gateway in gateways or ():
        if gateway not in have and gateway in end.gateways and network is not None:
            own = interface(str(gateway), _prefix(end, gateway.version))
            return _gateway_missing(network, link, own) if own is not None else None
    return None


def _prefix(end: Endpoint, version: int) -> int:
    return next((own.network.prefixlen for own in end.addresses if own.version == version), 16)


def _gateway_missing(network: Network, link: Link, own: Interface) -> Cause:
    has = ", ".join(map(str, link.addresses)) or "no address"
    return Cause(
        "bridge-ip-missing",
        Severity.CRITICAL,
        link.name,
        f"{link.name} lost its address {own.ip}, by which network {network.name} leaves",
        (_evidence(link, has),),
        *add_address(link.name, own, f"gives {link.name} its address and its route again"),
    )
