"""What the kernel's routing says of a packet: where it goes, and why it does not. Follows ip_route_input_slow,
fib_validate_source, ip_forward and ip_route_output_key of net/ipv4, ip6_route_input and ip6_forward of net/ipv6."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network

from netdash.kernel.routing import Flow, Lookup, Port, address_type, find, usual_rules
from netdash.kernel.source_address import HOST_SCOPE, LINK_SCOPE, UNIVERSE, chosen_source
from netdash.model.host import IP, PolicyRule, Route
from netdash.model.packet import Packet
from netdash.model.records import dataclass, replace
from netdash.model.source import Source
from netdash.trace.model import Routed, Verdict
from netdash.trace.namespace_state import (
    either,
    handed_down,
    link_of,
    number,
    policy_read,
    routes_of,
    situation,
    sysctl,
)
from netdash.trace.run import Run

ROUTE = Source.ROUTES


@dataclass(frozen=True, slots=True)
class Way:
    """Where a packet goes: `local` to a socket of this host, else out by `device` to `gateway` or on the link."""

    local: bool
    device: str
    gateway: IP | None = None
    prefsrc: IP | None = None


# --- a packet that came in --------------------------------------------------------------------------------------------


def way_in(run: Run) -> Way:
    """The routing decision for a packet that came in by `packet.iif`."""
    _come(run)
    packet = run.packet
    known_routes(run)
    if packet.dst is None or packet.src is None or packet.iif is None:
        raise run.end(Verdict.UNKNOWN, place_of(run), "the packet's addresses are not known here")
    _martian(run, packet.src, packet.dst, packet.iif)
    many = _to_many(packet.dst)
    if many:
        return _received(run, packet.src, packet.dst, packet.iif, many)
    strict = packet.iif if _of_link(packet.dst) else ""  # rt6_need_strict
    flow = Flow(packet.dst, packet.src, packet.iif, strict, packet.mark, packet.proto, *_ports(packet))
    route = _found(run, flow)
    if route.kind in ("local", "broadcast", "anycast"):
        return _received(run, packet.src, packet.dst, packet.iif, route.kind)
    _forwards(run, packet.iif)
    for ip, end in ((packet.dst, "destination"), (packet.src, "source")):
        if _of_link(ip):
            what = f"link-local {end} {ip}: it is not forwarded from the link of {packet.iif}{run.inside}"
            run.stop(Verdict.DROPPED, place_of(run), what)
    if route.kind != "unicast":
        run.stop(Verdict.MARTIAN, place_of(run), f"a {route.kind} route leads to {packet.dst}")
    device, gateway = _next_hop(run, route)
    run.routed(Routed(route, device, gateway, packet.dst))
    _source(run, packet.src, packet.dst, packet.iif, device)
    run.say(f"{packet.dst} {f'via {gateway} ' if gateway else ''}by {device}")
    return Way(False, device, gateway)


def _received(run: Run, src: IP, dst: IP, iif: str, kind: str) -> Way:
    asked = dst if kind == "local" else _NO_SOURCE[dst.version]  # ip_route_input_slow, brd_input
    if src not in _ZERO:
        _source(run, src, asked, iif, "")
    if run.space is None:
        run.say(f"{dst} is {'an address of this host' if kind == 'local' else kind}")
    return Way(True, iif)


def _to_many(dst: IP) -> str:
    """What no router passes on, whatever the routes say (ip_route_input_rcu, __mkroute_output); "" of all others."""
    return "multicast" if dst.is_multicast else "broadcast" if dst in _BROADCAST else ""


def _of_link(ip: IP) -> bool:
    """Whether it means something on one link only (ip6_forward). IPv4 routes 169.254.0.0/16 like any other."""
    return ip.version == 6 and ip.is_link_local


def _come(run: Run) -> None:
    if run.space is None:
        run.hop(ROUTE)


def place_of(run: Run) -> str:
    """Where routes decide: a container's are told under its name."""
    return ROUTE if run.space is None else run.space.name


def known_routes(run: Run) -> tuple[Route, ...]:
    """Ends the run where they were not read."""
    routes = routes_of(run.net, run.packet.family)
    if routes is None:
        failure = run.host.failures.get(Source.ROUTES) or run.host.failures.get(f"routes: route{run.packet.family}")
        why = f": {failure.reason}" if failure else ""
        raise run.end(Verdict.UNKNOWN, place_of(run), f"the routes could not be read{why}")
    if run.space is not None:
        run.space.read(run)
    return routes


def _martian(run: Run, src: IP, dst: IP, iif: str) -> None:
    if run.packet.family == 6:
        if (src.is_loopback or dst.is_loopback) and iif != "lo":
            run.stop(Verdict.MARTIAN, place_of(run), "a loopback address came in by a device")
        return
    if src.is_multicast or src == _BROADCAST.network_address:
        run.stop(Verdict.MARTIAN, place_of(run), f"{src} cannot be a source")
    if (src in _ZERO and dst not in _BROADCAST) or dst in _ZERO:
        run.stop(Verdict.MARTIAN, place_of(run), "addresses in 0.0.0.0/8 are not routed")
    for ip, name in ((dst, "destination"), (src, "source")):
        if ip.is_loopback and iif != "lo":
            question = f"net.ipv4.conf.{iif}.route_localnet is on"
            if not either(run, iif, "route_localnet", question):
                run.stop(
                    Verdict.MARTIAN,
                    f"{ROUTE} {name}",
                    f"loopback {name} {ip} came in by {iif}{run.inside}: route_localnet is off",
                )


_ZERO = ip_network("0.0.0.0/8")
_BROADCAST = ip_network("255.255.255.255/32")


def _forwards(run: Run, iif: str) -> None:
    """IPv4 asks the device that the packet came in by, IPv6 the whole host or that device."""
    family = run.packet.family
    names = (iif, "all") if family == 4 else ("all", iif)
    values = [sysctl(run, name, "forwarding", family) for name in names]
    if family == 4 and values[0] is None and values[1] is None:
        values[1] = number(run.net, "net.ipv4.ip_forward")
    value = values[0] if values[0] is not None else values[1]
    name = f"net.ipv{family}.conf.{iif if family == 4 else 'all'}.forwarding"
    if value is None:
        value = int(run.choose(f"{name}{run.inside} is on"))
    if handed_down(run.net, f"net.ipv{family}.conf.{names[values[0] is None]}.forwarding"):
        run.assume(f"{name}{run.inside} was not read: taken as {value}, which this host hands down")
    if value == 0:
        text = f"{name}{run.inside} is 0: what comes in by {iif} is not forwarded"
        if run.space is not None:
            text = f"{run.packet.dst} is no address of {run.space.name}, and {text}"
        run.stop(Verdict.DROPPED, run.at(name), text)


def _source(run: Run, src: IP, dst: IP, iif: str, oif: str) -> None:
    """fib_validate_source: whether a packet with this source may come in by this device."""
    if run.packet.family == 6 or iif == "lo":
        return
    values = [sysctl(run, name, "rp_filter") for name in ("all", iif)]
    if None in values and run.net.sysctls is not None:
        values[1] = values[1] if values[1] is not None else sysctl(run, "default", "rp_filter")
    known = [value for value in values if value is not None]
    mode = max(known) if known else None
    if mode in (0, None) and address_type(src, run.net.routes or ()) == "LOCAL":
        if not either(run, iif, "accept_local", f"net.ipv4.conf.{iif}.accept_local is on"):
            run.stop(Verdict.MARTIAN, f"{ROUTE} source", f"source {src} is this host's own, and came in by {iif}")
        return
    if mode == 0:
        return
    wrong = _unexpected(run, src, dst, iif, oif, mode or 1)
    if wrong is None:
        return
    if mode is None:
        if not run.choose(f"net.ipv4.conf.{iif}.rp_filter{run.inside} is on"):
            return
        mode = 1
    verdict, why = wrong
    place = f"net.ipv4.conf.{iif}.rp_filter" if run.space is None else f"{run.space.name} rp_filter"
    run.stop(verdict, place, f"rp_filter of {iif}{run.inside} is {mode}: {why}")


def _unexpected(run: Run, src: IP, dst: IP, iif: str, oif: str, mode: int) -> tuple[Verdict, str] | None:
    """What becomes of the packet, and what is wrong with its source by the reverse look-up; None where nothing is
    (__fib_validate_source)."""
    mark = run.packet.mark
    if mark != 0 and not either(run, iif, "src_valid_mark", f"net.ipv4.conf.{iif}.src_valid_mark is on"):
        mark = 0
    sport, dport = _ports(run.packet)
    flow = Flow(src, dst, oif or "lo", "", mark, run.packet.proto, dport, sport)
    route = _look_up(run, flow).route
    if route is None:
        return Verdict.DROPPED, f"no route leads back to {src}"
    if route.kind == "local":
        if not either(run, iif, "accept_local", f"net.ipv4.conf.{iif}.accept_local is on"):
            return Verdict.MARTIAN, f"source {src} is this host's own"
    elif route.kind != "unicast":
        return Verdict.MARTIAN, f"source {src}: its route is {route.kind}"
    devices = [route.dev] if route.dev else [device for _, device in route.hops]
    if iif in devices:
        return None
    if not devices:
        raise run.end(Verdict.UNKNOWN, place_of(run), f"by which device the way back to {src} leads is not known")
    if mode == 1:
        return Verdict.DROPPED, f"the way back to {src} leads out by {devices[0]}"
    loose = _look_up(run, replace(flow, oif=iif)).route
    if loose is None or loose.kind == "unicast":
        return None
    return Verdict.DROPPED, f"the way back to {src} is {loose.kind}"


# --- a packet that goes out -------------------------------------------------------------------------------------------


def way_out(run: Run, src: IP | None, bound: str = "") -> Way:
    """The routing decision for a packet that a process of this namespace sends."""
    packet = run.packet
    known_routes(run)
    if packet.dst is None:
        raise run.end(Verdict.UNKNOWN, place_of(run), "the packet's destination is not known here")
    _may_send(run, src)
    none = _NO_SOURCE[packet.family]
    flow = Flow(packet.dst, src or none, "lo", bound, packet.mark, packet.proto, *_ports(packet), uid=packet.uid)
    way = _leaving(run, packet.dst, _found(run, flow), src)
    if src is None and packet.proto in _CONNECTS and packet.family == 4 and way.prefsrc is not None:
        way = _connected(run, flow, way)
    where = f"{f'via {way.gateway} ' if way.gateway else ''}by {way.device}"
    here = "an address of this host" if run.space is None else "an address of its own: the packet does not leave it"
    run.say(f"{packet.dst} {f'is {here}' if way.local else where}")
    return way


def _connected(run: Run, flow: Flow, first: Way) -> Way:
    """ip_route_connect: connect() looks up the route again, with the source that the first look-up chose. A UDP socket
    that is not connected goes by the first (udp_sendmsg)."""
    way: Way | None = None
    try:
        found = _found(run, replace(flow, src=first.prefsrc))
        way = replace(_leaving(run, flow.dst, found, None), prefsrc=first.prefsrc)
    finally:
        if way != first and flow.proto == "udp":
            route = f"by {first.device}, on a route that is looked up without its source {first.prefsrc}"
            run.assume(f"a UDP socket{run.inside} that is not connected sends {route}")
    return way


_CONNECTS = ("tcp", "udp")
_NO_SOURCE: dict[int, IP] = {4: ip_address("0.0.0.0"), 6: ip_address("::")}  # noqa: S104
"""What rules and routes are asked for before the socket has an address."""


def _may_send(run: Run, src: IP | None) -> None:
    """ip_route_output_key_hash_rcu: multicast, broadcast and 0.0.0.0/8 are no sources."""
    if src is not None and src.version == 4 and (src.is_multicast or src == _BROADCAST.network_address or src in _ZERO):
        raise run.end(Verdict.NO_ROUTE, place_of(run), f"{src} cannot be a source")


def _leaving(run: Run, dst: IP, route: Route, src: IP | None) -> Way:
    if route.kind == "local":
        return Way(True, "lo", None, route.prefsrc or dst)
    kind = _to_many(dst) or route.kind
    if kind in ("broadcast", "multicast") and run.packet.proto == "tcp":
        raise run.end(Verdict.NO_ROUTE, place_of(run), f"{dst} is a {kind} address: TCP does not connect there")
    if kind == "broadcast":
        run.assume(f"a program{run.inside} may send to {dst} only where it sets SO_BROADCAST on its socket")
    if kind not in ("unicast", "broadcast", "multicast"):
        what = f"{dst} is a {kind} address: a socket does not send there"
        raise run.end(Verdict.NO_ROUTE, place_of(run), what)
    device, gateway = _next_hop(run, route)
    if _to_many(dst) or _of_link(dst):
        gateway = None  # its receivers are on the link
    if _of_link(dst):
        run.assume(f"{dst} is asked for on the link of {device}{run.inside}")
    run.routed(Routed(route, device, gateway, dst))
    scope = HOST_SCOPE if route.kind == "broadcast" else LINK_SCOPE if gateway is None else UNIVERSE
    chosen = route.prefsrc or src or _source_of(run, device, gateway, dst, scope)
    return Way(False, device, gateway, chosen)


def _source_of(run: Run, device: str, gateway: IP | None, dst: IP, scope: int) -> IP | None:
    """IPv4 asks for an address towards the next hop (fib_info_update_nhc_saddr), IPv6 towards the receiver
    (ip6_route_get_saddr)."""
    if run.net.links is None:
        return None
    towards = dst if dst.version == 6 or gateway is None or gateway.version != 4 else gateway
    found = chosen_source(run.net.links, link_of(run, device), towards, scope)
    if found is None and dst.version == 6:
        raise run.end(Verdict.NO_ROUTE, place_of(run), f"no IPv6 address{run.inside} suits {dst}")
    return found


def chosen_address(run: Run, device: str, towards: IP | None) -> IP | None:
    """The address that MASQUERADE takes for a packet by this device (nf_nat_masquerade.c)."""
    if towards is None:
        return None
    return chosen_source(run.net.links or (), link_of(run, device), towards)


def _ports(packet: Packet) -> tuple[Port, Port]:
    """Its ports; of one that is not told, the range that it is taken from."""
    sport = packet.sport if packet.sport is not None else packet.ephemeral
    return sport, packet.dport if packet.dport is not None else packet.ephemeral_dport


def _found(run: Run, flow: Flow) -> Route:
    found = _look_up(run, flow)
    route = found.route
    where, place = run.inside, place_of(run)
    if found.refused:
        raise run.end(Verdict.NO_ROUTE, place, f"ip rule {found.refused.priority}{where}: {found.refused.text}")
    if route is None:
        raise run.end(Verdict.NO_ROUTE, place, f"no route{where} leads to {flow.dst}")
    if route.kind in ("blackhole", "unreachable", "prohibit"):
        what = f"a {route.kind} route{where} refuses {flow.dst} ({route.dst}, {route.table})"
        raise run.end(Verdict.NO_ROUTE, place, what)
    if route.unparsed and not _as_before(run, route):
        what = f"the route to {route.dst}{where} has {', '.join(route.unparsed)}, which is not followed"
        raise run.end(Verdict.UNKNOWN, place, what)
    return route


def _as_before(run: Run, route: Route) -> str | None:
    """The device of a next-hop object that was not read, where conntrack shows that the same was answered at the
    address which this host gave it there."""
    answered = run.answered_at() if run.space is None and route.unparsed == ("nhid",) else ()
    links = run.net.links or ()
    found = {link.name for link in links if link.name != "lo" for address in link.addresses if address.ip in answered}
    return found.pop() if len(found) == 1 else None


def _look_up(run: Run, flow: Flow) -> Lookup:
    rules = _policy(run, flow.dst.version)
    return find(flow, run.net.routes or (), rules, _supposing(run), situation(run.net))


def _policy(run: Run, family: int) -> tuple[PolicyRule, ...] | None:
    """The policy rules. Where a container's were not read, each further table may be one that some rule leads to."""
    if run.space is None:
        if not policy_read(run.host, family):
            run.without(f"routes: rule{family}", "the rules of policy routing")
        return run.net.policy
    if run.net.policy is not None or run.net.routes is None:
        return run.net.policy
    for table in sorted({route.table for route in run.net.routes if route.family == family} - _TABLES):
        if run.suppose(f"a policy rule{run.inside}, which were not read, leads to table {table}"):
            return (PolicyRule(family, 1, f"lookup {table}", table, ()), *usual_rules(family))
    return None


_TABLES = {"local", "main", "default"}


def _supposing(run: Run) -> Callable[[PolicyRule], bool]:
    def supposed(rule: PolicyRule) -> bool:
        return run.choose(f"ip rule {rule.priority}{run.inside} ({rule.text}) applies")

    return supposed


def _next_hop(run: Run, route: Route) -> tuple[str, IP | None]:
    if route.dev is None and route.hops:
        passed_by = situation(run.net).no_carrier
        ways = [(gateway, device) for gateway, device in route.hops if device and device not in passed_by]
        for gateway, device in ways[1:]:
            if run.suppose(f"of several next hops{run.inside}, {device} is taken", of_flow=True):
                return device or "", gateway
        if ways and ways[0][1]:
            return ways[0][1], ways[0][0]
    before = _as_before(run, route) if route.dev is None else None
    if before is not None:
        run.assume(f"the next hop of the route to {route.dst} was not read: conntrack shows the same by {before}")
        return before, None
    if route.dev is None:
        raise run.end(Verdict.UNKNOWN, place_of(run), "by which device the route leads is not known")
    return route.dev, route.gateway
