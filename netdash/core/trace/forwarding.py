"""What the kernel's routing says of a packet: where it goes, and why it does not. Follows ip_route_input_slow,
fib_validate_source, ip_forward and ip_route_output_key of net/ipv4, ip6_route_input and ip6_forward of net/ipv6."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

from netdash.core.model import IP, Host, Link, PolicyRule, Route
from netdash.core.numbers import decimal
from netdash.core.packet import Packet
from netdash.core.routing import Flow, address_type, find, source_address
from netdash.core.trace.answer import Verdict
from netdash.core.trace.run import Run

ROUTE = "routes"


@dataclass(frozen=True, slots=True)
class Way:
    """Where a packet goes: `local` to a socket of this host, else out by `device` to `gateway` or on the link."""

    local: bool
    device: str
    gateway: IP | None = None
    prefsrc: IP | None = None


class RoutesOf:
    """The routes of a host, as conditions of rules ask them. A packet has it, so it holds neither the run nor the host:
    a trace would be part of a cycle, and keep the rules of a host that is gone."""

    def __init__(self, host: Host) -> None:
        self._routes = {family: routes_of(host, family) for family in (4, 6)}
        self._policy = {family: host.policy if _policy_read(host, family) else None for family in (4, 6)}

    def kind(self, ip: IP, device: str) -> str | None:
        routes = self._routes[ip.version]
        return None if routes is None else address_type(ip, routes, device)

    def leads_back(self, packet: Packet, loose: bool, marked: bool, local: bool) -> bool | None:
        """xt_rpfilter.c, and nft_fib_ipv4.c of `fib saddr . iif oif`. What counts is whether the route that is
        found is by that device; only for link-local addresses one by that device is looked for."""
        if self._routes[packet.family] is None or packet.src is None or not packet.iif:
            return None
        if packet.iif == "lo":
            return True
        if self._policy[packet.family] is None:
            return None
        bound = packet.iif if packet.src.is_link_local and not loose else ""
        flow = Flow(packet.src, packet.dst, "lo", bound, packet.mark if marked else 0, "")
        answers = {self._leads(replace(flow, proto=proto), packet.iif, loose, local) for proto in ("", packet.proto)}
        return answers.pop() if len(answers) == 1 else None  # nft_fib names the protocol, xt_rpfilter does not

    def _leads(self, flow: Flow, iif: str, loose: bool, local: bool) -> bool | None:
        family = flow.dst.version
        found = find(flow, self._routes[family] or (), self._policy[family])
        if found.unsure:
            return None
        route = found.route
        if route is None or not (route.kind == "unicast" or (route.kind == "local" and local)):
            return False
        return loose or iif in ((route.dev,) if route.dev else tuple(device for _, device in route.hops))


def routes_of(host: Host, family: int) -> tuple[Route, ...] | None:
    """The host's routes; None where those of this family were not read."""
    return None if f"routes: route{family}" in host.failures else host.routes


def known_routes(run: Run) -> tuple[Route, ...]:
    """Ends the run where they were not read."""
    routes = routes_of(run.host, run.packet.family)
    if routes is None:
        failure = run.host.failures.get("routes") or run.host.failures.get(f"routes: route{run.packet.family}")
        why = f": {failure.reason}" if failure else ""
        raise run.end(Verdict.UNKNOWN, ROUTE, f"the routes could not be read{why}")
    return routes


def _policy_read(host: Host, family: int) -> bool:
    return host.policy is not None and f"routes: rule{family}" not in host.failures


def looked_at(host: Host, packet: Packet) -> Packet:
    """The packet with the types of its addresses."""
    routes = routes_of(host, packet.family)
    if routes is None:
        return packet
    return replace(
        packet,
        routes=RoutesOf(host),
        src_type=address_type(packet.src, routes) if packet.src else None,
        dst_type=address_type(packet.dst, routes) if packet.dst else None,
    )


def sysctl(run: Run, device: str, key: str, family: int = 4) -> int | None:
    """net.ipvN.conf.DEVICE.KEY; None when it was not read."""
    value = (run.host.sysctls or {}).get(f"net.ipv{family}.conf.{device.replace('.', '/')}.{key}", "")
    return decimal(value)


def _either(run: Run, device: str, key: str, question: str) -> bool:
    """A switch that is on where it is on for all or for the device (IN_DEV_ORCONF)."""
    values = [sysctl(run, name, key) for name in ("all", device)]
    if any(values):
        return True
    return values == [None, None] and run.choose(question)


# --- a packet that came in --------------------------------------------------------------------------------------------


def way_in(run: Run) -> Way:
    """The routing decision for a packet that came in by `packet.iif`."""
    run.hop(ROUTE)
    packet = run.packet
    known_routes(run)
    if packet.dst is None or packet.src is None or packet.iif is None:
        raise run.end(Verdict.UNKNOWN, ROUTE, "the packet's addresses are not known here")
    _martian(run, packet.src, packet.dst, packet.iif)
    flow = Flow(packet.dst, packet.src, packet.iif, "", packet.mark, packet.proto, packet.sport, packet.dport)
    route = _found(run, flow)
    if route.kind in ("local", "broadcast", "anycast") or packet.dst.is_multicast:
        asked = packet.dst if route.kind == "local" else _NO_SOURCE[packet.family]  # ip_route_input_slow, brd_input
        _source(run, packet.src, asked, packet.iif, "")
        run.say(f"{packet.dst} is {'an address of this host' if route.kind == 'local' else route.kind}")
        return Way(True, packet.iif)
    _forwards(run, packet.iif)
    if route.kind != "unicast":
        run.stop(Verdict.MARTIAN, ROUTE, f"a {route.kind} route leads to {packet.dst}")
    device, gateway = _next_hop(run, route)
    _source(run, packet.src, packet.dst, packet.iif, device)
    run.say(f"{packet.dst} {f'via {gateway} ' if gateway else ''}by {device}")
    return Way(False, device, gateway)


def _martian(run: Run, src: IP, dst: IP, iif: str) -> None:
    if run.packet.family == 6:
        if (src.is_loopback or dst.is_loopback) and iif != "lo":
            run.stop(Verdict.MARTIAN, ROUTE, "a loopback address came in by a device")
        return
    if src.is_multicast or src == _BROADCAST.network_address:
        run.stop(Verdict.MARTIAN, ROUTE, f"{src} cannot be a source")
    if src in _ZERO or dst in _ZERO:
        run.stop(Verdict.MARTIAN, ROUTE, "addresses in 0.0.0.0/8 are not routed")
    for ip, name in ((dst, "destination"), (src, "source")):
        if ip.is_loopback and iif != "lo":
            question = f"net.ipv4.conf.{iif}.route_localnet is on"
            if not _either(run, iif, "route_localnet", question):
                run.stop(
                    Verdict.MARTIAN, f"{ROUTE} {name}", f"loopback {name} {ip} came in by {iif}: route_localnet is off"
                )


_ZERO = ip_network("0.0.0.0/8")
_BROADCAST = ip_network("255.255.255.255/32")


def _forwards(run: Run, iif: str) -> None:
    """IPv4 asks the device that the packet came in by, IPv6 the whole host or that device."""
    family = run.packet.family
    names = (iif, "all") if family == 4 else ("all", iif)
    values = [sysctl(run, name, "forwarding", family) for name in names]
    if family == 4 and values[0] is None and values[1] is None:
        text = (run.host.sysctls or {}).get("net.ipv4.ip_forward", "")
        values[1] = decimal(text)
    value = values[0] if values[0] is not None else values[1]
    name = f"net.ipv{family}.conf.{iif if family == 4 else 'all'}.forwarding"
    if value is None:
        value = int(run.choose(f"{name} is on"))
    if value == 0:
        run.stop(Verdict.DROPPED, name, f"{name} is 0: what comes in by {iif} is not forwarded")


def _source(run: Run, src: IP, dst: IP, iif: str, oif: str) -> None:
    """fib_validate_source: whether a packet with this source may come in by this device."""
    if run.packet.family == 6 or iif == "lo":
        return
    values = [sysctl(run, name, "rp_filter") for name in ("all", iif)]
    if None in values and run.host.sysctls is not None:
        values[1] = values[1] if values[1] is not None else sysctl(run, "default", "rp_filter")
    known = [value for value in values if value is not None]
    mode = max(known) if known else None
    if mode in (0, None) and address_type(src, run.host.routes or ()) == "LOCAL":
        if not _either(run, iif, "accept_local", f"net.ipv4.conf.{iif}.accept_local is on"):
            run.stop(Verdict.MARTIAN, f"{ROUTE} source", f"source {src} is this host's own, and came in by {iif}")
        return
    if mode == 0:
        return
    wrong = _unexpected(run, src, dst, iif, oif, mode or 1)
    if not wrong:
        return
    if mode is None:
        if not run.choose(f"net.ipv4.conf.{iif}.rp_filter is on"):
            return
        mode = 1
    verdict = Verdict.MARTIAN if wrong.startswith("source") else Verdict.DROPPED
    run.stop(verdict, f"net.ipv4.conf.{iif}.rp_filter", f"rp_filter of {iif} is {mode}: {wrong}")


def _unexpected(run: Run, src: IP, dst: IP, iif: str, oif: str, mode: int) -> str:
    """What is wrong with a source by the reverse look-up; "" for nothing (__fib_validate_source)."""
    _rules_of_policy(run)
    mark = run.packet.mark
    if mark != 0 and not _either(run, iif, "src_valid_mark", f"net.ipv4.conf.{iif}.src_valid_mark is on"):
        mark = 0
    flow = Flow(src, dst, oif or "lo", "", mark, run.packet.proto, run.packet.dport, run.packet.sport)
    route = find(flow, run.host.routes or (), run.host.policy, _supposing(run)).route
    if route is None:
        return f"no route leads back to {src}"
    if route.kind == "local":
        if not _either(run, iif, "accept_local", f"net.ipv4.conf.{iif}.accept_local is on"):
            return f"source {src} is this host's own"
    elif route.kind != "unicast":
        return f"source {src}: its route is {route.kind}"
    devices = [route.dev] if route.dev else [device for _, device in route.hops]
    if iif in devices:
        return ""
    if mode == 1:
        return f"the way back to {src} leads out by {devices[0]}"
    loose = find(replace(flow, oif=iif), run.host.routes or (), run.host.policy, _supposing(run)).route
    return "" if loose is None or loose.kind == "unicast" else f"the way back to {src} is {loose.kind}"


# --- a packet that goes out -------------------------------------------------------------------------------------------


def way_out(run: Run, src: IP | None, bound: str = "") -> Way:
    """The routing decision for a packet that this host's own process sends."""
    packet = run.packet
    known_routes(run)
    if packet.dst is None:
        raise run.end(Verdict.UNKNOWN, ROUTE, "the packet's destination is not known here")
    flow = Flow(packet.dst, src or _NO_SOURCE[packet.family], "lo", bound, packet.mark, packet.proto)
    flow = replace(flow, sport=packet.sport, dport=packet.dport)
    way = _leaving(run, packet.dst, _found(run, flow))
    if src is None and packet.proto == "tcp" and packet.family == 4 and way.prefsrc is not None:
        again = _leaving(run, packet.dst, _found(run, replace(flow, src=way.prefsrc)))  # ip_route_connect
        way = replace(again, prefsrc=way.prefsrc)
    where = f"{f'via {way.gateway} ' if way.gateway else ''}by {way.device}"
    run.say(f"{packet.dst} {'is an address of this host' if way.local else where}")
    return way


_NO_SOURCE: dict[int, IP] = {4: ip_address("0.0.0.0"), 6: ip_address("::")}  # noqa: S104
"""What rules and routes are asked for before the socket has an address."""


def _leaving(run: Run, dst: IP, route: Route) -> Way:
    if route.kind == "local":
        return Way(True, "lo", None, route.prefsrc or dst)
    if route.kind != "unicast":
        raise run.end(Verdict.NO_ROUTE, ROUTE, f"{dst} is a {route.kind} address: a socket does not send there")
    device, gateway = _next_hop(run, route)
    chosen = route.prefsrc or chosen_address(run, device, gateway or dst, dst.version)
    return Way(False, device, gateway, chosen)


def _other(run: Run, family: int) -> IP | None:
    """The first global address of any device: what is taken where the outgoing one has none (inet_select_addr)."""
    links = sorted(run.host.links or (), key=lambda link: link.index)
    found = (source_address(link, None, family) for link in links if link.name != "lo")
    return next((ip for ip in found if ip is not None), None)


def chosen_address(run: Run, device: str, towards: IP | None, family: int) -> IP | None:
    """The address that a packet by this device is given: one of the device, else one of any other."""
    own = None if device == "lo" else source_address(link_of(run, device), towards, family)
    return own or _other(run, family)


def _found(run: Run, flow: Flow) -> Route:
    _rules_of_policy(run)
    found = find(flow, run.host.routes or (), run.host.policy, _supposing(run))
    route = found.route
    if found.refused:
        raise run.end(Verdict.NO_ROUTE, ROUTE, f"ip rule {found.refused.priority}: {found.refused.text}")
    if route is None:
        raise run.end(Verdict.NO_ROUTE, ROUTE, f"no route leads to {flow.dst}")
    if route.kind in ("blackhole", "unreachable", "prohibit"):
        raise run.end(Verdict.NO_ROUTE, ROUTE, f"a {route.kind} route refuses {flow.dst} ({route.dst}, {route.table})")
    return route


def _rules_of_policy(run: Run) -> None:
    if not _policy_read(run.host, run.packet.family):
        run.without(f"routes: rule{run.packet.family}", "the rules of policy routing")


def _supposing(run: Run) -> Callable[[PolicyRule], bool]:
    def supposed(rule: PolicyRule) -> bool:
        return run.choose(f"ip rule {rule.priority} ({rule.text}) applies")

    return supposed


def _next_hop(run: Run, route: Route) -> tuple[str, IP | None]:
    if route.dev is None and route.hops:
        ways = [(gateway, device) for gateway, device in route.hops if device]
        for gateway, device in ways[1:]:
            if run.choose(f"of several next hops, {device} is taken"):
                return device, gateway
        if ways and ways[0][1]:
            return ways[0][1], ways[0][0]
    if route.dev is None:
        raise run.end(Verdict.UNKNOWN, ROUTE, "by which device the route leads is not known")
    return route.dev, route.gateway


def link_of(run: Run, name: str | None) -> Link | None:
    if name and run.host.links is None:
        run.without("links", "the devices")
    return next((one for one in run.host.links or () if one.name == name), None)
