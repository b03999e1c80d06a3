"""Conditions of rules that only the host's routes can answer: an address's type by one device, and whether a route
leads back to the source (nft_fib_ipv4.c, nft_fib_ipv6.c, xt_addrtype.c, xt_rpfilter.c)."""

from __future__ import annotations

from collections.abc import Callable

from netdash.core.model import IP, Match, PolicyRule, Route
from netdash.core.routing import Flow, address_type, find
from netdash.core.rule_match import Answer, Packet

Supposed = Callable[[PolicyRule], bool]


class ByRoutes:
    """`supposed` is asked whether a policy rule applies that cannot be told."""

    def __init__(self, routes: tuple[Route, ...], policy: tuple[PolicyRule, ...] | None, supposed: Supposed) -> None:
        self._routes = routes
        self._policy = policy
        self._supposed = supposed

    def __call__(self, match: Match, packet: Packet) -> Answer:
        """UNSURE for what is no such condition."""
        held = None
        if match.key == "rpfilter":
            held = self._comes_back(packet, set(str(match.values[0]).split(",")))
        elif match.key in _TYPES:
            held = self._type(match, packet)
        if held is None:
            return Answer.UNSURE
        return Answer.YES if held is not match.negated else Answer.NO

    def _type(self, match: Match, packet: Packet) -> bool | None:
        side, _, way = match.key.partition("_type_")
        ip: IP | None = getattr(packet, side)
        device = getattr(packet, way)
        if ip is None or not device or packet.family == 6:  # of IPv6 it depends on more than the local table
            return None
        return address_type(ip, self._routes, device) in match.values

    def _comes_back(self, packet: Packet, options: set[str]) -> bool | None:
        if packet.src is None or packet.dst is None or packet.iif is None or packet.src.is_unspecified:
            return None
        if packet.iif == "lo":
            return True
        if "accept-local" in options or ("validmark" in options and packet.mark is None):
            return None
        loose, mark = "loose" in options, packet.mark if "validmark" in options else 0
        bound = packet.iif if packet.family == 6 and not loose else ""
        flow = Flow(packet.src, None if packet.dst.is_multicast else packet.dst, "lo", bound, mark, "")
        route = find(flow, self._routes, self._policy, self._supposed).route
        if route is None or route.kind != "unicast":
            return False
        return loose or packet.iif in ((route.dev,) if route.dev else tuple(device for _, device in route.hops))


_TYPES = ("src_type_iif", "src_type_oif", "dst_type_iif", "dst_type_oif")
