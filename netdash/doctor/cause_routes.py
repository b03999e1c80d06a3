"""Causes that are routes, policy rules or switches of the kernel's routing."""

from __future__ import annotations

from netdash.doctor.cause import Cause, Failed
from netdash.doctor.cause_devices import of_device, without_gateway
from netdash.doctor.fixes import (
    NOTHING,
    Fixed,
    add_route,
    both,
    delete_policy_rule,
    delete_route,
    restart,
    rule_to_main,
    sysctl,
)
from netdash.kernel.routing import Flow, Lookup, device_of, find, stops
from netdash.model.finding import Evidence, Severity
from netdash.model.host import IP, Container, Endpoint, PolicyRule, Route
from netdash.model.index import index_of
from netdash.model.records import replace
from netdash.model.relations import ref_of
from netdash.trace.model import Hop, Verdict

_HOME = ("local", "main", "default")
"""The tables that every host looks into; another one is somebody's own."""


def of_route(failed: Failed) -> Cause | None:
    """Where the way ends because a route leads elsewhere, or none leads there."""
    last = failed.hops[-1] if failed.hops else None
    if last is None:
        return None
    if last.inside:
        return _within(failed, last)
    dst = last.packet.dst
    owner = index_of(failed.host).owners.get(dst) if dst is not None else None
    if owner is not None and dst is not None:
        return _towards(failed, owner, dst)
    if failed.verdict is Verdict.NO_ROUTE and failed.decided_by.place == "routes" and dst is not None:
        return _outwards(failed, dst)
    return None


# --- to a container ---------------------------------------------------------------------------------------------------


def _towards(failed: Failed, owner: Container, dst: IP) -> Cause | None:
    """The route to a container's address does not lead to its bridge."""
    index = index_of(failed.host)
    end = next((end for end in owner.endpoints if any(own.ip == dst for own in end.addresses)), None)
    bridge = index.bridge(end) if end is not None else None
    if end is None or bridge is None or not _misled(failed, dst, bridge):
        return None
    link = index.link(bridge)
    if link is None:
        what = f"{bridge}, the bridge of network {end.network}, is gone"
        evidence = (Evidence("links", f"no device {bridge}"),)
        return Cause("bridge-missing", Severity.CRITICAL, bridge, what, evidence)
    if not link.up:
        return of_device(_at(failed, f"bridge {bridge}"))
    lost = without_gateway(failed.host, end, link)
    if lost is not None and end.addresses and dst.version == 4:
        return lost
    return _other_route(failed, end, bridge, dst)


def _at(failed: Failed, place: str) -> Failed:
    return replace(failed, decided_by=replace(failed.decided_by, place=place))


def _misled(failed: Failed, dst: IP, bridge: str) -> bool:
    if failed.verdict is Verdict.NO_ROUTE:
        return failed.decided_by.place == "routes"
    routed = next((hop.routed for hop in reversed(failed.hops) if hop.routed and not hop.inside), None)
    return routed is not None and routed.dst == dst and routed.device != bridge


def _other_route(failed: Failed, end: Endpoint, bridge: str, dst: IP) -> Cause:
    found = _look_up(failed, dst)
    chosen = found.route
    if found.refused is not None or (chosen is not None and chosen.table not in _HOME):
        return _by_policy(failed, found)
    subnet = next(own.network for own in end.addresses if own.ip == dst)
    there = any(route.dst == subnet and device_of(route) == bridge for route in failed.host.routes or ())
    instead = f"it goes to {device_of(chosen) or chosen.kind}" if chosen is not None else "nothing leads there"
    evidence = (_evidence(chosen),) if chosen is not None else (Evidence("routes", f"no route to {dst}"),)
    if there:
        return Cause(
            "subnet-overlap-lan",
            Severity.CRITICAL,
            (end.network, chosen.dst if chosen else None),
            f"another route has addresses of network {end.network} ({subnet}): {instead}",
            evidence,
            *(delete_route(chosen) if chosen is not None else NOTHING),
        )
    gateway = next((ip for ip in end.gateways if ip.version == dst.version), None)
    fix = add_route(dst.version, subnet, bridge, str(gateway)) if gateway is not None else NOTHING
    return Cause(
        "bridge-route-missing",
        Severity.CRITICAL,
        (end.network, subnet),
        f"the route to network {end.network}, {subnet} by {bridge}, is gone: {instead}",
        (Evidence(f"route {subnet} dev {bridge}", "not there"), *evidence),
        *fix,
    )


# --- out --------------------------------------------------------------------------------------------------------------


def _outwards(failed: Failed, dst: IP) -> Cause:
    found = _look_up(failed, dst)
    route = found.route
    if found.refused is not None or (route is not None and route.table not in _HOME):
        return _by_policy(failed, found)
    if route is not None and stops(route):
        return Cause(
            "blackhole-route",
            Severity.HIGH,
            (route.kind, route.dst),
            f"a {route.kind} route refuses all of {route.dst}",
            (_evidence(route),),
            *delete_route(route),
        )
    family = "IPv6" if dst.version == 6 else "IPv4"
    default = any(
        route.default and route.family == dst.version and route.kind == "unicast" for route in failed.host.routes or ()
    )
    if default:
        return Cause("no-route", Severity.HIGH, str(dst), f"no route of this host leads to {dst}")
    return Cause(
        "default-route-missing" if dst.version == 4 else "default-route-missing-v6",
        Severity.CRITICAL,
        dst.version,
        f"this host has no {family} default route: neither it nor its containers reach the Internet",
        (Evidence("routes", f"no default route in table main ({family})"),),
    )


def _look_up(failed: Failed, dst: IP) -> Lookup:
    """The route that the packet took; where none was taken, what refuses it."""
    routed = next((hop.routed for hop in reversed(failed.hops) if hop.routed and not hop.inside), None)
    if failed.verdict is not Verdict.NO_ROUTE and routed is not None and routed.dst == dst:
        return Lookup(routed.route)
    packet = failed.hops[-1].packet
    flow = Flow(dst, packet.src, packet.iif or "lo", mark=packet.mark, proto=packet.proto)
    routes, rules = failed.host.routes or (), failed.host.policy
    found = find(flow, routes, rules)
    if packet.src is None and found.route is not None and found.route.prefsrc is not None:
        return find(replace(flow, src=found.route.prefsrc), routes, rules)  # connect() asks again with its source
    return found


def _by_policy(failed: Failed, found: Lookup) -> Cause:
    """A policy rule leads to a table of somebody's own, or refuses."""
    route, rule = found.route, found.refused
    if rule is None and route is not None:
        rule = _leading_to(failed, route)
    everybody = rule is not None and not [key for key, _ in rule.selectors if key != "not"]
    whom = "all packets" if rule is None or everybody else rule.text.partition(" lookup ")[0]
    evidence = tuple(_policy_evidence(rule)) + ((_evidence(route),) if route is not None else ())
    if route is None:
        what = f"refuses {whom}"
    elif stops(route):
        what = f"leads to table {route.table}, which refuses {whom}"
    else:
        what = f"leads away from the containers: {whom} look in table {route.table}, go out by {device_of(route)}"
    number = f"ip rule {rule.priority}" if rule is not None else "a policy rule"
    tailscale = everybody and route is not None and not stops(route)
    before = _before(failed, rule)
    return Cause(
        "tailscale-exit-node" if tailscale else "policy-rule-hijack",
        Severity.CRITICAL,
        (rule.priority if rule else None, route.table if route else None),
        f"{number} {what}",
        evidence,
        *before,
    )


def _before(failed: Failed, rule: PolicyRule | None) -> Fixed:
    """The rule goes where it is of the containers; of one for everybody they are excepted."""
    if rule is None or rule.priority <= 1:
        return NOTHING
    networks = [network for network in failed.host.networks or () if network.bridge]
    nets = [net for network in networks for net in network.subnets if net.version == rule.family]
    theirs = {network.bridge for network in networks} | {str(net) for net in nets}
    if any(key in ("src", "iif") and value in theirs for key, value in rule.selectors):
        return delete_policy_rule(rule)
    return both(*(rule_to_main(rule, net) for net in nets))


def _leading_to(failed: Failed, route: Route) -> PolicyRule | None:
    rules = (rule for rule in failed.host.policy or () if rule.family == route.family and rule.table == route.table)
    return min(rules, key=lambda rule: rule.priority, default=None)


def _evidence(route: Route) -> Evidence:
    where = f"table {route.table} " if route.table != "main" else ""
    kind = "" if route.kind == "unicast" else f"{route.kind} "
    by = f"dev {device_of(route)}" if device_of(route) else ""
    via = f"via {route.gateway} " if route.gateway else ""
    name = "default" if route.default else str(route.dst)
    return Evidence(f"route {where}{kind}{name}".rstrip(), f"{via}{by}" or "refuses", ref_of(route))


def _policy_evidence(rule: PolicyRule | None) -> list[Evidence]:
    return [] if rule is None else [Evidence(f"ip rule {rule.priority}", rule.text, ref_of(rule))]


# --- within a container -----------------------------------------------------------------------------------------------


def _within(failed: Failed, last: Hop) -> Cause | None:
    if failed.verdict is not Verdict.NO_ROUTE:
        return None
    container = next(
        (container for container in (failed.sender, failed.receiver) if container and container.name == last.inside),
        None,
    )
    if container is None or not container.running:
        return None
    return Cause(
        "container-no-route",
        Severity.HIGH,
        container.id,
        f"{container.name} has no route to {last.packet.dst}: it lost its default route",
        (Evidence(f"routes inside {container.name}", failed.decided_by.text),),
        *restart(container, "gives it the engine's routes again"),
    )


# --- switches ---------------------------------------------------------------------------------------------------------


def of_sysctl(failed: Failed) -> Cause | None:
    place, last = failed.decided_by.place, failed.hops[-1] if failed.hops else None
    if last is None:
        return None
    if last.inside and "rp_filter" in place:
        return _inner_filter(failed, last)
    if not place.startswith("net."):
        return None
    if place.endswith(".forwarding"):
        return _forwarding(failed, place)
    if place.endswith(".rp_filter"):
        return _reverse_path(failed, place)
    return Cause(
        "sysctl",
        Severity.HIGH,
        place,
        f"{place} drops it: {failed.decided_by.text}",
        (Evidence(f"sysctl {place}", (failed.host.sysctls or {}).get(place, "?")),),
    )


def _forwarding(failed: Failed, place: str) -> Cause:
    sysctls = failed.host.sysctls or {}
    family = 6 if ".ipv6." in place else 4
    whole = "net.ipv4.ip_forward" if family == 4 else "net.ipv6.conf.all.forwarding"
    if sysctls.get(whole) == "0":
        nft = failed.host.engine is not None and failed.host.engine.firewall == "nftables"
        code = "ip-forward-off" if family == 4 else "ip-forward-off-v6"
        return Cause(
            "v29-nft-ip-forward-off" if nft and family == 4 else code,
            Severity.CRITICAL,
            whole,
            f"{whole} is 0: this host forwards nothing, no container reaches or is reached from outside",
            (Evidence(f"sysctl {whole}", "0"),),
            *sysctl(whole, "1", "this host forwards again"),
        )
    device = place.split(".")[-2]
    return Cause(
        "iface-forward-off",
        Severity.CRITICAL,
        place,
        f"{place} is 0: what comes in by {device} is not forwarded, although {whole} is {sysctls.get(whole, '?')}",
        (Evidence(f"sysctl {place}", "0"), Evidence(f"sysctl {whole}", sysctls.get(whole, "?"))),
        *sysctl(place, "1", f"what comes in by {device} is forwarded again"),
    )


def _reverse_path(failed: Failed, place: str) -> Cause:
    sysctls = failed.host.sysctls or {}
    device = place.split(".")[-2]
    every = sysctls.get("net.ipv4.conf.all.rp_filter", "?")
    sentence = f"rp_filter of {device} is strict: it drops clients to whom answers leave by another device"
    return Cause(
        "rp-filter-strict",
        Severity.HIGH,
        place,
        sentence,
        (
            Evidence(f"sysctl {place}", sysctls.get(place, "?")),
            Evidence("sysctl net.ipv4.conf.all.rp_filter", every),
            Evidence("routes", failed.decided_by.text),
        ),
        *sysctl(place, "2", f"{device} takes what any route leads back to (loose)"),
        confidence=0.8,
    )


def _inner_filter(failed: Failed, last: Hop) -> Cause | None:
    container = next(
        (container for container in (failed.receiver, failed.sender) if container and container.name == last.inside),
        None,
    )
    if container is None:
        return None
    inner = (container.inside.links if container.inside else None) or ()
    device = next((link.name for link in inner if any(own.ip == last.packet.dst for own in link.addresses)), "all")
    names = " and ".join(end.network for end in container.endpoints)
    return Cause(
        "multi-network-wrong-gateway",
        Severity.HIGH,
        container.id,
        f"answers of {container.name} leave by its other network: it is on {names}, its rp_filter drops the request",
        (Evidence(f"sysctl net.ipv4.conf.{device}.rp_filter inside {container.name}", failed.decided_by.text),),
        *sysctl(f"net.ipv4.conf.{device}.rp_filter", "2", f"{device} takes it (loose)", container),
    )
