"""What one network namespace's routes, devices and switches say, asked for by a walk. Decides nothing."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from netdash.kernel.devices import carrier
from netdash.kernel.routing import Flow, Situation, address_type, find
from netdash.kernel.sockets import by_port
from netdash.model.host import IP, Host, Link, Net, PolicyRule, Proxy, Route
from netdash.model.numbers import decimal
from netdash.model.packet import Packet
from netdash.model.records import dataclass, field, replace
from netdash.model.source import Source
from netdash.trace.hooks import Hooks
from netdash.trace.run import Run


class RoutesOf:
    """The routes of a namespace, as conditions of rules ask them. A packet has it, so it holds neither the run nor the
    host: a trace would be part of a cycle, and keep the rules of a host that is gone."""

    def __init__(self, net: Host) -> None:
        self._routes = {family: routes_of(net, family) for family in (4, 6)}
        self._policy = {family: net.policy if policy_read(net, family) else None for family in (4, 6)}
        self._blind = [family for family in (4, 6) if not policy_read(net, family) and net.containers != ()]
        self._here = _situation(net)
        self._sets = _sets(net)

    def kind(self, ip: IP, device: str) -> str | None:
        routes = self._routes[ip.version]
        return None if routes is None else address_type(ip, routes, device)

    def in_set(self, name: str, ip: IP) -> bool | None:
        nets = self._sets.get(name)
        return None if nets is None else any(net.version == ip.version and ip in net for net in nets)

    def leads_back(self, packet: Packet, loose: bool, marked: bool, local: bool) -> bool | None:
        """xt_rpfilter.c, and nft_fib_ipv4.c of `fib saddr . iif oif`. What counts is whether the route that is
        found is by that device; only for link-local addresses one by that device is looked for."""
        if self._routes[packet.family] is None or packet.src is None or not packet.iif:
            return None
        if packet.iif == "lo":
            return True
        if packet.family in self._blind:
            return None
        bound = packet.iif if packet.src.is_link_local and not loose else ""
        flow = Flow(packet.src, packet.dst, "lo", bound, packet.mark if marked else 0, "")
        answers = {self._leads(replace(flow, proto=proto), packet.iif, loose, local) for proto in ("", packet.proto)}
        return answers.pop() if len(answers) == 1 else None  # nft_fib names the protocol, xt_rpfilter does not

    def _leads(self, flow: Flow, iif: str, loose: bool, local: bool) -> bool | None:
        family = flow.dst.version
        found = find(flow, self._routes[family] or (), self._policy[family], _never, self._here)
        if found.unsure:
            return None
        route = found.route
        if route is None or not (route.kind == "unicast" or (route.kind == "local" and local)):
            return False
        return loose or iif in ((route.dev,) if route.dev else tuple(device for _, device in route.hops))


def routes_of(net: Host, family: int) -> tuple[Route, ...] | None:
    """The namespace's routes; None where those of this family were not read."""
    return None if f"routes: route{family}" in net.failures else net.routes


def policy_read(net: Host, family: int) -> bool:
    return net.policy is not None and f"routes: rule{family}" not in net.failures


def _sets(net: Host) -> Mapping[str, tuple[Net, ...]]:
    """The members of the IP sets; of those that Docker 28.0 makes itself, also where they were not read: the subnets
    of its bridge networks that are not internal."""
    networks = [network for network in net.networks or () if network.bridge and not network.internal]
    own = {
        f"docker-ext-bridges-v{family}": tuple(
            sub for network in networks for sub in network.subnets if sub.version == family
        )
        for family in (4, 6)
    }
    return {**(own if net.networks is not None else {}), **(net.ipsets or {})}


def _never(_: PolicyRule) -> bool:
    return False


class Lookups:
    """What is worked out once of a namespace."""

    def __init__(self, net: Host) -> None:
        self.links = {link.name: link for link in net.links or ()}
        self.routes = RoutesOf(net)
        self.situation = _situation(net)
        self.sockets = by_port(net.listeners or ())
        self.proxies = _by_pid_and_port(net.proxies or ())
        own = net.ruleset if isinstance(net, Inner) else None
        self.hooks = Hooks(own) if own is not None and (own.chains or own.unread) else None


def _by_pid_and_port(proxies: Iterable[Proxy]) -> dict[object, list[Proxy]]:
    found: dict[object, list[Proxy]] = {}
    for proxy in proxies:
        for key in (proxy.pid, (proxy.proto, proxy.host_port)):
            found.setdefault(key, []).append(proxy)
    return found


@lru_cache(maxsize=2)  # of the host on screen and of the one that comes
def _of_host(host: Host) -> Lookups:
    return Lookups(host)


def lookups_of(net: Host) -> Lookups:
    """A container's are kept with it, this host's for as long as it is looked at."""
    if not isinstance(net, Inner):
        return _of_host(net)
    if not net.kept:
        net.kept.append(Lookups(net))
    return net.kept[0]


@dataclass(frozen=True, slots=True, eq=False)
class Inner(Host):
    """A container's namespace as a host."""

    kept: list[Lookups] = field(default_factory=list)


def looked_at(net: Host, packet: Packet, **changes: Any) -> Packet:
    """The packet with some changes, and with the types of its addresses."""
    routes = routes_of(net, packet.family)
    if routes is None:
        return replace(packet, **changes) if changes else packet
    src, dst = changes.get("src", packet.src), changes.get("dst", packet.dst)
    return replace(
        packet,
        **changes,
        routes=lookups_of(net).routes,
        src_type=address_type(src, routes) if src else None,
        dst_type=address_type(dst, routes) if dst else None,
    )


def situation(net: Host) -> Situation:
    """What the look-up of routes asks beside them."""
    return lookups_of(net).situation


def _situation(net: Host) -> Situation:
    links = net.links or ()
    passed_by = frozenset(
        link.name for link in links if not carrier(link) and _on(net, link.name, "ignore_routes_with_linkdown")
    )
    groups = tuple((link.name, link.group) for link in links if link.group is not None)
    silent = frozenset(
        (neighbour.ip, neighbour.dev) for neighbour in net.neighbours or () if neighbour.state == "FAILED"
    )
    return Situation(passed_by, groups, any(link.kind == "vrf" for link in links), silent)


def _on(net: Host, device: str, key: str) -> bool:
    return any(_conf(net, name, key, 4) for name in ("all", device))


def _conf(net: Host, device: str, key: str, family: int) -> int | None:
    return number(net, f"net.ipv{family}.conf.{device.replace('.', '/')}.{key}")


def number(net: Host, name: str) -> int | None:
    """A sysctl by its whole name; None when it was not read."""
    return decimal((net.sysctls or {}).get(name, ""))


def sysctl(run: Run, device: str, key: str, family: int = 4) -> int | None:
    """net.ipvN.conf.DEVICE.KEY where the packet is; None when it was not read."""
    return _conf(run.net, device, key, family)


def either(run: Run, device: str, key: str, question: str) -> bool:
    """A switch that is on where it is on for all or for the device (IN_DEV_ORCONF)."""
    values = [sysctl(run, name, key) for name in ("all", device)]
    if any(values):
        return True
    return values == [None, None] and run.choose(question)


def handed_down(net: Host, name: str) -> bool:
    """Whether a container's sysctl was not read, and has the value that this host gives to new namespaces."""
    return isinstance(net.sysctls, ChainMap) and name in net.sysctls and name not in net.sysctls.maps[0]


def port_range(net: Host) -> tuple[int, int] | None:
    """From where a namespace takes the ports of its own connections; None when it was not read."""
    low, _, high = " ".join((net.sysctls or {}).get("net.ipv4.ip_local_port_range", "").split()).partition(" ")
    return (int(low), int(high)) if low.isdigit() and high.isdigit() else None


def link_of(run: Run, name: str | None) -> Link | None:
    """A device of the namespace where the packet is."""
    if name and run.net.links is None:
        run.without(Source.LINKS, "the devices")
    return lookups_of(run.net).links.get(name or "")
